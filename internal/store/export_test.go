package store

import (
	"context"
	"time"

	"github.com/portcullis-app/portcullis/gate"
)

// Due returns the keys of the work that is due and that nobody holds, the most
// urgent and then the one that has been due longest first.
func (s *Store) Due(ctx context.Context) ([]string, error) {
	var keys []string
	for _, urgency := range []gate.Urgency{gate.UrgencySwitch, gate.UrgencyPeople, gate.UrgencyBackground} {
		due, err := s.alarms(ctx, urgency)
		if err != nil {
			return nil, err
		}
		for _, a := range due {
			keys = append(keys, a.key)
		}
	}
	return keys, nil
}

// Exec runs a statement as somebody with access to the database could.
func (s *Store) Exec(ctx context.Context, statement string) error {
	_, err := s.writer.ExecContext(ctx, statement)
	return err
}

// RingAgain is how long a worker that was called may take.
const RingAgain time.Duration = ringAgain

// Write runs do as whoever writes, first as the switch does.
func (s *Store) Write(ctx context.Context, first bool, do func()) error {
	if first {
		ctx = goFirst(ctx)
	}
	return s.write(ctx, func(context.Context, *transaction) error { do(); return nil })
}
