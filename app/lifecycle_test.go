package app

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// read is what a page of the server answers.
func (tw *testWorld) read(path string) (status int, body string) {
	tw.t.Helper()
	request, err := http.NewRequestWithContext(tw.t.Context(), http.MethodGet, tw.server.URL()+path, nil)
	tw.must(err)
	response, err := http.DefaultClient.Do(request)
	tw.must(err)
	text, err := io.ReadAll(response.Body)
	tw.must(err)
	tw.must(response.Body.Close())
	return response.StatusCode, string(text)
}

func (tw *testWorld) status(path string) int {
	tw.t.Helper()
	status, _ := tw.read(path)
	return status
}

// A server that is told to stop says so first, finishes what it has begun, begins
// nothing, and keeps what still comes for whoever is next.
func TestStopping(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "attempts", map[string]string{"auth/login.go": "package auth\n"})
	if ready := tw.status("/readyz"); ready != http.StatusOK {
		t.Fatalf("/readyz answers %d", ready)
	}
	// Work hangs in a call to GitHub.
	began, finish := make(chan struct{}), make(chan struct{})
	remove := tw.github.Before(http.MethodPost, regexp.MustCompile(`/graphql$`), func() {
		close(began)
		<-finish
	})
	_, err := pr.Review(tw.github.User("lee"), "REQUEST_CHANGES", "no")
	tw.must(err)
	<-began
	remove()
	stopped := make(chan error)
	go func() { stopped <- tw.server.Stop(t.Context()) }()
	eventually(t, "/readyz fails", func() bool { return tw.status("/readyz") == http.StatusServiceUnavailable })
	if alive := tw.status("/healthz"); alive != http.StatusOK {
		t.Errorf("/healthz answers %d", alive)
	}
	other := openPull(tw, "late")
	tw.must(tw.github.WaitForDeliveries(t.Context()))
	if n := refused(tw.world); n != 0 {
		t.Errorf("%d webhooks were refused", n)
	}
	close(finish)
	tw.must(<-stopped)
	tw.wantCheck(pr, "failure: ")
	if runs := tw.shop.CheckRuns(other.HeadSHA()); len(runs) != 0 {
		t.Errorf("work was begun while the server stopped: %+v", runs)
	}
	tw.must(tw.serve(t.Context()))
	tw.settled()
	tw.wantCheck(other, "in_progress: security-review")
}

// Load balancers keep connections on which they have sent nothing yet.
func TestAConnectionThatSaysNothingIsNoReasonToEndBadly(t *testing.T) {
	t.Parallel()
	w, config := processWorld(t)
	r := serveBinary(t, config)
	w.hook.SetWebhookURL(r.url)
	address, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// The server has taken the connection once it answers on the next.
	eventually(t, "it answers", func() bool {
		response, err := http.Get("http://" + address.Host + "/healthz")
		return err == nil && response.Body.Close() == nil
	})
	r.terminate()
}

// openPull opens a pull request and waits for nothing.
func openPull(tw *testWorld, branch string) *githubsim.PullRequest {
	tw.t.Helper()
	ann := tw.github.User("ann")
	_, err := tw.shop.Push(ann, branch, githubsim.Commit{Message: branch, Files: map[string]string{"auth/" + branch + ".go": "package auth\n"}})
	tw.must(err)
	pr, err := tw.shop.Open(ann, githubsim.PullRequestSpec{Title: branch, Head: branch, Base: "main"})
	tw.must(err)
	return pr
}

// A second process on the same file would give the first one's claims away.
func TestASecondServerOnTheSameFileIsRefused(t *testing.T) {
	tw := newTestWorld(t)
	second, err := New(t.Context(), tw.config(), Options{})
	if err == nil {
		tw.must(second.Stop(t.Context()))
		t.Fatal("a second server was started")
	}
	if !strings.Contains(err.Error(), "another process serves it; stop that process first") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %q", err)
	}
}
