package handlers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// issuesEvent is a change of an issue, which may carry a kill switch.
type issuesEvent struct{ *Door }

func (issuesEvent) Handles() []string { return []string{"issues"} }

// concerns nobody's pull request.
func (issuesEvent) concerns([]byte) (policy.PullRequestRef, gate.Urgency, error) {
	return policy.PullRequestRef{}, ignored, nil
}

func (issuesEvent) take(context.Context, []byte) (Answer, error) { return Answer(nil), nil }

// issueTaken are the changes after which an issue is a switch no more, in words.
var issueTaken = map[string]string{
	"unlabeled": "took the label off", "closed": "closed the issue", "deleted": "deleted the issue", "transferred": "moved the issue away",
}

var issuePut = []string{"labeled", "opened", "reopened"}

func (d issuesEvent) throws(payload []byte) (killswitch.Scope, bool, error) {
	found, err := d.notices(payload, time.Time{})
	if err != nil || len(found) == 0 {
		return killswitch.Scope{}, false, err
	}
	return found[0].Scope, true, nil
}

func (d issuesEvent) throw(ctx context.Context, payload []byte, heardAt time.Time) error {
	found, err := d.notices(payload, heardAt)
	if err != nil {
		return err
	}
	e, err := parse[github.IssuesEvent](payload)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range found {
		if done, taken := issueTaken[e.GetAction()]; taken {
			errs = append(errs, d.config.Switch.Taken(ctx, n, done))
		} else if slices.Contains(issuePut, e.GetAction()) {
			errs = append(errs, d.config.Switch.Put(ctx, n))
		}
		// After anything else it is looked at, and mended.
	}
	return errors.Join(errs...)
}

// notices are the switches that an event is about: of one that is about a label, its
// own, and of one about the issue, those of its labels.
func (d issuesEvent) notices(payload []byte, heardAt time.Time) ([]killswitch.Notice, error) {
	e, err := parse[github.IssuesEvent](payload)
	if err != nil {
		return nil, err
	}
	repo, err := repository(e.Repo, e.Installation)
	if err != nil {
		return nil, err
	}
	labels := e.GetIssue().Labels
	if e.Label != nil {
		labels = []*github.Label{e.Label}
	}
	if e.GetAction() == "edited" && e.GetSender().GetType() != string(policy.KindUser) {
		return nil, nil // as when the App brings the text up to date
	}
	var found []killswitch.Notice
	for _, label := range labels {
		if is, agents := d.config.Switch.Means(repo, label.GetName()); is {
			found = append(found, killswitch.Notice{
				Scope:   d.place(repo, agents),
				Carrier: killswitch.Carrier{Repository: repo, Number: e.GetIssue().GetNumber(), Label: label.GetName()},
				Title:   e.GetIssue().GetTitle(), By: actor(e.GetSender()), At: e.GetIssue().GetUpdatedAt().UTC(), HeardAt: heardAt,
				Branch: e.GetRepo().GetDefaultBranch(),
			})
		}
	}
	return found, nil
}
