package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// TestWorkflowsAgree does the same to the workflow in memory and to the store:
// whatever it is, both answer the same.
func TestWorkflowsAgree(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		kept := newDatabase(t)
		c := kept.clock
		memory := gate.NewMemoryApprovalWorkflow(c.Now)
		run := 0
		rapid.Check(t, func(t *rapid.T) {
			// Each run has requests of its own, because opening a database takes time.
			run++
			c.set(start)
			both := &pair{memory: memory, kept: kept, run: run}
			t.Repeat(map[string]func(*rapid.T){
				"request":  both.request,
				"approve":  both.approve,
				"reject":   both.reject,
				"withdraw": both.withdraw,
				"wait":     func(t *rapid.T) { c.pass(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second) },
				"":         both.agree,
			})
		})
	})
}

type pair struct {
	memory, kept gate.ApprovalWorkflow
	run          int
	// last is the id that was used last; the others did not change.
	last string
}

// few makes values that often meet.
func few(prefix string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(prefix, rapid.IntRange(1, 3).Draw(t, prefix)) })
}

// someTime is not always whole seconds: what a caller of the library gives need
// not come from GitHub.
var someTime = rapid.Custom(func(t *rapid.T) time.Time {
	at := seconds(rapid.IntRange(-10, 30).Draw(t, "second"))
	zone := rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 3600)}).Draw(t, "zone")
	return at.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "ms")) * 500 * time.Millisecond).In(zone)
})

var anyVote = rapid.Custom(func(t *rapid.T) policy.Vote {
	return policy.Vote{
		Source: rapid.SampledFrom([]string{"", "review:1", "review:2", "comment:1:0", "comment:1:1"}).Draw(t, "source"),
		By: policy.Actor{
			ID: rapid.Int64Range(0, 3).Draw(t, "voter"), Login: few("user").Draw(t, "login"),
			Kind: rapid.SampledFrom([]policy.ActorKind{policy.KindUser, policy.KindBot, ""}).Draw(t, "kind"),
		},
		Verdict: rapid.SampledFrom([]policy.Verdict{"", policy.VerdictWithdrawn}).Draw(t, "verdict"),
		Commit:  rapid.SampledFrom([]string{"", "c1", "c2", "c3"}).Draw(t, "commit"),
		At:      someTime.Draw(t, "at"),
		Reason:  rapid.SampledFrom([]string{"", "it’s broken; 'quoted' \"twice\"\nand 日本", "%s ? $1 \\"}).Draw(t, "reason"),
	}
})

var anyRequest = rapid.Custom(func(t *rapid.T) gate.ApprovalRequest {
	excluded := map[int64]string{}
	for _, account := range rapid.SliceOfNDistinct(rapid.Int64Range(1, 3), 0, 2, rapid.ID).Draw(t, "excluded") {
		excluded[account] = few("why").Draw(t, "why")
	}
	return gate.ApprovalRequest{
		Replaced: rapid.SampledFrom([]string{"", "c1", "c2", policy.UnknownCommit}).Draw(t, "replaced"),
		Subject:  few("acme/shop#").Draw(t, "subject"), Commit: rapid.SampledFrom([]string{"c1", "c2", "c3", ""}).Draw(t, "commit"),
		Since: someTime.Draw(t, "since"), Tier: rapid.SampledFrom(append(policy.ApprovalTiers(), "")).Draw(t, "tier"),
		Required: rapid.IntRange(0, 3).Draw(t, "required"), Excluded: excluded,
		ExpiresAfter: time.Duration(rapid.IntRange(0, 2).Draw(t, "expires")) * 15 * time.Second,
	}
})

func (p *pair) id(t *rapid.T) string {
	p.last = fmt.Sprintf("%d:%s", p.run, few("11#").Draw(t, "id"))
	return p.last
}

func (p *pair) request(t *rapid.T) {
	request := anyRequest.Draw(t, "request")
	request.ID = p.id(t)
	p.both(t, func(w gate.ApprovalWorkflow) error { return w.Request(context.Background(), request) })
}

func (p *pair) approve(t *rapid.T) {
	id, vote := p.id(t), anyVote.Draw(t, "vote")
	p.both(t, func(w gate.ApprovalWorkflow) error { return w.Approve(context.Background(), id, vote) })
}

func (p *pair) reject(t *rapid.T) {
	id, vote := p.id(t), anyVote.Draw(t, "vote")
	p.both(t, func(w gate.ApprovalWorkflow) error { return w.Reject(context.Background(), id, vote) })
}

func (p *pair) withdraw(t *rapid.T) {
	id, source := p.id(t), anyVote.Draw(t, "vote").Source
	p.both(t, func(w gate.ApprovalWorkflow) error {
		return w.Withdraw(context.Background(), id, source, policy.Actor{})
	})
}

func (p *pair) both(t *rapid.T, do func(gate.ApprovalWorkflow) error) {
	inMemory, kept := do(p.memory), do(p.kept)
	if kind(inMemory) != kind(kept) {
		t.Fatalf("memory returned %v, the store %v", inMemory, kept)
	}
}

// kind is what callers can tell errors apart by.
func kind(err error) string {
	var invalid *gate.InvalidVoteError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, gate.ErrUnknownRequest):
		return "unknown request"
	case errors.As(err, &invalid):
		return invalid.Error()
	default:
		return "another: " + err.Error()
	}
}

func (p *pair) agree(t *rapid.T) {
	inMemory, err1 := p.memory.State(context.Background(), p.last)
	kept, err2 := p.kept.State(context.Background(), p.last)
	if kind(err1) != kind(err2) || !sameState(inMemory, kept) {
		t.Fatalf("memory says %+v, %v\nthe store  %+v, %v", inMemory, err1, kept, err2)
	}
	status1, err1 := p.memory.Status(context.Background(), p.last)
	status2, err2 := p.kept.Status(context.Background(), p.last)
	if status1 != status2 || kind(err1) != kind(err2) {
		t.Fatalf("memory says %s, %v, the store %s, %v", status1, err1, status2, err2)
	}
}

func sameState(a, b gate.ApprovalState) bool {
	requests := a.Request.Since.Equal(b.Request.Since) && maps.Equal(a.Request.Excluded, b.Request.Excluded) &&
		fmt.Sprintf("%+v", timeless(a.Request)) == fmt.Sprintf("%+v", timeless(b.Request))
	return requests && slices.EqualFunc(a.Heads, b.Heads, func(a, b policy.Head) bool {
		return a.SHA == b.SHA && a.Since.Equal(b.Since) && a.By == b.By && a.Replaced == b.Replaced
	}) &&
		slices.EqualFunc(a.Votes, b.Votes, func(a, b policy.Vote) bool {
			sameTime := a.At.Equal(b.At)
			a.At, b.At = time.Time{}, time.Time{}
			return sameTime && a == b
		})
}

func timeless(r gate.ApprovalRequest) gate.ApprovalRequest {
	r.Since = time.Time{}
	return r
}
