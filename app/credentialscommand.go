package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

// clearsAway is how long `credentials revoke` tries to clear away what it ended.
const clearsAway = 30 * time.Second

// credentials works on what is lent from a terminal, through the server's database.
type credentials struct {
	config, scope, reason string
	asJSON, all, forget   bool
	delete                bool
	wait                  time.Duration
	out                   io.Writer
	settings              Config
}

func credentialsCommand(stdio Stdio) *cobra.Command {
	command := &cobra.Command{
		Use: "credentials", Short: "List what is lent, end it, and delete secrets that nobody accounts for",
		Long: "Works on the configured database. With PostgreSQL that may be beside a server. An SQLite\n" +
			"file that a server has open can be read, and not written to. No value of a credential is\n" +
			"ever shown: there is none in the database.",
	}
	c := &credentials{out: stdio.Out}
	sub := func(s *cobra.Command, run func(ctx context.Context, args []string) error) *cobra.Command {
		s.RunE = func(cmd *cobra.Command, args []string) (err error) {
			if c.settings, err = LoadConfig(c.config); err != nil {
				return err
			}
			return run(zerolog.Nop().WithContext(cmd.Context()), args)
		}
		s.Flags().StringVar(&c.config, "config", "config.yml", "the server's configuration")
		command.AddCommand(s)
		return s
	}
	list := sub(&cobra.Command{
		Use: "list", Short: "List the credentials that are lent or not cleared away yet", Args: cobra.NoArgs,
		Long: "Lists every credential that is lent, or has ended and is not cleared away yet. It asks\n" +
			"GitHub for nothing and writes nothing.",
	}, func(ctx context.Context, _ []string) error { return c.list(ctx) })
	list.Flags().BoolVar(&c.asJSON, "json", false, "tell it as JSON")

	revoke := sub(&cobra.Command{
		Use: "revoke [ID]", Short: "End a credential, or all in a scope", Args: cobra.MaximumNArgs(1),
		Long: "Ends the credential with that ID, or with --all every one that is lent in the scope. From\n" +
			"then on nobody is told that it is accepted. What is left of it, its secret at GitHub and\n" +
			"what its provider made, is cleared away as far as that can be done in time; a server does\n" +
			"the rest. The exit code is 0 only if nothing is left.\n\n" +
			"With --forget it closes the record of a credential that is stuck, whose remains you have\n" +
			"cleared away by hand, and so frees its secret's name. It does not look whether you have.",
	}, c.revoke)
	revoke.Flags().BoolVar(&c.all, "all", false, "end all that are lent in --scope")
	revoke.Flags().StringVar(&c.scope, "scope", "", "where, with --all: OWNER, OWNER/REPO or OWNER/REPO#NUMBER")
	revoke.Flags().StringVar(&c.reason, "reason", "", "why; it is put on record")
	revoke.Flags().BoolVar(&c.forget, "forget", false, "close the record of one that is stuck, without a look at what is left of it")
	revoke.Flags().DurationVar(&c.wait, "wait", clearsAway, "how long to try to clear it away")

	sweep := sub(&cobra.Command{
		Use: "sweep", Short: "Look for secrets at GitHub that nobody accounts for", Args: cobra.NoArgs,
		Long: "Looks through the secrets of all repositories and environments that the App may see for\n" +
			"those with a name that Portcullis writes, as JIT_1H_DEPLOY, that no credential on record\n" +
			"accounts for: after the database was lost, or an older one restored. It tells of each. Those\n" +
			"that have been there for longer than their name says it deletes with --delete, and never\n" +
			"any other. A server does so every six hours. The exit code is 0 only if everything could be read.",
	}, func(ctx context.Context, _ []string) error { return c.sweep(ctx) })
	sweep.Flags().BoolVar(&c.delete, "delete", false, "delete what is overdue")
	return command
}

func (c *credentials) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format+"\n", args...)
}

// by is who acts from a terminal.
func (*credentials) by() policy.Actor { return policy.Actor{Login: commandLine} }

