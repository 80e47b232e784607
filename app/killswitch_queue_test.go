package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
)

func TestWhatAMergeQueueDoes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{"halt": "dequeued", "drain": "merged", "pause": "queued"} {
		t.Run(mode, func(t *testing.T) {
			tw, _ := stoppable(t)
			queue := tw.mergeQueue(5)
			tw.set(switchPolicy + "  merge_queue: " + mode + "\n")
			tw.settled()
			pr := tw.opened("ann", "queued", map[string]string{"catalogue/list.go": "package list\n"})
			tw.review(pr, "bob", "APPROVE")
			group, err := pr.Enqueue(tw.github.User("ann"))
			tw.must(err)
			tw.settled()
			issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
			if got := group.Try(); got != want {
				t.Errorf("the entry is %s, want %s", got, want)
			}
			tw.says(issue, "sam", "/killswitch off")
			tw.says(issue, "sue", "/killswitch off")
			tw.wantState(tw.shopScope(), killswitch.StateOff)
			if got := tw.queueLimit(queue); got != 5 {
				t.Errorf("the queue merges %d entries at once, and did 5", got)
			}
			if got := group.Try(); mode == "pause" && got != "merged" {
				t.Errorf("once it goes on the entry is %s", got)
			}
		})
	}
}

// Elsewhere than on github.com merge queues push as another App, which GitHub does
// not know there: the lock is put without it, in the same stop.
func TestALockThatCannotDrainHalts(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	tw.set(switchPolicy + "  merge_queue: drain\n")
	tw.settled()
	tw.review(pr, "bob", "APPROVE")
	remove := tw.github.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/rulesets$`), Status: http.StatusUnprocessableEntity, Times: 1})
	defer remove()
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	tw.wantMerge(pr, false)
	sw := tw.theSwitch(tw.shopScope())
	if !sw.Lock.Enforced || sw.Lock.Drain || !tw.lockOn(tw.shop) {
		t.Errorf("the lock: %+v", sw.Lock)
	}
	wantText(t, issue.Body(), "| merge queues | halted: GitHub does not let them go on through the lock")
	tw.github.ResetRequests()
	tw.sweep(recovery.KeySwitches(tw.installation.ID()))
	if all, _ := tw.calls(); slices.ContainsFunc(all, writesRuleset) {
		t.Errorf("it is put again and again:\n%s", strings.Join(all, "\n"))
	}
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	tw.wantMerge(pr, true)
	if tw.halts(tw.shop, "bob", "Again", switchLabel); !tw.theSwitch(tw.shopScope()).Lock.Drain {
		t.Error("once GitHub takes it, queues do not drain")
	}
}

// mergeQueue makes a ruleset with a merge queue, and returns its id.
func (tw *testWorld) mergeQueue(most int) int64 {
	tw.report.Helper()
	id := tw.shop.CreateRuleset(githubsim.Ruleset{Name: "queue", Branches: []string{"~DEFAULT_BRANCH"}})
	tw.asLee(http.MethodPut, id, fmt.Sprintf(`{"rules":[{"type":"merge_queue","parameters":{"check_response_timeout_minutes":60,"grouping_strategy":"ALLGREEN",
		"max_entries_to_build":5,"max_entries_to_merge":%d,"merge_method":"MERGE","min_entries_to_merge":1,"min_entries_to_merge_wait_minutes":5}}]}`, most))
	return id
}

// asLee asks for a ruleset of the shop as an admin with curl, past the judge of what
// the server asks.
func (tw *testWorld) asLee(method string, ruleset int64, body string) string {
	tw.report.Helper()
	tw.shop.SetRole(tw.github.User("lee"), "admin")
	request := httptest.NewRequest(method, fmt.Sprintf("/api/v3/repos/acme/shop/rulesets/%d", ruleset), strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+tw.github.User("lee").Token())
	request.Header.Set("User-Agent", "curl")
	answer := httptest.NewRecorder()
	if tw.github.ServeHTTP(answer, request); answer.Code != http.StatusOK {
		tw.report.Fatal(answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func (tw *testWorld) queueLimit(ruleset int64) (most int) {
	tw.report.Helper()
	_, rest, _ := strings.Cut(tw.asLee(http.MethodGet, ruleset, ""), `"max_entries_to_merge":`)
	_, err := fmt.Sscanf(strings.TrimSpace(rest), "%d", &most)
	tw.must(err)
	return most
}
