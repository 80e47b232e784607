package policy

import (
	"slices"
	"strings"
	"time"
)

const defaultSandboxTimeout = 30 * time.Minute

func (r *reader) sandbox(v value) *SandboxRules {
	to := &SandboxRules{
		Constraints: SandboxConstraints{Network: "none", Timeout: defaultSandboxTimeout},
		Tier:        TierPeerReview,
	}
	given := r.mapping(v,
		field{"provider", func(v value) { r.choice(v, &to.Provider, "docker", "codespaces", "kubernetes") }},
		field{"image", func(v value) { r.image(v, &to.Image) }},
		field{"constraints", func(v value) { r.constraints(v, &to.Constraints) }},
		field{"tier", func(v value) { r.tier(v, &to.Tier) }},
	)
	if given != nil && !given["provider"] {
		r.lacking(v, "does not say where it runs; add `provider: docker`, codespaces or kubernetes")
	}
	if given != nil && !given["image"] && (to.Provider == "docker" || to.Provider == "kubernetes") {
		r.lacking(v, "does not say what it runs; add `image` with the digest that pins it")
	}
	return to
}

// image wants a digest: a tag can be moved to something nobody approved.
func (r *reader) image(v value, to *string) {
	s, ok := r.text(v)
	if ok && !strings.Contains(s, "@sha256:") {
		r.wrong(v, "must be pinned by its digest, as in name@sha256:…, not %s", quote(s))
		return
	}
	*to = s
}

func (r *reader) constraints(v value, to *SandboxConstraints) {
	r.mapping(v,
		field{"memory_mb", func(v value) { r.number(v, unlimited, &to.MemoryMB) }},
		field{"cpu_percent", func(v value) { r.number(v, unlimited, &to.CPUPercent) }},
		field{"network", func(v value) { r.choice(v, &to.Network, "none", "egress-only", "full") }},
		field{"timeout", func(v value) { r.duration(v, &to.Timeout) }},
		field{"allowed_paths", func(v value) { to.AllowedPaths = r.list(v, exactly, r.absolutePath) }},
	)
}

func (r *reader) absolutePath(v value) (string, bool) {
	s, ok := r.text(v)
	if ok && (!strings.HasPrefix(s, "/") || slices.Contains(strings.Split(s, "/"), "..")) {
		r.wrong(v, "must be an absolute path without .., such as /workspace, not %s", quote(s))
		return "", false
	}
	return s, ok
}
