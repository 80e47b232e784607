package docker_test

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
)

// attempt is a way out. The same is tried in a container without any of what holds a
// sandbox, where it must succeed: what fails everywhere shows nothing.
type attempt struct {
	name string
	argv []string
	// alone is true of what would harm the machine, or has nothing to succeed at.
	alone bool
}

// escapes are tried in a sandbox that may write /workspace/out alone. hosts are addresses
// of this machine at which somebody answers.
func escapes(hosts []string) []attempt {
	all := []attempt{
		{"an interface beside loopback", []string{"interfaces"}, false},
		{"the metadata service", []string{"dial", "169.254.169.254:80"}, true},
		{"the metadata service by IPv6", []string{"dial", "[fd00:ec2::254]:80"}, true},
		{"a private address", []string{"send", "10.0.0.1:9"}, false},
		{"another private address", []string{"send", "192.168.0.1:9"}, false},
		{"a raw public address", []string{"send", "1.1.1.1:443"}, false},
		{"DNS by UDP", []string{"send", "8.8.8.8:53"}, false},
		{"DNS by TCP", []string{"dial", "8.8.8.8:53"}, true},
		{"a name", []string{"resolve", "example.com"}, true},
		{"a public IPv6 address", []string{"send", "[2606:4700:4700::1111]:53"}, true},
		{"IPv6 multicast", []string{"send", "[ff02::1%lo]:9"}, true},
		{"a raw socket", []string{"raw"}, false},
		{"a packet socket", []string{"packet"}, false},
		{"mount", []string{"mount"}, false},
		{"remount the root", []string{"remount"}, false},
		{"bind", []string{"bind"}, false},
		{"unmount the programs", []string{"umount", "/.portcullis"}, true},
		{"unmount the workspace", []string{"umount", "/workspace"}, true},
		{"unshare users", []string{"unshare-user"}, true},
		{"unshare mounts", []string{"unshare-mount"}, false},
		{"unshare the network", []string{"unshare-network"}, false},
		{"enter PID 1's mounts", []string{"enter", "mnt"}, true},
		{"enter PID 1's network", []string{"enter", "net"}, false},
		{"chroot", []string{"chroot"}, false},
		{"make a disk", []string{"mknod"}, false},
		{"become root", []string{"become-root"}, false},
		{"become PID 1's user", []string{"become-init"}, false},
		{"take a group", []string{"groups"}, false},
		{"signal PID 1", []string{"kill-init"}, false},
		{"stop PID 1", []string{"stop-init"}, false},
		{"trace PID 1", []string{"trace-init"}, true},
		{"read PID 1's memory", []string{"read-init-memory"}, true},
		{"read PID 1's memory as a file", []string{"open-to-write", "/proc/1/mem"}, false},
		{"read PID 1's environment", []string{"read", "/proc/1/environ"}, false},
		{"read PID 1's files", []string{"read", "/proc/1/fd/0"}, true},
		{"reach the host's root through PID 1", []string{"read", "/proc/1/root/probe"}, false},
		{"write the root", []string{"write", "/x"}, false},
		{"write /etc", []string{"write", "/etc/x"}, false},
		{"write the image's program", []string{"open-to-write", "/probe"}, true},
		{"write the kill program", []string{"open-to-write", "/.portcullis/kill"}, true},
		{"write beside the programs", []string{"write", "/.portcullis/x"}, true},
		{"write outside the allowed path", []string{"write", "/workspace/x"}, true},
		{"write /dev", []string{"write", "/dev/x"}, false},
		{"write a limit", []string{"write", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}, true},
		{"write a kernel setting", []string{"open-to-write", "/proc/sys/kernel/core_pattern"}, true},
		{"write the kernel's trigger", []string{"open-to-write", "/proc/sysrq-trigger"}, true},
		{"read the kernel's memory", []string{"read", "/proc/kcore"}, true},
		{"open memory", []string{"open-to-write", "/dev/mem"}, true},
		{"a program in /tmp", []string{"run-from", "/tmp"}, false},
		{"a program in /dev/shm", []string{"run-from", "/dev/shm"}, true},
		{"the engine's socket", []string{"dial-unix", "/var/run/docker.sock"}, true},
		{"hostname", []string{"hostname"}, false},
		{"the clock", []string{"clock"}, true},
		{"a higher priority", []string{"priority"}, false},
		{"the kernel's log", []string{"kernel-log"}, false},
		{"delete a module", []string{"module"}, true},
		{"reboot", []string{"reboot"}, true},
		{"swap", []string{"swap"}, true},
		{"bpf", []string{"bpf"}, false},
		{"perf", []string{"perf"}, false},
		{"a file by its handle", []string{"open-by-handle"}, true},
		{"userfaultfd", []string{"userfaultfd"}, false},
		{"privileges", []string{"privileges"}, false},
	}
	for _, host := range hosts {
		all = append(all, attempt{"the host at " + host, []string{"dial", host}, false})
	}
	return all
}

// answering listens on every address of this machine, and returns those that a container
// could reach it at.
func answering(t *testing.T) []string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			hosts = append(hosts, net.JoinHostPort(ip.IP.String(), port))
		}
	}
	return hosts
}

