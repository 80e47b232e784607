package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// commandLine is who threw a switch from a terminal.
const commandLine = "the command line"

// serverAnswers is how long `killswitch off` waits for a server to lift the lock.
const serverAnswers = time.Minute

// breakGlass works the kill switch from a terminal, through GitHub: no server needs
// to run.
type breakGlass struct {
	config, scope, reason string
	agents, withoutServer bool
	wait                  time.Duration

	out      io.Writer
	settings Config
	client   *githubapi.Client
	stop     *killswitch.GitHubKillSwitch
	record   *killswitch.MemoryStore
}

func killswitchCommand(stdio Stdio) *cobra.Command {
	command := &cobra.Command{
		Use: "killswitch", Short: "Stop everything in a scope, or start it again, from a terminal",
		Long: "Works through GitHub, as the App, with no server running: a ruleset that forbids\n" +
			"merges, and the label that is the switch. A server that runs does the rest.",
	}
	b := &breakGlass{out: stdio.Out}
	sub := func(use, short string, run func(context.Context) error, flags func(*cobra.Command)) {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			if err := b.begin(); err != nil {
				return err
			}
			return run(githubapi.Urgent(zerolog.Nop().WithContext(c.Context())))
		}}
		c.Flags().StringVar(&b.config, "config", "config.yml", "the server's configuration")
		c.Flags().StringVar(&b.scope, "scope", "", "what to stop: OWNER, OWNER/REPO or OWNER/REPO#NUMBER")
		c.Flags().BoolVar(&b.agents, "agents", false, "stop only what agents made")
		if err := c.MarkFlagRequired("scope"); err != nil {
			panic(err) // only a flag that is not there
		}
		flags(c)
		command.AddCommand(c)
	}
	reason := func(c *cobra.Command) { c.Flags().StringVar(&b.reason, "reason", "", "why; it is shown to everybody") }
	sub("on", "Stop", b.on, func(c *cobra.Command) {
		reason(c)
		if err := c.MarkFlagRequired("reason"); err != nil {
			panic(err) // only a flag that is not there
		}
	})
	sub("off", "Start again", b.off, func(c *cobra.Command) {
		reason(c)
		c.Flags().BoolVar(&b.withoutServer, "without-server", false, "lift the lock now; every check that is green is made red first")
		c.Flags().DurationVar(&b.wait, "wait", serverAnswers, "how long to wait for a server to lift the lock")
	})
	sub("status", "Tell what is stopped", b.status, func(*cobra.Command) {})
	return command
}

// begin reads the configuration and prepares to ask GitHub.
func (b *breakGlass) begin() (err error) {
	if b.settings, err = LoadConfig(b.config); err != nil {
		return err
	}
	return b.prepare()
}

func (b *breakGlass) prepare() (err error) {
	if b.client, err = githubapi.New(b.settings.GitHub, clientOptions(b.settings, time.Now)); err != nil {
		return err
	}
	b.record = killswitch.NewMemoryStore()
	b.stop = killswitch.NewGitHubKillSwitch(killswitch.Config{
		GitHub: platform{b.client}, Store: b.record, Gates: b.record, Now: time.Now, Log: zerolog.Nop(),
		OrganizationRepository: b.settings.Policy.OrganizationRepository, OwnIssue: true, Self: b.client.Self,
		RepositoryProperty: b.settings.KillSwitch.RepositoryProperty, OrganizationProperty: b.settings.KillSwitch.OrganizationProperty,
	})
	return nil
}

func (b *breakGlass) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...)
}

var scopeName = regexp.MustCompile(`^([A-Za-z0-9_-]+)(?:/([A-Za-z0-9._-]+)(?:#([1-9][0-9]*))?)?$`)

// errScopeName is returned for what names no scope.
var errScopeName = errors.New("--scope is OWNER, OWNER/REPO or OWNER/REPO#NUMBER, such as acme, acme/shop or acme/shop#7")

// place finds out what GitHub calls the scope: from the server's database if it can
// be read, which takes no call, and otherwise from GitHub.
func (b *breakGlass) place(ctx context.Context) (killswitch.Scope, error) {
	match := scopeName.FindStringSubmatch(b.scope)
	if match == nil {
		return killswitch.Scope{}, errScopeName
	}
	scope := killswitch.Scope{Agents: b.agents}
	if strings.EqualFold(match[2], b.settings.Policy.OrganizationRepository) && match[3] == "" {
		match[2] = "" // its issues are the organization's
	}
	var err error
	if scope.Repository = b.recorded(ctx, match[1], match[2]); scope.Repository.Installation == 0 {
		if match[2] == "" {
			scope.Repository, _, err = b.client.FindInstallation(ctx, match[1])
		} else {
			scope.Repository, err = b.client.Repository(ctx, match[1], match[2])
		}
	}
	if match[3] != "" && err == nil {
		scope.Number, err = strconv.Atoi(match[3])
	}
	return scope, err
}

// recorded is the repository as the server knows it. That the database cannot be
// read keeps nobody from stopping.
func (b *breakGlass) recorded(ctx context.Context, owner, name string) policy.Repository {
	recorded, found, err := store.OpenRecorded(ctx, b.settings.Database.URL, time.Now)
	if err != nil || !found {
		return policy.Repository{}
	}
	repository, err := recorded.Repository(ctx, owner, name)
	if errors.Join(err, recorded.Close()) != nil {
		return policy.Repository{}
	}
	return repository
}

