package docker

import (
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/portcullis-app/portcullis/sandbox"
)

// I15: the engine's seven states, and what it may say tomorrow.
func TestI15States(t *testing.T) {
	want := map[sandbox.SandboxStatus][]container.ContainerState{
		sandbox.StatusIdle:       {"created"},
		sandbox.StatusRunning:    {"running"},
		sandbox.StatusTerminated: {"removing", "exited", "dead"},
		sandbox.StatusError:      {"paused", "restarting", "", "Running", "unknown", "hibernating"},
	}
	known := 0
	for status, states := range want {
		for _, state := range states {
			if got := statusOf(state); got != status {
				t.Errorf("%q is %s, want %s", state, got, status)
			}
			if _, is := statuses[state]; is {
				known++
			}
		}
	}
	if known != 5 || len(statuses) != 5 {
		t.Errorf("%d states of %d are tested", known, len(statuses))
	}
}