func TestI12Escapes(t *testing.T) {
	w := newWorld(t)
	hosts := answering(t)
	if len(hosts) == 0 {
		t.Fatal("this machine has no address but loopback, so that nothing shows that the host is out of reach")
	}
	s := spec()
	s.Constraints.AllowedPaths = []string{sandbox.Workspace + "/out"}
	w.create(t, s)
	bare := w.bare(t)
	for _, a := range escapes(hosts) {
		got := w.run(t, s.ID, sandbox.Command{Argv: append([]string{"/probe"}, a.argv...), Timeout: 10 * time.Second})
		if got.ExitCode != 1 || got.TimedOut {
			t.Errorf("%s: %+v", a.name, got)
		}
		if a.alone {
			continue
		}
		if code, said := bare.run(t, append([]string{"/probe"}, a.argv...)); code != 0 {
			t.Errorf("%s fails without a sandbox too, and so shows nothing: %s", a.name, said)
		}
	}
	for _, allowed := range []string{"/workspace/out/x", "/tmp/x"} {
		if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "write", allowed}}); got.ExitCode != 0 {
			t.Errorf("%s: %+v", allowed, got)
		}
	}
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "run-from", "/workspace/out"}}); got.ExitCode != 0 {
		t.Errorf("a program in the workspace: %+v", got)
	}
}

// bare is a container with everything that a sandbox has not.
type bare struct {
	engine *client.Client
	id     string
}

func (w *world) bare(t *testing.T) bare {
	t.Helper()
	made, err := w.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config:     &container.Config{Image: built.image, Entrypoint: []string{"/probe", "wait", "1h"}, User: "0", Env: []string{"X=1"}},
		HostConfig: &container.HostConfig{CapAdd: []string{"SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "NET_RAW", "NET_ADMIN", "SYSLOG", "SYS_NICE", "MKNOD", "DAC_READ_SEARCH"}, SecurityOpt: []string{"seccomp=unconfined", "apparmor=unconfined"}, Tmpfs: map[string]string{"/tmp": "exec"}, AutoRemove: true},
	})
	if err == nil {
		_, err = w.engine.ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := w.engine.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil {
			t.Error(err)
		}
	})
	return bare{w.engine, made.ID}
}

func (b bare) run(t *testing.T, argv []string) (code int, said string) {
	t.Helper()
	made, err := b.engine.ExecCreate(t.Context(), b.id, client.ExecCreateOptions{Cmd: argv, AttachStdout: true, AttachStderr: true, TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := b.engine.ExecAttach(t.Context(), made.ID, client.ExecAttachOptions{TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	var out strings.Builder
	_, _ = attached.Reader.WriteTo(&out)
	seen, err := b.engine.ExecInspect(t.Context(), made.ID, client.ExecInspectOptions{})
	if err != nil || seen.Running {
		t.Fatalf("%+v, %v", seen, err)
	}
	return seen.ExitCode, out.String()
}

// I11: what the engine says of a sandbox, as it is kept beside the test.
func TestI11WhatTheEngineSaysOfIt(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.Constraints = sandbox.SandboxConstraints{MemoryMB: 512, CPUPercent: 50, Timeout: time.Hour, AllowedPaths: []string{"/workspace/out", "/workspace/cache"}}
	w.create(t, s)
	inspected, err := w.engine.ContainerInspect(t.Context(), w.container(t, s.ID), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := inspected.Container
	type m map[string]any
	got, err := json.MarshalIndent(m{
		"user": c.Config.User, "environment": c.Config.Env, "program": c.Path, "command": c.Config.Cmd, "stdin": c.Config.OpenStdin, "tty": c.Config.Tty,
		"network": c.HostConfig.NetworkMode, "ports": c.HostConfig.PortBindings, "dns": c.HostConfig.DNS, "links": c.HostConfig.Links,
		"privileged": c.HostConfig.Privileged, "cap_add": c.HostConfig.CapAdd, "cap_drop": c.HostConfig.CapDrop, "security": c.HostConfig.SecurityOpt, "groups": c.HostConfig.GroupAdd,
		"read_only": c.HostConfig.ReadonlyRootfs, "tmpfs": c.HostConfig.Tmpfs, "binds": c.HostConfig.Binds, "devices": c.HostConfig.Devices, "shm": c.HostConfig.ShmSize,
		"pid": c.HostConfig.PidMode, "ipc": c.HostConfig.IpcMode, "uts": c.HostConfig.UTSMode, "users": c.HostConfig.UsernsMode, "cgroup": c.HostConfig.CgroupnsMode,
		"memory": c.HostConfig.Memory, "memory_swap": c.HostConfig.MemorySwap, "cpus": c.HostConfig.NanoCPUs, "processes": c.HostConfig.PidsLimit, "ulimits": c.HostConfig.Ulimits,
		"oom_score": c.HostConfig.OomScoreAdj, "oom_kill_disable": c.HostConfig.OomKillDisable, "log": c.HostConfig.LogConfig.Type,
		"auto_remove": c.HostConfig.AutoRemove, "restart": c.HostConfig.RestartPolicy.Name, "init": c.HostConfig.Init,
		"masked": c.HostConfig.MaskedPaths, "read_only_paths": c.HostConfig.ReadonlyPaths,
		"mounts": mounts(c.Mounts), "labels": slices.Sorted(maps.Keys(c.Config.Labels)),
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	// Each sandbox has a user of its own.
	got = regexp.MustCompile(`(uid|gid)=[12][0-9]{9}\b`).ReplaceAll(got, []byte("$1=WORKLOAD"))
	golden(t, "testdata/inspect.json", append(got, '\n'))
}

func mounts(all []container.MountPoint) []string {
	var told []string
	for _, m := range all {
		name, _, _ := strings.Cut(m.Name, "-tools-")
		told = append(told, strings.Join([]string{string(m.Type), name, m.Destination, map[bool]string{true: "read-write", false: "read-only"}[m.RW]}, " "))
	}
	slices.Sort(told)
	return told
}
