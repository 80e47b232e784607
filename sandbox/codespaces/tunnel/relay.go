package tunnel

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/coder/websocket"
	"github.com/microsoft/dev-tunnels/go/tunnels"
	"github.com/microsoft/dev-tunnels/go/tunnels/ssh/messages"
	"golang.org/x/crypto/ssh"
)

const (
	// apiVersion is that of the tunnel service which the library speaks.
	apiVersion = "2023-09-27-preview"
	// subprotocol is what clients and relays speak: the SSH server is the codespace's host.
	subprotocol = "tunnel-relay-client"
	// refreshPorts asks the host to look which ports there are.
	refreshPorts = "RefreshPorts"
	// internalLabel is how GitHub's programs mark ports that people are not shown.
	internalLabel = "InternalPort"
)

// relay is an open tunnel.
type relay struct {
	service *tunnels.Manager
	tunnel  *tunnels.Tunnel

	conn ssh.Conn
	// running is what Close waits for.
	running sync.WaitGroup

	mu sync.Mutex
	// forwarded are the ports that the host lets be connected to; changed is closed and
	// made anew with each.
	forwarded map[uint32]bool
	changed   chan struct{}
}

// options are what the tunnel service is asked with.
func options() *tunnels.TunnelRequestOptions {
	return &tunnels.TunnelRequestOptions{IncludePorts: true}
}

// open opens the tunnel. The relay outlives ctx.
func (d *Dialer) open(ctx context.Context, at Properties) (*relay, error) {
	client := &http.Client{Transport: held{ctx, d.config.Hosts, d.config.Transport}}
	address, err := url.Parse(at.ServiceURI)
	if err != nil {
		return nil, errors.New("the address of its tunnel service cannot be read")
	}
	service, err := tunnels.NewManager([]tunnels.UserAgent{{Name: "portcullis"}}, nil, address, client, apiVersion)
	if err != nil {
		return nil, err
	}
	r := &relay{service: service, forwarded: map[uint32]bool{}, changed: make(chan struct{})}
	known := &tunnels.Tunnel{TunnelID: at.TunnelID, ClusterID: at.ClusterID, AccessTokens: map[tunnels.TunnelAccessScope]string{
		tunnels.TunnelAccessScopeConnect: at.ConnectToken, tunnels.TunnelAccessScopeManagePorts: at.PortsToken,
	}}
	if r.tunnel, err = service.GetTunnel(ctx, known, options()); err != nil {
		return nil, fmt.Errorf("ask for the tunnel: %w", err)
	}
	r.tunnel.TunnelID, r.tunnel.ClusterID, r.tunnel.AccessTokens = known.TunnelID, known.ClusterID, known.AccessTokens
	return r, r.connect(ctx, client)
}

// connect connects to the relay, and by it to the host.
func (r *relay) connect(ctx context.Context, client *http.Client) error {
	ends := slices.DeleteFunc(slices.Clone(r.tunnel.Endpoints), func(e tunnels.TunnelEndpoint) bool { return e.ClientRelayURI == "" })
	if len(ends) != 1 {
		return fmt.Errorf("the tunnel has %d hosts, and not one", len(ends))
	}
	socket, _, err := websocket.Dial(ctx, ends[0].ClientRelayURI, &websocket.DialOptions{ //nolint:bodyclose // the library does
		HTTPClient: client, Subprotocols: []string{subprotocol},
		HTTPHeader: http.Header{"Authorization": {"Tunnel " + r.tunnel.AccessTokens[tunnels.TunnelAccessScopeConnect]}},
	})
	if err != nil {
		return fmt.Errorf("connect to the tunnel's relay: %w", err)
	}
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	conn := abrupt{websocket.NetConn(lasting, socket, websocket.MessageBinary), socket, end}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	made, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
		User:            "tunnel", // whoever has come this far has shown the token
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error { return isOf(ends[0], key) },
	})
	if err != nil {
		return errors.Join(context.Cause(ctx), fmt.Errorf("connect to the codespace's host: %w", err), conn.Close())
	}
	r.conn = made
	r.running.Go(func() { r.answer(requests) })
	r.running.Go(func() {
		for asked := range channels {
			_ = asked.Reject(ssh.Prohibited, "nothing is served here")
		}
	})
	return nil
}

