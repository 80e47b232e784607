package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// authorizations works from a terminal on who lets the App act for them, through the
// server's database.
type authorizations struct {
	config   string
	stdio    Stdio
	settings Config
}

func authorizationCommand(stdio Stdio) *cobra.Command {
	command := &cobra.Command{
		Use: "authorization", Short: "List who lets the App act for them, add somebody, and take it back",
		Long: "Works on the configured database. With PostgreSQL that may be beside a server. An SQLite\n" +
			"file that a server has open can be read, and not written to. No token is ever shown.",
	}
	a := &authorizations{stdio: stdio}
	sub := func(s *cobra.Command, run func(ctx context.Context, args []string) error) {
		s.RunE = func(cmd *cobra.Command, args []string) (err error) {
			if a.settings, err = LoadConfig(a.config); err != nil {
				return err
			}
			return run(zerolog.Nop().WithContext(cmd.Context()), args)
		}
		s.Flags().StringVar(&a.config, "config", "config.yml", "the server's configuration")
		command.AddCommand(s)
	}
	sub(&cobra.Command{
		Use: "list", Short: "List who lets the App act for them", Args: cobra.NoArgs,
		Long: "Lists who lets the App act for them, since when, and until when that can be renewed. It\n" +
			"asks GitHub for nothing and writes nothing.",
	}, a.list)
	sub(&cobra.Command{
		Use: "add", Short: "Let the App act for you, or for whoever enters a code", Args: cobra.NoArgs,
		Long: "Shows an address and a code. Whoever enters it there lets the App act for themselves, and\n" +
			"for nobody else: it is kept under the account that GitHub says it is. The App's settings\n" +
			"at GitHub must have the device flow enabled.",
	}, a.add)
	sub(&cobra.Command{
		Use: "revoke LOGIN", Short: "Take back that the App may act for somebody", Args: cobra.ExactArgs(1),
		Long: "Takes it back in the database and at GitHub, and puts that on record. A server closes the\n" +
			"connections to their codespaces when it next looks. The exit code is 0 only if GitHub has\n" +
			"taken it back as well.",
	}, a.revoke)
	return command
}

func (a *authorizations) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stdio.Out, format+"\n", args...)
}

func (a *authorizations) list(ctx context.Context, _ []string) error {
	recorded, found, err := store.OpenRecorded(ctx, a.settings.Database.URL, time.Now)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("there is no database: see that database.url is the server's, or start the server once")
	}
	all, err := recorded.Authorizations(ctx)
	if err = errors.Join(err, recorded.Close()); err != nil {
		return err
	}
	if len(all) == 0 {
		a.tell("nobody lets the App act for them")
		return nil
	}
	w := tabwriter.NewWriter(a.stdio.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "LOGIN\tSINCE\tCAN BE RENEWED UNTIL")
	for _, one := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", one.Person.Login, or(one.Since, "not on record"), or(one.RefreshExpiresAt, "it does not end by itself"))
	}
	return w.Flush()
}

// or is a time in words, or what there is instead.
func or(at time.Time, instead string) string {
	if at.IsZero() {
		return instead
	}
	return moment(at)
}

// people opens the database to write to it, and is who lets the App act for them there.
// instead is what to do if a server holds it.
func (a *authorizations) people(ctx context.Context, instead string) (*usertoken.Keeper, *store.Store, error) {
	if a.settings.GitHub.OAuth.ClientID == "" || a.settings.GitHub.OAuth.ClientSecret == "" {
		return nil, nil, errors.New("github.oauth needs client_id and client_secret, which are on the App's settings page")
	}
	sealed, err := newHandles(a.settings.GitHub.App.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	client, err := githubapi.New(a.settings.GitHub, clientOptions(a.settings, time.Now))
	if err != nil {
		return nil, nil, err
	}
	facts, err := store.Open(ctx, a.settings.Database.URL, time.Now)
	switch {
	case errors.Is(err, store.ErrServed):
		return nil, nil, fmt.Errorf("a server that runs has the database open, and an SQLite file is written to by one process alone: %s", instead)
	case err != nil:
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	return newPeople(a.settings, client, facts, sealed, Options{Now: time.Now, Log: zerolog.Nop()}), facts, nil
}

func (a *authorizations) add(ctx context.Context, _ []string) error {
	people, facts, err := a.people(ctx, "go to the server's page /sandbox/authorize, or stop the server and do this again")
	if err != nil {
		return err
	}
	return errors.Join(a.await(ctx, people), facts.Close())
}

// await goes through a round of the device flow.
func (a *authorizations) await(ctx context.Context, people *usertoken.Keeper) error {
	device, err := people.BeginDevice(ctx)
	if err != nil {
		return fmt.Errorf("begin the device flow, which the App's settings must have: %w", err)
	}
	a.tell("open %s and enter %s, until %s", device.Address, device.UserCode, moment(device.ExpiresAt))
	who, err := people.AwaitDevice(ctx, device)
	if err != nil {
		return err
	}
	a.tell("the App may act for %s now", who.Login)
	return nil
}

func (a *authorizations) revoke(ctx context.Context, args []string) error {
	people, facts, err := a.people(ctx, "take it back at GitHub, under Settings, Applications, Authorized GitHub Apps, or stop the server and do this again")
	if err != nil {
		return err
	}
	return errors.Join(a.revokeFrom(ctx, people, facts, args[0]), facts.Close())
}

// revokeFrom takes it back for everybody of that login: an account that was renamed may
// have left it to another.
func (a *authorizations) revokeFrom(ctx context.Context, people *usertoken.Keeper, facts *store.Store, login string) error {
	all, err := facts.Authorizations(ctx)
	if err != nil {
		return err
	}
	var errs []error
	found := false
	for _, one := range all {
		if !strings.EqualFold(one.Person.Login, strings.TrimPrefix(login, "@")) {
			continue
		}
		found = true
		if err := people.Revoke(ctx, one.Person, policy.Actor{Login: commandLine}); err != nil {
			errs = append(errs, err)
			continue
		}
		a.tell("the App may not act for %s any more", one.Person.Login)
	}
	if !found {
		return fmt.Errorf("nobody of the name %q lets the App act for them; `authorization list` tells who does", login)
	}
	return errors.Join(errs...)
}
