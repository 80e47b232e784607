package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portcullis-app/portcullis/policy"
)

// idPattern is what an id may be. It goes into names and paths.
var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// ValidID reports whether the text can be the id of a sandbox: up to 40 of the lower-case
// letters, the digits and the hyphen, with which it does not begin.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// idLength is how many characters of an id are chosen.
const idLength = 12

// NewID is an id that nobody has.
func NewID() string { return "pc-" + strings.ToLower(rand.Text()[:idLength]) }

// IDFor is the id that belongs to an idempotency key.
func IDFor(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "pc-" + hex.EncodeToString(sum[:])[:idLength]
}

// The bounds of what may be asked of any implementation.
const (
	// DefaultTimeout is how long a sandbox runs if nobody says, and MaxTimeout how long
	// it may.
	DefaultTimeout = 30 * time.Minute
	MaxTimeout     = policy.MaxSandboxTimeout
	// MaxArguments and MaxArgumentBytes bound a command's arguments.
	MaxArguments     = 256
	MaxArgumentBytes = 64 << 10
	// MaxMB bounds memory and files, and MaxCPUPercent the CPU: numbers above are no
	// machine's, and what counts in bytes could take them for none at all.
	MaxMB         = 16 << 20
	MaxCPUPercent = 100_000
	// MaxMaxOutput is how much may be kept of a command's output.
	MaxMaxOutput = 64 << 20
)

// Check returns an [*InvalidError] for what no implementation can create.
func (s Spec) Check() error {
	c := s.Constraints
	switch {
	case !ValidID(s.ID):
		return &InvalidError{"id", "must be up to 40 of a-z, 0-9 and -, not " + strconv.Quote(s.ID)}
	case c.MemoryMB < 0 || c.CPUPercent < 0 || c.DiskMB < 0:
		return &InvalidError{"constraints", "must not be negative"}
	case c.MemoryMB > MaxMB || c.DiskMB > MaxMB:
		return &InvalidError{"constraints", "must not have more than " + strconv.Itoa(MaxMB) + " MB"}
	case c.CPUPercent > MaxCPUPercent:
		return &InvalidError{"constraints", "must not have more than " + strconv.Itoa(MaxCPUPercent) + " percent of a core"}
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return &InvalidError{"timeout", "must be between 0 and " + MaxTimeout.String()}
	case c.Network != "" && c.Network != NetworkNone && c.Network != NetworkEgressOnly && c.Network != NetworkFull:
		return &InvalidError{"network", "is none, egress-only or full, not " + strconv.Quote(string(c.Network))}
	case c.Network != NetworkEgressOnly && len(c.Egress) > 0:
		return &InvalidError{"egress", "names hosts, which only network egress-only reaches"}
	}
	for _, host := range c.Egress {
		if _, err := policy.ParseEgressHost(host); err != nil {
			return &InvalidError{"egress", err.Error()}
		}
	}
	for host, name := range c.Credentials {
		if !c.reaches(host) || !policy.IsCredentialName(name) {
			return &InvalidError{"credentials", "gives " + strconv.Quote(name) + " to " + strconv.Quote(host) + ", which is no host that the sandbox reaches"}
		}
	}
	for _, p := range c.AllowedPaths {
		if !inWorkspace(p) {
			return &InvalidError{"allowed_paths", "must be " + Workspace + " or below it, without . and .., not " + strconv.Quote(p)}
		}
	}
	return nil
}

// reaches reports whether the host can be reached by TLS.
func (c SandboxConstraints) reaches(name string) bool {
	const tlsPort = 443
	return c.Network == NetworkFull || slices.ContainsFunc(c.Egress, func(text string) bool {
		host, err := policy.ParseEgressHost(text)
		return err == nil && host.Matches(name, tlsPort)
	})
}

// inWorkspace reports whether the path is clean, and the workspace or below it.
func inWorkspace(p string) bool {
	return path.Clean(p) == p && (p == Workspace || strings.HasPrefix(p, Workspace+"/")) && printable(p)
}

// printable keeps out of paths what could end one where it is written down.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == ',' || r == ':' || r == '\\' })
}

// Lifetime is how long a sandbox with the constraints runs.
func (c SandboxConstraints) Lifetime() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}

// Writable lists the paths that may be written, sorted, without those below others.
func (c SandboxConstraints) Writable() []string {
	if len(c.AllowedPaths) == 0 {
		return []string{Workspace}
	}
	all := slices.Sorted(slices.Values(c.AllowedPaths))
	kept := all[:0]
	for _, p := range all {
		if !slices.ContainsFunc(kept, func(k string) bool { return p == k || strings.HasPrefix(p, k+"/") }) {
			kept = append(kept, p)
		}
	}
	return kept
}

// Check returns an [*InvalidError] for what no implementation can run.
func (c Command) Check() error {
	size := 0
	for _, argument := range c.Argv {
		size += len(argument)
	}
	switch {
	case len(c.Argv) == 0 || c.Argv[0] == "":
		return &InvalidError{"command", "is empty"}
	case len(c.Argv) > MaxArguments || size > MaxArgumentBytes:
		return &InvalidError{"command", "is too long"}
	case slices.ContainsFunc(c.Argv, func(a string) bool { return strings.ContainsRune(a, 0) || !utf8.ValidString(a) }):
		return &InvalidError{"command", "is not UTF-8, or has a zero byte in it"}
	case c.Timeout < 0 || c.MaxOutput < 0:
		return &InvalidError{"command", "has a limit below zero"}
	case c.MaxOutput > MaxMaxOutput:
		return &InvalidError{"command", "must not have more than " + strconv.Itoa(MaxMaxOutput) + " bytes of its output kept"}
	case c.Folder != "":
		return CheckFolder(c.Folder)
	default:
		return nil
	}
}

// Bounded is the command with its defaults.
func (c Command) Bounded() Command {
	if c.Folder == "" {
		c.Folder = Workspace
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultCommandTimeout
	}
	if c.MaxOutput == 0 {
		c.MaxOutput = DefaultMaxOutput
	}
	return c
}
