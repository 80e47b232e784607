package app

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// open opens a pull request that nobody has to approve.
func (h *halting) open() {
	repo := h.repos[h.random.IntN(2)]
	branch := fmt.Sprintf("typo-%d", len(h.pulls))
	_, err := repo.Push(h.github.User("ann"), branch, githubsim.Commit{Message: "typo", Files: map[string]string{branch + ".md": "x\n"}})
	h.must(err)
	pr, err := repo.Open(h.github.User("ann"), githubsim.PullRequestSpec{Title: branch, Head: branch})
	h.must(err)
	h.pulls = append(h.pulls, pr)
	h.say("ann opens %s#%d", repo.Name(), pr.Number())
}

func (h *halting) anybody(logins ...string) *githubsim.User {
	return h.github.User(logins[h.random.IntN(len(logins))])
}

func (h *halting) label() string {
	if h.random.IntN(5) == 0 {
		return switchLabel + policy.AgentsSuffix
	}
	return switchLabel
}

// halt opens an issue with the label.
func (h *halting) halt() {
	repo, who, label := h.repos[h.random.IntN(3)], h.anybody("bob", "ann"), h.label()
	_, err := repo.OpenIssue(who, "Stop", "", label)
	h.must(err)
	h.say("%s opens an issue in %s with %s", who.Login(), repo.Name(), label)
}

func (h *halting) command() {
	pr := h.pulls[h.random.IntN(len(h.pulls))]
	who := h.anybody("bob", "eve", "claude[bot]")
	body := "/killswitch " + []string{"repo", "org", "pr", "agents"}[h.random.IntN(4)] + " for a test"
	_, err := pr.Comment(who, body)
	h.must(err)
	h.say("%s comments on %s#%d: %s", who.Login(), pr.Repository().Name(), pr.Number(), body)
}

func (h *halting) labelPull() {
	pr := h.pulls[h.random.IntN(len(h.pulls))]
	h.must(pr.AddLabel(h.github.User("bob"), switchLabel))
	h.say("bob labels %s#%d", pr.Repository().Name(), pr.Number())
}

// carriers are the open issues with a label of the switch.
func (h *halting) carriers() (found []*githubsim.Issue) {
	for _, repo := range h.repos {
		for n := 1; n <= 200; n++ {
			if issue := repo.Issue(n); issue != nil && issue.State() == "open" && len(issue.Labels()) > 0 {
				found = append(found, issue)
			}
		}
	}
	return found
}

// askOff asks to start again, by a road that means it: those who may, and others.
func (h *halting) askOff() {
	carriers := h.carriers()
	if len(carriers) == 0 {
		return
	}
	issue := carriers[h.random.IntN(len(carriers))]
	who := h.anybody("sam", "sue", "sam", "sue", "bob", "claude[bot]", "eve")
	var err error
	road := h.random.IntN(4)
	switch road {
	case 0:
		err = issue.RemoveLabel(who, issue.Labels()[0])
	case 1:
		err = issue.Close(who)
	default:
		_, err = issue.Comment(who, "/killswitch off")
	}
	h.say("%s asks for the end of %s#%d by road %d: %v", who.Login(), issue.Repository().Name(), issue.Number(), road, err)
}

// bothAsk has enough people ask, for everything that is stopped.
func (h *halting) bothAsk() {
	for _, issue := range h.carriers() {
		for _, login := range []string{"sam", "sue"} {
			if _, err := issue.Comment(h.github.User(login), "/killswitch off"); err != nil {
				h.say("%s cannot comment: %v", login, err)
			}
		}
		h.say("sam and sue ask for the end of %s#%d", issue.Repository().Name(), issue.Number())
	}
	for _, pr := range h.pulls {
		if len(pr.Labels()) > 0 && h.random.IntN(2) == 0 {
			_ = pr.RemoveLabel(h.github.User("sam"), switchLabel)
			_ = pr.RemoveLabel(h.github.User("sue"), switchLabel)
		}
	}
}

// haltAgain has enough people ask, and somebody stop again a moment later.
func (h *halting) haltAgain() {
	h.bothAsk()
	<-time.After(time.Duration(h.random.Int64N(int64(50 * time.Millisecond))))
	h.halt()
}

// tamper has an admin flip what locks.
func (h *halting) tamper() {
	for _, sw := range h.server.inForce() {
		if sw.Lock.ID == 0 || sw.Agents || sw.Number != 0 {
			continue
		}
		h.broken[fmt.Sprint(sw.Key(), sw.Period)] = true
		h.look(slices.Collect(maps.Keys(h.locked))) // GitHub merges at once what is armed and green
		if sw.IsOrganization() {
			h.acme.SetRulesetEnforcement(sw.Lock.ID, "disabled")
		} else {
			for _, repo := range h.repos {
				if repo.ID() == sw.Repository.ID {
					_ = repo.DeleteRuleset(h.github.User("lee"), sw.Lock.ID) // it may be gone
				}
			}
		}
		h.say("an admin breaks the lock of %s", sw.Scope)
		// Until the App has heard of it, GitHub merges what is green.
		h.server.settle()
		return
	}
}

func (h *halting) fault() {
	path := []string{`/rulesets`, `/check-runs`, `/issues`, `/rules/branches`, `/graphql$`}[h.random.IntN(5)]
	h.github.Inject(githubsim.Fault{Path: regexp.MustCompile(path), Status: []int{0, 500, 502}[h.random.IntN(3)], After: h.random.IntN(2) == 0, Times: 1 + h.random.IntN(3)})
	h.say("GitHub fails %s", path)
}

// restart ends the server while it works, and starts it again.
func (h *halting) restart() {
	h.server.restart()
	h.restarts++
	h.say("the server is stopped in the middle, and starts")
}

func (h *halting) sweepNow() {
	h.server.sweep()
	h.say("the server looks for labels")
}

// lose has a label come and no webhook with it; the sweep finds it.
func (h *halting) lose() {
	hear := h.server.unhear()
	h.halt()
	h.must(h.github.WaitForDeliveries(h.t.Context()))
	hear()
	h.sweepNow()
}
