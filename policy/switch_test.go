package policy

import (
	"reflect"
	"strings"
	"testing"
)

func sources(contents ...string) []PolicySource {
	var all []PolicySource
	for i, content := range contents {
		text := PolicyText{Place: Place{"acme/.github", "main", DefaultPath, i == 0}}
		if content != "" {
			text.Content = []byte("version: 1\n" + content)
		}
		all = append(all, LoadPolicy(text))
	}
	return all
}

func TestSwitchOrder(t *testing.T) {
	for line, want := range map[string]SwitchOrder{
		"/killswitch leaked token":          {Verb: SwitchOn, Reason: "leaked token"},
		"/killswitch on leaked token":       {Verb: SwitchOn, Reason: "leaked token"},
		"/killswitch org Leaked token":      {Verb: SwitchOn, Scope: SwitchOrganization, Reason: "Leaked token"},
		"/killswitch PR":                    {Verb: SwitchOn, Scope: SwitchPullRequest},
		"/killswitch agents run wild":       {Verb: SwitchOn, Scope: SwitchAgents, Reason: "run wild"},
		"/killswitch repository is leaking": {Verb: SwitchOn, Reason: "repository is leaking"},
		"/killswitch off":                   {Verb: SwitchOff},
		"/killswitch OFF all is well":       {Verb: SwitchOff, Reason: "all is well"},
		"/killswitch off org all is well":   {Verb: SwitchOff, Scope: SwitchOrganization, Reason: "all is well"},
		"/killswitch status":                {Verb: SwitchStatus},
		// Nothing but the bare word asks for the status: a stop must not fail on its wording.
		"/killswitch status page shows secrets": {Verb: SwitchOn, Reason: "status page shows secrets"},
		"/killswitch off-by-one in billing":     {Verb: SwitchOn, Reason: "off-by-one in billing"},
	} {
		if got := ParseCommands(line)[0].SwitchOrder(); got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}

func TestSwitchRulesAreJoined(t *testing.T) {
	none := JoinSwitchRules(nil)
	if none.Label(false) != "killswitch" || none.Label(true) != "killswitch-agents" || none.MergeQueue != QueueHalt || none.CancelWorkflows {
		t.Errorf("the built-in policy: %+v", none)
	}
	both := JoinSwitchRules(sources(
		"kill_switch: {label: stop, merge_queue: pause, activate: {teams: [acme/sre]}, deactivate: {teams: [acme/sre], approvals: 2}}",
		"kill_switch: {label: halt, merge_queue: drain, cancel_workflows: true, activate: {permission: triage}, deactivate: {permission: maintain, approvals: 1}}",
	))
	if !reflect.DeepEqual(both.Labels, []string{"halt", "stop"}) || both.MergeQueue != QueuePause || !both.CancelWorkflows {
		t.Errorf("two files: %+v", both)
	}
	for label, want := range map[string][2]bool{
		"halt": {true, false}, "STOP": {true, false}, "stop-agents": {true, true}, "Halt-Agents": {true, true}, "killswitch": {}, "stopped": {}, "": {},
	} {
		if is, agents := both.Means(label); is != want[0] || agents != want[1] {
			t.Errorf("%q means %v, %v", label, is, agents)
		}
	}
	for _, label := range []string{"a/b", "a%b", "a?b", "a#b", "a,b"} {
		_, err := ParsePolicyFile("f", []byte("version: 1\nkill_switch: {label: '"+label+"'}\n"))
		if want := `kill_switch.label is "` + label + `", but the label's name is part of an address; remove the characters / % ? # ,`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// A file whose label is another's with the suffix stops everything: the stricter reading.
	odd := JoinSwitchRules(sources("kill_switch: {label: stop}", "kill_switch: {label: stop-agents}"))
	if is, agents := odd.Means("stop-agents"); !is || agents {
		t.Errorf("stop-agents means %v, %v", is, agents)
	}
	if ask := both.Asks(); !ask.Permission || !reflect.DeepEqual(ask.Teams, []string{"acme/sre"}) {
		t.Errorf("asks %+v", ask)
	}
	sre, triage := Standing{Login: "ann", Teams: []string{"acme/sre"}}, Standing{Login: "ann", Permission: PermissionTriage}
	for _, c := range []struct {
		standing Standing
		may      bool
	}{{sre, false}, {triage, false}, {Standing{Login: "ann", Permission: PermissionTriage, Teams: []string{"acme/sre"}}, true}, {Standing{}, false}} {
		if why := both.MayStop(people("ann"), c.standing); (why == "") != c.may {
			t.Errorf("%+v may stop: %q", c.standing, why)
		}
	}
}

func TestWhoStartsAgain(t *testing.T) {
	rules := JoinSwitchRules(sources(
		"kill_switch: {deactivate: {teams: [acme/sre], approvals: 2}}",
		"classify: {agents: {users: [helper]}}\nkill_switch: {deactivate: {permission: admin, approvals: 1}}",
	))
	asked := func(logins ...string) (all []Releaser) {
		for _, login := range logins {
			name, _, _ := strings.Cut(login, "/")
			person := Releaser{people(name), Standing{Login: name, Permission: PermissionWrite}}
			if strings.Contains(login, "/sre") {
				person.Standing.Teams = []string{"acme/sre"}
			}
			if strings.Contains(login, "/admin") {
				person.Standing.Permission = PermissionAdmin
			}
			all = append(all, person)
		}
		return all
	}
	for _, c := range []struct {
		asked   []string
		missing string
	}{
		{nil, "2 requests from acme/sre; 1 request from anyone with admin"},
		{[]string{"ann/sre"}, "1 more request from acme/sre; 1 request from anyone with admin"},
		{[]string{"ann/sre", "ann/sre"}, "1 more request from acme/sre; 1 request from anyone with admin"},
		{[]string{"ann/sre", "bob/sre"}, "1 request from anyone with admin"},
		{[]string{"ann/sre", "bob/sre/admin"}, ""},
		{[]string{"ann/sre", "bob/sre", "sue/admin"}, ""},
		{[]string{"ann/sre", "helper/sre", "sue/admin"}, "1 more request from acme/sre"},
		{[]string{"ann/sre", "claude[bot]/sre", "sue/admin"}, "1 more request from acme/sre"},
		{[]string{"ann/sre", "copilot/sre/admin"}, "1 more request from acme/sre; 1 request from anyone with admin"},
		{[]string{"/sre", "/sre/admin"}, "2 requests from acme/sre; 1 request from anyone with admin"},
	} {
		if got := strings.Join(rules.Missing(asked(c.asked...)), "; "); got != c.missing {
			t.Errorf("%v: %q is missing, want %q", c.asked, got, c.missing)
		}
	}
	if missing := (SwitchRules{}).Missing(asked("ann/sre/admin")); len(missing) == 0 {
		t.Error("rules that name nobody let somebody start again")
	}
	if why := (SwitchRules{}).MayStop(people("ann"), Standing{Permission: PermissionAdmin}); why == "" {
		t.Error("rules that name nobody let somebody stop")
	}
	for login, want := range map[string]string{
		"claude[bot]": "claude[bot] is a bot", "helper": "helper is listed as an agent in the policy", "copilot": "copilot is a known agent",
		"eve": "eve is not one of: acme/sre; anyone with admin", "": "it is not known who asked",
	} {
		if got := rules.MayRelease(people(login), Standing{Login: login, Permission: PermissionWrite}); got != want {
			t.Errorf("%s: %q, want %q", login, got, want)
		}
	}
}

// TestStopsReachEveryDecision: whatever a decision is, a switch closes it, and one
// for agents closes what could not be judged.
func TestStopsReachEveryDecision(t *testing.T) {
	agents := []Stop{{Scope: "agents in acme", Agents: true}}
	if d := Decide(Input{Stops: agents}); d.Outcome != OutcomeClosed || len(d.Stops) == 0 {
		t.Errorf("what cannot be read is not stopped: %+v", d)
	}
	open := Decision{Outcome: OutcomeOpen, HeadSHA: "a"}
	if d := open.Stopped(agents); d.Outcome != OutcomeOpen {
		t.Error("a person's change is stopped with the agents'")
	}
	open.ByAgent = true
	if d := open.Stopped(agents); d.Outcome != OutcomeClosed || d.Title() != "stopped (agents in acme): no reason was given" {
		t.Errorf("an agent's change: %s", d.Title())
	}
	if d := open.Stopped([]Stop{{Scope: "acme", Releasing: true}}); d.Outcome != OutcomeOpen {
		t.Error("a switch that is being lifted stops")
	}
	halted := Decision{Outcome: OutcomeClosed, Stops: agents, Underneath: OutcomeOpen}
	if halted.ForQueue().Outcome != OutcomeClosed {
		t.Error("an entry of a queue goes on though queues are halted")
	}
	halted.QueueGoesOn = true
	if halted.ForQueue().Outcome != OutcomeOpen {
		t.Error("an entry of a queue stops though queues are drained")
	}
}
