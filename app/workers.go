package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// workTimeout bounds one round of work on one pull request: a worker has given up
// well before another may claim the same.
const workTimeout = store.Lease - 10*time.Second

// reviewTimeout is how long the end of sandboxes may keep a pull request's other work.
const reviewTimeout = 10 * time.Second

// endTimeout is how long a worker whose work was interrupted may take to give it
// back.
const endTimeout = 5 * time.Second

// workers do the work that the store holds: one worker per pull request at a
// time, so that decisions on it are made one after the other.
type workers struct {
	store   *store.Store
	door    *handlers.Door
	gate    *gate.Gate
	github  *githubapi.Client
	sweeper *recovery.Sweeper
	halt    *killswitch.GitHubKillSwitch
	pacer   *gate.Pacer
	lending *credential.Lending
	// sandboxes does the tasks that people ask for.
	sandboxes *sandbox.Lifecycle
	quiet     bool
	log       zerolog.Logger
	now       func() time.Time
	backoff   func(attempts int) time.Duration

	queue *store.Queue
	// sharing tells other replicas of GitHub's limits, until stopSharing is called.
	sharing     sync.WaitGroup
	stopSharing context.CancelFunc

	// settled is closed and replaced each time a piece of work ends.
	mu      sync.Mutex
	settled chan struct{}
}

func newWorkers(facts *store.Store, door *handlers.Door, keeper *gate.Gate, client *githubapi.Client, sweeper *recovery.Sweeper, stop *killswitch.GitHubKillSwitch, lending *credential.Lending, sandboxes *sandbox.Lifecycle, options Options) *workers {
	return &workers{
		lending: lending, sandboxes: sandboxes,
		halt: stop, pacer: &gate.Pacer{Marks: facts, Spent: client.Spent, Now: options.Now},
		store: facts, door: door, gate: keeper, github: client, sweeper: sweeper, quiet: options.quiet, log: options.Log, now: options.Now, backoff: options.Backoff,
		settled: make(chan struct{}),
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

// start begins to do work and returns at once.
func (w *workers) start(ctx context.Context) (err error) {
	if w.queue, err = w.store.NewQueue(ctx, w.do, w.log); err != nil {
		return err
	}
	if err := w.store.RetryStuck(ctx); err != nil {
		return err
	}
	if !w.quiet {
		if err := w.sweeper.Begin(ctx); err != nil {
			return err
		}
	}
	sharing, stop := context.WithCancel(w.log.WithContext(context.WithoutCancel(ctx)))
	w.stopSharing = stop
	w.sharing.Go(func() { w.github.ShareBudgets(sharing) })
	return w.queue.Start(ctx)
}

// stop takes nothing more up and waits for running work. When ctx ends first, the
// work is interrupted and given back.
func (w *workers) stop(ctx context.Context) error {
	if w.queue == nil {
		return nil
	}
	err := w.queue.Stop(ctx)
	if w.stopSharing != nil {
		w.stopSharing()
	}
	w.sharing.Wait()
	return err
}

// do does one piece of work and says how it ended: done, to be tried again, put
// off until GitHub's limits allow it, or, if the process is stopping, given back.
func (w *workers) do(ctx context.Context, work store.Work) {
	defer w.signal()
	taken, again, err := w.attempt(w.log.WithContext(ctx), work)
	interrupted := ctx.Err() != nil
	// That work ended is kept also when the process is stopping.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	var limit *githubapi.LimitError
	switch {
	case err == nil:
		err = w.store.DoneUntil(ending, work, again, taken)
	case interrupted:
		err = w.store.Release(ending, work)
	case errors.As(err, &limit):
		w.log.Info().Err(err).Str("event", "work.deferred").Str("work", work.Key).Stringer("pr", work.Ref).Time("next", limit.RetryAt).Msg("work waits for GitHub's limits")
		err = w.store.Defer(ending, work, limit.RetryAt, err.Error(), taken)
	default:
		wait := w.backoff(work.Attempts)
		if recovery.Owns(work.Key) {
			wait = min(wait, recovery.LongestWait)
		}
		if killswitch.Owns(work.Key) || gate.IsPace(work.Key) || recovery.IsUrgent(work.Key) {
			wait = min(wait, killswitch.LongestWait)
		}
		at := w.now().Add(wait)
		w.log.Warn().Err(err).Str("work", work.Key).Stringer("pr", work.Ref).Int("attempts", work.Attempts+1).Time("next", at).Msg("work failed and will be tried again")
		err = w.store.Retry(ending, work, at, err.Error(), taken)
	}
	if err != nil {
		w.log.Error().Err(err).Str("work", work.Key).Msg("the end of work could not be recorded; it will be done again")
	}
}

// attempt does the work: a step of a sweep, or what was delivered. It returns the
// ids of the deliveries that are worked off, and when to go on; zero: when it is
// asked for.
func (w *workers) attempt(ctx context.Context, work store.Work) (done []string, again time.Time, _ error) {
	ctx, cancel := context.WithTimeoutCause(ctx, workTimeout, fmt.Errorf("work on %s took longer than %s", work.Key, workTimeout))
	defer cancel()
	if recovery.Owns(work.Key) {
		switch {
		case recovery.IsUrgent(work.Key):
			ctx = githubapi.Urgent(ctx)
		case work.Key != recovery.KeySandboxes: // what may not run any more waits for nothing
			ctx = githubapi.Background(ctx)
		}
		again, err := w.sweeper.Sweep(ctx, work.Key)
		return nil, again, err
	}
	if killswitch.Owns(work.Key) {
		return w.enforce(githubapi.Urgent(ctx), work)
	}
	if credential.Owns(work.Key) {
		again, err := w.lending.Clear(ctx, work.Ref.Repository.Installation)
		return nil, again, err
	}
	if task, is := sandbox.TaskOf(work.Key); is {
		again, err := w.sandboxes.Step(ctx, task, w.door.TellSandbox)
		return nil, again, err
	}
	if gate.IsPace(work.Key) {
		again, err := w.pacer.Step(ctx, work.Ref.Repository.Installation)
		return nil, again, err
	}
	done, err := w.decide(ctx, work)
	return done, time.Time{}, err
}

// enforce takes the deliveries about the kill switches of a place, in the order in
// which they came, makes GitHub be as they say, and answers who spoke. What cannot
// be taken does not keep the rest from being enforced.
func (w *workers) enforce(ctx context.Context, work store.Work) (done []string, again time.Time, _ error) {
	deliveries, err := w.store.Deliveries(ctx, work.Key)
	if err != nil {
		return nil, time.Time{}, err
	}
	var failed []error
	answers := map[string]handlers.SwitchAnswer{}
	for _, d := range deliveries {
		answer, err := w.door.TakeSwitch(w.logOf(d).WithContext(ctx), d.Event, d.Payload, d.ReceivedAt)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("take the delivery %s (%s): %w", d.ID, d.Event, err))
		case answer == nil:
			done = append(done, d.ID)
		default:
			answers[d.ID] = answer
		}
	}
	again, err = w.halt.Enforce(ctx, killswitch.Place(work.Ref))
	failed = append(failed, err)
	for _, d := range deliveries {
		answer, waits := answers[d.ID]
		if !waits {
			continue
		}
		if err := answer(ctx); err != nil {
			failed = append(failed, fmt.Errorf("answer the delivery %s (%s): %w", d.ID, d.Event, err))
			continue
		}
		failed = append(failed, w.store.DeliveryDone(ctx, d.ID))
	}
	return done, again, errors.Join(failed...)
}

