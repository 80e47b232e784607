package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// endedTogether is how many sandboxes are ended side by side on one provider.
const endedTogether = 16

// destroy destroys several, each whatever becomes of the others, and names those that are
// gone.
func destroy(ctx context.Context, boxes Sandbox, ids []string) (gone []string, _ error) {
	var mu sync.Mutex
	err := together(ids, endedTogether, func(id string) error {
		if err := boxes.Destroy(ctx, id); err != nil {
			return fmt.Errorf("destroy the sandbox %s: %w", id, err)
		}
		mu.Lock()
		defer mu.Unlock()
		gone = append(gone, id)
		return nil
	})
	return gone, err
}

// DestroyAll destroys these, each whatever becomes of the others, puts nothing on record
// and counts them.
func (l *Lifecycle) DestroyAll(ctx context.Context, those []Instance) (ended int, _ error) {
	byProvider := map[string][]string{}
	for _, is := range those {
		byProvider[is.Provider] = append(byProvider[is.Provider], is.ID)
	}
	var mu sync.Mutex
	err := l.each(func(name string) error {
		gone, err := destroy(ctx, l.boxes[name].Sandbox, byProvider[name])
		mu.Lock()
		defer mu.Unlock()
		ended += len(gone)
		return err
	})
	return ended, err
}

// Stop destroys everything in the scope, by the word of the backends. One that cannot be
// asked, or takes its time, does not keep the others.
func (l *Lifecycle) Stop(ctx context.Context, scope killswitch.Scope) (ended int, err error) {
	records, unread := l.config.Records.Sandboxes(ctx, scope)
	var mu sync.Mutex
	err = l.each(func(name string) error {
		n, err := l.boxes[name].Stop(ctx, scope)
		mu.Lock()
		ended += n
		mu.Unlock()
		if err != nil {
			return fmt.Errorf("stop the sandboxes on %s: %w", name, err) // what is not gone is not told to be
		}
		return together(on(records, name), endedTogether, func(record Record) error {
			return l.gone(ctx, record.Instance, Ending{Reason: "the kill switch"})
		})
	})
	errs := []error{unread, err}
	for _, record := range records {
		if _, has := l.boxes[record.Provider]; !has {
			errs = append(errs, fmt.Errorf("the sandbox %s may run until %s on %s, which this server does not have; end it there", record.ID, record.Deadline.UTC().Format(time.RFC3339), record.Provider))
		}
	}
	return ended, errors.Join(errs...)
}

// on are those on the provider.
func on(records []Record, provider string) []Record {
	return slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return r.Provider != provider })
}

// Ending is why a sandbox ends.
type Ending struct {
	Reason string
	By     policy.Actor
}

// End destroys a sandbox and tells of it.
func (l *Lifecycle) End(ctx context.Context, is Instance, end Ending) error {
	box, known := l.boxes[is.Provider]
	if !known {
		return fmt.Errorf("the sandbox %s is on %s, which this server does not have", is.ID, is.Provider)
	}
	if err := box.Destroy(ctx, is.ID); err != nil {
		return err
	}
	return l.gone(ctx, is, end)
}

// gone tells that a sandbox has ended, and keeps it last: what could not be told is told
// when the next sweep finds it gone.
func (l *Lifecycle) gone(ctx context.Context, is Instance, end Ending) error {
	if l.config.Ended != nil {
		if err := l.config.Ended(ctx, is, end.Reason); err != nil {
			return err
		}
	}
	return l.config.Records.ChangeSandbox(ctx, is.ID, func(r *Record) []audit.Entry {
		r.Status, r.Reason, r.EndedAt = StatusTerminated, end.Reason, l.config.Now()
		return []audit.Entry{l.entry("sandbox.ended", r.Instance, end.By, end.Reason)}
	})
}

// EndIn ends all in a repository, or with the id 0 all of the owner's.
func (l *Lifecycle) EndIn(ctx context.Context, repository policy.Repository, end Ending) error {
	scope := killswitch.Scope{Repository: repository}
	return l.each(func(name string) error {
		there, err := l.on(ctx, name)
		there = slices.DeleteFunc(there, func(is Instance) bool { return !is.In(scope) })
		return errors.Join(concerning(err, scope), together(there, endedTogether, func(is Instance) error { return l.End(ctx, is, end) }))
	})
}

// Review ends what runs on the pull request and may not any more. What cannot be judged
// stays as it is, and is an error.
func (l *Lifecycle) Review(ctx context.Context, on policy.PullRequestRef) error {
	records, err := l.Running(ctx, on)
	if err != nil {
		return err
	}
	return together(records, endedTogether, func(record Record) error { return l.review(ctx, record) })
}

// review asks whether a sandbox may run still, and ends it if it may not.
func (l *Lifecycle) review(ctx context.Context, record Record) error {
	err := l.permit(ctx, record)
	if refusal, refused := errors.AsType[*RefusedError](err); refused {
		return l.End(ctx, record.Instance, Ending{Reason: refusal.Why})
	}
	if err != nil {
		return fmt.Errorf("judge whether the sandbox %s may run: %w", record.ID, err)
	}
	return l.config.Records.ChangeSandbox(ctx, record.ID, func(r *Record) []audit.Entry {
		r.ReviewedAt = l.config.Now()
		return nil
	})
}

// permit is a [*RefusedError] for a sandbox that may not run any more.
func (l *Lifecycle) permit(ctx context.Context, is Record) error {
	place, found, err := l.config.GitHub.Reach(ctx, is.For.Repository)
	if err != nil {
		return err
	}
	if !found {
		return &RefusedError{fmt.Sprintf("the App cannot reach %s any more", is.For.Repository)}
	}
	launch, err := l.config.Judge.LaunchSandbox(ctx, policy.PullRequestRef{Repository: place, Number: is.For.Number}, policy.LaunchRequest{By: is.RequestedBy})
	switch {
	case err != nil:
		return err
	case !launch.Granted:
		return &RefusedError{launch.Why}
	case launch.HeadSHA != is.HeadSHA:
		return &RefusedError{fmt.Sprintf("the head is now %.7s, and it was started for %.7s", launch.HeadSHA, is.HeadSHA)}
	case launch.Rule.Provider != is.Provider:
		return &RefusedError{"the policy has sandboxes run elsewhere now"}
	case is.CreatedAt.Add(launch.Rule.Constraints.Timeout).Before(l.config.Now()):
		return &RefusedError{"the policy lets it run for a shorter time now"}
	case is.Held != nil && !is.Held.same(held(launch.Rule)):
		return &RefusedError{"the policy says something else now of what runs in it, and of what it may"}
	default:
		return nil
	}
}
