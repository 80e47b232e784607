package credential

import (
	"fmt"

	"github.com/portcullis-app/portcullis/policy"
)

// Slot is a secret at GitHub that a credential is lent through. At most one lease that
// has not ended has a slot.
type Slot struct {
	Repository policy.Repository
	// Environment is the one whose jobs read it; empty: the repository's workflows.
	Environment string
	// Name is the secret's, which begins with JIT_ and how long it may be there.
	Name string
}

func (s Slot) String() string {
	if s.Environment == "" {
		return fmt.Sprintf("%s of %s", s.Name, s.Repository)
	}
	return fmt.Sprintf("%s of the environment %s of %s", s.Name, s.Environment, s.Repository)
}

// ours reports whether Portcullis may write and delete the secret: whatever the policy
// says, none without the prefix and its longest life.
func (s Slot) ours() bool {
	_, ok := policy.SecretClass(s.Name)
	return ok
}
