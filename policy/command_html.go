package policy

import (
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// openElements counts the HTML elements that a comment has opened and not
// closed, of those that GitHub shows as a quote, folded, as code, struck out and
// so on: Markdown inside them parses as plain paragraphs. The zero value has
// none open.
type openElements struct {
	counts map[string]int
	total  int
}

var enclosing = func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`a b blockquote code dd del details dl dt em h1 h2 h3 h4 h5 h6 i ins kbd li
		ol pre q s samp strike strong sub summary sup table tbody td tfoot th thead tr tt ul var`) {
		names[name] = true
	}
	return names
}()

var (
	htmlComment = regexp.MustCompile(`(?s)<!--.*?(-->|$)`)
	htmlTag     = regexp.MustCompile(`<(/?)([A-Za-z][A-Za-z0-9]*)`)
	plainTag    = regexp.MustCompile(`</?[A-Za-z][A-Za-z0-9]*>`)
)

// mentionsElement reports whether the text could open or close an element.
func mentionsElement(text string) bool {
	return strings.Contains(text, "<") && htmlTag.MatchString(text)
}

// hasPlainTags reports whether it takes no Markdown to find the tags in the text:
// each < begins one, without attributes, and nothing in it can be code, a link's
// target or escaped.
func hasPlainTags(text string) bool {
	return !strings.ContainsAny(text, "`[\\") && len(plainTag.FindAllStringIndex(text, -1)) == strings.Count(text, "<")
}

func (o *openElements) any() bool { return o.total > 0 }

// readNodes takes in the HTML in the node and below it.
func (o *openElements) readNodes(node ast.Node, src []byte) {
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.HTMLBlock:
			html := string(n.Lines().Value(src))
			if n.HasClosure() {
				html += string(n.ClosureLine.Value(src))
			}
			o.read(html)
		case *ast.RawHTML:
			o.read(string(n.Segments.Value(src)))
		}
		return ast.WalkContinue, nil
	})
}

// read takes in the tags of a piece of HTML, comments aside.
func (o *openElements) read(html string) {
	if strings.Contains(html, "<!--") {
		html = htmlComment.ReplaceAllString(html, "")
	}
	for _, tag := range htmlTag.FindAllStringSubmatch(html, -1) {
		name := strings.ToLower(tag[2])
		switch {
		case !enclosing[name]:
		case tag[1] == "":
			if o.counts == nil {
				o.counts = make(map[string]int)
			}
			o.counts[name]++
			o.total++
		case o.counts[name] > 0:
			o.counts[name]--
			o.total--
		}
	}
}
