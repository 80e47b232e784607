package sandbox

import (
	"errors"
	"strings"
)

// RefusedError is returned for what is not allowed, or not yet.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// told is what whoever asked is told of an error.
type told struct {
	// why is a sentence of ours.
	why string
	// said is what others said, who may be whoever runs in the sandbox.
	said string
	// whole is true if there is no more to the error than that.
	whole bool
}

// tell is what whoever asked is told of an error as it is; false: that it failed is all.
func tell(err error) (told, bool) {
	if start, is := errors.AsType[*StartError](err); is {
		return told{why: "the command was not started", said: start.Program + ": " + start.Why, whole: err.Error() == start.Error()}, true
	}
	if archive, is := errors.AsType[*ArchiveError](err); is {
		return told{why: "the files of the pull request do not fit into a sandbox", said: archive.Error(), whole: strings.HasSuffix(err.Error(), archive.Error())}, true
	}
	if refused, is := errors.AsType[*RefusedError](err); is {
		return told{why: refused.Why, whole: err.Error() == refused.Error()}, true
	}
	if unsupported, is := errors.AsType[*UnsupportedError](err); is {
		return told{why: unsupported.Error(), whole: strings.HasSuffix(err.Error(), unsupported.Error())}, true
	}
	if invalid, is := errors.AsType[*InvalidError](err); is {
		return told{why: invalid.Error(), whole: err.Error() == invalid.Error()}, true
	}
	if full, is := errors.AsType[*FullError](err); is {
		return told{why: full.Error(), whole: strings.HasSuffix(err.Error(), full.Error())}, true
	}
	for _, known := range []error{ErrStopped, ErrEnded, ErrUnknown, ErrNotRunning} {
		if errors.Is(err, known) {
			return told{why: known.Error(), whole: strings.HasSuffix(err.Error(), known.Error())}, true
		}
	}
	return told{}, false
}
