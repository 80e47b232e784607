package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// doctorLooksBack is how far back the doctor looks for webhooks that could not be
// delivered: a server asks for those again within minutes.
const doctorLooksBack = time.Hour

func doctorCommand(stdio Stdio) *cobra.Command {
	var path string
	command := &cobra.Command{
		Use: "doctor", Short: "Tell what keeps a server from its work, and what to do about it", Args: cobra.NoArgs,
		Long: "Looks at the configured database, beside a server that runs, and asks GitHub as the App,\n" +
			"and what sandboxes run on.\n" +
			"It writes nothing. The exit code is 0 only if nothing was found.",
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := LoadConfig(path)
			if err != nil {
				return err
			}
			return examine(command.Context(), config, stdio.Out)
		},
	}
	command.Flags().StringVar(&path, "config", "config.yml", "the server's configuration")
	return command
}

// doctor tells findings, each with its remedy.
type doctor struct {
	out   io.Writer
	found int
	// on are the kill switches that are on record as on.
	on []killswitch.Switch
}

func (d *doctor) fine(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "ok       "+format+"\n", args...)
}

func (d *doctor) finding(what, remedy string) {
	d.found++
	_, _ = fmt.Fprintf(d.out, "problem  %s\n         %s\n", strings.ReplaceAll(what, "\n", "; "), remedy)
}

func examine(ctx context.Context, config Config, out io.Writer) error {
	d := &doctor{out: out}
	d.database(ctx, config)
	client, err := githubapi.New(config.GitHub, clientOptions(config, time.Now))
	if err != nil {
		return err
	}
	d.installations(ctx, config, client)
	d.webhooks(ctx, client)
	d.sandboxes(ctx, config)
	if d.found > 0 {
		return errReported
	}
	return nil
}

// database looks at the work that fails.
func (d *doctor) database(ctx context.Context, config Config) {
	recorded, found, err := store.OpenRecorded(ctx, config.Database.URL, time.Now)
	switch {
	case err != nil:
		d.finding(err.Error(), "until then webhooks are refused")
		return
	case !found:
		d.finding("there is no database yet", "start the server once: portcullis serve")
		return
	}
	stuck, err := recorded.Stuck(ctx)
	on, onErr := recorded.InForce(ctx, killswitch.Scope{})
	d.on = on
	if err := errors.Join(err, onErr, recorded.Close()); err != nil {
		d.finding(err.Error(), "until then webhooks are refused")
		return
	}
	for _, work := range stuck {
		d.finding(fmt.Sprintf("%s failed %d times: %s", work.Subject, work.Attempts, work.Reason),
			fmt.Sprintf("mend that; it is tried again by itself, next at %s, and a pull request's gate is closed until then", work.NextAt.UTC().Format(time.RFC3339)))
	}
	if len(stuck) == 0 {
		d.fine("the database can be read, and no work in it keeps failing")
	}
}

func (d *doctor) installations(ctx context.Context, config Config, client *githubapi.Client) {
	active, suspended, err := client.Installations(ctx)
	switch {
	case err != nil:
		d.finding("GitHub does not answer the App: "+err.Error(), "check github.v3_api_url, github.app.integration_id and github.app.private_key")
		return
	case len(active) == 0 && len(suspended) == 0:
		d.finding("the App is installed nowhere: nothing is enforced", "install it from its settings page")
	default:
		d.fine("the App is installed %d times", len(active)+len(suspended))
	}
	for _, place := range suspended {
		d.finding(place.Owner+": the App is suspended there: nothing is enforced", "let an owner of "+place.Owner+" end its suspension, and look at what was merged since")
	}
	for _, sw := range killswitch.Unenforced(d.on, active) {
		d.finding(fmt.Sprintf("%s is stopped, but the App is suspended or not installed there any more: nothing is enforced", sw.Scope),
			"let an owner of "+sw.Repository.Owner+" install the App or end its suspension, and look at what was merged since")
	}
	for _, place := range active {
		d.killSwitch(ctx, config, client, place.Installation)
	}
}

