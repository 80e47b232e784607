package docker

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// killers is, for each architecture, what ends every process that the workload's user has
// in a sandbox: kill(-1, SIGKILL), exit(0). It is two system calls and no program in a
// language: a sandbox whose fork bomb has taken every process it may have leaves none to
// a runtime that needs threads, and an image need not have a shell.
var killers = map[string]struct {
	machine elf.Machine
	code    []byte
}{
	"amd64": {elf.EM_X86_64, []byte{
		0xbf, 0xff, 0xff, 0xff, 0xff, // mov edi, -1
		0xbe, 0x09, 0x00, 0x00, 0x00, // mov esi, 9
		0xb8, 0x3e, 0x00, 0x00, 0x00, // mov eax, 62 (kill)
		0x0f, 0x05, // syscall
		0x31, 0xff, // xor edi, edi
		0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, 60 (exit)
		0x0f, 0x05, // syscall
	}},
	"arm64": {elf.EM_AARCH64, []byte{
		0x00, 0x00, 0x80, 0x92, // mov x0, #-1
		0x21, 0x01, 0x80, 0xd2, // mov x1, #9
		0x28, 0x10, 0x80, 0xd2, // mov x8, #129 (kill)
		0x01, 0x00, 0x00, 0xd4, // svc #0
		0x00, 0x00, 0x80, 0xd2, // mov x0, #0
		0xa8, 0x0b, 0x80, 0xd2, // mov x8, #93 (exit)
		0x01, 0x00, 0x00, 0xd4, // svc #0
	}},
}

// killer is the program as a file: an ELF header, one segment, and the code.
func killer(architecture string) ([]byte, error) {
	k, known := killers[architecture]
	if !known {
		return nil, fmt.Errorf("sandboxes need an engine on amd64 or arm64, not on %s", architecture)
	}
	const address, headers = 0x400000, 64 + 56
	size := uint64(headers + len(k.code))
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	var file bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(k.machine), Version: uint32(elf.EV_CURRENT),
			Entry: address + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: address, Paddr: address, Filesz: size, Memsz: size, Align: 0x1000},
		k.code,
	} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return file.Bytes(), nil
}
