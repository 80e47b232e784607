package policy

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// sandboxProviders are where sandboxes may run.
var sandboxProviders = []string{"docker", "codespaces", "kubernetes"}

const defaultSandboxTimeout = 30 * time.Minute

func (r *reader) sandbox(v value) *SandboxRules {
	to := &SandboxRules{
		Constraints: SandboxConstraints{Network: "none", Timeout: defaultSandboxTimeout},
		Tier:        TierPeerReview, Start: StartOnRequest,
	}
	given := r.mapping(v,
		field{"provider", func(v value) { r.choice(v, &to.Provider, sandboxProviders...) }},
		field{"image", func(v value) { r.image(v, &to.Image) }},
		field{"constraints", func(v value) { r.constraints(v, &to.Constraints) }},
		field{"tier", func(v value) { r.tier(v, &to.Tier) }},
		field{"credentials", func(v value) { to.Credentials = r.sandboxCredentials(v) }},
		field{"start", func(v value) {
			r.choice(v, (*string)(&to.Start), string(StartOnRequest), string(StartForAgents))
		}},
	)
	if given != nil && !given["provider"] {
		r.lacking(v, "does not say where it runs; add `provider: docker`, codespaces or kubernetes")
	}
	if given != nil && !given["image"] && (to.Provider == "docker" || to.Provider == "kubernetes") {
		r.lacking(v, "does not say what it runs; add `image` with the digest that pins it")
	}
	for _, host := range slices.Sorted(maps.Keys(to.Credentials)) {
		if to.Constraints.Network == "none" || !to.Constraints.reaches(host) {
			r.lacking(v, "gives a credential to "+quote(host)+", which a sandbox does not reach; add it to `egress`, with `network: egress-only`")
		}
	}
	return to
}

// sandboxCredentials are names of credentials by the names of hosts.
func (r *reader) sandboxCredentials(v value) map[string]string {
	entries, _ := r.entries(v)
	given := make(map[string]string, len(entries))
	for _, e := range entries {
		host, err := ParseHostname(e.name)
		if err != nil {
			r.lacking(e.value, "is not the name of a host, as api.example.com: "+err.Error())
			continue
		}
		name, ok := r.text(e.value)
		if ok && !IsCredentialName(name) {
			r.wrong(e.value, "must be the name of a credential, not %s", quote(name))
			continue
		}
		given[host] = name
	}
	return given
}

// reaches reports whether the host can be reached by TLS.
func (c SandboxConstraints) reaches(name string) bool {
	return c.Network == "full" || slices.ContainsFunc(c.Egress, func(text string) bool {
		host, err := ParseEgressHost(text)
		return err == nil && host.Matches(name, tlsPort)
	})
}

const tlsPort = 443

// image wants a digest: a tag can be moved to something nobody approved. What an engine
// has that came from no registry has only an id, which is one too.
func (r *reader) image(v value, to *string) {
	s, ok := r.text(v)
	if ok && !strings.Contains(s, "@sha256:") && !imageID.MatchString(s) {
		r.wrong(v, "must be pinned by its digest, as in name@sha256:…, not %s", quote(s))
		return
	}
	*to = s
}

// MaxSandboxTimeout is how long a sandbox may run.
const MaxSandboxTimeout = 24 * time.Hour

func (r *reader) constraints(v value, to *SandboxConstraints) {
	r.mapping(v,
		field{"memory_mb", func(v value) { r.number(v, unlimited, &to.MemoryMB) }},
		field{"cpu_percent", func(v value) { r.number(v, unlimited, &to.CPUPercent) }},
		field{"disk_mb", func(v value) { r.number(v, unlimited, &to.DiskMB) }},
		field{"network", func(v value) { r.choice(v, &to.Network, "none", "egress-only", "full") }},
		field{"egress", func(v value) { to.Egress = r.list(v, strings.ToLower, r.egressHost) }},
		field{"timeout", func(v value) {
			if r.duration(v, &to.Timeout); to.Timeout > MaxSandboxTimeout {
				r.wrong(v, "must be at most 24h, not %s", describe(v.node))
			}
		}},
		field{"allowed_paths", func(v value) { to.AllowedPaths = r.list(v, exactly, r.absolutePath) }},
		field{"runtime", func(v value) { to.Runtime, _ = r.text(v) }},
	)
	if len(to.Egress) > 0 && to.Network != "egress-only" {
		r.lacking(v, "names hosts under egress, which only `network: egress-only` reaches; set that, or remove them")
	}
}

// egressHost is a name, or all below one.
func (r *reader) egressHost(v value) (string, bool) {
	s, ok := r.text(v)
	if !ok {
		return "", false
	}
	host, err := ParseEgressHost(s)
	if err != nil {
		r.wrong(v, "%s", err)
		return "", false
	}
	return host.String(), true
}

var imageID = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (r *reader) absolutePath(v value) (string, bool) {
	s, ok := r.text(v)
	if ok && (!strings.HasPrefix(s, "/") || slices.Contains(strings.Split(s, "/"), "..")) {
		r.wrong(v, "must be an absolute path without .., such as /workspace, not %s", quote(s))
		return "", false
	}
	return s, ok
}
