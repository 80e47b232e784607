package handlers_test

import (
	"context"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/killswitch"
)

// bell remembers whom it was rung for.
type bell struct {
	gate.Store
	rung []gate.Scope
}

func (b *bell) EvaluateOpen(_ context.Context, scope gate.Scope) error {
	b.rung = append(b.rung, scope)
	return nil
}

// TestWhomARepositoryWakes: what befalls the repository with the organization's
// policy concerns all pull requests of its owner, anything else only its own.
func TestWhomARepositoryWakes(t *testing.T) {
	everybody, shop := gate.Scope{Owner: "acme"}, gate.Scope{Owner: "acme", RepositoryID: 11}
	renamedFrom := func(name string) string {
		return `{"action":"renamed","changes":{"repository":{"name":{"from":"` + name + `"}}},`
	}
	for _, c := range []struct {
		name, body string
		want       gate.Scope
	}{
		{"a repository's settings", `{"action":"edited",` + place, shop},
		{"a repository's default branch", `{"action":"edited","changes":{"default_branch":{"from":"master"}},` + place, shop},
		{"the settings of the organization's", `{"action":"edited",` + floor, everybody},
		{"the birth of the organization's", `{"action":"created",` + floor, everybody},
		{"the end of the organization's", `{"action":"deleted",` + floor, everybody},
		{"the organization's gets another name", renamedFrom(".github") + place, everybody},
		{"the organization's, spelled otherwise, gets another name", renamedFrom(".GitHub") + place, everybody},
		{"another gets the name of the organization's", renamedFrom("shop") + floor, everybody},
		{"another gets another name", renamedFrom("stall") + place, shop},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bell{}
			door, err := handlers.New(handlers.Config{
				Secret: secret, Inbox: &keeper{}, Switch: killswitch.NewGitHubKillSwitch(killswitch.Config{OrganizationRepository: ".github"}), Log: zerolog.Nop(), OrganizationRepository: ".github", Gate: gate.New(gate.Config{Store: b}),
			})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := door.Take(t.Context(), "repository", []byte(c.body+ann+`}`))
			if answer != nil || err != nil {
				t.Errorf("answers: %t, error %v", answer != nil, err)
			}
			if !slices.Equal(b.rung, []gate.Scope{c.want}) {
				t.Errorf("wakes %+v, want %+v", b.rung, c.want)
			}
		})
	}
}
