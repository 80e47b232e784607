package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// Job is a job of a workflow run, as GitHub says in the id-token that the job showed.
type Job struct {
	// Token tells the id-token from all others.
	Token string
	// Repository is the name that the repository had, as acme/shop. It is a hint: its
	// number and its owner's decide.
	Repository   string
	RepositoryID int64
	OwnerID      int64
	// Run is the workflow run, Attempt which time that runs, and ID the job's own number,
	// which its check run has too; 0: not known.
	Run     int64
	Attempt int
	ID      int64
	// Event is what started the run, and Ref what it is on: refs/heads/topic, or
	// refs/pull/7/merge.
	Event string
	Ref   string
	// HeadSHA is the commit that the run is on, once GitHub was asked. The one in the
	// id-token is another if the run is on a pull request.
	HeadSHA string
	// Environment is the one of the job; empty: none.
	Environment string
	// Workflow is the file that the job is in, for the log.
	Workflow string
	// By is who started the run.
	By policy.Actor
}

// unfit says why the loan is not for the job, or returns "".
func (j *Job) unfit(loan policy.Loan) string {
	switch environment := loan.Rule.Environment; {
	case loan.HeadSHA != j.HeadSHA:
		return elsewhere(j.HeadSHA, loan.HeadSHA)
	case environment == "" || strings.EqualFold(environment, j.Environment):
		return ""
	case j.Environment == "":
		return fmt.Sprintf("it is lent to jobs of the environment %s, and this one has none", environment)
	default:
		return fmt.Sprintf("it is lent to jobs of the environment %s, and this one is of %s", environment, j.Environment)
	}
}

// Places finds what a job runs on.
type Places interface {
	// Find finds the job's repository. found is false if the App may not act there, or if
	// the name leads to a repository or an owner with another number.
	Find(ctx context.Context, job Job) (repository policy.Repository, found bool, err error)
	// OpenFrom lists the open pull requests from the branch of the repository itself whose
	// head is that commit.
	OpenFrom(ctx context.Context, repository policy.Repository, branch, head string) (numbers []int, err error)
}

// Exchange lends to jobs that show an id-token. The credential is in the answer, and
// nothing is stored at GitHub.
type Exchange struct {
	lending *Lending
	places  Places
}

// NewExchange returns an Exchange for what the Lending lends.
func NewExchange(lending *Lending, places Places) *Exchange {
	return &Exchange{lending: lending, places: places}
}

// ErrExchanged is returned for an id-token that was exchanged for the credential before.
var ErrExchanged = errors.New("this id-token was shown for this credential before: ask GitHub for another one")

// Lend lends to the job what is asked for. It returns a [*RefusedError] for what may not
// be lent, and [ErrExchanged] from the second time on: whoever has read the first answer
// has the credential, and nobody else gets it.
func (e *Exchange) Lend(ctx context.Context, job Job, loan policy.LoanRequest) (JITCredential, error) {
	key := "oidc:" + job.Token + ":" + loan.Credential
	known, err := e.lending.store.Leases(ctx, Selection{Key: key})
	if err != nil {
		return JITCredential{}, err
	}
	if len(known) > 0 {
		return JITCredential{}, ErrExchanged
	}
	on, err := e.locate(ctx, &job)
	if err != nil {
		return JITCredential{}, err
	}
	loan.By, loan.Run = job.By, true
	lent, _, err := e.lend(ctx, Ask{On: on, Loan: loan, Key: key, Run: job.Run, Job: &job})
	switch {
	case errors.Is(err, ErrStopped):
		return JITCredential{}, &RefusedError{Why: ErrStopped.Error(), Waits: true}
	case errors.Is(err, ErrEnded), errors.Is(err, ErrUnfinished), err == nil && lent.Token.IsZero() && len(lent.Values) == 0:
		// Somebody else showed it at the same time.
		return JITCredential{}, ErrExchanged
	}
	return lent, err
}

// lend lends, and puts on record that it was refused for good. One that waits asks again
// and again.
func (e *Exchange) lend(ctx context.Context, ask Ask) (JITCredential, policy.Loan, error) {
	lent, loan, err := e.lending.Lend(ctx, ask)
	refusal, refused := errors.AsType[*RefusedError](err)
	if !refused || refusal.Waits {
		return lent, loan, err
	}
	return lent, loan, errors.Join(err, e.lending.store.Audit(ctx, audit.Entry{
		At: e.lending.now(), Actor: cmp.Or(ask.Loan.By.Login, audit.Itself), ActorID: ask.Loan.By.ID, Action: "credential.refused", Subject: ask.On.String(), Commit: ask.Job.HeadSHA,
		Detail: fmt.Sprintf("%s for an id-token of run %d: %s", ask.Loan.Credential, ask.Run, refusal.Why),
	}))
}

// locate finds the pull request that the job's run is on, and the commit.
func (e *Exchange) locate(ctx context.Context, job *Job) (on policy.PullRequestRef, _ error) {
	if why := unfit(job.Event); why != "" {
		return on, &RefusedError{Why: why}
	}
	repository, found, err := e.places.Find(ctx, *job)
	if err != nil {
		return on, err
	}
	if !found {
		return on, &RefusedError{Why: fmt.Sprintf("the App is not installed in %s", job.Repository)}
	}
	run, err := e.lending.gatekeeper.WorkflowRun(ctx, repository, job.Run)
	switch {
	case err != nil:
		return on, err
	case run.Ended || run.Attempt != job.Attempt:
		return on, &RefusedError{Why: "its run has ended"}
	case run.Event != job.Event:
		return on, &RefusedError{Why: fmt.Sprintf("its run was started by %s, and not by %s", run.Event, job.Event)}
	}
	if job.ID != 0 {
		ended, err := e.lending.gatekeeper.JobEnded(ctx, repository, job.ID)
		if err != nil {
			return on, err
		}
		if ended {
			return on, &RefusedError{Why: "its job has ended"}
		}
	}
	on.Repository, job.HeadSHA = repository, run.HeadSHA
	on.Number, err = e.number(ctx, repository, *job)
	return on, err
}

// number is that of the pull request that the run is on: the one that its ref names, or
// the only one whose head it is on.
func (e *Exchange) number(ctx context.Context, repository policy.Repository, job Job) (int, error) {
	if rest, is := strings.CutPrefix(job.Ref, "refs/pull/"); is {
		text, _, _ := strings.Cut(rest, "/")
		if number, err := strconv.Atoi(text); err == nil && number > 0 {
			return number, nil
		}
	}
	var numbers []int
	if branch, is := strings.CutPrefix(job.Ref, "refs/heads/"); is {
		var err error
		if numbers, err = e.places.OpenFrom(ctx, repository, branch, job.HeadSHA); err != nil {
			return 0, err
		}
	}
	switch len(numbers) {
	case 1:
		return numbers[0], nil
	case 0:
		return 0, &RefusedError{Why: fmt.Sprintf("this run is on %.7s, which is not the head of an open pull request, and Portcullis lends only what was approved on one", job.HeadSHA)}
	default:
		return 0, &RefusedError{Why: fmt.Sprintf("this run is on the head of %d open pull requests: run it on the event pull_request, which names one", len(numbers))}
	}
}
