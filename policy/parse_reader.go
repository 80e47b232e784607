package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxFaults bounds what a file full of mistakes can make of its message.
const maxFaults = 100

// reader walks a policy file and collects every fault on the way. Its methods
// read one kind of value each; where a value is wrong they note why, and what
// they return does not matter, because a file with a fault is never used.
type reader struct {
	name    string
	faults  Faults
	tooMany bool
}

// value is a node of the file, with the name of the place it stands in.
type value struct {
	// path is like tiers.peer-review.from; "" for the whole file.
	path string
	// key is the field's own name in the file; nil in a list.
	key  *token.Token
	node ast.Node
}

func (v value) String() string {
	if v.path == "" {
		return "the policy file"
	}
	return v.path
}

// at is the token to point to when the value is wrong.
func (v value) at() *token.Token {
	switch n := v.node.(type) {
	case nil:
		return v.key
	case *ast.NullNode:
		// An empty value has no place of its own.
		if v.key != nil && n.Token.Type == token.ImplicitNullType {
			return v.key
		}
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	}
	return v.node.GetToken()
}

func (r *reader) fault(line, column int, format string, args ...any) {
	if len(r.faults) == maxFaults {
		r.tooMany = true
		return
	}
	message := fmt.Sprintf(format, args...)
	r.faults = append(r.faults, Fault{File: r.name, Line: max(line, 1), Column: max(column, 1), Message: message})
}

// wrong notes a fault at the value; the format continues the value's name.
func (r *reader) wrong(v value, format string, args ...any) {
	r.faultAt(v, v.at(), format, args...)
}

// lacking notes a fault at the value's name: something in it is missing.
func (r *reader) lacking(v value, message string) {
	at := v.key
	if at == nil {
		at = v.at()
	}
	r.faultAt(v, at, "%s", message)
}

func (r *reader) faultAt(v value, at *token.Token, format string, args ...any) {
	if _, alias := v.node.(*ast.AliasNode); alias {
		return // refused as such, and what it stands for is not known
	}
	line, column := 1, 1
	if at != nil && at.Position != nil {
		line, column = at.Position.Line, at.Position.Column
	}
	r.fault(line, column, "%s %s", v, fmt.Sprintf(format, args...))
}

// field is a name that may stand in a mapping, and what reads its value.
type field struct {
	name string
	read func(value)
}

// mapping reads a mapping that has fixed fields and returns which of them are
// given; nil if it is no mapping at all.
func (r *reader) mapping(v value, fields ...field) map[string]bool {
	entries, ok := r.entries(v)
	if !ok {
		return nil
	}
	names := make([]string, len(fields))
	read := make(map[string]func(value), len(fields))
	for i, f := range fields {
		names[i], read[f.name] = f.name, f.read
	}
	given := make(map[string]bool, len(fields))
	for _, e := range entries {
		given[e.name] = true
		if read[e.name] == nil {
			r.unknown(v, e, names)
		} else if !r.empty(e.value) {
			read[e.name](e.value)
		}
	}
	return given
}

func (r *reader) unknown(in value, e entry, allowed []string) {
	r.fault(e.key.Position.Line, e.key.Position.Column, "unknown field %s in %s%s; allowed are %s",
		quote(e.name), in, didYouMean(e.name, allowed), strings.Join(allowed, ", "))
}

// entry is one name and value of a mapping.
type entry struct {
	name string
	value
}

// entries lists the fields of a mapping in the order of the file, each name once.
func (r *reader) entries(v value) ([]entry, bool) {
	mapping, ok := v.node.(*ast.MappingNode)
	if !ok {
		r.wrong(v, "must have fields (`name: value`), not %s", describe(v.node))
		return nil, false
	}
	if r.empty(v) {
		return nil, false
	}
	var entries []entry
	lines := make(map[string]int, len(mapping.Values))
	for _, item := range mapping.Values {
		key := item.Key.GetToken()
		switch item.Key.(type) {
		case *ast.MergeKeyNode, *ast.MappingKeyNode:
			continue // refused as such
		}
		name, ok := keyText(item.Key)
		if !ok {
			r.fault(key.Position.Line, key.Position.Column, "a name in %s must be text; put %s in quotes", v, quote(key.Value))
			continue
		}
		path := strings.TrimPrefix(v.path+"."+quotable(name), ".")
		if first, again := lines[name]; again {
			r.fault(key.Position.Line, key.Position.Column, "%s is given twice, first on line %d; keep one", path, first)
			continue
		}
		lines[name] = key.Position.Line
		entries = append(entries, entry{name, value{path: path, key: key, node: seeThrough(item.Value)}})
	}
	return entries, true
}

