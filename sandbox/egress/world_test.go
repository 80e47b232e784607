package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything here may take that takes no time.
const patience = 10 * time.Second

// world is a sandbox's socket, a proxy on it, and an internet that is made up: names, and
// servers on loopback that are public addresses there.
type world struct {
	t      testing.TB
	proxy  *egress.Proxy
	socket string
	stop   context.CancelFunc
	ended  chan error
	log    *lines

	mu sync.Mutex
	// names has the answers to each lookup of a name in turn; the last one stays.
	names   map[string][][]netip.Addr
	servers map[netip.AddrPort]string
	lookups []string
	dialed  []netip.AddrPort
	// wrap is around connections to servers, if it is there.
	wrap func(net.Conn) net.Conn
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// events are the lines of one event, each as host:port and reason.
func (l *lines) events(event string) []string {
	var found []string
	for text := range strings.Lines(l.String()) {
		var line struct {
			Event, Sandbox, Host, Reason string
			Port                         int
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Sandbox != "box" {
			panic("a line of the log is none: " + text)
		}
		if line.Event != event {
			continue
		}
		text := line.Reason
		if line.Host != "" {
			text = strings.TrimSpace(fmt.Sprintf("%s:%d %s", line.Host, line.Port, line.Reason))
		}
		found = append(found, text)
	}
	return found
}

func hosts(t testing.TB, texts ...string) []policy.EgressHost {
	t.Helper()
	var hosts []policy.EgressHost
	for _, text := range texts {
		host, err := policy.ParseEgressHost(text)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, host)
	}
	return hosts
}

func addresses(texts ...string) []netip.Addr {
	var found []netip.Addr
	for _, text := range texts {
		found = append(found, netip.MustParseAddr(text))
	}
	return found
}

const publicAddress = "93.184.216.34"

// newWorld starts a proxy that lets out api.example.com and what is below files.example.com.
func newWorld(t testing.TB, change func(*egress.Config)) *world {
	t.Helper()
	w := &world{t: t, log: &lines{}, ended: make(chan error, 1), names: map[string][][]netip.Addr{}, servers: map[netip.AddrPort]string{}}
	config := egress.Config{
		Sandbox: "box",
		Policy:  egress.Policy{Hosts: hosts(t, "api.example.com", "*.files.example.com")},
		Resolve: w.resolve,
		Dial:    w.dial,
		Now:     time.Now,
		Log:     zerolog.New(w.log),
	}
	if change != nil {
		change(&config)
	}
	proxy, err := egress.New(config)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "egress") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	w.proxy, w.socket = proxy, filepath.Join(folder, "proxy.sock")
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() { w.ended <- proxy.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-w.ended:
			if err != nil {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("it does not end")
		}
	})
	return w
}

func (w *world) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups = append(w.lookups, host)
	answers := w.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		w.names[host] = answers[1:]
	}
	return answers[0], nil
}

func (w *world) dial(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, address)
	server, is := w.servers[address]
	w.mu.Unlock()
	if !is {
		return nil, fmt.Errorf("dial %s: nobody is there", address)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err == nil && w.wrap != nil {
		c = w.wrap(c)
	}
	return c, err
}

// name gives a name its addresses, for each lookup its own.
func (w *world) name(name string, answers ...[]netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = answers
}

// at has a server answer at a port of the public address, and gives that to the name.
func (w *world) at(name string, port uint16, server string) {
	w.name(name, addresses(publicAddress))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[netip.AddrPortFrom(netip.MustParseAddr(publicAddress), port)] = server
}

func (w *world) dials() []netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.dialed)
}

// connect is a connection from inside the sandbox.
func (w *world) connect() *net.UnixConn {
	w.t.Helper()
	c, err := net.Dial("unix", w.socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.UnixConn)
}

// say sends bytes and returns the status of the answer, 0 for none, and what it says.
func (w *world) say(text string) (status int, told string) {
	w.t.Helper()
	c := w.connect()
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil && !broken(err) {
		w.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, ""
	}
	// An answer to CONNECT is read to here, or else the other side would be waited for.
	if response.StatusCode == http.StatusOK && strings.HasPrefix(text, "CONNECT") {
		return response.StatusCode, ""
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Errorf("the answer to %q breaks off: %v", text, err)
	}
	return response.StatusCode, string(body)
}

// broken reports whether the other side has closed.
func broken(err error) bool {
	_, is := errors.AsType[*net.OpError](err)
	return is && !errors.Is(err, os.ErrDeadlineExceeded)
}

const established = "HTTP/1.1 200 Connection Established\r\n\r\n"

// tunnel opens one, which must be possible.
func (w *world) tunnel(target string) *net.UnixConn {
	w.t.Helper()
	c := w.connect()
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		w.t.Fatal(err)
	}
	got := make([]byte, len(established))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != established {
		rest, _ := io.ReadAll(c)
		w.t.Fatalf("%s: %q, %v", target, string(got[:n])+string(rest), err)
	}
	return c
}

// client goes through the proxy as programs do that are told of it by HTTP_PROXY.
func (w *world) client(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:3128"}),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// echoes is a TCP server that sends back what it gets, and ends when that does.
func echoes(t testing.TB) string {
	t.Helper()
	return serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

// serve answers each TCP connection with a function.
func serve(t testing.TB, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				answer(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// site is a web server.
func site(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// safeSite is one with a certificate for the name, and who to verify it by.
func safeSite(t testing.TB, name string, handler http.HandlerFunc) (address string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test"}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(made)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{made}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots = x509.NewCertPool()
	roots.AddCert(certificate)
	return server.Listener.Addr().String(), roots
}

// captureStandardLog has what net/http prints to the log of the whole process.
func captureStandardLog(t testing.TB) *lines {
	t.Helper()
	said := &lines{}
	before := log.Writer()
	log.SetOutput(said)
	t.Cleanup(func() { log.SetOutput(before) })
	return said
}

func directly(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
