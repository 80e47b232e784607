package githubapi_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// TestADeploymentHasEndedByItsNewestState: whatever the order in which GitHub tells them,
// and whatever the deployment was before.
func TestADeploymentHasEndedByItsNewestState(t *testing.T) {
	for name, c := range map[string]struct {
		states       string
		ended, fails bool
	}{
		"none yet":                    {states: `[]`},
		"it waits":                    {states: `[{"id":1,"state":"pending"}]`},
		"it goes on":                  {states: `[{"id":2,"state":"in_progress"},{"id":1,"state":"queued"}]`},
		"it has ended":                {states: `[{"id":3,"state":"success"},{"id":2,"state":"in_progress"}]`, ended: true},
		"it has, the oldest first":    {states: `[{"id":2,"state":"in_progress"},{"id":3,"state":"error"}]`, ended: true},
		"it goes on after it had":     {states: `[{"id":3,"state":"in_progress"},{"id":2,"state":"failure"}]`},
		"it does, the oldest first":   {states: `[{"id":2,"state":"failure"},{"id":3,"state":"in_progress"}]`},
		"another one took its place":  {states: `[{"id":3,"state":"inactive"}]`, ended: true},
		"GitHub does not tell of one": {fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.installation.SetPermission("deployments", "read")
			fault := githubsim.Fault{Path: regexp.MustCompile(`/deployments/7/statuses$`), Status: http.StatusOK, Body: c.states, Times: 1}
			if c.fails {
				fault.Status, fault.Body = http.StatusNotFound, ""
			}
			f.sim.Inject(fault)
			if ended, err := f.client.DeploymentEnded(t.Context(), f.at, 7); ended != c.ended || (err != nil) != c.fails {
				t.Errorf("it has ended: %t, %v", ended, err)
			}
		})
	}
}
