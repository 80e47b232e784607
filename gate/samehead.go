package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// A check belongs to a commit and not to a pull request. Pull requests with the
// same head therefore share one, and the strictest of their decisions stands.

// sharing lists the last decisions on the other open pull requests with that
// head: those that GitHub shows, and those that had it when they were decided
// last, since GitHub does not show all of them for a commit that was merged
// before. One that was not decided yet is undecided, and holds the gate.
func (g *Gate) sharing(ctx context.Context, ref policy.PullRequestRef, headSHA string, snapshot policy.Snapshot) ([]Decided, error) {
	others, err := g.Store.OthersAtHead(ctx, ref, headSHA)
	if err != nil {
		return nil, err
	}
	for _, number := range snapshot.SameHead {
		if !slices.ContainsFunc(others, func(d Decided) bool { return d.Ref.Number == number }) {
			others = append(others, Decided{
				Ref:      policy.PullRequestRef{Repository: ref.Repository, Number: number},
				Decision: policy.Decision{Outcome: policy.OutcomeWaiting, Fault: "it has not been decided yet"},
			})
		}
	}
	return others, nil
}

// leave asks for the pull requests to be decided anew that shared that head with
// this one, which was merged: its verdict does not stand for them any more.
func (g *Gate) leave(ctx context.Context, ref policy.PullRequestRef, headSHA string) error {
	others, err := g.Store.OthersAtHead(ctx, ref, headSHA)
	if err != nil {
		return err
	}
	for _, other := range others {
		g.seen.outdate(other.Ref)
		if err := g.Store.Evaluate(ctx, other.Ref); err != nil {
			return err
		}
	}
	return nil
}

// verdict is what a check says of all pull requests that share it.
type verdict struct {
	own, strictest Decided
	others         []Decided
}

func shared(own Decided, others []Decided) verdict {
	v := verdict{own: own, strictest: own, others: others}
	for _, other := range others {
		if other.Decision.Outcome < v.strictest.Decision.Outcome {
			v.strictest = other
		}
	}
	return v
}

func (v verdict) check(name, detailsURL string) policy.Check {
	check := v.strictest.Decision.Check(name, v.own.Ref, detailsURL)
	check.HeadSHA = v.own.Decision.HeadSHA
	if len(v.others) == 0 {
		return check
	}
	if v.strictest.Ref.Number != v.own.Ref.Number {
		check.Title = fmt.Sprintf("#%d has the same head: %s", v.strictest.Ref.Number, check.Title)
	}
	check.Summary = v.note() + check.Summary
	return check
}

func (v verdict) note() string {
	names := []string{fmt.Sprintf("#%d (%s)", v.own.Ref.Number, v.own.Decision.Outcome)}
	for _, other := range v.others {
		names = append(names, fmt.Sprintf("#%d (%s)", other.Ref.Number, other.Decision.Outcome))
	}
	slices.Sort(names)
	return fmt.Sprintf("This commit is the head of %s. A check belongs to a commit, so the strictest verdict stands for all of them; below is that on #%d.\n\n",
		strings.Join(names, ", "), v.strictest.Ref.Number)
}
