package policy

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a policy file. The YAML library needs time quadratic in the
// number of lines and in the length of a line, and stack in proportion to the
// nesting; anybody who can open a pull request can have a file read.
const (
	maxPolicySize       = 1 << 20
	maxPolicyLines      = 5000
	maxPolicyLineLength = 2000
	maxPolicyNesting    = 32
)

// document reads the content as one YAML document. If it cannot, there is at
// least one fault.
func (r *reader) document(content []byte) (value, bool) {
	text, ok := r.plainText(content)
	if !ok {
		return value{}, false
	}
	file, ok := r.yaml(text)
	if !ok {
		return value{}, false
	}
	for _, doc := range file.Docs {
		if _, comments := doc.Body.(*ast.CommentGroupNode); doc.Body != nil && !comments {
			return value{node: seeThrough(doc.Body)}, true
		}
	}
	r.fault(1, 1, "the file is empty; begin it with `version: 1`, or delete it to use the default policy")
	return value{}, false
}

// plainText checks what can be checked before the text is taken apart.
func (r *reader) plainText(content []byte) (string, bool) {
	if len(content) > maxPolicySize {
		r.fault(1, 1, "the file is larger than 1 MiB; shorten it")
		return "", false
	}
	text := strings.TrimPrefix(string(content), "\ufeff")
	line, column := 1, 0
	for i, c := range text {
		column++
		switch {
		case c == '\n' || c == '\r' && !strings.HasPrefix(text[i+1:], "\n"):
			line, column = line+1, 0
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			r.fault(line, column, "the file is not UTF-8 text; save it as UTF-8")
			return "", false
		case unicode.IsControl(c) && c != '\t' && c != '\r':
			r.fault(line, column, "there is a control character (%U); remove it", c)
			return "", false
		}
		if line > maxPolicyLines {
			r.fault(line, 1, "the file has more than %d lines; shorten it", maxPolicyLines)
			return "", false
		}
		if column > maxPolicyLineLength {
			r.fault(line, 1, "the line is longer than %d characters; break it", maxPolicyLineLength)
			return "", false
		}
	}
	return text, true
}

// yaml parses the text. A panic of the library is one more way in which a file
// cannot be read.
func (r *reader) yaml(text string) (file *ast.File, ok bool) {
	defer func() {
		if recover() != nil {
			r.fault(1, 1, "the file cannot be read as YAML; simplify it")
			file, ok = nil, false
		}
	}()
	tokens := lexer.Tokenize(text)
	if !r.plainTokens(tokens) {
		return nil, false
	}
	// Duplicate keys are found by the reader, with the others' faults.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, true
	}
	if len(r.faults) == 0 {
		r.syntax(err)
	}
	return nil, false
}

func (r *reader) syntax(err error) {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.Token != nil && syntax.Token.Position != nil {
		at := syntax.Token.Position
		r.fault(at.Line, at.Column, "this is not YAML: %s; check the quotes, brackets and indentation here", quotable(syntax.Message))
		return
	}
	r.fault(1, 1, "this is not YAML; check the quotes, brackets and indentation")
}

// plainTokens refuses the parts of YAML that make a file mean something else
// than it seems to say, and nesting that the library cannot take. It is false
// if the file must not be parsed.
func (r *reader) plainTokens(tokens token.Tokens) bool {
	var documents documentCount
	var depth nesting
	for i, tk := range tokens {
		switch tk.Type {
		case token.AnchorType:
			r.token(tk, "anchors are not supported; write the value out, or put it in quotes if it begins with &")
		case token.AliasType:
			// An unquoted **/x is two aliases to the lexer, one mistake to its author.
			if i == 0 || tokens[i-1].Type != token.AliasType {
				r.token(tk, "aliases are not supported; put a glob that begins with * in quotes")
			}
		case token.TagType:
			r.token(tk, "tags are not supported; remove it, or put the value in quotes if it begins with !")
		case token.MergeKeyType:
			r.token(tk, "merge keys are not supported; write the fields out")
		case token.MappingKeyType:
			r.token(tk, "complex keys are not supported; write `name: value`")
		case token.DirectiveType:
			r.token(tk, "directives are not supported; remove the line")
			return false
		default: // what a plain file consists of
		}
		if documents.another(tk) {
			r.token(tk, "the file has several documents; keep one")
			return false
		}
		if depth.after(tk) > maxPolicyNesting {
			r.token(tk, "this is nested too deeply; check the brackets and dashes")
			return false
		}
	}
	return !r.tooMany
}

// documentCount notices where a second document begins.
type documentCount struct{ begun, content, ended bool }

func (d *documentCount) another(tk *token.Token) bool {
	switch tk.Type {
	case token.CommentType:
		return false
	case token.DocumentHeaderType:
		again := d.begun || d.content || d.ended
		d.begun = true
		return again
	case token.DocumentEndType:
		d.ended = true
		return false
	default:
		again := d.ended
		d.content = true
		return again
	}
}

// nesting is how deep the brackets are, or the dashes of one line.
type nesting struct{ brackets, dashes, line int }

func (n *nesting) after(tk *token.Token) int {
	if tk.Position.Line != n.line {
		n.line, n.dashes = tk.Position.Line, 0
	}
	switch tk.Type {
	case token.SequenceStartType, token.MappingStartType:
		n.brackets++
	case token.SequenceEndType, token.MappingEndType:
		n.brackets--
	case token.SequenceEntryType, token.MappingKeyType:
		n.dashes++
	default: // the others do not nest
	}
	return max(n.brackets, n.dashes)
}

func (r *reader) token(tk *token.Token, message string) {
	r.fault(tk.Position.Line, tk.Position.Column, "%s", message)
}

// seeThrough returns what an anchor or a tag is put on; the tokens' faults have
// said that they are refused.
func seeThrough(node ast.Node) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.TagNode:
			node = n.Value
		default:
			return node
		}
	}
}
