package audit_test

import (
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/audit"
)

func Example() {
	at := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	first := audit.Seal(audit.Entry{}, audit.Entry{At: at, Actor: "alice", Action: "approval.approve", Subject: "acme/shop#7"})
	second := audit.Seal(first, audit.Entry{At: at, Actor: "portcullis", Action: "decision.open", Subject: "acme/shop#7"})

	fmt.Println(audit.Verify(audit.Entry{}, []audit.Entry{first, second}))

	first.Actor = "mallory"
	fmt.Println(audit.Verify(audit.Entry{}, []audit.Entry{first, second}))
	// Output:
	// <nil>
	// the audit chain is broken at entry 1: it was changed after it was written
}
