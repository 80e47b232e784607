package app

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/web"
)

// page is what a page of the server says.
func (tw *testWorld) page(path string) string {
	tw.t.Helper()
	_, body := tw.read(path)
	return body
}

// Whoever looks at the dashboard is told when nothing enforces what is stopped.
func TestTheDashboardSaysWhetherAnythingIsEnforced(t *testing.T) {
	tw, clock := sweepingWorld(t)
	tw.settled()
	shows := func(enforced bool, stopped int, words string) {
		t.Helper()
		var standing web.Standing
		tw.must(json.Unmarshal([]byte(tw.page("/api/v1/status")), &standing))
		if page := tw.page("/"); !standing.Known || standing.Enforced != enforced || standing.Stopped != stopped || !strings.Contains(page, words) {
			t.Errorf("it tells %+v, and the page lacks %q:\n%s", standing, words, page)
		}
	}
	shows(true, 0, "Enforced</strong> in 1 account")
	tw.halts(tw.shop, "lee", "Stop", switchLabel)
	shows(true, 1, "1 is on; GitHub has confirmed the lock of 1.")
	tw.installation.Suspend()
	tw.settled()
	shows(false, 1, "Nothing enforces 1 of the kill switches that are on:")
	tw.installation.Unsuspend()
	tw.settled()
	shows(true, 1, "Enforced</strong>")

	// Of the next suspension no webhook tells.
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool { return d.Event == "installation" }})
	tw.installation.Suspend()
	clock.pass(time.Minute)
	eventually(t, "it is found", func() bool { return strings.Contains(tw.page("/"), "Nothing is enforced anywhere:") })
}
