package githubsim

import "net/http"

// clientRoutes are for an App that shows its client secret.
func clientRoutes() []route {
	return []route{
		endpoint("DELETE applications/{client}/token", serveRevokeUserToken, forClient),
		endpoint("DELETE applications/{client}/grant", serveRevokeGrant, forClient),
	}
}

// named is the user access token in the body. It must be good still: one that has expired revokes nothing.
func (c *call) named() (*token, error) {
	if c.params["client"] != c.actor.app.ClientID() {
		return nil, notFound()
	}
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	t := c.sim.tokens[body.AccessToken]
	switch {
	case body.AccessToken == "":
		return nil, invalid("OauthAccess", "access_token", "missing_field", "")
	case t == nil || t.grant == nil || t.grant.app != c.actor.app || t.expired(c.sim.valid()):
		return nil, invalid("OauthAccess", "access_token", "invalid", "")
	}
	return t, nil
}

// serveRevokeUserToken ends one token, and what renews it.
func serveRevokeUserToken(c *call) error {
	t, err := c.named()
	if err != nil {
		return err
	}
	t.grant.drop(t)
	return c.reply(http.StatusNoContent, nil)
}

// serveRevokeGrant ends all tokens that the App has of the person, and that it may act for them.
func serveRevokeGrant(c *call) error {
	t, err := c.named()
	if err != nil {
		return err
	}
	t.grant.end()
	return c.reply(http.StatusNoContent, nil)
}
