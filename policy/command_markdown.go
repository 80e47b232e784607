package policy

import (
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// maxCommentSize is the longest comment that is looked at, in bytes.
const maxCommentSize = 64 << 10

// markdown reads comments as GitHub does. Footnotes are among its blocks: what
// stands in one is not where its reader sees it.
var markdown = goldmark.New(goldmark.WithExtensions(
	extension.Table, extension.Strikethrough, extension.Linkify, extension.TaskList, extension.Footnote,
)).Parser()

// lineEndings are made one kind, and NUL is what CommonMark makes of it.
var lineEndings = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\ufffd")

// ParseCommands lists the commands in a comment or in the body of a review, in
// order. A command stands alone on its line and at its start, in plain text of
// a paragraph: nothing in code, quotes, lists, headings, tables, HTML, links or
// emphasis is one. Where the reading is in doubt, there is no command. Words
// after a slash that are not ours are ignored, as is all of a text longer than
// 64 KiB.
func ParseCommands(markdown string) []Command {
	if len(markdown) > maxCommentSize {
		return nil
	}
	source := lineEndings.Replace(strings.TrimPrefix(markdown, "\ufeff"))
	candidates := commandLines(source)
	if len(candidates) == 0 {
		return nil
	}
	var commands []Command
	for _, at := range plainStarts(source) {
		if c, ok := candidates[at]; ok {
			commands = append(commands, c)
		}
	}
	return commands
}

// commandLines reads every line that would be a command if it stood in plain
// text, by the place of its slash.
func commandLines(source string) map[int]Command {
	found := make(map[int]Command)
	at := 0
	for line := range strings.Lines(source) {
		if line[0] == '/' {
			if c, ok := parseCommand(strings.TrimRight(line, "\n")); ok {
				found[at] = c
			}
		}
		at += len(line)
	}
	return found
}

// plainStarts lists where plain text begins that is a direct part of a
// paragraph of the document itself, in order. A line that begins in plain text
// begins such a part.
func plainStarts(source string) []int {
	src := []byte(source)
	document := markdown.Parse(text.NewReader(src))
	var starts []int
	var html openElements
	for block := document.FirstChild(); block != nil; block = block.NextSibling() {
		paragraph, isParagraph := block.(*ast.Paragraph)
		if !isParagraph {
			html.readAll(block, src)
			continue
		}
		for child := paragraph.FirstChild(); child != nil; child = child.NextSibling() {
			if plain, ok := child.(*ast.Text); ok && !html.any() {
				starts = append(starts, plain.Segment.Start)
			}
			html.readAll(child, src)
		}
	}
	return starts
}

// openElements counts the HTML elements that a comment has opened and not
// closed, of those that GitHub shows as a quote, as code, as struck out and so
// on: Markdown inside them parses as plain paragraphs.
type openElements struct {
	counts map[string]int
	total  int
}

var enclosing = func() map[string]bool {
	names := map[string]bool{}
	for _, name := range strings.Fields(`a b blockquote code dd del details dl dt em h1 h2 h3 h4 h5 h6 i ins kbd li
		ol pre q s samp strike strong sub summary sup table tbody td tfoot th thead tr tt ul var`) {
		names[name] = true
	}
	return names
}()

func (o *openElements) any() bool { return o.total > 0 }

// readAll looks at the HTML in the node and below it.
func (o *openElements) readAll(node ast.Node, src []byte) {
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.HTMLBlock:
			o.read(string(n.Lines().Value(src)))
			if n.HasClosure() {
				o.read(string(n.ClosureLine.Value(src)))
			}
		case *ast.RawHTML:
			o.read(string(n.Segments.Value(src)))
		}
		return ast.WalkContinue, nil
	})
}

var (
	htmlComment = regexp.MustCompile(`(?s)<!--.*?(-->|$)`)
	htmlTag     = regexp.MustCompile(`<(/?)([A-Za-z][A-Za-z0-9]*)`)
)

func (o *openElements) read(html string) {
	for _, tag := range htmlTag.FindAllStringSubmatch(htmlComment.ReplaceAllString(html, ""), -1) {
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
