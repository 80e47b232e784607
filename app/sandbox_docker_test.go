package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/dockertest"
)

// TestTheStoryOnADockerEngine has the built binary tell its story with real sandboxes.
func TestTheStoryOnADockerEngine(t *testing.T) {
	host := dockertest.Host(t)
	binary := filepath.Join(t.TempDir(), "portcullis")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	demo := exec.Command(binary, "demo", "--script")
	demo.Env = append(os.Environ(), "DOCKER_HOST="+host)
	out, err := demo.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Sandboxes run on the Docker engine at "+host) || !strings.Contains(string(out), "All 35 steps ended as told.") {
		t.Errorf("%v\n%s", err, out)
	}
}
