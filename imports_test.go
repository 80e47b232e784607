package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/portcullis-app/portcullis"

// mayImport is the graph: which of our packages each package may import. Imports
// point down only. A package that is not listed here may not exist.
var mayImport = map[string][]string{
	".":                         {"app"},
	"app":                       {"audit", "credential", "credential/vault", "gate", "handlers", "internal/githubapi", "internal/githubsim", "internal/githubsim/site", "internal/recovery", "internal/store", "killswitch", "policy", "sandbox", "sandbox/codespaces", "sandbox/codespaces/tunnel", "sandbox/docker", "sandbox/egress", "sandbox/inside", "sandbox/kubernetes", "sandbox/remote", "sandbox/usertoken", "web"},
	"handlers":                  {"credential", "gate", "killswitch", "policy", "sandbox"},
	"web":                       {"audit", "credential", "gate", "killswitch", "policy", "sandbox/usertoken"},
	"internal/store":            {"audit", "credential", "gate", "internal/recovery", "killswitch", "policy", "sandbox", "sandbox/usertoken"},
	"internal/recovery":         {"policy"},
	"internal/githubapi":        {"policy"},
	"gate":                      {"audit", "killswitch", "policy"},
	"killswitch":                {"audit", "policy"},
	"credential":                {"audit", "killswitch", "policy"},
	"credential/vault":          {"credential", "policy"},
	"sandbox":                   {"audit", "killswitch", "policy"},
	"sandbox/inside":            {"sandbox"},
	"sandbox/docker":            {"sandbox", "sandbox/inside"},
	"sandbox/codespaces":        {"killswitch", "policy", "sandbox", "sandbox/usertoken"},
	"sandbox/codespaces/tunnel": {"sandbox/codespaces", "sandbox/usertoken"},
	"sandbox/usertoken":         {"audit", "credential", "policy"},
	"sandbox/remote":            {"sandbox"},
	"sandbox/kubernetes":        {"sandbox", "sandbox/inside"},
	"sandbox/egress":            {"policy"},
	// For tests alone.
	"sandbox/sandboxtest":                  {"killswitch", "policy", "sandbox"},
	"sandbox/sandboxtest/probe":            {"sandbox/sandboxtest"},
	"sandbox/codespaces/sshtest":           {},
	"sandbox/codespaces/tunnel/tunneltest": {"sandbox/codespaces", "sandbox/codespaces/tunnel"},
	"policy":                               {},
	"audit":                                {},
	"internal/githubsim":                   {},
	"internal/githubsim/site":              {"internal/githubsim"},
	// Held to nothing of ours: it judges both sides, in tests alone.
	"internal/githubsim/contract": {},
	// For tests alone: nobody else may start a program.
	"internal/postgrestest": {},
	"internal/dockertest":   {},
}

