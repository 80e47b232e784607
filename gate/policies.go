package gate

import (
	"context"
	"errors"
	"slices"

	"github.com/portcullis-app/portcullis/policy"
)

// policies parses the files that govern the pull request and makes sure that
// the teams they name exist.
func (l *look) policies(ctx context.Context, s policy.Snapshot) ([]policy.PolicySource, error) {
	var sources []policy.PolicySource
	for _, text := range s.Policies {
		source, err := l.load(ctx, text)
		if err != nil {
			return nil, err
		}
		if source.Fault != nil && l.changes(s, text.Place) {
			content, err := l.GitHub.Content(ctx, l.ref.Repository, text.Path, s.PullRequest.HeadSHA)
			if err != nil {
				return nil, err
			}
			repair, err := l.load(ctx, policy.PolicyText{Place: text.Place, Content: content})
			if err != nil {
				return nil, err
			}
			source.Repaired = content != nil && repair.Fault == nil
		}
		sources = append(sources, source)
	}
	lost, err := l.floorLost(ctx, s)
	if lost {
		sources = append(sources, policy.PolicySource{Place: policy.Place{Repository: l.ref.Repository.Owner, Organization: true}, Fault: errFloorLost})
	}
	return sources, err
}

var errFloorLost = errors.New("it could be read before, and cannot be any more; let the App read its repository, or remove the file before the repository")

// floorLost reports whether the owner had a policy for all repositories that the
// snapshot does not show, and remembers whether there is one. It is gone for good
// only if its repository can be read and the file is not there. That it came or
// went, perhaps nobody tells the other pull requests of the owner: they are woken
// before it is remembered, because what is remembered wakes nobody again.
func (l *look) floorLost(ctx context.Context, s policy.Snapshot) (bool, error) {
	if l.Store == nil {
		return false, nil
	}
	owner := l.ref.Repository.Owner
	had, err := l.Store.HasFloor(ctx, owner)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(s.Policies, func(t policy.PolicyText) bool { return t.Organization })
	if i < 0 {
		return had, nil
	}
	has := s.Policies[i].Content != nil
	if has == had {
		return false, nil
	}
	if err := l.Reassess(ctx, Scope{Owner: owner}); err != nil {
		return false, err
	}
	return false, l.Store.PutFloor(ctx, owner, has)
}

// changes reports whether the pull request changes the very file at that place.
func (l *look) changes(s policy.Snapshot, place policy.Place) bool {
	return place.Repository == l.ref.Repository.String() && place.Branch == s.PullRequest.BaseBranch && s.Touches(place.Path)
}

func (l *look) load(ctx context.Context, text policy.PolicyText) (policy.PolicySource, error) {
	source := l.seen.parse(text)
	// A file with faults is the zero file and names no team.
	unknown, err := l.GitHub.UnknownTeams(ctx, l.ref.Repository, source.File.Teams())
	if len(unknown) > 0 {
		source.Fault = &policy.UnknownTeamsError{Teams: unknown}
	}
	return source, err
}
