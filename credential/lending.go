package credential

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Part is what credentials are called among the parts that a kill switch ends.
const Part = "credentials"

// Judge judges whether a credential may be lent on a pull request. An error means that
// it is not known.
type Judge interface {
	Lend(ctx context.Context, ref policy.PullRequestRef, request policy.LoanRequest) (policy.Loan, error)
	// LendTo judges each credential that the policy lends to the environment.
	LendTo(ctx context.Context, ref policy.PullRequestRef, request policy.LoanRequest, environment string) ([]policy.Loan, error)
	// MayWrite reports whether the person may write to the repository.
	MayWrite(ctx context.Context, repository policy.Repository, person policy.Actor) (bool, error)
}

// RefusedError is returned for what the policy does not allow, or not yet, and for what
// this server cannot make.
type RefusedError struct {
	Why string
	// Waits is true if approvals would change it.
	Waits bool
	cause error
}

func (e *RefusedError) Error() string { return e.Why }

// Unwrap returns why in the words of whoever refused it, if it was not the policy.
func (e *RefusedError) Unwrap() error { return e.cause }

// refused is a [*RefusedError] for what asking again does not change.
func refused(err error) error { return &RefusedError{Why: err.Error(), cause: err} }

// Lending lends what the policy names to who may have it, and ends it when that is not
// so any more.
type Lending struct {
	issuer *GitHubJITCredentialIssuer
	github Platform
	judge  Judge
	store  Leases
	now    func() time.Time

	deployments Deployments
	gatekeeper  Gatekeeper
}

// NewLending returns a Lending over an issuer that asks its Permit.
func NewLending(config Config, judge Judge, deployments Deployments, gatekeeper Gatekeeper) *Lending {
	l := &Lending{github: config.GitHub, judge: judge, store: config.Store, now: config.Now, deployments: deployments, gatekeeper: gatekeeper}
	config.Permit = l.permit
	l.issuer = NewGitHubJITCredentialIssuer(config)
	return l
}

// Ask is somebody's wish for a credential on a pull request.
type Ask struct {
	On   policy.PullRequestRef
	Loan policy.LoanRequest
	// Key is the idempotency key.
	Key string
	// Run is the workflow run it is for; 0: any.
	Run int64
	// Sandbox is the id of the one that it is given to hosts for; empty: for none.
	Sandbox string
	// Job is the job that asks, and is handed the credential; nil: it is delivered as a
	// secret at GitHub.
	Job *Job
}

// Lend lends what is asked for. It returns a [*RefusedError] for what may not be lent.
func (l *Lending) Lend(ctx context.Context, ask Ask) (JITCredential, policy.Loan, error) {
	loan, err := l.judge.Lend(ctx, ask.On, ask.Loan)
	if err != nil {
		return JITCredential{}, loan, err
	}
	slot, attempt, job := Slot{Environment: loan.Rule.Environment, Name: loan.Rule.Secret}, 0, int64(0)
	if ask.Job != nil {
		if why := ask.Job.unfit(loan); why != "" {
			return JITCredential{}, loan, &RefusedError{Why: why}
		}
		slot.Name, attempt, job = "", ask.Job.Attempt, ask.Job.ID
	}
	if ask.Sandbox != "" {
		slot.Name = ""
		if slot.Environment != "" {
			return JITCredential{}, loan, &RefusedError{Why: "it is lent to jobs of the environment " + slot.Environment + ", and a sandbox is of none"}
		}
	}
	if !loan.Granted {
		return JITCredential{}, loan, &RefusedError{Why: loan.Why, Waits: loan.Waits}
	}
	place := killswitch.PullRequest(ask.On)
	place.Agents = loan.ByAgent
	lent, err := l.issuer.Issue(ctx, Request{
		For: place, Scope: loan.Rule.Scope, TTL: loan.TTL, Key: ask.Key, Credential: loan.Credential, Provider: loan.Rule.Provider, Source: loan.Rule.Source,
		Slot:    slot,
		HeadSHA: loan.HeadSHA, Run: ask.Run, Attempt: attempt, Job: job, Sandbox: ask.Sandbox, RequestedBy: ask.Loan.By, ApprovedBy: loan.ApprovedBy, Policy: loan.Policy,
	})
	return lent, loan, err
}

