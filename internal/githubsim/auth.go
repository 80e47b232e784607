package githubsim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// authenticate finds out who asks. No Authorization header is anonymous; a bad one is a 401 everywhere.
func (c *call) authenticate() error {
	header := c.req.Header.Get("Authorization")
	if header == "" {
		return nil
	}
	scheme, value, _ := strings.Cut(header, " ")
	if strings.EqualFold(scheme, "Basic") {
		return c.authenticateClient()
	}
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "token") {
		return badCredentials()
	}
	if strings.Count(value, ".") == 2 && !strings.HasPrefix(value, "ghs_") {
		app, err := c.sim.appOf(value)
		c.actor = actor{app: app, jwt: app != nil}
		return err
	}
	t := c.sim.tokens[value]
	if t == nil {
		return badCredentials()
	}
	if t.expired(c.sim.valid()) {
		delete(c.sim.tokens, value)
		return badCredentials()
	}
	if t.install == nil {
		c.actor = actor{user: t.user, token: t}
		if t.grant != nil {
			c.actor.via = t.grant.app
		}
		return nil
	}
	c.actor = actor{user: t.install.app.bot, app: t.install.app, token: t}
	if t.install.suspended {
		return refuse(http.StatusForbidden, "This installation has been suspended")
	}
	return nil
}

// authenticateClient takes an App's client ID and secret, which only some endpoints want.
func (c *call) authenticateClient() error {
	id, secret, _ := c.req.BasicAuth()
	app := c.sim.appOfClient(id)
	if app == nil || secret != app.secret {
		return badCredentials()
	}
	c.actor = actor{app: app, client: true}
	return nil
}

// appOfClient is the App with that client ID, or nil.
func (s *Sim) appOfClient(id string) *App {
	for _, app := range s.apps {
		if app.ClientID() == id {
			return app
		}
	}
	return nil
}

func badCredentials() error { return refuse(http.StatusUnauthorized, "Bad credentials") }

// How far a JWT may reach, as GitHub documents: issued at most a minute from now, for clocks that differ, and over in ten minutes.
const (
	clockDrift  = time.Minute
	longestLife = 10 * time.Minute
)

