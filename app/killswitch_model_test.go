package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// switchHistories is how many random histories of kill switches are tried.
func switchHistories(t *testing.T) int {
	t.Helper()
	asked := os.Getenv("PORTCULLIS_SWITCH_HISTORIES")
	switch {
	case asked != "":
	case raced:
		return 1
	default:
		return 4
	}
	n, err := strconv.Atoi(asked)
	if err != nil {
		t.Fatalf("PORTCULLIS_SWITCH_HISTORIES: %v", err)
	}
	return n
}

// halting is a random history of kill switches that go on and off in scopes which
// overlap, while everybody tries to merge by every road.
type halting struct {
	*testWorld
	server haltedServer
	seed   uint64
	random *rand.Rand
	repos  []*githubsim.Repository
	pulls  []*githubsim.PullRequest
	lines  []string
	// locked are the confirmed locks over each open pull request, as of the last step,
	// and judged the pull requests whose merge was held to them.
	locked map[*githubsim.PullRequest][]killswitch.Switch
	judged map[*githubsim.PullRequest]bool
	// broken are the periods of switches in which an admin broke the lock.
	broken          map[string]bool
	merged, refused int
	restarts        int
	// killsIn is in how many acts the server is ended once more, in the middle of what
	// follows from one; 0: never.
	killsIn int
	locks   []time.Duration
	counted map[string]bool
}

// TestNothingMergesOnceALockIsConfirmed is the model test of issue 5: whatever
// happens in between, no merge succeeds in a scope from the moment its lock is on
// record as confirmed until those who may have asked for its end.
func TestNothingMergesOnceALockIsConfirmed(t *testing.T) {
	for i := range switchHistories(t) {
		seed := uint64(time.Now().UnixNano()) + uint64(i)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := &clock{}
			tw := newTestWorldWith(t, Options{sweeping: true, Backoff: atOnce.Backoff, Now: c.now, tokenNow: time.Now})
			newHalting(tw, seed, inProcess{tw, c}).goes(60)
		})
	}
}

// haltedServer is the server of a history, in the test's process or in one of its
// own.
type haltedServer interface {
	inForce() []killswitch.Switch
	// settle waits for what follows from what happened.
	settle()
	// restart ends the server while it works, and starts it again.
	restart()
	// sweep has the server look for labels of which it was not told.
	sweep()
	// unhear has webhooks get lost until hear is called.
	unhear() (hear func())
	// rest waits until is reports nothing, as long as that may take.
	rest(is func() []string) []string
}

// inProcess is a server in the test's process, by a clock that the test turns.
type inProcess struct {
	*testWorld
	clock *clock
}

func (p inProcess) inForce() []killswitch.Switch {
	found, err := p.server.store.InForce(p.t.Context(), killswitch.Scope{})
	p.must(err)
	return found
}

func (p inProcess) settle() { p.settled() }

func (p inProcess) restart() {
	over, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	cancel() // nothing is finished
	_ = p.server.Stop(over)
	p.must(p.serve(p.t.Context()))
}

func (p inProcess) sweep() {
	p.must(p.server.store.Want(p.t.Context(), recovery.KeySwitches(p.installation.ID())))
}

func (p inProcess) unhear() (hear func()) {
	p.hook.SetWebhookURL(p.github.URL() + "/nowhere")
	return func() { p.hook.SetWebhookURL(p.server.webhookURL()) }
}

func (p inProcess) rest(is func() []string) (lines []string) {
	p.settled()
	// What GitHub allows in a minute may be spent, and one release follows the other, each of
	// which may wait five minutes for gates that are closed.
	for range 36 {
		// A reading is not taken for newer than what replicas with other clocks did.
		p.clock.pass(10 * time.Second)
		for _, key := range []string{recovery.KeyDeliveries, recovery.KeySwitches(p.installation.ID())} {
			p.must(p.server.store.Want(p.t.Context(), key))
		}
		p.settled()
		if lines = is(); len(lines) == 0 {
			return nil
		}
	}
	return lines
}

