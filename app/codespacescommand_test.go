package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// What ann pays for a terminal sees and ends with her token from the database, and says
// so where there is none.
func TestSandboxCommandsSeeWhatPeoplePayFor(t *testing.T) {
	c := newCloud(t, func(c *cloud) { c.acme.SetCodespacePolicy(githubsim.CodespacePolicy{PaidByUsers: true}) })
	is := c.created()
	settings := c.settings()
	settings.GitHub.App.WebhookSecret, settings.Server.PublicURL = "secret", "https://portcullis.example"
	settings.Sandbox.Codespaces.GH = "/usr/bin/gh"
	settings.Database.URL = "sqlite:" + t.TempDir() + "/portcullis.db"
	code, out, errs := command(t, settings, "sandbox", "list")
	if code != exitOK || !strings.Contains(out, "no sandbox is there") || !strings.Contains(errs, "note: codespaces that people pay for themselves are neither seen nor ended here") || strings.Count(errs, "\n") != 1 {
		t.Errorf("without a database: %d, %s%s", code, out, errs)
	}
	facts, err := store.Open(t.Context(), settings.Database.URL, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := newHandles(settings.GitHub.App.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	people := newPeople(settings, c.client(), facts, sealed, Options{Now: time.Now, Log: zerolog.Nop()})
	device, err := people.BeginDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ann.Authorize(device.UserCode); err != nil {
		t.Fatal(err)
	}
	if who, err := people.AwaitDevice(t.Context(), device); err != nil || who.Login != "ann" {
		t.Fatalf("%v, %v", who, err)
	}
	ann := policy.Actor{ID: c.ann.ID(), Login: "ann"}
	if err := errors.Join(people.Expect(t.Context(), ann, is.Deadline, true), people.ExpectIn(t.Context(), is.For.Repository, is.Deadline), facts.Close()); err != nil {
		t.Fatal(err)
	}
	c.tokens.of = map[int64]usertoken.Token{}
	if code, out, errs := command(t, settings, "sandbox", "list"); code != exitOK || !strings.Contains(out, is.ID) || errs != "" {
		t.Errorf("with one: %d, %s%s", code, out, errs)
	}
	if code, out, errs := command(t, settings, "sandbox", "destroy", is.ID); code != exitOK || c.there() != 0 {
		t.Errorf("%d, %s%s; %d are there", code, out, errs, c.there())
	}
}
