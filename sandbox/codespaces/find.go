package codespaces

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

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

// view is what is seen of the App's codespaces. With faults, it is not everything.
type view struct {
	places []policy.Repository

	mu     sync.Mutex
	seen   map[string]sight // by GitHub's names
	faults []error
}

// look looks at everything.
func (c *Codespaces) look(ctx context.Context) ([]sight, error) {
	v := &view{seen: map[string]sight{}}
	expected := c.expected(ctx, v)
	c.ofOrganizations(ctx, v, expected)
	c.ofPeople(ctx, v, expected)
	return v.all()
}

// expected are those of whom something may be there.
func (c *Codespaces) expected(ctx context.Context, v *view) []usertoken.Expectation {
	expected, err := c.config.Tokens.Expected(ctx)
	if err != nil {
		v.faults = append(v.faults, fmt.Errorf("list who may have codespaces: %w", err))
	}
	return expected
}

// ofOrganizations lists those that organizations pay for. One that the App may not ask any
// more may have some still for as long as they are expected there.
func (c *Codespaces) ofOrganizations(ctx context.Context, v *view, expected []usertoken.Expectation) {
	var err error
	if v.places, err = c.config.Platform.Organizations(ctx); err != nil {
		v.faults = append(v.faults, fmt.Errorf("list the organizations that codespaces may be in: %w", err))
	} else {
		for _, one := range expected {
			if one.Place.Owner != "" && c.config.Now().Before(one.Until) && !slices.ContainsFunc(v.places, one.IsIn) {
				gone := fmt.Errorf("codespaces of %s may run until %s, and the App may not list them any more: its installation there was ended or suspended, or lost a permission", one.Place.Owner, one.Until.UTC().Format(time.RFC3339))
				v.faults = append(v.faults, &sandbox.UnseenError{Owner: one.Place, Err: gone})
			}
		}
	}
	var reading errgroup.Group
	reading.SetLimit(listedTogether)
	for _, place := range v.places {
		reading.Go(func() error {
			all, err := c.config.Platform.Codespaces(ctx, place)
			c.see(v, all, place, usertoken.Token{}, unseen(place, err))
			if err == nil {
				c.expectIn(ctx, place, all, expected)
			}
			return nil
		})
	}
	_ = reading.Wait() // each adds its own error
}

// expectIn keeps what may be there by what was seen there. What was expected was read
// before that. If it cannot be kept nothing is lost but for who has no other way to know.
func (c *Codespaces) expectIn(ctx context.Context, place policy.Repository, all []Codespace, expected []usertoken.Expectation) {
	var until, known time.Time
	for _, one := range all {
		if m, ours := readName(one.DisplayName, c.config.App); ours {
			until = later(until, one.CreatedAt.Add(m.Lifetime+c.config.Idle))
		}
	}
	for _, one := range expected {
		if one.Place.Installation == place.Installation {
			known = one.Until
		}
	}
	var err error
	switch {
	case until.IsZero() && !known.IsZero():
		err = c.config.Tokens.ExpectNoMore(ctx, place, known)
	case until.Truncate(time.Millisecond).After(known): // a store may keep no less
		err = c.config.Tokens.ExpectIn(ctx, place, until)
	}
	if err != nil {
		c.config.Log.Warn().Err(err).Str("event", "sandbox.unexpected").Str("provider", Provider).Str("owner", place.Owner).Msg("what codespaces an organization may have is not kept")
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ofPeople lists those of people who may have one that they pay for.
func (c *Codespaces) ofPeople(ctx context.Context, v *view, expected []usertoken.Expectation) {
	people := slices.DeleteFunc(slices.Clone(expected), func(e usertoken.Expectation) bool { return e.Place.Owner != "" })
	if m := c.config.Machine; !m.IsZero() && !slices.ContainsFunc(people, func(e usertoken.Expectation) bool { return e.Person.ID == m.Owner.ID }) {
		people = append(people, usertoken.Expectation{Person: m.Owner})
	}
	var reading errgroup.Group
	reading.SetLimit(listedTogether)
	for _, one := range people {
		reading.Go(func() error {
			by, all, err := c.own(ctx, one)
			c.see(v, all, policy.Repository{}, by, err)
			return nil
		})
	}
	_ = reading.Wait() // each adds its own error
}

// see adds a list. What an organization sees is the organization's.
func (c *Codespaces) see(v *view, all []Codespace, place policy.Repository, by usertoken.Token, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.faults = append(v.faults, err)
	}
	for _, one := range all {
		m, ours := readName(one.DisplayName, c.config.App)
		if _, known := v.seen[one.Name]; !ours || known {
			continue
		}
		at := sight{Codespace: one, marks: m, place: place, by: by}
		at.is = c.instance(at, v.places)
		v.seen[one.Name] = at
	}
}

// all are those that were seen, the oldest first.
func (v *view) all() ([]sight, error) {
	found := slices.SortedFunc(maps.Values(v.seen), func(a, b sight) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Name, b.Name))
	})
	return found, errors.Join(v.faults...)
}

