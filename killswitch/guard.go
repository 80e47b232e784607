package killswitch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// Guard tells which switches reach a pull request. Its error counts as on. Whoever
// opens, lends or starts anything asks it right before.
type Guard interface {
	// Known are the switches that are on or being lifted, by their keys. It is to be
	// asked before GitHub is read.
	Known(ctx context.Context) (map[string]bool, error)
	Stops(ctx context.Context, seen Sighting) ([]policy.Stop, error)
}

// Sighting is what a reading of GitHub shows of the switches that may reach a pull
// request.
type Sighting struct {
	Ref policy.PullRequestRef
	// Labels are the pull request's own, Flags the open issues with a label that may
	// be a switch.
	Labels []string
	Flags  []policy.Flag
	Rules  policy.SwitchRules
	// Known is what was known before it was read: a label may still show of a switch
	// that was on then and was turned off since.
	Known map[string]bool
}

// ErrUnsettled is returned for a reading that may be older than what is on record.
var ErrUnsettled = errors.New("the kill switch was turned off while GitHub was read")

// Stops returns the switches that reach the pull request: those on record, and
// those that the reading shows and nobody told of, which are on from then on.
func (k *GitHubKillSwitch) Stops(ctx context.Context, seen Sighting) ([]policy.Stop, error) {
	if len(seen.Rules.Labels) > 0 {
		k.Learn(seen.Ref.Repository, seen.Rules)
	}
	at := PullRequest(seen.Ref)
	at.Agents = true
	inForce, err := k.config.Store.InForce(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("ask for the kill switches of %s: %w", seen.Ref, err)
	}
	known := map[string]bool{}
	var stops []policy.Stop
	for _, sw := range inForce {
		known[sw.Key()] = true
		stops = append(stops, sw.Stop())
	}
	for _, n := range seen.notices() {
		if known[n.Scope.Key()] {
			continue
		}
		known[n.Scope.Key()] = true
		if seen.Known[n.Scope.Key()] {
			return nil, ErrUnsettled
		}
		t := n.thrown()
		t.Verified, t.At = true, k.config.Now()
		if err := k.throw(ctx, n.Scope, t); err != nil {
			return nil, err
		}
		sw := Switch{Scope: n.Scope}
		sw.Throw(t)
		stops = append(stops, sw.Stop())
	}
	return stops, nil
}

// Known are the switches that are on or being lifted.
func (k *GitHubKillSwitch) Known(ctx context.Context) (map[string]bool, error) {
	inForce, err := k.config.Store.InForce(ctx, Scope{})
	if err != nil {
		return nil, fmt.Errorf("ask which kill switches are on: %w", err)
	}
	known := map[string]bool{}
	for _, sw := range inForce {
		known[sw.Key()] = true
	}
	return known, nil
}

// notices are the switches that a reading shows.
func (s Sighting) notices() []Notice {
	var found []Notice
	for _, label := range s.Labels {
		if is, agents := s.Rules.Means(label); is {
			scope := PullRequest(s.Ref)
			scope.Agents = agents
			found = append(found, Notice{Scope: scope, Carrier: Carrier{Repository: s.Ref.Repository, Number: s.Ref.Number, Label: label}})
		}
	}
	for _, flag := range s.Flags {
		is, agents := s.Rules.Means(flag.Label)
		if !is {
			continue
		}
		n := Notice{Title: flag.Title, Carrier: Carrier{Repository: flag.Repository, Number: flag.Number, Label: flag.Label}}
		n.Scope = Scope{Repository: flag.Repository, Agents: agents}
		if flag.Organization {
			n.Scope = Organization(flag.Repository.Owner, s.Ref.Repository.Installation)
			n.Scope.Agents = agents
		}
		found = append(found, n)
	}
	return found
}

// LabelsOnly is a [Guard] that knows nothing but what a reading shows: for whoever
// only looks, and has no database.
type LabelsOnly struct{}

// Known are none.
func (LabelsOnly) Known(context.Context) (map[string]bool, error) { return map[string]bool{}, nil }

// Stops returns the switches that the reading shows.
func (LabelsOnly) Stops(_ context.Context, seen Sighting) ([]policy.Stop, error) {
	var stops []policy.Stop
	for _, n := range seen.notices() {
		sw := Switch{Scope: n.Scope}
		t := n.thrown()
		sw.Throw(t)
		stops = append(stops, sw.Stop())
	}
	return stops, nil
}

// Swept takes in what a sweep found in one repository, which is read whole: what
// nobody told of is on from then on. known is what was on before it was read.
func (k *GitHubKillSwitch) Swept(ctx context.Context, repository policy.Repository, found []policy.Flag, known map[string]bool) error {
	var errs []error
	for _, f := range found {
		is, agents := k.Means(repository, f.Label)
		if !is {
			continue
		}
		scope := Scope{Repository: repository, Agents: agents}
		switch {
		case f.PullRequest:
			scope.Number = f.Number
		case strings.EqualFold(repository.Name, k.config.OrganizationRepository):
			scope = Organization(repository.Owner, repository.Installation)
			scope.Agents = agents
		}
		if known[scope.Key()] {
			continue // it is compared by itself, or was turned off since
		}
		n := Notice{Title: f.Title, Carrier: Carrier{Repository: repository, Number: f.Number, Label: f.Label}}
		t := n.thrown()
		t.Verified, t.At = true, k.config.Now()
		errs = append(errs, k.throw(ctx, scope, t))
	}
	return errors.Join(errs...)
}
