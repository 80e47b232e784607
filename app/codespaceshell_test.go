package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/sshtest"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// probeVariable makes this test binary the program that the suite runs in sandboxes.
const probeVariable = "PORTCULLIS_TEST_PROBE"

// playProbe is that program.
func playProbe() {
	if os.Getenv(probeVariable) != "" {
		os.Exit(max(0, sandboxtest.Probe(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)))
	}
}

// shells is what is inside of the simulated GitHub's codespaces: an SSH server, and for
// each codespace processes and a workspace of its own. It takes no signals, and leaves
// what runs when a session is closed, as SSH servers may.
type shells struct {
	t      *testing.T
	sim    *githubsim.Sim
	folder string
	signer ssh.Signer
	server *sshtest.Server
	listen net.Listener

	done chan struct{}

	mu     sync.Mutex
	inside map[string]*inner
	heads  map[string]string // by names: what is checked out, if it is another commit
	dials  int
	conns  int               // that are open
	refuse int               // how many connections fail yet
	hangs  bool              // whether nobody answers
	users  map[string]string // whose tokens were shown, by names
}

// inner is what runs in one codespace. Its first process ends with it, and all others
// with that.
type inner struct {
	init *exec.Cmd
	pid  string
}

// newShells needs namespaces for processes: what ends a command looks at all of them.
func newShells(t *testing.T, sim *githubsim.Sim) *shells {
	t.Helper()
	if err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--mount", "true").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("processes cannot be kept apart here: unshare: %v", err)
		}
		t.Skipf("NOT TESTED: what this test says of codespaces, because processes cannot be kept apart here (unshare: %v)", err)
	}
	s := &shells{t: t, sim: sim, folder: t.TempDir(), done: make(chan struct{}), inside: map[string]*inner{}, heads: map[string]string{}, users: map[string]string{}}
	s.signer = sshtest.NewSigner(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return &ssh.Permissions{}, nil }}
	config.AddHostKey(s.signer)
	s.server = &sshtest.Server{Config: config, Exec: s.exec}
	git := "#!/bin/sh\ntest \"$1 $3 $5 $6 $7\" = '-c -C rev-parse --verify HEAD' && test -d \"$4\" && cat \"" + s.folder + "/head/$PORTCULLIS_TEST_CODESPACE\"\n"
	for _, err := range []error{
		os.MkdirAll(s.workspaces(), 0o755), os.MkdirAll(s.folder+"/bin", 0o755), os.MkdirAll(s.folder+"/head", 0o755), os.WriteFile(s.folder+"/bin/git", []byte(git), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.server.Running.Go(s.accept)
	s.server.Running.Go(s.reap)
	t.Cleanup(func() {
		close(s.done)
		_ = s.listen.Close()
		s.mu.Lock()
		for name := range s.inside {
			s.end(name)
		}
		s.mu.Unlock()
		s.server.Running.Wait()
	})
	return s
}

func (s *shells) workspaces() string { return s.folder + "/workspaces" }

// codespace is the simulated one of that name, or nil.
func (s *shells) codespace(name string) *githubsim.Codespace {
	for _, cs := range s.sim.Codespaces() {
		if cs.Name() == name {
			return cs
		}
	}
	return nil
}

// Dial connects to the server, as the user who is called as the codespace.
func (s *shells) Dial(ctx context.Context, name string, by usertoken.Token) (codespaces.Line, error) {
	cs := s.codespace(name)
	if cs == nil || cs.State() != "Available" {
		return codespaces.Line{}, errors.New("the codespace is not available")
	}
	s.mu.Lock()
	s.dials++
	s.users[name] = by.Owner.Login
	refused, hangs := s.refuse > 0, s.hangs
	s.refuse--
	s.mu.Unlock()
	if refused {
		return codespaces.Line{}, errors.New("its SSH server is not installed yet")
	}
	if hangs {
		<-ctx.Done()
		return codespaces.Line{}, ctx.Err()
	}
	if by.IsZero() || cs.Owner().ID() != by.Owner.ID {
		return codespaces.Line{}, fmt.Errorf("the token of %s does not open what is %s's", by.Owner.Login, cs.Owner().Login())
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.listen.Addr().String())
	if err != nil {
		return codespaces.Line{}, err
	}
	return codespaces.Line{Conn: conn, User: name, Auth: ssh.PublicKeys(s.signer), HostKey: ssh.FixedHostKey(s.signer.PublicKey())}, nil
}

func (s *shells) accept() {
	for {
		conn, err := s.listen.Accept()
		if err != nil {
			return
		}
		s.server.Running.Go(func() { s.serve(conn) })
	}
}

func (s *shells) count(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns += by
}

// soonConnected waits until so many connections are open.
func (s *shells) soonConnected(want int) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		s.mu.Lock()
		conns := s.conns
		s.mu.Unlock()
		if conns == want {
			return true
		}
	}
	return false
}

