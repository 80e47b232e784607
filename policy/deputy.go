package policy

import (
	"fmt"
	"slices"
	"time"
)

// Deputy is a sandbox whose programs, which nobody has reviewed, have a person's rights at
// GitHub: what they say there cannot be told from what the person says.
type Deputy struct {
	For     Actor
	Sandbox string
	// From and Until are when it was there; zero Until: it is.
	From, Until time.Time
}

// ClocksApart is how far GitHub's clock, which dates votes, and ours may be apart.
const ClocksApart = 2 * time.Minute

// couldSay reports whether the deputy could have said something at that time.
func (d Deputy) couldSay(at time.Time) bool {
	return !at.Before(d.From.Add(-ClocksApart)) && (d.Until.IsZero() || !at.After(d.Until.Add(ClocksApart)))
}

// SaidByDeputy says why it is not known that the person said something at that time;
// empty: nothing else could have.
func SaidByDeputy(deputies []Deputy, person Actor, at time.Time) string {
	for _, d := range deputies {
		if d.For.ID == person.ID && d.couldSay(at) {
			return fmt.Sprintf("the sandbox %s, where what runs has the rights of %s, could have said it; say it again some minutes after it has ended", d.Sandbox, person)
		}
	}
	return ""
}

// hadDeputy reports whether something could have acted for the person at any time.
func (j *judge) hadDeputy(person Actor) bool {
	return slices.ContainsFunc(j.Deputies, func(d Deputy) bool { return d.For.ID == person.ID })
}
