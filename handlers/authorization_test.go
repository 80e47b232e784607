package handlers_test

import (
	"context"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// forgets remembers whom it was to forget.
type forgets struct{ who []string }

func (f *forgets) Forget(_ context.Context, person policy.Actor) error {
	f.who = append(f.who, person.Login)
	return nil
}

func TestAPersonTakesBackThatTheAppMayActForThem(t *testing.T) {
	const revoked = `{"action":"revoked",` + ann + `}`
	for name, c := range map[string]struct {
		tokens bool
		body   string
		status int
		kept   int
		who    []string
	}{
		"revoked":               {true, revoked, 202, 1, []string{"ann"}},
		"where none are kept":   {false, revoked, 202, 0, nil},
		"another action":        {true, `{"action":"granted",` + ann + `}`, 202, 0, nil},
		"nobody's":              {true, `{"action":"revoked"}`, 400, 0, nil},
		"with no words of JSON": {true, `{"action":"revoked"`, 400, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inbox, tokens := &keeper{}, &forgets{}
			config := handlers.Config{Secret: secret, Inbox: inbox, Switch: killswitch.NewGitHubKillSwitch(killswitch.Config{OrganizationRepository: ".github"}), Log: zerolog.New(io.Discard), PolicyPath: policy.DefaultPath, OrganizationRepository: ".github"}
			if c.tokens {
				config.UserTokens = tokens
			}
			door, err := handlers.New(config)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			if door.ServeHTTP(w, delivery("github_app_authorization", c.body)); w.Code != c.status || len(inbox.accepted) != c.kept {
				t.Errorf("answered %d and kept %v", w.Code, inbox.accepted)
			}
			if c.kept == 0 {
				return
			}
			if _, err := door.Take(t.Context(), "github_app_authorization", []byte(c.body)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tokens.who, c.who) || strings.Contains(strings.Join(inbox.accepted, ""), "#") {
				t.Errorf("forgotten are %v", tokens.who)
			}
		})
	}
}
