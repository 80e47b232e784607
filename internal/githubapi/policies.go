package githubapi

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// restPolicies reads the files that govern pull requests onto the base branch:
// the organization's, that of the repository's default branch, and that of the
// base branch itself.
func (c *Client) restPolicies(ctx context.Context, client *github.Client, repository policy.Repository, base, defaultBranch string) ([]policy.PolicyText, error) {
	floor, own, err := c.organizationPlace(ctx, client, repository)
	if err != nil {
		return nil, err
	}
	places := []policy.Place{{Repository: repository.String(), Branch: defaultBranch, Path: c.options.PolicyPath, Organization: own}}
	if floor != nil {
		places = append([]policy.Place{*floor}, places...)
	}
	if base != defaultBranch {
		places = append(places, policy.Place{Repository: repository.String(), Branch: base, Path: c.options.PolicyPath})
	}
	var texts []policy.PolicyText
	for _, place := range places {
		text, err := c.policyText(ctx, client, place)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// organizationPlace says where the organization's policy file stands, nil if
// there is no such repository that the App can see. own is true if it is the
// repository itself.
func (c *Client) organizationPlace(ctx context.Context, client *github.Client, repository policy.Repository) (place *policy.Place, own bool, err error) {
	if strings.EqualFold(repository.Name, c.options.OrganizationRepository) {
		return nil, true, nil
	}
	found, _, err := client.Repositories.Get(ctx, repository.Owner, c.options.OrganizationRepository)
	if isNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, failed(err, "read the repository %s/%s", repository.Owner, c.options.OrganizationRepository)
	}
	return &policy.Place{
		Repository: repository.Owner + "/" + c.options.OrganizationRepository, Branch: found.GetDefaultBranch(), Path: c.options.PolicyPath, Organization: true,
	}, false, nil
}

// policyText reads the file from the tip of the branch: the base commit that
// GitHub shows with a pull request may be an older one.
func (c *Client) policyText(ctx context.Context, client *github.Client, place policy.Place) (policy.PolicyText, error) {
	owner, name, _ := strings.Cut(place.Repository, "/")
	tip, _, err := client.Repositories.GetCommitSHA1(ctx, owner, name, "heads/"+place.Branch, "")
	if err != nil {
		return policy.PolicyText{}, failed(err, "read the branch %s of %s", place.Branch, place.Repository)
	}
	if !commitName.MatchString(tip) {
		return policy.PolicyText{}, &Error{Operation: "read the branch " + place.Branch + " of " + place.Repository + ", whose tip has no name", Status: http.StatusOK}
	}
	content, err := content(ctx, client, owner, name, place.Path, tip)
	if isNotFound(err) {
		content, err = nil, nil // the commit is there and could be read
	}
	return policy.PolicyText{Place: place, Commit: tip, Content: content}, err
}

var commitName = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Content reads a file at a commit or full reference. It returns nil without an
// error only if the file does not exist there: GitHub answers 404 also when the
// App may not read contents, so an absence is believed only of a commit that
// the App can read.
func (c *Client) Content(ctx context.Context, repository policy.Repository, path, at string) ([]byte, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	found, err := content(ctx, client, repository.Owner, repository.Name, path, at)
	if isNotFound(err) {
		_, _, err := client.Repositories.GetCommit(ctx, repository.Owner, repository.Name, at, nil)
		return nil, failed(err, "read %s of %s at %s", path, repository, at)
	}
	return found, err
}

func content(ctx context.Context, client *github.Client, owner, name, path, at string) ([]byte, error) {
	file, _, _, err := client.Repositories.GetContents(ctx, owner, name, path, &github.RepositoryContentGetOptions{Ref: at})
	if err != nil {
		return nil, failed(err, "read %s of %s/%s at %s", path, owner, name, at)
	}
	if file == nil {
		return nil, &Error{Operation: "read " + path + " of " + owner + "/" + name + ", which is a folder", Status: http.StatusOK}
	}
	text, err := file.GetContent()
	if err != nil {
		return nil, failed(err, "decode %s of %s/%s at %s", path, owner, name, at)
	}
	return []byte(text), nil
}
