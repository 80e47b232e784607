package policy

import (
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxQuoted is how many characters of a file's text a fault repeats.
const maxQuoted = 60

// quotable makes text of the file or the library fit for one line of a fault.
func quotable(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func quote(s string) string { return strconv.Quote(truncate(s, maxQuoted)) }

// scalar is a single value as it is written; false for what has parts or is
// not there.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

// describe says in a fault what stands where something else should.
func describe(node ast.Node) string {
	switch n := node.(type) {
	case *ast.MappingNode:
		return "fields"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		if n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType {
			return quote(n.Value) + " in quotes"
		}
		return quote(n.Value)
	case *ast.LiteralNode:
		return quote(n.Value.Value)
	}
	if literal, ok := scalar(node); ok {
		return quotable(truncate(literal, maxQuoted))
	}
	return "nothing"
}

// didYouMean is `, did you mean "x"?` as a part of a sentence, or "" if nothing
// allowed is near.
func didYouMean(word string, allowed []string) string {
	best, least := "", 3
	for _, a := range allowed {
		if d := distance(word, a); d < least && d < len(a) && d < len(word) {
			best, least = a, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + strconv.Quote(best) + "?)"
}

// distance counts the characters to insert, delete or replace between a and b.
func distance(a, b string) int {
	if len(a) > maxQuoted {
		return len(a) // far from every name there is
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
