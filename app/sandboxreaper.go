package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
	"github.com/portcullis-app/portcullis/sandbox/remote"
)

// reapEvery is how often the reaper looks for what is overdue.
const reapEvery = time.Second

// reaper holds a Docker engine for a server that does not, and ends what is overdue with
// no server alive.
type reaper struct {
	listen string
	images []string
	config docker.Config
	log    zerolog.Logger
}

func reaperCommand(stdio Stdio) *cobra.Command {
	r := &reaper{config: docker.Config{Now: time.Now}}
	var settings DockerConfig
	var level, format string
	command := &cobra.Command{
		Use: "reaper", Short: "Hold the Docker engine for a server, and end what is overdue", Args: cobra.NoArgs,
		Long: "Runs as the one user that may reach the Docker engine, which is as good as root, and serves\n" +
			"sandboxes and nothing else on a Unix socket, to the server whose `sandbox.docker.reaper` names\n" +
			"it. Whoever may open the socket may ask: put it into a folder of the server's group. It knows\n" +
			"no secret, and needs no network but for --egress-folder, where it is the sandboxes' way out.\n" +
			"Sandboxes past their deadline, and those that were created and never started, it destroys by\n" +
			"itself.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.log = newLogger(LogConfig{Level: level, Format: format}, stdio.Err)
			return r.run(cmd.Context(), settings)
		},
	}
	flags := command.Flags()
	flags.Int64Var(&r.config.App, "app", 0, "the App ID, as github.app.integration_id")
	flags.StringVar(&r.listen, "listen", "", "the path of the socket")
	flags.StringSliceVar(&r.images, "image", nil, "an image that may run, by its digest; may be given several times; none: any that the engine has")
	flags.StringVar(&settings.Host, "docker", "unix:///var/run/docker.sock", "where the engine is")
	flags.StringVar(&settings.Program, "program", "", "a Portcullis that is linked statically, which is PID 1 in sandboxes; empty: this one")
	flags.StringVar(&settings.Runtime, "runtime", "", "what isolates every sandbox, as runsc; empty: the engine's default")
	flags.StringVar(&settings.EgressFolder, "egress-folder", "", "where the sockets are through which sandboxes reach the outside; empty: they reach nothing")
	flags.BoolVar(&settings.FullNetwork, "full-network", false, "allow policies to let sandboxes reach any public address")
	flags.StringSliceVar(&settings.DeniedNetworks, "deny-network", nil, "a network of yours with public addresses that no sandbox reaches, as 192.0.2.0/24; may be given several times")
	flags.StringVar(&level, "log-level", "info", "trace, debug, info, warn or error")
	flags.StringVar(&format, "log-format", "json", "json, or console for people")
	for _, required := range []string{"app", "listen"} {
		if err := command.MarkFlagRequired(required); err != nil {
			panic(err) // only a flag that is not there
		}
	}
	return command
}

func (r *reaper) run(ctx context.Context, settings DockerConfig) (err error) {
	engine, err := newDocker(settings, r.config.App, time.Now, r.log, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	listener, err := listenOn(ctx, r.listen)
	if err != nil {
		return fmt.Errorf("listen for the server: %w", err)
	}
	server := &http.Server{Handler: remote.NewHandler(engine, r.images, r.log), ReadHeaderTimeout: readHeaderTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	r.log.Info().Str("socket", r.listen).Str("docker", settings.Host).Str("version", Version()).Msg("the reaper holds the engine")
	r.reap(ctx, engine)
	// What is asked for now is given up: the server asks again.
	return errors.Join(server.Close(), ignoreClosed(<-served))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// reap ends what is overdue, now and then, until ctx ends.
func (r *reaper) reap(ctx context.Context, engine sandbox.Sandbox) {
	look := time.NewTicker(reapEvery)
	defer look.Stop()
	failing := ""
	for {
		ended, err := sandbox.Reap(ctx, engine, r.config.Now())
		switch {
		case ctx.Err() != nil:
		case err == nil:
			failing = ""
		case err.Error() != failing: // it would be the same line each second
			failing = err.Error()
			r.log.Error().Err(err).Str("event", "sandbox.reaping_failed").Msg("what is overdue could not be ended; it is tried again")
		}
		for id, why := range ended {
			r.log.Info().Str("event", "sandbox.reaped").Str("sandbox", id).Str("reason", why).Msg("a sandbox was overdue")
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// socketMode lets the group of the folder's owner ask.
const socketMode = 0o660

// listenOn listens on a Unix socket, and takes away one that nobody listens on any more.
func listenOn(ctx context.Context, path string) (net.Listener, error) {
	if there, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("another process listens on %s", path), there.Close())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, socketMode)
}
