package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// VaultSource is what is lent from Vault.
type VaultSource struct {
	// Path is what is read, as database/creds/deploy.
	Path string
	// Fields are those of the answer that are lent.
	Fields []string
}

var (
	vaultPath  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$`)
	vaultField = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	// vaultsOwn is where Vault has what it works with itself, and not what engines make.
	vaultsOwn = []string{"sys", "auth", "identity", "cubbyhole"}
)

// ParseVaultSource reads a path and the fields to lend, as
// database/creds/deploy#username,password. Its error is what is wrong, as the rest of a
// sentence.
func ParseVaultSource(source string) (VaultSource, error) {
	path, list, named := strings.Cut(source, "#")
	fields := strings.Split(list, ",")
	mount, _, _ := strings.Cut(path, "/")
	switch {
	case !named:
		return VaultSource{}, fmt.Errorf("does not say which field is lent; write %s, or whichever it is", quote(source+"#password"))
	case !vaultPath.MatchString(path):
		return VaultSource{}, fmt.Errorf("must be a path at Vault and a field, as database/creds/deploy#password, not %s", quote(source))
	case slices.Contains(vaultsOwn, mount):
		return VaultSource{}, fmt.Errorf("is among what Vault keeps under %s/ for itself, of which nothing is lent", mount)
	}
	known := map[string]bool{}
	for _, f := range fields {
		switch ending := strings.ToUpper(f); {
		case !vaultField.MatchString(f):
			return VaultSource{}, fmt.Errorf("must name fields in letters, digits and underscores, as #username,password, not %s", quote("#"+list))
		case known[ending]:
			return VaultSource{}, fmt.Errorf("names the field %s twice", quote(f))
		default:
			known[ending] = true
		}
	}
	return VaultSource{path, fields}, nil
}

// Endings are those of the names of the secrets that several fields are lent through.
func (s VaultSource) Endings() []string {
	if len(s.Fields) < 2 {
		return nil
	}
	endings := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		endings[i] = strings.ToUpper(f)
	}
	return endings
}

// checkSecrets is an error if a secret of one of the fields could not be called so.
func (s VaultSource) checkSecrets(secret string) error {
	for _, ending := range s.Endings() {
		if _, ok := SecretClass(secret + "_" + ending); !ok && secret != "" {
			return errors.New("makes a name for a secret that is too long: " + quote(secret+"_"+ending))
		}
	}
	return nil
}
