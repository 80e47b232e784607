package killswitch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// Issue is an issue, or the issue's side of a pull request.
type Issue struct {
	Number int
	Open   bool
	Title  string
	Author policy.Actor
	Labels []string
}

// Issues is what the switch asks GitHub about the issues that carry it, and does to
// them.
type Issues interface {
	// OpenIssue opens an issue with the label and returns its number.
	OpenIssue(ctx context.Context, repository policy.Repository, title, body, label string) (int, error)
	// FindIssues lists the open issues with the label, the oldest first.
	FindIssues(ctx context.Context, repository policy.Repository, label string) ([]Issue, error)
	// Issue reads one; found is false if it is not there any more.
	Issue(ctx context.Context, repository policy.Repository, number int) (issue Issue, found bool, err error)
	// PutIssueSection makes our part of the issue's text say what section says.
	PutIssueSection(ctx context.Context, repository policy.Repository, number int, section string) error
	AddLabel(ctx context.Context, repository policy.Repository, number int, label string) error
	RemoveLabel(ctx context.Context, repository policy.Repository, number int, label string) error
	SetIssueState(ctx context.Context, repository policy.Repository, number int, open bool) error
	// WhoTook finds who last took the label off the carrier, or closed or moved it, since
	// that time, the App's command line included; found is false if nobody did.
	WhoTook(ctx context.Context, carrier Carrier, since time.Time) (by policy.Actor, at time.Time, found bool, err error)
	// WhoPut finds who last put the label on the carrier, or opened it again, since that
	// time, the App included; found is false if nobody did whose act still stands.
	WhoPut(ctx context.Context, carrier Carrier, since time.Time) (by policy.Actor, at time.Time, found bool, err error)
	// Reply comments once for each key.
	Reply(ctx context.Context, about policy.PullRequestRef, key string, since time.Time, body string) error
}

// Locks flips locks. A place without a name is an organization.
type Locks interface {
	// PutLock makes GitHub forbid updates of the branches, or no longer: by the lock's
	// property if it has one, and otherwise by the ruleset with its id, which with id 0
	// is found or created. It returns the ruleset's id.
	PutLock(ctx context.Context, place policy.Repository, lock Lock) (int64, error)
	// Locked reports whether GitHub says that the lock forbids updates of the branch.
	Locked(ctx context.Context, witness Witness, lock Lock) (bool, error)
	// ReadLock reads what the lock was put by; Enforced is false if that does not do all
	// that was put.
	ReadLock(ctx context.Context, place policy.Repository, lock Lock) (there Lock, found bool, err error)
}

// People answers who may.
type People interface {
	// Policies reads the files that govern the repository; base is one more branch.
	Policies(ctx context.Context, repository policy.Repository, base string) ([]policy.PolicyText, error)
	Standing(ctx context.Context, repository policy.Repository, person policy.Actor, ask policy.Ask) (policy.Standing, error)
	// FindRepository finds a repository of the owner by its name.
	FindRepository(ctx context.Context, owner policy.Repository, name string) (repository policy.Repository, branch string, err error)
}

// Platform is all that the switch asks of GitHub.
type Platform interface {
	Issues
	Locks
	Queues
	People
}

// Store keeps switches. Each method is one transaction.
type Store interface {
	// Switch returns the switch of the scope, the zero Switch with that scope if there
	// never was one.
	Switch(ctx context.Context, scope Scope) (Switch, error)
	// InForce lists the switches that are on or being lifted and that cover the scope;
	// with the zero Scope, all of them.
	InForce(ctx context.Context, scope Scope) ([]Switch, error)
	// Change lets change the switch, and keeps it with the entries that it returns; nil
	// for no change at all. wake asks for the place's work.
	Change(ctx context.Context, scope Scope, wake bool, change func(*Switch) (changed bool, entries []audit.Entry)) (Switch, error)
	// Audit records an act that has no other effect.
	Audit(ctx context.Context, entry audit.Entry) error
}

