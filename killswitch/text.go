package killswitch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// RulesetName is the name of the ruleset that is the lock.
const RulesetName = "portcullis/kill-switch"

// titlePrefix begins the title of the issues that the App opens.
const titlePrefix = "Stopped: "

// title is that of the issue.
func (s *Switch) title() string {
	reason, _, _ := strings.Cut(s.Reason, "\n")
	if reason = strings.TrimSpace(reason); reason == "" {
		reason = s.String()
	}
	const longest = 200 // GitHub takes 256
	if runes := []rune(reason); len(runes) > longest {
		reason = string(runes[:longest]) + "…"
	}
	return titlePrefix + reason
}

// section is our part of the text: what is stopped, since when, by whom,
// what of it is not in force yet, and how to start again. left counts the checks
// that do not say so yet.
func (s *Switch) section(now time.Time, releasers string, missing []string, left int) string {
	var b strings.Builder
	switch s.State {
	case StateOff:
		fmt.Fprintf(&b, "### %s goes on\n\nThe kill switch was on for %s, from %s to %s.\n", s.Scope, lasted(s.Lasted(now)), when(s.HeardAt), when(s.ReleasedAt))
		return b.String()
	case StateReleasing:
		fmt.Fprintf(&b, "### %s is being started again\n\nEvery pull request is decided anew before merges are possible; %s to go. ", s.Scope, pullRequests(left))
		b.WriteString("Auto-merges go on one by one after that.\n\n")
	default:
		fmt.Fprintf(&b, "### %s is stopped\n\n", s.Scope)
	}
	fmt.Fprintf(&b, "| | |\n|---|---|\n| since | %s |\n", when(s.HeardAt))
	if s.By.Login != "" {
		fmt.Fprintf(&b, "| by | %s |\n", text(s.By.Login))
	}
	fmt.Fprintf(&b, "| reason | %s |\n", text(s.Stop().Reason))
	fmt.Fprintf(&b, "| merges | %s |\n", s.merges(now))
	if s.State == StateOn {
		fmt.Fprintf(&b, "| checks | %s |\n", checks(left))
	}
	if s.Lock.Undrainable != "" {
		fmt.Fprintf(&b, "| merge queues | halted: GitHub does not let them go on through the lock (%s) |\n", text(s.Lock.Undrainable))
	}
	for _, part := range slices.Sorted(maps.Keys(s.Ended)) {
		fmt.Fprintf(&b, "| %s | %d ended |\n", part, s.Ended[part])
	}
	for _, done := range s.Tampering {
		fmt.Fprintf(&b, "| put back | %s |\n", text(done))
	}
	for _, part := range slices.Sorted(maps.Keys(s.Problems)) {
		state := "not in force yet"
		if part == partRelease {
			state = "held up"
		}
		fmt.Fprintf(&b, "| **%s:** %s | %s |\n", state, part, text(s.Problems[part]))
	}
	if s.State == StateOn {
		s.writeHow(&b, releasers, missing)
	}
	return b.String()
}

func (s *Switch) writeHow(b *strings.Builder, releasers string, missing []string) {
	b.WriteString("\nNothing is lent and nothing is started meanwhile. To start again, comment `/killswitch off` here, take the label off, or close this issue")
	if releasers != "" {
		fmt.Fprintf(b, "; that counts from %s, and never from an agent", text(releasers))
	}
	b.WriteString(".\n")
	var asked []string
	for _, request := range s.Requests {
		asked = append(asked, text(request.By.Login))
	}
	if len(asked) > 0 {
		fmt.Fprintf(b, "\nAsked to start again: %s. ", strings.Join(asked, ", "))
	}
	if len(missing) > 0 {
		fmt.Fprintf(b, "Still needed: %s.\n", text(strings.Join(missing, ", and ")))
	}
}

// merges says what keeps merges from happening, and what does not.
func (s *Switch) merges(now time.Time) string {
	switch {
	case !s.lockable():
		return "blocked by the check of each pull request"
	case s.Lock.Enforced && !s.LockedAt.IsZero():
		return fmt.Sprintf("GitHub refuses every one, confirmed %s after the stop", lasted(s.LockedAt.Sub(s.HeardAt)))
	case s.State == StateReleasing && !s.LockedAt.IsZero():
		return "the lock is being lifted"
	case s.Lock.Impossible != "" && s.SoftAt.IsZero():
		return fmt.Sprintf("the App may not lock branches (%s): pull requests whose check is still green can be merged, for %s so far", text(s.Lock.Impossible), lasted(now.Sub(s.GreenAt)))
	case s.Lock.Impossible != "":
		return fmt.Sprintf("the App may not lock branches (%s): blocked by the check of each pull request; those that were green could be merged for %s", text(s.Lock.Impossible), lasted(s.SoftAt.Sub(s.GreenAt)))
	default:
		return "**not locked yet**"
	}
}

// farewell is the comment with which the issue is closed.
func (s *Switch) farewell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s goes on after %s.", s.Scope, lasted(s.ReleasedAt.Sub(s.HeardAt)))
	var asked []string
	for _, request := range s.Requests {
		asked = append(asked, text(request.By.Login))
	}
	if len(asked) > 0 {
		fmt.Fprintf(&b, " Started again by %s.", strings.Join(asked, " and "))
	}
	switch {
	case !s.lockable():
	case !s.LockedAt.IsZero():
		fmt.Fprintf(&b, " GitHub refused every merge from %s after the stop.", lasted(s.LockedAt.Sub(s.HeardAt)))
	default:
		b.WriteString(" GitHub itself was never told to refuse merges: the checks were red.")
	}
	for _, part := range slices.Sorted(maps.Keys(s.Ended)) {
		fmt.Fprintf(&b, " %s: %d ended.", capital(part), s.Ended[part])
	}
	return b.String()
}

// Unwatched is how many checks are left where nobody counts them.
const Unwatched = -1

func checks(left int) string {
	switch left {
	case 0:
		return "red on every open pull request"
	case Unwatched:
		return "red as soon as a server runs"
	default:
		return pullRequests(left) + " to go"
	}
}

func pullRequests(n int) string {
	if n == 1 {
		return "1 pull request"
	}
	return fmt.Sprintf("%d pull requests", n)
}

func when(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 MST") }

// text shows what people wrote as text: it neither formats the table nor calls
// anybody.
func text(s string) string {
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "<", "&lt;", ">", "&gt;", "@", "@\u200b", "\r", " ", "\n", "<br>").Replace(s)
}
