package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// tries is how many of a name's addresses are dialed.
	tries = 4
	// keepAlive is how often a silent connection is probed.
	keepAlive = 30 * time.Second
)

var errReach = errors.New("finding and greeting a server took too long")

// reach opens a connection to a target that the policy permits, or returns a *refusal. It
// looks a name up once, and dials what it has looked at.
func (p *Proxy) reach(ctx context.Context, t target) (net.Conn, error) {
	addresses := []netip.Addr{t.address}
	if t.name != "" {
		var err error
		if addresses, err = p.config.Resolve(ctx, t.name); err != nil {
			return nil, failed(t, "no address", "the name "+t.name+" could not be looked up", err)
		}
	}
	if len(addresses) == 0 {
		return nil, failed(t, "no address", "the name "+t.name+" has no address", nil)
	}
	for _, a := range addresses {
		if why := p.policy.shut(a); why != "" {
			// Which address it is, is nothing for the sandbox.
			return nil, &refusal{
				status: 403, target: t, reason: "not public", cause: fmt.Errorf("%s is %s", a, why),
				told: "this sandbox may not reach " + t.String() + ": not all of its addresses are public",
			}
		}
	}
	addresses = addresses[:min(len(addresses), tries)]
	var failures []error
	for _, a := range addresses {
		conn, err := p.try(ctx, netip.AddrPortFrom(a, t.port), len(addresses))
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, failed(t, "unreachable", t.String()+" could not be reached", errors.Join(failures...))
}

// try dials one address of several in its part of the time.
func (p *Proxy) try(ctx context.Context, address netip.AddrPort, of int) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.limits.Reach/time.Duration(of), errReach)
	defer cancel()
	return p.config.Dial(ctx, address)
}

// by returns a function that looks exactly one name up: the dot at its end keeps the host's
// search domains away.
func by(lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)) func(ctx context.Context, host string) ([]netip.Addr, error) {
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		addresses, err := lookup(ctx, "ip", host+".")
		if err != nil {
			return nil, err
		}
		for i, a := range addresses {
			addresses[i] = a.Unmap() // it writes IPv4 as mapped
		}
		return addresses, nil
	}
}

// dial opens a TCP connection to any address but the host's own, behind which is what
// listens on all of them.
func dial(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read the host's own addresses: %w", err)
	}
	for _, o := range own {
		if prefix, err := netip.ParsePrefix(o.String()); err != nil || prefix.Addr() == address.Addr() {
			return nil, fmt.Errorf("%s is, or may be, the host's own address", address.Addr())
		}
	}
	return (&net.Dialer{KeepAlive: keepAlive}).DialContext(ctx, "tcp", address.String())
}
