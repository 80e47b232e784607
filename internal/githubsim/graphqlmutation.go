package githubsim

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// autoMerged is the answer to a mutation about auto-merge.
type autoMerged struct {
	pull  *PullRequest
	actor *User
	id    string // clientMutationId
}

var mutationFields = fields{
	"enablePullRequestAutoMerge": find(func(q *query, _ *query, args arguments) (any, error) {
		return q.autoMerge(args, func(p *PullRequest, input arguments) error {
			return p.arm(q.actor, mergeSpec{
				SHA: input.text("expectedHeadOid"), Title: input.text("commitHeadline"), Message: input.text("commitBody"),
				Method: strings.ToLower(input.text("mergeMethod")),
			})
		})
	}),
	"disablePullRequestAutoMerge": find(func(q *query, _ *query, args arguments) (any, error) {
		return q.autoMerge(args, func(p *PullRequest, _ arguments) error { return p.unarm(q.actor) })
	}),
}

var autoMergedFields = fields{
	"actor":            get(func(m autoMerged) any { return shown(m.actor) }),
	"clientMutationId": get(func(m autoMerged) any { return text(m.id) }),
	"pullRequest":      get(func(m autoMerged) any { return m.pull }),
}

// autoMerge does something to the pull request that the input names; an App needs to write pull requests and contents, as for merging.
func (q *query) autoMerge(args arguments, change func(*PullRequest, arguments) error) (any, error) {
	given, _ := args["input"].(map[string]any)
	input := arguments(given)
	p := q.sim.pullOf(input.text("pullRequestId"))
	if p == nil || p.repo.roleOf(q.actor) < roleRead {
		return nil, graphRefusal("NOT_FOUND", "Could not resolve to a node with the global id of '%s'", input.text("pullRequestId"))
	}
	t := q.actor.token
	if t.limited() && (!t.covers(p.repo) || !t.may(p.repo.org, "pull_requests", "write") || !t.may(p.repo.org, "contents", "write")) {
		return nil, graphForbidden()
	}
	if p.repo.archived {
		return nil, asRefusal(errArchived())
	}
	if err := change(p, input); err != nil {
		return nil, asRefusal(err)
	}
	return autoMerged{p, q.actor.user, input.text("clientMutationId")}, nil
}

// asRefusal is a refusal of REST as GraphQL says it.
func asRefusal(err error) error {
	var no *Refusal
	if !errors.As(err, &no) {
		return err
	}
	kind := "UNPROCESSABLE"
	switch no.Status {
	case http.StatusForbidden:
		kind = "FORBIDDEN"
	case http.StatusNotFound:
		kind = "NOT_FOUND"
	}
	return graphRefusal(kind, "%s", no.Error())
}

// pullOf finds a pull request by its node id, or returns nil.
func (s *Sim) pullOf(node string) *PullRequest {
	encoded, ok := strings.CutPrefix(node, "PR_")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	number, named := strings.CutPrefix(string(raw), "sim:PR:")
	if !ok || err != nil || !named {
		return nil
	}
	return s.pullsByID[parseID(number)]
}
