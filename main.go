// Portcullis holds pull requests until the review they need has happened.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/portcullis-app/portcullis/app"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return app.Main(ctx, os.Args[1:], app.Stdio{Out: os.Stdout, Err: os.Stderr})
}
