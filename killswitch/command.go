package killswitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// Order is a /killswitch command.
type Order struct {
	// SwitchOrder is what it says.
	policy.SwitchOrder

	By policy.Actor
	// About is the issue or pull request on which it was given.
	About       policy.PullRequestRef
	PullRequest bool
	// At is when, by GitHub's clock; HeardAt by ours.
	At, HeardAt time.Time
	// Branch is the default branch of the repository.
	Branch string
}

// Scope is what the order is about, if it says so; of an order to start again that
// does not, the second result is false.
func (k *GitHubKillSwitch) Scope(o Order) (Scope, bool) {
	whole := Scope{Repository: o.About.Repository}
	if strings.EqualFold(o.About.Repository.Name, k.config.OrganizationRepository) {
		whole = Organization(o.About.Repository.Owner, o.About.Repository.Installation)
	}
	switch said := o.SwitchOrder; said.Scope {
	case policy.SwitchPullRequest:
		return PullRequest(o.About), true
	case policy.SwitchOrganization:
		return Organization(o.About.Repository.Owner, o.About.Repository.Installation), true
	case policy.SwitchAgents:
		whole.Agents = true
		return whole, true
	case policy.SwitchRepository:
		return whole, true
	default:
		return whole, o.Verb == policy.SwitchOn
	}
}

// Obey does what the order says, as far as its giver may, and returns the switch
// that it is about. It returns a [*RefusedError] for an order that has no effect, and
// a [*WaitingError] for one to start again that needs others as well.
func (k *GitHubKillSwitch) Obey(ctx context.Context, o Order) error {
	switch o.Verb {
	case policy.SwitchStatus:
		return nil
	case policy.SwitchOff:
		scope, err := k.meant(ctx, o)
		if err != nil {
			return err
		}
		err = k.ask(ctx, scope, Request{By: o.By, At: o.At, Reason: o.Reason, said: o.About.Repository})
		if errors.Is(err, ErrNotActive) {
			return &RefusedError{Why: "the kill switch of " + scope.String() + " is not on"}
		}
		return err
	default:
		return k.obeyStop(ctx, o)
	}
}

func (k *GitHubKillSwitch) obeyStop(ctx context.Context, o Order) error {
	scope, _ := k.Scope(o)
	if scope.Number != 0 && !o.PullRequest {
		return &RefusedError{Why: "this is no pull request; write `/killswitch repo` or `/killswitch org`"}
	}
	// A policy that cannot be read does not keep anybody from stopping: the built-in
	// one holds then.
	rules, _ := k.rules(ctx, scope)
	standing, err := k.standing(ctx, scope, rules, o.By)
	if err != nil {
		return err
	}
	if why := rules.MayStop(o.By, standing); why != "" {
		sw := Switch{Scope: scope}
		if err := k.config.Store.Audit(ctx, k.entry("killswitch.on_refused", &sw, o.By, why)); err != nil {
			return err
		}
		return &RefusedError{Why: why}
	}
	t := Thrown{By: o.By, Reason: o.Reason, At: o.At, HeardAt: o.HeardAt, Verified: true, Witness: Witness{Repository: o.About.Repository, Branch: o.Branch}}
	if scope.Number != 0 {
		t.Carrier = Carrier{Repository: o.About.Repository, Number: o.About.Number, Label: k.labelsOf(Switch{Scope: scope})[0]}
	}
	return k.throw(ctx, scope, t)
}

// meant is the scope that an order to start again is about: the one it names, the
// one whose label this carries, or the only one that stops what it stands on.
func (k *GitHubKillSwitch) meant(ctx context.Context, o Order) (Scope, error) {
	if scope, said := k.Scope(o); said {
		return scope, nil
	}
	here, err := k.here(ctx, o)
	if err != nil {
		return Scope{}, err
	}
	for _, sw := range here {
		if sw.Carrier.Repository.ID == o.About.Repository.ID && sw.Carrier.Number == o.About.Number {
			return sw.Scope, nil
		}
	}
	switch len(here) {
	case 0:
		return Scope{}, &RefusedError{Why: "the kill switch is not on here"}
	case 1:
		return here[0].Scope, nil
	}
	var each []string
	for _, sw := range here {
		each = append(each, fmt.Sprintf("`/killswitch off %s` (%s)", sw.word(), sw.Scope))
	}
	return Scope{}, &RefusedError{Why: "several are on here; say which: " + strings.Join(each, ", ")}
}

// here are the switches that stop what the order stands on.
func (k *GitHubKillSwitch) here(ctx context.Context, o Order) ([]Switch, error) {
	at := Scope{Repository: o.About.Repository}
	if o.PullRequest {
		at = PullRequest(o.About)
	}
	at.Agents = true
	found, err := k.config.Store.InForce(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("list the kill switches of %s: %w", at, err)
	}
	slices.SortFunc(found, func(a, b Switch) int { return widestFirst(b, a) })
	return found, nil
}

func (s Scope) word() policy.SwitchScope {
	switch {
	case s.Agents:
		return policy.SwitchAgents
	case s.Number != 0:
		return policy.SwitchPullRequest
	case s.IsOrganization():
		return policy.SwitchOrganization
	default:
		return policy.SwitchRepository
	}
}

// Told says what holds where the order was given, for its giver.
func (k *GitHubKillSwitch) Told(ctx context.Context, o Order) (string, error) {
	here, err := k.here(ctx, o)
	if err != nil {
		return "", err
	}
	if len(here) == 0 {
		return "The kill switch is not on here.", nil
	}
	var lines []string
	for _, sw := range here {
		line := fmt.Sprintf("- **%s**", sw.Scope)
		if sw.State == StateReleasing {
			line += " is being started again"
		} else {
			line += " is stopped"
		}
		line += " since " + when(sw.HeardAt)
		if sw.By.Login != "" {
			line += " by " + text(sw.By.Login)
		}
		line += ": " + text(sw.Stop().Reason) + "."
		if sw.Carrier.Number != 0 {
			line += " " + sw.Carrier.String() + "."
		}
		line += " Merges: " + sw.merges(k.config.Now()) + "."
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), nil
}
