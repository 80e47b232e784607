// Package remote is a [sandbox.Sandbox] in another process, over a Unix socket: whoever
// holds the engine's socket is root on its machine, and need not be the process that
// GitHub and the world talk to.
//
// What crosses the socket is the contract and nothing else: no container is described
// there, no mount and no privilege, so that whoever takes over the one process gets
// sandboxes from the other and no more.
package remote

import (
	"context"
	"errors"
	"net/http"

	"github.com/portcullis-app/portcullis/sandbox"
)

const (
	// root is where the sandboxes are below.
	root = "/v1/sandboxes"
	// ready is where it is told whether one could be started.
	ready = "/v1/ready"
	// maxRequest is how many bytes a request may have beside an archive and a standard
	// input.
	maxRequest = 1 << 20
)

// failure is an error as it crosses the socket.
type failure struct {
	Kind kind `json:"kind"`
	// Provider, Field, Name, Program and Why are the error's.
	Provider string `json:"provider,omitempty"`
	Field    string `json:"field,omitempty"`
	Name     string `json:"name,omitempty"`
	Program  string `json:"program,omitempty"`
	Why      string `json:"why,omitempty"`
}

type kind string

// The kinds of errors that whoever asked can tell apart.
const (
	kindUnknown     kind = "unknown"
	kindNotRunning  kind = "not-running"
	kindUnsupported kind = "unsupported"
	kindInvalid     kind = "invalid"
	kindNotStarted  kind = "not-started"
	kindArchive     kind = "archive"
	kindCanceled    kind = "canceled"
	kindOther       kind = "other"
)

// asFailure is the error as it crosses, with the status of its answer.
func asFailure(err error) (failure, int) {
	if e, is := errors.AsType[*sandbox.UnsupportedError](err); is {
		return failure{Kind: kindUnsupported, Provider: e.Provider, Field: e.Field, Why: e.Why}, http.StatusUnprocessableEntity
	}
	if e, is := errors.AsType[*sandbox.InvalidError](err); is {
		return failure{Kind: kindInvalid, Field: e.Field, Why: e.Why}, http.StatusBadRequest
	}
	if e, is := errors.AsType[*sandbox.StartError](err); is {
		return failure{Kind: kindNotStarted, Program: e.Program, Why: e.Why}, http.StatusUnprocessableEntity
	}
	if e, is := errors.AsType[*sandbox.ArchiveError](err); is {
		return failure{Kind: kindArchive, Name: e.Name, Why: e.Why}, http.StatusUnprocessableEntity
	}
	switch {
	case errors.Is(err, sandbox.ErrUnknown):
		return failure{Kind: kindUnknown}, http.StatusNotFound
	case errors.Is(err, sandbox.ErrNotRunning):
		return failure{Kind: kindNotRunning, Why: err.Error()}, http.StatusConflict
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return failure{Kind: kindCanceled, Why: err.Error()}, http.StatusServiceUnavailable
	default:
		return failure{Kind: kindOther, Why: err.Error()}, http.StatusBadGateway
	}
}

// error is what crossed.
func (f failure) error() error {
	switch f.Kind {
	case kindUnsupported:
		return &sandbox.UnsupportedError{Provider: f.Provider, Field: f.Field, Why: f.Why}
	case kindInvalid:
		return &sandbox.InvalidError{Field: f.Field, Why: f.Why}
	case kindNotStarted:
		return &sandbox.StartError{Program: f.Program, Why: f.Why}
	case kindArchive:
		return &sandbox.ArchiveError{Name: f.Name, Why: f.Why}
	case kindUnknown:
		return sandbox.ErrUnknown
	case kindNotRunning:
		return sandbox.ErrNotRunning
	default:
		return errors.New(f.Why)
	}
}
