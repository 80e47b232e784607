package githubapi

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestPointsOfTheLastMinute counts what was sent by GitHub's points: whatever was
// answered, of one installation, and not of queries.
func TestPointsOfTheLastMinute(t *testing.T) {
	h, g := newGoverned()
	client := &Client{governor: g.governor}
	at := func(after time.Duration) { h.now = start.Add(after) }
	spent := func(want int) {
		t.Helper()
		if got := client.Spent(7); got != want {
			t.Errorf("after %s it is %d points, want %d", h.now.Sub(start), got, want)
		}
	}
	spent(0)
	send(t, g, http.MethodGet, "/a")
	h.status = http.StatusNotModified
	send(t, g, http.MethodGet, "/a")
	h.status = http.StatusOK
	spent(2)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		send(t, g, method, "/a")
	}
	spent(22)
	send(t, g, http.MethodPost, "/graphql")
	send(t, g, http.MethodPost, "/app/installations/7/access_tokens", "Authorization", "Bearer x")
	if spent(22); client.Spent(0) != 5 || client.Spent(8) != 0 {
		t.Errorf("the App has spent %d, somebody else %d", client.Spent(0), client.Spent(8))
	}
	at(30 * time.Second)
	h.status, h.body = http.StatusForbidden, secondaryBody
	send(t, g, http.MethodPost, "/a") // refused, and counted by GitHub too
	spent(27)
	h.status, h.body = http.StatusOK, ""
	send(t, g, http.MethodPost, "/a") // not sent
	spent(27)
	at(time.Minute)
	spent(27)
	at(time.Minute + time.Second)
	spent(5)
	at(10 * time.Minute)
	spent(0)
	for i := range 500 * 120 { // five hundred a second for two minutes
		at(20*time.Minute + time.Duration(i)*2*time.Millisecond)
		if err := g.governor.admit(t.Context(), place{7, coreResource}, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := client.Spent(7); got < 500*60 || got > 500*61 {
		t.Errorf("of five hundred a second it is %d", got)
	}
}

// TestWhatIsUrgentIsNeitherSpacedNorHeldBack goes at once where others are told to
// come later; GitHub's own limits hold for it.
func TestWhatIsUrgentIsNeitherSpacedNorHeldBack(t *testing.T) {
	h, g := newGoverned()
	h.header = budget(10)
	at := place{7, coreResource}
	send(t, g, http.MethodGet, "/a")
	if err := g.governor.check(Urgent(Background(t.Context())), at); err != nil {
		t.Errorf("it is held back: %v", err)
	}
	h.status, h.body = http.StatusForbidden, secondaryBody
	limit, _ := send(t, g, http.MethodPost, "/a")
	if _, ok := errors.AsType[*LimitError](g.governor.admit(Urgent(t.Context()), at, true)); !ok {
		t.Error("it goes although GitHub refuses")
	}
	h.now = limit.RetryAt
	for range 5 {
		if err := g.governor.admit(Urgent(t.Context()), at, true); err != nil {
			t.Errorf("it is spaced: %v", err)
		}
	}
	if err := g.governor.admit(t.Context(), at, true); err == nil {
		t.Error("the rest does not keep its distance from it")
	}
}