func (w *workers) logOf(d store.Delivery) zerolog.Logger {
	return w.log.With().Str(githubapp.LogKeyDeliveryID, d.ID).Str(githubapp.LogKeyEventType, d.Event).Logger()
}

// decide takes the deliveries in the order in which they came, decides the
// pull request they were about, and answers who spoke. One delivery that fails
// does not keep the others, nor the decision, from being done. If nothing was
// delivered and nothing went wrong, GitHub is only asked what has changed. It
// returns the ids of the deliveries that are worked off, but for those that were
// answered, whose end is on record already.
func (w *workers) decide(ctx context.Context, work store.Work) (done []string, _ error) {
	deliveries, err := w.store.Deliveries(ctx, work.Key)
	if err != nil {
		return nil, err
	}
	if err := w.allowed(ctx, work); err != nil {
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
		failed = append(failed, undecided, w.lending.Review(ctx, work.Ref), w.lending.Deploy(ctx, work.Ref))
		if decision.StartsSandbox {
			failed = append(failed, w.sandboxes.StartFor(ctx, work.Ref, decision.HeadSHA))
		}
	}
	for _, u := range waiting {
		failed = append(failed, w.answer(ctx, u, decision, undecided))
	}
	if work.Ref.Number != 0 {
		failed = append(failed, w.endSandboxes(ctx, work.Ref))
	}
	return done, errors.Join(failed...)
}

// endSandboxes ends those that may not run on the pull request any more. One that takes
// its time to end is left to the sweep, and keeps nobody waiting.
func (w *workers) endSandboxes(ctx context.Context, ref policy.PullRequestRef) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reviewTimeout, fmt.Errorf("the sandboxes of %s took longer than %s to end", ref, reviewTimeout))
	defer cancel()
	return w.sandboxes.Review(ctx, ref)
}

// allowed returns an error if GitHub's limits do not allow to begin: work that
// nobody waits for is not begun on the last of the budget. Once it is begun it is
// ended, because half of it closes the gate.
func (w *workers) allowed(ctx context.Context, work store.Work) error {
	installation := work.Ref.Repository.Installation
	if installation == 0 {
		return nil
	}
	if work.Urgency == gate.UrgencyBackground {
		ctx = githubapi.Background(ctx)
	}
	return w.github.Allowed(ctx, installation)
}

// unanswered is a delivery that was taken, and is to be answered.
type unanswered struct {
	store.Delivery
	answer handlers.Answer
}

func (w *workers) take(ctx context.Context, delivery store.Delivery) (handlers.Answer, error) {
	answer, err := w.door.Take(w.logOf(delivery).WithContext(ctx), delivery.Event, delivery.Payload)
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
