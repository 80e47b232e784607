package codespaces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

const (
	// startTime is how long it may take until a codespace takes commands: GitHub may
	// build its image first.
	startTime = 10 * time.Minute
	// lookAgain is how often it is looked for one whose creation GitHub did not confirm.
	lookAgain = 3
)

var errSlow = errors.New("GitHub did not start it in time")

// Create creates a codespace on the pull request's head as the person who asks, and waits
// until it is there and has that commit. One of that id that is there already is taken.
func (c *Codespaces) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	if err := spec.Check(); err != nil {
		return sandbox.Instance{}, err
	}
	if err := c.unenforced(spec); err != nil {
		return sandbox.Instance{}, err
	}
	wanted, err := marksOf(spec)
	if err != nil {
		return sandbox.Instance{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, min(startTime, wanted.Lifetime), errSlow)
	defer cancel()
	release, err := c.turns.Take(ctx, spec.ID)
	if err != nil {
		return sandbox.Instance{}, err
	}
	defer release()
	by, err := c.creator(ctx, spec)
	if err != nil {
		return sandbox.Instance{}, err
	}
	found, others, err := c.mine(ctx, wanted, spec, by)
	switch {
	case err != nil:
		return sandbox.Instance{}, fmt.Errorf("look for the sandbox %s: %w", spec.ID, err)
	case len(found) > 0:
	case len(others) > 0:
		return sandbox.Instance{}, &sandbox.InvalidError{Field: "id", Why: "is that of another codespace"}
	default:
		if err := c.begin(ctx, spec, wanted, by); err != nil {
			return sandbox.Instance{}, fmt.Errorf("create the sandbox %s: %w", spec.ID, err)
		}
	}
	is, err := c.ready(ctx, wanted, spec, by)
	if err != nil {
		// What does not get ready is of no use to anybody, and costs.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTime)
		defer cancel()
		return sandbox.Instance{}, errors.Join(fmt.Errorf("create the sandbox %s: %w", spec.ID, err), c.Destroy(undo, spec.ID))
	}
	return is, nil
}

// begin has GitHub create the codespace, unless something is in the way.
func (c *Codespaces) begin(ctx context.Context, spec sandbox.Spec, wanted marks, by usertoken.Token) error {
	on := policy.PullRequestRef{Repository: spec.For.Repository, Number: spec.For.Number}
	if err := c.endable(ctx, on.Repository); err != nil {
		return err
	}
	head, err := c.config.Platform.Head(ctx, on)
	switch {
	case err != nil:
		return err
	case head.Repository != on.Repository.ID:
		return unsupported("head", "it is in a fork, and the codespace would be the fork's")
	case !head.Open:
		return &sandbox.InvalidError{Field: "pull request", Why: "is closed"}
	case head.SHA != spec.HeadSHA:
		return &MovedError{Approved: spec.HeadSHA, Head: head.SHA}
	}
	offered, err := c.config.People.Machines(ctx, by, on.Repository, head.Branch)
	if err != nil {
		return refusal(by, err)
	}
	machine, err := machineFor(spec.Constraints, offered)
	if err != nil {
		return err
	}
	until := c.config.Now().Add(wanted.Lifetime)
	err = errors.Join(c.config.Tokens.Expect(ctx, by.Owner, until, false), c.config.Tokens.ExpectIn(ctx, on.Repository, until.Add(c.config.Idle)))
	if err != nil {
		return err
	}
	request := Request{DisplayName: wanted.displayName(c.config.App), Machine: machine.Name, Idle: c.config.Idle}
	made, err := c.config.People.Create(ctx, by, on, request)
	if answer, is := errors.AsType[*AnswerError](err); is && answer.open() {
		made, err = c.made(ctx, by, request.DisplayName, err)
	}
	if err != nil {
		return refusal(by, err)
	}
	if !strings.EqualFold(made.Payer, on.Repository.Owner) {
		return c.config.Tokens.Expect(ctx, by.Owner, until, true)
	}
	// Once more: somebody may have looked in between and seen none.
	return c.config.Tokens.ExpectIn(ctx, on.Repository, until.Add(c.config.Idle))
}

// neededToEnd is what ends a codespace without its owner.
const neededToEnd = "Organization codespaces: write, Codespaces: write and Codespaces lifecycle admin: write"

// Ready is an error where nobody could be given a codespace: no organization lets the App
// end them, or the way in is not there.
func (c *Codespaces) Ready(ctx context.Context) error {
	places, err := c.config.Platform.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("list the organizations that codespaces may be in: %w", err)
	}
	if len(places) == 0 {
		return errors.New("the App could end none; in no organization it has " + neededToEnd)
	}
	if in, tells := c.config.Dialer.(sandbox.Readier); tells {
		return in.Ready(ctx)
	}
	return nil
}

