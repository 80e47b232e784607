package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// The labels that tell any process what a sandbox may reach and write.
const (
	labelPrefix   = "portcullis."
	labelNetwork  = labelPrefix + "network"
	labelEgress   = labelPrefix + "egress"
	labelLent     = labelPrefix + "credentials"
	labelWritable = labelPrefix + "writable"
	// labelUser is the number of the user that its workload is.
	labelUser = labelPrefix + "user"
)

// unlabelled are the labels that are read and that not every container has. They are
// written all the same: those that a container does not set it has from its image.
func unlabelled() map[string]string {
	return map[string]string{
		sandbox.LabelApp: "", sandbox.LabelID: "", labelTools: "",
		labelNetwork: "", labelEgress: "", labelLent: "", labelWritable: "", labelUser: "",
	}
}

// Egress is the way out of sandboxes that have no network: a socket in each, behind which
// somebody on this machine answers.
type Egress struct {
	// Folder is where the sockets are, which this machine and the engine must both see;
	// empty: nothing goes out.
	Folder string
	// Lends is true if Serve gives credentials to hosts.
	Lends bool
	// Full is true if the operator allows [sandbox.NetworkFull].
	Full bool
	// Serve answers what comes through the listener, which is one sandbox's, until that is
	// closed.
	Serve func(listener net.Listener, is sandbox.Instance, reach Reach)
}

// Reach is what a sandbox may reach.
type Reach struct {
	Network sandbox.NetworkPolicy
	// Hosts are those of [sandbox.NetworkEgressOnly].
	Hosts []string
	// Credentials are given to hosts, by their names: their names.
	Credentials map[string]string
}

// exit is the part of a container that is its way out.
type exit struct {
	socket      string
	mounts      []mount.Mount
	environment []string
	labels      map[string]string
}

// socketName is what the socket is called in the folder of its sandbox.
const socketName = "proxy.sock"

// wayOut is the way out that the constraints ask for, or a refusal.
func (d *Docker) wayOut(id string, c sandbox.SandboxConstraints) (exit, error) {
	labels := unlabelled()
	labels[labelWritable] = strings.Join(c.Writable(), ",")
	if err := d.config.Egress.allows(Reach{Network: c.Network, Credentials: c.Credentials}); err != nil {
		return exit{}, err
	}
	switch {
	case c.Network == "" || c.Network == sandbox.NetworkNone:
		return exit{labels: labels}, nil
	case d.config.Egress.Folder == "" || d.config.Egress.Serve == nil:
		return exit{}, refused("network", "this server has no way out for sandboxes; an operator sets sandbox.docker.egress_folder")
	case !strings.HasPrefix(d.config.Host, "unix://"):
		return exit{}, refused("network", "the engine is on another machine, and %s needs it to be on this one", c.Network)
	}
	labels[labelNetwork], labels[labelEgress] = string(c.Network), strings.Join(c.Egress, ",")
	for _, host := range slices.Sorted(maps.Keys(c.Credentials)) {
		labels[labelLent] += host + "=" + c.Credentials[host] + ","
	}
	proxy := "http://" + inside.ProxyAddress
	return exit{
		socket: egressFolder + "/" + socketName,
		mounts: []mount.Mount{{Type: mount.TypeBind, Source: d.socketFolder(id), Target: egressFolder, ReadOnly: true}},
		environment: []string{
			"HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "http_proxy=" + proxy, "https_proxy=" + proxy, "NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1",
		},
		labels: labels,
	}, nil
}

func (d *Docker) socketFolder(id string) string { return filepath.Join(d.config.Egress.Folder, id) }

// allows is a refusal of what this process does not let out: a sandbox may have been
// created by one that does, before the operator has switched that off.
func (e Egress) allows(reach Reach) error {
	switch {
	case len(reach.Credentials) > 0 && !e.Lends:
		return refused("credentials", "this process gives none to hosts: the server holds the engine then, and no reaper does")
	case reach.Network == sandbox.NetworkFull && !e.Full:
		return refused("network", "the operator does not allow full; sandbox.docker.full_network does")
	default:
		return nil
	}
}

// exits are the ways out that this process answers.
type exits struct {
	mu     sync.Mutex
	closed bool
	open   map[string]net.Listener
	// refused are those of which it was told that nobody answers.
	refused map[string]bool
	serving sync.WaitGroup
}

// first reports whether it was not told yet that the sandbox is refused its way out.
func (e *exits) first(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	told := e.refused[id]
	e.refused[id] = true
	return !told
}

