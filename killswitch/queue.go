package killswitch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// partQueue names the merge queue in the record and the issue.
const partQueue = "the merge queue"

// Queues works merge queues by the rule of a ruleset that is the repository's own:
// GitHub merges no entry of a queue of which none may be merged at once, and
// evicts none.
type Queues interface {
	// QueueLimits are how many entries each of the rulesets lets be merged at once.
	QueueLimits(ctx context.Context, repository policy.Repository) (map[int64]int, error)
	// SetQueueLimit changes that, and nothing else of the ruleset.
	SetQueueLimit(ctx context.Context, repository policy.Repository, ruleset int64, entries int) error
}

// PausedQueue is a merge queue that was paused, and what let it go on.
type PausedQueue struct {
	Ruleset int64
	Entries int
}

// pauseQueue pauses the repository's merge queue, if the policy asks for that. What
// it was is kept before it is changed.
func (k *GitHubKillSwitch) pauseQueue(ctx context.Context, sw Switch) error {
	if !sw.lockable() || sw.IsOrganization() || k.queueMode(sw.Scope) != policy.QueuePause {
		return nil
	}
	limits, err := k.config.GitHub.QueueLimits(ctx, sw.Repository)
	if err != nil {
		return fmt.Errorf("look for the merge queue of %s: %w", sw.Repository, err)
	}
	if len(limits) == 0 {
		return fmt.Errorf("%s: %w", sw.Repository, errNoQueue)
	}
	for ruleset, entries := range limits {
		if entries == 0 {
			continue
		}
		if err := k.keepPaused(ctx, sw, PausedQueue{ruleset, entries}); err != nil {
			return err
		}
		if err := k.config.GitHub.SetQueueLimit(ctx, sw.Repository, ruleset, 0); err != nil {
			return fmt.Errorf("pause the merge queue of %s: %w", sw.Repository, err)
		}
	}
	return nil
}

var errNoQueue = errors.New("no ruleset of its own has a merge queue that could be paused: entries fail, and leave it")

func (k *GitHubKillSwitch) keepPaused(ctx context.Context, sw Switch, queue PausedQueue) error {
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		known := slices.ContainsFunc(now.Paused, func(q PausedQueue) bool { return q.Ruleset == queue.Ruleset })
		if known || now.Period != sw.Period {
			return false, nil
		}
		now.Paused = append(now.Paused, queue)
		return true, []audit.Entry{k.entry("killswitch.queue_paused", now, policy.Actor{}, "")}
	})
	return err
}

// resumeQueue lets go on what was paused. One that somebody changed meanwhile is left
// alone.
func (k *GitHubKillSwitch) resumeQueue(ctx context.Context, sw Switch) error {
	if len(sw.Paused) == 0 {
		return nil
	}
	limits, err := k.config.GitHub.QueueLimits(ctx, sw.Repository)
	if err != nil {
		return fmt.Errorf("look for the merge queue of %s: %w", sw.Repository, err)
	}
	for _, queue := range sw.Paused {
		if now, there := limits[queue.Ruleset]; !there || now != 0 {
			continue
		}
		if err := k.config.GitHub.SetQueueLimit(ctx, sw.Repository, queue.Ruleset, queue.Entries); err != nil {
			return fmt.Errorf("let the merge queue of %s go on: %w", sw.Repository, err)
		}
	}
	return nil
}
