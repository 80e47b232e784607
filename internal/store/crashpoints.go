//go:build crashpoints && unix

package store

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// crashSite is PORTCULLIS_CRASH_AT, as "after:PutPosted:2": the process dies at the
// second time that PutPosted has written and has not returned.
var crashSite = os.Getenv("PORTCULLIS_CRASH_AT")

var crashes atomic.Int64

// crashAt kills the process, as an operator, a power cut or the kernel would, if
// this is where.
func crashAt(when string) {
	wanted, rest, _ := strings.Cut(crashSite, ":")
	name, count, _ := strings.Cut(rest, ":")
	if wanted != when || name != callerOfWrite() {
		return
	}
	if n, err := strconv.ParseInt(count, 10, 64); err == nil && crashes.Add(1) == n {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// inner are the methods in which others write.
var inner = map[string]bool{"write": true, "accept": true, "endClaim": true, "changeVotes": true, "record": true}

// callerOfWrite is the method of Store that writes.
func callerOfWrite() string {
	var frames [8]uintptr
	found := runtime.CallersFrames(frames[:runtime.Callers(3, frames[:])])
	for {
		frame, more := found.Next()
		if _, method, ok := strings.Cut(frame.Function, "(*Store)."); ok && !inner[method] {
			return method
		}
		if !more {
			return ""
		}
	}
}
