package sandbox_test

import (
	"errors"
	"testing"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/sandbox"
)

// A number that a provider would multiply is one that can be.
func TestNumbersThatAreNoMachines(t *testing.T) {
	for name, c := range map[string]struct {
		constraints sandbox.SandboxConstraints
		allowed     bool
	}{
		"all there can be":                  {sandbox.SandboxConstraints{MemoryMB: sandbox.MaxMB, DiskMB: sandbox.MaxMB, CPUPercent: sandbox.MaxCPUPercent}, true},
		"memory":                            {sandbox.SandboxConstraints{MemoryMB: sandbox.MaxMB + 1}, false},
		"memory whose bytes are none":       {sandbox.SandboxConstraints{MemoryMB: 17592186044416}, false},
		"files":                             {sandbox.SandboxConstraints{DiskMB: sandbox.MaxMB + 1}, false},
		"CPU":                               {sandbox.SandboxConstraints{CPUPercent: sandbox.MaxCPUPercent + 1}, false},
		"a CPU whose nanoseconds are none":  {sandbox.SandboxConstraints{CPUPercent: 144115188075855872}, false},
		"memory that is less than nothing":  {sandbox.SandboxConstraints{MemoryMB: -1}, false},
		"the defaults, which are not asked": {sandbox.SandboxConstraints{}, true},
	} {
		err := sandbox.Spec{ID: "pc-1", For: killswitch.Scope{}, Constraints: c.constraints}.Check()
		if invalid, is := errors.AsType[*sandbox.InvalidError](err); (err == nil) != c.allowed || is && invalid.Field != "constraints" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOutputThatNobodyCouldKeep(t *testing.T) {
	for most, allowed := range map[int]bool{0: true, sandbox.MaxMaxOutput: true, sandbox.MaxMaxOutput + 1: false, -1: false} {
		if err := (sandbox.Command{Argv: []string{"true"}, MaxOutput: most}).Check(); (err == nil) != allowed {
			t.Errorf("%d: %v", most, err)
		}
	}
}
