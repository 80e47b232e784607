package kubernetes

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
)

// streams are what a command reads and writes; a nil one is none.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// stream runs a command in a container and returns once its outputs have ended, or ctx.
// Then nothing is read or written any more. The command runs on when ctx ends. An exit
// code other than 0 is an [exec.CodeExitError]; nil tells nothing, see [cluster.attended].
func (c *cluster) stream(ctx context.Context, pod, container string, argv []string, s streams) error {
	shut := make(chan struct{})
	var using sync.RWMutex // client-go's goroutines may outlive the call
	defer func() {
		using.Lock()
		close(shut)
		using.Unlock()
	}()
	request := c.api.Get().AbsPath(c.path(pods, pod, "exec")...).Param("container", container)
	for _, argument := range argv {
		request = request.Param("command", argument)
	}
	options := remotecommand.StreamOptions{}
	if s.stdin != nil {
		request, options.Stdin = request.Param("stdin", "true"), &source{from: s.stdin, shut: shut}
	}
	if s.stdout != nil {
		request, options.Stdout = request.Param("stdout", "true"), &sink{to: s.stdout, shut: shut, using: &using}
	}
	if s.stderr != nil {
		request, options.Stderr = request.Param("stderr", "true"), &sink{to: s.stderr, shut: shut, using: &using}
	}
	executor, err := c.executor(request.URL())
	if err != nil {
		return err
	}
	// It logs what the error says too, and what is no fault, on the process's own output.
	err = executor.StreamWithContext(klog.NewContext(ctx, klog.Logger{}), options)
	if refusal := upgradeRefused(err); refusal != nil {
		return explain(refusal)
	}
	return err
}

// executor speaks WebSocket, and SPDY with an API server that does not.
func (c *cluster) executor(at *url.URL) (remotecommand.Executor, error) {
	socket, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, at.String())
	if err != nil {
		return nil, err
	}
	older, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, at)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(socket, older, func(err error) bool {
		return httpstream.IsHTTPSProxyError(err) || httpstream.IsUpgradeFailure(err) && upgradeRefused(err) == nil
	})
}

// upgradeRefused is what the API server says to a stream that it would not have in any
// protocol.
func upgradeRefused(err error) error {
	failure, is := errors.AsType[*httpstream.UpgradeFailureError](err)
	if is && (apierrors.IsForbidden(failure.Cause) || apierrors.IsNotFound(failure.Cause) || apierrors.IsUnauthorized(failure.Cause)) {
		return failure.Cause
	}
	return nil
}

// sink and source are what client-go gets of a command's streams, until it is over.
type sink struct {
	to    io.Writer
	shut  <-chan struct{}
	using *sync.RWMutex
	mu    sync.Mutex
}

func (s *sink) Write(p []byte) (int, error) {
	s.using.RLock()
	defer s.using.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed(s.shut) {
		return 0, io.ErrClosedPipe
	}
	return s.to.Write(p)
}

type source struct {
	from io.Reader
	shut <-chan struct{}
}

func (s *source) Read(p []byte) (int, error) {
	if closed(s.shut) {
		return 0, io.EOF
	}
	return s.from.Read(p)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
