package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Deployment is what jobs of a run wait for before they start: Portcullis's word on
// their environment, which has Portcullis as a deployment protection rule. GitHub takes
// one word for all jobs of a run that wait for one environment.
type Deployment struct {
	// On is the pull request that the run is on.
	On          policy.PullRequestRef
	Run         int64
	Environment string
	// By is who started the run.
	By policy.Actor
	// Jobs are the deployments at GitHub, one for each job, that were asked for and have
	// not ended; without any there is nothing to keep.
	Jobs []int64
	// Key tells this time from the next that the environment is asked for in the run.
	Key string
	// Told is what was last said of it, and Approved true once the jobs may start.
	Told     string
	Approved bool
}

func (d Deployment) String() string {
	return fmt.Sprintf("the deployment to %s in run %d of %s", d.Environment, d.Run, d.On.Repository)
}

// Deployments are the jobs that wait, or run with what was lent to them. Each method is
// one transaction.
type Deployments interface {
	// ChangeDeployment changes the one with the repository, run and environment of which;
	// what is not known yet is which itself. One without jobs is forgotten. If wake is
	// true its pull request is looked at next.
	ChangeDeployment(ctx context.Context, which Deployment, change func(d *Deployment) (wake bool)) (Deployment, error)
	// Deployment is the one with the repository, run and environment of which; one that is
	// not known has no jobs.
	Deployment(ctx context.Context, which Deployment) (Deployment, error)
	// ForgetRun forgets all that a run's jobs waited for.
	ForgetRun(ctx context.Context, repository policy.Repository, run int64) error
	// WaitingDeployments lists those of a pull request that are not approved.
	WaitingDeployments(ctx context.Context, on policy.PullRequestRef) ([]Deployment, error)
}

// Run is a workflow run as GitHub has it now.
type Run struct {
	HeadSHA string
	// Event is what started it, as pull_request.
	Event string
	// Attempt counts how many times it was started.
	Attempt int
	// Ended is true once all its jobs have, or if it is not there any more.
	Ended bool
}

// Gatekeeper gives GitHub Portcullis's word on jobs that wait.
type Gatekeeper interface {
	// WorkflowRun reads a run.
	WorkflowRun(ctx context.Context, repository policy.Repository, run int64) (Run, error)
	// JobEnded and DeploymentEnded report whether a job has ended, by its own number or by
	// that of its deployment.
	JobEnded(ctx context.Context, repository policy.Repository, job int64) (bool, error)
	DeploymentEnded(ctx context.Context, repository policy.Repository, deployment int64) (bool, error)
	// ReviewDeployment approves or rejects; with neither it only says something. That
	// nothing waits any more is no error.
	ReviewDeployment(ctx context.Context, d Deployment, state ReviewState, comment string) error
}

// ReviewState is a word on a deployment.
type ReviewState string

// The words.
const (
	ReviewComment  ReviewState = ""
	ReviewApproved ReviewState = "approved"
	ReviewRejected ReviewState = "rejected"
)

// Wait keeps that a job waits. The word on it follows once its pull request is decided;
// a run that is on none gets it at once.
func (l *Lending) Wait(ctx context.Context, d Deployment, job int64) error {
	if d.On.Number == 0 {
		return l.conclude(ctx, d, ReviewRejected, "This run is not on the head of an open pull request, and Portcullis lends only what was approved on one.")
	}
	d.Key = fmt.Sprintf("run:%d:%s:%d", d.Run, strings.ToLower(d.Environment), job)
	_, err := l.deployments.ChangeDeployment(ctx, d, func(d *Deployment) bool {
		if !slices.Contains(d.Jobs, job) {
			d.Jobs, d.Approved, d.Told = append(d.Jobs, job), false, ""
		}
		return true
	})
	return err
}

// EndedJob is a job that has ended.
type EndedJob struct {
	Repository policy.Repository
	Run, ID    int64
	// Environment is the one that it was of, and Deployment its deployment there; empty
	// and 0: none.
	Environment string
	Deployment  int64
}

