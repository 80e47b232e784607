package githubsim

import (
	"encoding/json"
	"net/http"
	"strings"
)

func propertyRoutes() []route {
	const repo, org = "repos/{owner}/{repo}/properties", "orgs/{org}/properties"
	read := needs("organization_custom_properties=read")
	return []route{
		endpoint("GET "+org+"/schema", servePropertySchema, read),
		endpoint("GET "+org+"/schema/{name}", serveProperty, read),
		endpoint("GET "+org+"/values", serveAllProperties, read),
		endpoint("PATCH "+org+"/values", serveSetAllProperties, needs("organization_custom_properties=write"), withRole(roleAdmin)),
		endpoint("GET "+repo+"/values", serveProperties, needs("metadata=read")),
		endpoint("PATCH "+repo+"/values", serveSetProperties, needs("repository_custom_properties=write"), withRole(roleAdmin)),
	}
}

func servePropertySchema(c *call) error {
	return c.reply(http.StatusOK, each(c.org.properties, func(spec *PropertySpec) obj { return spec.json(c.org) }))
}

func serveProperty(c *call) error {
	spec := c.org.propertyNamed(c.params["name"])
	if spec == nil {
		return notFound()
	}
	return c.reply(http.StatusOK, spec.json(c.org))
}

func serveAllProperties(c *call) error {
	return replyList(c, c.sim.repositoriesOf(c.org), func(r *Repository) obj {
		return obj{"repository_id": r.id, "repository_name": r.name, "repository_full_name": r.fullName(), "properties": r.propertyValues()}
	})
}

func serveProperties(c *call) error { return c.reply(http.StatusOK, c.repo.propertyValues()) }

// mostRepositories is how many repositories one request may change, as documented.
const mostRepositories = 30

type propertyWrite struct {
	Name  string          `json:"property_name"`
	Value json.RawMessage `json:"value"`
}

// serveSetAllProperties changes all of the repositories or none.
func serveSetAllProperties(c *call) error {
	var body struct {
		Names      []string        `json:"repository_names"`
		Properties []propertyWrite `json:"properties"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if len(body.Names) == 0 || len(body.Names) > mostRepositories {
		return unprocessable("Invalid request.\n\nrepository_names must name 1 to 30 repositories.")
	}
	values, err := c.org.readProperties(body.Properties, true)
	if err != nil {
		return err
	}
	var list []*Repository
	for _, name := range body.Names {
		r := c.sim.repos[strings.ToLower(c.org.login+"/"+name)]
		if r == nil || c.actor.token.limited() && !c.actor.token.covers(r) {
			return notFound()
		}
		list = append(list, r)
	}
	for _, r := range list {
		r.setProperties(c.actor.user, values)
	}
	return c.reply(http.StatusNoContent, nil)
}

func serveSetProperties(c *call) error {
	var body struct {
		Properties []propertyWrite `json:"properties"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	owner := c.actor.app == nil && c.repo.org != nil && c.repo.org.owners[c.actor.user.id]
	values, err := c.repo.org.readProperties(body.Properties, owner)
	if err != nil {
		return err
	}
	c.repo.setProperties(c.actor.user, values)
	return c.reply(http.StatusNoContent, nil)
}

// readProperties checks values that somebody wants to set; who acts for a repository and not for the organization may set only those
// that are editable by all.
func (o *Organization) readProperties(list []propertyWrite, forOrganization bool) (map[string][]string, error) {
	values := map[string][]string{}
	for _, w := range list {
		spec := o.propertyNamed(w.Name)
		if spec == nil {
			return nil, noSuchProperty(w.Name)
		}
		if !forOrganization && !spec.EditableByAll {
			return nil, refuse(http.StatusForbidden, "You do not have permission to edit the values of this property.")
		}
		var one *string
		var several []string
		switch {
		case json.Unmarshal(w.Value, &one) == nil && one != nil:
			several = []string{*one}
		case one == nil && string(w.Value) == "null":
		case json.Unmarshal(w.Value, &several) != nil:
			return nil, invalid("CustomPropertyValue", "value", "invalid", "")
		}
		if err := spec.check(several); err != nil {
			return nil, err
		}
		values[spec.Name] = several
	}
	return values, nil
}
