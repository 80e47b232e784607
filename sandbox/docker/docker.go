// Package docker is a [sandbox.Sandbox] on a Docker engine: a container without network,
// privileges, a disk that could be written, or a way to outlive its deadline.
//
// PID 1 is Portcullis itself, as another user than what runs there; it ends the container
// at its deadline with nobody else alive. The engine is the truth of what there is: each
// container carries in its labels whose it is and until when.
package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/sandbox"
)

// Provider is what the implementation is called.
const Provider = "docker"

// Config is what a Docker is made of.
type Config struct {
	// Host is where the engine is, as "unix:///var/run/docker.sock".
	Host string
	// App is the number of the GitHub App: several may share an engine.
	App int64
	// Program is the path of Portcullis itself, linked statically: it is PID 1 in the
	// sandboxes.
	Program string
	// Runtime isolates every sandbox, as "runsc"; empty: the engine's default.
	Runtime string
	// Egress is their way out; the zero Egress: there is none.
	Egress Egress
	Now    func() time.Time
	Log    zerolog.Logger
}

// Docker starts sandboxes on an engine. It may be used by several goroutines, and several
// may share an engine.
type Docker struct {
	config Config
	engine *client.Client

	mu sync.Mutex
	// facts are the engine's, as they were then.
	facts   facts
	factsAt time.Time
	// images are those that were looked at.
	images map[string]bool

	turns sandbox.Turns
	tools tools
	exits exits
}

var _ sandbox.Sandbox = (*Docker)(nil)

// NewDockerSandbox returns one, and asks the engine nothing: one that is down keeps sandboxes from
// being started, and nothing else.
func NewDockerSandbox(config Config) (*Docker, error) {
	engine, err := client.New(client.WithHost(config.Host), client.WithUserAgent("portcullis"))
	if err != nil {
		return nil, fmt.Errorf("the Docker engine's address %q: %w", config.Host, err)
	}
	return &Docker{config: config, engine: engine, images: map[string]bool{}, exits: exits{open: map[string]net.Listener{}, refused: map[string]bool{}}}, nil
}

// Close gives up the connections to the engine, and the sandboxes' ways out.
func (d *Docker) Close() error {
	d.closeExits()
	return d.engine.Close()
}

// Ready is an error if no sandbox could be started: the engine does not answer or cannot
// enforce what it must, or the program that is to be PID 1 is not linked statically.
func (d *Docker) Ready(ctx context.Context) error {
	engine, err := d.look(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(engine.refuses(), d.othersAreOut()); err != nil {
		return err
	}
	if _, err := d.runtime("", engine); err != nil {
		return err
	}
	_, err = static(d.config.Program, engine.architecture)
	return err
}

// facts is what an engine can enforce.
type facts struct {
	architecture string
	runtimes     []string
	// lacks are constraints that its kernel does not enforce, by field, with why.
	lacks map[string]string
	// memoryMB and cpus are what there is of them.
	memoryMB, cpus int64
	// mapped is true if its users are not the machine's: it has a range of them.
	mapped bool
	// tools is the volume with the programs that run in sandboxes.
	tools string
}

// refuses is a refusal if there is something that every sandbox needs.
func (f facts) refuses() error {
	for _, field := range slices.Sorted(maps.Keys(f.lacks)) {
		return refused(field, "%s", f.lacks[field])
	}
	return nil
}

// has is a refusal of more than there is, which the kernel would not hold anybody to, and
// of too little.
func (f facts) has(memory, cpu int64) error {
	switch {
	case memory < minMemoryMB:
		return refused("memory_mb", "%d is too little: it takes %d at least", memory, minMemoryMB)
	case memory > f.memoryMB:
		return refused("memory_mb", "%d is more than the engine has: %d", memory, f.memoryMB)
	case cpu > f.cpus*100:
		return refused("cpu_percent", "%d is more than the engine has: %d", cpu, f.cpus*100)
	default:
		return nil
	}
}

// factsFor is how long an engine's facts are taken for granted.
const factsFor = time.Minute

// look asks the engine what it can enforce.
func (d *Docker) look(ctx context.Context) (facts, error) {
	d.mu.Lock()
	known, at := d.facts, d.factsAt
	d.mu.Unlock()
	if !at.IsZero() && d.config.Now().Sub(at) < factsFor {
		return known, nil
	}
	asked, err := d.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return facts{}, fmt.Errorf("ask the Docker engine what it can do: %w", err)
	}
	info := asked.Info
	seen := facts{architecture: architectures[info.Architecture], lacks: map[string]string{}, memoryMB: info.MemTotal >> 20, cpus: int64(info.NCPU)}
	seen.mapped = slices.ContainsFunc(info.SecurityOptions, func(o string) bool {
		return strings.HasPrefix(o, "name=userns") || strings.HasPrefix(o, "name=rootless")
	})
	for name := range info.Runtimes {
		seen.runtimes = append(seen.runtimes, name)
	}
	slices.Sort(seen.runtimes)
	lacks := func(field string, has bool, why string) {
		if !has {
			seen.lacks[field] = why
		}
	}
	lacks("memory_mb", info.MemoryLimit && info.SwapLimit, "the engine's kernel limits no memory, or no swap; it needs the memory cgroup with swapaccount=1")
	lacks("cpu_percent", info.CPUCfsQuota && info.CPUCfsPeriod, "the engine's kernel limits no CPU time")
	lacks("processes", info.PidsLimit, "the engine's kernel limits no processes; it needs the pids cgroup")
	lacks("isolation", slices.ContainsFunc(info.SecurityOptions, func(o string) bool {
		return strings.HasPrefix(o, "name=seccomp") && !strings.Contains(o, "unconfined")
	}), "the engine filters no system calls; it needs seccomp with its default profile")
	if seen.architecture == "" {
		seen.architecture = info.Architecture
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.facts, d.factsAt = seen, d.config.Now()
	return seen, nil
}

// architectures are Go's names for the kernel's.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// refused is the refusal of a constraint.
func refused(field, why string, args ...any) error {
	return &sandbox.UnsupportedError{Provider: Provider, Field: field, Why: fmt.Sprintf(why, args...)}
}