// recorded opens the database to read it, beside a server too. One that is not there is
// not made: an empty one would say that nothing is lent.
func (c *credentials) recorded(ctx context.Context) (*store.Store, error) {
	recorded, found, err := store.OpenRecorded(ctx, c.settings.Database.URL, time.Now)
	if err == nil && !found {
		err = errors.New("there is no database: see that database.url is the server's, or start the server once")
	}
	return recorded, err
}

// readOnce opens the database, lets read read it, and closes it.
func (c *credentials) readOnce(ctx context.Context, read func(*store.Store) error) error {
	recorded, err := c.recorded(ctx)
	if err != nil {
		return err
	}
	return errors.Join(read(recorded), recorded.Close())
}

func (c *credentials) list(ctx context.Context) error {
	var leases []credential.Lease
	err := c.readOnce(ctx, func(recorded *store.Store) (err error) {
		leases, err = recorded.Leases(ctx, credential.Selection{Live: true})
		return err
	})
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return writeLeasesJSON(c.out, leases, time.Now())
	case len(leases) == 0:
		c.tell("nothing is lent")
		return nil
	default:
		return writeLeases(c.out, leases, time.Now())
	}
}

// writeLeases tells leases to a person.
func writeLeases(out io.Writer, leases []credential.Lease, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tSTATE\tCREDENTIAL\tFOR\tASKED FOR BY\tUNTIL\tNOTE")
	for _, l := range leases {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.State, l.Credential, l.Place(), l.RequestedBy, moment(l.ExpiresAt), leaseNote(l, now))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("list the credentials: %w", err)
	}
	return nil
}

// leaseNote says of a lease what its state does not.
func leaseNote(l credential.Lease, now time.Time) string {
	var notes []string
	if l.Slot.Name != "" {
		notes = append(notes, "in "+l.Slot.Name)
	}
	if l.Slot.Environment != "" {
		notes = append(notes, "environment "+l.Slot.Environment)
	}
	if l.State == credential.StateActive && !l.Accepted(now) {
		notes = append(notes, "its time is over")
	}
	if l.Reason != "" {
		notes = append(notes, "ended: "+l.Reason)
	}
	if l.LastError != "" {
		notes = append(notes, fmt.Sprintf("it could not be cleared away: %s; next at %s", l.LastError, moment(l.NextAt)))
	}
	return strings.ReplaceAll(strings.Join(notes, "; "), "\n", "; ")
}

func moment(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// writeLeasesJSON tells leases to a program.
func writeLeasesJSON(out io.Writer, leases []credential.Lease, now time.Time) error {
	type lent struct {
		ID          string    `json:"id"`
		State       string    `json:"state"`
		Accepted    bool      `json:"accepted"`
		Credential  string    `json:"credential"`
		Scope       []string  `json:"scope"`
		Repository  string    `json:"repository"`
		Number      int       `json:"number,omitempty"`
		Secret      string    `json:"secret,omitempty"`
		Environment string    `json:"environment,omitempty"`
		RequestedBy string    `json:"requested_by"`
		IssuedAt    time.Time `json:"issued_at"`
		ExpiresAt   time.Time `json:"expires_at"`
		Reason      string    `json:"reason,omitempty"`
		Attempts    int       `json:"attempts,omitempty"`
		LastError   string    `json:"last_error,omitempty"`
		NextAt      time.Time `json:"next_at,omitzero"`
	}
	all := []lent{}
	for _, l := range leases {
		all = append(all, lent{
			ID: l.ID, State: string(l.State), Accepted: l.Accepted(now), Credential: l.Credential, Scope: l.Scope,
			Repository: l.Slot.Repository.String(), Number: l.Number, Secret: l.Slot.Name, Environment: l.Slot.Environment, RequestedBy: l.RequestedBy.String(),
			IssuedAt: l.CreatedAt.UTC(), ExpiresAt: l.ExpiresAt.UTC(), Reason: l.Reason, Attempts: l.Attempts, LastError: l.LastError, NextAt: l.NextAt.UTC(),
		})
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(all); err != nil { //nolint:gosec // it is the secret's name, not its value
		return fmt.Errorf("list the credentials: %w", err)
	}
	return nil
}
