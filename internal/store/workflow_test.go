package store_test

import (
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/postgrestest"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

// implementations are what the suite runs over.
var implementations = map[string]func(*testing.T, *clock) gate.ApprovalWorkflow{
	"memory": func(_ *testing.T, c *clock) gate.ApprovalWorkflow { return gate.NewMemoryApprovalWorkflow(c.Now) },
	"sqlite file": func(t *testing.T, c *clock) gate.ApprovalWorkflow {
		return openWorkflow(t, "sqlite:"+t.TempDir()+"/portcullis.db", c)
	},
	"postgres": func(t *testing.T, c *clock) gate.ApprovalWorkflow {
		return openWorkflow(t, postgrestest.Shared(t).Database(t), c)
	},
	"sqlite in memory": func(t *testing.T, c *clock) gate.ApprovalWorkflow { return openWorkflow(t, "sqlite::memory:", c) },
}

func openWorkflow(t *testing.T, url string, c *clock) gate.ApprovalWorkflow {
	opened, err := store.Open(t.Context(), url, c.Now)
	must(t, err)
	t.Cleanup(func() { must(t, opened.Close()) })
	return opened
}

const id = "11#7"

// workflow is an implementation with words to write scenarios in. A step that
// fails ends the test.
type workflow struct {
	gate.ApprovalWorkflow
	*testing.T
	clock *clock
}

// seconds is that long after the start.
func seconds(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }

// ask opens the request for the commit, as of that second: one approval, peer
// review, unless changed otherwise.
func (w workflow) ask(commit string, since int, change ...func(*gate.ApprovalRequest)) {
	w.Helper()
	request := gate.ApprovalRequest{
		ID: id, Subject: "acme/shop#7", Commit: commit, Since: seconds(since), Tier: policy.TierPeerReview, Required: 1,
	}
	for _, c := range change {
		c(&request)
	}
	must(w.T, w.Request(w.Context(), request))
}

func vote(source, login, commit string, second int) policy.Vote {
	accounts := map[string]int64{"alice": 1, "bob": 2, "carol": 3}
	return policy.Vote{
		Source: source, By: policy.Actor{ID: accounts[login], Login: login, Kind: policy.KindUser}, Commit: commit, At: seconds(second),
	}
}

func (w workflow) approve(source, login, commit string, second int) {
	w.Helper()
	must(w.T, w.Approve(w.Context(), id, vote(source, login, commit, second)))
}

func (w workflow) reject(source, login string, second int) {
	w.Helper()
	must(w.T, w.Reject(w.Context(), id, vote(source, login, "", second)))
}

// giver is whose vote the source carries, nobody if it is not known.
func (w workflow) giver(source string) policy.Actor {
	for _, v := range w.state().Votes {
		if v.Source == source {
			return v.By
		}
	}
	return policy.Actor{}
}

func (w workflow) withdraw(source string) {
	w.Helper()
	must(w.T, w.Withdraw(w.Context(), id, source, w.giver(source)))
}

func (w workflow) is(want gate.ApprovalStatus) {
	w.Helper()
	got, err := w.Status(w.Context(), id)
	must(w.T, err)
	if got != want {
		w.Fatalf("the status is %s, want %s", got, want)
	}
}

func (w workflow) state() gate.ApprovalState {
	w.Helper()
	state, err := w.State(w.Context(), id)
	must(w.T, err)
	return state
}
