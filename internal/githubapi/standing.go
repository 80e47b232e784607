package githubapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// Standing says what the person may do in the repository, and which of the
// teams (`organization/slug`) they are an active member of.
func (c *Client) Standing(ctx context.Context, repository policy.Repository, person policy.Actor, teams []string) (policy.Standing, error) {
	client, err := c.rest(repository)
	if err != nil {
		return policy.Standing{}, err
	}
	permission, err := permission(ctx, client, repository, person)
	if err != nil {
		return policy.Standing{}, err
	}
	standing := policy.Standing{Permission: permission}
	for _, team := range teams {
		member, err := isMember(ctx, client, team, person)
		if err != nil {
			return policy.Standing{}, err
		}
		if member {
			standing.Teams = append(standing.Teams, team)
		}
	}
	return standing, nil
}

// permission asks for the role by login, which is all that GitHub offers, and
// believes the answer only if it is about the same account: a login that was
// given up can belong to somebody else by now.
func permission(ctx context.Context, client *github.Client, repository policy.Repository, person policy.Actor) (policy.Permission, error) {
	level, _, err := client.Repositories.GetPermissionLevel(ctx, repository.Owner, repository.Name, person.Login)
	if err != nil {
		return policy.PermissionNone, failed(err, "read what %s may do in %s", person, repository)
	}
	if level.GetUser().GetID() != person.ID {
		return policy.PermissionNone, nil
	}
	// role_name tells maintain from write and triage from read; a custom role's
	// name is not known here, and permission then has the role it extends.
	if role, ok := policy.ParsePermission(level.GetUser().GetRoleName()); ok {
		return role, nil
	}
	role, _ := policy.ParsePermission(level.GetPermission())
	return role, nil
}

// UnknownTeamError is returned for a team that does not exist or that the App
// cannot see.
type UnknownTeamError struct{ Team string }

func (e *UnknownTeamError) Error() string {
	return fmt.Sprintf("the policy names the team %s, which does not exist or which the App may not see", e.Team)
}

// isMember asks for the membership. A 404 means "not a member" only if the team
// itself can be read.
func isMember(ctx context.Context, client *github.Client, team string, person policy.Actor) (bool, error) {
	organization, slug, ok := strings.Cut(team, "/")
	if !ok {
		return false, &UnknownTeamError{team}
	}
	membership, _, err := client.Teams.GetTeamMembershipBySlug(ctx, organization, slug, person.Login)
	if err == nil {
		return membership.GetState() == "active", nil
	}
	if !isNotFound(err) {
		return false, failed(err, "read whether %s is in %s", person, team)
	}
	if _, _, err := client.Teams.GetTeamBySlug(ctx, organization, slug); err != nil {
		if isNotFound(err) {
			return false, &UnknownTeamError{team}
		}
		return false, failed(err, "read the team %s", team)
	}
	return false, nil
}
