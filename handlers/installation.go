package handlers

import (
	"context"
	"slices"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
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
	return policy.PullRequestRef{}, onlyIf(slices.Contains(reachActions, e.GetAction()) || slices.Contains(lossActions, e.GetAction())), nil
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
	if slices.Contains(lossActions, e.GetAction()) {
		return nil, d.config.Switch.Lost(ctx, e.GetInstallation().GetID(), e.GetInstallation().GetAccount().GetLogin(), actor(e.GetSender()), e.GetAction())
	}
	return nil, d.config.Resync(ctx, e.GetInstallation().GetID())
}
