package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// part says in a sentence's second half what part the person took in making the
// change, or returns "". Who made a change does not approve it, does not take
// away a label that classifies it, and does not lift a veto on it.
func (j *judge) part(by Actor) string {
	switch {
	case by.ID == j.Snapshot.PullRequest.Author.ID:
		return by.String() + " is the author"
	case j.committed(by):
		return by.String() + " committed to it"
	case j.pushed(by):
		return by.String() + " pushed to it"
	case j.asked(by):
		return by.String() + " asked an agent for it"
	default:
		return ""
	}
}

// committed reports whether the person wrote, committed or co-wrote one of the
// commits.
func (j *judge) committed(by Actor) bool {
	for _, commit := range j.Snapshot.Commits {
		if slices.ContainsFunc(commit.makers(), func(maker Actor) bool { return maker.ID == by.ID }) {
			return true
		}
	}
	return false
}

// pushed reports whether the person pushed a head. Who pushed is known even if
// the e-mail address in the commit belongs to somebody else or to nobody.
func (j *judge) pushed(by Actor) bool {
	for _, head := range j.Heads {
		if head.By.ID == by.ID {
			return true
		}
	}
	return slices.ContainsFunc(j.Snapshot.History, func(e Event) bool { return e.Kind == EventForcePushed && e.By.ID == by.ID })
}

// makers are all accounts that the commit names.
func (c Commit) makers() []Actor {
	makers := append([]Actor{c.Author, c.Committer}, c.CoAuthors...)
	for _, match := range coAuthors(c.Message) {
		if id, err := strconv.ParseInt(match[1], 10, 64); err == nil {
			makers = append(makers, Actor{ID: id, Login: match[2]})
		}
	}
	return slices.DeleteFunc(makers, func(a Actor) bool { return !a.Known() || a.ID == webFlowID })
}

// coAuthorTrailer finds the accounts of trailers with GitHub's own no-reply
// addresses, which begin with the numeric id.
var coAuthorTrailer = regexp.MustCompile(`(?im)^co-authored-by:.*<(\d+)\+([a-z0-9-]+)(?:\[bot\])?@users\.noreply\.github\.com>\s*$`)

func coAuthors(message string) [][]string {
	if !strings.Contains(message, "<") {
		return nil // no address: most messages have none
	}
	return coAuthorTrailer.FindAllStringSubmatch(message, -1)
}

// asked reports whether an agent took part and the person is seen to have asked
// it to: an agent assigned them, as Copilot does with whom it works for, or they
// called it in the conversation.
func (j *judge) asked(by Actor) bool {
	if !j.byAgent {
		return false
	}
	for _, event := range j.Snapshot.History {
		if event.Kind == EventAssigned && event.Assignee.ID == by.ID && j.agents.IsAgent(event.By) != "" {
			return true
		}
	}
	for _, comment := range j.Snapshot.Comments {
		if comment.By.ID == by.ID && j.agents.called(comment.Body) {
			return true
		}
	}
	return slices.ContainsFunc(j.Snapshot.Reviews, func(r Review) bool { return r.By.ID == by.ID && j.agents.called(r.Body) })
}

var mention = regexp.MustCompile(`(?:^|[^\w/@` + "`" + `])@([A-Za-z0-9][A-Za-z0-9-]*)`)

// agentHandles are the names by which agents are called, beside their accounts'.
var agentHandles = []string{"claude", "codex", "copilot", "cursor", "cursoragent", "devin", "gemini", "jules"}

// called reports whether the text mentions an agent.
func (a Agents) called(text string) bool {
	if !strings.Contains(text, "@") {
		return false
	}
	for _, match := range mention.FindAllStringSubmatch(text, -1) {
		name := match[1]
		if containsFold(agentHandles, name) || containsFold(a.Users, name) || containsFold(a.Users, name+"[bot]") || knownAgentLogins[strings.ToLower(name)+"[bot]"] {
			return true
		}
	}
	return false
}

// classifying returns the snapshot as its labels classify it: with those that
// were put on it once and that nobody has taken away who may. Who made the change
// may not lower its tier, and a label that was renamed or deleted in the
// repository was taken off by nobody.
func (j *judge) classifying() Snapshot {
	s := j.Snapshot
	on, why := map[string]string{}, map[string]string{}
	var order []string
	put := func(label string) {
		order = append(order, label)
		on[strings.ToLower(label)] = label
	}
	for _, event := range s.History {
		label := strings.ToLower(event.Label)
		switch {
		case event.Kind == EventLabeled:
			put(event.Label)
		case event.Kind == EventUnlabeled && j.refuses(event.By) == "":
			delete(on, label)
			why[label] = ""
		case event.Kind == EventUnlabeled:
			why[label] = "; " + j.refuses(event.By) + ", so taking it off did not count"
		}
	}
	for _, label := range j.Labels {
		if !slices.ContainsFunc(s.History, func(e Event) bool { return strings.EqualFold(e.Label, label) }) {
			put(label)
			why[strings.ToLower(label)] = "; it is gone, but nobody took it off"
		}
	}
	labels := slices.Clone(s.PullRequest.Labels)
	s.offBy = map[string]string{}
	for _, label := range order {
		lower := strings.ToLower(label)
		if on[lower] != "" && !containsFold(labels, label) {
			labels = append(labels, label)
			s.offBy[lower] = why[lower]
		}
	}
	s.PullRequest.Labels = labels
	return s
}

// refuses says why a label that the person took off still classifies, or "".
func (j *judge) refuses(by Actor) string {
	if !by.Known() {
		return "the account that took it off is not known"
	}
	return cmp.Or(j.part(by), j.agents.IsAgent(by))
}
