package gate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// GitHub lets an installation spend 900 points a minute on REST calls: 5 for one
// that writes, 1 for one that reads, whether or not it is billed. What many gates
// cost at once stays below that.
const (
	paceWindow = time.Minute
	pacePoints = 880
	// gatePoints is what a gate costs at most that is decided anew: a write, and the
	// question whether the pull request is still the one that was read.
	gatePoints = 6
	paceStep   = 250 * time.Millisecond
)

const paceKey = "pace:"

// PaceKey is the key of the work that decides an installation's marked gates anew.
func PaceKey(installation int64) string { return paceKey + strconv.FormatInt(installation, 10) }

// PaceRef is what that work is about.
func PaceRef(repository policy.Repository) policy.PullRequestRef {
	return policy.PullRequestRef{Repository: policy.Repository{Installation: repository.Installation, Owner: repository.Owner}}
}

// IsPace reports whether the key is one of that work.
func IsPace(workKey string) bool { return strings.HasPrefix(workKey, paceKey) }

// Marks are the gates that are to be decided anew.
type Marks interface {
	// WantMarked asks for as many of the installation's as allowed says, which is told
	// how many were asked for and are not decided yet, and how many other processes
	// decided since that time. It returns how many wait.
	WantMarked(ctx context.Context, installation int64, since time.Time, allowed func(underWay, byOthers int) int) (waiting int, err error)
}

// Pacer decides many gates anew as fast as GitHub's limits allow, and no faster: not
// even when several processes share the work, or one is killed on the way and started
// again.
type Pacer struct {
	Marks Marks
	// Spent is how many points the installation's calls took in the last minute, as far
	// as this process made them.
	Spent func(installation int64) int
	Now   func() time.Time
}

// Step asks for the gates that may be decided now, and returns when to go on; zero:
// none wait.
func (p *Pacer) Step(ctx context.Context, installation int64) (time.Time, error) {
	now := p.Now()
	waiting, err := p.Marks.WantMarked(ctx, installation, now.Add(-paceWindow-time.Second), func(underWay, byOthers int) int {
		// What others did is not in Spent. What they asked besides fits in what a gate
		// costs less than at most.
		return (pacePoints-p.Spent(installation))/gatePoints - underWay - byOthers
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("decide gates of installation %d anew: %w", installation, err)
	}
	if waiting == 0 {
		return time.Time{}, nil
	}
	return now.Add(paceStep), nil
}
