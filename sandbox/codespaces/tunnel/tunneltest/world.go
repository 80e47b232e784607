// Package tunneltest plays the other side of a tunnel to a codespace, for tests: the tunnel
// service and the relay of Microsoft's, and the codespace behind them with what answers to
// gRPC. What is not GitHub's to document is as its own command line expects it.
package tunneltest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel"
)

// What opens tunnels.
const (
	ConnectToken = "connect-secret"
	PortsToken   = "ports-secret"

	cluster                = "usw2"
	serviceHost, relayHost = cluster + ".rel.tunnels.api.visualstudio.com", cluster + "-data.rel.tunnels.api.visualstudio.com"
)

// World is tunnels with codespaces behind them. What is to be otherwise is set before
// anybody connects.
type World struct {
	// SSH is where the SSH server listens, in each codespace at port 2222, which lets User
	// in; empty: the one who is called as the tunnel. StartSSH is called with the key that
	// it is to let in, and returns what the codespace says instead of that it does; empty:
	// it does.
	SSH      string
	User     string
	StartSSH func(key ssh.PublicKey) string

	// RelayAnswers and ServiceAnswers say how the relay and the tunnel service answer, if
	// they are set: an HTTP status, or 0 for no answer at all before the client is gone.
	RelayAnswers, ServiceAnswers func() (status int)
	// ServiceSays is what the service answers with, if it is set.
	ServiceSays string
	// RelayURI, and HostKeys in base64, are what the service says of the relay; empty: the
	// truth.
	RelayURI string
	HostKeys []string
	// Silent is true if the host forwards no port.
	Silent bool
	// Known are the ports that the service knows from the start.
	Known []int
	// Taken is true if the service says of a new port that somebody else had added it.
	Taken bool

	ctx    context.Context //nolint:containedctx // the test's
	server *httptest.Server
	signer ssh.Signer

	mu    sync.Mutex
	ports map[string]map[int]any // by tunnels
	open  map[net.Conn]bool
	asked []string
}

// Start starts one. What the tunnel leads to ends with the test.
func Start(t testing.TB) *World {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{ctx: t.Context(), ports: map[string]map[int]any{}, open: map[net.Conn]bool{}}
	if w.signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+serviceHost+"/tunnels/{tunnel}", w.serveTunnel)
	mux.HandleFunc("PUT "+serviceHost+"/tunnels/{tunnel}/ports/{port}", w.servePort)
	mux.HandleFunc(relayHost+"/client/{tunnel}", w.serveRelay)
	w.server = httptest.NewTLSServer(mux)
	t.Cleanup(func() {
		w.mu.Lock()
		for conn := range w.open {
			_ = conn.Close()
		}
		w.mu.Unlock()
		w.server.CloseClientConnections()
		w.server.Close()
	})
	return w
}

// Properties are what GitHub tells of a codespace with that tunnel.
func Properties(id string) tunnel.Properties {
	return tunnel.Properties{
		State: "Available", ServiceURI: "https://global.rel.tunnels.api.visualstudio.com/", TunnelID: id, ClusterID: cluster,
		ConnectToken: ConnectToken, PortsToken: PortsToken,
	}
}

// Transport leads to the world, whatever the host.
func (w *World) Transport() *http.Transport {
	trusted := x509.NewCertPool()
	trusted.AddCert(w.server.Certificate())
	transport := w.server.Client().Transport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.TLSClientConfig.RootCAs, transport.TLSClientConfig.ServerName = trusted, "example.com"
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.server.Listener.Addr().String())
	}
	return transport
}

// Asked are the requests that came, without their queries.
func (w *World) Asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.asked...)
}

// Open counts the connections that the relay has.
func (w *World) Open() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

// admits notes a request, and answers it if it does not show the token.
func (w *World) admits(out http.ResponseWriter, in *http.Request, token string, answers func() int) bool {
	w.mu.Lock()
	w.asked = append(w.asked, in.Method+" "+in.Host+in.URL.Path)
	w.mu.Unlock()
	if answers != nil {
		if status := answers(); status != http.StatusOK {
			if status == 0 {
				<-in.Context().Done()
				return false
			}
			out.WriteHeader(status)
			// What was sent, as a careless service might say it.
			write(out, map[string]any{"title": "Refused", "detail": in.Header.Get("Authorization")})
			return false
		}
	}
	if in.Header.Get("Authorization") != "Tunnel "+token {
		out.WriteHeader(http.StatusUnauthorized)
		return false
	}
	return true
}

// serveTunnel tells of the tunnel.
func (w *World) serveTunnel(out http.ResponseWriter, in *http.Request) {
	if !w.admits(out, in, PortsToken, w.ServiceAnswers) {
		return
	}
	if w.ServiceSays != "" {
		_, _ = out.Write([]byte(w.ServiceSays)) // whoever does not read it is gone
		return
	}
	id := in.PathValue("tunnel")
	relay, keys := w.RelayURI, w.HostKeys
	if relay == "" {
		relay = "wss://" + relayHost + "/client/" + id
	}
	if keys == nil {
		keys = []string{base64.StdEncoding.EncodeToString(w.signer.PublicKey().Marshal())}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ports := []any{}
	for _, known := range w.Known {
		ports = append(ports, map[string]any{"portNumber": known, "protocol": "http"})
	}
	for _, port := range w.ports[id] {
		ports = append(ports, port)
	}
	write(out, map[string]any{
		"tunnelId": id, "clusterId": cluster, "ports": ports,
		"endpoints": []any{map[string]any{"connectionMode": "TunnelRelay", "hostId": "host", "hostPublicKeys": keys, "clientRelayUri": relay}},
	})
}

// servePort adds a port.
func (w *World) servePort(out http.ResponseWriter, in *http.Request) {
	if !w.admits(out, in, PortsToken, nil) {
		return
	}
	port := map[string]any{}
	number, err := strconv.Atoi(in.PathValue("port"))
	if err != nil || json.NewDecoder(in.Body).Decode(&port) != nil || port["portNumber"] != float64(number) || in.URL.Query().Get("api-version") == "" {
		out.WriteHeader(http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.ports[in.PathValue("tunnel")]
	if of == nil {
		of = map[int]any{}
		w.ports[in.PathValue("tunnel")] = of
	}
	_, there := of[number]
	of[number] = port
	if there || w.Taken {
		out.WriteHeader(http.StatusConflict)
		return
	}
	write(out, port)
}

// serveRelay hands a client to the codespace.
func (w *World) serveRelay(out http.ResponseWriter, in *http.Request) {
	if !w.admits(out, in, ConnectToken, w.RelayAnswers) {
		return
	}
	socket, err := websocket.Accept(out, in, &websocket.AcceptOptions{Subprotocols: []string{"tunnel-relay-client"}})
	if err != nil {
		return // it has said so
	}
	if socket.Subprotocol() == "" {
		_ = socket.Close(websocket.StatusPolicyViolation, "what is spoken here is tunnel-relay-client")
		return
	}
	conn := websocket.NetConn(context.WithoutCancel(in.Context()), socket, websocket.MessageBinary)
	w.mu.Lock()
	w.open[conn] = true
	w.mu.Unlock()
	w.host(in.PathValue("tunnel"), conn)
	_ = socket.CloseNow()
	w.mu.Lock()
	delete(w.open, conn)
	w.mu.Unlock()
}

func write(out http.ResponseWriter, answer map[string]any) {
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		panic(http.ErrAbortHandler) // whoever asked is gone
	}
}
