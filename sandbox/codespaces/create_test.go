package codespaces

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox"
)

// I22: what GitHub refuses leaves nothing, is told in our words, and may be asked for again.
func TestI22Refusals(t *testing.T) {
	for status, says := range map[int]string{
		400: "it does not take what was asked for", 402: "nobody pays for it", 403: "the App needs Codespaces: write", 404: "the person cannot see the repository",
		409: "there is another one in the way", 418: "it answers 418", 422: "it does not take what was asked for",
	} {
		w, c := newWorld(t)
		w.shell = func(line string, channel ssh.Channel) {
			begins(t, line, channel)
			_, _ = channel.Write([]byte(approved))
			exits(channel, 0)
		}
		w.refuses = status
		spec := w.spec()
		_, err := c.Create(t.Context(), spec)
		refused, is := errors.AsType[*RefusedError](err)
		if !is || refused.Status != status || !strings.Contains(refused.Why, says) || !strings.HasSuffix(refused.Why, " (GitHub says: no   ann )") || len(w.all) != 0 {
			t.Errorf("%d: %v; %d are there", status, err, len(w.all))
		}
		w.refuses = 0
		if is, err := c.Create(t.Context(), spec); err != nil || is.Status != sandbox.StatusRunning || len(w.all) != 1 {
			t.Errorf("again after %d: %+v, %v", status, is, err)
		}
	}
}