// newHalting settles in a world whose server runs.
func newHalting(tw *testWorld, seed uint64, server haltedServer) *halting {
	h := &halting{testWorld: tw, server: server, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), counted: map[string]bool{}, judged: map[*githubsim.PullRequest]bool{}, broken: map[string]bool{}}
	far := time.Now().Add(24 * time.Hour)
	h.github.SetRateLimit(h.installation.ID(), 1_000_000, far)
	h.github.SetGraphQLRateLimit(h.installation.ID(), 1_000_000, far)
	h.set(switchPolicy)
	floor := h.acme.CreateRepository(".github", map[string]string{"README.md": "x\n", ".github/portcullis.yml": "version: 1\nkill_switch: {deactivate: {teams: [acme/security], approvals: 2}}\n"})
	stall := h.acme.CreateRepository("stall", map[string]string{"README.md": "x\n", ".github/portcullis.yml": switchPolicy})
	h.repos = []*githubsim.Repository{h.shop, stall, floor}
	stall.CreateRuleset(githubsim.Ruleset{
		Name: "required", Branches: []string{"~DEFAULT_BRANCH"}, RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: h.hook.ID()}},
	})
	eve := h.github.CreateUser("eve")
	for _, repo := range h.repos {
		repo.SetRole(h.github.User("ann"), "write")
		repo.SetRole(h.github.User("bob"), "write")
		repo.SetRole(h.github.User("lee"), "admin")
		repo.SetRole(h.github.User("sam"), "write")
		repo.SetRole(h.github.User("sue"), "write")
		repo.SetRole(h.github.User("claude[bot]"), "write")
		repo.SetRole(eve, "read")
	}
	for range 4 {
		h.open()
	}
	h.server.settle()
	return h
}

// goes lets so many things happen, or more until they prove something, and holds what
// is left of them.
func (h *halting) goes(steps int) {
	h.t.Helper()
	quiet := func() bool { return len(h.locks) < 2 || h.refused == 0 || h.merged == 0 || h.restarts == 0 }
	for step := 0; step < steps || step < 500 && quiet(); step++ {
		h.act()
		h.everybodyMerges()
	}
	for _, line := range h.server.rest(h.wrongAtRest) {
		h.t.Errorf("%s\n%s", line, h.tail())
	}
	slices.Sort(h.locks)
	if quiet() {
		h.t.Errorf("it was too quiet to prove anything: %d locks, %d merges, %d refused, %d restarts", len(h.locks), h.merged, h.refused, h.restarts)
		return
	}
	h.t.Logf("seed %d: %d locks, confirmed after %s in the middle and %s at most; %d merges, %d refused; started again %d times",
		h.seed, len(h.locks), h.locks[len(h.locks)/2], h.locks[len(h.locks)-1], h.merged, h.refused, h.restarts)
}

