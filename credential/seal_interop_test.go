package credential_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/credential"
)

// libsodiumVariable says where npm's libsodium-wrappers is.
const libsodiumVariable = "PORTCULLIS_LIBSODIUM"

// opener makes two key pairs, tells the public keys, and opens each box that it is sent
// with the first: one line for each.
const opener = `
const sodium = require(process.env.PORTCULLIS_LIBSODIUM)
sodium.ready.then(() => {
  const base64 = (bytes) => Buffer.from(bytes).toString('base64')
  const [ours, theirs] = [sodium.crypto_box_keypair(), sodium.crypto_box_keypair()]
  console.log(base64(ours.publicKey))
  console.log(base64(theirs.publicKey))
  require('readline').createInterface({input: process.stdin}).on('line', (line) => {
    try {
      console.log('opened ' + base64(sodium.crypto_box_seal_open(Buffer.from(line, 'base64'), ours.publicKey, ours.privateKey)))
    } catch (e) {
      console.log('refused')
    }
  })
})`

// libsodium is a process with another implementation: the one with which GitHub documents
// that secrets are sealed.
type libsodium struct {
	t           *testing.T
	in          *bufio.Writer
	out         *bufio.Scanner
	first, next credential.PublicKey
}

func startLibsodium(t *testing.T) *libsodium {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("node"); err != nil {
		missing = err.Error()
	} else if os.Getenv(libsodiumVariable) == "" {
		missing = libsodiumVariable + " does not say where libsodium-wrappers is (.ci/run fetches it)"
	}
	if missing != "" && os.Getenv("CI") == "true" {
		t.Fatal(missing)
	} else if missing != "" {
		t.Skip("NOT CHECKED: whether libsodium opens what is sealed;", missing)
	}
	node := exec.CommandContext(context.WithoutCancel(t.Context()), "node", "-e", opener)
	node.Stderr = os.Stderr
	in, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	l := &libsodium{t: t, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}
	l.out.Buffer(nil, 1<<20)
	t.Cleanup(func() {
		_ = in.Close() // it ends then
		if err := node.Wait(); err != nil && !t.Failed() {
			t.Error("node:", err)
		}
	})
	l.first, l.next = l.key("1"), l.key("2")
	return l
}

func (l *libsodium) key(id string) credential.PublicKey {
	l.t.Helper()
	key, err := base64.StdEncoding.DecodeString(l.line())
	if err != nil {
		l.t.Fatal(err)
	}
	return credential.PublicKey{ID: id, Key: key}
}

func (l *libsodium) line() string {
	l.t.Helper()
	if !l.out.Scan() {
		l.t.Fatal("node said nothing:", l.out.Err())
	}
	return l.out.Text()
}

// open has the box opened with the first key; ok is false if it was refused.
func (l *libsodium) open(box string) (value string, ok bool) {
	l.t.Helper()
	if _, err := l.in.WriteString(box + "\n"); err != nil {
		l.t.Fatal(err)
	}
	if err := l.in.Flush(); err != nil {
		l.t.Fatal(err)
	}
	encoded, ok := strings.CutPrefix(l.line(), "opened ")
	if !ok {
		return "", false
	}
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(plain), true
}

func seal(t *testing.T, key credential.PublicKey, value string) string {
	t.Helper()
	box, err := credential.Seal(key, credential.NewSecret(value))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// What is sealed here is opened by libsodium with the key that it is for, and with no other.
func TestLibsodiumOpensWhatIsSealed(t *testing.T) {
	l := startLibsodium(t)
	for name, value := range map[string]string{
		"plain":             "ptk_hunter2",
		"empty":             "",
		"unicode":           "пароль, 密码, 🔑",
		"bytes of any kind": "\x00\xff\n\r\x00",
		"48 KB":             strings.Repeat("0123456789abcdef", 48<<10/16),
	} {
		t.Run(name, func(t *testing.T) {
			box := seal(t, l.first, value)
			if got, ok := l.open(box); !ok || got != value {
				t.Errorf("opened %v, with %d bytes of %d", ok, len(got), len(value))
			}
			if again := seal(t, l.first, value); again == box {
				t.Error("two boxes are the same")
			}
			if _, ok := l.open(seal(t, l.next, value)); ok {
				t.Error("opened with a key that it is not for")
			}
		})
	}
	raw, err := base64.StdEncoding.DecodeString(seal(t, l.first, "ptk_hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 31, 32, len(raw) - 1} {
		changed := append([]byte{}, raw...)
		changed[i] ^= 1
		if _, ok := l.open(base64.StdEncoding.EncodeToString(changed)); ok {
			t.Errorf("opened with byte %d changed", i)
		}
	}
}

// A key of another size is refused, and not filled up with zeros.
func TestSealRefusesKeysOfAnotherSize(t *testing.T) {
	for _, size := range []int{0, 31, 33, 64} {
		key := credential.PublicKey{ID: "1", Key: make([]byte, size)}
		if box, err := credential.Seal(key, credential.NewSecret("x")); err == nil || box != "" {
			t.Errorf("sealed for a key of %d bytes: %q", size, box)
		}
	}
}
