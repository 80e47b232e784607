package audit_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portcullis-app/portcullis/audit"
)

var anyEntry = rapid.Custom(func(t *rapid.T) audit.Entry {
	return audit.Entry{
		At:    noon.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "at"))),
		Actor: rapid.String().Draw(t, "actor"), ActorID: rapid.Int64().Draw(t, "actor id"), Action: rapid.String().Draw(t, "action"),
		Subject: rapid.String().Draw(t, "subject"), Commit: rapid.String().Draw(t, "commit"), Detail: rapid.String().Draw(t, "detail"),
	}
})

// changes has one for each field of an entry.
var changes = []func(*audit.Entry){
	func(e *audit.Entry) { e.At = e.At.Add(time.Millisecond) },
	func(e *audit.Entry) { e.Actor += "x" },
	func(e *audit.Entry) { e.ActorID++ },
	func(e *audit.Entry) { e.Action += "x" },
	func(e *audit.Entry) { e.Subject += "x" },
	func(e *audit.Entry) { e.Commit += "x" },
	func(e *audit.Entry) { e.Detail += "x" },
	func(e *audit.Entry) { e.Sequence++ },
	func(e *audit.Entry) { e.Previous += "x" },
	func(e *audit.Entry) { e.Hash += "x" },
	// Text that moves from one field to the next.
	func(e *audit.Entry) { e.Actor, e.Action = e.Actor+"x"+e.Action, "" },
}

func TestAnyTamperingIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := chain(rapid.SliceOfN(anyEntry, 1, 8).Draw(t, "entries")...)
		if err := audit.Verify(audit.Entry{}, entries); err != nil {
			t.Fatalf("the chain is broken before anybody touched it: %v", err)
		}
		i := rapid.IntRange(0, len(entries)-1).Draw(t, "which")
		tampered := slices.Clone(entries)
		switch kind := rapid.SampledFrom([]string{"change", "remove", "swap", "repeat"}).Draw(t, "kind"); {
		case kind == "change":
			rapid.SampledFrom(changes).Draw(t, "change")(&tampered[i])
		case kind == "remove" && i < len(entries)-1:
			tampered = slices.Delete(tampered, i, i+1)
		case kind == "swap" && len(entries) > 1:
			j := (i + rapid.IntRange(1, len(entries)-1).Draw(t, "distance")) % len(entries)
			tampered[i], tampered[j] = tampered[j], tampered[i]
		case kind == "repeat":
			tampered = slices.Insert(tampered, i, tampered[i])
		default:
			t.Skip("the end cannot be removed unseen, and one cannot be swapped")
		}
		var broken *audit.BrokenChainError
		if err := audit.Verify(audit.Entry{}, tampered); !errors.As(err, &broken) {
			t.Fatalf("it was not found: %v", err)
		}
	})
}
