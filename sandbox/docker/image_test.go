package docker_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
)

// commit makes an image of a container that is like the configuration, of what there is in
// the built one.
func (w *world) commit(t *testing.T, like container.Config) string {
	t.Helper()
	like.Image, like.Entrypoint = built.image, []string{"/probe"}
	made, err := w.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &like})
	if err != nil {
		t.Fatal(err)
	}
	committed, err := w.engine.ContainerCommit(t.Context(), made.ID, client.ContainerCommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := w.engine.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err := errors.Join(err, w.Forget(context.Background(), committed.ID)); err != nil {
			t.Error(err)
		}
	})
	return committed.ID
}

// An image is refused that brings a folder of its own that can be written, or a label by
// which Portcullis knows what a sandbox may.
func TestAnImageThatBringsWhatOnlyPortcullisGivesIsRefused(t *testing.T) {
	w := newWorld(t)
	for says, like := range map[string]container.Config{
		"/data":                  {Volumes: map[string]struct{}{"/data": {}}},
		"portcullis.credentials": {Labels: map[string]string{"portcullis.credentials": "evil.example.com=model", "maintainer": "ann"}},
		"portcullis.tools":       {Labels: map[string]string{"portcullis.tools": fmt.Sprint(w.config.App)}},
	} {
		s := spec()
		s.Image = w.commit(t, like)
		_, err := w.Create(t.Context(), s)
		if refusal, refused := errors.AsType[*sandbox.UnsupportedError](err); !refused || refusal.Field != "image" || !strings.Contains(refusal.Why, says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	s := spec()
	s.Image = w.commit(t, container.Config{Labels: map[string]string{"maintainer": "ann"}})
	w.create(t, s)
}

// Two ids may have the same digest, and their sandboxes no common user: the kernel would
// count their processes together.
func TestEachSandboxHasAUserOfItsOwn(t *testing.T) {
	w := newWorld(t)
	seen := map[uint32]string{}
	var twins []string
	for n := 0; twins == nil; n++ {
		id := fmt.Sprintf("pc-%012d", n)
		sum := fnv.New32a()
		_, _ = sum.Write([]byte(id))
		at := sum.Sum32() % 50_000
		if other, there := seen[at]; there {
			twins = []string{other, id}
		}
		seen[at] = id
	}
	users := map[string]bool{}
	for _, id := range twins {
		s := spec()
		s.ID = id
		w.create(t, s)
		found, err := w.engine.ContainerInspect(t.Context(), w.container(t, id), client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		user := found.Container.Config.Labels["portcullis.user"]
		users[user] = true
		if got := w.run(t, id, sandbox.Command{Argv: []string{"/probe", "user"}}); got.Stdout != user+"\n" || !strings.Contains(found.Container.HostConfig.Tmpfs[sandbox.Workspace], "uid="+user+",") {
			t.Errorf("its label says %s, its workload %s, its workspace %s", user, got.Stdout, found.Container.HostConfig.Tmpfs[sandbox.Workspace])
		}
	}
	if len(users) != 2 {
		t.Errorf("both have the user %v", users)
	}
}