func keyText(key ast.MapKeyNode) (string, bool) {
	text, ok := seeThrough(key).(*ast.StringNode)
	if !ok {
		return "", false
	}
	return text.Value, true
}

// empty notes and reports a value that is not there.
func (r *reader) empty(v value) bool {
	switch n := v.node.(type) {
	case nil, *ast.NullNode:
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			return false
		}
	default:
		return false
	}
	r.wrong(v, "is empty; remove it or fill it in")
	return true
}

// The ways in which entries of a list are the same.
var (
	exactly    = func(s string) string { return s }
	ignoreCase = strings.ToLower
)

// list reads a list, each entry of it with read. Entries that identity makes
// equal are duplicates.
func (r *reader) list(v value, identity func(string) string, read func(value) (string, bool)) []string {
	sequence, ok := v.node.(*ast.SequenceNode)
	if !ok {
		r.wrong(v, "must be a list, as in [a, b], not %s", describe(v.node))
		return nil
	}
	var list []string
	seen := make(map[string]bool, len(sequence.Values))
	for i, node := range sequence.Values {
		item := value{path: fmt.Sprintf("%s[%d]", v.path, i+1), node: seeThrough(node)}
		s, ok := read(item)
		switch {
		case !ok:
		case seen[identity(s)]:
			r.wrong(item, "repeats %s; remove one of them", quote(s))
		default:
			seen[identity(s)] = true
			list = append(list, s)
		}
	}
	return list
}

// text reads text of one line that is not empty.
func (r *reader) text(v value) (string, bool) {
	var s string
	switch n := v.node.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	default:
		r.notText(v)
		return "", false
	}
	switch {
	case s == "":
		r.wrong(v, "is empty; remove it or fill it in")
	case strings.ContainsFunc(s, unicode.IsControl):
		r.wrong(v, "must be on one line, without control characters")
	case strings.TrimSpace(s) != s:
		r.wrong(v, "begins or ends with white space; remove it")
	default:
		return s, true
	}
	return "", false
}

func (r *reader) notText(v value) {
	if r.empty(v) {
		return
	}
	if literal, ok := scalar(v.node); ok {
		r.wrong(v, "must be text; put %s in quotes", quote(literal))
		return
	}
	r.wrong(v, "must be text, not %s", describe(v.node))
}

func (r *reader) boolean(v value, to *bool) {
	b, ok := v.node.(*ast.BoolNode)
	if !ok {
		r.wrong(v, "must be true or false, not %s", describe(v.node))
		return
	}
	*to = b.Value
}

// unlimited is the highest number of a field that has no bound of its own.
const unlimited = math.MaxInt32

// number reads a whole number from 1 to highest.
func (r *reader) number(v value, highest int, to *int) {
	n, ok := wholeNumber(v.node)
	switch {
	case ok && n >= 1 && n <= highest:
		*to = n
	case highest == unlimited:
		r.wrong(v, "must be a whole number of 1 or more, not %s", describe(v.node))
	default:
		r.wrong(v, "must be a whole number from 1 to %d, not %s", highest, describe(v.node))
	}
}

// wholeNumber accepts decimal digits alone: 010 and 1_0 mean different numbers
// to different readers of YAML.
func wholeNumber(node ast.Node) (int, bool) {
	if _, ok := node.(*ast.IntegerNode); !ok {
		return 0, false
	}
	literal, _ := scalar(node)
	n, err := strconv.Atoi(literal)
	return n, err == nil && strconv.Itoa(n) == literal
}

func (r *reader) duration(v value, to *time.Duration) {
	literal, _ := scalar(v.node)
	d, err := time.ParseDuration(literal)
	if err != nil || d <= 0 {
		r.wrong(v, "must be a duration above zero, such as 72h or 30m, not %s", describe(v.node))
		return
	}
	*to = d
}

func (r *reader) choice(v value, to *string, allowed ...string) {
	literal, _ := scalar(v.node)
	for _, a := range allowed {
		if literal == a {
			*to = a
			return
		}
	}
	r.wrong(v, "must be one of %s, not %s%s", strings.Join(allowed, ", "), describe(v.node), didYouMean(literal, allowed))
}

func (r *reader) tier(v value, to *ApprovalTier) {
	var names []string
	for _, t := range ApprovalTiers() {
		names = append(names, string(t))
	}
	r.choice(v, (*string)(to), names...)
}
