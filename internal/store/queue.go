package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
)

// Queue calls workers for the work that is due, on [River]. It only speeds up
// what the rows say: River's own rows may be lost at any time.
//
// [River]: https://riverqueue.com
type Queue struct {
	store  *Store
	do     func(ctx context.Context, w Work)
	log    zerolog.Logger
	client alarmClient
	close  func()
	lane   *lane

	stopRinging context.CancelFunc
	ringing     sync.WaitGroup
}

// alarmClient is River's client, whatever its database.
type alarmClient interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
	InsertMany(ctx context.Context, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
}

// Slots is how many pieces of work of each urgency are done at once by one
// process. Most of the time they wait for GitHub. The switch has slots and a way to
// them of its own, so that it waits for nobody.
var Slots = map[gate.Urgency]int{gate.UrgencySwitch: 8, gate.UrgencyPeople: 40, gate.UrgencyBackground: 8}

const (
	// look is how often the rows are read although nothing woke the queue: another
	// replica's work may have come due, or its lease may have ended.
	look = 2 * time.Second
	// breath is how long the queue waits after it called somebody: what comes in the
	// meantime is read and called for together.
	breath = 4 * time.Millisecond
	// alarmTimeout bounds a worker's answer to one alarm.
	alarmTimeout = 2 * Lease
)

// queueNames are the urgencies that go through River.
var queueNames = map[gate.Urgency]string{gate.UrgencyPeople: "people", gate.UrgencyBackground: "background"}

// NewQueue prepares a queue on the store's database. do is called with claimed
// work, by several goroutines; it must end the claim, and soon when its context
// ends. The caller must call Stop, before the store is closed.
func (s *Store) NewQueue(ctx context.Context, do func(ctx context.Context, w Work), log zerolog.Logger) (*Queue, error) {
	q := &Queue{store: s, do: do, log: log}
	q.lane = &lane{store: s, work: q.answer, log: log}
	workers := river.NewWorkers()
	river.AddWorker(workers, &alarmWorker{queue: q})
	queues := map[string]river.QueueConfig{}
	for urgency, name := range queueNames {
		queues[name] = river.QueueConfig{MaxWorkers: Slots[urgency]}
	}
	config := &river.Config{
		Queues: queues, Workers: workers, Logger: slog.New(zerolog.NewSlogHandler(log.Level(zerolog.WarnLevel))),
		FetchCooldown: breath, FetchPollInterval: time.Second, FetchOnlyKnownKinds: true,
		JobTimeout: alarmTimeout, RescueStuckJobsAfter: 2 * alarmTimeout, MaxAttempts: 1,
		CompletedJobRetentionPeriod: time.Minute, CancelledJobRetentionPeriod: time.Minute, DiscardedJobRetentionPeriod: time.Minute,
	}
	var err error
	if q.client, q.close, err = s.newAlarmClient(ctx, config); err != nil {
		return nil, fmt.Errorf("prepare the queue: %w", err)
	}
	return q, nil
}

// Start begins to call workers and returns at once.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	ringing, stop := context.WithCancel(context.WithoutCancel(ctx))
	q.stopRinging = stop
	q.ringing.Go(func() { q.ring(ringing) })
	q.lane.start(ctx)
	return nil
}

// Stop calls nobody any more and waits for the workers. When ctx ends first,
// their contexts end, and it waits for them to give their work back.
func (q *Queue) Stop(ctx context.Context) error {
	defer q.close()
	if q.stopRinging == nil {
		return nil
	}
	q.stopRinging()
	q.ringing.Wait()
	var lane sync.WaitGroup
	lane.Go(func() { q.lane.end(ctx) })
	defer lane.Wait()
	err := q.client.Stop(ctx)
	if err != nil && ctx.Err() != nil {
		err = q.client.StopAndCancel(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("stop the queue: %w", err)
	}
	return nil
}

// ring calls workers for what is due, as soon as it is, until ctx ends.
func (q *Queue) ring(ctx context.Context) {
	for ctx.Err() == nil {
		asked := q.store.now()
		called, err := q.ringOnce(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			q.log.Error().Err(err).Msg("workers could not be called for what is due; it is tried again")
		case called > 0:
			q.store.sleep(ctx, breath, nil)
		}
		q.store.sleep(ctx, q.store.untilDue(ctx, asked), q.store.Wake())
	}
}

// ringOnce calls workers first and then keeps that it did: if the process dies in
// between, they are called twice.
func (q *Queue) ringOnce(ctx context.Context) (called int, _ error) {
	var due []alarm
	for _, urgency := range []gate.Urgency{gate.UrgencyPeople, gate.UrgencyBackground} {
		more, err := q.store.alarms(ctx, urgency)
		if err != nil {
			return 0, err
		}
		due = append(due, more...)
	}
	if len(due) == 0 {
		return 0, nil
	}
	params := make([]river.InsertManyParams, len(due))
	for i, a := range due {
		options := &river.InsertOpts{Queue: queueNames[a.urgency]}
		if a.again {
			// While GitHub hangs, many are called again: one more each is enough.
			options.UniqueOpts = onceWaiting
		}
		params[i] = river.InsertManyParams{Args: alarmArgs{Key: a.key}, InsertOpts: options}
	}
	if _, err := q.client.InsertMany(ctx, params); err != nil {
		return 0, fmt.Errorf("call %d workers: %w", len(due), err)
	}
	return len(due), q.store.rung(ctx, due)
}

// untilDue is how long nothing will be due that was not when it was asked for,
// unless somebody says so.
func (s *Store) untilDue(ctx context.Context, asked time.Time) time.Duration {
	if due, ok, err := s.NextDue(ctx, asked); err == nil && ok {
		return max(0, min(look, due.Sub(s.now())))
	}
	return look
}

func (s *Store) sleep(ctx context.Context, wait time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

type alarmArgs struct {
	Key string `json:"key"`
}

// Kind names the alarms in River's rows.
func (alarmArgs) Kind() string { return "portcullis_alarm" }

type alarmWorker struct {
	river.WorkerDefaults[alarmArgs]
	queue *Queue
}

// Work does what is due under the key. To River an alarm never fails: what goes
// wrong is in the row, and whoever does not come is called again.
func (w *alarmWorker) Work(ctx context.Context, job *river.Job[alarmArgs]) error {
	w.queue.answer(ctx, job.Args.Key)
	return nil
}

// answer does what is due under the key, unless somebody else does. It reports whether
// that could be found out.
func (q *Queue) answer(ctx context.Context, key string) bool {
	work, ok, err := q.store.Claim(ctx, key)
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		q.log.Error().Err(err).Str("work", key).Msg("work could not be claimed; it is tried again")
	case ok:
		q.do(ctx, work)
	}
	return err == nil
}
