package policy

import (
	"net/netip"
	"strings"
	"testing"
)

func TestEgressHosts(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		port          int
		want          bool
	}{
		{"api.example.com", "api.example.com", 443, true},
		{"api.example.com", "api.example.com", 80, true},
		{"API.Example.COM.", "api.example.com", 443, true},
		{"api.example.com", "api.example.com", 22, false},
		{"api.example.com", "api.example.com", 0, false},
		{"api.example.com", "api.example.com", 8443, false},
		{"api.example.com", "example.com", 443, false},
		{"api.example.com", "x.api.example.com", 443, false},
		{"api.example.com", "xapi.example.com", 443, false},
		{"api.example.com", "api.example.com.evil.org", 443, false},
		{"api.example.com", "apiXexample.com", 443, false},
		{"api.example.com", "", 443, false},
		{"*.example.com", "api.example.com", 443, true},
		{"*.example.com", "a.b.example.com", 443, true},
		{"*.example.com", "example.com", 443, false},
		{"*.example.com", "evilexample.com", 443, false},
		{"*.example.com", "example.com.evil.org", 443, false},
		{"api.example.com:443", "api.example.com", 443, true},
		{"api.example.com:443", "api.example.com", 80, false},
		{"*.example.com:80", "api.example.com", 80, true},
		{"*.example.com:80", "api.example.com", 443, false},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", 443, true},
	} {
		host, err := ParseEgressHost(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
		}
		if got := host.Matches(test.name, test.port); got != test.want {
			t.Errorf("%s reaches %s:%d: %t", test.pattern, test.name, test.port, got)
		}
	}
	for _, name := range []string{"", "api.example.com", "."} {
		if (EgressHost{}).Matches(name, 443) {
			t.Errorf("no host at all reaches %q", name)
		}
	}
}

// TestNoEgressHost: what is no name that means one host everywhere is refused, and the
// sentence says why.
func TestNoEgressHost(t *testing.T) {
	for text, want := range map[string]string{
		"": "empty", "*": "not made of", "*.": "empty", ".": "empty", "a..b": "not made of", ".example.com": "not made of", "example.com..": "not made of",
		"*.*.example.com": "not made of", "api.*.com": "not made of", "**.example.com": "not made of", "*example.com": "not made of",
		"localhost": "no dot", "*.com": "no dot", "metadata": "no dot", "localhost.": "no dot",
		"10.0.0.1": "an address", "127.1": "an address", "2130706433": "an address", "0x7f000001": "an address", "0x7f.0.0.1": "an address", "0177.0.0.1": "an address",
		"127.0.0.1.": "an address", "api.example.0x7f": "an address", "1.2.3.4:443": "an address",
		"::1": "empty", "[::1]": "not made of", "[::1]:443": "not made of", "::ffff:10.0.0.1": "empty", "10.0.0.1:22": "an address",
		"api.example.com:22": "has a port", "api.example.com:": "has a port", "api.example.com:0443": "has a port", "api.example.com:443:443": "has a port",
		"bücher.example": "xn--", "аpi.example.com": "xn--", "１２７.0.0.1": "xn--", "api。example.com": "xn--",
		"https://api.example.com": "without https://", "api.example.com/v1": "without https://", "bob@example.com": "not made of", "a b.example.com": "not made of", "a_b.example.com": "not made of",
		"-a.example.com": "not made of", "a-.example.com": "not made of", "a.example.com\n": "not made of", "a.example.com\x00": "not made of",
		strings.Repeat("a", 64) + ".example.com": "not made of", strings.Repeat("a.", 127) + "com": "too long",
	} {
		if host, err := ParseEgressHost(text); err == nil || !strings.Contains(err.Error(), want) || host != (EgressHost{}) {
			t.Errorf("%q is %q, %v, want %q", text, host, err, want)
		}
	}
}

// FuzzParseEgressHost: what is taken is read again as the same, is no address, and reaches
// nothing but what ends in its name.
func FuzzParseEgressHost(f *testing.F) {
	for _, text := range []string{"api.example.com", "*.example.com:443", "API.example.com.", "127.0.0.1", "0x7f.1", "*", "[::1]:80", "xn--a.example"} {
		f.Add(text, "api.example.com")
	}
	f.Fuzz(func(t *testing.T, text, asked string) {
		name, err := ParseHostname(asked)
		if err == nil {
			if _, err := netip.ParseAddr(name); err == nil || name != strings.ToLower(name) || strings.HasSuffix(name, ".") || !strings.Contains(name, ".") {
				t.Errorf("%q is taken as %q", asked, name)
			}
			if again, err := ParseHostname(name); again != name || err != nil {
				t.Errorf("%q is read again as %q, %v", name, again, err)
			}
		}
		host, failed := ParseEgressHost(text)
		if failed != nil {
			if host != (EgressHost{}) {
				t.Errorf("%q is %q and %v", text, host, failed)
			}
			return
		}
		if again, err := ParseEgressHost(host.String()); again != host || err != nil {
			t.Errorf("%q is %s, which is read again as %s, %v", text, host, again, err)
		}
		plain, _, _ := strings.Cut(strings.ToLower(text), ":")
		plain = strings.TrimSuffix(strings.TrimPrefix(plain, "*"), ".")
		for _, port := range []int{0, 22, 80, 443, 8080} {
			if err == nil && host.Matches(name, port) && (!strings.HasSuffix(name, plain) || (port != 80 && port != 443)) {
				t.Errorf("%q reaches %s:%d", text, name, port)
			}
		}
	})
}
