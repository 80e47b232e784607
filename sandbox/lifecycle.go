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

// RefusedError is returned for what is not allowed, or not yet.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

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
	doing  map[string]bool // the tasks that this process does
	ended  chan struct{}   // closed and replaced each time one ends
	tasks  sync.WaitGroup
	// working ends when what is under way is to be given up.
	working   context.Context
	interrupt context.CancelFunc
}

var _ killswitch.Stopper = (*Lifecycle)(nil)

// NewLifecycle returns one. The caller must call Close.
func NewLifecycle(config Config) *Lifecycle {
	l := &Lifecycle{config: config, boxes: map[string]Guard{}, doing: map[string]bool{}, ended: make(chan struct{})}
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

// Find is the sandbox with the id, by the word of the backend that has it.
func (l *Lifecycle) Find(ctx context.Context, id string) (Instance, Sandbox, error) {
	var errs []error
	for _, name := range l.providers() {
		is, err := l.boxes[name].Status(ctx, id)
		switch {
		case err == nil:
			is.Provider = name
			return is, l.boxes[name], nil
		case !errors.Is(err, ErrUnknown):
			errs = append(errs, err)
		}
	}
	return Instance{}, nil, cmp.Or(errors.Join(errs...), ErrUnknown)
}

// List lists what the backends have in the scope, whoever started it.
func (l *Lifecycle) List(ctx context.Context, scope killswitch.Scope) ([]Instance, error) {
	all, err := l.Everywhere(ctx)
	return slices.DeleteFunc(all, func(is Instance) bool { return !is.In(scope) }), err
}

// Everywhere lists all that the backends have. What could be read is returned also with an
// error.
func (l *Lifecycle) Everywhere(ctx context.Context) ([]Instance, error) {
	var all []Instance
	var errs []error
	for _, name := range l.providers() {
		there, err := l.on(ctx, name)
		all, errs = append(all, there...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// DestroyAll destroys these, each whatever becomes of the others, puts nothing on record
// and counts them.
func (l *Lifecycle) DestroyAll(ctx context.Context, those []Instance) (ended int, _ error) {
	byProvider := map[string][]string{}
	for _, is := range those {
		byProvider[is.Provider] = append(byProvider[is.Provider], is.ID)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(byProvider)) {
		n, err := destroy(ctx, l.boxes[name].Sandbox, byProvider[name])
		ended, errs = ended+n, append(errs, err)
	}
	return ended, errors.Join(errs...)
}

// on lists what the provider has.
func (l *Lifecycle) on(ctx context.Context, provider string) ([]Instance, error) {
	there, err := l.boxes[provider].List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes on %s: %w", provider, err)
	}
	for i := range there {
		there[i].Provider = provider // as the policy calls it
	}
	return there, nil
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

// Stop destroys everything in the scope, by the word of the backends. One that cannot be
// asked does not keep the others.
func (l *Lifecycle) Stop(ctx context.Context, scope killswitch.Scope) (ended int, err error) {
	var errs []error
	for _, name := range l.providers() {
		n, err := l.boxes[name].Stop(ctx, scope)
		ended += n
		if err != nil {
			errs = append(errs, fmt.Errorf("stop the sandboxes on %s: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return ended, err // what is not gone is not told to be
	}
	records, err := l.config.Records.Sandboxes(ctx, scope)
	errs = append(errs, err)
	for _, record := range records {
		errs = append(errs, l.gone(ctx, record.ID, Ending{Reason: "the kill switch"}))
	}
	return ended, errors.Join(errs...)
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
	return l.gone(ctx, is.ID, end)
}

// gone keeps that a sandbox has ended.
func (l *Lifecycle) gone(ctx context.Context, id string, end Ending) error {
	var ended Instance
	err := l.config.Records.ChangeSandbox(ctx, id, func(r *Record) []audit.Entry {
		r.Status, r.Reason, r.EndedAt = StatusTerminated, end.Reason, l.config.Now()
		ended = r.Instance
		return []audit.Entry{l.entry("sandbox.ended", r.Instance, end.By, end.Reason)}
	})
	if err != nil || ended.ID == "" || l.config.Ended == nil {
		return err
	}
	return l.config.Ended(ctx, ended, end.Reason)
}

// entry is an audit entry about a sandbox.
func (l *Lifecycle) entry(action string, is Instance, by policy.Actor, detail string) audit.Entry {
	return audit.Entry{
		At: l.config.Now(), Actor: cmp.Or(by.Login, audit.Itself), ActorID: by.ID, Action: action,
		Subject: fmt.Sprintf("%s %s", is.For, is.ID), Commit: is.HeadSHA, Detail: detail,
	}
}

// Review ends what runs on the pull request and may not any more. What cannot be judged
// stays as it is, and is an error.
func (l *Lifecycle) Review(ctx context.Context, on policy.PullRequestRef) error {
	records, err := l.config.Records.Sandboxes(ctx, killswitch.PullRequest(on))
	if err != nil {
		return err
	}
	var errs []error
	for _, record := range records {
		errs = append(errs, l.review(ctx, record))
	}
	return errors.Join(errs...)
}

// review asks whether a sandbox may run still, and ends it if it may not.
func (l *Lifecycle) review(ctx context.Context, record Record) error {
	err := l.permit(ctx, record.Instance)
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
func (l *Lifecycle) permit(ctx context.Context, is Instance) error {
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
	default:
		return nil
	}
}

// EndIn ends all in a repository, or with the id 0 all of the owner's.
func (l *Lifecycle) EndIn(ctx context.Context, repository policy.Repository, end Ending) error {
	there, err := l.List(ctx, killswitch.Scope{Repository: repository})
	errs := []error{err}
	for _, is := range there {
		errs = append(errs, l.End(ctx, is, end))
	}
	return errors.Join(errs...)
}
