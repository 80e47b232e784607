package githubsim

import (
	"os"
	"slices"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// Every field that the schema promises has a resolver, and there is none for a type that the schema does not know.
func TestGraphQLResolvers(t *testing.T) {
	for name, def := range graphSchema.Types {
		if def.BuiltIn || def.Kind != ast.Object {
			continue
		}
		for _, field := range def.Fields {
			if field.Name[0] != '_' && resolvers[name][field.Name] == nil {
				t.Errorf("%s.%s has no resolver", name, field.Name)
			}
		}
	}
	for name := range resolvers {
		if def := graphSchema.Types[name]; def == nil || def.Kind != ast.Object {
			t.Errorf("resolvers for %s, which is no type of the schema", name)
		}
	}
}

// The excerpt says nothing that GitHub's published schema does not say in the same words.
func TestGraphQLSchemaIsGitHubs(t *testing.T) {
	const variable = "PORTCULLIS_GRAPHQL_SCHEMA"
	file := os.Getenv(variable)
	if file == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s does not say where GitHub's schema is", variable)
		}
		t.Skipf("NOT CHECKED: the excerpt of GitHub's GraphQL schema; %s does not say where the original is (.ci/run fetches it)", variable)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	published, err := parser.ParseSchema(&ast.Source{Name: file, Input: string(raw)})
	if err != nil {
		t.Fatal(err)
	}
	excerpt, err := parser.ParseSchema(&ast.Source{Name: "schema.graphql", Input: schemaText})
	if err != nil {
		t.Fatal(err)
	}
	if len(excerpt.Definitions) == 0 {
		t.Fatal("the excerpt is empty")
	}
	for _, ours := range excerpt.Definitions {
		theirs := published.Definitions.ForName(ours.Name)
		if theirs == nil || theirs.Kind != ours.Kind {
			t.Errorf("%s %s is not GitHub's", ours.Kind, ours.Name)
			continue
		}
		sameFields(t, ours, theirs)
		for _, value := range ours.EnumValues {
			if theirs.EnumValues.ForName(value.Name) == nil {
				t.Errorf("%s.%s is not GitHub's", ours.Name, value.Name)
			}
		}
		for _, member := range ours.Types {
			if !slices.Contains(theirs.Types, member) {
				t.Errorf("%s is no member of %s", member, ours.Name)
			}
		}
		for _, one := range theirs.Interfaces { // those that are in the excerpt must all be implemented, or fragments are refused
			if excerpt.Definitions.ForName(one) != nil && !slices.Contains(ours.Interfaces, one) {
				t.Errorf("%s does not implement %s", ours.Name, one)
			}
		}
		for _, one := range ours.Interfaces {
			if !slices.Contains(theirs.Interfaces, one) {
				t.Errorf("%s implements %s, GitHub's does not", ours.Name, one)
			}
		}
	}
}

func sameFields(t *testing.T, ours, theirs *ast.Definition) {
	for _, field := range ours.Fields {
		original := theirs.Fields.ForName(field.Name)
		if original == nil || original.Type.String() != field.Type.String() {
			t.Errorf("%s.%s: %s is not GitHub's", ours.Name, field.Name, field.Type)
			continue
		}
		for _, arg := range field.Arguments {
			their := original.Arguments.ForName(arg.Name)
			if their == nil || their.Type.String() != arg.Type.String() || their.DefaultValue.String() != arg.DefaultValue.String() {
				t.Errorf("%s.%s(%s: %s) is not GitHub's", ours.Name, field.Name, arg.Name, arg.Type)
			}
		}
		for _, arg := range original.Arguments {
			if arg.Type.NonNull && field.Arguments.ForName(arg.Name) == nil {
				t.Errorf("%s.%s leaves out the argument %s, which GitHub requires", ours.Name, field.Name, arg.Name)
			}
		}
	}
}
