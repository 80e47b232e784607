package githubapi

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// Standing says what the person may do in the repository, if that is asked, and
// which of the teams (`organization/slug`) they are an active member of. GitHub
// tells the role together with the account's number, and the membership by the
// login alone.
func (c *Client) Standing(ctx context.Context, repository policy.Repository, person policy.Actor, ask policy.Ask) (policy.Standing, error) {
	client, err := c.rest(repository)
	if err != nil {
		return policy.Standing{}, err
	}
	standing := policy.Standing{Login: person.Login}
	if ask.Permission {
		if person, standing, err = current(ctx, client, repository, person); err != nil || !person.Known() {
			return policy.Standing{}, err
		}
		standing.Login = person.Login
	}
	for _, team := range ask.Teams {
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

// current asks for the role of the person, and for the login they have now.
// GitHub offers the role by login alone, but a login can be given up and taken
// by somebody else: an answer counts only for the same account. Nobody is
// returned for an account that does not exist any more.
func current(ctx context.Context, client *github.Client, repository policy.Repository, person policy.Actor) (policy.Actor, policy.Standing, error) {
	level, err := permissionLevel(ctx, client, repository, person)
	if err == nil && level.GetUser().GetID() == person.ID {
		return person, policy.Standing{Permission: role(level)}, nil
	}
	if err != nil && !isNotFound(err) {
		return policy.Actor{}, policy.Standing{}, err
	}
	account, _, err := client.Users.GetByID(ctx, person.ID)
	if isNotFound(err) {
		return policy.Actor{}, policy.Standing{}, nil
	}
	if err != nil {
		return policy.Actor{}, policy.Standing{}, failed(err, "read the account of %s", person)
	}
	person.Login = account.GetLogin()
	level, err = permissionLevel(ctx, client, repository, person)
	if isNotFound(err) {
		// An account that GitHub knows and gives no role.
		return person, policy.Standing{}, nil
	}
	if err != nil {
		return policy.Actor{}, policy.Standing{}, err
	}
	if level.GetUser().GetID() != person.ID {
		return policy.Actor{}, policy.Standing{}, &Error{Operation: "read what " + person.Login + " may do in " + repository.String() + ", who changed their name just now"}
	}
	return person, policy.Standing{Permission: role(level)}, nil
}

func permissionLevel(ctx context.Context, client *github.Client, repository policy.Repository, person policy.Actor) (*github.RepositoryPermissionLevel, error) {
	level, _, err := client.Repositories.GetPermissionLevel(ctx, repository.Owner, repository.Name, person.Login)
	return level, failed(err, "read what %s may do in %s", person, repository)
}

// role tells maintain from write and triage from read by the role's name. A
// custom role's name is not known here; permission then has the role it
// extends.
func role(level *github.RepositoryPermissionLevel) policy.Permission {
	if named, ok := policy.ParsePermission(level.GetUser().GetRoleName()); ok {
		return named
	}
	coarse, _ := policy.ParsePermission(level.GetPermission())
	return coarse
}

// UnknownTeamError is returned for a team that does not exist or that the App
// cannot see.
type UnknownTeamError struct{ Team string }

func (e *UnknownTeamError) Error() string {
	return fmt.Sprintf("the policy names the team %s, which does not exist or which the App may not see", e.Team)
}

// UnknownTeams returns those of the teams that do not exist or that the App may
// not see.
func (c *Client) UnknownTeams(ctx context.Context, repository policy.Repository, teams []string) ([]string, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, team := range teams {
		if c.teams.known(team, c.options.Now()) {
			continue
		}
		organization, slug, _ := strings.Cut(team, "/")
		_, _, err := client.Teams.GetTeamBySlug(ctx, organization, slug)
		if isNotFound(err) {
			unknown = append(unknown, team)
			continue
		}
		if err != nil {
			return nil, failed(err, "read the team %s", team)
		}
		c.teams.remember(team, c.options.Now())
	}
	return unknown, nil
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

// teamMemory is how long a team that existed is taken to exist. Who is in it is
// asked anew each time, and finds out if it does not exist any more.
const teamMemory = 5 * time.Minute

// knownTeams remembers the teams that exist.
type knownTeams struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

func (k *knownTeams) known(team string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return now.Sub(k.seen[strings.ToLower(team)]) < teamMemory
}

func (k *knownTeams) remember(team string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil {
		k.seen = map[string]time.Time{}
	}
	k.seen[strings.ToLower(team)] = now
}