// endable is an error where the App could not end a codespace without its owner.
func (c *Codespaces) endable(ctx context.Context, repository policy.Repository) error {
	places, err := c.config.Platform.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("list the organizations that codespaces may be in: %w", err)
	}
	if !slices.ContainsFunc(places, func(p policy.Repository) bool { return p.Installation == repository.Installation }) {
		return &RefusedError{Why: fmt.Sprintf("the App could not end it; in %s it needs %s", repository.Owner, neededToEnd)}
	}
	return nil
}

// made looks for a codespace whose creation GitHub did not confirm. If there is none, it
// may come yet: then the next who asks finds it, or the next who sweeps does.
func (c *Codespaces) made(ctx context.Context, by usertoken.Token, name string, unconfirmed error) (Codespace, error) {
	for range lookAgain {
		all, err := c.config.People.Codespaces(ctx, by)
		if at := slices.IndexFunc(all, func(one Codespace) bool { return one.DisplayName == name }); err == nil && at >= 0 {
			return all[at], nil
		}
		if err := c.pause(ctx); err != nil {
			return Codespace{}, errors.Join(unconfirmed, err)
		}
	}
	return Codespace{}, unconfirmed
}

// pause waits for as long as it is waited between two questions.
func (c *Codespaces) pause(ctx context.Context) error {
	select {
	case <-time.After(c.config.PollEvery):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ready waits until the sandbox takes commands, and has the commit. Of several that are
// what was asked for the oldest is it, for everybody who created one; what has its id and
// is something else is left alone.
func (c *Codespaces) ready(ctx context.Context, wanted marks, spec sandbox.Spec, by usertoken.Token) (sandbox.Instance, error) {
	for missed := 0; ; {
		found, _, err := c.mine(ctx, wanted, spec, by)
		switch {
		case err != nil:
			return sandbox.Instance{}, err
		case len(found) == 0 && missed < lookAgain:
			missed++ // GitHub's lists may be a moment behind
			if err := c.pause(ctx); err != nil {
				return sandbox.Instance{}, err
			}
			continue
		case len(found) == 0:
			return sandbox.Instance{}, sandbox.ErrUnknown
		}
		at := found[0]
		if err := c.endOthers(ctx, found[1:], by); err != nil {
			return sandbox.Instance{}, err
		}
		switch at.is.Status {
		case sandbox.StatusRunning:
			if err := c.onCommit(ctx, at); err != nil {
				return sandbox.Instance{}, err
			}
			return at.is, c.unmoved(ctx, spec, at)
		case sandbox.StatusIdle:
			if err := c.wait(ctx, at, by); err != nil {
				return sandbox.Instance{}, err
			}
		default:
			return sandbox.Instance{}, fmt.Errorf("%w: %s", sandbox.ErrNotRunning, at.is.Reason)
		}
	}
}

// wait waits until the codespace is in another state than one of those on the way.
func (c *Codespaces) wait(ctx context.Context, at sight, by usertoken.Token) error {
	for {
		now, found, err := c.config.People.Codespace(ctx, by, at.Name)
		switch {
		case err != nil:
			return err
		case !found:
			return fmt.Errorf("it was deleted while it was created: %w", sandbox.ErrUnknown)
		case now.Pending || statusOf(now.State) != sandbox.StatusIdle:
			return nil
		}
		if err := c.pause(ctx); err != nil {
			return err
		}
	}
}

// endOthers ends what was made beside the oldest.
func (c *Codespaces) endOthers(ctx context.Context, others []sight, by usertoken.Token) error {
	for _, other := range others {
		if err := c.config.People.Delete(ctx, by, other.Name); err != nil {
			return fmt.Errorf("end the codespace %s, of which there is another: %w", other.Name, err)
		}
	}
	return nil
}

// unmoved is an error if the head was elsewhere since the codespace was created. What is in
// it may say that it has the commit and not have it; GitHub tells where the branch was: one
// that left the commit before the codespace was made comes back to it only by force.
func (c *Codespaces) unmoved(ctx context.Context, spec sandbox.Spec, at sight) error {
	head, err := c.config.Platform.Head(ctx, policy.PullRequestRef{Repository: spec.For.Repository, Number: spec.For.Number})
	switch {
	case err != nil:
		return err
	case head.SHA != spec.HeadSHA || !head.MovedAt.Before(at.CreatedAt.Truncate(time.Second)):
		return &MovedError{Approved: spec.HeadSHA, Head: head.SHA}
	default:
		return nil
	}
}

// onCommit connects to a codespace, which may take a while after it is available, and is
// an error unless it has the commit: the branch may have moved while it was created.
func (c *Codespaces) onCommit(ctx context.Context, at sight) error {
	for {
		head, err := c.head(ctx, at)
		switch {
		case err == nil && head == at.HeadSHA:
			return nil
		case err == nil:
			return &MovedError{Approved: at.HeadSHA, Head: head}
		}
		if waited := c.pause(ctx); waited != nil {
			return errors.Join(err, waited)
		}
	}
}
