package githubapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// installation is an installation as GitHub shows it to the App.
type installation struct {
	ID          int64             `json:"id"`
	TargetType  string            `json:"target_type"`
	Permissions map[string]string `json:"permissions"`
	SuspendedAt *time.Time        `json:"suspended_at"`
	Account     struct {
		Login string `json:"login"`
	} `json:"account"`
}

// InstallationPermissions returns what the App may do in the installation, as
// "issues": "write", and whether its owner has suspended it, in which case it may
// do nothing. It is asked with the App's own key, at no cost to the installation,
// and for nothing while it is unchanged.
func (c *Client) InstallationPermissions(ctx context.Context, id int64) (permissions map[string]string, suspended bool, err error) {
	app, err := c.creator.NewAppClient()
	if err != nil {
		return nil, false, fmt.Errorf("create the App's client: %w", err)
	}
	var found installation
	// go-github has no field for the permissions that it does not know yet.
	if err := get(ctx, app, "app/installations/"+strconv.FormatInt(id, 10), &found); err != nil {
		return nil, false, failed(err, "read the App's installation %d", id)
	}
	return found.Permissions, found.SuspendedAt != nil, nil
}

// FindInstallation finds the App's installation at an organization or a user, which
// is returned as a place without a name.
func (c *Client) FindInstallation(ctx context.Context, owner string) (place policy.Repository, organization bool, err error) {
	app, err := c.creator.NewAppClient()
	if err != nil {
		return policy.Repository{}, false, fmt.Errorf("create the App's client: %w", err)
	}
	found, err := installationOf(ctx, app, owner)
	if isNotFound(err) {
		return policy.Repository{}, false, &Error{Operation: "find " + owner + ", which does not exist or where the App is not installed", Status: http.StatusNotFound}
	}
	if err != nil {
		return policy.Repository{}, false, failed(err, "find the installation of %s", owner)
	}
	return policy.Repository{Installation: found.ID, Owner: found.Account.Login}, found.TargetType == "Organization", nil
}

// installationOf asks at the organizations first, and then at the users.
func installationOf(ctx context.Context, app *github.Client, owner string) (found installation, err error) {
	if err = get(ctx, app, "orgs/"+owner+"/installation", &found); isNotFound(err) {
		err = get(ctx, app, "users/"+owner+"/installation", &found)
	}
	return found, err
}
