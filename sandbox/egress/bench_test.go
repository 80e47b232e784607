package egress_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"

	"github.com/portcullis-app/portcullis/sandbox/egress"
)

// BenchmarkConnect is a connection to the socket, CONNECT, a ClientHello and the server's
// first byte.
func BenchmarkConnect(b *testing.B) {
	w := newWorld(b, nil)
	w.at("api.example.com", 443, echoes(b))
	sent := hello(b, &tls.Config{ServerName: "api.example.com"})
	for b.Loop() {
		c := w.tunnel("api.example.com:443")
		_, _ = c.Write(sent)
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
}

// BenchmarkDirect is the same without a proxy, by TCP: what is added is the difference.
func BenchmarkDirect(b *testing.B) {
	address := echoes(b)
	sent := hello(b, &tls.Config{ServerName: "api.example.com"})
	for b.Loop() {
		c := directly(b, address)
		_, _ = c.Write(sent)
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
}

// BenchmarkThroughput is a tunnel through which all goes there and back.
func BenchmarkThroughput(b *testing.B) {
	w := newWorld(b, func(c *egress.Config) { c.Limits = egress.Limits{Sent: 1 << 40, Received: 1 << 40} })
	w.at("api.example.com", 443, echoes(b))
	c := w.tunnel("api.example.com:443")
	sent := hello(b, &tls.Config{ServerName: "api.example.com"})
	_, _ = c.Write(sent)
	if _, err := io.ReadFull(c, make([]byte, len(sent))); err != nil {
		b.Fatal(err)
	}
	block := bytes.Repeat([]byte("x"), 1<<20)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		go func() { _, _ = c.Write(block) }()
		if _, err := io.CopyN(io.Discard, c, int64(len(block))); err != nil {
			b.Fatal(err)
		}
	}
}
