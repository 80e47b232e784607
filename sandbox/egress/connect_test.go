package egress_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox/egress"
)

// TestI13WhereCONNECTLeads: to a name that is listed, at port 443, if all of its addresses
// are public.
func TestI13WhereCONNECTLeads(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 443, echoes(t))
	w.name("below.files.example.com", addresses("93.184.216.99"))
	for name, private := range map[string][]string{
		"private": {"10.0.0.1"}, "mixed": {publicAddress, "10.0.0.1"}, "mixed-other": {"192.168.1.1", publicAddress}, "loopback": {"127.0.0.1"}, "metadata": {"169.254.169.254"},
		"metadata6": {"fd00:ec2::254"}, "mapped": {"::ffff:10.0.0.1"}, "mapped-public": {"::ffff:" + publicAddress}, "nat64": {"64:ff9b::a00:1"}, "six-to-four": {"2002:a00:1::"},
		"carrier": {"100.64.0.1"}, "link": {"fe80::1"}, "zero": {"0.0.0.0"}, "unspecified": {"::"}, "many": {publicAddress, publicAddress, publicAddress, publicAddress, publicAddress, "10.0.0.1"},
		"azure": {"168.63.129.16"},
	} {
		w.name(name+".files.example.com", addresses(private...))
	}
	for target, want := range map[string]struct {
		status int
		told   string
	}{
		"api.example.com:443":                 {200, ""},
		"API.Example.COM:443":                 {200, ""},
		"api.example.com.:443":                {200, ""},
		"API.EXAMPLE.COM.:443":                {200, ""},
		"api.example.com..:443":               {400, "not made of"},
		"evil.example.org:443":                {403, "this sandbox may not reach evil.example.org:443; to let it, add the host to sandbox.constraints.egress in the policy file"},
		"EVIL.example.org.:443":               {403, "evil.example.org:443"},
		"example.com:443":                     {403, "sandbox.constraints.egress"},
		"xapi.example.com:443":                {403, "sandbox.constraints.egress"},
		"api.example.com.evil.org:443":        {403, "sandbox.constraints.egress"},
		"files.example.com:443":               {403, "sandbox.constraints.egress"},
		"below.files.example.com:443":         {502, "could not be reached"}, // nobody is there
		"unknown.files.example.com:443":       {502, "could not be looked up"},
		"api.example.com:22":                  {403, "ports 80 and 443 alone"},
		"api.example.com:8443":                {403, "ports 80 and 443 alone"},
		"api.example.com:80":                  {403, "not reached by CONNECT"},
		"private.files.example.com:443":       {403, "not all of its addresses are public"},
		"mixed.files.example.com:443":         {403, "not all of its addresses are public"},
		"mixed-other.files.example.com:443":   {403, "not all of its addresses are public"},
		"loopback.files.example.com:443":      {403, "not all of its addresses are public"},
		"metadata.files.example.com:443":      {403, "not all of its addresses are public"},
		"metadata6.files.example.com:443":     {403, "not all of its addresses are public"},
		"mapped.files.example.com:443":        {403, "not all of its addresses are public"},
		"mapped-public.files.example.com:443": {403, "not all of its addresses are public"},
		"nat64.files.example.com:443":         {403, "not all of its addresses are public"},
		"six-to-four.files.example.com:443":   {403, "not all of its addresses are public"},
		"carrier.files.example.com:443":       {403, "not all of its addresses are public"},
		"link.files.example.com:443":          {403, "not all of its addresses are public"},
		"zero.files.example.com:443":          {403, "not all of its addresses are public"},
		"unspecified.files.example.com:443":   {403, "not all of its addresses are public"},
		"many.files.example.com:443":          {403, "not all of its addresses are public"},
		"azure.files.example.com:443":         {403, "not all of its addresses are public"},
	} {
		status, told := w.say("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n")
		if status != want.status || !strings.Contains(told, want.told) {
			t.Errorf("%s: %d %q, want %d %q", target, status, told, want.status, want.told)
		}
		if strings.Contains(told, "10.0.0.1") {
			t.Errorf("%s: the sandbox is told of an address inside: %q", target, told)
		}
	}
	for _, d := range w.dials() {
		if d != netip.MustParseAddrPort(publicAddress+":443") && d != netip.MustParseAddrPort("93.184.216.99:443") {
			t.Errorf("%s was dialed", d)
		}
	}
	for _, name := range w.lookups {
		if name != "api.example.com" && !strings.HasSuffix(name, ".files.example.com") {
			t.Errorf("%s was looked up, which is a way out", name)
		}
	}
	if got := w.log.events("egress.denied"); !slices.Contains(got, "evil.example.org:443 host") || !slices.Contains(got, "api.example.com:22 port") || !slices.Contains(got, "mixed.files.example.com:443 not public") {
		t.Errorf("the log has %q", got)
	}
}

