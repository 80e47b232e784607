package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// heldFor is how long whoever does a task is taken for alive after it last said so,
	// and holdEvery how often it does.
	heldFor   = 30 * time.Second
	holdEvery = 10 * time.Second
	// tasksAtOnce is how many tasks one process does at once, beside those that stop, and
	// fullWait how long one waits for a place.
	tasksAtOnce = 32
	fullWait    = time.Second
	// taskTime is how long a task may take.
	taskTime = time.Hour
	// startAgain is after how long it is tried again to start what the policy wants, as many
	// times that as it was tried, up to startSlower.
	startAgain  = time.Minute
	startSlower = 10
	// keepTime is how long it may take to keep what came of one.
	keepTime = 20 * time.Second
)

// Teller tells whoever asked what came of a task.
type Teller func(ctx context.Context, task Task) error

// Step does what is to be done next about a task: begin it, see that whoever does it is
// alive, or tell what came of it. again is when there is more to do; zero: never.
func (l *Lifecycle) Step(ctx context.Context, id string, tell Teller) (again time.Time, _ error) {
	task, err := l.config.Records.Task(ctx, id)
	if errors.Is(err, ErrUnknown) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	now := l.config.Now()
	switch {
	case task.Told:
		return time.Time{}, nil
	case task.State == TaskDone:
		if err := tell(ctx, task); err != nil {
			return time.Time{}, err
		}
		return time.Time{}, l.config.Records.TaskTold(ctx, id)
	case task.State == TaskAsked:
		if waits, err := l.waits(ctx, task); err != nil || waits {
			return now.Add(fullWait), err
		}
		return l.begin(ctx, task)
	case now.Before(task.HeldUntil):
		return task.HeldUntil, nil
	default:
		// Nobody knows how far a start has come, nor the sandbox's id.
		if err := l.endHalf(ctx, task); err != nil {
			return time.Time{}, err
		}
		if task.Kind == TaskStart && !task.By.Known() {
			return l.postpone(ctx, task)
		}
		// A command that may have run is not run again.
		return l.finish(ctx, task, Outcome{Refused: "the server ended while it did this, and what came of it is not known; ask again"})
	}
}

// waits reports whether a command is to be run after another that is not done yet.
func (l *Lifecycle) waits(ctx context.Context, task Task) (bool, error) {
	if task.Kind != TaskExecute {
		return false, nil
	}
	for _, id := range task.Earlier {
		earlier, err := l.config.Records.Task(ctx, id)
		if errors.Is(err, ErrUnknown) {
			continue // it was about something else
		}
		if err != nil || earlier.State != TaskDone {
			return true, err
		}
	}
	return false, nil
}

// begin has a goroutine of this process do the task.
func (l *Lifecycle) begin(ctx context.Context, task Task) (again time.Time, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.config.Now()
	if l.closed || l.busy(task) {
		return now.Add(fullWait), nil
	}
	mine := false
	begun, err := l.config.Records.ChangeTask(ctx, task.ID, func(t *Task) (time.Time, error) {
		if mine = t.State == TaskAsked; mine {
			t.State, t.BegunAt, t.HeldUntil = TaskBegun, now, now.Add(heldFor)
			t.Attempt++
		}
		return t.HeldUntil, nil
	})
	if err != nil || !mine {
		return begun.HeldUntil, err
	}
	l.doing[task.ID] = begun
	l.tasks.Go(func() {
		defer l.done(task.ID)
		l.do(l.working, begun)
	})
	return begun.HeldUntil, nil
}

// busy reports whether the task has to wait: for a place, or for another command in its
// sandbox, where one runs after the other. Whoever stops one never waits.
func (l *Lifecycle) busy(task Task) bool {
	if _, already := l.doing[task.ID]; already || task.Kind == TaskStop {
		return already
	}
	places := tasksAtOnce
	for _, other := range l.doing {
		if other.Kind == TaskExecute && task.Kind == TaskExecute && other.Sandbox == task.Sandbox {
			return true
		}
		if other.Kind != TaskStop {
			places--
		}
	}
	return places <= 0
}