// Gates are the gates in a scope. Each method is one transaction.
type Gates interface {
	// MarkGates has the open gates in scope decided anew, those first that may show
	// green; once for each key.
	MarkGates(ctx context.Context, scope Scope, key string) error
	// MarkedGates counts those that were not decided anew yet, and those of them that
	// may still show an old green.
	MarkedGates(ctx context.Context, scope Scope) (left, green int, err error)
	// ResumeGates has those that GitHub would merge by itself decided anew, one after
	// the other.
	ResumeGates(ctx context.Context, scope Scope) error
	// Bases lists the branches that the open pull requests in scope would be merged to.
	Bases(ctx context.Context, scope Scope) ([]string, error)
}

// Config is what a switch is made of. Every field but Deputies, Stoppers and the
// properties is required.
type Config struct {
	GitHub Platform
	Store  Store
	Gates  Gates
	// Deputies lists the sandboxes in a repository that have a person's rights, or had them
	// at that time or later; nil: there are none.
	Deputies func(ctx context.Context, repository policy.Repository, since time.Time) ([]policy.Deputy, error)
	// Stoppers are stopped beside the gates, by name.
	Stoppers map[string]Stopper
	Now      func() time.Time
	Log      zerolog.Logger
	// OrganizationRepository is the name of the repository whose issues stop an
	// organization.
	OrganizationRepository string
	// RepositoryProperty and OrganizationProperty are the custom properties that lock
	// where the App may not write rulesets; empty: none does.
	RepositoryProperty, OrganizationProperty string
	// OwnIssue has a stop open an issue even if one carries the label: for whoever does
	// not know whether what that one stops is being started again.
	OwnIssue bool
	// Self is the login of the App's own account.
	Self func(ctx context.Context) (string, error)
}

// GitHubKillSwitch is the [KillSwitch] whose truth is a label.
type GitHubKillSwitch struct {
	config Config

	mu sync.RWMutex
	// labels are the names that policies give to the label, by place.
	labels map[string]policy.SwitchRules
}

var _ KillSwitch = (*GitHubKillSwitch)(nil)

// NewGitHubKillSwitch returns a switch. It makes no call.
func NewGitHubKillSwitch(config Config) *GitHubKillSwitch {
	return &GitHubKillSwitch{config: config, labels: map[string]policy.SwitchRules{}}
}

// Activate throws the switch of the scope. From the moment it returns nil nothing
// in the scope opens, is lent or is started; that GitHub is made to agree follows.
func (k *GitHubKillSwitch) Activate(ctx context.Context, scope Scope, by policy.Actor, reason string) error {
	now := k.config.Now()
	return k.throw(ctx, scope, Thrown{By: by, Reason: reason, At: now, HeardAt: now, Verified: true})
}

func (k *GitHubKillSwitch) throw(ctx context.Context, scope Scope, t Thrown) error {
	if t.HeardAt.IsZero() {
		t.HeardAt = k.config.Now()
	}
	_, err := k.config.Store.Change(ctx, scope, true, func(sw *Switch) (bool, []audit.Entry) {
		was := sw.State
		if !sw.Throw(t) {
			return false, nil
		}
		action := "killswitch.on"
		if was != StateOff {
			action = "killswitch.again"
		}
		return true, []audit.Entry{k.entry(action, sw, t.By, t.Reason)}
	})
	if err != nil {
		return fmt.Errorf("throw the kill switch of %s: %w", scope, err)
	}
	return nil
}

// Deactivate asks to start again. The gates are decided anew and the lock is lifted
// once enough have asked.
func (k *GitHubKillSwitch) Deactivate(ctx context.Context, scope Scope, by policy.Actor) error {
	return k.ask(ctx, scope, Request{By: by, At: k.config.Now()})
}

// IsActive reports whether a switch that covers the scope is on, or is being lifted.
func (k *GitHubKillSwitch) IsActive(ctx context.Context, scope Scope) (bool, error) {
	reaching, err := k.config.Store.InForce(ctx, scope)
	return err != nil || len(reaching) > 0, err
}

// Reason is why the scope is stopped.
func (k *GitHubKillSwitch) Reason(ctx context.Context, scope Scope) (string, error) {
	reaching, err := k.config.Store.InForce(ctx, scope)
	return reason(reaching), err
}

