package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// stopTimeout is how long running work may take to finish after a signal.
const stopTimeout = 20 * time.Second

func serveCommand(stdio Stdio) *cobra.Command {
	var path string
	command := &cobra.Command{
		Use: "serve", Short: "Run the App", Args: cobra.NoArgs,
		Long: "Run the App until SIGINT or SIGTERM. Configuration comes from the file and the environment;\nsee config.example.yml. It does not start on a fault in it.",
		RunE: func(command *cobra.Command, _ []string) error { return serve(command.Context(), stdio, path) },
	}
	command.Flags().StringVar(&path, "config", "", "path of the configuration file; without it, the environment alone")
	return command
}

func serve(ctx context.Context, stdio Stdio, path string) error {
	config, err := LoadConfig(path)
	if err != nil {
		return fmt.Errorf("not started: %w", err)
	}
	a, err := New(ctx, config, Options{Log: newLogger(config.Log, stdio.Err)})
	if err != nil {
		return fmt.Errorf("not started: %w", err)
	}
	err = a.Start(ctx)
	if err == nil {
		<-ctx.Done()
		a.log.Info().Msg("stopping")
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout+config.Server.Drain)
	defer cancel()
	return errors.Join(err, a.Stop(stopping))
}
