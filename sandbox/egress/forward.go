package egress

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
)

var errEncoded = errors.New("the answer is compressed, though nobody asked for that")

// forward answers a plain request with what the server says to it. An error is a *refusal,
// and comes before anything was answered.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, c *conn) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	switch {
	case r.Method == http.MethodTrace:
		return deny(t, "form", "TRACE is not sent: it would show what is added on the way")
	case t.port != 80 && !p.policy.Any:
		return deny(t, "port", "plain requests go to port 80 alone")
	case !plainUpgrade(r.Header):
		return deny(t, "form", "connections are not upgraded here: a WebSocket goes by CONNECT, as wss://")
	}
	injections := p.policy.injections(t)
	if len(injections) > 0 {
		t.port = 443
	}
	if err := p.policy.permits(t); err != nil {
		return err
	}
	outside, err := p.greeted(r.Context(), t, len(injections) > 0)
	if err != nil {
		return err
	}
	defer func() { _ = outside.Close() }()
	c.closeWith(outside)
	given, err := p.obtain(r.Context(), t, injections)
	if err != nil {
		return err
	}
	p.journal.allow(t)
	masked := &mask{ResponseWriter: w, secrets: given.secrets}
	p.exchange(masked, r, t, given, outside)
	masked.finish()
	return nil
}

// plainUpgrade reports whether there is nothing to upgrade to but HTTP/2, which clients
// offer beside what they ask for, and which is left out.
func plainUpgrade(header http.Header) bool {
	for _, to := range header.Values("Upgrade") {
		if !strings.EqualFold(to, "h2c") {
			return false
		}
	}
	return true
}

// greeted returns a connection on which HTTP is spoken: through TLS, to the right server, if
// it is to be given a secret.
func (p *Proxy) greeted(ctx context.Context, t target, secretly bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.limits.Reach, errReach)
	defer cancel()
	outside, err := p.reach(ctx, t)
	if err != nil || !secretly {
		return outside, err
	}
	encrypted := p.encrypt(outside, t)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(failed(t, "TLS", "no safe connection to "+t.String()+" could be made, and without one it is given no credential", err), outside.Close())
	}
	return encrypted, nil
}

// exchange sends the request as the proxy's own, and streams the answer.
func (p *Proxy) exchange(w http.ResponseWriter, r *http.Request, t target, given given, outside net.Conn) {
	r.Header.Del("Upgrade")          // or else the request would be sent on as one for it
	w.Header()["Content-Type"] = nil // net/http is not to guess one where the server gives none
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { rewrite(pr, t, given) },
		Transport:     p.transport(outside),
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // it would quote answers
		ModifyResponse: func(answer *http.Response) error {
			if encoding := answer.Header.Get("Content-Encoding"); len(given.secrets) > 0 && encoding != "" && !strings.EqualFold(encoding, "identity") {
				return errEncoded
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { p.tell(w, unanswered(t, err)) },
	}
	proxy.ServeHTTP(w, r)
}

// rewrite makes the proxy's request of the sandbox's.
func rewrite(pr *httputil.ProxyRequest, t target, given given) {
	out := pr.Out
	out.URL.RawQuery = pr.In.URL.RawQuery // ReverseProxy leaves out what it cannot parse
	out.URL.Host, out.Host = t.String(), t.String()
	if t.name != "" && (t.port == 80 || len(given.secrets) > 0) {
		out.Host = t.name
	}
	out.Trailer = nil // in which servers may look for headers
	for name := range out.Header {
		if strings.HasPrefix(name, "Proxy-") {
			out.Header.Del(name)
		}
	}
	out.Header.Del("Expect")
	out.Header.Del("Http2-Settings")
	if len(given.secrets) > 0 {
		// So that the answer can be looked through: not compressed, and not in pieces, of
		// which none would have all of the secret.
		out.Header.Set("Accept-Encoding", "identity")
		out.Header.Del("Range")
		out.Header.Del("If-Range")
	}
	for name, value := range given.headers {
		out.Header.Set(name, value)
	}
}

// transport speaks HTTP on one connection, for one request. To it nothing is encrypted: that
// is below.
func (p *Proxy) transport(outside net.Conn) *http.Transport {
	return &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return secondly(outside), nil },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: headSize,
		ResponseHeaderTimeout:  p.limits.Idle,
	}
}

// unanswered is a refusal for a request that was sent. Its cause is not told: errors of
// net/http quote what they could not parse.
func unanswered(t target, err error) error {
	timeout, is := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errEncoded):
		return failed(t, "encoded", "the answer of "+t.String()+" is compressed, so that it cannot be looked through for the credential", nil)
	case is && timeout.Timeout():
		return &refusal{status: http.StatusGatewayTimeout, target: t, reason: "no answer", told: t.String() + " did not answer in time"}
	default:
		return failed(t, "no answer", t.String()+" gave no answer that could be read", nil)
	}
}

// second is a connection on which the server speaks once it is spoken to. If one spoke
// first, net/http would print that to the log of the whole process.
type second struct {
	net.Conn

	once  sync.Once
	first chan struct{}
}

func secondly(c net.Conn) *second { return &second{Conn: c, first: make(chan struct{})} }

func (s *second) Read(b []byte) (int, error) {
	<-s.first
	return s.Conn.Read(b)
}

func (s *second) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.first) })
	return s.Conn.Write(b)
}

func (s *second) Close() error {
	s.once.Do(func() { close(s.first) })
	return s.Conn.Close()
}
