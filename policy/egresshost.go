package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// EgressHost is what a sandbox with network egress-only may reach by name. The zero
// EgressHost is nothing.
type EgressHost struct {
	// name is that of one host, or with below true the one that it ends in.
	name  string
	below bool
	// port is 80, 443, or 0 for both.
	port int
}

// ParseEgressHost reads a name, as api.example.com, or all that are below one, as
// *.example.com, which example.com itself is not. A port, 80 or 443, narrows it. Its error
// is what is wrong, as the rest of a sentence.
func ParseEgressHost(text string) (EgressHost, error) {
	if strings.Contains(text, "/") {
		return EgressHost{}, fmt.Errorf("must be the name of a host alone, without https:// or a path, not %s", quote(text))
	}
	pattern, port, narrowed := strings.Cut(text, ":")
	name, below := strings.CutPrefix(pattern, "*.")
	host := EgressHost{below: below}
	var err error
	if host.name, err = ParseHostname(name); err != nil {
		return EgressHost{}, fmt.Errorf("must be a name such as api.example.com or *.example.com: %w", err)
	}
	if !narrowed {
		return host, nil
	}
	if port != "80" && port != "443" {
		return EgressHost{}, fmt.Errorf("has a port other than 80 and 443, which are all that egress-only leaves open; write %s", quote(pattern))
	}
	host.port, err = strconv.Atoi(port)
	return host, err
}

// Matches reports whether the host may be reached at the port. The name is as
// [ParseHostname] returns it.
func (h EgressHost) Matches(name string, port int) bool {
	switch {
	case h.name == "" || (port != 80 && port != 443) || (h.port != 0 && h.port != port):
		return false
	case h.below:
		return strings.HasSuffix(name, "."+h.name)
	default:
		return name == h.name
	}
}

// covers reports whether whatever the other matches is matched.
func (h EgressHost) covers(other EgressHost) bool {
	switch {
	case h.port != 0 && h.port != other.port:
		return false
	case h.name == other.name:
		return h.below == other.below
	default:
		return h.below && strings.HasSuffix(other.name, "."+h.name)
	}
}

// String is the host as [ParseEgressHost] reads it.
func (h EgressHost) String() string {
	text := h.name
	if h.below {
		text = "*." + text
	}
	if h.port != 0 {
		text += ":" + strconv.Itoa(h.port)
	}
	return text
}

const (
	maxHostname = 253
	maxLabel    = 63
)

// ParseHostname reads the name of a host in the public DNS: in lower case, without the dot
// at its end. It has at least two labels, since others are looked up in whatever network
// one is in, and is never an address, however that is written: the last label has a letter
// first, as each top-level domain does. The error says what is wrong, as a sentence.
func ParseHostname(text string) (string, error) {
	name := strings.TrimSuffix(text, ".")
	if name == "" || len(name) > maxHostname {
		return "", fmt.Errorf("%s is empty or too long", quote(text))
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return "", fmt.Errorf("%s is not made of letters, digits and hyphens between dots; a name of other letters is written as xn--…", quote(text))
		}
	}
	last := labels[len(labels)-1]
	switch {
	case last[0] >= '0' && last[0] <= '9':
		return "", fmt.Errorf("%s is an address, or ends as one does", quote(text))
	case len(labels) == 1:
		return "", fmt.Errorf("%s has no dot, and is somebody else in each network", quote(text))
	}
	return strings.ToLower(name), nil
}

func isLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
