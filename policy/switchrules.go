package policy

import (
	"fmt"
	"slices"
	"strings"
)

// QueueMode is what the kill switch does to merge queues.
type QueueMode string

// The choices for kill_switch.merge_queue, the strictest first.
const (
	// QueueHalt fails the entries, which leave the queue; the default.
	QueueHalt QueueMode = "halt"
	// QueuePause keeps the entries where they are, and merges none.
	QueuePause QueueMode = "pause"
	// QueueDrain lets what is queued already be merged.
	QueueDrain QueueMode = "drain"
)

var queueModes = []QueueMode{QueueHalt, QueuePause, QueueDrain}

// AgentsSuffix ends the name of the label that stops agents only.
const AgentsSuffix = "-agents"

// SwitchRules are the rules on the kill switch of all the files that govern a
// place together. What one of them forbids, no other allows. The zero value lets
// nobody do anything.
type SwitchRules struct {
	// Labels are the names of the label that is the switch; another with
	// [AgentsSuffix] after it stops agents only. The first is the one to put.
	Labels []string
	// MergeQueue is what happens to merge queues.
	MergeQueue QueueMode
	// CancelWorkflows is true if runs of workflows on agents' branches are cancelled.
	CancelWorkflows bool

	activate   []Who
	deactivate []Requirement
	agents     Agents
}

// JoinSwitchRules joins the files that govern a place, the organization's first. A
// file that cannot be used counts as the built-in policy, and so does no file.
func JoinSwitchRules(sources []PolicySource) SwitchRules {
	files := Input{Policies: sources}.governing()
	rules := SwitchRules{MergeQueue: QueueDrain, agents: joinAgents(files)}
	for _, file := range files {
		own := file.KillSwitch
		if !containsFold(rules.Labels, own.Label) {
			// The nearest file's first: that is the one people there know.
			rules.Labels = append([]string{own.Label}, rules.Labels...)
		}
		if slices.Index(queueModes, own.MergeQueue) < slices.Index(queueModes, rules.MergeQueue) {
			rules.MergeQueue = own.MergeQueue
		}
		rules.CancelWorkflows = rules.CancelWorkflows || own.CancelWorkflows
		rules.activate = append(rules.activate, own.Activate)
		included := slices.ContainsFunc(rules.deactivate, func(r Requirement) bool { return r.includes(own.Deactivate) })
		if !included {
			rules.deactivate = append(rules.deactivate, own.Deactivate)
		}
	}
	return rules
}

// Means reports whether a label of that name is the switch, and whether it is the
// one that stops agents only.
func (r SwitchRules) Means(label string) (is, agents bool) {
	if containsFold(r.Labels, label) {
		return true, false
	}
	agents = slices.ContainsFunc(r.Labels, func(own string) bool { return strings.EqualFold(label, own+AgentsSuffix) })
	return agents, agents
}

// Label is the name of the label to put.
func (r SwitchRules) Label(agents bool) string {
	label := DefaultPolicy().KillSwitch.Label
	if len(r.Labels) > 0 {
		label = r.Labels[0]
	}
	if agents {
		label += AgentsSuffix
	}
	return label
}

// AllLabels are the names of the label, or of the one that stops agents only, the one
// to put first.
func (r SwitchRules) AllLabels(agents bool) []string {
	labels := []string{r.Label(agents)}
	for _, label := range r.Labels {
		if agents {
			label += AgentsSuffix
		}
		if !containsFold(labels, label) {
			labels = append(labels, label)
		}
	}
	return labels
}

// Asks is what has to be known of somebody who wants to stop or to start again.
func (r SwitchRules) Asks() Ask {
	var ask Ask
	for _, who := range r.people() {
		ask.Teams = append(ask.Teams, who.Teams...)
		ask.Permission = ask.Permission || who.Permission != PermissionNone
	}
	slices.Sort(ask.Teams)
	ask.Teams = slices.Compact(ask.Teams)
	return ask
}

func (r SwitchRules) people() []Who {
	people := slices.Clone(r.activate)
	for _, requirement := range r.deactivate {
		people = append(people, requirement.From)
	}
	return people
}

// MayStop says in a sentence's end why the person may not stop, or returns "".
func (r SwitchRules) MayStop(person Actor, standing Standing) string {
	if why := r.machine(person); why != "" {
		return why
	}
	for _, who := range r.activate {
		if !who.Selects(standing) {
			return person.String() + " is not one of: " + who.String()
		}
	}
	if len(r.activate) == 0 {
		return "nobody may"
	}
	return ""
}

// MayRelease says in a sentence's end why the person is none of those who may start
// again, or returns "". Agents may not, whatever team they are in.
func (r SwitchRules) MayRelease(person Actor, standing Standing) string {
	if why := r.machine(person); why != "" {
		return why
	}
	if why := r.agents.IsAgent(person); why != "" {
		return why
	}
	if slices.ContainsFunc(r.deactivate, func(q Requirement) bool { return q.From.Selects(standing) }) {
		return ""
	}
	return person.String() + " is not one of: " + r.Releasers()
}

func (r SwitchRules) machine(person Actor) string {
	if !person.Known() {
		return "it is not known who asked"
	}
	if person.Kind != KindUser {
		return person.String() + " is a bot"
	}
	return ""
}

// Releasers says in words who may start again.
func (r SwitchRules) Releasers() string {
	var all []string
	for _, requirement := range r.deactivate {
		if words := requirement.From.String(); !slices.Contains(all, words) {
			all = append(all, words)
		}
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, "; ")
}

// Releaser is somebody who asked to start again.
type Releaser struct {
	Actor
	Standing Standing
}

// Missing says who must still ask to start again, a part for each requirement that
// is not met. Nothing is missing only if it is empty. Nobody counts twice for one
// requirement, and nobody counts who may not ask.
func (r SwitchRules) Missing(asked []Releaser) []string {
	if len(r.deactivate) == 0 {
		return []string{"somebody whom the policy names, which it does not"}
	}
	var missing []string
	for _, requirement := range r.deactivate {
		counted := map[int64]bool{}
		for _, person := range asked {
			if r.MayRelease(person.Actor, person.Standing) == "" && requirement.From.Selects(person.Standing) {
				counted[person.ID] = true
			}
		}
		// A requirement that asks for nobody is met by nobody.
		if need := max(1, requirement.Approvals) - len(counted); need > 0 {
			missing = append(missing, requests(need, len(counted) > 0)+" from "+requirement.From.String())
		}
	}
	return missing
}

func requests(n int, more bool) string {
	words := "requests"
	if n == 1 {
		words = "request"
	}
	if more {
		words = "more " + words
	}
	return fmt.Sprintf("%d %s", n, words)
}
