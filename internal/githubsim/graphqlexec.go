package githubsim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// query is one operation while it is carried out.
type query struct {
	*call

	op          *ast.OperationDefinition
	vars        map[string]any
	cost, nodes int           // by GitHub's formulas
	strike      *GraphQLError // a fault that hits one field
	errors      []obj
}

// arguments are those of one field, with defaults filled in.
type arguments map[string]any

// resolver computes one field of a thing: a scalar, another thing, a list of them ([]any), or nil.
type resolver func(q *query, thing any, args arguments) (any, error)

// fields are the resolvers of one type.
type fields map[string]resolver

// get is a resolver that only looks.
func get[T any](look func(T) any) resolver {
	return func(_ *query, thing any, _ arguments) (any, error) { return look(as[T](thing)), nil }
}

// find is a resolver that may need the client, the arguments, or to refuse.
func find[T any](look func(*query, T, arguments) (any, error)) resolver {
	return func(q *query, thing any, args arguments) (any, error) { return look(q, as[T](thing), args) }
}

func as[T any](thing any) T {
	found, ok := thing.(T)
	if !ok {
		panic(fmt.Sprintf("githubsim: a GraphQL resolver got %T", thing))
	}
	return found
}

// run carries the query out. A nil answer means that a field that cannot be null failed, up to the top.
func (q *query) run() obj {
	root := graphSchema.Query
	if q.op.Operation == ast.Mutation {
		root = graphSchema.Mutation
	}
	data, ok := q.object(root, []ast.SelectionSet{q.op.SelectionSet}, q, nil)
	if !ok {
		return nil
	}
	return data
}

// group is what a query asks under one key of the answer: a field, perhaps more than once.
type group struct {
	field *ast.Field
	sets  []ast.SelectionSet
}

// object answers the selections on one thing; false means that it cannot be there, because a field of it that is never null failed.
func (q *query) object(def *ast.Definition, sets []ast.SelectionSet, thing any, path []any) (obj, bool) {
	var keys []string
	groups := map[string]*group{}
	for _, set := range sets {
		q.collect(def, set, groups, &keys)
	}
	out := obj{}
	for _, key := range keys {
		value, ok := q.field(def, groups[key], thing, append(slices.Clone(path), key))
		if !ok {
			return nil, false
		}
		out[key] = value
	}
	return out, true
}

// collect sorts the selections that apply to a type by their key.
func (q *query) collect(def *ast.Definition, set ast.SelectionSet, groups map[string]*group, keys *[]string) {
	for _, one := range set {
		switch one := one.(type) {
		case *ast.Field:
			if !q.wanted(one.Directives) {
				continue
			}
			if groups[one.Alias] == nil {
				groups[one.Alias] = &group{field: one}
				*keys = append(*keys, one.Alias)
			}
			groups[one.Alias].sets = append(groups[one.Alias].sets, one.SelectionSet)
		case *ast.InlineFragment:
			if q.wanted(one.Directives) && applies(def, one.TypeCondition) {
				q.collect(def, one.SelectionSet, groups, keys)
			}
		case *ast.FragmentSpread:
			if q.wanted(one.Directives) && applies(def, one.Definition.TypeCondition) {
				q.collect(def, one.Definition.SelectionSet, groups, keys)
			}
		}
	}
}

// wanted asks @skip and @include.
func (q *query) wanted(list ast.DirectiveList) bool {
	for _, d := range list {
		if on, ok := d.ArgumentMap(q.vars)["if"].(bool); ok && on == (d.Name == "skip") {
			return false
		}
	}
	return true
}

// applies says whether a fragment on a type speaks of things of type def.
func applies(def *ast.Definition, condition string) bool {
	return condition == "" || condition == def.Name ||
		slices.Contains(graphSchema.GetPossibleTypes(graphSchema.Types[condition]), def)
}

func (q *query) field(def *ast.Definition, g *group, thing any, path []any) (any, bool) {
	if g.field.Name == "__typename" {
		return def.Name, true
	}
	value, err := q.resolve(def, g, thing, path)
	if err != nil {
		return q.failed(g, path, err)
	}
	return q.complete(g, g.field.Definition.Type, value, path)
}

func (q *query) resolve(def *ast.Definition, g *group, thing any, path []any) (any, error) {
	if q.strike != nil && fmt.Sprint(q.strike.Path) == fmt.Sprint(path) {
		return nil, q.strike
	}
	look := resolvers[def.Name][g.field.Name]
	if look == nil {
		return nil, graphRefusal("INTERNAL", "%s.%s is not served by the simulator", def.Name, g.field.Name)
	}
	args := arguments(g.field.ArgumentMap(q.vars))
	if isConnection(g.field) {
		if err := args.checkPage(g); err != nil {
			return nil, err
		}
	}
	return look(q, thing, args)
}

// failed notes the error of a field, which is null then; where it may not be null, what holds it is.
func (q *query) failed(g *group, path []any, err error) (any, bool) {
	out := obj{
		"path": path, "message": err.Error(),
		"locations": []obj{{"line": g.field.Position.Line, "column": g.field.Position.Column}},
	}
	if typed, ok := errors.AsType[*GraphQLError](err); ok && typed.Type != "" {
		out["type"] = typed.Type
		if typed.Type == "FORBIDDEN" {
			out["extensions"] = obj{"saml_failure": false}
		}
	}
	q.errors = append(q.errors, out)
	return nil, !g.field.Definition.Type.NonNull
}

// complete turns what a resolver found into the answer that the type promises.
func (q *query) complete(g *group, typ *ast.Type, value any, path []any) (any, bool) {
	if value == nil {
		if typ.NonNull {
			panic(fmt.Sprintf("githubsim: GraphQL field %v is null and must not be", path))
		}
		return nil, true
	}
	if typ.Elem != nil {
		return q.list(g, typ, as[[]any](value), path)
	}
	def := graphSchema.Types[typ.NamedType]
	if def.IsLeafType() {
		return value, true
	}
	if def.IsAbstractType() {
		def = graphSchema.Types[typeOf(value)]
	}
	out, ok := q.object(def, g.sets, value, path)
	if !ok {
		return nil, !typ.NonNull
	}
	return out, true
}

func (q *query) list(g *group, typ *ast.Type, values []any, path []any) (any, bool) {
	out := make([]any, len(values))
	for i, value := range values {
		one, ok := q.complete(g, typ.Elem, value, append(slices.Clone(path), i))
		if !ok {
			return nil, !typ.NonNull
		}
		out[i] = one
	}
	return out, true
}

// text is an argument that is a string or an enum; "" when it was not given.
func (a arguments) text(name string) string {
	given, _ := a[name].(string)
	return given
}

// number is an Int; a variable's comes as JSON has it.
func (a arguments) number(name string) (int, bool) {
	switch n := a[name].(type) {
	case int64:
		return int(n), true
	case float64:
		return int(n), true
	}
	return 0, false
}

// list is a list of enums; GraphQL takes one value for a list of one.
func (a arguments) list(name string) []string {
	var out []string
	switch given := a[name].(type) {
	case string:
		out = append(out, given)
	case []string:
		out = given
	case []any:
		for _, one := range given {
			if text, ok := one.(string); ok {
				out = append(out, text)
			}
		}
	}
	return out
}
