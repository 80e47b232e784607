package githubsim_test

import (
	"net/http"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/githubsim/contract"
)

// judged holds every REST answer and every webhook of a Sim against what GitHub
// publishes, at the end of the test. Tests send bad requests on purpose, so a
// request is held only if the Sim took it: what GitHub would refuse, it must
// refuse too. Where the published files are not at hand nothing is judged;
// contract's own tests say so.
func judged(t *testing.T) (options githubsim.Options, end func(*githubsim.Sim)) {
	t.Helper()
	judge, err := contract.FromEnvironment()
	must(t, err)
	webhooks, err := contract.WebhooksFromEnvironment()
	must(t, err)
	var watch *contract.Watch
	if judge != nil {
		options.Wrap = func(next http.Handler) http.Handler {
			watch = judge.Watch(next)
			return watch
		}
	}
	return options, func(sim *githubsim.Sim) {
		if watch != nil {
			reportTraffic(t, watch)
		}
		if webhooks != nil {
			reportWebhooks(t, webhooks, sim.Deliveries())
		}
	}
}

func reportTraffic(t *testing.T, watch *contract.Watch) {
	t.Helper()
	for _, v := range watch.Violations() {
		if v.By == contract.Answer || v.Status < http.StatusBadRequest {
			t.Errorf("contract: %s", v)
		}
	}
}

func reportWebhooks(t *testing.T, webhooks *contract.Webhooks, deliveries []githubsim.Delivery) {
	t.Helper()
	told := map[contract.Violation]bool{}
	for _, d := range deliveries {
		for _, v := range webhooks.Judge(d.Event, d.Payload) {
			if !told[v] {
				t.Errorf("contract: %s", v)
			}
			told[v] = true
		}
	}
}
