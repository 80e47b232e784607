package codespaces

import (
	"io"
	"net"
	"os"
	"regexp"
	"time"
)

var userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// IsUserName reports whether the user to whom SSH goes may be called so.
func IsUserName(name string) bool { return userName.MatchString(name) }

// Stream is a connection that has no addresses and no deadlines: whoever wants it to end
// closes it.
type Stream struct {
	io.ReadWriteCloser

	// By is what it goes through.
	By string
}

var _ net.Conn = Stream{}

// LocalAddr returns what the stream goes through.
func (s Stream) LocalAddr() net.Addr { return streamAddress(s.By) }

// RemoteAddr returns what the stream goes through.
func (s Stream) RemoteAddr() net.Addr { return streamAddress(s.By) }

// SetDeadline returns [os.ErrNoDeadline].
func (Stream) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline returns [os.ErrNoDeadline].
func (Stream) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline returns [os.ErrNoDeadline].
func (Stream) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

type streamAddress string

func (a streamAddress) Network() string { return string(a) }
func (a streamAddress) String() string  { return "codespace" }