// permit is a [*RefusedError] for a lease that may not be lent any more. That one half
// cannot be told does not hide that the other refuses.
func (l *Lending) permit(ctx context.Context, lease Lease) error {
	var unknown error
	if lease.State == StateActive {
		unknown = l.remains(ctx, &lease)
		if _, refused := errors.AsType[*RefusedError](unknown); refused {
			return unknown
		}
	}
	return errors.Join(unknown, l.allowed(ctx, lease))
}

// allowed is a [*RefusedError] for a lease that the policy does not allow any more.
func (l *Lending) allowed(ctx context.Context, lease Lease) error {
	on := policy.PullRequestRef{Repository: lease.Slot.Repository, Number: lease.Number}
	loan, err := l.judge.Lend(ctx, on, policy.LoanRequest{Credential: lease.Credential, By: lease.RequestedBy, Scope: lease.Scope, Run: lease.Run != 0, Sandbox: lease.Sandbox != ""})
	switch {
	case err != nil:
		return err
	case !loan.Granted:
		return &RefusedError{Why: loan.Why, Waits: loan.Waits}
	case loan.HeadSHA != lease.HeadSHA:
		return &RefusedError{Why: fmt.Sprintf("the head is now %.7s, and it was lent for %.7s", loan.HeadSHA, lease.HeadSHA)}
	case loan.Rule.Secret != lease.Slot.Name && lease.Slot.Name != "", loan.Rule.Environment != lease.Slot.Environment, loan.Rule.Provider != lease.Provider:
		return &RefusedError{Why: "the policy says something else of it now"}
	case lease.CreatedAt.Add(loan.TTL).Before(l.now()):
		return &RefusedError{Why: "the policy lends it for a shorter time now"}
	default:
		return nil
	}
}

// remains is a [*RefusedError] if the place or the run that it was lent for has ended;
// it puts the name into the lease that the repository has now.
func (l *Lending) remains(ctx context.Context, lease *Lease) error {
	was := lease.Slot.Repository
	located, found, err := l.github.Locate(ctx, was)
	switch {
	case err != nil:
		return err
	case !found:
		return &RefusedError{Why: fmt.Sprintf("the App cannot reach %s any more", was)}
	case !strings.EqualFold(located.Repository.Owner, was.Owner):
		return &RefusedError{Why: fmt.Sprintf("%s was transferred", was)}
	case located.Archived:
		return &RefusedError{Why: fmt.Sprintf("%s was archived", was)}
	}
	lease.Slot.Repository = located.Repository
	if lease.Run == 0 {
		return nil
	}
	run, err := l.gatekeeper.WorkflowRun(ctx, located.Repository, lease.Run)
	if err != nil {
		return err
	}
	if run.Ended || lease.Attempt != 0 && run.Attempt != lease.Attempt {
		return &RefusedError{Why: "its run has ended"}
	}
	ended, err := l.jobsEnded(ctx, *lease)
	if ended {
		return &RefusedError{Why: "its job has ended"}
	}
	return err
}

// Review ends what is lent on the pull request and may not be any more. What cannot be
// judged stays as it is, and is an error.
func (l *Lending) Review(ctx context.Context, on policy.PullRequestRef) error {
	leases, err := l.store.Leases(ctx, Selection{Scope: killswitch.PullRequest(on), Live: true})
	if err != nil {
		return err
	}
	var errs []error
	for _, lease := range leases {
		if lease.State == StateActive {
			errs = append(errs, l.review(ctx, lease))
		}
	}
	return errors.Join(errs...)
}

func (l *Lending) review(ctx context.Context, lease Lease) error {
	err := l.permit(ctx, lease)
	refusal, refused := errors.AsType[*RefusedError](err)
	if !refused {
		return err
	}
	return l.issuer.End(ctx, lease.ID, Ending{Reason: refusal.Why, At: l.now()})
}

