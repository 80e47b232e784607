package handlers

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// errIncomplete is returned for a payload that lacks what every delivery to an
// App has.
var errIncomplete = errors.New("it names no installation, repository or pull request")

// parse reads a payload into one of go-github's event types. Unknown fields are
// ignored: GitHub adds to its payloads at any time.
func parse[T any](payload []byte) (*T, error) {
	parsed := new(T)
	if err := json.Unmarshal(payload, parsed); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	return parsed, nil
}

// heading is what says whose work a payload is. Most of a payload describes
// repositories and people: to read all of that takes several times as long.
type heading struct {
	Action       string `json:"action"`
	Installation struct {
		ID int64 `json:"id"`
	} `json:"installation"`
	Repository struct {
		ID    int64  `json:"id"`
		Name  string `json:"name"`
		Owner struct {
			Login string `json:"login"`
		} `json:"owner"`
	} `json:"repository"`
	PullRequest struct {
		Number int `json:"number"`
	} `json:"pull_request"`
	CheckRun struct {
		// ExternalID is what we called the run.
		ExternalID string `json:"external_id"`
		HeadSHA    string `json:"head_sha"`
	} `json:"check_run"`
	// Label is the one that was put on or taken off.
	Label struct {
		Name string `json:"name"`
	} `json:"label"`
	Changes struct {
		// Base is nil unless the base branch was changed.
		Base *struct{} `json:"base"`
		// Name has what a label was called before.
		Name struct {
			From string `json:"from"`
		} `json:"name"`
	} `json:"changes"`
	Sender *github.User `json:"sender"`
}

func (h *heading) repository() (policy.Repository, error) {
	return complete(policy.Repository{
		Installation: h.Installation.ID, ID: h.Repository.ID,
		Owner: h.Repository.Owner.Login, Name: h.Repository.Name,
	})
}

// pullRequest is what a payload with a pull_request in it is about.
func (h *heading) pullRequest() (policy.PullRequestRef, error) {
	repo, err := h.repository()
	if err != nil {
		return policy.PullRequestRef{}, err
	}
	return numbered(repo, h.PullRequest.Number)
}

func repository(repo *github.Repository, installation *github.Installation) (policy.Repository, error) {
	return complete(policy.Repository{
		Installation: installation.GetID(), ID: repo.GetID(),
		Owner: repo.GetOwner().GetLogin(), Name: repo.GetName(),
	})
}

func pullRequestRef(repo *github.Repository, installation *github.Installation, number int) (policy.PullRequestRef, error) {
	r, err := repository(repo, installation)
	if err != nil {
		return policy.PullRequestRef{}, err
	}
	return numbered(r, number)
}

// complete refuses a repository of which something is missing: nothing could be
// asked about it.
func complete(r policy.Repository) (policy.Repository, error) {
	if r.Installation == 0 || r.ID == 0 || r.Owner == "" || r.Name == "" {
		return policy.Repository{}, errIncomplete
	}
	return r, nil
}

func numbered(repo policy.Repository, number int) (policy.PullRequestRef, error) {
	if number < 1 {
		return policy.PullRequestRef{}, errIncomplete
	}
	return policy.PullRequestRef{Repository: repo, Number: number}, nil
}

func actor(user *github.User) policy.Actor {
	return policy.Actor{ID: user.GetID(), Login: user.GetLogin(), Kind: policy.ActorKind(user.GetType())}
}