// TestNoAddressIsAName: an address is none in any spelling, and nothing else is a name that
// could become one.
func TestNoAddressIsAName(t *testing.T) {
	w := newWorld(t, nil)
	for _, host := range []string{
		"93.184.216.34", "93.184.216.34.", "127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0177.0.0.1", "0x7f000001", "0x7F.0.0.1", "0x7f.1", "127.0.0.1.",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[2606:2800:220:1::1]", "::1", "[::1", "::1]", "[127.0.0.1]", "[]",
		"１２７.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "%31%32%37.0.0.1", "api%2eexample%2ecom", "localhost", "metadata", "", ".", "-", "*", "*.files.example.com", "api_x.files.example.com",
		"user@api.example.com", "user:pass@api.example.com", "api.example.com@evil.example.org", "evil.example.org#api.example.com", "evil.example.org\\.files.example.com", "evil.example.org/.files.example.com",
		"evil.example.org%00.files.example.com", "evil.example.org?.files.example.com", "api.example.com:443:evil.example.org", "ａpi.example.com",
	} {
		for _, text := range []string{
			"CONNECT " + host + ":443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "CONNECT " + host + ":443 HTTP/1.0\r\n\r\n",
			"GET http://" + host + "/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "GET http://" + host + ":80/ HTTP/1.0\r\n\r\n",
		} {
			if status, told := w.say(text); status != 400 && status != 403 {
				t.Errorf("%q: %d %q", text, status, told)
			}
		}
	}
	if d := w.dials(); len(d) > 0 || len(w.lookups) > 0 {
		t.Errorf("dialed %v, looked up %q", d, w.lookups)
	}
	for text, want := range map[string]string{
		"CONNECT 93.184.216.34:443 HTTP/1.1\r\n\r\n": "by their names, not by their addresses", "CONNECT 127.1:443 HTTP/1.1\r\n\r\n": `"127.1" is an address`,
		"GET https://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n": "https:// is reached by CONNECT", "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n": "this is a proxy",
	} {
		if _, told := w.say(text); !strings.Contains(told, want) {
			t.Errorf("%q is told %q, want %q", text, told, want)
		}
	}
}

