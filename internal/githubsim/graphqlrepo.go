package githubsim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// resolvers are the types that the schema serves, each with all its fields.
var resolvers = map[string]fields{
	"Query": queryFields, "Mutation": mutationFields,
	"DisablePullRequestAutoMergePayload": autoMergedFields, "EnablePullRequestAutoMergePayload": autoMergedFields,
	"RateLimit": rateLimitFields, "PageInfo": pageInfoFields,
	"Organization": organizationFields, "Team": teamFields,
	"Repository": repositoryFields, "Ref": refFields, "RefUpdateRule": ruleFields, "Label": labelFields,
	"User": accountFields, "Bot": accountFields, "Mannequin": accountFields,
	"Commit": commitFields, "Tree": treeFields, "Blob": blobFields, "TreeEntry": entryFields, "GitActor": gitActorFields,
	"PullRequest": pullFields, "PullRequestChangedFile": changeFields, "PullRequestCommit": pullCommitFields,
	"PullRequestReview": reviewFields, "IssueComment": commentFields, "Issue": issueFields, "AutoMergeRequest": autoMergeFields,
	"LabeledEvent": eventFields, "UnlabeledEvent": eventFields, "AssignedEvent": eventFields, "UnassignedEvent": eventFields,
	"HeadRefForcePushedEvent": eventFields, "BaseRefChangedEvent": eventFields, "ClosedEvent": eventFields, "ReopenedEvent": eventFields,
	"ReviewDismissedEvent": eventFields, "AutomaticBaseChangeSucceededEvent": eventFields,

	"RepositoryCollaboratorConnection": collaboratorFields, "RepositoryCollaboratorEdge": collaboratorEdgeFields,
	"IssueConnection": connectionFields, "PullRequestConnection": connectionFields, "PullRequestCommitConnection": connectionFields, "PullRequestReviewConnection": connectionFields,
	"PullRequestChangedFileConnection": connectionFields, "PullRequestTimelineItemsConnection": connectionFields,
	"IssueCommentConnection": connectionFields, "LabelConnection": connectionFields, "UserConnection": connectionFields,
	"TeamMemberConnection": connectionFields, "CommitConnection": connectionFields, "GitActorConnection": connectionFields,
}

// typeOf is the GraphQL type of a thing, where the schema leaves several open.
func typeOf(thing any) string {
	switch thing := thing.(type) {
	case *User:
		return thing.kind
	case *Organization:
		return "Organization"
	case graphCommit:
		return "Commit"
	case graphTree:
		return "Tree"
	case *blob:
		return "Blob"
	case timelineEntry:
		return timelineTypes[thing.event]
	}
	panic(fmt.Sprintf("githubsim: %T has no GraphQL type", thing))
}

// allow is REST's rule: where its token reaches, an App needs the permission; elsewhere everybody reads what is public.
func (q *query) allow(r *Repository, permission string) error {
	t := q.actor.token
	if !t.limited() || !t.covers(r) || t.may(r.org, permission, "read") {
		return nil
	}
	return graphForbidden()
}

func graphForbidden() error {
	return graphRefusal("FORBIDDEN", "Resource not accessible by integration")
}

// stamp is a DateTime, null when zero.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// shown is an account as it is shown: one that was deleted is null.
func shown(u *User) any {
	if u == nil || u.deleted {
		return nil
	}
	return u
}

var queryFields = fields{
	"rateLimit": get(func(q *query) any { return q }),
	"repository": find(func(q *query, _ *query, args arguments) (any, error) {
		name := args.text("owner") + "/" + args.text("name")
		r := q.sim.repos[strings.ToLower(name)]
		if follow, given := args["followRenames"].(bool); r == nil && (follow || !given) {
			r = q.sim.repositoryNow(name)
		}
		if r == nil || r.roleOf(q.actor) < roleRead {
			return nil, graphRefusal("NOT_FOUND", "Could not resolve to a Repository with the name '%s'.", name)
		}
		return r, nil
	}),
	"organization": find(func(q *query, _ *query, args arguments) (any, error) {
		o := q.sim.orgs[strings.ToLower(args.text("login"))]
		if o == nil || !q.sees(o) {
			return nil, graphRefusal("NOT_FOUND", "Could not resolve to an Organization with the login of '%s'.", args.text("login"))
		}
		return o, nil
	}),
}

// sees says whether an organization shows itself, as over REST: to its installations and its members.
func (q *query) sees(o *Organization) bool {
	t := q.actor.token
	if t.limited() && t.at(o) == nil {
		return false
	}
	return t.install != nil || o.isMember(q.actor.user)
}

// rateLimitFields count this query as paid for.
var rateLimitFields = fields{
	"cost":      get(func(q *query) any { return q.cost }),
	"nodeCount": get(func(q *query) any { return q.nodes }),
	"limit":     get(func(q *query) any { return q.paid().limit }),
	"used":      get(func(q *query) any { return q.paid().used }),
	"remaining": get(func(q *query) any { return q.paid().limit - q.paid().used }),
	"resetAt":   get(func(q *query) any { return stamp(q.paid().reset) }),
}

// paid is the bucket as it will be when this query is billed.
func (q *query) paid() bucket {
	b := *q.sim.bucket(q.actor, q.resource())
	b.used = min(b.limit, b.used+q.cost)
	return b
}

var accountFields = fields{
	"databaseId": get(func(u *User) any { return u.id }),
	"login":      get(func(u *User) any { return strings.TrimSuffix(u.login, "[bot]") }), // GraphQL leaves it off
}

