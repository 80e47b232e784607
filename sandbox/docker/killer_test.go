package docker

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func TestKillerIsAProgram(t *testing.T) {
	for architecture, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		content, err := killer(architecture)
		if err != nil {
			t.Fatal(err)
		}
		file, err := elf.NewFile(bytes.NewReader(content))
		if err != nil || file.Machine != machine || len(file.Progs) != 1 || file.Entry != file.Progs[0].Vaddr+120 || file.Progs[0].Filesz != uint64(len(content)) {
			t.Errorf("%s: %+v, %v", architecture, file, err)
		}
	}
	if _, err := killer("riscv64"); err == nil {
		t.Error("there is one for riscv64")
	}
}

// On this machine it would end everything: in a namespace of its own it is PID 1, whom
// its own signal does not reach, and there is nobody else.
func TestKillerEnds(t *testing.T) {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		const why = "NOT TESTED: the program that kills by itself, because a namespace of its own takes root; sandboxes with it are tested where there is an engine"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	content, err := killer(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kill")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if out, err := command.CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("%q, %v", out, err)
	}
}
