package githubsim

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

func secretRoutes() []route {
	const repo, env = "repos/{owner}/{repo}/actions/secrets", "repos/{owner}/{repo}/environments/{environment}/secrets"
	list := []route{endpoint("GET repos/{owner}/{repo}/environments", serveEnvironments, needs("actions=read"), withRole(roleRead))}
	for at, name := range map[string]string{repo: "secrets", env: "environments"} {
		read, write := needs(name+"=read"), needs(name+"=write")
		list = append(list,
			endpoint("GET "+at, serveSecrets, read, withRole(roleWrite)),
			endpoint("GET "+at+"/public-key", servePublicKey, read, withRole(roleWrite)),
			endpoint("GET "+at+"/{name}", serveSecret, read, withRole(roleWrite)),
			endpoint("PUT "+at+"/{name}", servePutSecret, write, withRole(roleWrite)),
			endpoint("DELETE "+at+"/{name}", serveDeleteSecret, write, withRole(roleWrite)),
		)
	}
	return list
}

// vault is the one that the path names: the repository's or an environment's.
func (c *call) vault() (*vault, error) {
	name, of := c.params["environment"]
	if !of {
		return c.repo.secrets, nil
	}
	if e := c.repo.environment(name); e != nil {
		return &e.vault, nil
	}
	return nil, notFound()
}

func (s *secret) json() obj {
	return obj{"name": s.name, "created_at": s.created, "updated_at": s.updated}
}

func serveEnvironments(c *call) error {
	return replyCounted(c, "environments", c.repo.environments, (*Environment).json)
}

// json is an environment without a rule of GitHub's own. Apps that protect it are not among its rules.
func (e *Environment) json() obj {
	return obj{
		"id": e.id, "node_id": nodeID("EN", e.id), "name": e.name, "created_at": e.created, "updated_at": e.created,
		"url": e.repo.url("environments/%s", url.PathEscape(e.name)), "html_url": e.repo.html("deployments/activity_log?environments_filter=%s", url.QueryEscape(e.name)),
		"protection_rules": []obj{}, "deployment_branch_policy": nil,
	}
}

func serveSecrets(c *call) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	return replyCounted(c, "secrets", v.sorted(), (*secret).json)
}

func servePublicKey(c *call) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, obj{"key_id": v.keyID, "key": base64.StdEncoding.EncodeToString(v.public[:])})
}

func serveSecret(c *call) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	s := v.secrets[strings.ToUpper(c.params["name"])]
	if s == nil {
		return notFound()
	}
	return c.reply(http.StatusOK, s.json())
}

// servePutSecret is 201 for a new one and 204 for one that was there.
func servePutSecret(c *call) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	var body struct {
		EncryptedValue string `json:"encrypted_value"`
		KeyID          string `json:"key_id"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	created, err := v.put(c.params["name"], body.KeyID, body.EncryptedValue, c.sim.tick())
	switch {
	case err != nil:
		return err
	case created:
		return c.reply(http.StatusCreated, obj{})
	}
	return c.reply(http.StatusNoContent, nil)
}

func serveDeleteSecret(c *call) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	name := strings.ToUpper(c.params["name"])
	if v.secrets[name] == nil {
		return notFound()
	}
	c.sim.tick()
	delete(v.secrets, name)
	return c.reply(http.StatusNoContent, nil)
}
