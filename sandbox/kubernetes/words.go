package kubernetes

import (
	"time"

	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// Where Portcullis is: in its own image, and in a sandbox, into which an init container
// copies it.
const (
	ImageProgram = "/portcullis"
	toolsFolder  = "/portcullis"
	InitProgram  = toolsFolder + "/portcullis"
)

// words is a command line of Portcullis in a sandbox.
func words(arguments []string, more ...string) []string {
	return append(append([]string{InitProgram}, arguments...), more...)
}

// initWords are PID 1's. It ends on its own at the deadline, by the wall clock, and so
// long after it was started at the latest.
func initWords(deadline time.Time, lifetime time.Duration) []string {
	return words(inside.InitCommand, inside.Options{Deadline: deadline, Lifetime: lifetime}.Arguments()...)
}
