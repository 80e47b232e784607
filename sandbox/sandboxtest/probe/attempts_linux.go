package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempts are the ways out that are tried. One that returns nil was one.
var attempts = map[string]func(argv []string) error{
	"dial":      func(argv []string) error { return dial("tcp", argv[0]) },
	"dial-unix": func(argv []string) error { return dial("unix", argv[0]) },
	"send":      func(argv []string) error { return dial("udp", argv[0]) },
	"resolve": func(argv []string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_, err := new(net.Resolver).LookupHost(ctx, argv[0])
		return err
	},
	"interfaces": func([]string) error {
		all, err := net.Interfaces()
		for _, i := range all {
			if i.Flags&net.FlagLoopback == 0 {
				return nil
			}
		}
		return errors.Join(err, errors.New("there is only loopback"))
	},
	"fetch": fetch, "ask-proxy": askProxy,
	"raw": func([]string) error { return opened(unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)) },
	"packet": func([]string) error {
		return opened(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0))
	},
	"write": func(argv []string) error { return os.WriteFile(argv[0], []byte("x"), 0o600) },
	"open-to-write": func(argv []string) error {
		f, err := os.OpenFile(argv[0], os.O_WRONLY, 0)
		return errors.Join(err, f.Close())
	},
	"read": func(argv []string) error { _, err := os.ReadFile(argv[0]); return err },
	"run-from": func(argv []string) error {
		own, err := os.ReadFile("/proc/self/exe")
		to := argv[0] + "/copy"
		if err := errors.Join(err, os.WriteFile(to, own, 0o755)); err != nil {
			return err
		}
		return exec.Command(to, "exit", "0").Run()
	},
	"mount": func([]string) error { return mounted("none", "tmpfs", 0) },
	"remount": func([]string) error {
		return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	},
	"bind":            func([]string) error { return mounted("/proc", "", unix.MS_BIND) },
	"umount":          func(argv []string) error { return unix.Unmount(argv[0], unix.MNT_DETACH) },
	"unshare-user":    func([]string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"unshare-mount":   func([]string) error { return unix.Unshare(unix.CLONE_NEWNS) },
	"unshare-network": func([]string) error { return unix.Unshare(unix.CLONE_NEWNET) },
	"enter":           enter,
	"chroot":          func([]string) error { return unix.Chroot("/tmp") },
	"mknod":           func([]string) error { return unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) },
	"become-root":     func([]string) error { return syscall.Setuid(0) },
	"become-init":     func([]string) error { return syscall.Setuid(65533) },
	"groups":          func([]string) error { return syscall.Setgroups([]int{0}) },
	"kill-init":       func([]string) error { return unix.Kill(1, 0) },
	"stop-init":       func([]string) error { return unix.Kill(1, unix.SIGSTOP) },
	"trace-init":      func([]string) error { return unix.PtraceSeize(1) },
	"read-init-memory": func([]string) error {
		local := unix.Iovec{Base: new(byte)}
		local.SetLen(1)
		_, err := unix.ProcessVMReadv(1, []unix.Iovec{local}, []unix.RemoteIovec{{Base: 0x400000, Len: 1}}, 0)
		return err
	},
	"hostname": func([]string) error { return unix.Sethostname([]byte("x")) },
	"clock":    func([]string) error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) },
	"priority": func([]string) error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -5) },
	"kernel-log": func([]string) error {
		_, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 64))
		return err
	},
	"module": func([]string) error { return unix.DeleteModule("x", 0) },
	"reboot": func([]string) error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) },
	"swap":   func([]string) error { return call(unix.SYS_SWAPOFF, "/x") },
	"keys": func([]string) error {
		_, err := unix.KeyctlInt(unix.KEYCTL_GET_KEYRING_ID, unix.KEY_SPEC_SESSION_KEYRING, 1, 0, 0)
		return err
	},
	"bpf":  func([]string) error { return call(unix.SYS_BPF, "") },
	"perf": func([]string) error { return call(unix.SYS_PERF_EVENT_OPEN, "") },
	"open-by-handle": func([]string) error {
		_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), 0)
		return err
	},
	"userfaultfd": func([]string) error { return call(unix.SYS_USERFAULTFD, "") },
	"privileges":  privileges,
}

// call makes a system call that is forbidden. That its arguments are wrong shows that it
// was let through to somebody who looks at them.
func call(number uintptr, path string) error {
	var first uintptr
	if path != "" {
		p, err := unix.BytePtrFromString(path)
		if err != nil {
			return err
		}
		_, _, failure := unix.Syscall6(number, uintptr(unsafe.Pointer(p)), 0, 0, 0, 0, 0)
		return let(failure)
	}
	_, _, failure := unix.Syscall6(number, first, 0, 0, 0, 0, 0)
	return let(failure)
}

func let(failure unix.Errno) error {
	switch failure {
	case 0, unix.EINVAL, unix.EFAULT, unix.ENOENT, unix.E2BIG:
		return nil
	default:
		return failure
	}
}

func mounted(from, kind string, flags uintptr) error {
	err := unix.Mount(from, "/tmp", kind, flags, "")
	if err == nil {
		err = unix.Unmount("/tmp", 0)
	}
	return err
}

func opened(fd int, err error) error {
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func dial(network, address string) error {
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(context.Background(), network, address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if network != "udp" {
		return nil
	}
	// UDP is connected without a word: what is asked is whether something leaves.
	_, err = c.Write([]byte("x"))
	return err
}

// fetch gets a page through the proxy that the environment names: URL [HOST].
func fetch(argv []string) error {
	client := &http.Client{Timeout: 5 * time.Second}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, argv[0], nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	_, _ = os.Stdout.Write(body)
	if answer.StatusCode != http.StatusOK {
		return errors.Join(err, errors.New(answer.Status))
	}
	return err
}

// askProxy says the lines to the proxy that the environment names, and succeeds if that is
// answered by 200.
func askProxy(lines []string) error {
	proxy, err := url.Parse(os.Getenv("HTTP_PROXY"))
	if err != nil {
		return err
	}
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", proxy.Host)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if fmt.Print(answer); err != nil || !strings.Contains(answer, " 200 ") {
		return errors.Join(err, errors.New(answer))
	}
	return nil
}

// enter enters a namespace of PID 1's.
func enter(argv []string) error {
	f, err := os.Open("/proc/1/ns/" + argv[0])
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return unix.Setns(int(f.Fd()), 0)
}

// privileges succeeds if there are any.
func privileges([]string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, want := range []string{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !bytes.Contains(status, []byte(want)) {
			_, _ = fmt.Fprintln(os.Stdout, "not: "+strings.ReplaceAll(want, "\t", " "))
			return nil
		}
	}
	return errors.New("there are none")
}
