package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
)

// endings are what ends a sandbox.
var endings = map[string]struct {
	happens func(tw *testWorld, pr *githubsim.PullRequest) error
	// why is what the audit log says, and unheard what it may say where no webhook told, if
	// that is something else.
	why     string
	unheard []string
}{
	"the pull request is closed": {why: "the pull request is closed", happens: func(tw *testWorld, pr *githubsim.PullRequest) error { return pr.Close(tw.github.User("ann")) }},
	"it is pushed to": {why: "peer-review: 1 more approval from anyone with write", happens: func(tw *testWorld, _ *githubsim.PullRequest) error {
		_, err := tw.shop.Push(tw.github.User("ann"), "typo", githubsim.Commit{Message: "more", Files: map[string]string{"README.md": "# Shops\n"}})
		return err
	}},
	"the approval goes": {why: "peer-review: 1 more approval from anyone with write", happens: func(tw *testWorld, pr *githubsim.PullRequest) error {
		_, err := pr.Comment(tw.github.User("bob"), "/unapprove")
		return err
	}},
	"a kill switch falls": {why: "the kill switch", unheard: []string{"the kill switch", "stopped (acme/shop): Stop"}, happens: func(tw *testWorld, _ *githubsim.PullRequest) error {
		tw.halts(tw.shop, "bob", "Stop", switchLabel)
		return nil
	}},
	"the policy allows none": {why: "the policy allows no sandboxes", happens: func(tw *testWorld, _ *githubsim.PullRequest) error { tw.set(switchPolicy); return nil }},
	"the policy allows less": {why: "the policy says something else now of what runs in it", happens: func(tw *testWorld, _ *githubsim.PullRequest) error {
		tw.set(strings.Replace(sandboxPolicy, "constraints: {", "constraints: {memory_mb: 256, ", 1))
		return nil
	}},
	"the policy says elsewhere": {why: "the policy has sandboxes run elsewhere now", happens: func(tw *testWorld, _ *githubsim.PullRequest) error {
		tw.set(strings.Replace(sandboxPolicy, "docker", "kubernetes", 1))
		return nil
	}},
	"the policy gives less time": {why: "the policy lets it run for a shorter time now", happens: func(tw *testWorld, _ *githubsim.PullRequest) error {
		tw.set(strings.Replace(sandboxPolicy, "timeout: 10m", "timeout: 1m", 1))
		return nil
	}},
	"the repository is archived": {why: "acme/shop was archived", unheard: []string{"the App cannot reach acme/shop any more"}, happens: func(tw *testWorld, _ *githubsim.PullRequest) error { tw.shop.Archive(); return nil }},
	"the repository is transferred": {why: "acme/shop was taken from the App", unheard: []string{"the App cannot reach acme/shop any more"}, happens: func(tw *testWorld, _ *githubsim.PullRequest) error {
		tw.shop.Transfer(tw.github.CreateOrganization("elsewhere"))
		return nil
	}},
	"the App is suspended": {why: "the App's installation in acme was ended or suspended", unheard: []string{"the App cannot reach acme/shop any more"}, happens: func(tw *testWorld, _ *githubsim.PullRequest) error { tw.installation.Suspend(); return nil }},
	"the App is removed":   {why: "the App's installation in acme was ended or suspended", unheard: []string{"the App cannot reach acme/shop any more"}, happens: func(tw *testWorld, _ *githubsim.PullRequest) error { tw.installation.Delete(); return nil }},
}

func TestWhatEndsASandbox(t *testing.T) {
	t.Parallel()
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			options := atOnce
			options.Now, options.tokenNow = c.now, time.Now
			tw, boxes := boxed(t, options)
			pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
			tw.comment(pr, "bob", "/approve")
			tw.started(pr)
			c.pass(2 * time.Minute)
			tw.must(ending.happens(tw, pr))
			tw.settled()
			if n := running(t, boxes); n != 0 {
				t.Errorf("%d run", n)
			}
			wantText(t, tw.entries("sandbox.ended"), ": "+ending.why)
			if left, err := tw.server.store.Sandboxes(t.Context(), killswitch.Scope{}); err != nil || len(left) != 0 {
				t.Errorf("on record there is %+v, %v", left, err)
			}
		})
	}
}

// I17: the same, where no webhook told.
func TestI17ASandboxEndsThoughNobodyTells(t *testing.T) {
	t.Parallel()
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			options := atOnce
			options.Now, options.tokenNow, options.sweeping = c.now, time.Now, true
			options.Backoff = func(int) time.Duration { return time.Hour } // of what cannot be done any more
			tw, boxes := boxed(t, options)
			pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
			tw.comment(pr, "bob", "/approve")
			tw.started(pr)
			tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(githubsim.Delivery) bool { return true }})
			tw.must(ending.happens(tw, pr))
			c.pass(3 * time.Minute)
			for _, key := range []string{recovery.KeyReach, recovery.KeySwitches(tw.installation.ID()), recovery.KeySandboxes} {
				tw.sweep(key)
			}
			if n := running(t, boxes); n != 0 {
				t.Errorf("%d run after a sweep", n)
			}
			told := tw.entries("sandbox.ended")
			whys := ending.unheard
			if len(whys) == 0 {
				whys = []string{ending.why}
			}
			if !slices.ContainsFunc(whys, func(why string) bool { return strings.Contains(told, ": "+why) }) {
				t.Errorf("it is not told because of %q: %s", whys, told)
			}
		})
	}
}
