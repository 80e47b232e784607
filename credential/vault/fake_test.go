package vault_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a server that answers as Vault documents it, and as Vault 1.14 was seen to:
// it takes no token that it did not give, tells no path to whom it is not allowed, ends a
// lease with the token that made it, and has nothing against revoking one that it does
// not know.
type fake struct {
	*httptest.Server

	mu     sync.Mutex
	now    time.Time
	life   time.Duration // of tokens
	tokens map[string]time.Time
	leases map[string]string // the tokens they were made with
	count  int
	logins int
	// namespace is the only one that there is.
	namespace string
	// fail answers a path in place of the server, once.
	fail map[string]func(http.ResponseWriter)
}

const (
	fakeRole   = "4db313a7-10e2-c3be-5790-8bb9259b33ab"
	fakeSecret = "0dd09551-b5ec-2e5a-3ed2-b7cfa41413e1"
)

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), life: 20 * time.Minute, tokens: map[string]time.Time{}, leases: map[string]string{}, fail: map[string]func(http.ResponseWriter){}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fake) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// live counts leases.
func (f *fake) live() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.leases)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	var body map[string]any
	if r.ContentLength > 0 && json.NewDecoder(r.Body).Decode(&body) != nil {
		refuse(w, http.StatusBadRequest, "error parsing JSON")
		return
	}
	failing := f.fail[path]
	delete(f.fail, path)
	token := r.Header.Get("X-Vault-Token")
	end, known := f.tokens[token]
	if known && !f.now.Before(end) {
		f.end(token)
		known = false
	}
	switch {
	case failing != nil:
		failing(w)
	case r.Header.Get("X-Vault-Request") != "true":
		refuse(w, http.StatusPreconditionFailed, "missing 'X-Vault-Request' header")
	case r.Header.Get("X-Vault-Namespace") != f.namespace:
		refuse(w, http.StatusNotFound, "no handler for route. route entry not found.")
	case path == "auth/approle/login":
		f.login(w, body)
	case !known:
		refuse(w, http.StatusForbidden, "permission denied")
	case r.Method == http.MethodPut && path == "sys/leases/revoke":
		f.revoke(w, body)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "database/creds/"):
		f.make(w, token, strings.TrimPrefix(path, "database/creds/"))
	case r.Method == http.MethodGet && path == "kv/a":
		reply(w, map[string]any{"lease_id": "", "lease_duration": 2764800, "data": map[string]any{"password": "p"}})
	default:
		refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	}
}

func (f *fake) login(w http.ResponseWriter, body map[string]any) {
	switch {
	case body["role_id"] != fakeRole:
		refuse(w, http.StatusBadRequest, "invalid role ID")
		return
	case body["secret_id"] != fakeSecret:
		refuse(w, http.StatusBadRequest, "invalid secret id")
		return
	}
	f.logins++
	token := fmt.Sprintf("hvs.token-%d", f.logins)
	f.tokens[token] = f.now.Add(f.life)
	reply(w, map[string]any{"auth": map[string]any{"client_token": token, "lease_duration": int(f.life / time.Second), "renewable": true}})
}

// make makes what the role of the engine's is called.
func (f *fake) make(w http.ResponseWriter, token, role string) {
	data := map[string]any{"username": "v-deploy", "password": "of the database", "number": 7, "empty": ""}
	duration := 3600
	switch role {
	case "deploy":
	case "endless":
		duration = 0
	default:
		refuse(w, http.StatusNotFound)
		return
	}
	f.count++
	id := fmt.Sprintf("database/creds/%s/%d", role, f.count)
	f.leases[id] = token
	reply(w, map[string]any{"lease_id": id, "lease_duration": duration, "renewable": true, "data": data})
}

func (f *fake) revoke(w http.ResponseWriter, body map[string]any) {
	id, _ := body["lease_id"].(string)
	if id == "" || body["sync"] != true {
		refuse(w, http.StatusBadRequest, "lease_id must be specified")
		return
	}
	delete(f.leases, id)
	w.WriteHeader(http.StatusNoContent)
}

// end ends a token, and the leases that it made.
func (f *fake) end(token string) {
	delete(f.tokens, token)
	for id, by := range f.leases {
		if by == token {
			delete(f.leases, id)
		}
	}
}

// endTokens ends all of them.
func (f *fake) endTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for token := range f.tokens {
		f.end(token)
	}
}

// failOnce answers the path so, the next time.
func (f *fake) failOnce(path string, status int, header map[string]string, told ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[path] = func(w http.ResponseWriter) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		refuse(w, status, told...)
	}
}

func reply(w http.ResponseWriter, answer map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func refuse(w http.ResponseWriter, status int, told ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": append([]string{}, told...)})
}
