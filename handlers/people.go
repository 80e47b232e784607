package handlers

import (
	"context"
	"slices"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// What people may do changes without a word about pull requests. Those on which
// they voted are decided anew, and GitHub is asked again what they may do.

// membershipEvent is somebody who joined or left a team.
type membershipEvent struct{ *Door }

func (membershipEvent) Handles() []string { return []string{"membership"} }

func (membershipEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.MembershipEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	return ofOwner(e.Org, e.Installation)
}

func (d membershipEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.MembershipEvent](payload)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.Reassess(ctx, gate.Scope{Owner: e.GetOrg().GetLogin(), Voter: e.GetMember().GetID()})
}

// organizationEvent is somebody who joined or left the organization.
type organizationEvent struct{ *Door }

func (organizationEvent) Handles() []string { return []string{"organization"} }

func (organizationEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.OrganizationEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	ref, _, err := ofOwner(e.Organization, e.Installation)
	return ref, onlyIf(slices.Contains([]string{"member_added", "member_removed"}, e.GetAction())), err
}

func (d organizationEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.OrganizationEvent](payload)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.Reassess(ctx, gate.Scope{Owner: e.GetOrganization().GetLogin(), Voter: e.GetMembership().GetUser().GetID()})
}

// memberEvent is somebody whose role in one repository changed.
type memberEvent struct{ *Door }

func (memberEvent) Handles() []string { return []string{"member"} }

func (memberEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.MemberEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	_, err = repository(e.Repo, e.Installation)
	return policy.PullRequestRef{}, gate.UrgencyPeople, err
}

func (d memberEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.MemberEvent](payload)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.Reassess(ctx, gate.Scope{
		Owner: e.GetRepo().GetOwner().GetLogin(), RepositoryID: e.GetRepo().GetID(), Voter: e.GetMember().GetID(),
	})
}

// teamEvent is a team that came, went, or got another name or other
// repositories: policies that name it may hold now, or not any more.
type teamEvent struct{ *Door }

func (teamEvent) Handles() []string { return []string{"team"} }

func (teamEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.TeamEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	return ofOwner(e.Org, e.Installation)
}

func (d teamEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.TeamEvent](payload)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.Reassess(ctx, gate.Scope{Owner: e.GetOrg().GetLogin(), RepositoryID: e.GetRepo().GetID()})
}

// ofOwner is the work of an event that names an organization.
func ofOwner(organization *github.Organization, installation *github.Installation) (policy.PullRequestRef, gate.Urgency, error) {
	if organization.GetLogin() == "" || installation.GetID() == 0 {
		return policy.PullRequestRef{}, ignored, errIncomplete
	}
	return policy.PullRequestRef{}, gate.UrgencyPeople, nil
}