// on stops: the lock, the label, and for one pull request its check.
func (b *breakGlass) on(ctx context.Context) error {
	began := time.Now()
	scope, err := b.place(ctx)
	if err != nil {
		return err
	}
	if err := b.stop.Activate(ctx, scope, policy.Actor{Login: commandLine}, b.reason); err != nil {
		return err
	}
	_, err = b.stop.Enforce(ctx, scope.Whole())
	sw, _ := b.record.Switch(ctx, scope) // in memory, it cannot fail
	switch {
	case sw.Lock.Enforced && !sw.LockedAt.IsZero():
		b.tell("%s is locked: GitHub refuses every merge, read back %d ms after the command", scope, sw.LockedAt.Sub(began).Milliseconds())
	case sw.Lock.Impossible != "":
		b.tell("%s is not locked: %s. Pull requests that are green can be merged until a server has made their checks red", scope, sw.Lock.Impossible)
	case scope.Agents, scope.Number != 0:
		b.tell("%s has no lock of its own: the checks say that it is stopped, as soon as a server runs", scope)
	}
	if sw.Carrier.Number != 0 {
		b.tell("%s carries the label %s", sw.Carrier, sw.Carrier.Label)
	}
	if scope.Number != 0 && !scope.Agents {
		err = errors.Join(err, b.red(ctx, scope, sw))
	}
	return err
}

// red makes the check of the one pull request red.
func (b *breakGlass) red(ctx context.Context, scope killswitch.Scope, sw killswitch.Switch) error {
	heads, err := b.client.OpenHeads(ctx, scope.Repository)
	if err != nil {
		return err
	}
	head, open := heads[scope.Number]
	if !open {
		b.tell("%s is not open", scope)
		return nil
	}
	decision := policy.Closed(head, "").Stopped([]policy.Stop{sw.Stop()})
	if _, err := b.client.PutCheck(ctx, scope.Repository, 0, decision.Check(b.settings.Check.Name, scope.Ref(), "")); err != nil {
		return err
	}
	b.tell("the check of %s is red", scope)
	return nil
}

// carriers are what has the label of the scope's switch.
func (b *breakGlass) carriers(ctx context.Context, scope killswitch.Scope) (home policy.Repository, found map[int]string, err error) {
	home = scope.Repository
	if scope.IsOrganization() {
		if home, _, err = b.client.OwnRepository(ctx, scope.Repository, b.settings.Policy.OrganizationRepository); err != nil {
			return home, nil, err
		}
	}
	texts, err := b.client.Policies(ctx, home, "")
	if err != nil {
		return home, nil, err
	}
	sources := make([]policy.PolicySource, len(texts))
	for i, text := range texts {
		sources[i] = policy.LoadPolicy(text)
	}
	found = map[int]string{}
	for _, label := range policy.JoinSwitchRules(sources).AllLabels(scope.Agents) {
		if scope.Number != 0 {
			issue, there, err := b.client.Issue(ctx, home, scope.Number)
			if err != nil {
				return home, nil, err
			}
			for _, own := range issue.Labels {
				if there && strings.EqualFold(own, label) {
					found[scope.Number] = own
				}
			}
			continue
		}
		issues, err := b.client.FindIssues(ctx, home, label)
		if err != nil {
			return home, nil, err
		}
		for _, issue := range issues {
			found[issue.Number] = label
		}
	}
	return home, found, nil
}

// held is how much of a scope is locked.
type held int

const (
	lockedNowhere held = iota
	lockedInPart       // a property is set in some of the organization's repositories
	lockedWhole
)

// locks are what may lock the scope, the App's ruleset and the property, and whether
// one of them does, in a part of the scope or in all of it.
func (b *breakGlass) locks(ctx context.Context, scope killswitch.Scope) (locks []killswitch.Lock, held held, err error) {
	if scope.Agents || scope.Number != 0 {
		return nil, lockedNowhere, nil
	}
	property := b.settings.KillSwitch.RepositoryProperty
	if scope.IsOrganization() {
		property = b.settings.KillSwitch.OrganizationProperty
	}
	id, err := b.client.FindLock(ctx, scope.Repository)
	switch {
	case err != nil && (property == "" || !isRefused(err)):
		return nil, lockedNowhere, err
	case id != 0:
		locks = append(locks, killswitch.Lock{ID: id})
	}
	if property != "" {
		locks = append(locks, killswitch.Lock{Property: property})
	}
	for _, lock := range locks {
		there, found, err := platform{b.client}.ReadLock(ctx, scope.Repository, lock)
		if err != nil {
			return nil, lockedNowhere, err
		}
		switch {
		case found && there.Enforced:
			held = lockedWhole
		case found && there.Property != "":
			held = max(held, lockedInPart)
		}
	}
	return locks, held, nil
}

// isRefused reports whether GitHub does not let the App do it.
func isRefused(err error) bool {
	refused, is := errors.AsType[*githubapi.Error](err)
	return is && refused.Refused()
}

// status tells what GitHub shows.
func (b *breakGlass) status(ctx context.Context) error {
	scope, err := b.place(ctx)
	if err != nil {
		return err
	}
	home, carriers, err := b.carriers(ctx, scope)
	if err != nil {
		return err
	}
	_, held, err := b.locks(ctx, scope)
	if err != nil {
		return err
	}
	for number, label := range carriers {
		b.tell("%s is stopped: %s#%d carries the label %s", scope, home, number, label)
	}
	if len(carriers) == 0 {
		b.tell("%s: nothing carries the label", scope)
	}
	switch {
	case held == lockedWhole:
		b.tell("%s is locked: GitHub refuses every merge", scope)
	case held == lockedInPart:
		b.tell("%s is locked in some of its repositories and not in all of them", scope)
	case scope.Agents || scope.Number != 0:
		b.tell("%s has no lock of its own; its checks say that it is stopped", scope)
	default:
		b.tell("%s is not locked", scope)
	}
	return nil
}
