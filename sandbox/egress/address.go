package egress

import (
	"net/netip"
)

// closedPrefix is a range that nothing is dialed in.
type closedPrefix struct {
	netip.Prefix

	is string
}

func closed(prefix, is string) closedPrefix { return closedPrefix{netip.MustParsePrefix(prefix), is} }

// closedPrefixes are IANA's special-purpose registries for IPv4 and IPv6, as of 2026, with
// their globally reachable entries too, and what else is no server on the internet.
var closedPrefixes = []closedPrefix{
	closed("0.0.0.0/8", "this network"),
	closed("10.0.0.0/8", "private"),
	closed("100.64.0.0/10", "shared by a carrier's customers"),
	closed("127.0.0.0/8", "loopback"),
	closed("168.63.129.16/32", "the host, on Azure"),
	closed("169.254.0.0/16", "link-local, where clouds keep their metadata"),
	closed("172.16.0.0/12", "private"),
	closed("192.0.0.0/24", "assigned to protocols"),
	closed("192.0.2.0/24", "documentation"),
	closed("192.31.196.0/24", "AS112"),
	closed("192.52.193.0/24", "AMT"),
	closed("192.88.99.0/24", "6to4 relays"),
	closed("192.168.0.0/16", "private"),
	closed("192.175.48.0/24", "AS112"),
	closed("198.18.0.0/15", "benchmarks"),
	closed("198.51.100.0/24", "documentation"),
	closed("203.0.113.0/24", "documentation"),
	closed("224.0.0.0/4", "multicast"),
	closed("240.0.0.0/4", "reserved"),
	closed("255.255.255.255/32", "broadcast"),

	closed("::/128", "unspecified"),
	closed("::1/128", "loopback"),
	closed("::/96", "IPv4-compatible"),
	closed("::ffff:0:0/96", "IPv4-mapped"),
	closed("::ffff:0:0:0/96", "IPv4-translated"),
	closed("64:ff9b::/96", "NAT64"),
	closed("64:ff9b:1::/48", "NAT64, local"),
	closed("100::/64", "discarded"),
	closed("100:0:0:1::/64", "a dummy"),
	closed("2001::/32", "Teredo"),
	closed("2001::/23", "assigned to protocols"),
	closed("2001:db8::/32", "documentation"),
	closed("2002::/16", "6to4"),
	closed("2620:4f:8000::/48", "AS112"),
	closed("3fff::/20", "documentation"),
	closed("5f00::/16", "segment routing"),
	closed("fc00::/7", "unique local, where clouds keep their metadata"),
	closed("fe80::/10", "link-local"),
	closed("fec0::/10", "site-local"),
	closed("ff00::/8", "multicast"),
}

// globalUnicast is all of IPv6 that has been given out as such.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// shut says why an address is not dialed, or nothing if it may be: it is a public one, of
// one host, and not among those of the operator's.
func (p Policy) shut(address netip.Addr) string {
	if !address.IsValid() || address.Zone() != "" {
		return "no address, or one of a link"
	}
	for _, c := range closedPrefixes {
		if c.Contains(address) {
			return c.is
		}
	}
	if address.Is6() && !globalUnicast.Contains(address) {
		return "not given out"
	}
	for _, d := range p.Deny {
		if d.Contains(address) {
			return "denied by the operator"
		}
	}
	return ""
}