// JobEnded ends what was handed to the job, and with the last of a run's jobs that waited
// for one environment what was lent to those.
func (l *Lending) JobEnded(ctx context.Context, job EndedJob) error {
	selected := Selection{RepositoryID: job.Repository.ID, Run: job.Run, Live: true}
	leases, err := l.store.Leases(ctx, selected)
	if err != nil {
		return err
	}
	end := Ending{Reason: "its job has ended", At: l.now(), Place: job.Repository.String()}
	for _, lease := range leases {
		if lease.Job == job.ID && job.ID != 0 {
			if err := l.issuer.End(ctx, lease.ID, end); err != nil {
				return err
			}
		}
	}
	if job.Environment == "" {
		return nil
	}
	last, which := false, Deployment{On: policy.PullRequestRef{Repository: job.Repository}, Run: job.Run, Environment: job.Environment}
	_, err = l.deployments.ChangeDeployment(ctx, which, func(d *Deployment) bool {
		if last = slices.Equal(d.Jobs, []int64{job.Deployment}); !last {
			d.Jobs = slices.DeleteFunc(d.Jobs, func(j int64) bool { return j == job.Deployment })
		}
		return false
	})
	if err != nil || !last {
		return err
	}
	selected.Environment = job.Environment
	if _, err := l.store.EndLeases(ctx, selected, end); err != nil {
		return err
	}
	return l.forget(ctx, which)
}

// jobsEnded asks GitHub whether the job that the lease was handed to has ended, or those
// that waited for it.
func (l *Lending) jobsEnded(ctx context.Context, lease Lease) (bool, error) {
	if lease.Job != 0 {
		return l.gatekeeper.JobEnded(ctx, lease.Slot.Repository, lease.Job)
	}
	d, err := l.deployments.Deployment(ctx, Deployment{On: policy.PullRequestRef{Repository: lease.Slot.Repository}, Run: lease.Run, Environment: lease.Slot.Environment})
	if err != nil || len(d.Jobs) == 0 || lease.Slot.Name == "" {
		return false, err
	}
	for _, job := range d.Jobs {
		if ended, err := l.gatekeeper.DeploymentEnded(ctx, lease.Slot.Repository, job); err != nil || !ended {
			return false, err
		}
	}
	return true, nil
}

// RunEnded ends what was lent to the run.
func (l *Lending) RunEnded(ctx context.Context, repository policy.Repository, run int64) error {
	_, err := l.store.EndLeases(ctx, Selection{RepositoryID: repository.ID, Run: run},
		Ending{Reason: "its run has ended", At: l.now(), Place: repository.String()})
	if err != nil {
		return err
	}
	return l.deployments.ForgetRun(ctx, repository, run)
}

// Deploy gives the word on what waits on the pull request: what the policy lends to the
// environment is lent, and then the jobs may start and read it. While approvals are
// missing they wait, and are told for what.
func (l *Lending) Deploy(ctx context.Context, on policy.PullRequestRef) error {
	waiting, err := l.deployments.WaitingDeployments(ctx, on)
	var errs []error
	for _, d := range waiting {
		if err := l.deploy(ctx, d); err != nil {
			errs = append(errs, fmt.Errorf("decide on %s: %w", d, err))
		}
	}
	return errors.Join(append(errs, err)...)
}