// TestForms: what is no request to a proxy is refused, a relayed CONNECT among it.
func TestForms(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 443, echoes(t))
	w.at("api.example.com", 80, site(t, func(http.ResponseWriter, *http.Request) {}))
	for text, want := range map[string]int{
		"CONNECT api.example.com:443 HTTP/1.0\r\n\r\n":                                                         200, // as Python up to 3.11 does
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                200,
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: API.example.com.:443\r\n\r\n":                           200,
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nContent-Length: 0\r\n\r\n":       200,
		"CONNECT http://api.example.com:443/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                        400,
		"CONNECT http://api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                         400,
		"CONNECT https://api.example.com HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                            400,
		"CONNECT /api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                               400,
		"CONNECT api.example.com HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                    400,
		"CONNECT api.example.com: HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                   400,
		"CONNECT :443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                               400,
		"CONNECT api.example.com:0 HTTP/1.1\r\n\r\n":                                                           400,
		"CONNECT api.example.com:0443 HTTP/1.1\r\n\r\n":                                                        400,
		"CONNECT api.example.com:+443 HTTP/1.1\r\n\r\n":                                                        400,
		"CONNECT api.example.com:65979 HTTP/1.1\r\n\r\n":                                                       400, // 443 if 16 bits are kept of it
		"CONNECT api.example.com:4294967739 HTTP/1.1\r\n\r\n":                                                  400, // and 32
		"CONNECT api.example.com:https HTTP/1.1\r\n\r\n":                                                       400,
		"CONNECT api.example.com:443/ HTTP/1.1\r\n\r\n":                                                        400,
		"CONNECT * HTTP/1.1\r\n\r\n":                                                                           400,
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: evil.example.org:443\r\n\r\n":                           400,
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:22\r\n\r\n":                             400,
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\n\r\nhello":      400,
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0": 400,
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\nHost: api.example.com\r\n\r\n":       400,
		"connect api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                400, // a method of its own
		"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                                      400,
		"GET //api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                     400,
		"GET api.example.com HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                        400,
		"OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                                  400,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                                                     400,
		"GET http:///x HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                              400,
		"GET http:api.example.com HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                   400,
		"GET https://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                               400,
		"GET ftp://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                 400,
		"GET file:///etc/passwd HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                     400,
		"GET http://bob@api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                            400,
		"GET http://bob:x@api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                          400,
		"GET http://@api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                               400,
		"GET http://api.example.com/ HTTP/1.1\r\n\r\n":                                                         400,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                200,
		"GET http://api.example.com/ HTTP/1.0\r\n\r\n":                                                         200,
		"GET HTTP://API.example.com.:80/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                            200,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n": 200, // as Java does
		"GET http://api.example.com:443/ HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n":                                                                                    403,
		"GET http://api.example.com:22/ HTTP/1.1\r\nHost: api.example.com:22\r\n\r\n":                                                                                      403,
		"TRACE http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                                                                          403,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n":                                               403,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: evil.example.org\r\n\r\n":                                                                                           400,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com:8080\r\n\r\n":                                                                                       400,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: \r\n\r\n":                                                                                                           400,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nHost: evil.example.org\r\n\r\n":                                                                  400,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\tevil.example.org\r\n\r\n":                                                                      400,
		"GET http://api.example.com/ HTTP/1.1\r\nHost : api.example.com\r\n\r\n":                                                                                           400,
		"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                               400,
		"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello":                                            400,
		"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello":                                            400,
		"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: +5\r\n\r\nhello":                                                                400,
		"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":                                                       501,
		"POST http://api.example.com/ HTTP/1.0\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                                                    400,
		"nonsense\r\n\r\n": 400,
		"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n": 431,
	} {
		if status, told := w.say(text); status != want {
			t.Errorf("%.200q: %d %q, want %d", text, status, told, want)
		}
	}
}

// TestOneLookup: a name that means something else the second time is not looked up a second
// time.
func TestOneLookup(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 443, echoes(t))
	w.name("api.example.com", addresses(publicAddress), addresses("127.0.0.1"))
	w.tunnel("api.example.com:443")
	if len(w.lookups) != 1 || !slices.Equal(w.dials(), []netip.AddrPort{netip.MustParseAddrPort(publicAddress + ":443")}) {
		t.Errorf("looked up %q, dialed %v", w.lookups, w.dials())
	}
	if status, _ := w.say("CONNECT api.example.com:443 HTTP/1.1\r\n\r\n"); status != 403 || len(w.dials()) != 1 {
		t.Errorf("then: %d, dialed %v", status, w.dials())
	}
}

