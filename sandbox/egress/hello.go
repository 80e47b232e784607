package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
)

// encryptedClientHello is the extension behind which another name may be hidden.
const encryptedClientHello = 0xfe0d

var errSeen = errors.New("the ClientHello was seen")

// readHello reads a ClientHello, and returns all that it has read, with the name that is in
// it, in lower case, and whether another may be hidden behind that. hello is nil if there
// was none. Nothing is answered.
func readHello(ctx context.Context, c net.Conn, from io.Reader) (hello []byte, name string, hidden bool) {
	spoken := &overheard{Conn: c, from: from}
	seen := false
	// That of the standard library, which reassembles records and refuses doubles as servers do.
	_ = tls.Server(spoken, &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			seen, name = true, strings.ToLower(info.ServerName)
			hidden = slices.Contains(info.Extensions, encryptedClientHello)
			return nil, errSeen
		},
	}).HandshakeContext(ctx)
	if !seen {
		return nil, "", false
	}
	return spoken.read.Bytes(), name, hidden
}

// overheard keeps what is read, and says nothing.
type overheard struct {
	net.Conn

	from io.Reader
	read bytes.Buffer
}

func (o *overheard) Read(b []byte) (int, error) {
	n, err := o.from.Read(b)
	o.read.Write(b[:n])
	return n, err
}

func (o *overheard) Write(b []byte) (int, error) { return len(b), nil }
