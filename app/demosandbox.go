package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// demoEngine is where a demo's sandboxes run: on a Docker engine if there is one, and
// else in memory.
type demoEngine struct {
	boxes sandbox.Sandbox
	image string
	// says is where they run, as a sentence.
	says  string
	close func(context.Context) error
}

// demoProgram is where the program is in the demo's image: Portcullis itself, so that no
// image need be had from anywhere.
const demoProgram = "/usr/local/bin/portcullis"

// demoImage is what sandboxes in memory run, which is nothing.
const demoImage = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// engineTime is how long a demo looks for an engine.
const engineTime = 20 * time.Second

// newDemoEngine looks for a Docker engine where Docker's own command would.
func newDemoEngine(ctx context.Context, app int64) demoEngine {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	e, err := demoOnDocker(ctx, app)
	if err != nil {
		e = demoEngine{
			boxes: sandbox.NewMemorySandbox(time.Now, demoAnswers), image: demoImage,
			says: "Sandboxes are simulated in memory, because " + err.Error() + ".", close: func(context.Context) error { return nil },
		}
	}
	return e
}

func demoOnDocker(ctx context.Context, app int64) (demoEngine, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	if at, unix := strings.CutPrefix(host, "unix://"); unix {
		if _, err := os.Stat(at); err != nil { //nolint:gosec // the user's own engine
			return demoEngine{}, errors.New("there is no Docker engine here")
		}
	}
	engine, err := newDocker(DockerConfig{Host: host}, app, time.Now, zerolog.Nop(), nil)
	if err != nil {
		return demoEngine{}, err
	}
	own, err := os.Executable()
	if err == nil {
		err = engine.Ready(ctx)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(own) //nolint:gosec // this program
	}
	var image string
	if err == nil {
		image, err = engine.Import(ctx, map[string][]byte{demoProgram: content})
	}
	if err != nil {
		return demoEngine{}, errors.Join(err, engine.Close())
	}
	return demoEngine{
		boxes: engine, image: image, says: "Sandboxes run on the Docker engine at " + host + ".",
		close: func(ctx context.Context) error { return errors.Join(engine.Forget(ctx, image), engine.Close()) },
	}, nil
}

// demoAnswers is what the demo's command does in a sandbox that is none.
func demoAnswers(_ context.Context, files map[string][]byte, command sandbox.Command, stdout, stderr io.Writer) int {
	if len(command.Argv) != 4 || command.Argv[0] != "portcullis" || command.Argv[1] != "policy" || command.Argv[2] != "check" {
		return sandbox.NoProgram
	}
	at := command.Argv[3]
	content, there := files[path.Join(sandbox.Workspace, at)]
	if !there {
		_, _ = fmt.Fprintf(stderr, "portcullis: %s is not there\n", at)
		return exitError
	}
	if _, err := policy.ParsePolicyFile(at, content); err != nil {
		_, _ = fmt.Fprintln(stdout, err)
		return exitError
	}
	_, _ = fmt.Fprintf(stdout, "%s: ok\n", at)
	return exitOK
}

// demoAppID tells the sandboxes of this demo from those of another on the same engine.
func demoAppID() int64 { return 1 + rand.Int64N(1<<40) } //nolint:gosec // nobody gains by guessing it

// end destroys what a demo has started.
func (e demoEngine) end(ctx context.Context) error {
	there, err := e.boxes.List(ctx)
	errs := []error{err}
	for _, is := range there {
		errs = append(errs, e.boxes.Destroy(ctx, is.ID))
	}
	return errors.Join(errs...)
}
