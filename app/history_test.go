package app

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// history is a repository in which things happen at random.
type history struct {
	*testWorld
	*oracle
	random *rand.Rand
	lines  []string
	// missed is true if something happened since the last look that no delivery
	// told of.
	missed bool
	faults []func()
	// undisturbed leaves it to others what becomes of deliveries; none is lost for good.
	undisturbed bool
	// losing notes what is lost of the act that is under way.
	losing struct {
		sync.Mutex
		lost bool
	}
	looks, exact int
	ends         map[string]int
}

// TestEveryHistoryEndsInTheVerdict plays random histories with lost, repeated,
// held and reordered deliveries and with calls that fail before and after their
// effect. Whenever all is quiet, the check on every head is what the oracle
// says, and Merge works only where that is open. PORTCULLIS_HISTORIES sets how
// many are played, on each database.
func TestEveryHistoryEndsInTheVerdict(t *testing.T) {
	histories, acts := uint64(10), 30
	if raced {
		histories = 5
	}
	if asked := os.Getenv("PORTCULLIS_HISTORIES"); asked != "" {
		n, err := strconv.ParseUint(asked, 10, 32)
		if err != nil {
			t.Fatalf("PORTCULLIS_HISTORIES: %v", err)
		}
		histories = n
	}
	var mu sync.Mutex
	ends, looks, exact := map[string]int{}, 0, 0
	t.Run("histories", func(t *testing.T) {
		for n := range 2 * histories {
			seed, engine := n/2, []string{"sqlite", "postgres"}[n%2]
			t.Run(fmt.Sprintf("%s/%d", engine, seed), func(t *testing.T) {
				t.Parallel()
				database := "sqlite:" + t.TempDir() + "/portcullis.db"
				if engine == "postgres" {
					database = sharedDatabase(t)
				}
				h := newHistory(t, database, seed)
				defer h.tell()
				for range acts {
					h.disturb()
					h.act()
					if h.random.IntN(4) == 0 {
						h.quiet()
					}
				}
				h.quiet()
				mu.Lock()
				defer mu.Unlock()
				for end, n := range h.ends {
					ends[end] += n
				}
				looks, exact = looks+h.looks, exact+h.exact
			})
		}
	})
	t.Logf("%d looks, %d without a doubt: %v", looks, exact, ends)
	for _, end := range []string{"open", "waiting", "closed", "merged"} {
		if ends[end] == 0 {
			t.Errorf("nothing ended %s: the histories show too little", end)
		}
	}
	if exact < looks*3/4 {
		t.Errorf("%d of %d looks were without a doubt: the histories show too little", exact, looks)
	}
}

const (
	keepingPolicy = demoPolicy + "approval: {on_push: keep-if-unchanged}\n"
	laxPolicy     = "version: 1\ntiers:\n  security-review: {approvals: 1, from: {permission: write}}\napproval: {author: true, committers: true, agents: true}\n"
	strictPolicy  = "version: 1\nclassify:\n  infrastructure: {paths: [\"**/*.go\"]}\n  agents: {users: [lee], minimum_tier: team-lead}\n" +
		"tiers:\n  team-lead: {approvals: 2, from: {permission: write}}\n  security-review: {approvals: 1, from: {teams: [acme/security], users: [lee]}}\n"
	brokenPolicy   = "version: 1\nnonsense: true\n"
	teamlessPolicy = "version: 1\ntiers:\n  peer-review: {approvals: 1, from: {teams: [acme/nobody]}}\n"
)

var policiesOfHistories = map[string]string{
	"the demo's": demoPolicy, "one that keeps approvals": keepingPolicy, "a lax one": laxPolicy, "a strict one": strictPolicy,
	"a broken one": brokenPolicy, "one with an unknown team": teamlessPolicy,
}

func newHistory(t *testing.T, database string, seed uint64) *history {
	t.Helper()
	h := &history{testWorld: newTestWorldOn(t, database, atOnce), random: rand.New(rand.NewPCG(seed, 7)), ends: map[string]int{}}
	h.oracle = &oracle{w: h.world, heads: map[int][]headNote{}, words: map[int][]*word{}}
	acme := h.shop.Organization()
	tom := h.github.CreateUser("tom")
	acme.AddMember(tom)
	h.shop.SetRole(tom, "triage")
	h.shop.CreateLabel("security")
	h.shop.SetFiles("release", map[string]string{"RELEASE": "1\n"})
	h.shop.CreateRuleset(githubsim.Ruleset{
		Name: "also on release", Enforcement: "active", Branches: []string{"release"},
		RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: h.hook.ID()}},
	})
	if h.chance(3) {
		acme.CreateRepository(".github", map[string]string{policy.DefaultPath: strictPolicy})
	}
	for len(h.shop.PullRequests()) < 3 {
		h.openOne()
	}
	return h
}

func (h *history) chance(in int) bool { return h.random.IntN(in) == 0 }

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func (h *history) note(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf("%2d. ", len(h.lines)+1)+fmt.Sprintf(format, args...))
}

// tell prints the history of a failure.
func (h *history) tell() {
	if h.t.Failed() {
		h.t.Log("the history:\n" + strings.Join(h.lines, "\n"))
	}
}