func (h *halting) say(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

// act does one thing, and now and then waits for what follows from it.
func (h *halting) act() {
	acts := []func(){
		h.halt, h.halt, h.halt, h.command, h.labelPull,
		h.askOff, h.askOff, h.askOff, h.askOff, h.bothAsk, h.bothAsk, h.bothAsk, h.bothAsk, h.bothAsk, h.bothAsk, h.haltAgain, h.haltAgain,
		h.tamper, h.fault, h.restart, h.open, h.sweepNow, h.lose,
	}
	acts[h.random.IntN(len(acts))]()
	switch {
	case h.killsIn > 0 && h.random.IntN(h.killsIn) == 0:
		h.restart()
	case h.random.IntN(3) > 0:
		h.server.settle()
	}
}

// confirmed are the switches whose lock is confirmed and that stop the pull request.
func (h *halting) confirmed(pr *githubsim.PullRequest) (found []killswitch.Switch) {
	at := scopeOf(pr)
	for _, sw := range h.server.inForce() {
		if sw.Covers(at) && !sw.LockedAt.IsZero() && sw.Lock.Enforced {
			found = append(found, sw)
			if key := fmt.Sprint(sw.Key(), sw.Period); !h.counted[key] {
				h.counted[key] = true
				h.locks = append(h.locks, sw.LockedAt.Sub(sw.HeardAt).Round(time.Millisecond))
			}
		}
	}
	return found
}

// everybodyMerges tries every road with every pull request. What was locked before
// it, and is locked after it, must not have let anything through: neither now nor,
// by GitHub itself, since the last time.
func (h *halting) everybodyMerges() {
	ann := h.github.User("ann")
	var open []*githubsim.PullRequest
	for _, pr := range h.pulls {
		if pr.State() != "open" {
			continue
		}
		open = append(open, pr)
		before := h.confirmed(pr)
		switch h.random.IntN(4) {
		case 0:
			_ = pr.Merge(ann)
		case 1:
			h.mergeByAPI(pr)
		case 2:
			_ = pr.EnableAutoMerge(ann)
		default:
			if group, err := pr.Enqueue(ann); err == nil {
				group.Try()
			}
		}
		h.judge(pr, before)
	}
	h.look(open)
	for n := len(h.locked); n < 4; n++ {
		h.open()
	}
}

// look judges what GitHub merged by itself since the last look, and keeps which locks
// hold what is open still.
func (h *halting) look(open []*githubsim.PullRequest) {
	locked := map[*githubsim.PullRequest][]killswitch.Switch{}
	for _, pr := range open {
		if pr.State() == "open" {
			locked[pr] = h.confirmed(pr)
		}
	}
	for pr, before := range h.locked {
		if pr.Merged() && !h.judged[pr] {
			h.judge(pr, before)
		}
	}
	h.locked = locked
}

// judge holds a pull request that was merged to what was locked before.
func (h *halting) judge(pr *githubsim.PullRequest, before []killswitch.Switch) {
	if !pr.Merged() {
		h.refused++
		return
	}
	h.merged++
	h.judged[pr] = true
	inForce := h.server.inForce()
	for _, sw := range before {
		i := slices.IndexFunc(inForce, func(now killswitch.Switch) bool { return now.Scope == sw.Scope && now.Period == sw.Period })
		if i < 0 {
			continue // it was turned off meanwhile
		}
		now := inForce[i]
		if now.State == killswitch.StateReleasing && !now.Lock.Enforced {
			continue // enough people asked, and the lock is being lifted
		}
		if h.broken[fmt.Sprint(sw.Key(), sw.Period)] && (locksAlone(sw) || locksAlone(now)) {
			continue // an admin broke the lock
		}
		h.t.Errorf("%s#%d was merged (%s) while %s was %s and locked\n%s", pr.Repository().Name(), pr.Number(), pr.MergeRoad(), sw.Scope, now.State, h.tail())
	}
}

// locksAlone reports whether the lock is all that holds: before every check is red, or
// while gates are open again that enough people asked for.
func locksAlone(sw killswitch.Switch) bool {
	return sw.State == killswitch.StateReleasing || sw.SoftAt.IsZero()
}

// mergeByAPI asks GitHub as ann would with curl, past the judge of what the server
// asks.
func (h *halting) mergeByAPI(pr *githubsim.PullRequest) {
	path := fmt.Sprintf("/api/v3/repos/%s/pulls/%d/merge", pr.Repository().FullName(), pr.Number())
	request := httptest.NewRequest(http.MethodPut, path, strings.NewReader("{}"))
	request.Header.Set("Authorization", "Bearer "+h.github.User("ann").Token())
	request.Header.Set("User-Agent", "curl")
	h.github.ServeHTTP(httptest.NewRecorder(), request)
}

func (h *halting) tail() string { return strings.Join(h.lines[max(0, len(h.lines)-40):], "\n") }

// wrongAtRest is what differs between what is on record and what GitHub shows, once
// nothing is left to do.
func (h *halting) wrongAtRest() (lines []string) {
	inForce := h.server.inForce()
	for _, sw := range inForce {
		if sw.State == killswitch.StateOn && sw.Number == 0 && !sw.Agents && !sw.Lock.Enforced {
			lines = append(lines, fmt.Sprintf("%s is on and not locked: %+v %v", sw.Scope, sw.Lock, sw.Problems))
		}
	}
	for _, issue := range h.carriers() {
		is := func(sw killswitch.Switch) bool {
			if issue.Repository().Name() == ".github" {
				return sw.IsOrganization()
			}
			return sw.Repository.ID == issue.Repository().ID() && sw.Number == 0
		}
		if !slices.ContainsFunc(inForce, is) {
			lines = append(lines, fmt.Sprintf("%s#%d carries %v and stops nothing", issue.Repository().Name(), issue.Number(), issue.Labels()))
		}
	}
	for _, pr := range h.pulls {
		if pr.State() == "open" {
			lines = append(lines, h.wrongGate(pr, inForce)...)
		}
	}
	return lines
}

// wrongGate is what an open pull request shows that it should not: nobody has to
// approve it, so that it may be merged unless a switch reaches it.
func (h *halting) wrongGate(pr *githubsim.PullRequest, inForce []killswitch.Switch) []string {
	at, reached := scopeOf(pr), false
	for _, sw := range inForce {
		if !sw.Covers(at) {
			continue
		}
		if sw.State == killswitch.StateReleasing {
			return []string{fmt.Sprintf("%s is still being started again: %v", sw.Scope, sw.Problems)}
		}
		reached = true
	}
	shows, merge := shown(newestRun(h.testWorld, pr)), pr.Mergeability(h.github.User("ann"))
	if reached == (shows == "open") || reached == merge.Allowed {
		return []string{fmt.Sprintf("%s#%d is stopped: %t, its check is %s (%s), and merge is allowed: %t (%v)",
			pr.Repository().Name(), pr.Number(), reached, shows, h.check(pr), merge.Allowed, merge.Reasons)}
	}
	return nil
}

func scopeOf(pr *githubsim.PullRequest) killswitch.Scope {
	return killswitch.PullRequest(policy.PullRequestRef{
		Repository: policy.Repository{Owner: "acme", ID: pr.Repository().ID(), Name: pr.Repository().Name()}, Number: pr.Number(),
	})
}
