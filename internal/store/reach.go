package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

// topicReach is the topic of the note on where the App is installed.
const topicReach = "reach"

// reach is that note.
type reach struct {
	At                time.Time
	Active, Suspended []policy.Repository
}

// PutReach keeps where the App was installed at that time, as places without a name,
// those apart that were suspended. It returns where it was active before and is no
// longer. What was lent there is ended.
func (s *Store) PutReach(ctx context.Context, at time.Time, active, suspended []policy.Repository) (lost []policy.Repository, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *transaction) error {
		err := putNote(ctx, tx, topicReach, "", func(known string) (string, error) {
			before, err := decodeReach(known)
			if err != nil {
				return "", err
			}
			lost = slices.DeleteFunc(before.Active, func(was policy.Repository) bool {
				return slices.ContainsFunc(active, func(is policy.Repository) bool { return is.Installation == was.Installation })
			})
			encoded, err := json.Marshal(reach{at, active, suspended})
			return string(encoded), err
		})
		if err != nil {
			return err
		}
		return s.endUnreached(ctx, tx, append(slices.Clone(suspended), lost...))
	})
	if err != nil {
		return nil, fmt.Errorf("note where the App is installed: %w", err)
	}
	return lost, nil
}

// endUnreached ends what is lent where nothing can be held to a policy any more.
func (s *Store) endUnreached(ctx context.Context, tx *transaction, places []policy.Repository) error {
	for _, place := range places {
		end := credential.Ending{Reason: "the App was suspended or is not installed any more", At: s.now(), Place: place.Owner}
		n, err := s.endLeases(ctx, tx, credential.Selection{Installation: place.Installation}, end)
		if err != nil {
			return err
		}
		if err := s.tellEnded(ctx, tx, n, end); err != nil {
			return err
		}
	}
	return nil
}

// Reach is where the App was installed when GitHub last told; the zero time: it never
// did.
func (s *Store) Reach(ctx context.Context) (at time.Time, active, suspended []policy.Repository, err error) {
	notes, err := s.Notes(ctx, topicReach)
	if err != nil {
		return time.Time{}, nil, nil, err
	}
	last, err := decodeReach(notes[""])
	return last.At, last.Active, last.Suspended, err
}

func decodeReach(note string) (last reach, err error) {
	if note == "" {
		return reach{}, nil
	}
	if err := json.Unmarshal([]byte(note), &last); err != nil {
		return reach{}, fmt.Errorf("read the note on where the App is installed: %w", err)
	}
	return last, nil
}
