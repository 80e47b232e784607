package githubsim

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// sessionCookie is what a signed-in browser sends.
const sessionCookie = "user_session"

// Session is the cookie of the person's browser: with it GET /login/oauth/authorize answers as if they pressed Authorize.
func (u *User) Session() *http.Cookie {
	//nolint:gosec // not Secure: the simulated GitHub is served on loopback, without TLS
	return &http.Cookie{Name: sessionCookie, Value: u.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// AuthorizeAt has the person follow an App's link to /login/oauth/authorize and let it act for them. It returns where GitHub sends the
// browser then: the App's callback, with a code and the App's state, or with an error.
func (u *User) AuthorizeAt(address string) (redirect string, err error) {
	return u.follow(address, true)
}

// DenyAt has the person follow the link and cancel.
func (u *User) DenyAt(address string) (redirect string, err error) { return u.follow(address, false) }

func (u *User) follow(address string, yes bool) (string, error) {
	link, err := url.Parse(address)
	if err != nil || link.Path != authorizePath {
		return "", notFound()
	}
	u.sim.mu.Lock()
	defer u.sim.mu.Unlock()
	return u.sim.decide(u, link.Query(), yes)
}

// serveAuthorize sends a signed-in browser back to the App. One whose session is not known has to sign in first.
func serveAuthorize(c *call) error {
	cookie, err := c.req.Cookie(sessionCookie)
	if err != nil || c.req.Method != http.MethodGet {
		return notFound()
	}
	for _, u := range c.sim.users {
		if u.session != cookie.Value {
			continue
		}
		redirect, err := c.sim.decide(u, c.query, true)
		if err != nil {
			return err
		}
		c.header.Set("Location", redirect)
		return c.reply(http.StatusFound, nil)
	}
	c.header.Set("Location", c.sim.base+"/login?return_to="+url.QueryEscape(c.req.URL.RequestURI()))
	return c.reply(http.StatusFound, nil)
}

// decide is where the browser goes after the person has said yes or no to what the link asks.
func (s *Sim) decide(u *User, asked url.Values, yes bool) (string, error) {
	app := s.appOfClient(asked.Get("client_id"))
	if app == nil || len(app.callbacks) == 0 {
		return "", notFound()
	}
	challenge, method := asked.Get("code_challenge"), asked.Get("code_challenge_method")
	redirect, answer := app.callbacks[0], url.Values{}
	if asked.Has("state") {
		answer.Set("state", asked.Get("state"))
	}
	no := func(code, sentence string) (string, error) {
		answer.Set("error", code)
		answer.Set("error_description", sentence)
		return withQuery(redirect, answer)
	}
	if to := asked.Get("redirect_uri"); to != "" {
		if !slices.Contains(app.callbacks, to) {
			return no("redirect_uri_mismatch", redirectMismatch)
		}
		redirect = to
	}
	switch {
	case (challenge != "" || method != "") && (len(challenge) != challengeLength || method != "S256"):
		return no("invalid_request", "The code_challenge must be a SHA-256 hash, and the code_challenge_method S256.")
	case !yes:
		return no("access_denied", "The user has denied your application access.")
	}
	code := randomHex(10)
	s.consents[code] = &consent{granted: app.authorizationOf(u), redirect: redirect, challenge: challenge, expires: s.valid().Add(consentLife)}
	answer.Set("code", code)
	return withQuery(redirect, answer)
}

// challengeLength is that of a SHA-256 hash in Base64.
const challengeLength = 43

// withQuery adds to the query of an address.
func withQuery(address string, more url.Values) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", unprocessable("The callback URL cannot be read.")
	}
	query := u.Query()
	maps.Copy(query, more)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
