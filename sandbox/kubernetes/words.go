package kubernetes

import "time"

// Where Portcullis is: in its own image, and in a sandbox, into which an init container
// copies it.
const (
	ImageProgram = "/portcullis"
	toolsFolder  = "/portcullis"
	InitProgram  = toolsFolder + "/portcullis"
)

// The words that it is called with there, after its own name.
var (
	// InitArguments are PID 1's, which is idle, reaps, and ends at the deadline.
	InitArguments = []string{"sandbox", "init"}
	// UnpackArguments come before a folder, into which the archive on standard input is
	// unpacked, and PackArguments before a path, which is packed to standard output.
	UnpackArguments = []string{"sandbox", "unpack"}
	PackArguments   = []string{"sandbox", "pack"}
	// InstallArguments, RunArguments and KillArguments are those of the package shim:
	// Install, Run and Kill.
	InstallArguments = []string{"sandbox", "install"}
	RunArguments     = []string{"sandbox", "run"}
	KillArguments    = []string{"sandbox", "kill"}
)

// words is a command line of Portcullis in a sandbox.
func words(arguments []string, more ...string) []string {
	return append(append([]string{InitProgram}, arguments...), more...)
}

// initWords are PID 1's. It ends on its own at the deadline, by the wall clock, and so
// long after it was started at the latest.
func initWords(deadline time.Time, lifetime time.Duration) []string {
	return words(InitArguments, "--deadline="+deadline.UTC().Format(time.RFC3339Nano), "--lifetime="+lifetime.String())
}
