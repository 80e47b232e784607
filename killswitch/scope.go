package killswitch

import (
	"strconv"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// Scope is what a switch stops.
type Scope struct {
	// Repository is the one repository; with ID 0, all repositories of its Owner.
	Repository policy.Repository
	// Number is the one pull request; 0: all.
	Number int
	// Agents is true if only what agents took part in is stopped.
	Agents bool
}

// Organization is the scope of all that an owner has.
func Organization(owner string, installation int64) Scope {
	return Scope{Repository: policy.Repository{Owner: owner, Installation: installation}}
}

// PullRequest is the scope of one pull request.
func PullRequest(ref policy.PullRequestRef) Scope {
	return Scope{Repository: ref.Repository, Number: ref.Number}
}

const (
	ownerKey, repositoryKey, pullRequestKey = "owner:", "repo:", "pr:"
	agentsKey                               = "-agents"
)

// Key names the scope for storage: by the repository's id, so that it survives a
// rename.
func (s Scope) Key() string {
	key := s.place()
	if s.Agents {
		key += agentsKey
	}
	return key
}

// place is the key of everything there, agents' or not.
func (s Scope) place() string {
	switch {
	case s.Number != 0:
		return pullRequestKey + policy.PullRequestRef{Repository: s.Repository, Number: s.Number}.Key()
	case s.Repository.ID != 0:
		return repositoryKey + strconv.FormatInt(s.Repository.ID, 10)
	default:
		return ownerKey + strings.ToLower(s.Repository.Owner)
	}
}

// String says in words what is stopped.
func (s Scope) String() string {
	words := s.Repository.Owner
	if s.Repository.ID != 0 {
		words = s.Repository.String()
	}
	if s.Number != 0 {
		words += "#" + strconv.Itoa(s.Number)
	}
	if s.Agents {
		return "agents in " + words
	}
	return words
}

// Whole is the scope of everything in the same place, people's work included.
func (s Scope) Whole() Scope {
	s.Agents = false
	return s
}

// IsOrganization reports whether it is about all repositories of an owner.
func (s Scope) IsOrganization() bool { return s.Repository.ID == 0 }

// Covers reports whether what is in the other scope is in this one too.
func (s Scope) Covers(other Scope) bool {
	switch {
	case s.Agents && !other.Agents, !strings.EqualFold(s.Repository.Owner, other.Repository.Owner):
		return false
	case s.IsOrganization():
		return true
	case s.Repository.ID != other.Repository.ID:
		return false
	default:
		return s.Number == 0 || s.Number == other.Number
	}
}

// workPrefix begins the keys of the work on switches.
const workPrefix = "switch:"

// WorkKey is the key of the work on the switches of a place: what happens to them
// happens one after the other.
func (s Scope) WorkKey() string { return workPrefix + s.place() }

// Ref is the place as work is about it.
func (s Scope) Ref() policy.PullRequestRef {
	return policy.PullRequestRef{Repository: s.Repository, Number: s.Number}
}

// Owns reports whether the key is one of work on switches.
func Owns(workKey string) bool { return strings.HasPrefix(workKey, workPrefix) }

// Place is the scope that work is about.
func Place(ref policy.PullRequestRef) Scope {
	return Scope{Repository: ref.Repository, Number: ref.Number}
}