func (s *shells) serve(conn net.Conn) {
	s.count(1)
	defer s.count(-1)
	stop := make(chan struct{})
	defer close(stop)
	s.server.Running.Go(func() {
		select {
		case <-stop:
		case <-s.done:
			_ = conn.Close()
		}
	})
	s.server.Serve(conn)
}

// exec runs a line as a login shell does, which says something first.
func (s *shells) exec(name, line string, channel ssh.Channel) {
	defer func() { _ = channel.Close() }()
	in, err := s.in(name)
	if err != nil {
		_, _ = io.WriteString(channel.Stderr(), err.Error())
		return
	}
	// The shell outside waits for what is inside, and does not mind if that is stopped.
	const wait = `exec 3>&2 2>/dev/null; setsid /bin/sh -c "$1" 2>&3 3>&-; exit $?`
	command := exec.Command("nsenter", "--no-fork", "--target", in.pid, "--pid", "--mount", "sh", "-c", wait, "sh", "echo Welcome to Codespaces; echo warning >&2; "+line)
	command.Env = []string{"PATH=" + s.folder + "/bin:" + os.Getenv("PATH"), "HOME=" + s.workspaces(), probeVariable + "=1", "PORTCULLIS_TEST_CODESPACE=" + name}
	command.Dir = "/"
	command.Stdout, command.Stderr = channel, channel.Stderr()
	stdin, err := command.StdinPipe()
	if err != nil {
		return
	}
	command.WaitDelay = 100 * time.Millisecond // what runs on in the background holds the outputs
	if err := command.Start(); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(stdin, channel)
		_ = stdin.Close()
	}()
	_ = command.Wait()
	if command.ProcessState.ExitCode() == 128+int(syscall.SIGSEGV) {
		_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name    string
			Core    bool
			Message string
			Lang    string
		}{Name: "SEGV"}))
		return
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(command.ProcessState.ExitCode())}))
}

// in is what runs in the codespace, which begins when somebody comes.
func (s *shells) in(name string) (*inner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.inside[name]; in != nil {
		return in, nil
	}
	cs := s.codespace(name)
	if cs == nil {
		return nil, errors.New("no such codespace")
	}
	own := filepath.Join(s.folder, name)
	head := s.heads[name]
	if head == "" {
		head = s.heads[""]
	}
	if err := errors.Join(os.MkdirAll(own+"/shop", 0o755), os.WriteFile(s.folder+"/head/"+name, []byte(head+"\n"), 0o600)); err != nil {
		return nil, err
	}
	in := &inner{init: exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount",
		"sh", "-c", `mount --bind "$1" "$2" && touch "$1.ready" && exec sleep 100000`, "sh", own, s.workspaces())}
	if err := in.init.Start(); err != nil {
		return nil, err
	}
	s.server.Running.Go(func() { _ = in.init.Wait() })
	for range 500 {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", in.init.Process.Pid, in.init.Process.Pid))
		if _, err := os.Stat(own + ".ready"); err == nil && len(strings.Fields(string(children))) > 0 {
			in.pid = strings.Fields(string(children))[0]
			s.inside[name] = in
			return in, nil
		}
		<-time.After(2 * time.Millisecond)
	}
	_ = in.init.Process.Kill()
	return nil, errors.New("the codespace did not begin")
}

// reap ends what is in codespaces that are not available any more.
func (s *shells) reap() {
	for {
		select {
		case <-s.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
		available := map[string]bool{}
		for _, cs := range s.sim.Codespaces() {
			available[cs.Name()] = cs.State() == "Available"
		}
		s.mu.Lock()
		for name := range s.inside {
			if !available[name] {
				s.end(name)
			}
		}
		s.mu.Unlock()
	}
}

// end ends what is in a codespace; the lock is held.
func (s *shells) end(name string) {
	in := s.inside[name]
	delete(s.inside, name)
	_ = in.init.Process.Kill()
}

// processes lists what runs in the codespace, beside its first process.
func (s *shells) processes(name string) string {
	in, err := s.in(name)
	if err != nil {
		return ""
	}
	told, _ := exec.Command("nsenter", "--target", in.pid, "--pid", "--mount", "sh", "-c", `for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || tr '\0' ' ' </proc/$p/cmdline 2>/dev/null; done`).Output()
	return strings.TrimSpace(string(told))
}
