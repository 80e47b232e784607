package githubsim

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// connection is one page of a list, as GraphQL has it.
type connection struct {
	total            int
	nodes            []any
	first, last      string // cursors of the page's ends
	hasNext, hasPrev bool
}

var connectionFields = fields{
	"totalCount": get(func(c *connection) any { return c.total }),
	"nodes":      get(func(c *connection) any { return c.nodes }),
	"pageInfo":   find(func(q *query, c *connection, _ arguments) (any, error) { return q.sim.cutOff(c), nil }),
}

var pageInfoFields = fields{
	"hasNextPage":     get(func(c *connection) any { return c.hasNext }),
	"hasPreviousPage": get(func(c *connection) any { return c.hasPrev }),
	"startCursor":     get(func(c *connection) any { return text(c.first) }),
	"endCursor":       get(func(c *connection) any { return text(c.last) }),
}

// ordered is a list with a key for each element, by which it is sorted: a cursor names a key and not a place, so that nothing is
// skipped or repeated when the list changes between two pages.
type ordered[T any] struct {
	list       []T
	key        func(i int, one T) string
	descending bool
}

// byID orders by number, for lists whose numbers grow.
func byID[T any](list []T, id func(T) int64) ordered[T] {
	return ordered[T]{list: list, key: func(_ int, one T) string { return fmt.Sprintf("%020d", id(one)) }}
}

// byPlace is for lists that have no other order, such as files.
func byPlace[T any](list []T) ordered[T] {
	return ordered[T]{list: list, key: func(i int, _ T) string { return fmt.Sprintf("%020d", i) }}
}

// cursorPrefix is what GitHub's cursors say when decoded; what follows is nobody's business.
const cursorPrefix = "cursor:v2:"

func cursor(key string) string { return base64.StdEncoding.EncodeToString([]byte(cursorPrefix + key)) }

// page cuts the page out that the arguments ask for.
func (o ordered[T]) page(args arguments) (any, error) {
	keys := make([]string, len(o.list))
	for i, one := range o.list {
		keys[i] = o.key(i, one)
	}
	start, end := 0, len(keys)
	if after := args.text("after"); after != "" {
		key, err := readCursor(after)
		if err != nil {
			return nil, err
		}
		for start < end && o.compare(keys[start], key) <= 0 {
			start++
		}
	}
	if before := args.text("before"); before != "" {
		key, err := readCursor(before)
		if err != nil {
			return nil, err
		}
		for end > start && o.compare(keys[end-1], key) >= 0 {
			end--
		}
	}
	if n, ok := args.number("first"); ok {
		end = min(end, start+n)
	} else if n, ok := args.number("last"); ok {
		start = max(start, end-n)
	}
	page := &connection{total: len(keys), nodes: []any{}, hasPrev: start > 0, hasNext: end < len(keys)}
	for _, one := range o.list[start:end] {
		page.nodes = append(page.nodes, one)
	}
	if start < end {
		page.first, page.last = cursor(keys[start]), cursor(keys[end-1])
	}
	return page, nil
}

func (o ordered[T]) compare(a, b string) int {
	if o.descending {
		return strings.Compare(b, a)
	}
	return strings.Compare(a, b)
}

func readCursor(given string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(given)
	key, ok := strings.CutPrefix(string(raw), cursorPrefix)
	if err != nil || !ok {
		return "", graphRefusal("INVALID_CURSOR_ARGUMENTS", "`%s` does not appear to be a valid cursor.", given)
	}
	return key, nil
}

func isConnection(f *ast.Field) bool {
	return f.Definition != nil && strings.HasSuffix(f.Definition.Type.Name(), "Connection")
}

// mostPage is the most that first and last may ask for, as GitHub documents.
const mostPage = 100

// checkPage asks for first or last, between 1 and 100. Only the total count can be had without, as at GitHub.
func (a arguments) checkPage(g *group) error {
	name := g.field.Name
	_, hasFirst := a.number("first")
	_, hasLast := a.number("last")
	switch {
	case hasFirst && hasLast:
		return graphRefusal("UNPROCESSABLE", "Passing both `first` and `last` to paginate the `%s` connection is not supported.", name)
	case !hasFirst && !hasLast && slices.ContainsFunc(g.sets, needsPage):
		return graphRefusal("MISSING_PAGINATION_BOUNDARIES", "You must provide a `first` or `last` value to properly paginate the `%s` connection.", name)
	}
	for _, bound := range []string{"first", "last"} {
		if n, ok := a.number(bound); ok && (n < 1 || n > mostPage) {
			return graphRefusal("EXCESSIVE_PAGINATION", "Requesting %d records on the `%s` connection exceeds the `%s` limit of %d records.", n, name, bound, mostPage)
		}
	}
	return nil
}

// needsPage says whether more than the total count is asked for.
func needsPage(set ast.SelectionSet) bool {
	return slices.ContainsFunc(set, func(one ast.Selection) bool {
		f, ok := one.(*ast.Field)
		return !ok || f.Name != "totalCount" && f.Name != "__typename"
	})
}

// mostNodes is how many nodes one query may ask for, as GitHub documents.
const mostNodes = 500_000

// weigh counts the query's cost and nodes by GitHub's documented formulas, from the arguments alone: each connection takes as many
// requests as there can be parents, and a hundred requests are a point; the least is one.
func (q *query) weigh() {
	requests := 0
	seen := map[string]bool{}
	var walk func(set ast.SelectionSet, parents int, path string)
	walk = func(set ast.SelectionSet, parents int, path string) {
		for _, one := range set {
			switch one := one.(type) {
			case *ast.InlineFragment:
				walk(one.SelectionSet, parents, path)
			case *ast.FragmentSpread:
				walk(one.Definition.SelectionSet, parents, path)
			case *ast.Field:
				if !q.wanted(one.Directives) {
					continue
				}
				below, size := path+"/"+one.Alias, parents
				if isConnection(one) {
					size = min(size*pageSize(one.ArgumentMap(q.vars)), 1<<40) // far beyond the limit, and no overflow
					if !seen[below] {                                         // a field that stands twice is one
						requests, q.nodes = requests+parents, q.nodes+size
					}
					seen[below] = true
				}
				walk(one.SelectionSet, size, below)
			}
		}
	}
	walk(q.op.SelectionSet, 1, "")
	q.cost = max(1, int(math.Round(float64(requests)/100)))
}

func pageSize(args arguments) int {
	n, ok := args.number("first")
	if !ok {
		n, _ = args.number("last")
	}
	return min(max(0, n), 1<<20)
}
