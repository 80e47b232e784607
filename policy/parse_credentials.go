package policy

import (
	"math"
	"regexp"
	"strconv"
	"time"
)

var credentialName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,99}$`)

// IsCredentialName reports whether a policy may give a credential that name.
func IsCredentialName(name string) bool { return credentialName.MatchString(name) }

func (r *reader) credentials(v value) map[string]CredentialRule {
	entries, _ := r.entries(v)
	rules := make(map[string]CredentialRule, len(entries))
	for _, e := range entries {
		if !IsCredentialName(e.name) {
			r.lacking(e.value, "is not a name for a credential; use at most 100 lower-case letters, digits and dashes, a letter first")
		}
		if !r.empty(e.value) {
			rules[e.name] = r.credential(e.name, e.value)
		}
	}
	return rules
}

func (r *reader) credential(name string, v value) CredentialRule {
	to := CredentialRule{Provider: ProviderOpaque, Scope: []string{name}, Tier: TierTeamLead}
	provider := string(to.Provider)
	var ttl, scope, source value
	given := r.mapping(v,
		field{"secret", func(v value) { r.secret(v, &to.Secret) }},
		field{"provider", func(v value) { r.choice(v, &provider, providers...) }},
		field{"scope", func(v value) { scope = v; to.Scope = r.list(v, exactly, r.scope) }},
		field{"ttl", func(v value) { ttl = v; r.duration(v, &to.TTL) }},
		field{"environment", func(v value) { to.Environment, _ = r.text(v) }},
		field{"source", func(v value) { source = v; to.Source, _ = r.text(v) }},
		field{"tier", func(v value) { r.tier(v, &to.Tier) }},
	)
	if given == nil {
		return to
	}
	to.Provider = CredentialProvider(provider)
	if !given["secret"] {
		r.lacking(v, "does not name its secret; add `secret: JIT_1H_…`")
	}
	if !given["ttl"] {
		r.lacking(v, "does not say how long it is lent; add `ttl: 30m`")
	}
	if longest, ok := SecretClass(to.Secret); ok && to.TTL > longest {
		r.wrong(ttl, "is longer than %s allows; shorten it to %s or less", quote(to.Secret), briefly(longest))
	}
	if made := to.Provider == ProviderOpaque || to.Provider == ProviderInstallationToken; made && given["source"] {
		r.wrong(source, "is for the providers lend and vault; remove it")
	}
	switch to.Provider {
	case ProviderOpaque:
	case ProviderInstallationToken:
		r.tokenScope(v, scope, given["scope"], to.Scope)
		if to.TTL > time.Hour {
			r.wrong(ttl, "is longer than GitHub lets an installation token live; shorten it to 1h or less")
		}
	case ProviderLend:
		if to.Environment == "" {
			r.lacking(v, "cannot be taken back once it is lent, so that it goes only into an environment; add `environment: …`")
		}
		if !given["source"] {
			r.lacking(v, "does not say which secret is lent; add `source: …`, its name in the secret store")
		} else if !IsSecretName(to.Source) {
			r.wrong(source, "must be the name of a secret in small letters, digits and single dashes, a letter first, as db-password, not %s", quote(to.Source))
		}
	case ProviderVault:
		r.vaultSource(v, source, given["source"], to)
	}
	return to
}

// vaultSource holds a source at Vault to what may be read there.
func (r *reader) vaultSource(v, source value, given bool, rule CredentialRule) {
	if !given {
		r.lacking(v, "does not say where Vault makes it; add `source: …`, as database/creds/deploy#password")
	}
	if rule.Source == "" {
		return // said already
	}
	parsed, err := ParseVaultSource(rule.Source)
	if err == nil {
		err = parsed.checkSecrets(rule.Secret)
	}
	if err != nil {
		r.wrong(source, "%s", err)
	}
}

var providers = []string{string(ProviderOpaque), string(ProviderInstallationToken), string(ProviderLend), string(ProviderVault)}

var credentialScope = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*(:[A-Za-z0-9][A-Za-z0-9_./-]*)?$`)

// scope is one word: introspection tells scopes with a space between them.
func (r *reader) scope(v value) (string, bool) {
	s, ok := r.text(v)
	if ok && !credentialScope.MatchString(s) {
		r.wrong(v, "must be a scope such as deploy:staging, without spaces or wildcards, not %s", quote(s))
		return "", false
	}
	return s, ok
}

// tokenScope holds the scope of an installation token to permissions by which its
// holder cannot get more.
func (r *reader) tokenScope(v, scope value, given bool, scopes []string) {
	if !given {
		r.lacking(v, "does not say what the token may do; add `scope: [\"contents:read\"]`")
		return
	}
	for _, s := range scopes {
		if _, _, err := TokenPermission(s); err != nil {
			r.wrong(scope, "%s", err)
		}
	}
}

var secretName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// IsSecretName reports whether a secret that is lent may have the name. It is in one
// spelling: a-b and a_b would be one variable of the environment.
func IsSecretName(name string) bool { return secretName.MatchString(name) }

func (r *reader) secret(v value, to *string) {
	s, ok := r.text(v)
	if !ok {
		return
	}
	if _, ok := SecretClass(s); !ok {
		r.wrong(v, "must be named JIT_, its longest life and a name, such as JIT_1H_DEPLOY or JIT_30M_CI, not %s", quote(s))
		return
	}
	*to = s
}

var secretPattern = regexp.MustCompile(`^JIT_([0-9]{1,5})(M|H|D)_[A-Z0-9_]{1,80}$`)

// SecretClass is how long a credential may live whose secret has that name:
// JIT_1H_DEPLOY at most an hour.
func SecretClass(secret string) (time.Duration, bool) {
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

// briefly is a duration in the spelling of the policy file.
func briefly(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	default:
		return d.String()
	}
}
