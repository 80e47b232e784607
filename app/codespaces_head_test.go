package app

import (
	"errors"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
)

// I22: whoever pushes while a codespace is created, and then goes back by force, has nothing
// run that nobody approved, whatever the codespace says that it has.
func TestI22APushAndBack(t *testing.T) {
	c := newCloud(t)
	slow := fast
	slow.Create = time.Second
	c.sim.SetCodespaceKnobs(slow)
	spec, failed := c.spec(), make(chan error, 1)
	go func() {
		_, err := c.Create(t.Context(), spec)
		failed <- err
	}()
	eventually(t, "it is created", func() bool { return c.there() > 0 })
	if _, err := c.shop.Push(c.ann, "topic", githubsim.Commit{Files: map[string]string{"x": "evil\n"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.shop.ForcePush(c.ann, "topic", spec.HeadSHA); err != nil || c.pull.HeadSHA() != spec.HeadSHA {
		t.Fatalf("%v; the head is %s", err, c.pull.HeadSHA())
	}
	moved, is := errors.AsType[*codespaces.MovedError](<-failed)
	if !is || moved.Head != spec.HeadSHA || c.there() != 0 {
		t.Errorf("%v; %d are there", moved, c.there())
	}
}
