package kubernetes

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	gorilla "github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	protocol "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// serveExec answers a request for a command in both of Kubernetes' protocols.
func serveExec(w http.ResponseWriter, r *http.Request, c command, run func(command) (int, error)) {
	if gorilla.IsWebSocketUpgrade(r) {
		serveWebSocket(w, r, c, run)
		return
	}
	serveSPDY(w, r, c, run)
}

// These are of a command that runs on, and of which the connection breaks, is closed in
// good order with nothing said, and with the word that it ended well, as an API server has
// it whose own connection to the node broke.
var (
	errCut     = errors.New("cut")
	errHushed  = errors.New("hushed")
	errClaimed = errors.New("claimed")
)

// outcome is what is said at the end on the stream for errors.
func outcome(code int, err error) []byte {
	status := metav1.Status{Status: metav1.StatusSuccess}
	switch {
	case errors.Is(err, errClaimed):
	case err != nil:
		status = metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
	case code != 0:
		status = metav1.Status{
			Status: metav1.StatusFailure, Reason: protocol.NonZeroExitCodeReason,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: protocol.ExitCodeCauseType, Message: strconv.Itoa(code)}}},
		}
	}
	body, _ := json.Marshal(status)
	return body
}

// channel is one stream of several in a WebSocket.
type channel struct {
	id   byte
	conn *gorilla.Conn
	mu   *sync.Mutex
}

func (c channel) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	message, err := c.conn.NextWriter(gorilla.BinaryMessage)
	if err != nil {
		return 0, err
	}
	for _, part := range [][]byte{{c.id}, p} {
		if _, err := message.Write(part); err != nil {
			return 0, err
		}
	}
	return len(p), message.Close()
}

func serveWebSocket(w http.ResponseWriter, r *http.Request, c command, run func(command) (int, error)) {
	upgrader := gorilla.Upgrader{Subprotocols: []string{protocol.StreamProtocolV5Name, protocol.StreamProtocolV4Name}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	var mu sync.Mutex
	stdin, typed := io.Pipe()
	c.stdin, c.stdout, c.stderr = stdin, channel{protocol.StreamStdOut, conn, &mu}, channel{protocol.StreamStdErr, conn, &mu}
	if r.URL.Query().Get("stdin")+r.URL.Query().Get("input") == "" {
		_ = typed.Close()
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			_, message, err := conn.ReadMessage()
			switch {
			case err != nil:
				typed.CloseWithError(err)
				return
			case len(message) == 2 && message[0] == protocol.StreamClose && message[1] == protocol.StreamStdIn:
				_ = typed.Close()
			case len(message) > 0 && message[0] == protocol.StreamStdIn:
				_, _ = typed.Write(message[1:])
			}
		}
	})
	code, err := run(c)
	_ = stdin.Close()
	if errors.Is(err, errCut) {
		_ = conn.Close()
		reading.Wait()
		return
	}
	if !errors.Is(err, errHushed) {
		_, _ = channel{protocol.StreamErr, conn, &mu}.Write(outcome(code, err))
	}
	mu.Lock()
	_ = conn.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, ""))
	mu.Unlock()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second)) // the other's farewell
	reading.Wait()
}

func serveSPDY(w http.ResponseWriter, r *http.Request, c command, run func(command) (int, error)) {
	if _, err := httpstream.Handshake(r, w, []string{protocol.StreamProtocolV4Name}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query, want := r.URL.Query(), 1
	for _, names := range [][2]string{{"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}} {
		if query.Get(names[0]) != "" || query.Get(names[1]) != "" {
			want++
		}
	}
	arrived := make(chan httpstream.Stream, want)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, replied <-chan struct{}) error {
		select {
		case arrived <- s:
			return nil
		default:
			return errors.New("one stream too many")
		}
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	var said httpstream.Stream
	c.stdin, c.stdout, c.stderr = eof{}, io.Discard, io.Discard
	for range want {
		select {
		case s := <-arrived:
			switch s.Headers().Get(corev1.StreamType) {
			case corev1.StreamTypeStdin:
				c.stdin = s
			case corev1.StreamTypeStdout:
				c.stdout = s
				defer s.Close()
			case corev1.StreamTypeStderr:
				c.stderr = s
				defer s.Close()
			case corev1.StreamTypeError:
				said = s
				defer s.Close()
			}
		case <-conn.CloseChan():
			return
		}
	}
	code, err := run(c)
	switch {
	case errors.Is(err, errCut):
		_ = conn.Close()
	case !errors.Is(err, errHushed):
		_, _ = said.Write(outcome(code, err))
	}
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
