package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// boxes works on sandboxes from a terminal, through what they run on: neither a server nor
// GitHub is needed.
type boxes struct {
	config, scope string
	asJSON, all   bool
	out           io.Writer
	lifecycle     *sandbox.Lifecycle
}

func sandboxCommand(stdio Stdio) *cobra.Command {
	command := &cobra.Command{
		Use: "sandbox", Short: "List sandboxes, end them, and hold the engine they run on",
		Long: "`list` and `destroy` ask what sandboxes run on, not the database: they find what any\n" +
			"Portcullis of this App has started, and need no server, and no GitHub but for codespaces.\n" +
			"Codespaces that people pay for themselves only their tokens can see, which are in the\n" +
			"database: where it cannot be read, that is said.",
	}
	b := &boxes{out: stdio.Out}
	sub := func(s *cobra.Command, run func(ctx context.Context, args []string) error) *cobra.Command {
		s.RunE = func(cmd *cobra.Command, args []string) error {
			settings, err := LoadConfig(b.config)
			if err != nil {
				return err
			}
			providers, closing, err := sandboxesOf(cmd.Context(), settings, stdio.Err)
			if err != nil {
				return err
			}
			if len(providers) == 0 {
				return errors.New("the configuration has no place where sandboxes run; see `sandbox` in config.example.yml")
			}
			b.lifecycle = sandbox.NewLifecycle(sandbox.Config{Providers: providers, Now: time.Now, Log: zerolog.Nop()})
			return errors.Join(run(cmd.Context(), args), closing())
		}
		s.Flags().StringVar(&b.config, "config", "config.yml", "the server's configuration")
		s.Flags().StringVar(&b.scope, "scope", "", "where: OWNER, OWNER/REPO or OWNER/REPO#NUMBER")
		command.AddCommand(s)
		return s
	}
	list := sub(&cobra.Command{Use: "list", Short: "List the sandboxes that are there", Args: cobra.NoArgs}, b.list)
	list.Flags().BoolVar(&b.asJSON, "json", false, "tell it as JSON")
	destroy := sub(&cobra.Command{
		Use: "destroy [ID]", Short: "Destroy a sandbox, or all in a scope", Args: cobra.MaximumNArgs(1),
		Long: "Destroys the sandbox with that ID, or with --all every one in the scope, and returns once\n" +
			"they are gone. The exit code is 0 only if nothing is left. A server puts on record that it\n" +
			"found them gone.",
	}, b.destroy)
	destroy.Flags().BoolVar(&b.all, "all", false, "destroy all in --scope")
	command.AddCommand(reaperCommand(stdio))
	command.AddCommand(insideCommands(os.Stdin, stdio)...)
	return command
}

// sandboxesOf are the places of the configuration where sandboxes run, for a command that
// creates none. Codespaces are seen as the organizations see them that pay for them, and
// with the tokens that the database has; that it has none to give is told on errs.
func sandboxesOf(ctx context.Context, settings Config, errs io.Writer) (map[string]sandbox.Sandbox, func() error, error) {
	options := Options{Now: time.Now, Log: zerolog.Nop()}
	providers, closing, err := newProvidersOfSandboxes(settings, options, nil)
	if err != nil {
		return nil, nil, err
	}
	client, err := githubapi.New(settings.GitHub, clientOptions(settings, time.Now))
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	kept, forget := usertoken.Store(usertoken.NewMemoryStore()), func() error { return nil }
	if settings.Sandbox.Codespaces != (CodespacesConfig{}) {
		switch recorded, found, err := store.OpenRecorded(ctx, settings.Database.URL, time.Now); {
		case err == nil && found:
			kept, forget = recorded, recorded.Close
		case settings.Sandbox.Codespaces.MachineToken == "":
			_, _ = fmt.Fprintln(errs, "note: "+unseenCodespaces, because(err))
		}
	}
	people, err := withCodespaces(ctx, providers, settings, client, kept, options)
	if err != nil {
		return nil, nil, errors.Join(err, closing(), forget())
	}
	return providers, func() error { return errors.Join(people.close(), closing(), forget()) }, nil
}

// unseenCodespaces is told where there are no tokens of people.
const unseenCodespaces = "codespaces that people pay for themselves are neither seen nor ended here, because their tokens are in the server's database, and"