// TestTheNextAddressIsTried, but no more than a few.
func TestTheNextAddressIsTried(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 443, echoes(t))
	w.name("api.example.com", addresses("93.184.216.1", "2606:2800:220:1::1", publicAddress))
	w.tunnel("api.example.com:443")
	w.name("x.files.example.com", addresses("93.184.216.1", "93.184.216.2", "93.184.216.3", "93.184.216.4", publicAddress))
	if status, _ := w.say("CONNECT x.files.example.com:443 HTTP/1.1\r\n\r\n"); status != 502 || len(w.dials()) != 3+4 {
		t.Errorf("%d, after dialing %v", status, w.dials())
	}
	slow := newWorld(t, func(c *egress.Config) {
		c.Limits.Reach = time.Second
		before := c.Dial
		c.Dial = func(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
			if address.Addr() == netip.MustParseAddr(publicAddress) {
				return before(ctx, address)
			}
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
	})
	slow.at("api.example.com", 443, echoes(t))
	slow.name("api.example.com", addresses("93.184.216.1", publicAddress))
	slow.tunnel("api.example.com:443")
	if got := w.log.events("egress.failed"); !slices.Equal(got, []string{"x.files.example.com:443 unreachable"}) {
		t.Errorf("the log has %q", got)
	}
}

// TestFull: any public address and port but that of mail, and still nothing that is not
// public.
func TestFull(t *testing.T) {
	w := newWorld(t, func(c *egress.Config) {
		c.Policy = egress.Policy{Any: true, Deny: []netip.Prefix{netip.MustParsePrefix("93.184.217.0/24"), netip.MustParsePrefix("2606:2800:221::/48")}}
	})
	for _, port := range []uint16{22, 80, 443, 8080} {
		w.at("anything.example.net", port, echoes(t))
	}
	w.at("anything.example.net", 8081, site(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	w.name("metadata.example.net", addresses("169.254.169.254"))
	w.name("own.example.net", addresses("93.184.217.9"))
	for target, want := range map[string]int{
		"anything.example.net:22": 200, "anything.example.net:443": 200, "anything.example.net:80": 200, "ANYTHING.example.net.:8080": 200, "93.184.216.34:443": 200, "93.184.216.34:8080": 200,
		"anything.example.net:25": 403, "93.184.216.34:25": 403, "metadata.example.net:80": 403, "own.example.net:443": 403, "[2606:2800:221::1]:443": 403,
		"169.254.169.254:80": 403, "127.0.0.1:80": 403, "10.0.0.1:443": 403, "[::1]:443": 403, "[::ffff:93.184.216.34]:443": 403, "[64:ff9b::5db8:d822]:443": 403, "[fd00:ec2::254]:80": 403,
		"2130706433:80": 400, "0x7f.1:80": 400, "0177.0.0.1:80": 400, "127.1:80": 400, "[fe80::1%eth0]:80": 400, "localhost:80": 400, "[127.0.0.1]:80": 400, "::1:80": 400,
		"[2606:2800:220:1::1]:443": 502, "93.184.216.34:1": 502, "93.184.216.34:0": 400,
	} {
		if status, told := w.say("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"); status != want {
			t.Errorf("%s: %d %q, want %d", target, status, told, want)
		}
	}
	c := w.tunnel("anything.example.net:22")
	_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "SSH-2.0-x\r\n" || err != nil {
		t.Errorf("%q came back, %v", got, err)
	}
	for host, want := range map[string]string{"anything.example.net:8081": "anything.example.net:8081", "93.184.216.34:8081": "93.184.216.34:8081"} {
		if status, told := w.say("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n"); status != 200 || told != want {
			t.Errorf("%s: %d %q", host, status, told)
		}
	}
	if status, _ := w.say("GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); status != 403 {
		t.Errorf("loopback: %d", status)
	}
}

// TestNothingIsOpenByItself: the zero policy lets nothing out.
func TestNothingIsOpenByItself(t *testing.T) {
	w := newWorld(t, func(c *egress.Config) { c.Policy = egress.Policy{} })
	w.at("api.example.com", 443, echoes(t))
	for _, text := range []string{"CONNECT api.example.com:443 HTTP/1.1\r\n\r\n", "GET http://api.example.com/ HTTP/1.0\r\n\r\n", "CONNECT 93.184.216.34:443 HTTP/1.1\r\n\r\n"} {
		if status, _ := w.say(text); status != 403 || len(w.dials()) > 0 {
			t.Errorf("%q: %d, dialed %v", text, status, w.dials())
		}
	}
}
