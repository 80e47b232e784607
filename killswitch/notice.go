package killswitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// clockSkew is how far GitHub's clock and ours may be apart.
const clockSkew = time.Minute

// maxTold is how many tamperings the issue tells of; the audit trail has all.
const maxTold = 10

// Notice is something that happened to the label of a switch.
type Notice struct {
	// Scope is what the switch stops.
	Scope   Scope
	Carrier Carrier
	// Title is the carrier's: the reason, if it is somebody's own issue.
	Title string
	By    policy.Actor
	// At is by GitHub's clock, HeardAt by ours.
	At, HeardAt time.Time
	// Branch is the default branch of the carrier's repository.
	Branch string
}

// Put is a label that was put on an issue or pull request, or one that was opened
// or reopened with it: whoever did that, it stops. Anybody can who may put labels.
func (k *GitHubKillSwitch) Put(ctx context.Context, n Notice) error {
	known, err := k.config.Store.Switch(ctx, n.Scope)
	if err != nil {
		// Unknown is on: what is thrown twice is thrown once.
		return errors.Join(fmt.Errorf("look up the kill switch of %s: %w", n.Scope, err), k.throw(ctx, n.Scope, n.thrown()))
	}
	own, err := k.own(ctx, n.By)
	if err != nil {
		return err
	}
	t := n.thrown()
	if own && known.State != StateOff && known.Carrier.is(n.Carrier) {
		return nil // it is put back
	}
	t.Opened = own && n.Scope.Number == 0
	if known.unclear(n.At) {
		if t.Verified, err = k.carries(ctx, n.Carrier); err != nil || !t.Verified {
			return err
		}
	}
	return k.throw(ctx, n.Scope, t)
}

func (n Notice) thrown() Thrown {
	return Thrown{
		By: n.By, Reason: strings.TrimSpace(strings.TrimPrefix(n.Title, titlePrefix)), At: n.At, HeardAt: n.HeardAt, Carrier: n.Carrier,
		Witness: Witness{Repository: n.Carrier.Repository, Branch: n.Branch},
	}
}

// unclear reports whether what GitHub says of that time may have been before the
// switch was last turned off, although it was after it was last thrown.
func (s *Switch) unclear(at time.Time) bool {
	switch s.State {
	case StateOff:
		return s.Period > 0 && at.Before(s.ReleasedAt.Add(clockSkew))
	case StateReleasing:
		return at.Before(s.ReleasingAt.Add(clockSkew))
	default:
		return false
	}
}

// carries reports whether the issue is open and has the label.
func (k *GitHubKillSwitch) carries(ctx context.Context, c Carrier) (bool, error) {
	issue, found, err := k.config.GitHub.Issue(ctx, c.Repository, c.Number)
	if err != nil {
		return false, fmt.Errorf("see whether %s carries the label %s: %w", c, c.Label, err)
	}
	return found && issue.Open && issue.carries(c.Label), nil
}

func (i Issue) carries(label string) bool {
	for _, own := range i.Labels {
		if strings.EqualFold(own, label) {
			return true
		}
	}
	return false
}

// own reports whether it was the App's own account.
func (k *GitHubKillSwitch) own(ctx context.Context, by policy.Actor) (bool, error) {
	if by.Kind == policy.KindUser {
		return false, nil
	}
	self, err := k.config.Self(ctx)
	if err != nil {
		return false, fmt.Errorf("find out who the App is: %w", err)
	}
	return strings.EqualFold(by.Login, self), nil
}

// Taken is a label that was taken off the carrier, or a carrier that was closed,
// deleted or transferred. Whoever may start again has asked to with that; of
// anybody else it is tampering. Either way the label is put back until the switch
// is off. done says in words what they did.
func (k *GitHubKillSwitch) Taken(ctx context.Context, n Notice, done string) error {
	sw, err := k.config.Store.Switch(ctx, n.Scope)
	if err != nil {
		return fmt.Errorf("look up the kill switch of %s: %w", n.Scope, err)
	}
	if sw.State != StateOn || !sw.Carrier.is(n.Carrier) || !n.At.After(sw.Since) {
		return nil
	}
	own, err := k.own(ctx, n.By)
	if err != nil {
		return err
	}
	if own {
		// Nothing of ours does that while it is on but the command line, with our key; a
		// release that was thrown back did it before.
		if sw.Unlabeled {
			return nil
		}
		if back, err := k.carries(ctx, sw.Carrier); err != nil || back {
			return err
		}
		return k.beginRelease(ctx, n.Scope, policy.Actor{Login: "the command line"})
	}
	var refusal *RefusedError
	var waiting *WaitingError
	switch err := k.ask(ctx, n.Scope, Request{By: n.By, At: n.At, said: n.Carrier.Repository}); {
	case errors.As(err, &refusal):
		if err := k.tampered(ctx, &sw, n.By, done); err != nil {
			return err
		}
		return k.tell(ctx, sw.Carrier, n, fmt.Sprintf("@%s %s, but may not start %s again: %s. The kill switch stays on.", n.By.Login, done, sw.Scope, refusal.Why))
	case errors.As(err, &waiting):
		return k.tell(ctx, sw.Carrier, n, fmt.Sprintf("@%s asked to start %s again. %s.", n.By.Login, sw.Scope, capital(waiting.Error())))
	case errors.Is(err, ErrNotActive):
		return nil
	default:
		return err
	}
}

