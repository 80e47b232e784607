package audit_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func entry(action string) audit.Entry {
	return audit.Entry{At: noon, Actor: "alice", ActorID: 1, Action: action, Subject: "acme/shop#7", Commit: "a", Detail: "by review:1"}
}

// chain seals the entries one after the other.
func chain(entries ...audit.Entry) []audit.Entry {
	var previous audit.Entry
	sealed := make([]audit.Entry, len(entries))
	for i, e := range entries {
		previous = audit.Seal(previous, e)
		sealed[i] = previous
	}
	return sealed
}

func TestSeal(t *testing.T) {
	first := audit.Seal(audit.Entry{}, entry("approval.approve"))
	second := audit.Seal(first, entry("approval.approve"))
	zoned := entry("approval.approve")
	zoned.At = zoned.At.In(time.FixedZone("CET", 3600))
	dirty := entry("approval.approve")
	dirty.Sequence, dirty.Previous, dirty.Hash = 7, "x", "y"
	for name, test := range map[string]struct {
		got      audit.Entry
		sequence int64
		previous string
	}{
		"first":                        {first, 1, ""},
		"second":                       {second, 2, first.Hash},
		"another time zone":            {audit.Seal(audit.Entry{}, zoned), 1, ""},
		"what Seal sets is not read":   {audit.Seal(audit.Entry{}, dirty), 1, ""},
		"a sealed one is sealed again": {audit.Seal(first, first), 2, first.Hash},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.got
			if got.Sequence != test.sequence || got.Previous != test.previous || len(got.Hash) != 64 {
				t.Errorf("sealed as %d after %q: %q", got.Sequence, got.Previous, got.Hash)
			}
			same := first.Hash
			if test.sequence == 2 {
				same = second.Hash
			}
			if got.Hash != same {
				t.Errorf("the hash depends on more than the entry: %q", got.Hash)
			}
		})
	}
	if first.Hash == second.Hash {
		t.Error("the hash does not depend on the place in the chain")
	}
}

func TestVerify(t *testing.T) {
	good := chain(entry("approval.request"), entry("approval.approve"), entry("approval.reject"), entry("decision.closed"))
	changed := slices.Clone(good)
	changed[2].Detail = "by nobody"
	resealed := slices.Clone(good)
	resealed[1].Detail = "by nobody"
	resealed[1] = audit.Seal(resealed[0], resealed[1])
	for name, test := range map[string]struct {
		previous audit.Entry
		entries  []audit.Entry
		broken   int64 // at this entry; 0: not
		problem  string
	}{
		"empty":                          {audit.Entry{}, nil, 0, ""},
		"whole":                          {audit.Entry{}, good, 0, ""},
		"a page":                         {good[1], good[2:], 0, ""},
		"cut off at the end":             {audit.Entry{}, good[:2], 0, ""},
		"the page after the next":        {good[0], good[2:], 3, "follows entry 1"},
		"beheaded":                       {audit.Entry{}, good[1:], 2, "follows entry 0"},
		"a gap":                          {audit.Entry{}, slices.Concat(good[:1], good[2:]), 3, "follows entry 1"},
		"twice":                          {audit.Entry{}, slices.Concat(good[:2], good[1:]), 2, "follows entry 2"},
		"changed":                        {audit.Entry{}, changed, 3, "changed after it was written"},
		"changed and sealed again":       {audit.Entry{}, resealed, 3, "not the one it was written after"},
		"the page of another chain":      {chain(entry("a"), entry("b"))[1], good[2:], 3, "not the one it was written after"},
		"the first one after some other": {good[0], good[:1], 1, "follows entry 1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := audit.Verify(test.previous, test.entries)
			if test.broken == 0 {
				if err != nil {
					t.Errorf("it is broken: %v", err)
				}
				return
			}
			var broken *audit.BrokenChainError
			if !errors.As(err, &broken) || broken.Sequence != test.broken || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("the error is %v, want one at %d: %s", err, test.broken, test.problem)
			}
		})
	}
}
