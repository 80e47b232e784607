package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
)

// Probe is the program that the suite runs in a sandbox: argv without its own name.
func Probe(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(argv) == 0 {
		return sandbox.NoProgram
	}
	argument := func(i int) string {
		if i < len(argv) {
			return argv[i]
		}
		return ""
	}
	switch argv[0] {
	case "exit": // CODE
		code, _ := strconv.Atoi(argument(1))
		return code
	case "say": // STDOUT STDERR CODE
		_, _ = io.WriteString(stdout, argument(1))
		_, _ = io.WriteString(stderr, argument(2))
		code, _ := strconv.Atoi(argument(3))
		return code
	case "arguments":
		told, err := json.Marshal(argv[1:])
		if err != nil {
			return 1
		}
		_, _ = stdout.Write(told)
	case "copy":
		_, _ = io.Copy(stdout, stdin)
	case "pour": // BYTES [stderr]
		n, _ := strconv.ParseInt(argument(1), 10, 64)
		if argument(2) == "stderr" {
			return pour(ctx, stderr, n)
		}
		return pour(ctx, stdout, n)
	case "wait": // DURATION
		d, _ := time.ParseDuration(argument(1))
		_, _ = fmt.Fprintln(stdout, "waiting")
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	default:
		return sandbox.NoProgram
	}
	return 0
}

// Program is that of a [sandbox.MemorySandbox] which has the probe, and nothing else.
func Program(ctx context.Context, _ map[string][]byte, command sandbox.Command, stdout, stderr io.Writer) int {
	if command.Argv[0] != "probe" {
		return sandbox.NoProgram
	}
	return Probe(ctx, command.Argv[1:], command.Stdin, stdout, stderr)
}

func pour(ctx context.Context, w io.Writer, n int64) int {
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for n > 0 && ctx.Err() == nil {
		written, err := w.Write(block[:min(n, int64(len(block)))])
		if n -= int64(written); err != nil {
			return 1
		}
	}
	return 0
}
