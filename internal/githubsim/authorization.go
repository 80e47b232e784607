package githubsim

import (
	"slices"
	"time"
)

// authorization is a person's word that an App may act for them. Whatever token it was given for it ends with it.
type authorization struct {
	app    *App
	user   *User
	tokens []*token // the oldest first
}

// How long a user access token and what renews it live, and how many an App may have of a person, as documented.
const (
	userTokenLife  = 8 * time.Hour
	refreshLife    = 184 * 24 * time.Hour
	mostUserTokens = 10
)

// UserToken is a user access token with what renews it. RefreshToken is empty and the times are zero if the App's tokens last.
type UserToken struct {
	AccessToken, RefreshToken   string
	ExpiresAt, RefreshExpiresAt time.Time
}

// CreateUserToken has u authorize the App and makes it a user access token, without the trouble of a flow.
func (a *App) CreateUserToken(u *User) UserToken {
	a.sim.mu.Lock()
	defer a.sim.mu.Unlock()
	return a.sim.issue(a.authorizationOf(u), nil, false).view()
}

// UserTokens are those that the App can still use, or renew, for u; the oldest first.
func (a *App) UserTokens(u *User) []UserToken {
	a.sim.mu.Lock()
	defer a.sim.mu.Unlock()
	var list []UserToken
	if granted := a.authorizations[u.id]; granted != nil {
		for _, t := range granted.tokens {
			if now := a.sim.valid(); !t.expired(now) || now.Before(t.refreshExpires) {
				list = append(list, t.view())
			}
		}
	}
	return list
}

// ExpireUserTokens ends what the App has to act for u, before its time: the next call is a 401. What renews it stays good.
func (a *App) ExpireUserTokens(u *User) {
	a.sim.mu.Lock()
	defer a.sim.mu.Unlock()
	if granted := a.authorizations[u.id]; granted != nil {
		for _, t := range granted.tokens {
			delete(a.sim.tokens, t.value)
			t.expires = a.sim.valid()
		}
	}
}

// RevokeApp takes back the word that the App may act for u, as the settings page does: all its user access tokens end, and it hears
// github_app_authorization.revoked, subscribed or not. Nothing happens if it was never given.
func (u *User) RevokeApp(a *App) {
	u.sim.mu.Lock()
	defer u.sim.mu.Unlock()
	granted := a.authorizations[u.id]
	if granted == nil {
		return
	}
	granted.end()
	u.sim.tick()
	u.sim.deliver(a, nil, "github_app_authorization", "revoked", obj{"sender": u.json()})
}

// authorizationOf is u's word for the App, given now if need be.
func (a *App) authorizationOf(u *User) *authorization {
	granted := a.authorizations[u.id]
	if granted == nil {
		granted = &authorization{app: a, user: u}
		a.authorizations[u.id] = granted
	}
	return granted
}

// end takes the word back.
func (g *authorization) end() {
	for _, t := range slices.Clone(g.tokens) {
		g.drop(t)
	}
	delete(g.app.authorizations, g.user.id)
}

// drop ends a token, and what renews it.
func (g *authorization) drop(t *token) {
	s := g.app.sim
	delete(s.tokens, t.value)
	delete(s.renewals, t.refresh)
	g.tokens = slices.DeleteFunc(g.tokens, func(x *token) bool { return x == t })
}

// issue makes a user access token; one that is for a single repository has only that. The eleventh ends the oldest.
func (s *Sim) issue(g *authorization, only []int64, fromDevice bool) *token {
	t := &token{value: "ghu_" + randomHex(18), user: g.user, grant: g, repos: only, fromDevice: fromDevice}
	if !g.app.lasting {
		now := s.valid().UTC()
		t.expires = now.Add(userTokenLife)
		t.refresh, t.refreshExpires = "ghr_"+randomHex(38), now.Add(refreshLife)
		s.renewals[t.refresh] = t
	}
	s.tokens[t.value] = t
	if len(g.tokens) >= mostUserTokens {
		g.drop(g.tokens[0])
	}
	g.tokens = append(g.tokens, t)
	return t
}

// renew trades what renews a token for another pair, once: the pair that it was of is over. It is nil for what is not good any more.
func (s *Sim) renew(app *App, refresh string) *token {
	t := s.renewals[refresh]
	if t == nil || t.grant.app != app || !s.valid().Before(t.refreshExpires) {
		return nil
	}
	t.grant.drop(t)
	return s.issue(t.grant, t.repos, t.fromDevice)
}

func (t *token) view() UserToken {
	return UserToken{AccessToken: t.value, RefreshToken: t.refresh, ExpiresAt: t.expires, RefreshExpiresAt: t.refreshExpires}
}

// onlyOf is the one repository that a token is asked to be for, if the App and the user both reach it; else what was asked is ignored,
// as documented.
func (g *authorization) onlyOf(id string) []int64 {
	r := g.app.sim.reposByID[parseID(id)]
	if r == nil || r.role(g.user) < roleRead || !(&token{grant: g}).covers(r) {
		return nil
	}
	return []int64{r.id}
}
