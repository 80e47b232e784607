package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

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
// longer.
func (s *Store) PutReach(ctx context.Context, at time.Time, active, suspended []policy.Repository) (lost []policy.Repository, err error) {
	err = s.PutNote(ctx, topicReach, "", func(known string) (string, error) {
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
	return lost, err
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
