package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// installationEvent is a change of what the App may reach: there may be open pull
// requests that it has never seen.
type installationEvent struct{ *Door }

// reachActions are the changes after which more can be read or written.
var reachActions = []string{"created", "unsuspend", "new_permissions_accepted", "added"}

// lossActions are the changes after which nothing can be read or written.
var lossActions = []string{"suspend", "deleted"}

func (installationEvent) Handles() []string {
	return []string{"installation", "installation_repositories"}
}

func (installationEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.InstallationEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	if e.GetInstallation().GetID() == 0 {
		return policy.PullRequestRef{}, ignored, errIncomplete
	}
	return policy.PullRequestRef{}, onlyIf(slices.Contains(reachActions, e.GetAction()) || slices.Contains(lossActions, e.GetAction()) || e.GetAction() == "removed"), nil
}

// endRemoved ends what is lent and what runs in repositories that were taken from the
// App. One that was transferred is told of in no other way.
func (d installationEvent) endRemoved(ctx context.Context, payload []byte) error {
	e, err := parse[github.InstallationRepositoriesEvent](payload)
	if err != nil {
		return err
	}
	var errs []error
	for _, gone := range e.RepositoriesRemoved {
		repo := policy.Repository{Installation: e.GetInstallation().GetID(), ID: gone.GetID(), Owner: e.GetInstallation().GetAccount().GetLogin(), Name: gone.GetName()}
		errs = append(errs, d.endIn(ctx, repo, fmt.Sprintf("%s was taken from the App", repo), actor(e.GetSender())))
	}
	return errors.Join(errs...)
}

// endIn ends all that is lent and all that runs in a repository.
func (d *Door) endIn(ctx context.Context, repo policy.Repository, reason string, by policy.Actor) error {
	var errs []error
	if d.config.Lending != nil {
		errs = append(errs, d.config.Lending.EndIn(ctx, repo, reason, by))
	}
	if d.config.Sandboxes != nil {
		errs = append(errs, d.config.Sandboxes.EndIn(ctx, repo, sandbox.Ending{Reason: reason, By: by}))
	}
	return errors.Join(errs...)
}

// take has all open pull requests of the installation compared with what was seen
// of them, or records that nothing is enforced there any more.
func (d installationEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.InstallationEvent](payload)
	if err != nil {
		return nil, err
	}
	if err := d.config.Reach(ctx); err != nil {
		return nil, err
	}
	if e.GetAction() == "removed" {
		return nil, d.endRemoved(ctx, payload)
	}
	if slices.Contains(lossActions, e.GetAction()) {
		owner := policy.Repository{Installation: e.GetInstallation().GetID(), Owner: e.GetInstallation().GetAccount().GetLogin()}
		// What cannot be ended keeps nothing else from being seen.
		lost := d.config.Switch.Lost(ctx, e.GetInstallation().GetID(), e.GetInstallation().GetAccount().GetLogin(), actor(e.GetSender()), e.GetAction())
		if d.config.Sandboxes == nil {
			return nil, lost
		}
		return nil, errors.Join(lost, d.config.Sandboxes.EndIn(ctx, owner, sandbox.Ending{Reason: fmt.Sprintf("the App's installation in %s was ended or suspended", owner.Owner), By: actor(e.GetSender())}))
	}
	return nil, d.config.Resync(ctx, e.GetInstallation().GetID())
}
