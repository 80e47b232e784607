package gate

import (
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
	stale    bool
}

// sightings remembers pull requests as they were last read, so that GitHub can
// be asked whether anything moved instead of for everything, and so that it can
// be guessed whom a decision will ask about. A sighting is never the reason of a
// decision.
type sightings struct{ known *lru.Cache }

func newSightings() sightings {
	known, err := lru.New(rememberedSightings)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return sightings{known}
}

func (s sightings) last(ref policy.PullRequestRef) (sighting, bool) {
	found, ok := s.known.Get(ref.Key())
	if !ok {
		return sighting{}, false
	}
	seen, ok := found.(sighting)
	return seen, ok
}

func (s sightings) remember(snapshot policy.Snapshot) {
	s.known.Add(snapshot.PullRequest.Ref.Key(), sighting{snapshot: snapshot})
}

// outdate has the pull request read whole when it is next looked at.
func (s sightings) outdate(ref policy.PullRequestRef) {
	if seen, ok := s.last(ref); ok {
		seen.stale = true
		s.known.Add(ref.Key(), seen)
	}
}
