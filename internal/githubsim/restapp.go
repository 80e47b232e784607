package githubsim

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func serveUser(c *call) error {
	return c.reply(http.StatusOK, c.actor.user.profile())
}

func serveAccount(c *call) error {
	login := strings.ToLower(c.params["user"])
	if u := c.sim.users[login]; u != nil {
		return c.reply(http.StatusOK, u.profile())
	}
	if o := c.sim.orgs[login]; o != nil {
		return c.reply(http.StatusOK, o.profile())
	}
	return notFound()
}

func serveAccountByID(c *call) error {
	for _, u := range c.sim.users {
		if strconv.FormatInt(u.id, 10) == c.params["id"] {
			return c.reply(http.StatusOK, u.profile())
		}
	}
	return notFound()
}

func serveApp(c *call) error {
	app := c.actor.app
	out := c.sim.appJSON(app)
	out["client_id"], out["installations_count"] = app.ClientID(), len(app.installs)
	return c.reply(http.StatusOK, out)
}

func serveInstallations(c *call) error {
	return replyList(c, c.actor.app.installs, c.sim.installationJSON)
}

// installation is the App's own installation that the path names.
func (c *call) installation() (*Installation, error) {
	i := c.sim.installs[parseID(c.params["id"])]
	if i == nil || i.app != c.actor.app {
		return nil, notFound()
	}
	return i, nil
}

func serveInstallation(c *call) error {
	i, err := c.installation()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.sim.installationJSON(i))
}

func serveOwnerInstallation(c *call) error {
	org := c.sim.orgs[strings.ToLower(c.params["org"])]
	if c.params["repo"] != "" {
		if c.repo = c.sim.repositoryNow(c.params["owner"] + "/" + c.params["repo"]); c.repo != nil {
			org = c.repo.org
		}
	}
	for _, i := range c.actor.app.installs {
		switch {
		case i.org != org:
		case c.hasMoved():
			return c.leadOn()
		default:
			return c.reply(http.StatusOK, c.sim.installationJSON(i))
		}
	}
	return notFound()
}

