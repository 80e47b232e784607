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
		var violations []contract.Violation
		if watch != nil {
			violations = watch.Violations()
		}
		for _, d := range sim.Deliveries() {
			if webhooks != nil {
				violations = append(violations, webhooks.Judge(d.Event, d.Payload)...)
			}
			if judge != nil {
				violations = append(violations, judge.Webhook(d.Event, d.Payload)...)
			}
		}
		report(t, violations)
	}
}

// report tells each violation once.
func report(t *testing.T, violations []contract.Violation) {
	t.Helper()
	told := map[contract.Violation]bool{}
	for _, v := range violations {
		refused := v.By == contract.Request && v.Status >= http.StatusBadRequest
		// GitHub takes any per_page and answers with 100 at most.
		capped := v.By == contract.Request && v.Where == "query per_page"
		if !told[v] && !refused && !capped {
			t.Errorf("contract: %s", v)
		}
		told[v] = true
	}
}
