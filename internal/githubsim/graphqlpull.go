package githubsim

import (
	"slices"
	"strconv"
	"strings"
)

// The fields that a pull request, a review and a comment share have one resolver for each.
var pullFields = fields{
	"id":             get(func(p *PullRequest) any { return nodeID("PR", p.id) }),
	"url":            get(func(p *PullRequest) any { return p.repo.html("pull/%d", p.number) }),
	"number":         get(func(p *PullRequest) any { return p.number }),
	"databaseId":     get(func(p *PullRequest) any { return p.id }),
	"fullDatabaseId": get(func(p *PullRequest) any { return bigInt(p.id) }),
	"title":          get(func(p *PullRequest) any { return p.title }),
	"body":           get(func(p *PullRequest) any { return p.body }),
	"state":          get(func(p *PullRequest) any { return p.graphState() }),
	"isDraft":        get(func(p *PullRequest) any { return p.draft }),
	"closed":         get(func(p *PullRequest) any { return p.state == "closed" }),
	"merged":         get(func(p *PullRequest) any { return p.merged }),
	"locked":         get(func(p *PullRequest) any { return p.locked }),
	"createdAt":      get(func(p *PullRequest) any { return stamp(p.created) }),
	"updatedAt":      get(func(p *PullRequest) any { return stamp(p.updated) }),
	"lastEditedAt":   get(func(p *PullRequest) any { return stamp(p.edited.at) }),
	"editor":         get(func(p *PullRequest) any { return shown(p.edited.by) }),
	"author":         get(func(p *PullRequest) any { return shown(p.author) }),

	"headRefOid":  get(func(p *PullRequest) any { return p.shownHead() }),
	"headRefName": get(func(p *PullRequest) any { return p.headRef }),
	"headRepository": find(func(q *query, p *PullRequest, _ arguments) (any, error) {
		if p.headRepo.gone || p.headRepo.roleOf(q.actor) < roleRead {
			return nil, nil //nolint:nilnil // null, and no error
		}
		return p.headRepo, nil
	}),
	"baseRefName": get(func(p *PullRequest) any { return p.base }),
	"baseRefOid":  get(func(p *PullRequest) any { return p.baseSHA }),
	"baseRef":     find(func(q *query, p *PullRequest, _ arguments) (any, error) { return q.branch(p.repo, p.base) }),

	"changedFiles": get(func(p *PullRequest) any { return len(p.files()) }),
	"additions":    get(func(p *PullRequest) any { additions, _ := p.changedLines(); return additions }),
	"deletions":    get(func(p *PullRequest) any { _, deletions := p.changedLines(); return deletions }),

	"autoMergeRequest": get(func(p *PullRequest) any {
		if p.auto == nil {
			return nil
		}
		return p.auto
	}),
	"labels": find(func(_ *query, p *PullRequest, args arguments) (any, error) {
		labels := slices.SortedFunc(slices.Values(p.labels), func(a, b *label) int { return int(a.id - b.id) })
		return byID(labels, func(l *label) int64 { return l.id }).page(args)
	}),
	"files": find(func(_ *query, p *PullRequest, args arguments) (any, error) {
		return capped(p.files(), mostFiles, args)
	}),
	"commits": find(func(_ *query, p *PullRequest, args arguments) (any, error) {
		var list []graphCommit
		for _, c := range p.commits() {
			list = append(list, graphCommit{c, p.repo})
		}
		return capped(list, mostPullCommits, args)
	}),
	"reviews": find(func(q *query, p *PullRequest, args arguments) (any, error) {
		return byID(p.reviewsBy(q.actor, args), func(r *review) int64 { return r.id }).page(args)
	}),
	"comments": find(func(_ *query, p *PullRequest, args arguments) (any, error) {
		return byID(p.comments, func(c *comment) int64 { return c.id }).page(args)
	}),
	"assignees": find(func(_ *query, p *PullRequest, args arguments) (any, error) {
		people := slices.DeleteFunc(p.assigned(), func(u *User) bool { return u.deleted || u.kind != "User" }) // the nodes are of type User
		return byPlace(people).page(args)
	}),
	"timelineItems": find(func(_ *query, p *PullRequest, args arguments) (any, error) {
		return byID(p.timelineBy(args.list("itemTypes")), func(e timelineEntry) int64 { return e.id }).page(args)
	}),
}

// bigInt is a number as GraphQL's BigInt: a text, for it may be larger than an Int.
func bigInt(n int64) string { return strconv.FormatInt(n, 10) }

func (p *PullRequest) graphState() string {
	if p.merged {
		return "MERGED"
	}
	return strings.ToUpper(p.state)
}