// endHalf ends what a process that is gone may have begun to start.
func (l *Lifecycle) endHalf(ctx context.Context, task Task) error {
	if task.Kind != TaskStart {
		return nil
	}
	running, err := l.Running(ctx, task.On)
	if err != nil {
		return err
	}
	for _, record := range running {
		if record.ID == task.sandboxID() {
			return l.End(ctx, record.Instance, Ending{Reason: "the server ended while it was started"})
		}
	}
	return nil
}

func (l *Lifecycle) done(task string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.doing, task)
	close(l.ended)
	l.ended = make(chan struct{})
}

// Wait waits until this process does no task.
func (l *Lifecycle) Wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		doing, ended := len(l.doing), l.ended
		l.mu.Unlock()
		if doing == 0 {
			return nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("%d tasks on sandboxes are not done: %w", doing, context.Cause(ctx))
		}
	}
}

// do does the task, says meanwhile that it is alive, and keeps what came of it.
func (l *Lifecycle) do(ctx context.Context, task Task) {
	ctx, cancel := context.WithTimeoutCause(ctx, taskTime, errors.New("it took longer than "+taskTime.String()))
	defer cancel()
	alive, dead := context.WithCancel(ctx)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		l.hold(alive, task.ID)
	}()
	outcome, err := l.perform(ctx, task)
	dead()
	<-beating
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	again := false
	if err != nil {
		outcome.Refused, outcome.Said, again = l.explain(ctx, task, err)
	}
	if again && !task.By.Known() {
		_, err = l.postpone(keeping, task)
	} else {
		_, err = l.finish(keeping, task, outcome)
	}
	if err != nil {
		l.config.Log.Error().Err(err).Str("task", task.ID).Msg("what came of a task on a sandbox could not be kept; whoever asked is told that it is not known")
	}
}

// explain says why a task failed, to whoever asked; the log has the rest. again is true if
// it may be done in a while.
func (l *Lifecycle) explain(ctx context.Context, task Task, err error) (why, said string, again bool) {
	answer, known := tell(err)
	if !known || !answer.whole {
		l.config.Log.Error().Err(err).Str("event", "sandbox.failed").Str("task", task.ID).Str("kind", string(task.Kind)).Stringer("pr", task.On).Msg("a task on a sandbox failed")
	}
	switch {
	case known:
		_, again = errors.AsType[*FullError](err)
		return answer.why, answer.said, again
	case l.working.Err() != nil:
		return "the server is stopping; ask again in a while", "", true
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded) || ctx.Err() != nil:
		return "it took too long", "", false
	default:
		return "it failed, and the server's log says why; ask again, or ask whoever runs Portcullis", "", true
	}
}

// postpone has what the policy wants, and nobody asked for, tried again.
func (l *Lifecycle) postpone(ctx context.Context, task Task) (again time.Time, _ error) {
	_, err := l.config.Records.ChangeTask(ctx, task.ID, func(t *Task) (time.Time, error) {
		if t.State == TaskBegun {
			t.State, t.HeldUntil = TaskAsked, time.Time{}
		}
		again = l.config.Now().Add(startAgain * time.Duration(min(t.Attempt, startSlower)))
		return again, nil
	})
	return again, err
}

func (l *Lifecycle) hold(ctx context.Context, id string) {
	beat := time.NewTicker(holdEvery)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			until := l.config.Now().Add(heldFor)
			_, err := l.config.Records.ChangeTask(ctx, id, func(t *Task) (time.Time, error) {
				t.HeldUntil = until
				return until, nil
			})
			if err != nil && ctx.Err() == nil {
				l.config.Log.Warn().Err(err).Str("task", id).Msg("it could not be kept that a task is being done")
			}
		case <-ctx.Done():
			return
		}
	}
}

// finish keeps what came of a task, and has it told.
func (l *Lifecycle) finish(ctx context.Context, task Task, outcome Outcome) (again time.Time, _ error) {
	_, err := l.config.Records.ChangeTask(ctx, task.ID, func(t *Task) (time.Time, error) {
		if t.State != TaskDone {
			t.State, t.DoneAt, t.Outcome = TaskDone, l.config.Now(), outcome
		}
		return time.Time{}, nil
	})
	return l.config.Now(), err
}
