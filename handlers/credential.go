package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

// Lending lends credentials on behalf of people. [credential.Lending] fits.
type Lending interface {
	Lend(ctx context.Context, ask credential.Ask) (credential.JITCredential, policy.Loan, error)
	Revoke(ctx context.Context, on policy.PullRequestRef, what string, by policy.Actor) (ended int, err error)
	Lent(ctx context.Context, on policy.PullRequestRef) ([]credential.Lease, error)
	// Wait keeps that a job of an environment waits for a word before it starts.
	Wait(ctx context.Context, d credential.Deployment, job int64) error
	// JobEnded ends what was handed to a job, and what was lent to those of an environment
	// with the last of them.
	JobEnded(ctx context.Context, job credential.EndedJob) error
	// RunEnded ends what was lent to a workflow run.
	RunEnded(ctx context.Context, repository policy.Repository, run int64) error
	// EndIn ends all that is lent in a repository.
	EndIn(ctx context.Context, repository policy.Repository, reason string, by policy.Actor) error
}

// credential carries out a /credential command. What is not allowed is an answer, what
// could not be tried an error.
func (d *Door) credential(ctx context.Context, s speech, index int, command policy.Command) (answer, error) {
	if d.config.Lending == nil {
		return answer{refused: "`/credential` is not enabled on this server."}, nil
	}
	switch command.Args[0] {
	case "issue":
		return d.lend(ctx, s, index, command.Args[1:])
	case "revoke":
		ended, err := d.config.Lending.Revoke(ctx, s.about, command.Args[1], s.By)
		if refusal, refused := errors.AsType[*credential.RefusedError](err); refused {
			return answer{refused: sentence(refusal.Why)}, nil
		}
		if ended > 0 && err == nil {
			return answer{reply: "It has ended: it is not accepted any more."}, nil
		}
		return answer{}, err
	default:
		leases, err := d.config.Lending.Lent(ctx, s.about)
		if err != nil {
			return answer{}, err
		}
		return answer{reply: lent(leases)}, nil
	}
}

// lend lends what is asked for, to nobody in whose name a sandbox could have asked.
func (d *Door) lend(ctx context.Context, s speech, index int, args []string) (answer, error) {
	if d.config.Deputies != nil {
		deputies, err := d.config.Deputies(ctx, s.about.Repository, s.At.Add(-policy.ClocksApart))
		if err != nil {
			return answer{}, err
		}
		if why := policy.SaidByDeputy(deputies, s.By, s.At); why != "" {
			return answer{refused: sentence(why)}, nil
		}
	}
	ask := credential.Ask{On: s.about, Key: s.Text.Source(index), Loan: policy.LoanRequest{Credential: args[0], By: s.By}}
	if len(args) > 1 {
		ask.Loan.TTL = args[1]
	}
	issued, loan, err := d.config.Lending.Lend(ctx, ask)
	refusal, refused := errors.AsType[*credential.RefusedError](err)
	occupied, taken := errors.AsType[*credential.OccupiedError](err)
	failed, _ := errors.AsType[*credential.FailedError](err)
	switch {
	case refused:
		return answer{refused: sentence(refusal.Why)}, nil
	case taken:
		return answer{refused: sentence(occupied.Error())}, nil
	case errors.Is(err, credential.ErrStopped):
		return answer{refused: sentence(credential.ErrStopped.Error())}, nil
	case errors.Is(err, credential.ErrUnfinished):
		return answer{refused: sentence(err.Error())}, nil
	case failed != nil:
		return answer{refused: sentence(failed.Error() + "; ask again")}, nil
	case errors.Is(err, credential.ErrEnded):
		return answer{refused: sentence(err.Error() + "; ask again")}, nil
	case err != nil:
		return answer{}, err
	}
	return answer{reply: issuedText(issued, loan)}, nil
}

// issuedText says what was lent and how to use it.
func issuedText(c credential.JITCredential, loan policy.Loan) string {
	names := strings.Join(loan.Rule.Secrets(), "`, `")
	where := fmt.Sprintf("the repository secret `%s`: a run that is queued from now on reads it", names)
	if loan.Rule.Environment != "" {
		where = fmt.Sprintf("the secret `%s` of the environment `%s`: its jobs that start from now on read it", names, loan.Rule.Environment)
	}
	if caveat := loan.Rule.Caveat(); caveat != "" {
		return fmt.Sprintf("`%s` is lent until %s, as %s. Then the secret there is deleted, or sooner: when the pull request is closed or pushed to, when an approval goes, or with `/credential revoke %s`. %s",
			loan.Credential, c.ExpiresAt.UTC().Format(time.RFC1123), where, c.ID, sentence("What was read from it stays good, for "+caveat))
	}
	return fmt.Sprintf("`%s` is lent for %s until %s, as %s. It ends sooner when the pull request is closed or pushed to, when an approval goes, or with `/credential revoke %s`.",
		loan.Credential, strings.Join(c.Scope, ", "), c.ExpiresAt.UTC().Format(time.RFC1123), where, c.ID)
}

// lent lists what is lent.
func lent(leases []credential.Lease) string {
	if len(leases) == 0 {
		return "Nothing is lent here."
	}
	var b strings.Builder
	b.WriteString("| id | credential | state | until | asked for by |\n|---|---|---|---|---|\n")
	for _, l := range leases {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", l.ID, l.Credential, l.State, l.ExpiresAt.UTC().Format(time.RFC3339), l.RequestedBy.Login)
	}
	return b.String()
}

// sentence is a sentence with a capital and a stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}