// killSwitch tells how an installation can be stopped.
func (d *doctor) killSwitch(ctx context.Context, config Config, client *githubapi.Client, installation int64) {
	may, _, err := client.InstallationPermissions(ctx, installation)
	repositories, listErr := client.Repositories(ctx, installation)
	if err := errors.Join(err, listErr); err != nil {
		d.finding(fmt.Sprintf("installation %d: %v", installation, err), "check that it is neither suspended nor removed")
		return
	}
	if len(repositories) == 0 {
		return
	}
	owner := repositories[0].Owner
	if may["issues"] != "write" {
		d.finding(owner+": the App may not write issues, so that it cannot see or put the label of the kill switch; every gate stays closed",
			"grant Issues: read and write in the App's settings, and accept it in the installation")
	}
	for _, lock := range []struct{ what, permission, remedy, property string }{
		{"repositories", "administration", "grant Administration: read and write", config.KillSwitch.RepositoryProperty},
		{"all of it", "organization_administration", "grant the organization permission Administration: read and write", config.KillSwitch.OrganizationProperty},
	} {
		switch {
		case may[lock.permission] == "write":
			d.fine("%s: %s can be locked with a ruleset", owner, lock.what)
		case lock.property == "":
			d.finding(fmt.Sprintf("%s: %s cannot be locked at once: a kill switch only makes checks red, one after the other", owner, lock.what),
				lock.remedy+"; or set kill_switch up, see docs/operations.md")
		default:
			d.property(ctx, client, repositories[0], lock.what, lock.property, may["organization_custom_properties"])
		}
	}
	d.lending(owner, may)
	if !slices.ContainsFunc(repositories, func(r policy.Repository) bool { return strings.EqualFold(r.Name, config.Policy.OrganizationRepository) }) {
		d.finding(fmt.Sprintf("%s: the App sees no repository %s, whose issues stop the organization", owner, config.Policy.OrganizationRepository),
			"create it, or let the App read it")
	}
}

// lending tells through what credentials can be lent. Not to lend is no problem.
func (d *doctor) lending(owner string, may map[string]string) {
	for _, way := range []struct {
		what  string
		needs []string
	}{
		{"through repository secrets", []string{"secrets: write"}},
		{"through environment secrets", []string{"environments: write"}},
		{"to jobs that wait for it", []string{"environments: write", "deployments: write", "actions: read"}},
	} {
		lacks := slices.DeleteFunc(way.needs, func(need string) bool {
			name, level, _ := strings.Cut(need, ": ")
			return may[name] == "write" || may[name] == level
		})
		if len(lacks) == 0 {
			d.fine("%s: credentials can be lent %s", owner, way.what)
		} else {
			d.fine("%s: credentials cannot be lent %s; for that, grant the repository permissions %s", owner, way.what, strings.Join(lacks, ", "))
		}
	}
}

// property tells whether a custom property can lock.
func (d *doctor) property(ctx context.Context, client *githubapi.Client, of policy.Repository, what, name, may string) {
	if may != "write" && may != "admin" {
		d.finding(fmt.Sprintf("%s: %s cannot be locked at once: the App may not set the custom property %s", of.Owner, what, name),
			"grant the organization permission Custom properties: read and write")
		return
	}
	const remedy = "set kill_switch up anew, see docs/operations.md"
	defined, found, err := client.PropertyDefinition(ctx, of, name)
	switch {
	case err != nil:
		d.finding(fmt.Sprintf("%s: %v", of.Owner, err), "check the organization permission Custom properties")
	case !found:
		d.finding(fmt.Sprintf("%s: there is no custom property %s, with which %s is to be locked", of.Owner, name, what), remedy)
	case defined.Type != "true_false":
		d.finding(fmt.Sprintf("%s: the custom property %s is %s and not true_false", of.Owner, name, defined.Type), remedy)
	case defined.EditableBy != "org_actors":
		d.finding(fmt.Sprintf("%s: the admins of a repository can change the custom property %s, and so break the lock", of.Owner, name), remedy)
	default:
		d.fine("%s: %s can be locked with the custom property %s, if the ruleset of that name is there", of.Owner, what, name)
	}
}

func (d *doctor) webhooks(ctx context.Context, client *githubapi.Client) {
	undelivered, delivered := map[string]int64{}, map[string]bool{}
	since, cursor, err := time.Now().Add(-doctorLooksBack), "", error(nil)
	for more := true; more && err == nil; more = cursor != "" {
		var failed map[string]int64
		var came map[string]bool
		failed, came, cursor, err = client.FailedDeliveries(ctx, since, cursor)
		maps.Copy(delivered, came)
		maps.Copy(undelivered, failed)
	}
	maps.DeleteFunc(undelivered, func(id string, _ int64) bool { return delivered[id] })
	switch {
	case err != nil:
		d.finding("GitHub does not tell which webhooks it delivered: "+err.Error(), "check that the App has an active webhook")
	case len(undelivered) > 0:
		d.finding(fmt.Sprintf("GitHub could not deliver %d webhooks of the last hour", len(undelivered)),
			"see that the App's webhook URL can be reached from GitHub and that its secret is the server's; a server that runs asks for them again")
	default:
		d.fine("GitHub delivered every webhook of the last hour")
	}
}
