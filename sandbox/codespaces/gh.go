package codespaces

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// GH is a [Dialer] by GitHub's command line, as "gh codespace ssh --stdio": the way into a
// codespace is GitHub's own, and no part of it is documented. It may be used by several
// goroutines.
type GH struct {
	config GHConfig
	folder string
	signer ssh.Signer

	mu sync.Mutex
	// users are the users of codespaces, by their names.
	users map[string]string
}

// GHConfig is what a GH is made of.
type GHConfig struct {
	// Program is the path of gh.
	Program string
	// Host is github.com, or where an enterprise has its own.
	Host string
	// User is who the SSH server lets in; empty: gh is asked for each codespace.
	User string
}

var _ Dialer = (*GH)(nil)

// NewGH returns one, with a key that is its own and kept in a new folder, as gh wants it.
func NewGH(config GHConfig) (_ *GH, err error) {
	folder, err := os.MkdirTemp("", "portcullis-gh-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "portcullis")
	if err != nil {
		return nil, err
	}
	g := &GH{config: config, folder: folder, signer: signer, users: map[string]string{}}
	err = errors.Join(
		os.WriteFile(g.key(), pem.EncodeToMemory(block), 0o600),
		os.WriteFile(g.key()+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600),
	)
	return g, err
}

// Close deletes the key. Connections go on.
func (g *GH) Close() error { return os.RemoveAll(g.folder) }

func (g *GH) key() string { return filepath.Join(g.folder, "key") }

// Ready is an error if there is no gh that runs.
func (g *GH) Ready(ctx context.Context) error {
	complaint := sandbox.NewOutput(maxComplaint, func() {})
	command := g.command(ctx, usertoken.Token{}, "--version")
	command.Stderr = complaint
	if err := command.Run(); err != nil {
		return ghFailed(err, complaint, usertoken.Token{})
	}
	return nil
}

// codespaceName is what GitHub calls codespaces.
var codespaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$`)

// Dial starts gh, which is the connection until it is closed.
func (g *GH) Dial(ctx context.Context, name string, by usertoken.Token) (Line, error) {
	if !codespaceName.MatchString(name) {
		return Line{}, fmt.Errorf("%q is no name of a codespace", name)
	}
	user, err := g.user(ctx, name, by)
	if err != nil {
		return Line{}, err
	}
	conn, err := g.start(g.command(context.WithoutCancel(ctx), by, "codespace", "ssh", "--codespace", name, "--stdio", "--", "-i", g.key()), by)
	if err != nil {
		return Line{}, err
	}
	return Line{
		Conn: conn, User: user, Auth: ssh.PublicKeys(g.signer),
		// GitHub's tunnel leads to the codespace and nowhere else, and nobody knows the key
		// that its SSH server has: gh does not look at it either.
		HostKey: ssh.InsecureIgnoreHostKey(), //nolint:gosec // see above
	}, nil
}

// command is gh with arguments and nothing of ours in its environment but the token.
func (g *GH) command(ctx context.Context, by usertoken.Token, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, g.config.Program, arguments...) //nolint:gosec // the operator's program, and no shell
	command.Dir = g.folder
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.folder, "GH_CONFIG_DIR=" + filepath.Join(g.folder, "config"),
		"GH_HOST=" + g.config.Host, "GH_TOKEN=" + by.Reveal(), "GH_PROMPT_DISABLED=1", "GH_NO_UPDATE_NOTIFIER=1", "NO_COLOR=1",
	}
	command.WaitDelay = ghEndTime
	return command
}

const (
	// ghEndTime is how long gh may take to end once it has nothing to do any more.
	ghEndTime = 2 * time.Second
	// maxConfig is how long what gh says about a codespace may be.
	maxConfig = 64 << 10
)

// userLine is where gh says who the SSH server lets in.
var userLine = regexp.MustCompile(`(?m)^\s*User\s+(\S+)\s*$`)

// user is who the codespace's SSH server lets in.
func (g *GH) user(ctx context.Context, name string, by usertoken.Token) (string, error) {
	if g.config.User != "" {
		return g.config.User, nil
	}
	g.mu.Lock()
	known := g.users[name]
	g.mu.Unlock()
	if known != "" {
		return known, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := g.command(ctx, by, "codespace", "ssh", "--codespace", name, "--config")
	told, complaint := sandbox.NewOutput(maxConfig, cancel), sandbox.NewOutput(maxComplaint, cancel)
	command.Stdout, command.Stderr = told, complaint
	if err := command.Run(); err != nil {
		return "", ghFailed(err, complaint, by)
	}
	found := userLine.FindStringSubmatch(told.String())
	if found == nil || !IsUserName(found[1]) {
		return "", errors.New("gh does not tell who the codespace's SSH server lets in; set the user in the configuration")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users[name] = found[1]
	return found[1], nil
}

// ghFailed is what gh says of its end, without the token.
func ghFailed(err error, complaint *sandbox.Output, by usertoken.Token) error {
	said := strings.ToValidUTF8(strings.TrimSpace(complaint.String()), "")
	if value := by.Reveal(); value != "" {
		said = strings.ReplaceAll(said, value, by.String())
	}
	if said == "" {
		return fmt.Errorf("gh: %w", err)
	}
	return fmt.Errorf("gh: %w: %s", err, said)
}

// ghConn is a gh that runs: its standard input and output are the connection.
type ghConn struct {
	command   *exec.Cmd
	in        io.WriteCloser
	out       io.ReadCloser
	complaint *sandbox.Output
	by        usertoken.Token

	once sync.Once
	// done is closed once gh has ended, as err says.
	done chan struct{}
	err  error
}

func (g *GH) start(command *exec.Cmd, by usertoken.Token) (net.Conn, error) {
	c := &ghConn{command: command, by: by, done: make(chan struct{})}
	c.complaint = sandbox.NewOutput(maxComplaint, func() {})
	command.Stderr = c.complaint
	var err error
	if c.in, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = command.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start gh: %w", err)
	}
	return Stream{c, "gh"}, nil
}

// Read reads what comes from the codespace. When gh ends, it says why.
func (c *ghConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err != nil {
		err = errors.Join(err, c.Close())
	}
	return n, err
}

// Write writes to the codespace.
func (c *ghConn) Write(p []byte) (int, error) { return c.in.Write(p) }

// Close ends gh and waits for that.
func (c *ghConn) Close() error {
	c.once.Do(func() {
		defer close(c.done)
		_ = c.in.Close()
		killed := time.AfterFunc(ghEndTime, func() { _ = errors.Join(c.command.Process.Kill(), c.out.Close()) })
		defer killed.Stop()
		_, _ = io.Copy(io.Discard, c.out) // until it has ended
		if err := c.command.Wait(); err != nil {
			c.err = ghFailed(err, c.complaint, c.by)
		}
	})
	<-c.done
	return c.err
}
