package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
)

// A network of the operator's is not reached, though its addresses are public, and nor is
// the machine itself.
func TestNetworksThatNoSandboxReaches(t *testing.T) {
	t.Parallel()
	denied, err := DockerConfig{DeniedNetworks: []string{"9.9.9.0/24", "2620:fe::/32"}}.denied()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		serveEgress(denied, time.Now, zerolog.Nop(), nil)(listener, sandbox.Instance{ID: "pc-1"}, docker.Reach{Network: sandbox.NetworkFull})
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"}),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	for _, host := range []string{"9.9.9.9", "[2620:fe::9]"} {
		answer, err := client.Get("http://" + host + "/")
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if err := answer.Body.Close(); answer.StatusCode != http.StatusForbidden || err != nil {
			t.Errorf("%s: %s, %v", host, answer.Status, err)
		}
	}
}

// What goes wrong each second is told when it begins, and when it becomes something else.
func TestTheReaperTellsOnceWhatGoesWrong(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	asked := make(chan struct{})
	r := &reaper{config: docker.Config{Now: time.Now}, log: zerolog.New(&log)}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.reap(ctx, &ailing{asked: asked}) })
	for range 4 {
		<-asked
	}
	cancel()
	running.Wait()
	if got := strings.Count(log.String(), "sandbox.reaping_failed"); got != 2 {
		t.Errorf("%d lines:\n%s", got, log.String())
	}
}

// ailing is an engine that is down, down, down in another way, and down in that way still.
type ailing struct {
	sandbox.Sandbox

	asked chan struct{}
	times int
}

func (a *ailing) List(ctx context.Context) ([]sandbox.Instance, error) {
	select {
	case a.asked <- struct{}{}:
	case <-ctx.Done():
	}
	a.times++
	if a.times <= 2 {
		return nil, errors.New("the engine is down")
	}
	return nil, errors.New("the engine is on fire")
}
