package githubapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// Secrets is where secrets of workflows are: a repository, or an environment of it.
type Secrets struct {
	Repository policy.Repository
	// Environment is empty for those of the repository.
	Environment string
}

func (s Secrets) String() string {
	if s.Environment == "" {
		return s.Repository.String()
	}
	return fmt.Sprintf("the environment %s of %s", s.Environment, s.Repository)
}

// address is that of something there. go-github's methods for environments go by an
// older address, and put names into it as they are.
func (s Secrets) address(what ...string) string {
	at := "actions"
	if s.Environment != "" {
		at = "environments/" + url.PathEscape(s.Environment)
	}
	for i := range what {
		what[i] = url.PathEscape(what[i])
	}
	return fmt.Sprintf("repos/%s/%s/%s/secrets/%s", s.Repository.Owner, s.Repository.Name, at, strings.Join(what, "/"))
}

// SecretMeta is what GitHub tells of a secret; never its value.
type SecretMeta struct {
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Secret reads what GitHub tells of a secret; at is GitHub's clock when it did.
func (c *Client) Secret(ctx context.Context, in Secrets, name string) (meta SecretMeta, found bool, at time.Time, err error) {
	response, err := c.secretCall(ctx, in, http.MethodGet, in.address(name), nil, &meta)
	at = dateOf(response, c.options.Now())
	if isNotFound(err) {
		return SecretMeta{}, false, at, nil
	}
	return meta, err == nil, at, failed(err, "look at the secret %s of %s", name, in)
}

// PublicKey is what the secrets there are sealed with. It is another for each
// repository and each environment.
func (c *Client) PublicKey(ctx context.Context, in Secrets) (id string, key []byte, err error) {
	var answer struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	if _, err := c.secretCall(ctx, in, http.MethodGet, in.address("public-key"), nil, &answer); err != nil {
		return "", nil, failed(err, "read the public key of %s", in)
	}
	if key, err = base64.StdEncoding.DecodeString(answer.Key); err != nil {
		return "", nil, fmt.Errorf("read the public key of %s: %w", in, err)
	}
	return answer.ID, key, nil
}

// PutSecret writes a sealed secret. created is false if there was one.
func (c *Client) PutSecret(ctx context.Context, in Secrets, name, keyID, sealed string) (created bool, err error) {
	body := map[string]string{"encrypted_value": sealed, "key_id": keyID}
	response, err := c.secretCall(ctx, in, http.MethodPut, in.address(name), body, nil)
	if err != nil {
		return false, failed(err, "write the secret %s of %s", name, in)
	}
	return response.StatusCode == http.StatusCreated, nil
}

// DeleteSecret deletes a secret; found is false if there was none to be seen.
func (c *Client) DeleteSecret(ctx context.Context, in Secrets, name string) (found bool, err error) {
	_, err = c.secretCall(ctx, in, http.MethodDelete, in.address(name), nil, nil)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, failed(err, "delete the secret %s of %s", name, in)
}

// ListSecrets lists those there; at is GitHub's clock.
func (c *Client) ListSecrets(ctx context.Context, in Secrets) (all []SecretMeta, at time.Time, err error) {
	all, err = pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]SecretMeta, *github.Response, error) {
		var answer struct {
			Secrets []SecretMeta `json:"secrets"`
		}
		address := fmt.Sprintf("%s?per_page=%d&page=%d", strings.TrimSuffix(in.address(), "/"), page.PerPage, max(1, page.Page))
		response, err := c.secretCall(ctx, in, http.MethodGet, address, nil, &answer)
		at = dateOf(response, c.options.Now())
		return answer.Secrets, response, err
	})
	return all, at, failed(err, "list the secrets of %s", in)
}

// Environments lists the names of a repository's environments.
func (c *Client) Environments(ctx context.Context, repository policy.Repository) ([]string, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	names, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]string, *github.Response, error) {
		answer, response, err := client.Repositories.ListEnvironments(ctx, repository.Owner, repository.Name, &github.EnvironmentListOptions{ListOptions: *page})
		if err != nil {
			return nil, response, err
		}
		names := make([]string, len(answer.Environments))
		for i, environment := range answer.Environments {
			names[i] = environment.GetName()
		}
		return names, response, nil
	})
	return names, failed(err, "list the environments of %s", repository)
}

func (c *Client) secretCall(ctx context.Context, in Secrets, method, address string, body, into any) (*github.Response, error) {
	client, err := c.rest(in.Repository)
	if err != nil {
		return nil, err
	}
	request, err := client.NewRequest(method, address, body)
	if err != nil {
		return nil, err
	}
	return client.Do(ctx, request, into)
}

// dateOf is GitHub's clock when it answered, or ours if it does not tell.
func dateOf(response *github.Response, ours time.Time) time.Time {
	if response != nil && response.Response != nil {
		if at, err := http.ParseTime(response.Header.Get("Date")); err == nil {
			return at
		}
	}
	return ours
}

// Locate finds the repository by its number, under the name that it has now. found is
// false if the installation does not show it: it was deleted, moved elsewhere, or taken
// from the App. One that is archived can be read, and not written to.
func (c *Client) Locate(ctx context.Context, repository policy.Repository) (now policy.Repository, archived, found bool, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return policy.Repository{}, false, false, err
	}
	repo, _, err := client.Repositories.Get(ctx, repository.Owner, repository.Name)
	if err != nil && !isNotFound(err) {
		return policy.Repository{}, false, false, failed(err, "find %s", repository)
	}
	if err == nil && repo.GetID() == repository.ID {
		repository.Owner, repository.Name = repo.GetOwner().GetLogin(), repo.GetName()
		return repository, repo.GetArchived(), true, nil
	}
	all, err := c.Repositories(ctx, repository.Installation)
	if err != nil {
		return policy.Repository{}, false, false, fmt.Errorf("find %s by its number: %w", repository, err)
	}
	for _, one := range all {
		if one.ID == repository.ID && (one.Owner != repository.Owner || one.Name != repository.Name) {
			return c.Locate(ctx, one)
		}
	}
	return policy.Repository{}, false, false, nil
}
