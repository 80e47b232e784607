package killswitch

import (
	"context"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// carry sees to it that a switch which is on has a label on something that is open.
// What somebody took off, and no webhook told, is found here.
func (k *GitHubKillSwitch) carry(ctx context.Context, sw Switch) error {
	carrier := sw.Carrier
	if carrier.Number == 0 && sw.Number != 0 {
		carrier = Carrier{Repository: sw.Repository, Number: sw.Number, Label: k.labelsOf(sw)[0]}
	}
	if carrier.Number != 0 {
		issue, found, err := k.config.GitHub.Issue(ctx, carrier.Repository, carrier.Number)
		switch {
		case err != nil:
			return fmt.Errorf("look at %s: %w", carrier, err)
		case found:
			return k.restore(ctx, sw, carrier, issue)
		case sw.Number != 0:
			return nil // a pull request that is gone merges nothing
		}
	}
	return k.newCarrier(ctx, sw)
}

// restore puts back what is missing on the carrier.
func (k *GitHubKillSwitch) restore(ctx context.Context, sw Switch, carrier Carrier, issue Issue) error {
	open, labeled := issue.Open || sw.Number != 0, issue.carries(carrier.Label)
	if open && labeled {
		return k.keepCarrier(ctx, sw, carrier)
	}
	if sw.Carrier.Number != 0 {
		if asked, err := k.untold(ctx, sw, open); err != nil || asked {
			return err
		}
	}
	if !open {
		if err := k.config.GitHub.SetIssueState(ctx, carrier.Repository, carrier.Number, true); err != nil {
			return fmt.Errorf("open %s again: %w", carrier, err)
		}
	}
	if !labeled {
		if err := k.config.GitHub.AddLabel(ctx, carrier.Repository, carrier.Number, carrier.Label); err != nil {
			return fmt.Errorf("put the label %s on %s: %w", carrier.Label, carrier, err)
		}
	}
	return k.keepCarrier(ctx, sw, carrier)
}

// untold finds out who took the label off, or closed the issue, and takes it as if
// it had been told. It reports whether that begins to start again.
func (k *GitHubKillSwitch) untold(ctx context.Context, sw Switch, open bool) (bool, error) {
	by, at, found, err := k.config.GitHub.WhoTook(ctx, sw.Carrier, sw.last())
	if err != nil {
		return false, fmt.Errorf("find out who took the label off %s: %w", sw.Carrier, err)
	}
	if !found {
		return false, nil
	}
	done := "took the label off"
	if !open {
		done = "closed the issue"
	}
	if err := k.Taken(ctx, Notice{Scope: sw.Scope, Carrier: sw.Carrier, By: by, At: at, HeardAt: k.config.Now()}, done); err != nil {
		return false, err
	}
	now, err := k.config.Store.Switch(ctx, sw.Scope)
	return now.State != StateOn, err
}

// newCarrier finds an issue with the label, if it may be one that is there, or opens
// one.
func (k *GitHubKillSwitch) newCarrier(ctx context.Context, sw Switch) error {
	home, err := k.home(ctx, sw.Scope)
	if err != nil {
		return err
	}
	labels := k.labelsOf(sw)
	for _, label := range labels {
		if k.config.OwnIssue {
			break
		}
		issues, err := k.config.GitHub.FindIssues(ctx, home, label)
		if err != nil {
			return fmt.Errorf("look for an issue with the label %s in %s: %w", label, home, err)
		}
		if len(issues) > 0 {
			return k.keepCarrier(ctx, sw, Carrier{Repository: home, Number: issues[0].Number, Label: label})
		}
	}
	number, err := k.config.GitHub.OpenIssue(ctx, home, sw.title(), sw.section(k.config.Now(), "", nil, 0), labels[0])
	if err != nil {
		return fmt.Errorf("open the issue of the kill switch of %s: %w", sw.Scope, err)
	}
	return k.keepCarrier(ctx, sw, Carrier{Repository: home, Number: number, Label: labels[0]})
}

func (k *GitHubKillSwitch) keepCarrier(ctx context.Context, sw Switch, carrier Carrier) error {
	if sw.Carrier == carrier && !sw.Unlabeled {
		return nil
	}
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		if now.Period != sw.Period || now.State == StateOff {
			return false, nil
		}
		now.Carrier, now.Unlabeled = carrier, false
		return true, []audit.Entry{k.entry("killswitch.label", now, policy.Actor{}, carrier.Label+" on "+carrier.String())}
	})
	return err
}

// labelsOf are the names that the label of the switch may have, the one to put first.
func (k *GitHubKillSwitch) labelsOf(sw Switch) []string {
	k.mu.RLock()
	rules, known := k.labels[sw.Whole().place()]
	if !known && sw.Number != 0 {
		rules = k.labels[Scope{Repository: sw.Repository}.place()]
	}
	k.mu.RUnlock()
	return rules.AllLabels(sw.Agents)
}

// tellIssue brings the issue's text up to date. The text of a pull request is left
// alone: its check says the same.
func (k *GitHubKillSwitch) tellIssue(ctx context.Context, scope Scope) error {
	sw, err := k.config.Store.Switch(ctx, scope)
	if err != nil || scope.Number != 0 || sw.Carrier.Number == 0 || sw.State == StateOff {
		return err
	}
	rules, err := k.rules(ctx, scope)
	if err != nil {
		return err
	}
	missing, err := k.missing(ctx, &sw, rules)
	if err != nil {
		return err
	}
	left, _, err := k.config.Gates.MarkedGates(ctx, scope)
	if err != nil {
		return err
	}
	section := sw.section(k.config.Now(), rules.Releasers(), missing, left)
	if err := k.config.GitHub.PutIssueSection(ctx, sw.Carrier.Repository, sw.Carrier.Number, section); err != nil && !gone(err) {
		return fmt.Errorf("bring %s up to date: %w", sw.Carrier, err)
	}
	return nil
}

// lasted is a duration for people.
func lasted(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
