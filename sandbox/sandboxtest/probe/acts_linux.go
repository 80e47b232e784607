package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acts are what hostile and broken programs do.
var acts = map[string]func(argv []string) int{
	"stay": stay, "bomb": bomb, "hog": hog, "fill": fill, "processes": processes, "leave": leave, "environment": environment,
	"find": find, "listen": listen,
	"copy-file": func(argv []string) int {
		content, err := os.ReadFile(argv[0])
		_, _ = os.Stdout.Write(content)
		return tried(err)
	},
	"user": func([]string) int {
		fmt.Println(os.Getuid())
		return 0
	},
}

// again is the probe once more, out of reach of whoever started this one.
func again(argv ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", argv...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

// leave leaves a process behind that nobody waits for, and ends.
func leave(argv []string) int {
	if len(argv) == 0 {
		// Twice, so that it is nobody's child.
		return tried(again("leave", "once").Run())
	}
	return tried(again("stay", "alone").Start())
}

// stay hears no signal, leaves others behind that do not either, and stays.
func stay(argv []string) int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	if len(argv) == 0 {
		_ = leave(nil)
		_ = again("stay", "alone").Start()
		fmt.Println("staying")
	}
	for {
		<-time.After(time.Hour)
	}
}

// bomb makes as many of itself as there can be, and again when one ends. It asks the
// kernel alone: a runtime would give up when there are no threads to be had.
func bomb([]string) int {
	signal.Ignore(syscall.SIGTERM)
	nap := unix.Timespec{Nsec: int64(time.Millisecond)}
	for {
		if _, _, failure := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); failure != 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&nap)), 0, 0)
		}
	}
}

// hog takes so many MB of memory.
func hog(argv []string) int {
	var taken [][]byte
	for range number(argv) {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		taken = append(taken, block)
	}
	runtime.KeepAlive(taken)
	return 0
}

// fill writes a file until it cannot, and says how much that was.
func fill(argv []string) int {
	if len(argv) == 0 {
		return 2
	}
	f, err := os.Create(filepath.Join(argv[0], "fill"))
	if err != nil {
		return tried(err)
	}
	block := make([]byte, 1<<20)
	written := 0
	for {
		n, err := f.Write(block)
		written += n
		if err != nil || written > 4<<30 {
			fmt.Println(written>>20, err)
			return tried(err)
		}
	}
}

// find looks for the text in every file that it can read, and in the environment and the
// words of every process but its own words, and tells where it is: 0, somewhere.
func find(argv []string) int {
	if len(argv) == 0 {
		return 2
	}
	found := 1
	own := fmt.Sprintf("/proc/%d/cmdline", os.Getpid())
	// A folder that cannot be read is left out.
	_ = filepath.WalkDir("/", func(at string, entry fs.DirEntry, _ error) error {
		of, inProc := strings.CutPrefix(at, "/proc/")
		switch {
		case entry.IsDir() && (at == "/sys" || at == "/dev" || inProc && strings.Contains(of, "/")):
			return fs.SkipDir
		case !entry.Type().IsRegular() || at == own || inProc && entry.Name() != "environ" && entry.Name() != "cmdline":
			return nil
		case has(at, []byte(argv[0])):
			fmt.Println(at)
			found = 0
		}
		return nil
	})
	return found
}

// has reports whether the text is in a file, which may have more than there is memory.
func has(file string, text []byte) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	block, kept := make([]byte, 1<<20), 0
	for {
		n, err := f.Read(block[kept:])
		if bytes.Contains(block[:kept+n], text) {
			return true
		}
		if err != nil {
			return false
		}
		tail := min(kept+n, len(text)-1)
		copy(block, block[kept+n-tail:kept+n])
		kept = tail
	}
}

// listen can be reached by TCP at that port of every address, and by an abstract Unix
// socket, until it is killed.
func listen(argv []string) int {
	if len(argv) == 0 {
		return 2
	}
	for network, address := range map[string]string{"tcp": ":" + argv[0], "unix": "@portcullis-" + argv[0]} {
		listener, err := new(net.ListenConfig).Listen(context.Background(), network, address)
		if err != nil {
			return tried(err)
		}
		go func() {
			for {
				if c, err := listener.Accept(); err == nil {
					_ = c.Close()
				}
			}
		}()
	}
	for {
		<-time.After(time.Hour)
	}
}

// environment tells what a program finds in it.
func environment([]string) int {
	all := os.Environ()
	slices.Sort(all)
	fmt.Println(strings.Join(all, "\n"))
	return 0
}

// processes counts those of this user but itself.
func processes([]string) int {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return tried(err)
	}
	n := 0
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if info, err := os.Stat("/proc/" + entry.Name()); err == nil && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Getuid()) {
			n++
		}
	}
	fmt.Println(n)
	return 0
}