// appOf checks an App's JWT: RS256, signed with the App's key, within its time.
func (s *Sim) appOf(value string) (*App, error) {
	var app *App
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(value, claims, func(*jwt.Token) (any, error) {
		app = s.apps[issuer(claims)]
		if app == nil {
			return nil, errors.New("no such App")
		}
		return &app.key.PublicKey, nil
	})
	if err != nil {
		return nil, refuse(http.StatusUnauthorized, "A JSON web token could not be decoded")
	}
	now := s.valid()
	issued, hasIssued := claims["iat"].(float64)
	expires, hasExpires := claims["exp"].(float64)
	switch {
	case !hasIssued || time.Unix(int64(issued), 0).After(now.Add(clockDrift)):
		return nil, refuse(http.StatusUnauthorized, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
	case !hasExpires || !time.Unix(int64(expires), 0).After(now):
		return nil, refuse(http.StatusUnauthorized, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
	case time.Unix(int64(expires), 0).After(now.Add(longestLife)):
		return nil, refuse(http.StatusUnauthorized, "'Expiration time' claim ('exp') is too far in the future")
	}
	return app, nil
}

func issuer(claims jwt.MapClaims) int64 {
	switch iss := claims["iss"].(type) {
	case float64:
		return int64(iss)
	default:
		return parseID(fmt.Sprint(iss))
	}
}

// admit checks that the route is for this kind of client, finds the repository or organization, and checks what may be done there.
func (c *call) admit(rt *route) error {
	if len(rt.need) > 0 {
		c.header.Set("X-Accepted-GitHub-Permissions", rt.needText)
	}
	if rt.forApp != c.actor.jwt || rt.forClient != c.actor.client {
		return c.wrongKind(rt)
	}
	switch {
	case rt.peopleOnly && rt.segs[0] == "user":
		return c.admitPerson()
	case rt.forApp || rt.segs[0] != "repos" && rt.segs[0] != "orgs":
		return nil
	case rt.segs[0] == "orgs":
		return c.admitOrganization(rt)
	}
	c.repo = c.sim.repositoryNow(c.params["owner"] + "/" + c.params["repo"])
	switch {
	case c.repo == nil || c.repo.roleOf(c.actor) < roleRead:
		return notFound()
	case c.hasMoved():
		return nil
	}
	if err := c.admitRepository(rt); err != nil {
		return err
	}
	if c.repo.archived && c.req.Method != http.MethodGet {
		return errArchived()
	}
	return nil
}

func (c *call) wrongKind(rt *route) error {
	switch {
	case rt.free:
		return nil
	case rt.forApp:
		return refuse(http.StatusUnauthorized, "A JSON web token could not be decoded")
	case rt.forClient && c.actor.token == nil && !c.actor.jwt:
		return refuse(http.StatusUnauthorized, "Requires authentication")
	}
	return badCredentials()
}

// admitPerson lets in users, also through an App; what an App may do is asked where it is known of which repository.
func (c *call) admitPerson() error {
	switch t := c.actor.token; {
	case t == nil:
		return refuse(http.StatusUnauthorized, "Requires authentication")
	case t.install != nil:
		return notAccessible()
	}
	return nil
}

func (c *call) admitRepository(rt *route) error {
	// What is for people with more than read is for nobody outside the installation.
	reading := c.req.Method == http.MethodGet && rt.role <= roleRead
	t := c.actor.token
	if t == nil && !reading {
		return refuse(http.StatusUnauthorized, "Requires authentication")
	}
	if t != nil && t.limited() && (!reading || t.covers(c.repo)) {
		if !t.covers(c.repo) {
			return notAccessible()
		}
		if err := c.permitted(rt, c.repo.org); err != nil {
			return err
		}
	}
	install := t != nil && t.install != nil
	switch {
	case install && rt.peopleOnly:
		return notAccessible()
	case install:
		return nil
	case rt.appsOnly:
		return refuse(http.StatusForbidden, "You must authenticate via a GitHub App.")
	case c.repo.role(c.actor.user) < rt.role:
		return refuse(http.StatusForbidden, "Must have %s rights to Repository.", rt.role)
	}
	return nil
}

// permitted checks what a limited token may do on what the organization owns.
func (c *call) permitted(rt *route, o *Organization) error {
	if c.actor.token.at(o) == nil {
		return notAccessible()
	}
	if len(rt.need) == 0 {
		return nil
	}
	for _, together := range rt.need {
		if !slices.ContainsFunc(together, func(p permission) bool { return !c.actor.token.may(o, p.name, p.level) }) {
			return nil
		}
	}
	return notAccessible()
}

func notAccessible() error {
	return refuse(http.StatusForbidden, "Resource not accessible by integration")
}

// admitOrganization lets in the App's installations there and, for people, its members; those who come through an App need both.
func (c *call) admitOrganization(rt *route) error {
	c.org = c.sim.orgs[strings.ToLower(c.params["org"])]
	switch t := c.actor.token; {
	case c.org == nil:
		return notFound()
	case t == nil:
		return refuse(http.StatusUnauthorized, "Requires authentication")
	case t.install != nil && t.install.org != c.org:
		return notFound()
	case t.install != nil:
		return c.permitted(rt, c.org)
	case !c.org.isMember(c.actor.user):
		return notFound()
	}
	if c.actor.token.limited() {
		if err := c.permitted(rt, c.org); err != nil {
			return err
		}
	}
	if rt.role == roleAdmin && !c.org.owners[c.actor.user.id] {
		return refuse(http.StatusForbidden, "Must be an owner of the organization.")
	}
	return nil
}
