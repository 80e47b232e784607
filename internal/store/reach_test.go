package store_test

import (
	"slices"
	"testing"

	"github.com/portcullis-app/portcullis/policy"
)

func TestWhereTheAppIsInstalledIsKept(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		acme, other := policy.Repository{Installation: 5, Owner: "acme"}, policy.Repository{Installation: 6, Owner: "other"}
		holds := func(active, suspended, lost []policy.Repository) {
			t.Helper()
			gone, err := d.PutReach(t.Context(), d.clock.Now(), active, suspended)
			if err != nil || !slices.Equal(gone, lost) {
				t.Errorf("lost %v, %v, want %v", gone, err, lost)
			}
			d.reopen(t)
			at, is, isNot, err := d.Reach(t.Context())
			if err != nil || !at.Equal(d.clock.Now()) || !slices.Equal(is, active) || !slices.Equal(isNot, suspended) {
				t.Errorf("as of %s: active in %v, suspended in %v, %v", at, is, isNot, err)
			}
		}
		if at, _, _, err := d.Reach(t.Context()); err != nil || !at.IsZero() {
			t.Errorf("before anybody asked: %s, %v", at, err)
		}
		holds([]policy.Repository{acme, other}, nil, nil)
		holds([]policy.Repository{acme}, []policy.Repository{other}, []policy.Repository{other})
		holds([]policy.Repository{acme}, []policy.Repository{other}, nil)
		holds([]policy.Repository{other}, nil, []policy.Repository{acme})

		d.edit(t, `UPDATE notes SET content = 'x' WHERE topic = 'reach'`)
		if _, _, _, err := d.Reach(t.Context()); err == nil {
			t.Error("a note that cannot be read is one that says nothing")
		}
	})
}
