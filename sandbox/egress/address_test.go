package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestAddresses: each closed range from its first to its last address, and nothing beside.
func TestAddresses(t *testing.T) {
	for _, c := range closedPrefixes {
		if c.Masked() != c.Prefix {
			t.Errorf("%s is not written as the range that it is", c.Prefix)
		}
		for _, a := range []netip.Addr{c.Addr(), last(c.Prefix)} {
			if (Policy{Any: true}).shut(a) == "" {
				t.Errorf("%s is open, which is %s", a, c.is)
			}
		}
	}
	for text, shut := range map[string]bool{
		"1.0.0.0": false, "8.8.8.8": false, "9.255.255.255": false, "11.0.0.0": false, "100.63.255.255": false, "100.128.0.0": false, "126.255.255.255": false, "128.0.0.0": false,
		"168.63.129.15": false, "168.63.129.17": false, "169.253.255.255": false, "169.255.0.0": false, "172.15.255.255": false, "172.32.0.0": false, "191.255.255.255": false, "192.0.1.0": false,
		"192.167.255.255": false, "192.169.0.0": false, "198.17.255.255": false, "198.20.0.0": false, "198.51.99.255": false, "198.51.101.0": false, "203.0.112.255": false, "203.0.114.0": false, "223.255.255.255": false,
		"2000::": false, "2001:200::": false, "2001:db7:ffff:ffff::": false, "2001:db9::": false, "2003::": false, "2606:2800:220:1::1": false, "3ffe:ffff::": false,
		"169.254.169.254": true, "127.0.0.1": true, "10.1.2.3": true, "172.31.255.255": true, "192.168.0.1": true, "100.100.100.200": true, "0.0.0.0": true, "255.255.255.255": true,
		"::ffff:8.8.8.8": true, "::ffff:127.0.0.1": true, "::8.8.8.8": true, "64:ff9b::808:808": true, "64:ff9b:1::1": true, "2002:808:808::1": true, "2001::1": true, "2001:1::1": true, "fd00:ec2::254": true, "fd20:ce::254": true,
		"fe80::1": true, "fe80::1%eth0": true, "2606:2800:220:1::1%eth0": true, "ff02::1": true, "4000::1": true, "1fff::1": true, "3fff::1": true, "::": true, "::1": true, "2620:4f:8000::1": true, "::ffff:0:808:808": true,
		"93.184.216.7": true, "93.184.217.7": false, "2606:2800:221::1": true,
	} {
		policy := Policy{Deny: []netip.Prefix{netip.MustParsePrefix("93.184.216.0/24"), netip.MustParsePrefix("2606:2800:221::1/128")}}
		if got := policy.shut(netip.MustParseAddr(text)); (got != "") != shut {
			t.Errorf("%s is shut: %q", text, got)
		}
	}
	if (Policy{}).shut(netip.Addr{}) == "" {
		t.Error("no address is open")
	}
}

func last(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(bytes); i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	address, _ := netip.AddrFromSlice(bytes)
	return address
}

// TestTargets has what net/http would not let through, too.
func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"api.example.com:443": "api.example.com:443", "API.example.com.:80": "api.example.com:80", "api.example.com": "api.example.com:7", "api.example.com:": "api.example.com:7",
		"93.184.216.34:1": "93.184.216.34:1", "[2606:2800:220::1]:443": "[2606:2800:220::1]:443", "[2606:2800:220::1]": "[2606:2800:220::1]:7", "[::ffff:1.2.3.4]:1": "[::ffff:1.2.3.4]:1",
		"": "", ":": "", ":443": "", "[": "", "]": "", "[]": "", "[]:1": "", "::1": "", "::1:443": "", "[::1": "", "[::1:443": "", "::1]:443": "", "[::1]x:443": "", "[::1]443": "", "[[::1]]:1": "",
		"[93.184.216.34]:1": "", "[api.example.com]:1": "", "api.example.com:1:2": "", "api.example.com:x": "", "api.example.com:-1": "", "api.example.com:1 ": "", "api.example.com :1": "",
		"api.example.com:65536": "", "api.example.com:99999999999999999999": "", "api.example.com:00": "", "1.2.3:1": "", "1.2.3.4.5:1": "", "01.2.3.4:1": "", "api.example.com:65535": "api.example.com:65535",
	} {
		got, err := parseTarget(text, 7)
		if (err == nil) != (want != "") || (err == nil && got.String() != want) || (err != nil && got != (target{})) {
			t.Errorf("%q is %s, %v, want %q", text, got, err, want)
		}
	}
	if got, err := parseTarget("api.example.com", 0); err == nil {
		t.Errorf("without a port it is %s", got)
	}
}