// onlyIn lists what no other package may import: vendors and ways out. The
// package policy does no I/O at all.
var onlyIn = map[string][]string{
	"github.com/google/go-github/v60/github":     {"handlers", "internal/githubapi"},
	"github.com/palantir/go-githubapp/githubapp": {"app", "handlers", "internal/githubapi"},
	"github.com/bradleyfalzon/ghinstallation/v2": {"internal/githubapi"},
	"github.com/gregjones/httpcache":             {"internal/githubapi"},
	"database/sql":                               {"internal/store"},
	"modernc.org/sqlite":                         {"internal/store"},
	"github.com/pressly/goose/v3":                {"internal/store"},
	"github.com/jackc/pgx/v5":                    {"internal/store"},
	"github.com/riverqueue/river":                {"internal/store"},
	"github.com/gofrs/flock":                     {"internal/store"},
	"github.com/spf13/cobra":                     {"app"},
	"github.com/vektah/gqlparser/v2":             {"internal/githubsim"},
	"github.com/vektah/gqlparser/v2/ast":         {"internal/githubsim"},
	"github.com/vektah/gqlparser/v2/gqlerror":    {"internal/githubsim"},
	"github.com/vektah/gqlparser/v2/parser":      {"internal/githubsim"},
	"github.com/vektah/gqlparser/v2/validator":   {"internal/githubsim"},
	"net/http":                                                  {"app", "credential/vault", "handlers", "internal/githubapi", "internal/githubsim", "internal/githubsim/contract", "internal/githubsim/site", "sandbox/codespaces/tunnel", "sandbox/codespaces/tunnel/tunneltest", "sandbox/egress", "sandbox/kubernetes", "sandbox/remote", "sandbox/sandboxtest/probe", "web"},
	"github.com/coreos/go-oidc/v3/oidc":                         {"web"},
	"github.com/yuin/goldmark":                                  {"internal/githubsim/site", "policy"},
	"github.com/getkin/kin-openapi/openapi3":                    {"internal/githubsim/contract"},
	"github.com/santhosh-tekuri/jsonschema/v6":                  {"internal/githubsim/contract"},
	"github.com/santhosh-tekuri/jsonschema/v6/kind":             {"internal/githubsim/contract"},
	"github.com/prometheus/client_golang/prometheus":            {"web"},
	"github.com/prometheus/client_golang/prometheus/collectors": {"web"},
	"github.com/prometheus/client_golang/prometheus/promhttp":   {"web"},
	"github.com/moby/moby/client":                               {"sandbox/docker"},
	"github.com/moby/moby/api/types/container":                  {"sandbox/docker"},
	"github.com/moby/moby/api/types/mount":                      {"sandbox/docker"},
	"github.com/moby/moby/api/pkg/stdcopy":                      {"sandbox/docker"},
	"github.com/containerd/errdefs":                             {"sandbox/docker"},
	"golang.org/x/crypto/ssh":                                   {"sandbox/codespaces", "sandbox/codespaces/sshtest", "sandbox/codespaces/tunnel", "sandbox/codespaces/tunnel/tunneltest"},
	"github.com/microsoft/dev-tunnels/go/tunnels":               {"sandbox/codespaces/tunnel"},
	"github.com/coder/websocket":                                {"sandbox/codespaces/tunnel", "sandbox/codespaces/tunnel/tunneltest"},
	"google.golang.org/grpc":                                    {"sandbox/codespaces/tunnel", "sandbox/codespaces/tunnel/tunneltest"},
	// PID 1 of a sandbox only looks for the program that it becomes; of codespaces the way
	// in is GitHub's own program.
	"os/exec": {"internal/dockertest", "internal/postgrestest", "sandbox/codespaces", "sandbox/inside", "sandbox/sandboxtest/probe"},
	// Kubernetes' clientset is not to be linked at all: docs/dependencies.md says why.
	"k8s.io/client-go/kubernetes":          {},
	"k8s.io/client-go/kubernetes/scheme":   {},
	"k8s.io/client-go/rest":                {"sandbox/kubernetes"},
	"k8s.io/client-go/tools/clientcmd":     {"sandbox/kubernetes"},
	"k8s.io/client-go/tools/remotecommand": {"sandbox/kubernetes"},
}

// denied lists what a package may not import, because it promises to be pure.
var denied = map[string][]string{
	"policy": {"net", "net/http", "os", "context", "database/sql", "io/fs", "log"},
	"audit":  {"net", "net/http", "os", "context", "database/sql"},
}

// TestImports reads the files itself: a test that asks `go list` is answered
// from the test cache, because the cache does not see what a child reads.
func TestImports(t *testing.T) {
	for folder, imports := range importsByFolder(t) {
		allowed, known := mayImport[folder]
		if !known {
			t.Errorf("%s is not in the graph; add it to mayImport and to docs/architecture.md", folder)
			continue
		}
		for imported, file := range imports {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s: %s may not import %s", file, folder, ours)
			}
			if folders, restricted := onlyIn[imported]; restricted && !slices.Contains(folders, folder) {
				t.Errorf("%s: only %v may import %s", file, folders, imported)
			}
			if slices.Contains(denied[folder], imported) {
				t.Errorf("%s: %s promises to be pure and may not import %s", file, folder, imported)
			}
		}
	}
}

// importsByFolder maps each folder with Go code to what it imports outside of
// tests, and to a file that does.
func importsByFolder(t *testing.T) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && file != "." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := path.Dir(filepath.ToSlash(file))
		if found[folder] == nil {
			found[folder] = map[string]string{}
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[folder][imported] = file
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < len(mayImport) {
		t.Errorf("the graph lists %d packages, the tree has %d", len(mayImport), len(found))
	}
	return found
}
