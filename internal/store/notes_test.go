package store_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
)

func TestNotes(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := d.PutNote(t.Context(), "limits", "5", func(known string) (string, error) { return known + "x", nil }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		refusal := errors.New("no")
		if err := d.PutNote(t.Context(), "limits", "5", func(string) (string, error) { return "lost", refusal }); !errors.Is(err, refusal) {
			t.Errorf("a refusal is %v", err)
		}
		notes, err := d.Notes(t.Context(), "limits")
		must(t, err)
		if want := map[string]string{"5": strings.Repeat("x", 20)}; !maps.Equal(notes, want) {
			t.Errorf("the notes are %v", notes)
		}
		if other, err := d.Notes(t.Context(), "others"); err != nil || len(other) != 0 {
			t.Errorf("another topic's are %v, %v", other, err)
		}
	})
}
