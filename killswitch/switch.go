package killswitch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// State is what a switch does.
type State string

// The states of a switch. What is being lifted still lends nothing and starts
// nothing, and its lock holds; only the gates are decided anew already.
const (
	StateOff       State = ""
	StateOn        State = "on"
	StateReleasing State = "releasing"
)

// Switch is a switch as it is on record. Its methods change it and do nothing else.
type Switch struct {
	Scope

	State State
	// Period counts how often it was thrown when it was off, and Turn how often gates
	// were to be decided anew: when it was thrown, and when it began to be lifted.
	Period, Turn int
	// Reason, By and Since are those of whoever threw it; Since is GitHub's clock where
	// GitHub told. Again are the reasons that were added.
	Reason string
	By     policy.Actor
	Since  time.Time
	Again  []string
	// HeardAt is when the record was made of it, and LockedAt when the lock was
	// confirmed; zero: not yet.
	HeardAt  time.Time
	LockedAt time.Time
	// GreenAt is up to when checks in scope were rightly green: when it was heard, or
	// heard again while it was being lifted. SoftAt is when none was any more; zero: not
	// yet.
	GreenAt time.Time
	SoftAt  time.Time
	// ReleasingAt is when enough had asked to start again, and ReleasedAt when it was
	// off; both are of the last period.
	ReleasingAt time.Time
	ReleasedAt  time.Time
	// Requests are by whom it was asked to start again.
	Requests []Request
	Carrier  Carrier
	// Unlabeled is true if it was thrown while it was being lifted, until its label is
	// back: that the App took the label off is no word of an operator's.
	Unlabeled bool
	// Opened are more issues with the label that the App opened: its command line has
	// one for each stop.
	Opened []Carrier
	// Witness is where the lock is read back.
	Witness Witness
	Lock    Lock
	// Tampering tells who changed what of it, and that it was put back.
	Tampering []string
	// Paused are the merge queues that were paused.
	Paused []PausedQueue
	// Problems are the parts that are not in force yet, each with why.
	Problems map[string]string
	// Ended counts what was stopped, by part.
	Ended map[string]int
	// Unfinished is true if, though it is off, auto-merges are still to go on and the
	// issue is to be closed.
	Unfinished bool
}

// Request is somebody who asked to start again.
type Request struct {
	By     policy.Actor
	At     time.Time
	Reason string

	// said is the repository in which it was asked, if it was at GitHub.
	said     policy.Repository
	standing policy.Standing
}

// Carrier is the issue or pull request that carries the label.
type Carrier struct {
	Repository policy.Repository
	// Number is 0 while there is none.
	Number int
	Label  string
}

func (c Carrier) String() string {
	if c.Number == 0 {
		return ""
	}
	return policy.PullRequestRef{Repository: c.Repository, Number: c.Number}.String()
}

// is reports whether it is the same issue, by whatever name and label.
func (c Carrier) is(other Carrier) bool {
	return c.Number == other.Number && c.Repository.ID == other.Repository.ID
}

// Witness is a branch on which a lock can be seen to hold.
type Witness struct {
	Repository policy.Repository
	Branch     string
}

// Lock is the ruleset that forbids merges, as it was seen last.
type Lock struct {
	// ID is GitHub's; 0 while it is not known.
	ID int64
	// Property is the custom property that puts a ruleset of the organization's into
	// force, where the App may not write rulesets; empty if it may.
	Property string
	// Tried is true if it was put and GitHub did not answer: it may be there.
	Tried bool
	// Enforced is what it was confirmed to do.
	Enforced bool
	Branches []string
	// Drain lets merge queues go on; Undrainable is why GitHub did not take that.
	Drain       bool
	Undrainable string
	// Impossible is why there can be none; empty if it is not known that there cannot.
	Impossible string
}

// Thrown is somebody throwing the switch.
type Thrown struct {
	By     policy.Actor
	Reason string
	// At is when, by GitHub's clock if GitHub told; HeardAt when it was heard.
	At, HeardAt time.Time
	Carrier     Carrier
	// Opened is true if the App opened the carrier for this.
	Opened  bool
	Witness Witness
	// Verified is true if the label was seen on the carrier since the switch was last
	// turned off; otherwise only something newer than the last stop is one.
	Verified bool
}

// Throw turns the switch on, and reports whether that changed anything. Thrown
// again, it voids what was asked for before, and ends what was begun because of that.
// What is not newer than what is known of changes nothing: GitHub may deliver it
// twice, and late.
func (s *Switch) Throw(t Thrown) (changed bool) {
	s.see(t)
	switch s.State {
	case StateOff:
		if s.Period > 0 && !t.Verified && !t.At.After(s.Since) {
			return false
		}
		lock, witness, carrier := s.Lock, s.Witness, t.Carrier
		*s = Switch{
			Scope: s.Scope, State: StateOn, Period: s.Period + 1, Turn: s.Turn + 1, Reason: t.Reason, By: t.By, Since: t.At, HeardAt: t.HeardAt,
			Carrier: carrier, Witness: witness, Lock: lock,
		}
		s.Lock.Property = "" // the App may have been granted more
		if s.HeardAt.IsZero() {
			s.HeardAt = t.At
		}
		s.GreenAt = s.HeardAt
		return true
	case StateReleasing:
		unasked := len(s.Requests) == 0 && t.At.After(s.Since) // it was the command line
		if !s.void(t) && !unasked {
			return false
		}
		s.State, s.ReleasingAt = StateOn, time.Time{}
		s.GreenAt, s.SoftAt, s.Unlabeled = t.HeardAt, time.Time{}, true
		s.Turn++
		s.again(t)
		return true
	default:
		voided := s.void(t)
		return s.again(t) || voided
	}
}

