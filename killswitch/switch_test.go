package killswitch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
)

var nine = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

func at(minute int) time.Time { return nine.Add(time.Duration(minute) * time.Minute) }

func thrown(login string, minute int) killswitch.Thrown {
	return killswitch.Thrown{By: person(login), Reason: "because of " + login, At: at(minute), HeardAt: at(minute)}
}

// TestWhatIsOldChangesNothing: GitHub delivers twice, late and in another order.
func TestWhatIsOldChangesNothing(t *testing.T) {
	sw := killswitch.Switch{Scope: shop}
	changed := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s changed it: %t, want %t; it is %q", what, got, want, sw.State)
		}
	}
	changed("the first stop", sw.Throw(thrown("ann", 1)), true)
	changed("the same delivery again", sw.Throw(thrown("ann", 1)), false)
	changed("another reason", sw.Throw(thrown("bob", 2)), true)
	if got := sw.Stop().Reason; got != "because of ann; because of bob" {
		t.Errorf("the reason is %q", got)
	}
	changed("a request from before the stop", sw.Ask(killswitch.Request{By: person("sue"), At: at(0)}), false)
	changed("a request", sw.Ask(killswitch.Request{By: person("sue"), At: at(3)}), true)
	changed("the same person's again", sw.Ask(killswitch.Request{By: person("sue"), At: at(4)}), false)
	changed("an old stop", sw.Throw(thrown("bob", 2)), false)
	if len(sw.Requests) != 1 {
		t.Errorf("an old stop voids requests: %v", sw.Requests)
	}
	changed("a new stop", sw.Throw(thrown("lee", 5)), true)
	if len(sw.Requests) != 0 {
		t.Errorf("a new stop leaves requests: %v", sw.Requests)
	}
	sw.Ask(killswitch.Request{By: person("sue"), At: at(6)})
	changed("the begin of the release", sw.BeginRelease(at(7)), true)
	changed("it once more", sw.BeginRelease(at(7)), false)
	changed("a stop from before the request", sw.Throw(thrown("bob", 5)), false)
	sw.SoftAt, sw.Carrier = at(2), killswitch.Carrier{Number: 3}
	second := thrown("bob", 6)
	second.Carrier = sw.Carrier
	changed("a stop in the second of the request, by what carries it", sw.Throw(second), false)
	second.Carrier.Number = 4
	changed("a stop in the second of the request, elsewhere", sw.Throw(second), true)
	if sw.State != killswitch.StateOn || len(sw.Requests) != 0 || !sw.SoftAt.IsZero() || !sw.GreenAt.Equal(at(6)) || sw.Turn != 3 {
		t.Errorf("it is %q with %v, soft at %s, turned %d times", sw.State, sw.Requests, sw.SoftAt, sw.Turn)
	}
	sw.BeginRelease(at(7))
	changed("a stop during the release", sw.Throw(thrown("bob", 8)), true)
	sw.Ask(killswitch.Request{By: person("sue"), At: at(8)})
	sw.Ask(killswitch.Request{By: person("carol"), At: at(9)})
	sw.BeginRelease(at(9))
	between := thrown("lee", 8)
	between.At = between.At.Add(time.Second)
	changed("a stop between two requests, of which it is heard last", sw.Throw(between), true)
	if sw.State != killswitch.StateOn || len(sw.Requests) != 1 || sw.Requests[0].By != person("carol") {
		t.Errorf("it is %q with %v", sw.State, sw.Requests)
	}
	changed("it once more", sw.Throw(between), false)
	sw.BeginRelease(at(9))
	changed("the end", sw.Release(at(10)), true)
	changed("the end once more", sw.Release(at(10)), false)
	changed("the first delivery, days late", sw.Throw(thrown("ann", 1)), false)
	changed("the next stop", sw.Throw(thrown("ann", 11)), true)
	if sw.Period != 2 || sw.Stop().Reason != "because of ann" || len(sw.Again) != 0 || !sw.LockedAt.IsZero() {
		t.Errorf("a new period has something of the last one: %+v", sw)
	}
	sw.Release(at(12))
	old := thrown("ann", 1)
	old.Verified = true
	changed("a label that was seen since", sw.Throw(old), true)
}

func TestNamesOfScopesInWork(t *testing.T) {
	for _, scope := range []killswitch.Scope{acme, shop} {
		agents := scope
		agents.Agents = true
		if scope.WorkKey() != agents.WorkKey() || !killswitch.Owns(scope.WorkKey()) || killswitch.Place(scope.Ref()) != scope {
			t.Errorf("%s and %s are not the work of one place", scope, agents)
		}
	}
	if killswitch.Owns("pr:1#2") || !strings.HasPrefix(acme.WorkKey(), "switch:") {
		t.Error("work of others is taken for the switch's")
	}
}