// Revoke ends what is lent in the repository under that id, or on the pull request under
// that name of the policy's, and counts it. Whoever asked for it or may write may end it.
func (l *Lending) Revoke(ctx context.Context, on policy.PullRequestRef, what string, by policy.Actor) (ended int, err error) {
	leases, err := l.store.Leases(ctx, Selection{RepositoryID: on.Repository.ID, Live: true})
	if err != nil {
		return 0, err
	}
	leases = slices.DeleteFunc(leases, func(lease Lease) bool {
		return lease.ID != what && (lease.Credential != what || lease.Number != on.Number)
	})
	if len(leases) == 0 {
		return 0, &RefusedError{Why: fmt.Sprintf("nothing that is lent here has the id or name %q", what)}
	}
	if slices.ContainsFunc(leases, func(lease Lease) bool { return lease.RequestedBy.ID != by.ID }) {
		may, err := l.judge.MayWrite(ctx, on.Repository, by)
		if err != nil {
			return 0, err
		}
		if !may {
			return 0, &RefusedError{Why: fmt.Sprintf("only who asked for it and who may write here end it, and %s is neither", by)}
		}
	}
	var errs []error
	for _, lease := range leases {
		errs = append(errs, l.issuer.End(ctx, lease.ID, Ending{Reason: by.String() + " revoked it", By: by, At: l.now()}))
	}
	return len(leases), errors.Join(errs...)
}

// SandboxEnded ends what was lent for a sandbox in the repository.
func (l *Lending) SandboxEnded(ctx context.Context, repository policy.Repository, id, reason string) error {
	leases, err := l.store.Leases(ctx, Selection{RepositoryID: repository.ID, Live: true})
	if err != nil {
		return err
	}
	var errs []error
	for _, lease := range leases {
		if lease.Sandbox == id {
			errs = append(errs, l.issuer.End(ctx, lease.ID, Ending{Reason: "its sandbox has ended: " + reason, At: l.now()}))
		}
	}
	return errors.Join(errs...)
}

// IsLent reports whether a credential is accepted still.
func (l *Lending) IsLent(ctx context.Context, id string) (bool, error) {
	return l.issuer.IsValid(ctx, id)
}

// EndIn ends all that is lent in a repository.
func (l *Lending) EndIn(ctx context.Context, repository policy.Repository, reason string, by policy.Actor) error {
	_, err := l.store.EndLeases(ctx, Selection{RepositoryID: repository.ID}, Ending{Reason: reason, By: by, At: l.now(), Place: repository.String()})
	return err
}

// Clear does what is to be done next about the installation's leases, as
// [GitHubJITCredentialIssuer.Clear] does.
func (l *Lending) Clear(ctx context.Context, installation int64) (again time.Time, _ error) {
	return l.issuer.Clear(ctx, installation)
}

// End ends one for a reason, as [GitHubJITCredentialIssuer.End] does.
func (l *Lending) End(ctx context.Context, id string, end Ending) error {
	return l.issuer.End(ctx, id, end)
}

// Forget closes the record of one that is stuck, as [GitHubJITCredentialIssuer.Forget]
// does.
func (l *Lending) Forget(ctx context.Context, id string, end Ending) error {
	return l.issuer.Forget(ctx, id, end)
}

// SweepOn deletes what no lease accounts for, as [GitHubJITCredentialIssuer.SweepOn] does.
func (l *Lending) SweepOn(ctx context.Context, installation, after int64) (last int64, next time.Time, _ error) {
	return l.issuer.SweepOn(ctx, installation, after)
}

// Lent lists what is lent on the pull request and not cleared away.
func (l *Lending) Lent(ctx context.Context, on policy.PullRequestRef) ([]Lease, error) {
	return l.store.Leases(ctx, Selection{Scope: killswitch.PullRequest(on), Live: true})
}

// Stop ends what is lent in the scope; a switch that is thrown has done so in its own
// transaction, and this is what is left.
func (l *Lending) Stop(ctx context.Context, scope killswitch.Scope) (ended int, err error) {
	return l.store.EndLeases(ctx, Selection{Scope: scope}, Ending{Reason: "the kill switch", At: l.now(), Place: scope.String()})
}
