package githubsim

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

//go:embed schema.graphql
var schemaText string

// graphSchema is what is served; every query is validated against it.
var graphSchema = gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: schemaText})

// graphPath is how faults and the log of requests name the GraphQL endpoint.
const graphPath = "/graphql"

// GraphQLURL is where GraphQL is served: the path of GitHub Enterprise Server.
func (s *Sim) GraphQLURL() string { return s.URL() + "/api" + graphPath }

// GraphQLError is one entry of the errors of a GraphQL answer. Path names the field that it is about, by response keys and
// list indices; without one it is about the whole query.
type GraphQLError struct {
	Type, Message string
	Path          []any
}

func (e *GraphQLError) Error() string { return e.Message }

func graphRefusal(kind, format string, args ...any) error {
	return &GraphQLError{Type: kind, Message: fmt.Sprintf(format, args...)}
}

// graphRequest is the body of a POST.
type graphRequest struct {
	Query         string         `json:"query"`
	Variables     map[string]any `json:"variables"`
	OperationName string         `json:"operationName"`
}

// serveGraphQL answers one query. What is wrong with the query is said in a 200, what is wrong with the client is not.
func serveGraphQL(c *call) error {
	switch {
	case c.req.Method != http.MethodPost:
		return notFound()
	case c.actor.jwt:
		return badCredentials()
	case c.actor.token == nil:
		return refuse(http.StatusUnauthorized, "This endpoint requires you to be authenticated.")
	}
	var body graphRequest
	if json.Unmarshal(c.body, &body) != nil {
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	c.operation = body.OperationName
	if b := c.sim.bucket(c.actor, c.resource()); b.used >= b.limit {
		c.points = 0
		return c.graphErrors(obj{"type": "RATE_LIMITED", "message": fmt.Sprintf("API rate limit exceeded for %s.", c.actor.limitName())})
	}
	if body.Query == "" {
		return c.graphErrors(obj{"message": "A query attribute must be specified and must be a string."})
	}
	q, faults := c.prepare(body)
	if faults != nil {
		return c.graphErrors(faults...)
	}
	data := q.run()
	out := obj{"data": data}
	if data == nil {
		out["data"] = nil
	}
	if len(q.errors) > 0 {
		out["errors"] = q.errors
	}
	return c.reply(http.StatusOK, out)
}

// graphErrors answers a query that was not carried out: there are errors and no data.
func (c *call) graphErrors(list ...obj) error {
	return c.reply(http.StatusOK, obj{"errors": list})
}

// prepare parses and validates a query, takes its variables, and counts what it costs.
func (c *call) prepare(body graphRequest) (*query, []obj) {
	doc, err := parser.ParseQuery(&ast.Source{Input: body.Query})
	if err != nil {
		return nil, []obj{plainError(asGraphError(err))}
	}
	if list := validator.ValidateWithRules(graphSchema, doc, nil); len(list) > 0 {
		out := make([]obj, len(list))
		for i, one := range list {
			out[i] = githubError(one, doc)
		}
		return nil, out
	}
	op := doc.Operations.ForName(body.OperationName)
	if op == nil {
		return nil, []obj{{"message": "An operation name is required"}}
	}
	c.operation = op.Name
	vars, fault := variables(op, body.Variables)
	if fault != nil {
		return nil, []obj{fault}
	}
	q := &query{call: c, op: op, vars: vars, strike: c.strike}
	q.weigh()
	if q.nodes > mostNodes {
		return nil, []obj{{
			"type":    "MAX_NODE_LIMIT_EXCEEDED",
			"message": fmt.Sprintf("This query requests up to %d possible nodes which exceeds the maximum limit of %d.", q.nodes, mostNodes),
		}}
	}
	c.points = q.cost
	if op.Operation == ast.Mutation {
		c.chargeMutation()
	}
	return q, nil
}

// variables checks what the client gave. The library lets a text pass for an Int, and an enum in any case; GitHub does not.
func variables(op *ast.OperationDefinition, given map[string]any) (map[string]any, obj) {
	for _, def := range op.VariableDefinitions {
		if _, isText := given[def.Variable].(string); isText && def.Type.Name() == "Int" {
			return nil, variableError(def, "Could not coerce value to Int")
		}
		if typ := graphSchema.Types[def.Type.Name()]; typ.Kind == ast.Enum {
			for _, value := range arguments(given).list(def.Variable) {
				if typ.EnumValues.ForName(value) == nil {
					return nil, variableError(def, fmt.Sprintf("Expected %q to be one of the values of %s", value, typ.Name))
				}
			}
		}
	}
	vars, err := validator.VariableValues(graphSchema, op, given)
	if err == nil {
		return vars, nil
	}
	fault := asGraphError(err)
	if len(fault.Path) > 1 {
		if name, ok := fault.Path[1].(ast.PathName); ok {
			return nil, variableError(op.VariableDefinitions.ForName(string(name)), fault.Message)
		}
	}
	return nil, plainError(fault)
}

func variableError(def *ast.VariableDefinition, explanation string) obj {
	return obj{
		"message":    fmt.Sprintf("Variable $%s of type %s was provided invalid value", def.Variable, def.Type),
		"locations":  []obj{{"line": def.Position.Line, "column": def.Position.Column}},
		"extensions": obj{"problems": []obj{{"path": []string{}, "explanation": explanation}}},
	}
}

// asGraphError is the library's error, which knows where in the query it is.
func asGraphError(err error) *gqlerror.Error {
	if found, ok := errors.AsType[*gqlerror.Error](err); ok {
		return found
	}
	return &gqlerror.Error{Message: err.Error()}
}

func plainError(e *gqlerror.Error) obj {
	out := obj{"message": e.Message}
	if len(e.Locations) > 0 {
		out["locations"] = each(e.Locations, func(l gqlerror.Location) obj { return obj{"line": l.Line, "column": l.Column} })
	}
	return out
}

// sentences turn the library's words into GitHub's, with GitHub's code.
var sentences = []struct {
	pattern    *regexp.Regexp
	says, code string
}{
	{regexp.MustCompile(`^Cannot query field "(\w+)" on type "(\w+)".*$`), "Field '$1' doesn't exist on type '$2'", "undefinedField"},
	{regexp.MustCompile(`^Unknown argument "(\w+)" on field "\w+\.(\w+)".*$`), "Field '$2' doesn't accept argument '$1'", "argumentNotAccepted"},
	{regexp.MustCompile(`^Field "(\w+)" argument "(\w+)" of type .* is required.*$`), "Field '$1' is missing required arguments: $2", "missingRequiredArguments"},
	{regexp.MustCompile(`^Variable "\$?(\w+)" is never used.*$`), "Variable $$$1 is declared by the query but not used", "variableNotUsed"},
	{regexp.MustCompile(`^Variable "\$?(\w+)" is not defined.*$`), "Variable $$$1 is used by the query but not declared", "variableNotDefined"},
}

// githubError is a fault of the query as GitHub words it; one of a field has the path to it.
func githubError(e *gqlerror.Error, doc *ast.QueryDocument) obj {
	out := plainError(e)
	for _, s := range sentences {
		if s.pattern.MatchString(e.Message) {
			out["message"] = s.pattern.ReplaceAllString(e.Message, s.says)
			out["extensions"] = obj{"code": s.code}
			break
		}
	}
	if len(e.Locations) == 0 {
		return out
	}
	for _, op := range doc.Operations {
		root := string(op.Operation)
		if op.Name != "" {
			root += " " + op.Name
		}
		if below, ok := pathTo(op.SelectionSet, e.Locations[0]); ok {
			out["path"] = append([]string{root}, below...)
		}
	}
	return out
}

// pathTo finds the field at a place in the query.
func pathTo(set ast.SelectionSet, place gqlerror.Location) ([]string, bool) {
	for _, one := range set {
		var name string
		var inner ast.SelectionSet
		switch one := one.(type) {
		case *ast.Field:
			name, inner = one.Alias, one.SelectionSet
		case *ast.InlineFragment:
			name, inner = "... on "+one.TypeCondition, one.SelectionSet
		}
		if at := one.GetPosition(); at.Line == place.Line && at.Column == place.Column {
			return []string{name}, true
		}
		if below, ok := pathTo(inner, place); ok {
			return append([]string{name}, below...), true
		}
	}
	return nil, false
}
