package gate

import (
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru"

	"github.com/portcullis-app/portcullis/policy"
)

// rememberedSightings bounds how many pull requests are remembered. One that is
// forgotten is read whole.
const rememberedSightings = 4096

// sighting is what a pull request showed when it was last read. It is stale if
// something is known to have happened to the pull request since.
type sighting struct {
	snapshot policy.Snapshot
	// read is when the reading was begun, and known which kill switches were on then.
	read  time.Time
	known map[string]bool
	stale bool
}

// sightings remembers pull requests as they were last read, so that GitHub can
// be asked whether anything moved instead of for everything, and so that it can
// be guessed whom a decision will ask about. A sighting is never the reason of a
// decision.
type sightings struct {
	known *lru.Cache
	// parsed are policies by place and content: the same few files govern nearly
	// everything.
	parsed *lru.Cache
}

const rememberedPolicies = 256

func newSightings() sightings {
	known, err := lru.New(rememberedSightings)
	parsed, parsedErr := lru.New(rememberedPolicies)
	if err := errors.Join(err, parsedErr); err != nil {
		panic(err) // only a size below 1 is refused
	}
	return sightings{known, parsed}
}

// policyKey names a policy file that is there.
type policyKey struct {
	place   policy.Place
	content string
}

// parse is [policy.LoadPolicy], done once for each content.
func (s sightings) parse(text policy.PolicyText) policy.PolicySource {
	if text.Content == nil {
		return policy.LoadPolicy(text)
	}
	key := policyKey{text.Place, string(text.Content)}
	if found, ok := s.parsed.Get(key); ok {
		if source, ok := found.(policy.PolicySource); ok {
			return source
		}
	}
	source := policy.LoadPolicy(text)
	s.parsed.Add(key, source)
	return source
}

func (s sightings) last(ref policy.PullRequestRef) (sighting, bool) {
	found, ok := s.known.Get(ref.Key())
	if !ok {
		return sighting{}, false
	}
	seen, ok := found.(sighting)
	return seen, ok
}

func (s sightings) remember(seen sighting) {
	s.known.Add(seen.snapshot.PullRequest.Ref.Key(), seen)
}

// outdate has the pull request read whole when it is next looked at.
func (s sightings) outdate(ref policy.PullRequestRef) {
	if seen, ok := s.last(ref); ok {
		seen.stale = true
		s.known.Add(ref.Key(), seen)
	}
}
