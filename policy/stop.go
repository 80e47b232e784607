package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stop is a kill switch that is on and that may reach a pull request.
type Stop struct {
	// Scope says in words what it stops: "acme", "acme/shop", "agents in acme/shop"
	// or "acme/shop#7".
	Scope string
	// Agents is true if it stops only what agents took part in.
	Agents bool
	// Reason is what somebody gave as such, By who that was, and Since when.
	Reason string
	By     Actor
	Since  time.Time
	// Carrier is the issue or pull request with the label, "acme/shop#12"; empty while
	// there is none yet.
	Carrier string
	// Releasing is true while the gates are decided anew, before it is off: they may
	// open, but for those through which GitHub would merge by itself at once.
	Releasing bool
}

// String is the stop in one line, for titles.
func (s Stop) String() string {
	words := "stopped (" + s.Scope + ")"
	if s.By.Login != "" {
		words += " by " + s.By.Login
	}
	return words + ": " + s.reason()
}

func (s Stop) reason() string {
	if reason := firstLine(s.Reason); reason != "" {
		return reason
	}
	return "no reason was given"
}

// stop lays the switches that are on over a decision. What cannot be judged was
// perhaps made by an agent.
func (in Input) stop(d Decision) Decision {
	files := in.governing()
	d.ByAgent = joinAgents(files).tookPart(in.Snapshot)
	d.StartsSandbox = in.startsSandbox()
	d.Underneath = d.Outcome
	releasing := false
	for _, s := range in.Stops {
		switch {
		case s.Agents && !d.ByAgent && d.Fault == "":
		case s.Releasing:
			releasing = true
		default:
			d.Stops = append(d.Stops, s)
		}
	}
	switch {
	case len(d.Stops) > 0:
		d.Outcome = OutcomeClosed
		d.QueueGoesOn = JoinSwitchRules(in.Policies).MergeQueue != QueueHalt
	case releasing && d.Outcome == OutcomeOpen && in.Snapshot.PullRequest.AutoMerge:
		d.Outcome, d.AwaitsRelease = OutcomeWaiting, true
		d.Hold = "auto-merges go on one by one once the kill switch is off"
	}
	return d
}

// Stopped is the decision with one more kill switch over it, for when nothing
// else is read again. It is the same decision if that does not reach it.
func (d Decision) Stopped(by []Stop) Decision {
	if len(d.Stops) == 0 {
		d.Underneath = d.Outcome
	}
	d.Stops = slices.DeleteFunc(slices.Clone(by), func(s Stop) bool { return s.Releasing || s.Agents && !d.ByAgent && d.Fault == "" })
	if len(d.Stops) > 0 {
		d.Outcome = OutcomeClosed
	}
	return d
}

// ForQueue is what the decision says to an entry of a merge queue.
func (d Decision) ForQueue() Decision {
	if d.QueueGoesOn && len(d.Stops) > 0 {
		d.Outcome, d.Stops = d.Underneath, nil
	}
	return d
}

func (d Decision) writeStops(b *strings.Builder) {
	for _, s := range d.Stops {
		fmt.Fprintf(b, "**Stopped:** %s", plain(s.Scope))
		if s.By.Login != "" {
			fmt.Fprintf(b, ", by %s", plain(s.By.Login))
		}
		if !s.Since.IsZero() {
			fmt.Fprintf(b, ", since %s", s.Since.UTC().Format("2006-01-02 15:04:05 MST"))
		}
		fmt.Fprintf(b, ": %s. ", plain(strings.TrimSuffix(s.reason(), ".")))
		if s.Carrier == "" {
			b.WriteString("To start again, comment `/killswitch off`.\n\n")
			continue
		}
		fmt.Fprintf(b, "To start again, comment `/killswitch off` on %s.\n\n", s.Carrier)
	}
}

// Flag is an open issue or pull request with a label that may be a kill switch.
type Flag struct {
	Repository Repository
	// Organization is true of what is in the organization's own repository.
	Organization bool
	Number       int
	PullRequest  bool
	Label        string
	Title        string
}
