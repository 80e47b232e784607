package site

import (
	"bytes"
	"html/template"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

// renderer leaves raw HTML and dangerous links out, which is goldmark's default.
var renderer = goldmark.New(goldmark.WithExtensions(extension.GFM))

func markdown(text string) template.HTML {
	var out bytes.Buffer
	if err := renderer.Convert([]byte(text), &out); err != nil {
		return template.HTML(template.HTMLEscapeString(text)) //nolint:gosec // escaped in the same breath
	}
	return template.HTML(out.String()) //nolint:gosec // goldmark escapes text and drops raw HTML
}

// unixLines undoes what a browser does to the ends of lines.
func unixLines(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }
