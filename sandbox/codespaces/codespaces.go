// Package codespaces is a [sandbox.Sandbox] on GitHub Codespaces: a machine of GitHub's
// on the head of the pull request, which belongs to the person who asked for it.
//
// GitHub is the truth of what there is. It has no labels for codespaces: their display
// names carry whose they are and for how long. Nor does it end one at a deadline: whoever
// sweeps does, as a [sandbox.Lifecycle] on each replica. If none is left, a codespace in which nothing
// happens for [Config.Idle] is stopped by GitHub, and deleted with that; one that keeps
// itself busy is so after twelve hours.
//
// What runs there can use the token of GitHub's that codespaces have, which acts as the
// person in that repository: a codespace shields everybody from the code but its owner.
package codespaces

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// Provider is what the implementation is called.
const Provider = "codespaces"

// Platform is GitHub as the App's installations may ask it. Errors are [*AnswerError]s
// wherever GitHub answered.
type Platform interface {
	// Organizations lists where the App may end codespaces, as places without a name.
	Organizations(ctx context.Context) ([]policy.Repository, error)
	// Codespaces lists those that the organization pays for.
	Codespaces(ctx context.Context, place policy.Repository) ([]Codespace, error)
	// Stop and Delete have GitHub do so, which takes a while. One that is not there is no
	// error.
	Stop(ctx context.Context, place policy.Repository, of Codespace) error
	Delete(ctx context.Context, place policy.Repository, of Codespace) error
	// Head reads where the head of a pull request is.
	Head(ctx context.Context, on policy.PullRequestRef) (Head, error)
}

// People is GitHub as a person's token may ask it.
type People interface {
	// Machines lists those that a codespace of the branch may run on.
	Machines(ctx context.Context, by usertoken.Token, in policy.Repository, branch string) ([]Machine, error)
	// Create creates one on the head of the pull request.
	Create(ctx context.Context, by usertoken.Token, on policy.PullRequestRef, asked Request) (Codespace, error)
	Codespace(ctx context.Context, by usertoken.Token, name string) (_ Codespace, found bool, _ error)
	// Codespaces lists the person's own.
	Codespaces(ctx context.Context, by usertoken.Token) ([]Codespace, error)
	Stop(ctx context.Context, by usertoken.Token, name string) error
	Delete(ctx context.Context, by usertoken.Token, name string) error
}

// Tokens lets the App act for people. [usertoken.Keeper] fits.
type Tokens interface {
	// Token is good for some minutes at least. It is a [*usertoken.NeededError] for a
	// person who has not let the App act for them.
	Token(ctx context.Context, person policy.Actor) (usertoken.Token, error)
	// Expect keeps that the person may have a codespace until then, and whether they pay
	// for it: then nobody else can see it.
	Expect(ctx context.Context, person policy.Actor, until time.Time, pays bool) error
	// ExpectIn keeps that an organization may have one until then.
	ExpectIn(ctx context.Context, place policy.Repository, until time.Time) error
	// ExpectNoMore keeps that it has none any more, unless it is expected to until
	// another time by now.
	ExpectNoMore(ctx context.Context, place policy.Repository, until time.Time) error
	// Expected lists those that may have one still.
	Expected(ctx context.Context) ([]usertoken.Expectation, error)
}

// Dialer connects to the SSH servers of codespaces.
type Dialer interface {
	// Dial connects to the one of that name, whose owner's the token is.
	Dial(ctx context.Context, name string, by usertoken.Token) (Line, error)
}

// Line is a connection to an SSH server, and how to sign in there.
type Line struct {
	net.Conn

	User    string
	Auth    ssh.AuthMethod
	HostKey ssh.HostKeyCallback
}

// Codespace is one as GitHub tells of it.
type Codespace struct {
	Name, DisplayName string
	// State is one of GitHub's words.
	State string
	// Pending is true if nothing can be done with it but to delete it; PendingWhy may say
	// why.
	Pending    bool
	PendingWhy string
	Owner      policy.Actor
	// Payer is who pays for it: the login of its owner, or of an organization.
	Payer      string
	Repository policy.Repository
	CreatedAt  time.Time
}

// Machine is a type of machine.
type Machine struct {
	Name        string
	CPUs        int
	MemoryBytes int64
}