func because(err error) string {
	if err != nil {
		return err.Error()
	}
	return "there is none where database.url says"
}

// scopePattern is how a scope is written.
var scopePattern = regexp.MustCompile(`^([^/#\s]+)(?:/([^/#\s]+)(?:#(\d+))?)?$`)

// chosen are the sandboxes in the scope, by the names that they carry.
func (b *boxes) chosen(ctx context.Context) ([]sandbox.Instance, error) {
	var owner, name, number string
	if b.scope != "" {
		parts := scopePattern.FindStringSubmatch(b.scope)
		if parts == nil {
			return nil, fmt.Errorf("--scope is OWNER, OWNER/REPO or OWNER/REPO#NUMBER, not %q", b.scope)
		}
		owner, name, number = parts[1], parts[2], parts[3]
	}
	there, err := b.lifecycle.Everywhere(ctx)
	var chosen []sandbox.Instance
	for _, is := range there {
		at := is.For.Repository
		if (owner == "" || strings.EqualFold(owner, at.Owner)) && (name == "" || strings.EqualFold(name, at.Name)) && (number == "" || number == strconv.Itoa(is.For.Number)) {
			chosen = append(chosen, is)
		}
	}
	return chosen, err
}

func (b *boxes) list(ctx context.Context, _ []string) error {
	there, unlisted := b.chosen(ctx)
	switch {
	case b.asJSON:
		return errors.Join(unlisted, writeSandboxesJSON(b.out, there))
	case len(there) == 0 && unlisted == nil:
		_, err := fmt.Fprintln(b.out, "no sandbox is there")
		return err
	case len(there) == 0:
		return unlisted
	}
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tPROVIDER\tSTATUS\tFOR\tCOMMIT\tASKED FOR BY\tUNTIL\tNOTE")
	for _, is := range there {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.7s\t%s\t%s\t%s\n", is.ID, is.Provider, is.Status, is.For, is.HeadSHA, askedBy(is), moment(is.Deadline), strings.ReplaceAll(is.Reason, "\n", "; "))
	}
	return errors.Join(unlisted, w.Flush())
}

func askedBy(is sandbox.Instance) string {
	if is.RequestedBy.Login == "" {
		return "the policy"
	}
	return is.RequestedBy.Login
}

func writeSandboxesJSON(out io.Writer, there []sandbox.Instance) error {
	type box struct {
		ID          string    `json:"id"`
		Provider    string    `json:"provider"`
		Status      string    `json:"status"`
		Reason      string    `json:"reason,omitempty"`
		Repository  string    `json:"repository"`
		Number      int       `json:"number"`
		ByAgent     bool      `json:"by_agent"`
		HeadSHA     string    `json:"head_sha"`
		Policy      string    `json:"policy"`
		RequestedBy string    `json:"requested_by,omitempty"`
		CreatedAt   time.Time `json:"created_at"`
		Deadline    time.Time `json:"deadline"`
	}
	all := []box{}
	for _, is := range there {
		all = append(all, box{
			ID: is.ID, Provider: is.Provider, Status: string(is.Status), Reason: is.Reason, Repository: is.For.Repository.String(), Number: is.For.Number, ByAgent: is.For.Agents,
			HeadSHA: is.HeadSHA, Policy: is.Policy, RequestedBy: is.RequestedBy.Login, CreatedAt: is.CreatedAt.UTC(), Deadline: is.Deadline.UTC(),
		})
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

var errWhichSandbox = errors.New("name one sandbox by its ID, as `sandbox list` tells it, or all in a place with --all --scope")

func (b *boxes) destroy(ctx context.Context, args []string) error {
	if b.all != (len(args) == 0) || b.all != (b.scope != "") {
		return errWhichSandbox
	}
	there, err := b.chosen(ctx)
	if !b.all {
		there = only(there, args[0])
		if len(there) == 0 && err == nil {
			err = fmt.Errorf("%w: %s", sandbox.ErrUnknown, args[0])
		}
	}
	ended, failed := b.lifecycle.DestroyAll(ctx, there)
	_, _ = fmt.Fprintf(b.out, "%d of %d destroyed\n", ended, len(there))
	return errors.Join(err, failed)
}

func only(there []sandbox.Instance, id string) []sandbox.Instance {
	for _, is := range there {
		if is.ID == id {
			return []sandbox.Instance{is}
		}
	}
	return nil
}
