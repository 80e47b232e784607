package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
)

// Remote is sandboxes in another process. It may be used by several goroutines.
type Remote struct{ client *http.Client }

var (
	_ sandbox.Sandbox = (*Remote)(nil)
	_ sandbox.Readier = (*Remote)(nil)
)

// NewRemoteSandbox returns the sandboxes behind the socket. It does not connect yet: a process that is
// not there keeps sandboxes from being started, and nothing else.
func NewRemoteSandbox(socket string) *Remote {
	return &Remote{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		IdleConnTimeout: time.Minute,
	}}}
}

// Close gives up the connections.
func (r *Remote) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

// execution is a command as it crosses; its standard input follows.
type execution struct {
	Argv      []string      `json:"argv"`
	Folder    string        `json:"folder,omitempty"`
	Timeout   time.Duration `json:"timeout,omitempty"`
	MaxOutput int           `json:"max_output,omitempty"`
	Stdin     bool          `json:"stdin,omitempty"`
}

// outcome is a result as it crosses: a command writes bytes, and texts of JSON are UTF-8.
type outcome struct {
	Stdout    []byte `json:"stdout_bytes,omitempty"`
	Stderr    []byte `json:"stderr_bytes,omitempty"`
	ExitCode  int    `json:"exit_code"`
	Truncated bool   `json:"truncated,omitempty"`
	TimedOut  bool   `json:"timed_out,omitempty"`
	OOM       bool   `json:"oom,omitempty"`
}

func asOutcome(r sandbox.Result) outcome {
	return outcome{Stdout: []byte(r.Stdout), Stderr: []byte(r.Stderr), ExitCode: r.ExitCode, Truncated: r.Truncated, TimedOut: r.TimedOut, OOM: r.OOM}
}

func (o outcome) result() sandbox.Result {
	return sandbox.Result{Stdout: string(o.Stdout), Stderr: string(o.Stderr), ExitCode: o.ExitCode, Truncated: o.Truncated, TimedOut: o.TimedOut, OOM: o.OOM}
}

// Ready asks whether one could be started.
func (r *Remote) Ready(ctx context.Context) error { return r.ask(ctx, http.MethodGet, ready, nil, nil) }

// Create asks for one.
func (r *Remote) Create(ctx context.Context, spec sandbox.Spec) (is sandbox.Instance, err error) {
	if err := spec.Check(); err != nil {
		return is, err
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return is, err
	}
	err = r.ask(ctx, http.MethodPost, root, bytes.NewReader(body), &is)
	return is, err
}

// Status asks for one.
func (r *Remote) Status(ctx context.Context, id string) (is sandbox.Instance, err error) {
	if !sandbox.ValidID(id) {
		return is, sandbox.ErrUnknown
	}
	err = r.ask(ctx, http.MethodGet, root+"/"+id, nil, &is)
	return is, err
}

// List asks for all.
func (r *Remote) List(ctx context.Context) (all []sandbox.Instance, err error) {
	err = r.ask(ctx, http.MethodGet, root, nil, &all)
	return all, err
}

// Execute has a command run there. That nobody waits any more is seen by the connection.
func (r *Remote) Execute(ctx context.Context, id string, command sandbox.Command) (result sandbox.Result, err error) {
	if err := command.Check(); err != nil {
		return result, err
	}
	if !sandbox.ValidID(id) {
		return result, sandbox.ErrUnknown
	}
	asked, err := json.Marshal(execution{Argv: command.Argv, Folder: command.Folder, Timeout: command.Timeout, MaxOutput: command.MaxOutput, Stdin: command.Stdin != nil})
	if err != nil {
		return result, err
	}
	body := io.Reader(bytes.NewReader(asked))
	if command.Stdin != nil {
		body = io.MultiReader(body, command.Stdin)
	}
	var o outcome
	err = r.ask(ctx, http.MethodPost, root+"/"+id+"/exec", body, &o)
	return o.result(), err
}

// Put sends an archive.
func (r *Remote) Put(ctx context.Context, id, folder string, archive io.Reader) error {
	if !sandbox.ValidID(id) {
		return sandbox.ErrUnknown
	}
	return r.ask(ctx, http.MethodPut, root+"/"+id+"/files?folder="+url.QueryEscape(folder), archive, nil)
}

// Get receives one. What comes is looked through: the other process has read it from
// whoever runs in the sandbox.
func (r *Remote) Get(ctx context.Context, id, path string, archive io.Writer) error {
	if !sandbox.ValidID(id) {
		return sandbox.ErrUnknown
	}
	answer, err := r.send(ctx, http.MethodGet, root+"/"+id+"/files?path="+url.QueryEscape(path), nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return sandbox.CopyArchive(archive, answer.Body, sandbox.DefaultLimits)
}

// Destroy ends one.
func (r *Remote) Destroy(ctx context.Context, id string) error {
	if !sandbox.ValidID(id) {
		return nil
	}
	return r.ask(ctx, http.MethodDelete, root+"/"+id, nil, nil)
}

// ask reads the answer into the value, unless that is nil.
func (r *Remote) ask(ctx context.Context, method, path string, body io.Reader, into any) error {
	answer, err := r.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		return fmt.Errorf("read what the reaper answers: %w", err)
	}
	return nil
}

func (r *Remote) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://reaper"+path, body) //nolint:gosec // the connection is to the socket, whatever the address says
	if err != nil {
		return nil, err
	}
	answer, err := r.client.Do(request) //nolint:gosec // as above
	if err != nil {
		if failed, is := errors.AsType[*url.Error](err); is {
			err = failed.Err
		}
		return nil, fmt.Errorf("ask the reaper of sandboxes: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var f failure
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxRequest)).Decode(&f); err != nil {
		return nil, fmt.Errorf("the reaper of sandboxes answers %s", answer.Status)
	}
	return nil, f.error()
}
