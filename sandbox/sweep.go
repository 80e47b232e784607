package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
)

const (
	// SweepEvery is how often it is looked at what runs.
	SweepEvery = 30 * time.Second
	// reviewEvery is how often it is asked whether a sandbox may still run, in case that
	// nothing told.
	reviewEvery = 2 * time.Minute
	// startTime is how old a sandbox is at least that does not run and is taken for left
	// behind by a process that is gone.
	startTime = time.Minute
	// makeTime is how long a provider may take to make one before it can be listed.
	makeTime = 5 * time.Minute
)

// Tender is a provider that has something to see to now and then.
type Tender interface {
	Tend(ctx context.Context) error
}

// Sweep ends what runs and may not, whatever was told and whoever started it: past its
// deadline, never started to the end, stopped, or not allowed any more. It keeps a record
// of what it finds without one, and closes those of what is gone. What it could not see to
// is an error, and keeps nothing else from being seen to; next is then set too, unless
// nothing could be.
func (l *Lifecycle) Sweep(ctx context.Context) (next time.Time, _ error) {
	if len(l.boxes) == 0 {
		return time.Time{}, nil
	}
	records, err := l.config.Records.Sandboxes(ctx, killswitch.Scope{})
	if err != nil {
		return time.Time{}, err
	}
	known := map[string]Record{}
	for _, record := range records {
		known[record.ID] = record
	}
	errs := []error{l.each(func(name string) error { return l.sweep(ctx, name, known) })}
	for _, record := range known {
		// What runs on a provider that this server has no more ends by itself.
		if _, has := l.boxes[record.Provider]; !has && !l.config.Now().Before(record.Deadline) {
			errs = append(errs, l.gone(ctx, record.Instance, Ending{Reason: "its time was over"}))
		}
	}
	return l.config.Now().Add(SweepEvery), errors.Join(errs...)
}

func (l *Lifecycle) sweep(ctx context.Context, provider string, known map[string]Record) error {
	there, unlisted := l.on(ctx, provider)
	errs := []error{unlisted}
	if tender, tends := l.boxes[provider].Sandbox.(Tender); tends {
		errs = append(errs, tender.Tend(ctx))
	}
	runs := map[string]bool{}
	for _, is := range there {
		runs[is.ID] = true
	}
	errs = append(errs, together(there, endedTogether, func(is Instance) error { return l.look(ctx, is, known[is.ID]) }))
	for id, record := range known {
		// What is not listed may be there still if not all could be.
		if unlisted == nil && record.Provider == provider && !runs[id] && l.config.Now().Sub(record.CreatedAt) > record.appears() {
			errs = append(errs, l.gone(ctx, record.Instance, Ending{Reason: "it was found to be gone"}))
		}
	}
	return errors.Join(errs...)
}

// appears is how long after it was asked for a sandbox may be on no backend's list: while
// it is made, nobody may see it.
func (r Record) appears() time.Duration {
	if r.Status == StatusIdle {
		return makeTime
	}
	return startTime
}

// look sees to one sandbox; record is the zero Record if there is none.
func (l *Lifecycle) look(ctx context.Context, is Instance, record Record) error {
	now := l.config.Now()
	if why := Overdue(is, now); why != "" {
		return l.End(ctx, is, Ending{Reason: why})
	}
	stopped, err := l.config.Switch.IsActive(ctx, is.For)
	if err != nil {
		return fmt.Errorf("ask the kill switch about the sandbox %s: %w", is.ID, err)
	}
	if stopped {
		return l.End(ctx, is, Ending{Reason: "the kill switch"})
	}
	if record.ID == "" {
		record = Record{Instance: is}
		if err := l.config.Records.AdoptSandbox(ctx, record, l.entry("sandbox.found", is, is.RequestedBy, "it runs, and no record told of it")); err != nil {
			return err
		}
	}
	if is.Status != StatusRunning || now.Sub(record.ReviewedAt) < reviewEvery {
		return nil
	}
	record.Instance = is.with(record.Instance)
	return l.review(ctx, record)
}

// Overdue says why a sandbox is ended without asking anybody, or returns "".
func Overdue(is Instance, now time.Time) string {
	switch {
	case is.For.Repository.ID == 0 || is.Deadline.IsZero():
		return "it does not tell whose it is, or until when it may run"
	case !now.Before(is.Deadline):
		return "its time was over"
	case is.Status != StatusRunning && now.Sub(is.CreatedAt) > startTime && now.After(is.StartBy):
		return "it was not started, or has ended"
	default:
		return ""
	}
}

// Reap destroys what is overdue, and asks nobody: it is for a process that has nothing
// but the provider. ended are those that it has destroyed, with why.
func Reap(ctx context.Context, boxes Sandbox, now time.Time) (ended map[string]string, _ error) {
	there, unlisted := boxes.List(ctx)
	reasons := map[string]string{}
	for _, is := range there {
		if why := Overdue(is, now); why != "" {
			reasons[is.ID] = why
		}
	}
	gone, err := destroy(ctx, boxes, slices.Sorted(maps.Keys(reasons)))
	ended = map[string]string{}
	for _, id := range gone {
		ended[id] = reasons[id]
	}
	errs := []error{unlisted, err}
	if tender, tends := boxes.(Tender); tends {
		errs = append(errs, tender.Tend(ctx))
	}
	return ended, errors.Join(errs...)
}
