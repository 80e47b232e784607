package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/web"
)

// TestNoAnswerIsOlderThanARevoke: whoever asks once a revoke has returned is told so, on
// every replica, while many ask all the time.
func TestNoAnswerIsOlderThanARevoke(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		replicas := []*store.Store{lw.facts}
		if !strings.HasPrefix(lw.database, "sqlite:") { // a file is one process's
			other, err := store.Open(t.Context(), lw.database, lw.clock.now)
			must(t, err)
			defer func() { must(t, other.Close()) }()
			replicas = append(replicas, other)
		}
		var servers []string
		for _, facts := range replicas {
			server := httptest.NewServer(web.NewIntrospection(facts, []web.Client{{ID: demoClient, Secret: credential.NewSecret(demoClientSecret)}}, zerolog.Nop()))
			defer server.Close()
			servers = append(servers, server.URL)
		}
		defer http.DefaultClient.CloseIdleConnections()

		// asked is the token that is asked about, and whether its revoke has returned.
		type asked struct {
			token   string
			revoked atomic.Bool
			yes, no atomic.Int64
		}
		var about atomic.Pointer[asked]
		var over atomic.Bool
		var askers sync.WaitGroup
		for i := range 8 {
			askers.Go(func() {
				for !over.Load() {
					now := about.Load()
					if now == nil {
						continue
					}
					revoked := now.revoked.Load()
					answer, err := introspect(t.Context(), servers[i%len(servers)], now.token)
					switch accepted := strings.Contains(answer, `"active":true`); {
					case err != nil:
						t.Error(err)
					case accepted && revoked:
						t.Error("it is accepted after it was revoked")
					case accepted:
						now.yes.Add(1)
					case revoked:
						now.no.Add(1)
					}
				}
			})
		}
		defer func() {
			over.Store(true)
			askers.Wait()
		}()
		for range 20 {
			request := lw.request()
			request.Provider, request.Slot = policy.ProviderOpaque, credential.Slot{}
			lent, err := lw.issuer.Issue(t.Context(), request)
			must(t, err)
			now := &asked{token: lent.Token.Reveal()}
			about.Store(now)
			eventually(t, "it is accepted", func() bool { return now.yes.Load() >= 8 })
			must(t, lw.issuer.Revoke(t.Context(), lent.ID))
			now.revoked.Store(true)
			eventually(t, "it is refused", func() bool { return now.no.Load() >= 8 || t.Failed() })
		}
	})
}
