// Package inside is what of Portcullis runs in a sandbox: PID 1, which ends it at its
// deadline whatever has become of whoever created it, and what unpacks and packs files
// there. It is as little as that needs, and trusts nothing around it.
package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/sandbox"
)

// The words that the program is called with in a sandbox, after its own name.
var (
	InitCommand    = []string{"sandbox", "init"}
	RunCommand     = []string{"sandbox", "run"}
	AttendCommand  = []string{"sandbox", "attend"}
	KillCommand    = []string{"sandbox", "kill"}
	UnpackCommand  = []string{"sandbox", "unpack"}
	PackCommand    = []string{"sandbox", "pack"}
	InstallCommand = []string{"sandbox", "install"}
)

// ProxyAddress is where PID 1 takes what wants to go out, in a sandbox that may.
const ProxyAddress = "127.0.0.1:3128"

// Options are those of [Init].
type Options struct {
	// Deadline is when the sandbox ends, by the wall clock, and Lifetime how long after
	// PID 1 was started at the latest, whatever the wall clock says.
	Deadline time.Time
	Lifetime time.Duration
	// Proxy is the socket of whoever answers what wants to go out; empty: nothing may.
	Proxy string
	Now   func() time.Time
}

// Arguments are the options as they are written on the command line.
func (o Options) Arguments() []string {
	args := []string{"--deadline=" + o.Deadline.UTC().Format(time.RFC3339Nano), "--lifetime=" + o.Lifetime.String()}
	if o.Proxy != "" {
		args = append(args, "--proxy="+o.Proxy)
	}
	return args
}

// lookEvery is how often the wall clock is looked at: a machine that slept has moved it.
const lookEvery = time.Second

// Init is PID 1 of a sandbox: when it returns, the kernel ends everything in there. That
// is at the deadline, or when ctx ends.
func Init(ctx context.Context, options Options) error {
	if options.Deadline.IsZero() || options.Lifetime <= 0 {
		return errors.New("a sandbox without a deadline is not begun")
	}
	ctx, cancel := context.WithTimeout(ctx, options.Lifetime)
	defer cancel()
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return reap(ctx) })
	if options.Proxy != "" {
		running.Go(func() error { return forward(ctx, options.Proxy) })
	}
	running.Go(func() error {
		defer cancel()
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		end := time.NewTimer(options.Deadline.Sub(options.Now()))
		defer end.Stop()
		for {
			select {
			case <-end.C:
				return nil
			case <-look.C:
				if !options.Now().Before(options.Deadline) {
					return nil
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	return running.Wait()
}

// Unpack unpacks the archive below the folder, which it makes if it must.
func Unpack(folder string, archive io.Reader) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // whoever runs in the sandbox is to read it
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return sandbox.Unpack(root, archive, sandbox.DefaultLimits)
}

// Pack packs what is at the path, below the workspace.
func Pack(path string, archive io.Writer) error {
	root, err := os.OpenRoot(sandbox.Workspace)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	name := strings.TrimPrefix(strings.TrimPrefix(path, sandbox.Workspace), "/")
	if name == "" {
		name = "."
	}
	if !strings.HasPrefix(path, sandbox.Workspace) {
		return fmt.Errorf("%s is not below %s", path, sandbox.Workspace)
	}
	return sandbox.Pack(root, name, archive, sandbox.DefaultLimits)
}