// openExit has somebody answer for the sandbox. One that has no way out, or whose another
// process answers, is left as it is.
func (d *Docker) openExit(ctx context.Context, is sandbox.Instance, reach Reach) error {
	if reach.Network == "" || reach.Network == sandbox.NetworkNone {
		return nil
	}
	if err := d.config.Egress.allows(reach); err != nil {
		return fmt.Errorf("open the way out of the sandbox %s: %w", is.ID, err)
	}
	d.exits.mu.Lock()
	defer d.exits.mu.Unlock()
	if _, answered := d.exits.open[is.ID]; answered || d.exits.closed {
		return nil
	}
	listener, err := d.listen(ctx, is.ID)
	if err != nil {
		return fmt.Errorf("open the way out of the sandbox %s: %w", is.ID, err)
	}
	if listener == nil {
		return nil
	}
	d.exits.open[is.ID] = listener
	d.exits.serving.Go(func() { d.config.Egress.Serve(listener, is, reach) })
	return nil
}

// listen listens on the sandbox's socket; nil: another process does.
func (d *Docker) listen(ctx context.Context, id string) (net.Listener, error) {
	if err := d.keepOthersOut(); err != nil {
		return nil, err
	}
	folder := d.socketFolder(id)
	if err := os.Mkdir(folder, 0o711); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // PID 1 of the sandbox goes through it
		return nil, err
	}
	socket := filepath.Join(folder, socketName)
	if there, err := new(net.Dialer).DialContext(ctx, "unix", socket); err == nil {
		return nil, there.Close()
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	// Whoever can reach the folder may connect: that is the sandbox, and root.
	if err := os.Chmod(socket, 0o666); err != nil { //nolint:gosec // see above
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// keepOthersOut makes the folder of the sockets, and refuses one that other users of this
// machine can enter: they would go out as a sandbox does, with its credentials.
func (d *Docker) keepOthersOut() error {
	folder := d.config.Egress.Folder
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil { //nolint:gosec // not the folder itself
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.othersAreOut()
}

func (d *Docker) othersAreOut() error {
	there, err := os.Stat(d.config.Egress.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // also if it has no name
	}
	if err == nil && there.Mode().Perm()&0o077 != 0 {
		return refused("network", "other users of this machine can enter %s, where the sockets of sandboxes are; `chmod 700` it", d.config.Egress.Folder)
	}
	return err
}

// shutExit ends the way out of a sandbox that is gone.
func (d *Docker) shutExit(id string) error {
	if d.config.Egress.Folder == "" {
		return nil
	}
	d.exits.mu.Lock()
	defer d.exits.mu.Unlock()
	delete(d.exits.refused, id)
	if listener, open := d.exits.open[id]; open {
		_ = listener.Close() // it is gone whatever the system says
		delete(d.exits.open, id)
	}
	return os.RemoveAll(d.socketFolder(id))
}

// Tend answers for sandboxes whose process is gone, and takes away what is left of those
// that are. It is to be called now and then. That one is refused its way out is an error
// once: it is so until the sandbox ends.
func (d *Docker) Tend(ctx context.Context) error {
	if d.config.Egress.Folder == "" {
		return nil
	}
	found, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: d.ours()})
	if err != nil {
		return fmt.Errorf("list the sandboxes: %w", err)
	}
	there := map[string]bool{}
	var errs []error
	for _, item := range found.Items {
		is := d.instance(item.Labels, item.State, "")
		there[is.ID] = true
		if is.Status == sandbox.StatusRunning {
			err := d.openExit(ctx, is, reachOf(item.Labels))
			if _, refused := errors.AsType[*sandbox.UnsupportedError](err); !refused || d.exits.first(is.ID) {
				errs = append(errs, err)
			}
		}
	}
	entries, err := os.ReadDir(d.config.Egress.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, entry := range entries {
		if old, err := entry.Info(); err == nil && sandbox.ValidID(entry.Name()) && !there[entry.Name()] && d.config.Now().Sub(old.ModTime()) > createTime {
			errs = append(errs, d.shutExit(entry.Name()))
		}
	}
	return errors.Join(errs...)
}

func reachOf(labels map[string]string) Reach {
	reach := Reach{Network: sandbox.NetworkPolicy(labels[labelNetwork])}
	if hosts := labels[labelEgress]; hosts != "" {
		reach.Hosts = strings.Split(hosts, ",")
	}
	for pair := range strings.SplitSeq(labels[labelLent], ",") {
		if host, name, given := strings.Cut(pair, "="); given {
			if reach.Credentials == nil {
				reach.Credentials = map[string]string{}
			}
			reach.Credentials[host] = name
		}
	}
	return reach
}

// closeExits ends every way out and waits for those who answered.
func (d *Docker) closeExits() {
	d.exits.mu.Lock()
	d.exits.closed = true
	for id, listener := range d.exits.open {
		_ = listener.Close()
		delete(d.exits.open, id)
	}
	d.exits.mu.Unlock()
	d.exits.serving.Wait()
}
