package egress

import (
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMask: however a text is cut into writes, what comes out is the text without secrets,
// of the same length, and what cannot be the beginning of one is not held back.
func TestMask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[ab]{1,5}`).Draw(t, "secret")
		pieces := rapid.SliceOf(rapid.StringMatching(`[abc]{0,7}`)).Draw(t, "pieces")
		recorder := httptest.NewRecorder()
		m := &mask{ResponseWriter: recorder, secrets: []string{secret}}
		var sent strings.Builder
		for _, piece := range pieces {
			if n, err := m.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("wrote %d of %q, %v", n, piece, err)
			}
			sent.WriteString(piece)
			held := sent.Len() - recorder.Body.Len()
			if text := sent.String(); held >= len(secret) || !strings.HasPrefix(secret, text[len(text)-held:]) {
				t.Fatalf("%d bytes of %q are held back for %q", held, text, secret)
			}
		}
		m.finish()
		want := strings.ReplaceAll(sent.String(), secret, strings.Repeat("*", len(secret)))
		if got := recorder.Body.String(); got != want {
			t.Errorf("%q without %q is %q, want %q", sent.String(), secret, got, want)
		}
	})
}

// TestMaskSeveral: one that is part of another leaves nothing of that.
func TestMaskSeveral(t *testing.T) {
	recorder := httptest.NewRecorder()
	m := &mask{ResponseWriter: recorder, secrets: []string{"abcdefghij", "cdef"}}
	for _, c := range "xabcdefghijx cdef abcdefg" {
		_, _ = m.Write([]byte(string(c)))
	}
	m.finish()
	if got, want := recorder.Body.String(), "x**********x **** ab****g"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSecond: what a server says is not heard before it is spoken to.
func TestSecond(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	s := secondly(here)
	heard := make(chan string)
	go func() {
		buffer := make([]byte, 10)
		n, _ := s.Read(buffer)
		heard <- string(buffer[:n])
	}()
	_ = there.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := there.Write([]byte("early")); err == nil {
		t.Error("it is heard before")
	}
	go func() { _, _ = io.ReadFull(there, make([]byte, 5)) }()
	_, _ = s.Write([]byte("hello"))
	_ = there.SetWriteDeadline(time.Time{})
	_, _ = there.Write([]byte("then"))
	if got := <-heard; got != "then" {
		t.Errorf("%q", got)
	}
	_ = s.Close()
	closed := secondly(here)
	_ = closed.Close()
	if _, err := closed.Read(nil); err == nil {
		t.Error("it is read after its end")
	}
}
