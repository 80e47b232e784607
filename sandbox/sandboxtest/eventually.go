package sandboxtest

import (
	"testing"
	"time"
)

// patience is how long anything may take that takes no time.
const patience = 10 * time.Second

// Eventually waits for what is to become true.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
