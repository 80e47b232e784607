package credential

import (
	"fmt"
	"io"
	"regexp"
)

// secretPatterns are what secrets look like that pass through here: GitHub's tokens, its
// fine-grained ones, ours, JSON web tokens, Vault's, and private keys.
var secretPatterns = regexp.MustCompile(`gh[oprsu]_[A-Za-z0-9._-]{36,}|github_pat_\w{20,}|` + tokenPrefix + `[0-9A-Za-z]{49}|` +
	`eyJ[\w-]+\.eyJ[\w-]+(?:\.[\w-]+)?|hv[sbr]\.[\w-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-[^-])*(?:-----END [A-Z ]*PRIVATE KEY-----)?`)

// Filter is a second net for what is written to w, a whole line at a time as a logger
// does: what looks like a secret is hidden. The first net is [Secret], of which nothing
// is written to begin with.
func Filter(w io.Writer) io.Writer { return filter{w} }

type filter struct{ to io.Writer }

func (f filter) Write(line []byte) (int, error) {
	if !secretPatterns.Match(line) {
		return f.to.Write(line)
	}
	if _, err := f.to.Write(secretPatterns.ReplaceAllLiteral(line, []byte(hidden))); err != nil {
		return 0, fmt.Errorf("write what is left of a line with a secret in it: %w", err)
	}
	return len(line), nil
}
