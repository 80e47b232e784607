package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/portcullis-app/portcullis/policy"
)

// Lend judges whether a credential may be lent on the pull request, by what GitHub says
// now. It writes nothing. An error means that it is not known, and nothing is lent.
func (g *Gate) Lend(ctx context.Context, ref policy.PullRequestRef, request policy.LoanRequest) (loan policy.Loan, _ error) {
	err := g.lend(ctx, ref,
		func(in policy.Input) (policy.Questions, error) { return in.LoanQuestions(request), nil },
		func(in policy.Input) (granted bool) {
			loan = policy.Lend(in, request)
			return loan.Granted
		})
	if err != nil {
		return policy.Loan{}, fmt.Errorf("judge whether the credential %s may be lent on %s: %w", request.Credential, ref, err)
	}
	return loan, nil
}

// LendTo is Lend for each credential that the policy lends to the environment.
func (g *Gate) LendTo(ctx context.Context, ref policy.PullRequestRef, request policy.LoanRequest, environment string) (loans []policy.Loan, _ error) {
	err := g.lend(ctx, ref,
		func(in policy.Input) (policy.Questions, error) {
			return in.LoanQuestionsTo(request, environment), nil
		},
		func(in policy.Input) (granted bool) {
			loans = policy.LendTo(in, request, environment)
			return slices.ContainsFunc(loans, func(l policy.Loan) bool { return l.Granted })
		})
	if err != nil {
		return nil, fmt.Errorf("judge what may be lent to the environment %s on %s: %w", environment, ref, err)
	}
	return loans, nil
}

// MayWrite reports whether the person may write to the repository, by what GitHub says
// now.
func (g *Gate) MayWrite(ctx context.Context, repository policy.Repository, person policy.Actor) (bool, error) {
	standing, err := g.GitHub.Standing(ctx, repository, person, policy.Ask{Permission: true})
	if err != nil {
		return false, fmt.Errorf("find out what %s may do in %s: %w", person, repository, err)
	}
	return standing.Permission >= policy.PermissionWrite, nil
}

// lend has judge judge what was read, and again what was read anew if something is
// granted on a reading that is not fresh.
func (g *Gate) lend(ctx context.Context, ref policy.PullRequestRef, questions func(policy.Input) (policy.Questions, error), judge func(policy.Input) bool) error {
	l := &look{Gate: g, ref: ref}
	err := l.first(ctx)
	for range maxLooks {
		if err != nil {
			return err
		}
		var in policy.Input
		if in, err = l.input(ctx, questions); err == nil {
			if granted := judge(in); !granted || l.Now().Sub(l.at) <= freshness {
				return nil
			}
			err = errMoved
		}
		if errors.Is(err, errMoved) {
			err = l.again(ctx)
		}
	}
	return errors.Join(err, errMoved)
}