// serveNewToken makes an installation token; a body of null, which ghinstallation sends, narrows nothing.
func serveNewToken(c *call) error {
	i, err := c.installation()
	if err != nil {
		return err
	}
	var body struct {
		Repositories  []string          `json:"repositories"`
		RepositoryIDs []int64           `json:"repository_ids"`
		Permissions   map[string]string `json:"permissions"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if i.suspended {
		return refuse(http.StatusForbidden, "This installation has been suspended")
	}
	if c.sim.spendingOf(i).total.Banned {
		return banned()
	}
	narrowed, err := i.narrow(body.Repositories, body.RepositoryIDs)
	if err != nil {
		return err
	}
	for name, level := range body.Permissions {
		if !slices.Contains(levels[1:], level) || !i.allows(name, level) {
			return unprocessable("The permissions requested are not granted to this installation.")
		}
	}
	t := c.sim.newToken(i)
	t.permissions = body.Permissions
	return c.reply(http.StatusCreated, c.sim.tokenJSON(t, narrowed))
}

// narrow finds the repositories that a token is for; nil is all.
func (i *Installation) narrow(names []string, ids []int64) ([]*Repository, error) {
	if len(names) == 0 && len(ids) == 0 {
		return nil, nil
	}
	var list []*Repository
	for _, r := range i.app.sim.repositoriesOf(i.org) {
		named := slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, r.name) })
		if named || slices.Contains(ids, r.id) {
			list = append(list, r)
		}
	}
	if len(list) < max(len(names), len(ids)) {
		return nil, unprocessable("There is at least one repository that does not exist or is not accessible to the parent installation.")
	}
	return list, nil
}

func (s *Sim) tokenJSON(t *token, narrowed []*Repository) obj {
	out := obj{
		"token": t.value, "expires_at": t.expires, "repository_selection": "all", "permissions": maps.Clone(t.install.permissions),
	}
	if t.permissions != nil {
		out["permissions"] = t.permissions
	}
	if narrowed != nil {
		for _, r := range narrowed {
			t.repos = append(t.repos, r.id)
		}
		out["repository_selection"] = "selected"
		out["repositories"] = each(narrowed, (*Repository).json)
	}
	return out
}

func serveInstallationRepositories(c *call) error {
	t := c.actor.token
	if t == nil || t.install == nil {
		return refuse(http.StatusForbidden, "You must authenticate with an installation access token in order to list repositories for an installation.")
	}
	list := slices.DeleteFunc(c.sim.repositoriesOf(t.install.org), func(r *Repository) bool { return !t.covers(r) })
	out := obj{"total_count": len(list), "repository_selection": "all", "repositories": each(page(c, list), (*Repository).json)}
	if t.repos != nil {
		out["repository_selection"] = "selected"
	}
	return c.reply(http.StatusOK, out)
}

// serveRevokeToken ends the token that it is asked with.
func serveRevokeToken(c *call) error {
	t := c.actor.token
	switch {
	case t == nil:
		return refuse(http.StatusUnauthorized, "Requires authentication")
	case t.install == nil:
		return notAccessible()
	}
	delete(c.sim.tokens, t.value)
	return c.reply(http.StatusNoContent, nil)
}

// sent is one attempt of a delivery, as GitHub lists them.
type sent struct {
	*delivery
	attempt
}

// attemptsOf are the App's attempts, newest first.
func (s *Sim) attemptsOf(app *App) []sent {
	var list []sent
	for _, d := range s.web.log {
		if d.app == app {
			for _, a := range d.attempts {
				list = append(list, sent{d, a})
			}
		}
	}
	slices.Reverse(byCreation(list, func(x sent) int64 { return x.id }))
	return list
}

func (x sent) json() obj {
	out := obj{
		"id": x.id, "guid": x.guid, "delivered_at": x.at, "redelivery": x.redelivery, "duration": x.took.Round(time.Millisecond).Seconds(),
		"status": x.explanation, "status_code": x.code, "event": x.event, "action": text(x.action), "installation_id": nil, "repository_id": nil,
		"throttled_at": nil,
	}
	if x.install != 0 {
		out["installation_id"] = x.install
	}
	if x.repo != 0 {
		out["repository_id"] = x.repo
	}
	return out
}

// serveDeliveries pages with a cursor, the id of the last attempt seen.
func serveDeliveries(c *call) error {
	list := c.sim.attemptsOf(c.actor.app)
	if cursor := parseID(c.query.Get("cursor")); cursor > 0 {
		list = slices.DeleteFunc(list, func(x sent) bool { return x.id >= cursor })
	}
	if wanted := c.query.Get("status"); wanted != "" {
		list = slices.DeleteFunc(list, func(x sent) bool { return (wanted == "success") != (x.code/100 == 2) })
	}
	size := min(c.number("per_page", 30), 100)
	if len(list) > size {
		list = list[:size]
		c.header.Set("Link", "<"+c.pageURL("cursor", itoa(list[size-1].id))+`>; rel="next"`)
	}
	return c.reply(http.StatusOK, each(list, sent.json))
}

func (c *call) attempt() (sent, error) {
	for _, x := range c.sim.attemptsOf(c.actor.app) {
		if x.id == parseID(c.params["id"]) {
			return x, nil
		}
	}
	return sent{}, notFound()
}

func serveDelivery(c *call) error {
	x, err := c.attempt()
	if err != nil {
		return err
	}
	out := x.json()
	headers := obj{}
	for name := range x.header("") {
		headers[name] = x.header("").Get(name)
	}
	out["request"] = obj{"headers": headers, "payload": json.RawMessage(x.payload)}
	out["response"] = obj{"headers": obj{}, "payload": ""}
	return c.reply(http.StatusOK, out)
}

func serveRedelivery(c *call) error {
	x, err := c.attempt()
	if err != nil {
		return err
	}
	c.sim.enqueue(x.delivery)
	return c.reply(http.StatusAccepted, obj{})
}