// tell comments on the carrier. One that is gone cannot be told.
func (k *GitHubKillSwitch) tell(ctx context.Context, carrier Carrier, n Notice, text string) error {
	key := fmt.Sprintf("killswitch:%d:%d", n.At.Unix(), n.By.ID)
	err := k.config.GitHub.Reply(ctx, policy.PullRequestRef{Repository: carrier.Repository, Number: carrier.Number}, key, n.At, text)
	if gone(err) {
		return nil
	}
	return err
}

// gone reports whether GitHub does not have what was to be changed.
func gone(err error) bool {
	call, ok := errors.AsType[interface {
		error
		Gone() bool
	}](err)
	return ok && call.Gone()
}

// Tampered records that somebody changed a part of a switch that is on, as its
// ruleset: it is put back. While it is off, what they did is kept and left as it is:
// it may forbid merges, and whoever may change rulesets may do that.
func (k *GitHubKillSwitch) Tampered(ctx context.Context, scope Scope, by policy.Actor, done string) error {
	own, err := k.own(ctx, by)
	if err != nil || own {
		return err
	}
	sw, err := k.config.Store.Switch(ctx, scope)
	if err != nil {
		return err
	}
	if sw.State == StateOff {
		k.config.Log.Warn().Str("event", "killswitch.stray").Stringer("scope", scope).Str("by", by.Login).
			Msg(done + " while no kill switch is on: if merges are refused, `portcullis killswitch off` lifts the lock")
		return k.config.Store.Audit(ctx, k.entry("killswitch.stray", &sw, by, done+" while no kill switch is on"))
	}
	if err := k.tampered(ctx, &sw, by, done); err != nil || sw.Carrier.Number == 0 {
		return err
	}
	n := Notice{By: by, At: k.config.Now()}
	return k.tell(ctx, sw.Carrier, n, fmt.Sprintf("@%s %s while the kill switch is on. It is put back.", by.Login, done))
}

func (k *GitHubKillSwitch) tampered(ctx context.Context, sw *Switch, by policy.Actor, done string) error {
	k.config.Log.Warn().Str("event", "killswitch.tampered").Stringer("scope", sw.Scope).Str("by", by.Login).Msg(done)
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		now.Tampering = append(now.Tampering, by.String()+" "+done)
		now.Tampering = now.Tampering[max(0, len(now.Tampering)-maxTold):]
		return true, []audit.Entry{k.entry("killswitch.tampered", now, by, done)}
	})
	if err != nil {
		return fmt.Errorf("record who tampered with the kill switch of %s: %w", sw.Scope, err)
	}
	return nil
}

// Unenforced are those of the switches whose scope the App cannot reach, because it is
// suspended or not installed any more: it works only in the active places.
func Unenforced(on []Switch, active []policy.Repository) []Switch {
	return slices.DeleteFunc(slices.Clone(on), func(sw Switch) bool {
		return slices.ContainsFunc(active, func(place policy.Repository) bool { return place.Installation == sw.Repository.Installation })
	})
}

// Lost records that the App was suspended or removed: nothing is enforced there any
// more, by whoever did that. What is on record as on stays on, for when it is back.
func (k *GitHubKillSwitch) Lost(ctx context.Context, installation int64, owner string, by policy.Actor, done string) error {
	k.config.Log.Error().Str("event", "killswitch.lost").Str("owner", owner).Str("by", by.Login).Str("action", done).
		Msg("the App was suspended or removed: no gate, no lock and no kill switch is enforced there")
	inForce, err := k.config.Store.InForce(ctx, Scope{})
	if err != nil {
		return fmt.Errorf("list the kill switches of %s: %w", owner, err)
	}
	for _, sw := range inForce {
		if sw.Repository.Installation != installation {
			continue
		}
		if err := k.config.Store.Audit(ctx, k.entry("killswitch.lost", &sw, by, done+": nothing is enforced")); err != nil {
			return fmt.Errorf("record that nothing enforces the kill switch of %s: %w", sw.Scope, err)
		}
	}
	return nil
}

func capital(sentence string) string {
	if sentence == "" {
		return ""
	}
	return strings.ToUpper(sentence[:1]) + sentence[1:]
}
