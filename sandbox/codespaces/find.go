package codespaces

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// sight is a codespace of the App's, and who sees it.
type sight struct {
	Codespace
	marks

	// place is the organization that pays; without an owner, the person does whose token
	// by is.
	place policy.Repository
	by    usertoken.Token
	is    sandbox.Instance
}

// listedTogether is how many lists are read side by side.
const listedTogether = 8

// look lists the App's codespaces, the oldest first: those of the organizations, and of
// people who may have one that they pay for. With an error, it is what could be seen.
func (c *Codespaces) look(ctx context.Context) ([]sight, error) {
	places, err := c.config.Platform.Organizations(ctx)
	faults := []error{wrap(err, "list the organizations that codespaces may be in")}
	expected, err := c.config.Tokens.Expected(ctx)
	faults = append(faults, wrap(err, "list who may have codespaces"))
	if m := c.config.Machine; !m.IsZero() {
		expected = slices.DeleteFunc(expected, func(e usertoken.Expectation) bool { return e.Person.ID == m.Owner.ID })
		expected = append(expected, usertoken.Expectation{Person: m.Owner})
	}
	var mu sync.Mutex
	seen := map[string]sight{}
	add := func(all []Codespace, place policy.Repository, by usertoken.Token, err error) {
		mu.Lock()
		defer mu.Unlock()
		faults = append(faults, err)
		for _, one := range all {
			m, ours := readName(one.DisplayName, c.config.App)
			if _, known := seen[one.Name]; !ours || known && place.Owner == "" {
				continue
			}
			at := sight{Codespace: one, marks: m, place: place, by: by}
			at.is = c.instance(at, places)
			seen[one.Name] = at
		}
	}
	var reading errgroup.Group
	reading.SetLimit(listedTogether)
	for _, place := range places {
		reading.Go(func() error {
			all, err := c.config.Platform.Codespaces(ctx, place)
			add(all, place, usertoken.Token{}, wrap(err, "list the codespaces of %s", place.Owner))
			return nil
		})
	}
	for _, one := range expected {
		reading.Go(func() error {
			by, all, err := c.own(ctx, one)
			add(all, policy.Repository{}, by, err)
			return nil
		})
	}
	_ = reading.Wait() // each adds its own error
	found := make([]sight, 0, len(seen))
	for _, at := range seen {
		found = append(found, at)
	}
	slices.SortFunc(found, func(a, b sight) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Name, b.Name))
	})
	return found, errors.Join(faults...)
}

// own lists a person's. Somebody who does not let the App act for them any more hides
// only what they pay for themselves.
func (c *Codespaces) own(ctx context.Context, one usertoken.Expectation) (usertoken.Token, []Codespace, error) {
	by, err := c.actFor(ctx, one.Person)
	if _, needed := errors.AsType[*NeedsUserTokenError](err); needed && !one.Pays {
		return usertoken.Token{}, nil, nil
	}
	if err != nil {
		return usertoken.Token{}, nil, fmt.Errorf("a codespace that %s pays for may run, and cannot be seen: %w", one.Person.Login, err)
	}
	all, err := c.config.People.Codespaces(ctx, by)
	return by, all, wrap(err, "list the codespaces of %s", one.Person.Login)
}

// wrap adds what was being done to an error, and nothing to nil.
func wrap(err error, doing string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(doing+": %w", append(args, err)...)
}

// find finds those with the id, the oldest first: there may be more than one if several
// created it at the same time. That there is none is an error of its own, and only known
// if everything could be looked through.
func (c *Codespaces) find(ctx context.Context, id string) ([]sight, error) {
	if !ownID.MatchString(id) {
		return nil, sandbox.ErrUnknown
	}
	all, err := c.look(ctx)
	found := slices.DeleteFunc(all, func(at sight) bool { return at.ID != id })
	switch {
	case len(found) > 0:
		return found, nil
	case err != nil:
		return nil, fmt.Errorf("look for the sandbox %s: %w", id, err)
	default:
		return nil, sandbox.ErrUnknown
	}
}

// instance is what a codespace tells of the sandbox that it is.
func (c *Codespaces) instance(at sight, places []policy.Repository) sandbox.Instance {
	repository := at.Repository
	for _, place := range places {
		if strings.EqualFold(place.Owner, repository.Owner) {
			repository.Installation = place.Installation
		}
	}
	is := sandbox.Instance{
		ID: at.ID, Provider: Provider, Status: statusOf(at.State), For: killswitch.Scope{Repository: repository, Number: at.Number, Agents: at.Agents},
		HeadSHA: at.HeadSHA, RequestedBy: at.Owner, CreatedAt: at.CreatedAt, Deadline: at.CreatedAt.Add(at.Lifetime),
	}
	if m := c.config.Machine; !m.IsZero() && m.Owner.ID == at.Owner.ID {
		is.RequestedBy = policy.Actor{} // a machine user's are somebody's, whose name is not kept
	}
	switch {
	case at.Pending:
		is.Status, is.Reason = sandbox.StatusError, cmp.Or(at.PendingWhy, "GitHub lets nothing be done with it but to delete it")
	case is.Status != sandbox.StatusRunning:
		is.Reason = "GitHub says " + at.State
	}
	return is
}

// statuses are GitHub's states. One that is not here is an error.
var statuses = map[string]sandbox.SandboxStatus{
	"Created":      sandbox.StatusIdle,
	"Queued":       sandbox.StatusIdle,
	"Provisioning": sandbox.StatusIdle,
	"Awaiting":     sandbox.StatusIdle,
	"Starting":     sandbox.StatusIdle,
	"Rebuilding":   sandbox.StatusIdle,
	"Updating":     sandbox.StatusIdle,
	"Exporting":    sandbox.StatusIdle,
	"Available":    sandbox.StatusRunning,
	"Deleted":      sandbox.StatusTerminated,
	"Shutdown":     sandbox.StatusTerminated,
	"ShuttingDown": sandbox.StatusTerminated,
	"Archived":     sandbox.StatusTerminated,
	"Moved":        sandbox.StatusTerminated,
	"Failed":       sandbox.StatusError,
	"Unavailable":  sandbox.StatusError,
	"Unknown":      sandbox.StatusError,
}

func statusOf(state string) sandbox.SandboxStatus {
	if status, known := statuses[state]; known {
		return status
	}
	return sandbox.StatusError
}

// Status asks GitHub.
func (c *Codespaces) Status(ctx context.Context, id string) (sandbox.Instance, error) {
	found, err := c.find(ctx, id)
	if err != nil {
		return sandbox.Instance{}, err
	}
	return found[0].is, nil
}

// List asks GitHub for every codespace of the App's, whatever its state.
func (c *Codespaces) List(ctx context.Context) ([]sandbox.Instance, error) {
	found, err := c.look(ctx)
	all := make([]sandbox.Instance, 0, len(found))
	for _, at := range found {
		all = append(all, at.is)
	}
	if err != nil {
		err = fmt.Errorf("list the sandboxes: %w", err)
	}
	return all, err
}