// void drops the requests that were made before it was thrown, and reports whether
// there were any. GitHub tells seconds: of two in one, the stop is the later, unless it
// is by what carries the label already.
func (s *Switch) void(t Thrown) bool {
	asked := len(s.Requests)
	s.Requests = slices.DeleteFunc(s.Requests, func(r Request) bool {
		return r.At.Before(t.At) || r.At.Equal(t.At) && !t.Carrier.is(s.Carrier)
	})
	return len(s.Requests) < asked
}

// first is when it was asked for the end first, by GitHub's clock; while nobody has,
// when it was thrown. What was put there since is a stop that voids a request.
func (s *Switch) first() time.Time {
	if len(s.Requests) == 0 {
		return s.Since
	}
	return slices.MinFunc(s.Requests, func(a, b Request) int { return a.At.Compare(b.At) }).At
}

// last is when somebody last did something to the switch, by GitHub's clock.
func (s *Switch) last() time.Time {
	last := s.Since
	for _, request := range s.Requests {
		if request.At.After(last) {
			last = request.At
		}
	}
	return last
}

// see keeps what is new of where the switch is.
func (s *Switch) see(t Thrown) {
	s.Repository = newer(s.Repository, t.Carrier.Repository, s.Scope)
	if t.Witness.Branch != "" {
		s.Witness = t.Witness
	}
	switch {
	case s.State == StateOff:
	case s.Carrier.Number == 0:
		s.Carrier = t.Carrier
	case t.Opened && !t.Carrier.is(s.Carrier) && !slices.ContainsFunc(s.Opened, t.Carrier.is):
		s.Opened = append(s.Opened, t.Carrier)
	}
}

// newer is the repository under the names that it has now.
func newer(known, told policy.Repository, scope Scope) policy.Repository {
	if told.Installation == 0 {
		return known
	}
	if scope.IsOrganization() {
		return policy.Repository{Owner: told.Owner, Installation: told.Installation}
	}
	if told.ID == known.ID {
		return told
	}
	return known
}

// again adds a reason that is new.
func (s *Switch) again(t Thrown) bool {
	if s.By == (policy.Actor{}) && t.By.Known() {
		s.By, s.Reason = t.By, t.Reason
		return true
	}
	if t.Reason == "" || t.Reason == s.Reason || slices.Contains(s.Again, t.Reason) {
		return false
	}
	s.Again = append(s.Again, t.Reason)
	return true
}

// Ask keeps that somebody asked to start again. It returns false if they had, or
// asked before it was thrown.
func (s *Switch) Ask(r Request) bool {
	if s.State != StateOn || !s.Since.IsZero() && r.At.Before(s.Since) {
		return false
	}
	if slices.ContainsFunc(s.Requests, func(known Request) bool { return known.By.ID == r.By.ID }) {
		return false
	}
	s.Requests = append(s.Requests, r)
	return true
}

// BeginRelease lets the gates be decided anew.
func (s *Switch) BeginRelease(at time.Time) bool {
	if s.State != StateOn {
		return false
	}
	s.State, s.ReleasingAt, s.Problems = StateReleasing, at, nil
	s.Turn++
	return true
}

// Release turns the switch off.
func (s *Switch) Release(at time.Time) bool {
	if s.State == StateOff {
		return false
	}
	s.State, s.ReleasedAt, s.Unfinished, s.Problems = StateOff, at, true, nil
	return true
}

// mark names what the gates are decided anew for.
func (s *Switch) mark() string { return fmt.Sprintf("%s:%d", s.Key(), s.Turn) }

// Stop is the switch as decisions and guards see it.
func (s *Switch) Stop() policy.Stop {
	return policy.Stop{
		Scope: s.String(), Agents: s.Agents, Reason: strings.Join(append([]string{s.Reason}, s.Again...), "; "), By: s.By, Since: s.Since,
		Carrier: s.Carrier.String(), Releasing: s.State == StateReleasing,
	}
}

// Lasted is how long it has been on.
func (s *Switch) Lasted(now time.Time) time.Duration {
	if s.State == StateOff {
		now = s.ReleasedAt
	}
	return now.Sub(s.HeardAt)
}

// Problem keeps why a part is not in force; empty: it is.
func (s *Switch) Problem(part, why string) {
	if why == "" {
		delete(s.Problems, part)
		return
	}
	if s.Problems == nil {
		s.Problems = map[string]string{}
	}
	s.Problems[part] = why
}

// count keeps that so many more of a part were ended.
func (s *Switch) count(part string, ended int) {
	if s.Ended == nil {
		s.Ended = map[string]int{}
	}
	s.Ended[part] += ended
}

// widestFirst orders switches by what they stop.
func widestFirst(a, b Switch) int {
	return cmp.Or(cmp.Compare(width(a), width(b)), a.Since.Compare(b.Since))
}

func width(s Switch) int {
	w := 0
	if s.Repository.ID != 0 {
		w += 2
	}
	if s.Number != 0 {
		w += 2
	}
	if s.Agents {
		w++
	}
	return w
}

func reason(reaching []Switch) string {
	if len(reaching) == 0 {
		return ""
	}
	return cmp.Or(reaching[0].Reason, "no reason was given")
}