// disturb makes GitHub ill-tempered: calls to it fail.
func (h *history) disturb() {
	if !h.chance(3) {
		return
	}
	call := pick(h.random, `/graphql$`, `/pulls/\d+$`, `/files$`, `/commits$`, `/reviews$`, `/contents/`, `/permission$`, `/check-runs`, `/reactions$`, `/comments$`, `/events$`)
	fault := githubsim.Fault{
		Path: regexp.MustCompile(call), Status: pick(h.random, 0, 403, 429, 500, 502), After: h.chance(2), Times: 1 + h.random.IntN(3),
	}
	if call == `/graphql$` && h.chance(2) {
		fault = githubsim.Fault{Times: 1 + h.random.IntN(2), GraphQLError: &githubsim.GraphQLError{Type: "RATE_LIMITED", Message: "no more"}}
	}
	h.note("%s fails %d times: %d, after its effect: %t", call, fault.Times, fault.Status, fault.After)
	h.faults = append(h.faults, h.github.Inject(fault))
}

// told runs one act and says whether all that GitHub tells of it is, or will be,
// delivered. Some acts are not told, some twice, some later.
func (h *history) told(act func() error) (lost bool, err error) {
	if h.undisturbed {
		return false, h.noted(act())
	}
	h.losing.lost = false
	how := ""
	switch h.random.IntN(8) {
	case 0:
		how = ", which is not delivered"
		h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool {
			h.losing.Lock()
			defer h.losing.Unlock()
			h.losing.lost = true
			return true
		}})
	case 1, 2:
		how = ", which is delivered later"
		h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(githubsim.Delivery) bool { return true }})
	case 3:
		how = ", which is delivered three times"
		h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Repeat: func(githubsim.Delivery) int { return 2 }})
	}
	err = act()
	h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
	h.losing.Lock()
	lost = h.losing.lost
	h.losing.Unlock()
	h.missed = h.missed || lost
	if err == nil {
		h.lines[len(h.lines)-1] += how
	}
	return lost, h.noted(err)
}

// noted strikes the last line if GitHub refused what it tells.
func (h *history) noted(err error) error {
	if err != nil {
		h.lines = h.lines[:len(h.lines)-1]
	}
	return err
}

// heads notes the heads that have changed, by whom.
func (h *history) noteHeads(by string, lost bool) {
	for _, pr := range h.shop.PullRequests() {
		known := h.heads[pr.Number()]
		d := pr.Details()
		if d.State != "open" || len(known) > 0 && known[len(known)-1].sha == d.HeadSHA {
			continue
		}
		h.heads[pr.Number()] = append(known, headNote{sha: d.HeadSHA, at: d.UpdatedAt, by: by, lost: lost})
	}
}

// quiet lets everything arrive and be done, and has what was missed looked at
// once more. Then it holds the checks to the oracle.
func (h *history) quiet() {
	h.t.Helper()
	for _, remove := range h.faults {
		remove()
	}
	h.faults = nil
	h.github.ReleaseHeld(func(held []githubsim.Delivery) []githubsim.Delivery {
		h.random.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		return held
	})
	h.settled()
	if h.missed {
		h.lookAgain()
	}
	h.note("all is quiet")
	for _, pr := range h.shop.PullRequests() {
		if pr.State() == "open" {
			h.hold(pr)
		}
	}
	h.press()
}

// lookAgain has every open pull request decided anew.
func (h *history) lookAgain() {
	h.missed = false
	for _, pr := range h.shop.PullRequests() {
		if pr.State() == "open" {
			h.must(h.server.store.Evaluate(h.t.Context(), h.refOf(pr)))
		}
	}
	h.settled()
}

// hold compares the check on the head with the oracle's verdict.
func (h *history) hold(pr *githubsim.PullRequest) {
	h.t.Helper()
	allowed := h.verdicts(pr)
	run := newestRun(h.testWorld, pr)
	shows := shown(run)
	h.note("   #%d at %.7s: %s", pr.Number(), pr.HeadSHA(), h.check(pr))
	h.looks++
	if len(allowed) == 1 {
		h.exact++
		h.ends[allowed[0]]++
	}
	if !slices.Contains(allowed, shows) {
		h.t.Fatalf("#%d at %.7s is %v, and the check says %q (%s)\n%s", pr.Number(), pr.HeadSHA(), allowed, shows, h.check(pr), run.Summary)
	}
	if can := pr.Mergeability(h.github.User("ann")); can.Allowed && (shows != "open" || run.AppID != h.hook.ID() || run.HeadSHA != pr.HeadSHA()) {
		h.t.Fatalf("#%d can be merged on %+v", pr.Number(), run)
	}
}

// shown is the verdict that a check run shows; empty for one that shows none.
func shown(run githubsim.CheckRun) string {
	if run.Status != "completed" {
		return map[string]string{"in_progress": "waiting"}[run.Status]
	}
	return map[string]string{"success": "open", "in_progress": "waiting", "failure": "closed"}[run.Conclusion]
}

// press lets ann press Merge. All is quiet, so what is merged was judged just
// now, in the state that it has still.
func (h *history) press() {
	if !h.chance(3) {
		return
	}
	pr := pick(h.random, h.shop.PullRequests()...)
	allowed := h.verdicts(pr)
	if err := pr.Merge(h.github.User("ann")); err != nil {
		return
	}
	h.note("ann merges #%d", pr.Number())
	h.ends["merged"]++
	if !slices.Contains(allowed, "open") {
		h.t.Fatalf("#%d was merged, and is %v", pr.Number(), allowed)
	}
	// What other pull requests change may be less now. Nothing tells of that.
	h.missed = true
}
