package handlers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// repositoryEvent is a change of a repository's settings. Another default branch
// is another policy, and so is a repository that comes to hold the organization's,
// or holds it no more. What is lent in one that is archived, deleted or transferred ends.
type repositoryEvent struct{ *Door }

func (repositoryEvent) Handles() []string { return []string{"repository"} }

func (d repositoryEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.RepositoryEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	_, err = repository(e.Repo, e.Installation)
	return policy.PullRequestRef{}, onlyIf(e.GetAction() == "edited" || slices.Contains(endings, e.GetAction()) || d.governedOwner(e)), err
}

// endings are the actions with which a repository ends, as far as what was approved in
// it goes.
var endings = []string{"archived", "deleted", "transferred"}

// governsOwner reports whether the repository of that name has the policy of all
// repositories of its owner.
func (d *Door) governsOwner(name string) bool {
	return strings.EqualFold(name, d.config.OrganizationRepository)
}

// governedOwner reports whether the repository governs its owner's others, or did
// under the name that it had.
func (d repositoryEvent) governedOwner(e *github.RepositoryEvent) bool {
	return d.governsOwner(e.GetRepo().GetName()) || d.governsOwner(e.GetChanges().GetRepo().GetName().GetFrom())
}

func (d repositoryEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.RepositoryEvent](payload)
	if err != nil {
		return nil, err
	}
	if slices.Contains(endings, e.GetAction()) {
		repo, err := repository(e.Repo, e.Installation)
		if err != nil {
			return nil, err
		}
		if err := d.endIn(ctx, repo, fmt.Sprintf("%s was %s", repo, e.GetAction()), actor(e.GetSender())); err != nil {
			return nil, err
		}
	}
	scope := gate.Scope{Owner: e.GetRepo().GetOwner().GetLogin(), RepositoryID: e.GetRepo().GetID()}
	if d.governedOwner(e) {
		scope.RepositoryID = 0
	}
	return nil, d.config.Gate.Reassess(ctx, scope)
}

// labelEvent is a label of a repository that was renamed or deleted, which
// changes labels of pull requests without a word about those.
type labelEvent struct{ *Door }

func (labelEvent) Handles() []string { return []string{"label"} }

func (labelEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.LabelEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	_, err = repository(e.Repo, e.Installation)
	renamed := e.GetAction() == "edited" && e.GetChanges().GetTitle() == nil
	return policy.PullRequestRef{}, onlyIf(renamed || e.GetAction() == "deleted"), err
}

func (d labelEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.LabelEvent](payload)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.Reassess(ctx, gate.Scope{Owner: e.GetRepo().GetOwner().GetLogin(), RepositoryID: e.GetRepo().GetID()})
}

// goneLabel is the name of a label that is called something else now, or nothing;
// empty if it has its name still.
func (h *heading) goneLabel() string {
	if h.Action == "deleted" {
		return h.Label.Name
	}
	return h.Changes.Name.From
}

func (d labelEvent) throws(payload []byte) (killswitch.Scope, bool, error) {
	head, err := parse[heading](payload)
	if err != nil || head.goneLabel() == "" {
		return killswitch.Scope{}, false, err
	}
	repo, err := head.repository()
	if err != nil {
		return killswitch.Scope{}, false, err
	}
	is, agents := d.config.Switch.Means(repo, head.goneLabel())
	return d.place(repo, agents), is, nil
}

func (d labelEvent) throw(ctx context.Context, payload []byte, _ time.Time) error {
	scope, is, err := d.throws(payload)
	if err != nil || !is {
		return err
	}
	head, err := parse[heading](payload)
	if err != nil {
		return err
	}
	return d.config.Switch.Tampered(ctx, scope, actor(head.Sender), "renamed or deleted the label "+head.goneLabel())
}
