package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Judge judges whether a sandbox may run on a pull request. An error means that it is not
// known.
type Judge interface {
	LaunchSandbox(ctx context.Context, on policy.PullRequestRef, request policy.LaunchRequest) (policy.Launch, error)
	// MayWrite reports whether the person may write to the repository.
	MayWrite(ctx context.Context, repository policy.Repository, person policy.Actor) (bool, error)
}

// GitHub is what a sandbox's life needs of GitHub.
type GitHub interface {
	// Archive writes the files of a commit, as GitHub packs them.
	Archive(ctx context.Context, repository policy.Repository, commit string, to io.Writer) error
	// Reach is the repository under the name that it has now; found is false if it is
	// certain that the App cannot reach it any more.
	Reach(ctx context.Context, repository policy.Repository) (now policy.Repository, found bool, err error)
}

// Config is what a Lifecycle is made of.
type Config struct {
	// Providers are the implementations on this server, by the names of the policy file.
	Providers map[string]Sandbox
	Switch    Switch
	Judge     Judge
	GitHub    GitHub
	Records   Records
	Caps      Caps
	// Ended hears of each that has ended; nil: nobody does.
	Ended func(ctx context.Context, is Instance, reason string) error
	Now   func() time.Time
	Log   zerolog.Logger
}

// Lifecycle starts sandboxes for who may have them, and ends them when that is not so any
// more.
type Lifecycle struct {
	config Config
	// boxes are the providers, guarded by the switch.
	boxes map[string]Guard

	mu     sync.Mutex
	closed bool
	doing  map[string]Task // those that this process does, by their ids
	ended  chan struct{}   // closed and replaced each time one ends
	tasks  sync.WaitGroup
	// working ends when what is under way is to be given up.
	working   context.Context
	interrupt context.CancelFunc
}

var _ killswitch.Stopper = (*Lifecycle)(nil)

// NewLifecycle returns one. The caller must call Close.
func NewLifecycle(config Config) *Lifecycle {
	l := &Lifecycle{config: config, boxes: map[string]Guard{}, doing: map[string]Task{}, ended: make(chan struct{})}
	for name, provider := range config.Providers {
		l.boxes[name] = Guard{Sandbox: provider, Switch: config.Switch}
	}
	l.working, l.interrupt = context.WithCancel(config.Log.WithContext(context.Background()))
	return l
}

// Close takes up no more tasks and waits for those under way, which it gives up when ctx
// ends. What they were about is told then.
func (l *Lifecycle) Close(ctx context.Context) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	ended := make(chan struct{})
	go func() { l.tasks.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	l.interrupt()
	<-ended
}

// providers are the names of those on this server.
func (l *Lifecycle) providers() []string { return slices.Sorted(maps.Keys(l.boxes)) }

// each does it on every provider side by side, whatever becomes of the others.
func (l *Lifecycle) each(do func(provider string) error) error {
	return together(l.providers(), len(l.boxes), do)
}

// together does it with each of those, up to so many side by side, whatever becomes of the
// others.
func together[T any](those []T, atOnce int, do func(T) error) error {
	if len(those) == 0 {
		return nil
	}
	failures := make([]error, len(those))
	var working errgroup.Group
	working.SetLimit(atOnce)
	for n, one := range those {
		working.Go(func() error {
			failures[n] = do(one)
			return nil
		})
	}
	_ = working.Wait()
	return errors.Join(failures...)
}

// List lists what the backends have in the scope, whoever started it.
func (l *Lifecycle) List(ctx context.Context, scope killswitch.Scope) ([]Instance, error) {
	all, err := l.Everywhere(ctx)
	return slices.DeleteFunc(all, func(is Instance) bool { return !is.In(scope) }), err
}

// Everywhere lists all that the backends have. What could be read is returned also with an
// error.
func (l *Lifecycle) Everywhere(ctx context.Context) ([]Instance, error) {
	names := l.providers()
	found := make([][]Instance, len(names))
	err := l.each(func(name string) (err error) {
		found[slices.Index(names, name)], err = l.on(ctx, name)
		return err
	})
	return slices.Concat(found...), err
}

// on lists what the provider has; with an error, what could be read.
func (l *Lifecycle) on(ctx context.Context, provider string) ([]Instance, error) {
	there, err := l.boxes[provider].List(ctx)
	for i := range there {
		there[i].Provider = provider // as the policy calls it
	}
	if err != nil {
		err = fmt.Errorf("list the sandboxes on %s: %w", provider, err)
	}
	return there, err
}

// Running lists what is on record as running on the pull request.
func (l *Lifecycle) Running(ctx context.Context, on policy.PullRequestRef) ([]Record, error) {
	return l.config.Records.Sandboxes(ctx, killswitch.PullRequest(on))
}

// Ask keeps that somebody asks for something that takes its time. It is done by
// [Lifecycle.Step].
func (l *Lifecycle) Ask(ctx context.Context, task Task) error {
	task.State = TaskAsked
	return l.config.Records.PutTask(ctx, task)
}

// StartFor has the sandbox started that the policy wants on the head without being asked,
// once.
func (l *Lifecycle) StartFor(ctx context.Context, on policy.PullRequestRef, head string) error {
	return l.Ask(ctx, Task{ID: "head:" + on.Key() + ":" + head, Kind: TaskStart, On: on, At: l.config.Now()})
}

// entry is an audit entry about a sandbox.
func (l *Lifecycle) entry(action string, is Instance, by policy.Actor, detail string) audit.Entry {
	return audit.Entry{
		At: l.config.Now(), Actor: cmp.Or(by.Login, audit.Itself), ActorID: by.ID, Action: action,
		Subject: fmt.Sprintf("%s %s", is.For, is.ID), Commit: is.HeadSHA, Detail: detail,
	}
}
