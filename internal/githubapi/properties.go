package githubapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// propertiesTogether is how many repositories GitHub lets one call change.
const propertiesTogether = 30

// propertyValue is a value as it is written: go-github leaves out the null that takes
// one away.
type propertyValue struct {
	Name  string  `json:"property_name"`
	Value *string `json:"value"`
}

// SetProperty gives a custom property of the organization's repositories, which are
// named without their owner, that value; an empty one takes it away. It is one call
// for thirty repositories. A call that fails does not keep the others from being
// made; doing it again changes nothing more. It needs
// organization_custom_properties: write.
func (c *Client) SetProperty(ctx context.Context, owner policy.Repository, repositories []string, property, value string) error {
	client, err := c.rest(owner)
	if err != nil {
		return err
	}
	type change struct {
		Repositories []string        `json:"repository_names"`
		Properties   []propertyValue `json:"properties"`
	}
	var failures []error
	for together := range slices.Chunk(repositories, propertiesTogether) {
		err := call(ctx, client, http.MethodPatch, "orgs/"+owner.Owner+"/properties/values", change{
			Repositories: together, Properties: []propertyValue{{property, optional(value)}},
		}, nil)
		failures = append(failures, failed(err, "set the property %s of %d repositories of %s, %s the first", property, len(together), owner.Owner, together[0]))
	}
	return errors.Join(failures...)
}

// shownValue is a value as it is read: that of a multi_select is a list.
type shownValue struct {
	Name  string `json:"property_name"`
	Value any    `json:"value"`
}

func valueOf(values []shownValue, property string) string {
	for _, v := range values {
		if text, is := v.Value.(string); is && strings.EqualFold(v.Name, property) {
			return text
		}
	}
	return ""
}

// Property is the repository's value of a custom property; empty if it has none.
func (c *Client) Property(ctx context.Context, repository policy.Repository, property string) (string, error) {
	client, err := c.rest(repository)
	if err != nil {
		return "", err
	}
	var values []shownValue
	err = get(alone(ctx), client, "repos/"+repository.String()+"/properties/values", &values)
	return valueOf(values, property), failed(err, "read the property %s of %s", property, repository)
}

// Properties are the values that the organization's repositories have of a custom
// property, by their ids. It needs organization_custom_properties: read.
func (c *Client) Properties(ctx context.Context, owner policy.Repository, property string) (map[int64]string, error) {
	client, err := c.rest(owner)
	if err != nil {
		return nil, err
	}
	all, err := list[struct {
		Repository int64        `json:"repository_id"`
		Properties []shownValue `json:"properties"`
	}](alone(ctx), client, "orgs/"+owner.Owner+"/properties/values", nil)
	values := map[int64]string{}
	for _, repository := range all {
		values[repository.Repository] = valueOf(repository.Properties, property)
	}
	return values, failed(err, "read the property %s of the repositories of %s", property, owner.Owner)
}

// PropertyDefinition is what an organization says a custom property is.
type PropertyDefinition struct {
	// Type is true_false, single_select and so on.
	Type string `json:"value_type"`
	// EditableBy is org_actors, or org_and_repo_actors if the admins of a repository may
	// change its value.
	EditableBy string `json:"values_editable_by"`
}

// PropertyDefinition reads it; found is false if there is no such property. It needs
// organization_custom_properties: read.
func (c *Client) PropertyDefinition(ctx context.Context, owner policy.Repository, property string) (defined PropertyDefinition, found bool, err error) {
	client, err := c.rest(owner)
	if err != nil {
		return PropertyDefinition{}, false, err
	}
	err = get(ctx, client, "orgs/"+owner.Owner+"/properties/schema/"+url.PathEscape(property), &defined)
	if isNotFound(err) {
		return PropertyDefinition{}, false, nil
	}
	return defined, err == nil, failed(err, "read what the property %s of %s is", property, owner.Owner)
}

// InheritedRuleset finds the ruleset of that name by which the repository's
// organization governs it now; 0 if there is none, or none that is active. One whose
// conditions leave the repository out is none.
func (c *Client) InheritedRuleset(ctx context.Context, repository policy.Repository, name string) (id int64, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return 0, err
	}
	all, err := list[struct {
		listedRuleset

		SourceType string `json:"source_type"`
	}](alone(ctx), client, rulesets(repository), nil)
	for _, rs := range all {
		if rs.SourceType == "Organization" && rs.Enforcement == "active" && strings.EqualFold(rs.Name, name) {
			return rs.ID, nil
		}
	}
	return 0, failed(err, "list the rulesets that govern %s", repository)
}