// InForce lists the switches that cover the scope, agents' switches included; with
// the zero Scope, all that are on or being lifted.
func (k *GitHubKillSwitch) InForce(ctx context.Context, scope Scope) ([]Switch, error) {
	return k.config.Store.InForce(ctx, scope)
}

// rules are those of the files that govern the scope. They are those of the
// built-in policy, with an error, if the files cannot be read.
func (k *GitHubKillSwitch) rules(ctx context.Context, scope Scope) (policy.SwitchRules, error) {
	repository, err := k.home(ctx, scope)
	if err != nil {
		return policy.JoinSwitchRules(nil), err
	}
	base := ""
	if scope.Number != 0 {
		bases, err := k.config.Gates.Bases(ctx, scope)
		if err != nil {
			return policy.JoinSwitchRules(nil), err
		}
		if len(bases) > 0 {
			base = bases[0]
		}
	}
	texts, err := k.config.GitHub.Policies(ctx, repository, base)
	if err != nil {
		return policy.JoinSwitchRules(nil), fmt.Errorf("read who may stop and start %s: %w", scope, err)
	}
	sources := make([]policy.PolicySource, len(texts))
	for i, text := range texts {
		sources[i] = policy.LoadPolicy(text)
	}
	rules := policy.JoinSwitchRules(sources)
	k.learn(scope, rules)
	return rules, nil
}

// home is the repository in which people are asked about, and whose issue carries
// the switch.
func (k *GitHubKillSwitch) home(ctx context.Context, scope Scope) (policy.Repository, error) {
	if !scope.IsOrganization() {
		return scope.Repository, nil
	}
	repository, _, err := k.config.GitHub.FindRepository(ctx, scope.Repository, k.config.OrganizationRepository)
	if err != nil {
		return policy.Repository{}, fmt.Errorf("find the repository whose issues stop %s: %w", scope, err)
	}
	return repository, nil
}

// Learn remembers what the policies of a repository call the label, so that a
// webhook about it is known as urgent.
func (k *GitHubKillSwitch) Learn(repository policy.Repository, rules policy.SwitchRules) {
	k.learn(Scope{Repository: repository}, rules)
}

func (k *GitHubKillSwitch) learn(scope Scope, rules policy.SwitchRules) {
	scope.Number = 0
	k.mu.Lock()
	defer k.mu.Unlock()
	k.labels[scope.place()] = rules
}

// Means reports whether a label of that name is the switch in the repository, as far
// as is known here, and whether it is the one that stops agents only. The built-in
// name always is.
func (k *GitHubKillSwitch) Means(repository policy.Repository, label string) (is, agents bool) {
	if is, agents = policy.JoinSwitchRules(nil).Means(label); is {
		return is, agents
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.labels[Scope{Repository: repository}.place()].Means(label)
}

// DefaultLabels are the names that the label has by the built-in policy.
func DefaultLabels(policy.Repository) []string {
	return labelNames(policy.JoinSwitchRules(nil).Label(false))
}

func labelNames(labels ...string) []string {
	var all []string
	for _, label := range labels {
		for _, name := range []string{label, label + policy.AgentsSuffix} {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// Labels are the names that the label may have in the repository, as far as is
// known here.
func (k *GitHubKillSwitch) Labels(repository policy.Repository) []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return labelNames(append([]string{policy.JoinSwitchRules(nil).Label(false)}, k.labels[Scope{Repository: repository}.place()].Labels...)...)
}

func (k *GitHubKillSwitch) entry(action string, sw *Switch, by policy.Actor, detail string) audit.Entry {
	return audit.Entry{At: k.config.Now(), Actor: cmp.Or(by.Login, audit.Itself), ActorID: by.ID, Action: action, Subject: sw.String(), Detail: detail}
}

// refusedCall is what an error of GitHub's tells of itself.
type refusedCall interface{ Refused() bool }

// refused reports whether GitHub does not let the App do it: asking again changes
// nothing until somebody grants more.
func refused(err error) bool {
	call, ok := errors.AsType[interface {
		error
		refusedCall
	}](err)
	return ok && call.Refused()
}

// invalid reports whether GitHub does not take what was put as it is.
func invalid(err error) bool {
	call, ok := errors.AsType[interface {
		error
		Invalid() bool
	}](err)
	return ok && call.Invalid()
}
