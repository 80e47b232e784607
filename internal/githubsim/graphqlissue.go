package githubsim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

var issueFields = fields{
	"id":             get(func(i *Issue) any { return nodeID("I", i.id) }),
	"url":            get(func(i *Issue) any { return i.repo.html("issues/%d", i.number) }),
	"number":         get(func(i *Issue) any { return i.number }),
	"databaseId":     get(func(i *Issue) any { return i.id }),
	"fullDatabaseId": get(func(i *Issue) any { return bigInt(i.id) }),
	"title":          get(func(i *Issue) any { return i.title }),
	"body":           get(func(i *Issue) any { return i.body }),
	"state":          get(func(i *Issue) any { return strings.ToUpper(i.state) }),
	"closed":         get(func(i *Issue) any { return i.state == "closed" }),
	"closedAt":       get(func(i *Issue) any { return stamp(i.closed) }),
	"locked":         get(func(i *Issue) any { return i.locked }),
	"createdAt":      get(func(i *Issue) any { return stamp(i.created) }),
	"updatedAt":      get(func(i *Issue) any { return stamp(i.updated) }),
	"lastEditedAt":   get(func(i *Issue) any { return stamp(i.edited.at) }),
	"editor":         get(func(i *Issue) any { return shown(i.edited.by) }),
	"author":         get(func(i *Issue) any { return shown(i.author) }),
	"labels": find(func(_ *query, i *Issue, args arguments) (any, error) {
		labels := slices.SortedFunc(slices.Values(i.labels), func(a, b *label) int { return int(a.id - b.id) })
		return byID(labels, func(l *label) int64 { return l.id }).page(args)
	}),
}

// oneLabel refuses to filter by several labels: whether GitHub then lists what has all of them or any is not documented, and
// clients have met any (cli/cli#419) where REST lists what has all.
func oneLabel(args arguments) error {
	if len(args.list("labels")) > 1 {
		return graphRefusal("UNPROCESSABLE", "This simulator filters by one label only.")
	}
	return nil
}

// issuesBy are the issues that the arguments ask for; those that are pull requests are none.
func (r *Repository) issuesBy(args arguments) ([]*Issue, error) {
	if err := oneLabel(args); err != nil {
		return nil, err
	}
	names, states := args.list("labels"), args.list("states")
	var list []*Issue
	for _, t := range r.threads {
		if t.pull != nil || len(states) > 0 && !slices.Contains(states, strings.ToUpper(t.state)) {
			continue
		}
		if len(names) == 0 || t.labelNamed(names[0]) != nil {
			list = append(list, &Issue{t})
		}
	}
	return list, nil
}

// inOrder sorts threads as orderBy says: by creation, oldest first, unless it says otherwise.
func inOrder[T any](args arguments, list []T, threadOf func(T) *thread) ordered[T] {
	order, _ := args["orderBy"].(map[string]any)
	found := byID(list, func(one T) int64 { return threadOf(one).id })
	switch order["field"] {
	case "UPDATED_AT":
		found.key = func(_ int, one T) string {
			return fmt.Sprintf("%s %020d", threadOf(one).updated.Format(time.RFC3339), threadOf(one).id)
		}
	case "COMMENTS":
		found.key = func(_ int, one T) string {
			return fmt.Sprintf("%010d %020d", len(threadOf(one).comments), threadOf(one).id)
		}
	}
	found.descending = order["direction"] == "DESC"
	slices.SortFunc(found.list, func(a, b T) int { return found.compare(found.key(0, a), found.key(0, b)) })
	return found
}