// unseenError is that a person's codespaces cannot be seen. It has no cause: that the
// calls of one are used up is nothing that others wait for.
type unseenError struct {
	person policy.Actor
	pays   bool
	why    string
}

func (e *unseenError) Error() string {
	if e.pays {
		return fmt.Sprintf("a codespace that %s pays for may run, and cannot be seen: %s", e.person.Login, e.why)
	}
	return fmt.Sprintf("list the codespaces of %s: %s", e.person.Login, e.why)
}

// own lists a person's. Somebody of whom GitHub, or they themselves, let the App see
// nothing any more hides only what they pay for.
func (c *Codespaces) own(ctx context.Context, one usertoken.Expectation) (usertoken.Token, []Codespace, error) {
	by, err := c.actFor(ctx, one.Person)
	var all []Codespace
	if err == nil {
		all, err = c.config.People.Codespaces(ctx, by)
	}
	if err == nil {
		return by, all, nil
	}
	needed, needs := errors.AsType[*NeedsUserTokenError](err)
	answer, answered := errors.AsType[*AnswerError](err)
	switch {
	case !one.Pays && (needs || answered && (answer.Status == unauthorized || answer.Status == forbidden)):
		return usertoken.Token{}, nil, nil
	case needs:
		return usertoken.Token{}, nil, fmt.Errorf("a codespace that %s pays for may run, and cannot be seen: %w", one.Person.Login, needed)
	}
	c.config.Log.Warn().Err(err).Str("event", "sandbox.unseen").Str("provider", Provider).Str("person", one.Person.Login).Msg("the codespaces of a person cannot be listed; those of others are")
	return usertoken.Token{}, nil, &unseenError{one.Person, one.Pays, err.Error()}
}

// unseen is that what an organization pays for could not be listed.
func unseen(place policy.Repository, err error) error {
	if err == nil {
		return nil
	}
	return &sandbox.UnseenError{Owner: place, Err: fmt.Errorf("list the codespaces of %s: %w", place.Owner, err)}
}

// wrap adds what was being done to an error, and nothing to nil.
func wrap(err error, doing string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(doing+": %w", append(args, err)...)
}

// mine are those with the id that are what the spec asks for, the oldest first, and those
// that are not: anybody can call one as they like. Nobody else's lists are asked than
// those that it may be in.
func (c *Codespaces) mine(ctx context.Context, wanted marks, spec sandbox.Spec, by usertoken.Token) (same, others []sight, _ error) {
	v := &view{seen: map[string]sight{}}
	var err error
	if v.places, err = c.config.Platform.Organizations(ctx); err != nil {
		return nil, nil, fmt.Errorf("list the organizations that codespaces may be in: %w", err)
	}
	look := func(all []Codespace, place policy.Repository, by usertoken.Token) {
		c.see(v, all, place, by, nil)
		seen, _ := v.all()
		same, others = nil, nil
		for _, at := range seen {
			switch {
			case at.ID != wanted.ID:
			case at.marks == wanted && at.Repository.ID == spec.For.Repository.ID && at.Owner.ID == by.Owner.ID:
				at.is.For = spec.For
				same = append(same, at)
			default:
				others = append(others, at)
			}
		}
	}
	for _, place := range v.places {
		if place.Installation != spec.For.Repository.Installation {
			continue
		}
		all, err := c.config.Platform.Codespaces(ctx, place)
		if err != nil {
			return nil, nil, fmt.Errorf("list the codespaces of %s: %w", place.Owner, err)
		}
		if look(all, place, by); len(same) > 0 {
			return same, others, nil
		}
	}
	all, err := c.config.People.Codespaces(ctx, by)
	if err != nil {
		return nil, nil, refusal(by, err)
	}
	look(all, policy.Repository{}, by)
	return same, others, nil
}

// find finds those with the id, the oldest first: there may be more than one if several
// created it at the same time. That there is none is an error of its own, and only known
// if everything could be looked through. People are asked for what no organization has.
func (c *Codespaces) find(ctx context.Context, id string) ([]sight, error) {
	if !ownID.MatchString(id) {
		return nil, sandbox.ErrUnknown
	}
	v := &view{seen: map[string]sight{}}
	expected := c.expected(ctx, v)
	for _, look := range []func(context.Context, *view, []usertoken.Expectation){c.ofOrganizations, c.ofPeople} {
		look(ctx, v, expected)
		all, err := v.all()
		switch found := slices.DeleteFunc(all, func(at sight) bool { return at.ID != id }); {
		case len(found) > 0:
			return found, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("look for the sandbox %s: %w", id, err)
		}
	}
	if _, err := v.all(); err != nil {
		return nil, fmt.Errorf("look for the sandbox %s: %w", id, err)
	}
	return nil, sandbox.ErrUnknown
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
	} else {
		is.ActsAs = at.Owner
	}
	if is.Status == sandbox.StatusIdle {
		is.StartBy = at.CreatedAt.Add(min(startTime, at.Lifetime))
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