var organizationFields = fields{
	"databaseId": get(func(o *Organization) any { return o.id }),
	"login":      get(func(o *Organization) any { return o.login }),
	"team": find(func(q *query, o *Organization, args arguments) (any, error) {
		if t := q.actor.token; t.limited() && !t.may(o, "members", "read") {
			return nil, graphForbidden()
		}
		if t := o.teams[strings.ToLower(args.text("slug"))]; t != nil {
			return t, nil
		}
		return nil, nil //nolint:nilnil // a team that is not there is null, and no error
	}),
}

var teamFields = fields{
	"databaseId": get(func(t *Team) any { return t.id }),
	"name":       get(func(t *Team) any { return t.slug }),
	"slug":       get(func(t *Team) any { return t.slug }),
	"members": find(func(_ *query, t *Team, args arguments) (any, error) {
		members := slices.DeleteFunc(sortedUsers(t.members), func(u *User) bool {
			return u.deleted || args.text("membership") == "CHILD_TEAM" || !strings.Contains(strings.ToLower(u.login), strings.ToLower(args.text("query")))
		})
		return byID(members, func(u *User) int64 { return u.id }).page(args)
	}),
}

var repositoryFields = fields{
	"databaseId":       get(func(r *Repository) any { return r.id }),
	"collaborators":    find(func(q *query, r *Repository, args arguments) (any, error) { return r.collaborators(q, args) }),
	"name":             get(func(r *Repository) any { return r.name }),
	"nameWithOwner":    get(func(r *Repository) any { return r.fullName() }),
	"isPrivate":        get(func(r *Repository) any { return r.private }),
	"isFork":           get(func(r *Repository) any { return r.parent != nil }),
	"owner":            get(func(r *Repository) any { return r.ownerThing() }),
	"defaultBranchRef": find(func(q *query, r *Repository, _ arguments) (any, error) { return q.branch(r, r.branch) }),
	"ref": find(func(q *query, r *Repository, args arguments) (any, error) {
		return q.branch(r, strings.TrimPrefix(strings.TrimPrefix(args.text("qualifiedName"), "refs/"), "heads/"))
	}),
	"object": find((*query).gitObject),
	"pullRequest": find(func(q *query, r *Repository, args arguments) (any, error) {
		if err := q.allow(r, "pull_requests"); err != nil {
			return nil, err
		}
		number, _ := args.number("number")
		if p := r.pulls[number]; p != nil {
			return p, nil
		}
		return nil, graphRefusal("NOT_FOUND", "Could not resolve to a PullRequest with the number of %d.", number)
	}),
	"issues": find(func(q *query, r *Repository, args arguments) (any, error) {
		if err := q.allow(r, "issues"); err != nil {
			return nil, err
		}
		list, err := r.issuesBy(args)
		if err != nil {
			return nil, err
		}
		return inOrder(args, list, func(i *Issue) *thread { return i.thread }).page(args)
	}),
	"pullRequests": find(func(q *query, r *Repository, args arguments) (any, error) {
		if err := q.allow(r, "pull_requests"); err != nil {
			return nil, err
		}
		if err := oneLabel(args); err != nil {
			return nil, err
		}
		return r.pullsBy(args).page(args)
	}),
}

// ownerThing is who owns the repository, with its own type.
func (r *Repository) ownerThing() any {
	if r.org != nil {
		return r.org
	}
	return &User{account: *r.owner}
}

// pullsBy is the pull requests that the arguments ask for: by creation, oldest first, unless they say otherwise.
func (r *Repository) pullsBy(args arguments) ordered[*PullRequest] {
	states := args.list("states")
	var list []*PullRequest
	for _, p := range r.pulls {
		wanted := len(states) == 0 || slices.Contains(states, p.graphState())
		for _, name := range args.list("labels") {
			wanted = wanted && p.labelNamed(name) != nil
		}
		for argument, branch := range map[string]string{"baseRefName": p.base, "headRefName": p.headRef} {
			wanted = wanted && (args.text(argument) == "" || args.text(argument) == branch)
		}
		if wanted {
			list = append(list, p)
		}
	}
	return inOrder(args, list, func(p *PullRequest) *thread { return p.thread })
}

// branch is a branch as a Ref, which needs contents; one that is not there is null.
func (q *query) branch(r *Repository, name string) (any, error) {
	if err := q.allow(r, "contents"); err != nil || r.branches[name] == "" {
		return nil, err
	}
	return r.ref(name), nil
}

var refFields = fields{
	"name":   get(func(ref headRef) any { return ref.name }),
	"prefix": get(func(headRef) any { return "refs/heads/" }),
	"target": get(func(ref headRef) any { return ref.repo.commitThing(ref.repo.branches[ref.name]) }),
	"refUpdateRule": get(func(ref headRef) any {
		if p, ok := ref.repo.protected[ref.name]; ok {
			return branchRule{ref.name, p}
		}
		return nil
	}),
}

// branchRule is the classic protection of a branch; rulesets do not show here.
type branchRule struct {
	pattern string
	Protection
}

var ruleFields = fields{
	"pattern":                      get(func(b branchRule) any { return b.pattern }),
	"requiredApprovingReviewCount": get(func(b branchRule) any { return positive(b.RequiredApprovals) }),
	"requiredStatusCheckContexts": get(func(b branchRule) any {
		contexts := []any{}
		for _, check := range b.RequiredChecks {
			contexts = append(contexts, check.Context)
		}
		return contexts
	}),
}

// positive is a count that is null when nothing is required.
func positive(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

var labelFields = fields{
	"name":        get(func(l *label) any { return l.name }),
	"color":       get(func(l *label) any { return l.color }),
	"description": get(func(l *label) any { return text(l.text) }),
}