func (l *Lending) deploy(ctx context.Context, d Deployment) error {
	run, err := l.gatekeeper.WorkflowRun(ctx, d.On.Repository, d.Run)
	switch {
	case err != nil:
		return err
	case run.Ended:
		return l.forget(ctx, d)
	case unfit(run.Event) != "":
		return l.reject(ctx, d, unfit(run.Event))
	}
	request := policy.LoanRequest{By: d.By, Run: true}
	loans, err := l.judge.LendTo(ctx, d.On, request, d.Environment)
	if err != nil {
		return err
	}
	if len(loans) == 0 {
		return l.reject(ctx, d, fmt.Sprintf("The policy lends nothing to the environment %s.", d.Environment))
	}
	for _, loan := range loans {
		switch {
		case loan.HeadSHA != run.HeadSHA:
			return l.reject(ctx, d, elsewhere(run.HeadSHA, loan.HeadSHA))
		case loan.Waits:
			return l.tell(ctx, d, loan.Why)
		case !loan.Granted:
			return l.reject(ctx, d, loan.Why)
		}
	}
	for _, loan := range loans {
		request.Credential = loan.Credential
		_, _, err := l.Lend(ctx, Ask{On: d.On, Loan: request, Key: d.Key + ":" + loan.Credential, Run: d.Run})
		if why, waits := waitsFor(err); waits {
			return l.tell(ctx, d, why)
		}
		if errors.Is(err, ErrEnded) {
			return l.reject(ctx, d, err.Error())
		}
		if err != nil {
			return errors.Join(err, l.anew(ctx, d))
		}
	}
	if err := l.conclude(ctx, d, ReviewApproved, ""); err != nil {
		return err
	}
	_, err = l.deployments.ChangeDeployment(ctx, d, func(d *Deployment) bool {
		d.Approved = true
		return false
	})
	return err
}

// unfit says why nothing is lent to runs that the event starts, or returns "".
func unfit(event string) string {
	if event == "pull_request_target" || event == "workflow_run" {
		return fmt.Sprintf("A run that %s started has the rights of the default branch whatever the change is: nothing is lent to it.", event)
	}
	return ""
}

// elsewhere says that a run is not on the head that was approved.
func elsewhere(run, head string) string {
	return fmt.Sprintf("This run is on %.7s, and the pull request's head is %.7s.", run, head)
}

// waitsFor says what must happen first, if it is that.
func waitsFor(err error) (why string, waits bool) {
	if occupied, is := errors.AsType[*OccupiedError](err); is {
		return occupied.Error(), true
	}
	if refused, is := errors.AsType[*RefusedError](err); is {
		return refused.Why, true
	}
	return "", false
}

// tell says what the jobs wait for, if that is new.
func (l *Lending) tell(ctx context.Context, d Deployment, why string) error {
	if d.Told == why {
		return nil
	}
	if err := l.gatekeeper.ReviewDeployment(ctx, d, ReviewComment, why); err != nil {
		return err
	}
	_, err := l.deployments.ChangeDeployment(ctx, d, func(d *Deployment) bool {
		d.Told = why
		return false
	})
	return err
}

func (l *Lending) reject(ctx context.Context, d Deployment, why string) error {
	if err := l.conclude(ctx, d, ReviewRejected, why); err != nil {
		return err
	}
	return l.forget(ctx, d)
}

// conclude gives the last word, which is on record first.
func (l *Lending) conclude(ctx context.Context, d Deployment, state ReviewState, why string) error {
	place := killswitch.Scope{Repository: d.On.Repository, Number: d.On.Number}
	err := l.store.Audit(ctx, audit.Entry{
		At: l.now(), Actor: cmp.Or(d.By.Login, audit.Itself), ActorID: d.By.ID, Action: "deployment." + string(state), Subject: place.String(),
		Detail: strings.TrimSuffix(fmt.Sprintf("run %d, environment %s: %s", d.Run, d.Environment, why), ": "),
	})
	if err != nil {
		return err
	}
	return l.gatekeeper.ReviewDeployment(ctx, d, state, why)
}

// anew has what could not be lent be asked for under another key: under this one it is
// on record as failed.
func (l *Lending) anew(ctx context.Context, d Deployment) error {
	_, err := l.deployments.ChangeDeployment(ctx, d, func(d *Deployment) bool {
		d.Key += "+"
		return false
	})
	return err
}

func (l *Lending) forget(ctx context.Context, d Deployment) error {
	_, err := l.deployments.ChangeDeployment(ctx, d, func(d *Deployment) bool {
		d.Jobs = nil
		return false
	})
	return err
}