// TestTheHostItselfIsNotDialed: behind its addresses is what listens on all of them.
func TestTheHostItselfIsNotDialed(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	addresses := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range own {
		addresses = append(addresses, netip.MustParsePrefix(o.String()).Addr())
	}
	for _, a := range addresses {
		if c, err := dial(t.Context(), netip.AddrPortFrom(a, port)); err == nil || !strings.Contains(err.Error(), "the host's own address") {
			t.Errorf("%s: dialed %v, %v", a, c, err)
		}
	}
}

// TestResolve: one name is asked for and no other, IPv4 is told as what it is, and what
// claims to be IPv6 is too.
func TestResolve(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var asked []string
	running.Go(func() {
		for buffer := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			name, answer := answerTo(buffer[:n])
			asked = append(asked, name)
			_, _ = server.WriteTo(answer, from)
		}
	})
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	resolve := by(func(ctx context.Context, network, host string) ([]netip.Addr, error) {
		if !strings.HasSuffix(host, ".com.") {
			t.Errorf("%s may be looked up in the host's own domains", host)
		}
		return resolver.LookupNetIP(ctx, network, host)
	})
	found, err := resolve(t.Context(), "api.example.com")
	slices.SortFunc(found, netip.Addr.Compare)
	if want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("93.184.216.34")}; err != nil || !slices.Equal(found, want) {
		t.Errorf("%v, %v, want %v", found, err, want)
	}
	if found, err := resolve(t.Context(), "nobody.example.com"); err == nil {
		t.Errorf("found %v", found)
	}
	_ = server.Close()
	running.Wait()
	slices.Sort(asked)
	if want := []string{"api.example.com", "nobody.example.com"}; !slices.Equal(slices.Compact(asked), want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// answerTo answers a question of DNS: api.example.com has one address, and one that says it
// is of IPv6. Other names have none.
func answerTo(question []byte) (name string, answer []byte) {
	at := 12
	for n := int(question[at]); n > 0; n = int(question[at]) {
		name += "." + string(question[at+1:at+1+n])
		at += 1 + n
	}
	name = name[1:]
	answer = slices.Clone(question[:at+5])
	answer[2], answer[3] = 0x81, 0x80
	copy(answer[6:12], make([]byte, 6)) // no records but the question
	if name != "api.example.com" {
		answer[3] |= 3
		return name, answer
	}
	answer[7] = 1
	data := netip.MustParseAddr("93.184.216.34").AsSlice()
	if kind := question[at+2]; kind == 28 {
		data = netip.MustParseAddr("::ffff:10.0.0.1").AsSlice()
	}
	answer = append(answer, 0xc0, 12, 0, question[at+2], 0, 1, 0, 0, 0, 60, 0, byte(len(data)))
	return name, append(answer, data...)
}

// TestJournal: after a burst there is a line for each pause, with how many there were none
// for, and each event has its own.
func TestJournal(t *testing.T) {
	var text strings.Builder
	now := time.Date(2026, time.November, 30, 12, 0, 0, 0, time.UTC)
	j := newJournal(zerolog.New(&text), func() time.Time { return now })
	lines := func() []string {
		defer text.Reset()
		return strings.Split(strings.TrimSpace(text.String()), "\n")
	}
	host := target{name: "api.example.com", port: 443}
	for range 1000 {
		j.refuse(&refusal{status: 403, target: host, reason: "host"})
	}
	if got := lines(); len(got) != burst+1 { // and one because it was new
		t.Errorf("%d lines", len(got))
	}
	j.allow(host)
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], `"event":"egress.allowed"`) {
		t.Errorf("%q", got)
	}
	now = now.Add(pause)
	for range 10 {
		j.refuse(&refusal{status: 403, target: host, reason: "host", cause: errors.New(strings.Repeat("x", 1000))})
	}
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], `"suppressed":979`) || len(got[0]) > 2*causeSize {
		t.Errorf("%q", got)
	}
	now = now.Add(time.Hour)
	for range 1000 {
		j.limit("idle")
		j.refuse(&refusal{status: 502, target: host, reason: "unreachable"})
		_, _ = j.Write([]byte("http: panic serving @: x\ngoroutine 1"))
	}
	if got := lines(); len(got) != 3*burst+1 {
		t.Errorf("%d lines", len(got))
	}
	j.end(Stats{Allowed: 1})
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], `"suppressed":2948`) {
		t.Errorf("%q", got)
	}
}
