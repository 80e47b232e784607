// The program that tests run in a sandbox: what the suite needs, and what somebody does
// who wants out. It is for Linux.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(argv []string) int {
	if len(argv) > 0 {
		if act, known := acts[argv[0]]; known {
			return act(argv[1:])
		}
		if attempt, known := attempts[argv[0]]; known {
			return tried(attempt(argv[1:]))
		}
	}
	return sandboxtest.Probe(context.Background(), argv, os.Stdin, os.Stdout, os.Stderr)
}

// tried tells how an attempt went: 0, it succeeded.
func tried(err error) int {
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func number(argv []string) int {
	if len(argv) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(argv[0])
	return n
}
