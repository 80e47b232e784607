package githubapi

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/portcullis-app/portcullis/policy"
)

// propertiesTogether is how many repositories GitHub lets one call change.
const propertiesTogether = 30

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
	type propertyValue struct {
		Name  string  `json:"property_name"`
		Value *string `json:"value"` // null takes it away; go-github leaves it out
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