// capped is a page of a list that ends early, while its total is that of the whole.
func capped[T any](list []T, most int, args arguments) (any, error) {
	found, err := byPlace(list[:min(most, len(list))]).page(args)
	if err != nil {
		return nil, err
	}
	page := as[*connection](found)
	page.total = len(list)
	return page, nil
}

var changeTypes = map[string]string{"added": "ADDED", "removed": "DELETED", "modified": "MODIFIED", "changed": "CHANGED", "renamed": "RENAMED"}

var changeFields = fields{
	"path":       get(func(f fileChange) any { return f.path }),
	"changeType": get(func(f fileChange) any { return changeTypes[f.status] }),
	"additions":  get(func(f fileChange) any { return f.additions }),
	"deletions":  get(func(f fileChange) any { return f.deletions }),
}

var pullCommitFields = fields{"commit": get(func(c graphCommit) any { return c })}

// reviewsBy are the reviews that the arguments ask for; a pending one only its author sees.
func (p *PullRequest) reviewsBy(a actor, args arguments) []*review {
	states, author := args.list("states"), args.text("author")
	return slices.DeleteFunc(slices.Clone(p.reviews), func(r *review) bool {
		return r.state == "PENDING" && r.author != a.user ||
			len(states) > 0 && !slices.Contains(states, r.state) ||
			author != "" && (r.author.deleted || !strings.EqualFold(author, strings.TrimSuffix(r.author.login, "[bot]")))
	})
}

var reviewFields = fields{
	"databaseId":     get(func(r *review) any { return r.id }),
	"fullDatabaseId": get(func(r *review) any { return bigInt(r.id) }),
	"state":          get(func(r *review) any { return r.state }),
	"body":           get(func(r *review) any { return r.body }),
	"createdAt":      get(func(r *review) any { return stamp(r.created) }),
	"submittedAt":    get(func(r *review) any { return stamp(r.at) }),
	"lastEditedAt":   get(func(r *review) any { return stamp(r.edited.at) }),
	"editor":         get(func(r *review) any { return shown(r.edited.by) }),
	"author":         get(func(r *review) any { return shown(r.author) }),
	"commit":         get(func(r *review) any { return r.pull.repo.commitThing(r.commit) }),
}

var commentFields = fields{
	"databaseId":     get(func(c *comment) any { return c.id }),
	"fullDatabaseId": get(func(c *comment) any { return bigInt(c.id) }),
	"body":           get(func(c *comment) any { return c.body }),
	"createdAt":      get(func(c *comment) any { return stamp(c.created) }),
	"updatedAt":      get(func(c *comment) any { return stamp(c.updated) }),
	"lastEditedAt":   get(func(c *comment) any { return stamp(c.edited.at) }),
	"editor":         get(func(c *comment) any { return shown(c.edited.by) }),
	"author":         get(func(c *comment) any { return shown(c.author) }),
}

// timelineTypes are the GraphQL types of REST's events; what is not here does not show.
var timelineTypes = map[string]string{
	"labeled": "LabeledEvent", "unlabeled": "UnlabeledEvent", "assigned": "AssignedEvent", "unassigned": "UnassignedEvent",
	"head_ref_force_pushed": "HeadRefForcePushedEvent", "base_ref_changed": "BaseRefChangedEvent",
	"closed": "ClosedEvent", "reopened": "ReopenedEvent", "review_dismissed": "ReviewDismissedEvent",
	"automatic_base_change_succeeded": "AutomaticBaseChangeSucceededEvent",
}

// timelineBy are the entries of some types, of all that show when none is named: LABELED_EVENT is labeled, and so on.
func (t *thread) timelineBy(types []string) []timelineEntry {
	return slices.DeleteFunc(slices.Clone(t.timeline), func(e timelineEntry) bool {
		return timelineTypes[e.event] == "" || len(types) > 0 && !slices.Contains(types, strings.ToUpper(e.event)+"_EVENT")
	})
}

// eventFields are those of every type of entry; the schema says which of them a type has.
var eventFields = fields{
	"actor":               get(func(e timelineEntry) any { return shown(e.actor) }),
	"createdAt":           get(func(e timelineEntry) any { return stamp(e.at) }),
	"label":               get(func(e timelineEntry) any { return e.label }),
	"assignee":            get(func(e timelineEntry) any { return shown(e.assignee) }),
	"beforeCommit":        get(func(e timelineEntry) any { return e.thread.repo.commitThing(e.from) }),
	"afterCommit":         get(func(e timelineEntry) any { return e.thread.repo.commitThing(e.to) }),
	"previousReviewState": get(func(e timelineEntry) any { return e.was }),
	"review":              get(func(e timelineEntry) any { return e.review }),
	"previousRefName":     get(func(e timelineEntry) any { return e.from }),
	"currentRefName":      get(func(e timelineEntry) any { return e.to }),
}
