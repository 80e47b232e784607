package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	// concurrentWork is how many pull requests are worked on at once. Most of the
	// time they wait for GitHub, in two calls at a time.
	concurrentWork = 48
	// workTimeout bounds one round of work on one pull request.
	workTimeout = 2 * time.Minute
	// maxWait is the longest the workers sleep without looking: a wake-up that
	// was lost costs no more than that.
	maxWait = 10 * time.Second
)

// workers do the work that the store holds: one worker per pull request at a
// time, so that decisions on it are made one after the other.
type workers struct {
	store   *store.Store
	door    *handlers.Door
	gate    *gate.Gate
	log     zerolog.Logger
	now     func() time.Time
	backoff func(attempts int) time.Duration

	stopClaiming context.CancelFunc
	abandon      context.CancelFunc
	running      sync.WaitGroup
	slots        chan struct{}

	// settled is closed and replaced each time a piece of work ends.
	mu      sync.Mutex
	settled chan struct{}
}

func newWorkers(facts *store.Store, door *handlers.Door, keeper *gate.Gate, options Options) *workers {
	return &workers{
		store: facts, door: door, gate: keeper, log: options.Log, now: options.Now, backoff: options.Backoff,
		slots: make(chan struct{}, concurrentWork), settled: make(chan struct{}),
	}
}

// backoff doubles from a second to an hour.
func backoff(attempts int) time.Duration {
	const longest = time.Hour
	if attempts > 12 {
		return longest
	}
	return min(longest, time.Second<<attempts)
}

// start begins to claim work and returns at once.
func (w *workers) start() {
	claiming, stopClaiming := context.WithCancel(context.Background())
	working, abandon := context.WithCancel(w.log.WithContext(context.Background()))
	w.stopClaiming, w.abandon = stopClaiming, abandon
	w.running.Go(func() { w.claim(claiming, working) })
}

// stop claims nothing more and waits for running work. When ctx ends first, the
// work is interrupted and given back.
func (w *workers) stop(ctx context.Context) {
	if w.stopClaiming == nil {
		return
	}
	w.stopClaiming()
	finished := make(chan struct{})
	go func() { w.running.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-ctx.Done():
	}
	w.abandon()
	<-finished
}

// claim hands out work as it comes due, until ctx ends.
func (w *workers) claim(ctx, working context.Context) {
	for {
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		asked := w.now()
		work, ok, err := w.store.Claim(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Error().Err(err).Msg("work could not be claimed")
		}
		if ok {
			w.running.Go(func() {
				w.do(working, work)
				<-w.slots
				w.signal()
			})
			continue
		}
		<-w.slots
		if !w.sleep(ctx, asked) {
			return
		}
	}
}

// sleep waits until work may be due that was not when it was asked for; false
// means that ctx ended.
func (w *workers) sleep(ctx context.Context, asked time.Time) bool {
	wait := maxWait
	if due, ok, err := w.store.NextDue(ctx, asked); err == nil && ok {
		wait = max(0, min(wait, due.Sub(w.now())))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-w.store.Wake():
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// do does one piece of work and says how it ended: done, to be tried again, or,
// if the process is stopping, given back.
func (w *workers) do(ctx context.Context, work store.Work) {
	taken, err := w.attempt(ctx, work)
	switch {
	case err == nil:
		err = w.store.Done(ctx, work, taken)
	case ctx.Err() != nil:
		w.store.Release(work)
		return
	default:
		at := w.now().Add(w.backoff(work.Attempts))
		w.log.Warn().Err(err).Str("work", work.Key).Stringer("pr", work.Ref).Int("attempts", work.Attempts+1).Time("next", at).Msg("work failed and will be tried again")
		err = w.store.Retry(ctx, work, at, err.Error(), taken)
	}
	if err != nil {
		w.log.Error().Err(err).Str("work", work.Key).Msg("the end of work could not be recorded; it will be done again")
		w.pause(ctx)
	}
}

// pause keeps a database that cannot be written from being asked all the time.
func (w *workers) pause(ctx context.Context) {
	timer := time.NewTimer(w.backoff(1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// attempt takes the deliveries in the order in which they came, decides the
// pull request they were about, and answers who spoke. One delivery that fails
// does not keep the others, nor the decision, from being done. If nothing was
// delivered and nothing went wrong, GitHub is only asked what has changed. It
// returns the ids of the deliveries that are worked off, but for those that were
// answered, whose end is on record already.
func (w *workers) attempt(ctx context.Context, work store.Work) (done []string, _ error) {
	ctx, cancel := context.WithTimeoutCause(ctx, workTimeout, fmt.Errorf("work on %s took longer than %s", work.Key, workTimeout))
	defer cancel()
	deliveries, err := w.store.Deliveries(ctx, work.Key)
	if err != nil {
		return nil, err
	}
	var failed []error
	var waiting []unanswered
	for _, delivery := range deliveries {
		answer, err := w.take(ctx, delivery)
		switch {
		case err != nil:
			failed = append(failed, err)
		case answer == nil:
			done = append(done, delivery.ID)
		default:
			waiting = append(waiting, unanswered{delivery, answer})
		}
	}
	var decision policy.Decision
	var undecided error
	if work.Ref.Number != 0 {
		evaluate := w.gate.Evaluate
		if len(deliveries) == 0 && work.Attempts == 0 {
			evaluate = w.gate.Recheck
		}
		decision, undecided = evaluate(ctx, work.Ref)
		failed = append(failed, undecided)
	}
	for _, u := range waiting {
		failed = append(failed, w.answer(ctx, u, decision, undecided))
	}
	return done, errors.Join(failed...)
}

// unanswered is a delivery that was taken, and is to be answered.
type unanswered struct {
	store.Delivery
	answer handlers.Answer
}

func (w *workers) take(ctx context.Context, delivery store.Delivery) (handlers.Answer, error) {
	log := w.log.With().Str(githubapp.LogKeyDeliveryID, delivery.ID).Str(githubapp.LogKeyEventType, delivery.Event).Logger()
	answer, err := w.door.Take(log.WithContext(ctx), delivery.Event, delivery.Payload)
	if err != nil {
		return nil, fmt.Errorf("take the delivery %s (%s): %w", delivery.ID, delivery.Event, err)
	}
	return answer, nil
}

// answer ends a delivery, and keeps that at once: nobody is to be answered twice.
func (w *workers) answer(ctx context.Context, u unanswered, decision policy.Decision, undecided error) error {
	if err := u.answer(ctx, decision, undecided); err != nil {
		return fmt.Errorf("answer the delivery %s (%s): %w", u.ID, u.Event, err)
	}
	return w.store.DeliveryDone(ctx, u.ID)
}

func (w *workers) signal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.settled)
	w.settled = make(chan struct{})
}

// settle waits until nothing is due or running.
func (w *workers) settle(ctx context.Context) error {
	for {
		w.mu.Lock()
		ended := w.settled
		w.mu.Unlock()
		backlog, err := w.store.Backlog(ctx)
		if err != nil || backlog == 0 {
			return err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("%d pieces of work are not done: %w", backlog, context.Cause(ctx))
		}
	}
}
