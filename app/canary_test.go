package app

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// sinks are all places into which a value could leak, by name.
type sinks map[string][]byte

// forms are how a value may be written.
func forms(value string) map[string]string {
	quoted, _ := json.Marshal(value)
	return map[string]string{
		"plain": value, "JSON": strings.Trim(string(quoted), `"`), "URL": url.QueryEscape(value), "hex": hex.EncodeToString([]byte(value)),
		"base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "="), "base64 of URLs": base64.RawURLEncoding.EncodeToString([]byte(value)),
		// Within something longer, base64 begins at any of three places.
		"base64 after one": base64.StdEncoding.EncodeToString([]byte("x" + value))[4 : 4+len(value)], "base64 after two": base64.StdEncoding.EncodeToString([]byte("xx" + value))[4 : 4+len(value)],
	}
}

func (s sinks) hold(t *testing.T, canaries map[string]string) {
	t.Helper()
	for name, value := range canaries {
		if len(value) < 12 {
			t.Errorf("the canary %s is %q", name, value)
		}
		for form, written := range forms(value) {
			for sink, content := range s {
				if bytes.Contains(content, []byte(written)) {
					t.Errorf("%s is in %s, in the form %s", name, sink, form)
				}
			}
		}
	}
}

// TestI17NoValueAnywhere: no plaintext value appears in the database, the log at every
// level, error strings, metrics, pages or what is said at GitHub. It plants canaries,
// drives every path, GitHub's failures and a panic among them, and greps every sink.
func TestI17NoValueAnywhere(t *testing.T) {
	t.Parallel()
	canaries := map[string]string{"the lent secret": "c4n4ry/of the+database=", "the client's secret": demoClientSecret, "the webhook's secret": demoSecret}
	var out lockedBuffer
	options := atOnce
	var clock clock
	options.Now, options.tokenNow = clock.now, time.Now
	var breaks atomic.Bool
	options.environ = func() []string {
		if breaks.CompareAndSwap(true, false) {
			panic("the work broke off")
		}
		return []string{"PORTCULLIS_SECRET_DB_PASSWORD=" + canaries["the lent secret"]}
	}
	options.Log = newLogger(LogConfig{Level: "trace"}, &out)
	w, err := newWorld(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "portcullis.db"), options)
	must(t, err)
	defer func() { must(t, w.stop(t.Context())) }()
	tw := &testWorld{world: w, t: t, report: t}
	canaries["the private key"] = strings.Split(w.hook.PrivateKeyPEM(), "\n")[3]
	production := w.shop.CreateEnvironment("production")
	tw.set(switchPolicy + `credentials:
  opaque: {secret: JIT_1H_OPAQUE, ttl: 30m, tier: team-lead}
  token: {secret: JIT_1H_TOKEN, ttl: 30m, tier: team-lead, provider: installation-token, scope: ["contents:read"]}
  lent: {secret: JIT_1H_LENT, ttl: 30m, tier: team-lead, provider: lend, source: db-password, environment: production}
`)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.review(pr, "lee", "APPROVE")
	found := sinks{}
	page := func(path string) {
		response, err := http.Get(w.server.URL() + path)
		must(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(response.Body)
		must(t, err)
		found["the page "+path] = body.Bytes()
	}
	collect := func(name, value string) {
		if value != "" {
			canaries[name] = value
		}
	}
	for round, fault := range []githubsim.Fault{
		{Times: 1, Method: http.MethodPatch, Path: secretPath}, // none
		{Times: 3, Method: http.MethodPut, Path: secretPath, Status: http.StatusUnprocessableEntity},
		{Times: 3, Method: http.MethodPut, Path: secretPath, Status: http.StatusBadGateway},
		{Times: 3, Method: http.MethodPut, Path: secretPath, After: true}, // the answer is lost
		{Times: 3, Method: http.MethodDelete, Path: secretPath, Status: http.StatusForbidden},
	} {
		remove := w.github.Inject(fault)
		for _, name := range []string{"opaque", "token", "lent"} {
			tw.comment(pr, "ann", "/credential issue "+name)
		}
		for name, value := range w.shop.Secrets() {
			collect(fmt.Sprintf("%s of round %d", name, round), value)
		}
		if round == 0 && (len(w.shop.Secrets()) != 2 || production.Secrets()["JIT_1H_LENT"] != canaries["the lent secret"]) {
			t.Fatalf("lent: %d; %s", len(w.shop.Secrets()), lastReply(pr))
		}
		tw.comment(pr, "ann", "/credential list")
		for _, value := range w.shop.Secrets() {
			_, _ = introspect(t.Context(), w.server.URL(), value)
			_, _ = introspect(t.Context(), w.server.URL(), value+"x")
		}
		page("/metrics")
		for _, name := range []string{"opaque", "token", "lent"} {
			tw.comment(pr, "ann", "/credential revoke "+name)
		}
		remove()
	}
	breaks.Store(true) // a panic in the middle
	_, err = pr.Comment(w.github.User("ann"), "/credential issue lent")
	must(t, err)
	for begun := time.Now(); breaks.Load(); <-time.After(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("nothing is asked of the environment: %s", lastReply(pr))
		}
	}
	clock.pass(5 * time.Minute)
	tw.settled()
	if !bytes.Contains(out.bytes(), []byte("the work broke off")) {
		t.Error("nothing tells of the panic")
	}
	for _, path := range []string{"/", "/api/v1/status", "/healthz", "/readyz"} {
		page(path)
	}
	tw.must(pr.AddLabel(w.github.User("bob"), switchLabel))
	tw.settled()
	entries, err := w.server.store.AuditEntries(t.Context(), 0, 10_000)
	must(t, err)
	found["the audit log"] = fmt.Appendf(nil, "%+v", entries)
	leases, err := w.server.store.Leases(t.Context(), credential.Selection{})
	must(t, err)
	found["the leases, printed"] = fmt.Appendf(nil, "%+v %#v", leases, leases)
	for _, c := range pr.Comments() {
		found["GitHub's comments"] = append(found["GitHub's comments"], c.Body...)
	}
	for _, run := range w.shop.CheckRuns(pr.HeadSHA()) {
		found["GitHub's checks"] = fmt.Appendf(found["GitHub's checks"], "%+v", run)
	}
	files, err := filepath.Glob(strings.TrimPrefix(w.database, "sqlite:") + "*")
	must(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(t, err)
		found["the file "+filepath.Base(file)] = content
	}
	found["the log"] = out.bytes()
	if len(canaries) < 7 || len(found["the log"]) < 10_000 || len(files) == 0 || len(leases) < 9 {
		t.Errorf("%d canaries, %d bytes of log, %d files, %d leases", len(canaries), len(found["the log"]), len(files), len(leases))
	}
	found.hold(t, canaries)
}

// lockedBuffer is written by several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.all.Bytes())
}
