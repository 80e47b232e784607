package githubapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// GraphQLError is what GitHub says is wrong with a query that it answered.
type GraphQLError struct {
	// Type is GitHub's word, as NOT_FOUND, FORBIDDEN or RATE_LIMITED; empty for an
	// error in the query itself.
	Type    string `json:"type"`
	Message string `json:"message"`
	// Path leads to the field of the answer that is missing.
	Path []any `json:"path"`
}

func (e *GraphQLError) Error() string { return strings.TrimSpace(e.Type + " " + e.Message) }

// at reports whether the error is about the field that the path begins with.
func (e *GraphQLError) at(field string) bool { return len(e.Path) > 0 && e.Path[0] == field }

// graphql sends a query with the installation's own HTTP client, so that REST and
// GraphQL share one token and one connection. It goes around go-github, which
// would take the query's budget for that of REST. What GitHub could answer is in
// data also when there are errors. It returns GitHub's clock.
func (c *Client) graphql(ctx context.Context, client *github.Client, query string, variables map[string]any, data any) (time.Time, []*GraphQLError, error) {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return time.Time{}, nil, fmt.Errorf("make a query: %w", err)
	}
	if !strings.HasPrefix(strings.TrimSpace(query), "mutation") {
		ctx = asRead(ctx)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.graphqlURL, bytes.NewReader(body))
	if err != nil {
		return time.Time{}, nil, fmt.Errorf("make a query: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", c.options.UserAgent)
	response, err := client.Client().Do(request)
	if err != nil {
		return time.Time{}, nil, fmt.Errorf("send a query: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := struct {
		Data   any             `json:"data"`
		Errors []*GraphQLError `json:"errors"`
	}{Data: data}
	if response.StatusCode != http.StatusOK {
		return time.Time{}, nil, &Error{Operation: "send a query", Status: response.StatusCode}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return time.Time{}, nil, fmt.Errorf("read the answer to a query: %w", err)
	}
	return clock(response), answer.Errors, nil
}

// account is what a query asks of an actor. An account that was deleted is null.
const account = `{__typename login ... on User {databaseId} ... on Bot {databaseId} ... on Mannequin {databaseId}}`

// assignee is the same of somebody assigned, which is not always an actor.
const assignee = `{__typename ... on User {login databaseId} ... on Bot {login databaseId} ... on Mannequin {login databaseId}}`

type graphAccount struct {
	Typename   string `json:"__typename"`
	Login      string `json:"login"`
	DatabaseID int64  `json:"databaseId"`
}

// actor is the account as REST shows it, where a bot's login ends in [bot].
func (a *graphAccount) actor() policy.Actor {
	if a == nil || a.DatabaseID == 0 {
		return policy.Actor{}
	}
	login := a.Login
	if a.Typename == string(policy.KindBot) && !strings.HasSuffix(login, "[bot]") {
		login += "[bot]"
	}
	return policy.Actor{ID: a.DatabaseID, Login: login, Kind: policy.ActorKind(a.Typename)}
}

// graphSigner is an author or committer of a commit. GitHub shows people here,
// and no bots.
type graphSigner struct {
	User *struct {
		Login      string `json:"login"`
		DatabaseID int64  `json:"databaseId"`
	} `json:"user"`
}

func (s *graphSigner) actor() policy.Actor {
	if s == nil || s.User == nil {
		return policy.Actor{}
	}
	return policy.Actor{ID: s.User.DatabaseID, Login: s.User.Login, Kind: policy.KindUser}
}

// graphBranch is a branch with the policy file at its tip.
type graphBranch struct {
	Name   string `json:"name"`
	Target struct {
		OID  string     `json:"oid"`
		File *graphFile `json:"file"`
	} `json:"target"`
}

const branch = `{name target {oid ... on Commit {file(path: $path) {mode object {... on Blob {isBinary isTruncated text}}}}}}`

type graphFile struct {
	Mode   int `json:"mode"`
	Object *struct {
		IsBinary    *bool   `json:"isBinary"`
		IsTruncated bool    `json:"isTruncated"`
		Text        *string `json:"text"`
	} `json:"object"`
}

// Git's modes of a plain file.
const (
	modeFile       = 0o100644
	modeExecutable = 0o100755
)

// whole returns the file's text; false if REST has to be asked for it.
func (f *graphFile) whole() ([]byte, bool) {
	plain := f.Mode == modeFile || f.Mode == modeExecutable
	if !plain || f.Object == nil || f.Object.Text == nil || f.Object.IsTruncated {
		return nil, false
	}
	return []byte(*f.Object.Text), true
}

// policyOf is the policy file at the tip of the branch.
func (c *Client) policyOf(ctx context.Context, client *github.Client, place policy.Place, at *graphBranch) (policy.PolicyText, error) {
	place.Branch, place.Path = at.Name, c.options.PolicyPath
	text := policy.PolicyText{Place: place, Commit: at.Target.OID}
	if !commitName.MatchString(text.Commit) {
		return text, &Error{Operation: "read the branch " + place.Branch + " of " + place.Repository + ", whose tip has no name", Status: http.StatusOK}
	}
	if at.Target.File == nil {
		return text, nil
	}
	if whole, ok := at.Target.File.whole(); ok {
		text.Content = whole
		return text, nil
	}
	owner, name, _ := strings.Cut(place.Repository, "/")
	var err error
	text.Content, err = content(ctx, client, owner, name, place.Path, text.Commit)
	return text, err
}

// firstError is the first of the errors that is not one of the tolerated.
func firstError(errors []*GraphQLError, tolerated func(*GraphQLError) bool) error {
	i := slices.IndexFunc(errors, func(e *GraphQLError) bool { return !tolerated(e) })
	if i < 0 {
		return nil
	}
	return errors[i]
}
