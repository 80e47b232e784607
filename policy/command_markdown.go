package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// The bounds of a comment, in bytes and in levels. Markdown can take time
// quadratic in the length of a paragraph and in the depth of its quotes, and
// anybody may comment.
const (
	maxCommentSize   = 64 << 10
	maxParagraphSize = 4 << 10
	maxQuoteDepth    = 50
)

// MaxCommands is how many commands of one text are carried out: each costs
// calls to GitHub, and anybody may comment.
const MaxCommands = 10

// blocks finds the paragraphs of a comment and reads nothing inside them.
// Footnotes are among its blocks: GitHub moves them away from where they stand,
// or hides them.
var blocks = parser.NewParser(
	parser.WithBlockParsers(append(parser.DefaultBlockParsers(), util.Prioritized(extension.NewFootnoteBlockParser(), 999))...),
	parser.WithParagraphTransformers(append(parser.DefaultParagraphTransformers(), util.Prioritized(extension.NewTableParagraphTransformer(), 200))...),
)

// inlines reads one paragraph, as GitHub does.
var inlines = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.Linkify)).Parser()

// lineEndings are made one kind, and NUL is what CommonMark makes of it.
var lineEndings = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\ufffd")

// ParseCommands lists the commands in a comment or in the body of a review, in
// order: at most [MaxCommands], and one more if there are more. A command stands
// alone on its line and at its start, in plain text of a paragraph: nothing in
// code, quotes, lists, headings, tables, HTML, links or emphasis is one. Where the
// reading is in doubt, there is no command. Slash words that are not ours are
// ignored, and so are a text longer than 64 KiB, a paragraph longer than 4 KiB and
// a text that nests quotes absurdly.
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
	for _, at := range plainLines(source, candidates) {
		commands = append(commands, candidates[at])
	}
	return commands[:min(len(commands), MaxCommands+1)]
}

// commandLines reads every line that would be a command if it stood in plain
// text, by the place of its slash; none if the text nests too deeply to look.
func commandLines(source string) map[int]Command {
	found := make(map[int]Command)
	at := 0
	for line := range strings.Lines(source) {
		if nestsTooDeeply(line) {
			return nil
		}
		if line[0] == '/' {
			if c, ok := parseCommand(strings.TrimRight(line, "\n")); ok {
				found[at] = c
			}
		}
		at += len(line)
	}
	return found
}

// nestsTooDeeply counts the marks of quotes, list items and footnotes that a
// line begins with.
func nestsTooDeeply(line string) bool {
	marks := 0
	for rest := line; rest != ""; rest = rest[1:] {
		switch {
		case strings.HasPrefix(rest, "[^"):
			label := strings.Index(rest, "]:")
			if label < 0 {
				return marks > maxQuoteDepth
			}
			marks++
			rest = rest[label+1:]
		case rest[0] == '>':
			marks++
		case len(rest) > 1 && strings.IndexByte("-+*.)", rest[0]) >= 0 && (rest[1] == ' ' || rest[1] == '\t'):
			marks++
		case strings.IndexByte(" \t-+*.)0123456789", rest[0]) < 0:
			return marks > maxQuoteDepth
		}
	}
	return marks > maxQuoteDepth
}

// plainLines lists which of the candidates begin in plain text of a paragraph of
// the document itself, in order.
func plainLines(source string, candidates map[int]Command) []int {
	src := []byte(source)
	context := parser.NewContext()
	document := blocks.Parse(text.NewReader(src), parser.WithContext(context))
	reading := reading{src: src, references: context.References()}
	var found []int
	last := slices.Max(slices.Collect(maps.Keys(candidates)))
	for block := document.FirstChild(); block != nil && len(found) <= MaxCommands; block = block.NextSibling() {
		paragraph, ok := block.(*ast.Paragraph)
		switch {
		case ok && paragraph.Lines().At(0).Start > last:
			return found
		case !ok || !startsAny(paragraph, candidates):
			reading.skip(block)
		default:
			found = append(found, reading.paragraph(paragraph, candidates)...)
		}
	}
	return found
}

func startsAny(paragraph *ast.Paragraph, candidates map[int]Command) bool {
	for _, line := range paragraph.Lines().Sliced(0, paragraph.Lines().Len()) {
		if _, ok := candidates[line.Start]; ok {
			return true
		}
	}
	return false
}

// reading goes through a document from block to block.
type reading struct {
	src        []byte
	references []parser.Reference
	html       openElements
}

// paragraph lists the candidates at which plain text begins that is a direct
// part of the paragraph. A line that begins in plain text begins such a part.
func (r *reading) paragraph(p *ast.Paragraph, candidates map[int]Command) []int {
	lines := p.Lines()
	// A paragraph of the document has no marks before its lines: it is one piece.
	base, end := lines.At(0).Start, lines.At(lines.Len()-1).Stop
	src := r.src[base:end]
	content := r.inlines(src)
	if content == nil {
		r.html.read(string(src))
		return nil
	}
	var found []int
	for child := content.FirstChild(); child != nil; child = child.NextSibling() {
		if plain, ok := child.(*ast.Text); ok && !r.html.any() {
			at := base + plain.Segment.Start
			if _, ok := candidates[at]; ok {
				found = append(found, at)
			}
		}
		r.html.readNodes(child, src)
	}
	return found
}

// inlines reads the text of one paragraph by itself; nil if it is too long, or
// is not one paragraph by itself, and its meaning therefore in doubt.
func (r *reading) inlines(src []byte) ast.Node {
	if len(src) > maxParagraphSize {
		return nil
	}
	context := parser.NewContext()
	for _, reference := range r.references {
		context.AddReference(reference)
	}
	document := inlines.Parse(text.NewReader(src), parser.WithContext(context))
	only, ok := document.FirstChild().(*ast.Paragraph)
	if !ok || document.ChildCount() != 1 {
		return nil
	}
	return only
}

// skip looks at a block without commands for the HTML that it leaves open.
func (r *reading) skip(block ast.Node) {
	_ = ast.Walk(block, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch {
		case !entering || n.Type() != ast.TypeBlock:
		case n.Kind() == ast.KindHTMLBlock:
			r.html.readNodes(n, r.src)
		case !n.IsRaw() && n.Lines().Len() > 0:
			r.skipText(n.Lines().Value(r.src))
			return ast.WalkSkipChildren, nil
		}
		return ast.WalkContinue, nil
	})
}

func (r *reading) skipText(src []byte) {
	switch text := string(src); {
	case !mentionsElement(text):
		return
	case hasPlainTags(text):
		r.html.read(text)
		return
	}
	if content := r.inlines(src); content != nil {
		r.html.readNodes(content, src)
		return
	}
	r.html.read(string(src))
}