// Request is what a codespace is to be.
type Request struct {
	DisplayName, Machine string
	// Idle is after how long without anything happening GitHub stops it, and deletes it
	// with that.
	Idle time.Duration
}

// Head is where the head of a pull request is.
type Head struct {
	SHA, Branch string
	// Repository is the number of the one that it is in; 0: it is gone.
	Repository int64
	Open       bool
	// MovedAt is when it last may have come back to where it was, by GitHub's clock in
	// whole seconds; zero: never.
	MovedAt time.Time
}

// Config is what a Codespaces is made of. All but Machine, Folder and the times is
// required.
type Config struct {
	// App is the number of the GitHub App: several may be in an organization.
	App      int64
	Platform Platform
	People   People
	Tokens   Tokens
	Dialer   Dialer
	// Machine is a machine user's token, which all codespaces are created with; the zero
	// Token: each is created with that of the person who asks for it.
	Machine usertoken.Token
	// Folder is where repositories are in a codespace; empty: /workspaces.
	Folder string
	// Idle is after how long without anything happening GitHub stops a codespace and
	// deletes it, in whole minutes from 5 to 240; zero: 10 minutes.
	Idle time.Duration
	// SweepEvery is how often whoever has made it looks for what is over; zero:
	// [sandbox.SweepEvery], as a [sandbox.Lifecycle] does.
	SweepEvery time.Duration
	// PollEvery is how often GitHub is asked whether something has happened; zero: 2 s.
	PollEvery time.Duration
	Now       func() time.Time
	Log       zerolog.Logger
}

// Codespaces starts sandboxes as codespaces. It may be used by several goroutines, and
// several may share an organization.
type Codespaces struct {
	config Config
	lines  lines
	// turns are for whoever creates one or runs something in it.
	turns sandbox.Turns
}

var (
	_ sandbox.Sandbox = (*Codespaces)(nil)
	_ sandbox.Tender  = (*Codespaces)(nil)
)

const (
	defaultFolder    = "/workspaces"
	defaultIdle      = 10 * time.Minute
	minIdle          = 5 * time.Minute
	maxIdle          = 240 * time.Minute
	defaultPollEvery = 2 * time.Second
)

// NewCodespacesSandbox returns one, and asks nobody anything.
func NewCodespacesSandbox(config Config) (*Codespaces, error) {
	config.Folder = or(config.Folder, defaultFolder)
	config.Idle = or(config.Idle, defaultIdle)
	config.SweepEvery = or(config.SweepEvery, sandbox.SweepEvery)
	config.PollEvery = or(config.PollEvery, defaultPollEvery)
	if config.Idle < minIdle || config.Idle > maxIdle || config.Idle%time.Minute != 0 {
		return nil, fmt.Errorf("a codespace's idle timeout is of whole minutes between %s and %s, not %s", minIdle, maxIdle, config.Idle)
	}
	return &Codespaces{config: config, lines: lines{open: map[string]connection{}}}, nil
}

// or is the value, or the other if it is zero.
func or[T comparable](value, other T) T {
	if value == *new(T) {
		return other
	}
	return value
}

// Close gives up the connections to codespaces. They run on.
func (c *Codespaces) Close() { c.lines.closeThose(func(string, connection) bool { return true }) }

// actFor is the token with which the App acts for the person.
func (c *Codespaces) actFor(ctx context.Context, person policy.Actor) (usertoken.Token, error) {
	if m := c.config.Machine; !m.IsZero() && (person.ID == 0 || person.ID == m.Owner.ID) {
		return m, nil
	}
	return c.config.Tokens.Token(ctx, person)
}

// ActsFor is whose rights programs have in a codespace that the person asks for: the
// token that GitHub puts into each is its owner's.
func (c *Codespaces) ActsFor(by policy.Actor) policy.Actor {
	if !c.config.Machine.IsZero() {
		return policy.Actor{}
	}
	return by
}

// creator is the person whose the sandbox is to be.
func (c *Codespaces) creator(ctx context.Context, spec sandbox.Spec) (usertoken.Token, error) {
	if m := c.config.Machine; !m.IsZero() {
		return m, nil
	}
	if spec.RequestedBy.ID == 0 {
		return usertoken.Token{}, &NeedsUserTokenError{Why: "a codespace belongs to a person, and nobody in particular asked for this one"}
	}
	return c.config.Tokens.Token(ctx, spec.RequestedBy)
}