// isOf returns an error for the key of another host than the tunnel service knows, if it
// does.
func isOf(end tunnels.TunnelEndpoint, key ssh.PublicKey) error {
	if len(end.HostPublicKeys) == 0 || slices.Contains(end.HostPublicKeys, base64.StdEncoding.EncodeToString(key.Marshal())) {
		return nil
	}
	return errors.New("the host has another key than the tunnel service says")
}

// abrupt is a connection over WebSocket that says no good-bye, which might take a while.
type abrupt struct {
	net.Conn

	socket *websocket.Conn
	end    context.CancelFunc
}

// Close ends what reads and writes.
func (a abrupt) Close() error {
	a.end()
	_ = a.socket.CloseNow() // it is closed, whatever it says
	return nil
}

// answer answers what the host asks for: to forward its ports.
func (r *relay) answer(requests <-chan *ssh.Request) {
	for request := range requests {
		asked := &messages.PortForwardRequest{}
		if request.Type != messages.PortForwardRequestType || asked.Unmarshal(bytes.NewReader(request.Payload)) != nil || asked.Port() == 0 || asked.Port() > 1<<16-1 {
			_ = request.Reply(false, nil)
			continue
		}
		told, err := messages.NewPortForwardSuccess(asked.Port()).Marshal()
		_ = request.Reply(err == nil, told) // a connection that is over says so elsewhere
		r.mu.Lock()
		r.forwarded[asked.Port()] = true
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
	}
}

// endWith closes the tunnel with ctx, unless what it returns is called before, and returns
// true.
func (r *relay) endWith(ctx context.Context) (over func() bool) {
	return context.AfterFunc(ctx, func() { _ = r.conn.Close() })
}

// Close ends the tunnel, and waits for what goes through it.
func (r *relay) Close() error {
	_ = r.conn.Close() // it is over, whatever it says
	r.running.Wait()
	return nil
}

// forward connects to a port of the codespace's. It ends if the tunnel is closed, or with
// ctx.
func (r *relay) forward(ctx context.Context, port uint16) (ssh.Channel, error) {
	if err := r.offer(ctx, port); err != nil {
		return nil, fmt.Errorf("have port %d forwarded: %w", port, err)
	}
	done, _, err := r.conn.SendRequest(refreshPorts, true, nil)
	if err == nil && !done {
		err = errors.New("it does not")
	}
	if err != nil {
		return nil, fmt.Errorf("have the host look at its ports: %w", err)
	}
	if err := r.wait(ctx, port); err != nil {
		return nil, fmt.Errorf("wait for port %d: %w", port, err)
	}
	request, err := messages.NewPortForwardChannel(0, "127.0.0.1", uint32(port), "", 0).Marshal()
	if err != nil {
		return nil, err
	}
	channel, requests, err := r.conn.OpenChannel(messages.PortForwardChannelType, request)
	if err != nil {
		return nil, fmt.Errorf("connect to port %d: %w", port, err)
	}
	r.running.Go(func() { ssh.DiscardRequests(requests) })
	return channel, nil
}

// offer adds a port to the tunnel, if it does not have it.
func (r *relay) offer(ctx context.Context, port uint16) error {
	is := func(p tunnels.TunnelPort) bool { return p.PortNumber == port }
	if slices.ContainsFunc(r.tunnel.Ports, is) {
		return nil
	}
	added := tunnels.NewTunnelPort(port, "", "", tunnels.TunnelProtocolHttp) // as all are
	added.Labels = []string{internalLabel}
	_, err := r.service.CreateTunnelPort(ctx, r.tunnel, added, options())
	if err == nil {
		return nil
	}
	// Somebody else may have added it.
	now, failed := r.service.GetTunnel(ctx, r.tunnel, options())
	if failed != nil || !slices.ContainsFunc(now.Ports, is) {
		return errors.Join(err, failed)
	}
	return nil
}

// wait returns once the host lets a port be connected to.
func (r *relay) wait(ctx context.Context, port uint16) error {
	for {
		r.mu.Lock()
		there, changed := r.forwarded[uint32(port)], r.changed
		r.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
