package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// off takes the label off, which a server that runs takes as the operator's word: it
// decides every gate anew and lifts the lock. Without a server, it does that itself
// as far as it can.
func (b *breakGlass) off(ctx context.Context) error {
	scope, err := b.place(ctx)
	if err != nil {
		return err
	}
	home, carriers, err := b.carriers(ctx, scope)
	if err != nil {
		return err
	}
	for number, label := range carriers {
		if err := b.client.RemoveLabel(ctx, home, number, label); err != nil {
			return err
		}
		b.tell("the label %s is off %s#%d", label, home, number)
	}
	locks, held, err := b.locks(ctx, scope)
	if err != nil {
		return err
	}
	if b.withoutServer {
		return b.lift(ctx, scope, locks, home, carriers)
	}
	for deadline := time.Now().Add(b.wait); held != lockedNowhere && time.Now().Before(deadline); {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, held, err = b.locks(ctx, scope); err != nil {
			return err
		}
	}
	if held != lockedNowhere {
		b.tell("%s is still locked: no server has lifted the lock. Start one, or use --without-server", scope)
		return errReported
	}
	b.tell("%s is not locked", scope)
	return nil
}

// lift lifts the lock with no server: a check that is green was decided before the
// stop, and is made red first.
func (b *breakGlass) lift(ctx context.Context, scope killswitch.Scope, locks []killswitch.Lock, home policy.Repository, carriers map[int]string) error {
	closed, err := b.closeGreen(ctx, scope)
	if err != nil {
		return err
	}
	b.tell("%d checks that were green are red until a server decides them anew", closed)
	for _, lock := range locks {
		if _, err := (platform{b.client}).PutLock(ctx, scope.Repository, lock); err != nil && !isRefused(err) {
			return err
		}
	}
	if _, held, err := b.locks(ctx, scope); err != nil || held != lockedNowhere {
		return errors.Join(err, fmt.Errorf("%s is still locked", scope))
	}
	b.tell("%s is not locked", scope)
	if scope.Number != 0 {
		return nil
	}
	for number := range carriers {
		if err := b.closeIssue(ctx, policy.PullRequestRef{Repository: home, Number: number}); err != nil {
			return err
		}
	}
	return nil
}

// closeGreen makes the green checks in scope red, and counts them.
func (b *breakGlass) closeGreen(ctx context.Context, scope killswitch.Scope) (closed int, err error) {
	repositories := []policy.Repository{scope.Repository}
	if scope.IsOrganization() {
		if repositories, err = b.client.Repositories(ctx, scope.Repository.Installation); err != nil {
			return 0, err
		}
	}
	for _, repository := range repositories {
		heads, err := b.client.OpenHeads(ctx, repository)
		if err != nil {
			return closed, err
		}
		for number, head := range heads {
			if scope.Number != 0 && scope.Number != number {
				continue
			}
			decision := policy.Closed(head, "the kill switch was turned off from "+commandLine+"; a server decides this anew")
			was, err := b.client.CloseIfOpen(ctx, repository, decision.Check(b.settings.Check.Name, policy.PullRequestRef{Repository: repository, Number: number}, ""))
			if err != nil {
				return closed, err
			}
			if was {
				closed++
			}
		}
	}
	return closed, nil
}

func (b *breakGlass) closeIssue(ctx context.Context, issue policy.PullRequestRef) error {
	text := "Started again from " + commandLine
	if b.reason != "" {
		text += ": " + b.reason
	}
	now := time.Now()
	if err := b.client.Reply(ctx, issue, fmt.Sprintf("killswitch:off:%d", now.Unix()), now, text+"."); err != nil {
		return err
	}
	if err := b.client.SetIssueState(ctx, issue.Repository, issue.Number, false); err != nil {
		return err
	}
	b.tell("%s is closed", issue)
	return nil
}
