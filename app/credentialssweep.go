package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
)

// sweep looks for secrets that nobody accounts for, and with --delete deletes those that
// are overdue.
func (c *credentials) sweep(ctx context.Context) error {
	client, err := githubapi.New(c.settings.GitHub, clientOptions(c.settings, time.Now))
	if err != nil {
		return err
	}
	if !c.delete {
		return c.readOnce(ctx, func(recorded *store.Store) error { return c.sweepAll(ctx, client, recorded) })
	}
	server, err := c.open(ctx, "stop the server and do this again, or leave it to the server, which does so every six hours")
	if err != nil {
		return err
	}
	return errors.Join(c.sweepAll(ctx, client, server.store), server.Stop(context.WithoutCancel(ctx)))
}

func (c *credentials) sweepAll(ctx context.Context, client *githubapi.Client, facts *store.Store) error {
	issuer := credential.NewGitHubJITCredentialIssuer(credential.Config{GitHub: secrets{client}, Store: facts, Now: time.Now, Wait: wait, Log: zerolog.Nop()})
	active, suspended, err := client.Installations(ctx)
	if err != nil {
		return err
	}
	problems := 0
	problem := func(text string) {
		problems++
		c.tell("problem  %s", text)
	}
	for _, place := range suspended {
		problem(place.Owner + ": the App is suspended there, and cannot see its secrets")
	}
	overdue := 0
	for _, place := range active {
		found, err := issuer.Sweep(ctx, place.Installation, c.by(), !c.delete)
		for _, f := range found {
			if f.Overdue {
				overdue++
			}
			c.tell("%s", foundLine(f))
		}
		if err != nil {
			problem(place.Owner + ": " + strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	switch {
	case overdue == 0:
		c.tell("nothing is overdue")
	case !c.delete:
		c.tell("%d overdue; --delete deletes them", overdue)
	}
	if problems > 0 {
		return errReported
	}
	return nil
}

// foundLine says what becomes of a secret, and why.
func foundLine(f credential.Found) string {
	since := fmt.Sprintf("%s: written at %s", f.Slot, moment(f.UpdatedAt))
	switch {
	case f.Lease != "":
		return fmt.Sprintf("left     %s, lent as %s", since, f.Lease)
	case !f.Overdue:
		return fmt.Sprintf("left     %s, and by its name it may be there until %s", since, moment(f.OverdueAt))
	case f.Deleted:
		return fmt.Sprintf("deleted  %s, and by its name to be gone by %s; no credential on record accounts for it", since, moment(f.OverdueAt))
	default:
		return fmt.Sprintf("overdue  %s, and by its name to be gone by %s; no credential on record accounts for it", since, moment(f.OverdueAt))
	}
}
