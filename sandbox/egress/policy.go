package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// Policy is what a sandbox may reach. The zero Policy is nothing.
type Policy struct {
	// Hosts may be reached at ports 80 and 443.
	Hosts []policy.EgressHost
	// Any adds every host with a public address, and every TCP port but 25.
	Any bool
	// Deny is never reached, whatever its name, beside all that is not public and what the
	// host's interfaces have: networks of the operator's with public addresses, say.
	Deny []netip.Prefix
	// Injections are the credentials that are given on the way.
	Injections []Injection
}

// mailPort is where mail is sent: what a sandbox would send there is spam.
const mailPort = 25

// remedy ends a sentence on what is not listed.
const remedy = "to let it, add the host to sandbox.constraints.egress in the policy file"

// target is what a request is for.
type target struct {
	// name is as [policy.ParseHostname] returns it; empty for an address.
	name    string
	address netip.Addr
	// port is above zero.
	port uint16
}

func (t target) host() string {
	if t.name != "" {
		return t.name
	}
	return t.address.String()
}

// String is the host with its port.
func (t target) String() string {
	if t.name != "" {
		return fmt.Sprintf("%s:%d", t.name, t.port)
	}
	return netip.AddrPortFrom(t.address, t.port).String()
}

// parseTarget reads host:port; without a port it is the given one, unless that is 0. There
// is one spelling of an address, that of [netip.ParseAddr]; its error is a sentence.
func parseTarget(authority string, port uint16) (target, error) {
	host, digits, found := authority, "", false
	if at := strings.LastIndexByte(authority, ':'); at > strings.LastIndexByte(authority, ']') {
		host, digits, found = authority[:at], authority[at+1:], true
	}
	switch {
	case found && digits != "":
		n, err := parsePort(digits)
		if err != nil {
			return target{}, err
		}
		port = n
	case port == 0:
		return target{}, errors.New("a port is missing; write host:443")
	}
	literal, bracketed := host, strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if bracketed {
		literal = host[1 : len(host)-1]
	}
	if address, err := netip.ParseAddr(literal); err == nil && address.Is6() == bracketed {
		return target{address: address, port: port}, nil
	}
	name, err := policy.ParseHostname(host)
	if err != nil {
		return target{}, err
	}
	return target{name: name, port: port}, nil
}

// parsePort takes digits alone, and no zero before them.
func parsePort(digits string) (uint16, error) {
	var n uint32
	for i, c := range []byte(digits) {
		if c < '0' || c > '9' || i > 4 || (i == 0 && c == '0') {
			return 0, errors.New("the port is no number from 1 to 65535")
		}
		n = 10*n + uint32(c-'0')
	}
	if n == 0 || n > 65535 {
		return 0, errors.New("the port is no number from 1 to 65535")
	}
	return uint16(n), nil
}

// permits returns a *refusal unless the policy lets a sandbox reach the target. Which
// addresses a name has is asked later.
func (p Policy) permits(t target) error {
	if p.Any {
		if t.port == mailPort {
			return deny(t, "port", "port 25 is closed to sandboxes")
		}
		return nil
	}
	if t.name == "" {
		return deny(t, "address", "a sandbox reaches hosts by their names, not by their addresses; "+remedy)
	}
	if t.port != 80 && t.port != 443 {
		return deny(t, "port", fmt.Sprintf("this sandbox may not reach %s: it reaches ports 80 and 443 alone", t))
	}
	for _, h := range p.Hosts {
		if h.Matches(t.name, int(t.port)) {
			return nil
		}
	}
	return deny(t, "host", fmt.Sprintf("this sandbox may not reach %s; %s", t, remedy))
}
