package policy

import (
	"math"
	"regexp"
	"strconv"
	"time"
)

var credentialName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func (r *reader) credentials(v value) map[string]CredentialRule {
	entries, _ := r.entries(v)
	rules := make(map[string]CredentialRule, len(entries))
	for _, e := range entries {
		if !credentialName.MatchString(e.name) {
			r.lacking(e.value, "is not a name for a credential; use lower-case letters, digits and dashes, a letter first")
		}
		if !r.empty(e.value) {
			rules[e.name] = r.credential(e.value)
		}
	}
	return rules
}

func (r *reader) credential(v value) CredentialRule {
	to := CredentialRule{Provider: "opaque", Tier: TierTeamLead}
	var ttl value
	given := r.mapping(v,
		field{"secret", func(v value) { r.secret(v, &to.Secret) }},
		field{"provider", func(v value) { r.choice(v, &to.Provider, "opaque", "installation-token", "lend", "vault") }},
		field{"scope", func(v value) { to.Scope = r.list(v, exactly, r.text) }},
		field{"ttl", func(v value) { ttl = v; r.duration(v, &to.TTL) }},
		field{"environment", func(v value) { to.Environment, _ = r.text(v) }},
		field{"tier", func(v value) { r.tier(v, &to.Tier) }},
	)
	if given == nil {
		return to
	}
	if !given["secret"] {
		r.lacking(v, "does not name its secret; add `secret: JIT_1H_…`")
	}
	if !given["ttl"] {
		r.lacking(v, "does not say how long it is lent; add `ttl: 30m`")
	}
	if longest, ok := secretClass(to.Secret); ok && to.TTL > longest {
		r.wrong(ttl, "is longer than %s allows; shorten it to %s or less", quote(to.Secret), briefly(longest))
	}
	return to
}

func (r *reader) secret(v value, to *string) {
	s, ok := r.text(v)
	if !ok {
		return
	}
	if _, ok := secretClass(s); !ok {
		r.wrong(v, "must be named JIT_, its longest life and a name, such as JIT_1H_DEPLOY or JIT_30M_CI, not %s", quote(s))
		return
	}
	*to = s
}

var secretPattern = regexp.MustCompile(`^JIT_([0-9]+)(M|H|D)_[A-Z0-9_]+$`)

// secretClass is how long a credential may live whose secret has that name:
// JIT_1H_DEPLOY at most an hour.
func secretClass(secret string) (time.Duration, bool) {
	parts := secretPattern.FindStringSubmatch(secret)
	if parts == nil {
		return 0, false
	}
	unit := map[string]time.Duration{"M": time.Minute, "H": time.Hour, "D": 24 * time.Hour}[parts[2]]
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/int64(unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// briefly is a whole number of minutes in the spelling of the policy file.
func briefly(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	}
	return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
}
