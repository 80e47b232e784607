package postgrestest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// errNotInstalled is all that a machine without PostgreSQL gets to read.
var errNotInstalled = errors.New("NOT TESTED: what this test says of PostgreSQL, because the server is not installed here; " +
	"`apt-get install postgresql`, `dnf install postgresql-server` or `brew install postgresql` brings it")

// installation is where the programs are, and a directory in which initdb has
// made the data of one server.
type installation struct {
	bin   string
	dir   string
	owner *owner // as whom the server runs; nil for whoever runs the tests
}

// owner is a user of this machine.
type owner struct{ uid, gid int }

func (i *installation) data() string { return filepath.Join(i.dir, "data") }

// install makes the data of a new server.
func install() (*installation, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	i := &installation{bin: bin}
	if i.owner, err = findOwner(); err != nil {
		return nil, err
	}
	// Not the test's own directory, which may be closed to the owner.
	if i.dir, err = os.MkdirTemp(i.parent(), "pgtest-"); err != nil {
		return nil, err
	}
	if err := i.init(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(i.dir))
	}
	return i, nil
}

func (i *installation) init() error {
	if i.owner != nil {
		if err := os.Chown(i.dir, i.owner.uid, i.owner.gid); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Nothing is lost if the machine fails before the server has started, and it
	// flushes what it writes from then on.
	cmd := i.command(ctx, "initdb", "-D", i.data(), "-U", "postgres", "-A", "trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	cmd.SysProcAttr = attributes(i.owner)
	// The process dies with its thread, which therefore has to be this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w:\n%s", err, out)
	}
	return nil
}

// parent is where the directory is made. PostgreSQL refuses to run as root, and
// another user has to get there: /tmp is open where root's own may not be.
func (i *installation) parent() string {
	temporary := os.TempDir()
	if i.owner == nil {
		return temporary
	}
	for dir := temporary; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&0o001 == 0 {
			return "/tmp"
		}
		if dir == filepath.Dir(dir) {
			return temporary
		}
	}
}

// findOwner is an unprivileged user if the tests run as root.
func findOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is whoever runs the tests
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUser := strconv.Atoi(found.Uid)
		gid, errGroup := strconv.Atoi(found.Gid)
		if errUser == nil && errGroup == nil {
			return &owner{uid: uid, gid: gid}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")
}

// places are where packages put the programs when not in the PATH. Debian, for
// one, has a directory for each version.
var places = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/opt/homebrew/bin",
	"/usr/local/opt/postgresql*/bin",
	"/usr/local/pgsql/bin",
}

// findPrograms is the directory of a complete PostgreSQL: the one in the PATH,
// or else the newest.
func findPrograms() (string, error) {
	if runtime.GOOS == "windows" {
		return "", errNotInstalled // it would be stopped and killed in other ways
	}
	var candidates []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if resolved, err := filepath.EvalSymlinks(initdb); err == nil {
			candidates = append(candidates, filepath.Dir(resolved))
		}
		candidates = append(candidates, filepath.Dir(initdb))
	}
	for _, place := range places {
		found, err := filepath.Glob(place)
		if err != nil {
			return "", err
		}
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
		candidates = append(candidates, found...)
	}
	for _, bin := range candidates {
		if complete(bin) {
			return filepath.Abs(bin)
		}
	}
	return "", errNotInstalled
}

var digits = regexp.MustCompile(`\d+`)

// version is the major version in the name of a directory; one without comes last.
func version(bin string) int {
	number, _ := strconv.Atoi(digits.FindString(bin))
	return number
}

func complete(bin string) bool {
	for _, program := range []string{"initdb", "postgres", "psql"} {
		if _, err := exec.LookPath(filepath.Join(bin, program)); err != nil {
			return false
		}
	}
	return true
}

// environment is ours without what PostgreSQL's programs take from it: a test
// depends on no setting of whoever runs it.
func environment() []string {
	inherited := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "LC_")
	})
	return append(inherited, "LC_ALL=C", "TZ=UTC")
}

var ports atomic.Int64

// freePort is a port that nobody listens on. It is below those that systems give
// to clients: while the server is down, one of those could be given away, even to
// a client that looks for the server, and the server could not come back.
func freePort() (int, error) {
	const first, count = 15000, 17000
	for range 1000 {
		// The process's number keeps test binaries that run at once apart.
		port := first + (os.Getpid()*16+int(ports.Add(1)))%count
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port for PostgreSQL")
}
