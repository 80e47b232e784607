package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// Injection is a header with a secret in it, which a server is sent and the sandbox does not
// have. A request for http://host/ becomes one for https://host/ with the header, in place of
// any of that name which the sandbox sent. By CONNECT the host is reached without.
type Injection struct {
	// Host is one name, which the policy must let the sandbox reach at port 443.
	Host string
	// Header is its name, as Authorization, and Prefix what comes before the secret, as
	// "Bearer ".
	Header, Prefix string
	// Secret returns the secret when there is a request for it: at least 8 characters, all
	// of them printable. It must keep to ctx, and tell of its error itself: here nobody
	// looks into that. Without a secret nothing is sent.
	Secret func(ctx context.Context) (string, error)
}

// minSecret is how long a secret is at least: what is shorter cannot be masked without
// masking much else.
const minSecret = 8

var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	// printable may be sent in a header, and has no blank at its ends.
	printable = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)
	prefixed  = regexp.MustCompile(`^([!-~][ -~]*)?$`)
	// framing are headers that say where a message ends or who it is for.
	framing = []string{"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
)

// check is an error for a policy that contradicts itself.
func (p Policy) check() error {
	for _, d := range p.Deny {
		if !d.IsValid() || d.Addr().Is4In6() {
			return errors.New("a denied prefix is none; write IPv4 as 192.0.2.0/24")
		}
	}
	headers := map[[2]string]bool{}
	for _, i := range p.Injections {
		name := textproto.CanonicalMIMEHeaderKey(i.Header)
		host, err := policy.ParseHostname(i.Host)
		switch {
		case err != nil:
			return fmt.Errorf("inject a credential: %w", err)
		case host != i.Host:
			return fmt.Errorf("inject a credential: write the host as %s", host)
		case !headerName.MatchString(name) || strings.HasPrefix(name, "Proxy-") || slices.Contains(framing, name):
			return fmt.Errorf("inject a credential for %s: it cannot be sent as the header %q", host, i.Header)
		case !prefixed.MatchString(i.Prefix):
			return fmt.Errorf("inject a credential for %s: what is before the secret is not printable", host)
		case i.Secret == nil:
			return fmt.Errorf("inject a credential for %s: there is nobody to ask for it", host)
		case headers[[2]string{host, name}]:
			return fmt.Errorf("inject a credential for %s: there are two for %s", host, name)
		}
		headers[[2]string{host, name}] = true
		if err := p.permits(target{name: host, port: 443}); err != nil {
			return fmt.Errorf("inject a credential: %w", err)
		}
	}
	return nil
}

// injections are those for a plain request to the target.
func (p Policy) injections(t target) []Injection {
	var found []Injection
	for _, i := range p.Injections {
		if i.Host == t.name && t.port == 80 {
			found = append(found, i)
		}
	}
	return found
}

// given is what a server is sent that the sandbox does not have.
type given struct {
	headers map[string]string
	// secrets are the parts of them that are.
	secrets []string
}

// obtain asks for the secrets.
func (p *Proxy) obtain(ctx context.Context, t target, injections []Injection) (given, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.limits.Reach, errReach)
	defer cancel()
	g := given{headers: map[string]string{}}
	for _, i := range injections {
		secret, err := i.Secret(ctx)
		if err != nil || len(secret) < minSecret || !printable.MatchString(secret) {
			return given{}, failed(t, "no credential", "there is no credential for "+t.host()+" at the moment, and without it nothing is sent", nil)
		}
		g.headers[textproto.CanonicalMIMEHeaderKey(i.Header)] = i.Prefix + secret
		g.secrets = append(g.secrets, secret)
	}
	slices.SortFunc(g.secrets, func(a, b string) int { return len(b) - len(a) }) // one may be part of another
	return g, nil
}

// encrypt speaks TLS with whoever proves to be the target.
func (p *Proxy) encrypt(outside net.Conn, t target) encrypted {
	return encrypted{tls.Client(outside, &tls.Config{
		ServerName: t.name, RootCAs: p.config.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Time: p.config.Now,
	})}
}

// encrypted closes without a word, for which it would wait.
type encrypted struct{ *tls.Conn }

func (e encrypted) Close() error { return e.NetConn().Close() }

// mask writes an answer without the secrets: where one stands, there are as many asterisks.
// It holds back what may be the beginning of one.
type mask struct {
	http.ResponseWriter

	secrets []string
	held    []byte
}

// Unwrap is for flushing.
func (m *mask) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// WriteHeader masks what is in the headers, of each status.
func (m *mask) WriteHeader(status int) {
	m.headers()
	m.ResponseWriter.WriteHeader(status)
}

func (m *mask) headers() {
	for _, values := range m.Header() {
		for i := range values {
			for _, s := range m.secrets {
				values[i] = strings.ReplaceAll(values[i], s, strings.Repeat("*", len(s)))
			}
		}
	}
}

func (m *mask) Write(b []byte) (int, error) {
	if len(m.secrets) == 0 {
		return m.ResponseWriter.Write(b)
	}
	m.held = append(m.held, b...)
	held := 0
	for _, s := range m.secrets {
		held = max(held, begun(m.held, s))
	}
	ready := len(m.held) - held
	for _, s := range m.secrets {
		blot(m.held, ready, s)
	}
	_, err := m.ResponseWriter.Write(m.held[:ready])
	m.held = append(m.held[:0], m.held[ready:]...)
	return len(b), err
}

// finish writes what was held back, and masks trailers.
func (m *mask) finish() {
	m.headers()
	for _, s := range m.secrets {
		blot(m.held, len(m.held), s)
	}
	if len(m.held) > 0 {
		_, _ = m.ResponseWriter.Write(m.held)
	}
}

// blot overwrites each occurrence of a secret that begins before the end.
func blot(text []byte, end int, secret string) {
	for at := 0; ; at += len(secret) {
		next := bytes.Index(text[at:], []byte(secret))
		if next < 0 || at+next >= end {
			return
		}
		at += next
		copy(text[at:], strings.Repeat("*", len(secret)))
	}
}

// begun is the length of the longest end of the text that a secret begins with.
func begun(text []byte, secret string) int {
	for n := min(len(secret)-1, len(text)); n > 0; n-- {
		if string(text[len(text)-n:]) == secret[:n] {
			return n
		}
	}
	return 0
}
