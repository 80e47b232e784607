package githubapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// with asks the simulated GitHub with a token, as a job would that was lent it.
func (f *fixture) with(t *testing.T, token, method, path, body string) (status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, f.sim.APIURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestALentTokenIsGoodForWhatItWasLent makes one, tries it on what it is for and on what
// it is not, and ends it.
func TestALentTokenIsGoodForWhatItWasLent(t *testing.T) {
	f := newFixture(t)
	f.installation.SetPermission("issues", "write")
	f.repo.SetPrivate(true)
	f.acme.CreateRepository("stall", map[string]string{"README.md": "x\n"}).SetPrivate(true)
	token, expires, err := f.client.MintToken(t.Context(), f.at, map[string]string{"contents": "read"})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(expires); len(token) < 500 || left > time.Hour || left < 59*time.Minute {
		t.Errorf("a token of %d characters for %s", len(token), left)
	}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "repos/acme/shop/contents/README.md", "", http.StatusOK},
		{"GET", "repos/acme/stall/contents/README.md", "", http.StatusNotFound},
		{"GET", "repos/acme/shop/pulls", "", http.StatusForbidden},
		{"POST", "repos/acme/shop/issues", `{"title":"x"}`, http.StatusForbidden},
		{"POST", "repos/acme/shop/check-runs", `{"name":"portcullis","head_sha":"` + f.repo.Head("main") + `"}`, http.StatusForbidden},
	} {
		if got := f.with(t, token, c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}
	for range 2 { // again: it has ended by then
		if err := f.client.RevokeToken(t.Context(), f.at.Installation, token, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got := f.with(t, token, "GET", "repos/acme/shop/contents/README.md", ""); got != http.StatusUnauthorized {
			t.Errorf("after it ended: %d", got)
		}
	}
	if _, err := f.client.Content(t.Context(), f.at, "README.md", "refs/heads/main"); err != nil {
		t.Errorf("the client's own token: %v", err)
	}
	for key, answer := range f.client.Answers(f.at.Installation) {
		if strings.Contains(key+answer, token) {
			t.Errorf("the token is in the kept answer %s", key)
		}
	}
}

func TestTokensThatAreNotMade(t *testing.T) {
	f := newFixture(t)
	elsewhere := f.at
	elsewhere.ID++
	for name, c := range map[string]struct {
		at          policy.Repository
		permissions map[string]string
		want        string
		asked       int
	}{
		"for nothing":                        {f.at, nil, "for something", 0},
		"for no repository":                  {policy.Repository{Installation: f.at.Installation, Owner: "acme"}, map[string]string{"contents": "read"}, "for a repository", 0},
		"without an installation":            {policy.Repository{ID: f.at.ID, Owner: "acme", Name: "shop"}, map[string]string{"contents": "read"}, "installation", 0},
		"what go-github has no field for":    {f.at, map[string]string{"attestations": "write"}, `"attestations"`, 0},
		"more than the App has":              {f.at, map[string]string{"contents": "write", "pages": "read"}, "with contents:write and pages:read, which the App must have itself: GitHub answered 422", 1},
		"a repository that is not the App's": {elsewhere, map[string]string{"contents": "read"}, "GitHub answered 422", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f.sim.ResetRequests()
			token, _, err := f.client.MintToken(t.Context(), c.at, c.permissions)
			if err == nil || !strings.Contains(err.Error(), c.want) || token != "" {
				t.Errorf("%d characters, %v, want %q", len(token), err, c.want)
			}
			if n := made(f.sim.Requests()); n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
		})
	}
}

// TestEveryPermissionOfThePolicyCanBeAskedFor is about go-github's type, which lacks some
// that GitHub has.
func TestEveryPermissionOfThePolicyCanBeAskedFor(t *testing.T) {
	f := newFixture(t)
	_, _, err := policy.TokenPermission("everything:read")
	_, list, _ := strings.Cut(err.Error(), "; those are ")
	names := strings.Split(list, ", ")
	if len(names) < 5 {
		t.Fatalf("the policy allows %q", names)
	}
	for _, name := range names {
		f.installation.SetPermission(name, "write")
		token, _, err := f.client.MintToken(t.Context(), f.at, map[string]string{name: "read"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.client.RevokeToken(t.Context(), f.at.Installation, token, time.Time{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestATokenForMoreThanWasAskedIsEnded has GitHub grant more than was asked for.
func TestATokenForMoreThanWasAskedIsEnded(t *testing.T) {
	for name, c := range map[string]struct{ instead, with, want string }{
		"another permission":          {`"permissions":{"contents":"read"}`, `"permissions":{"contents":"read","attestations":"write"}`, "attestations:write, which was not asked for"},
		"a higher level":              {`"contents":"read"`, `"contents":"write"`, "contents:write, which was not asked for"},
		"all repositories":            {`"repository_selection":"selected"`, `"repository_selection":"all"`, "for other repositories"},
		"another repository":          {`"repositories":[{`, `"repositories":[{"id":1},{`, "for other repositories"},
		"a life of more than an hour": {`"expires_at":"2`, `"expires_at":"3`, "longer than an hour"},
		"no end":                      {`"expires_at"`, `"expires"`, "longer than an hour"},
		"what cannot be read":         {`"permissions":{`, `"permissions":[`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			changed := false
			f := newFixtureOn(t, githubsim.Options{Wrap: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !strings.HasSuffix(r.URL.Path, "/access_tokens") {
						next.ServeHTTP(w, r)
						return
					}
					answer := &rewriting{ResponseWriter: w, change: func(body string) string {
						now := strings.Replace(body, c.instead, c.with, 1)
						changed = changed || now != body
						return now
					}}
					next.ServeHTTP(answer, r)
				})
			}})
			token, _, err := f.client.MintToken(t.Context(), f.at, map[string]string{"contents": "read"})
			if err == nil || token != "" || !strings.Contains(err.Error(), c.want) || !changed {
				t.Fatalf("%d characters, %v, want %q (changed: %t)", len(token), err, c.want, changed)
			}
			if strings.Contains(err.Error(), "ghs_") {
				t.Error("the error has the token in it")
			}
			if requests := f.sim.Requests(); c.want != "" && (len(requests) != 2 || requests[1].Method != http.MethodDelete || requests[1].Status != http.StatusNoContent) {
				t.Errorf("asked %+v", requests)
			}
		})
	}
}

// TestATokenThatIsNotKnownYetIsNotOneThatHasEnded: parts of GitHub refuse a token for some
// seconds after it was made, and it is good elsewhere meanwhile.
func TestATokenThatIsNotKnownYetIsNotOneThatHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		status, times int
		age           time.Duration
		waits         []time.Duration
		ended, fails  bool
	}{
		"known at once":           {status: http.StatusUnauthorized, ended: true},
		"known the third time":    {status: http.StatusUnauthorized, times: 2, waits: []time.Duration{time.Second, 2 * time.Second}, ended: true},
		"forbidden at first":      {status: http.StatusForbidden, times: 1, waits: []time.Duration{time.Second}, ended: true},
		"not known all the while": {status: http.StatusUnauthorized, times: 9, waits: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, fails: true},
		"refused when it is old":  {status: http.StatusUnauthorized, times: 9, age: time.Minute},
		"forbidden when it is":    {status: http.StatusForbidden, times: 9, age: time.Minute, fails: true},
		"a failure":               {status: http.StatusInternalServerError, times: 9, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			token, _, err := f.client.MintToken(t.Context(), f.at, map[string]string{"contents": "read"})
			if err != nil {
				t.Fatal(err)
			}
			if c.times > 0 {
				f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/installation/token`), Status: c.status, Times: c.times})
			}
			err = f.client.RevokeToken(t.Context(), f.at.Installation, token, time.Now().Add(-c.age))
			if (err != nil) != c.fails || !slices.Equal(f.waited, c.waits) {
				t.Errorf("%v after waiting %v, want %v", err, f.waited, c.waits)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Error("the error has the token in it")
			}
			want := http.StatusOK
			if c.ended {
				want = http.StatusUnauthorized
			}
			if got := f.with(t, token, "GET", "repos/acme/shop/contents/README.md", ""); got != want {
				t.Errorf("GitHub answers it with %d, want %d", got, want)
			}
		})
	}
}

// rewriting changes a body on its way out.
type rewriting struct {
	http.ResponseWriter

	change func(string) string
}

func (r *rewriting) WriteHeader(status int) {
	r.Header().Del("Content-Length")
	r.ResponseWriter.WriteHeader(status)
}

func (r *rewriting) Write(body []byte) (int, error) {
	_, err := io.WriteString(r.ResponseWriter, r.change(string(body)))
	return len(body), err
}

// TestALimitOnTokensIsOne meets limits as tokens are made and ended, and that what fails
// otherwise does not count as ended.
func TestALimitOnTokensIsOne(t *testing.T) {
	f := newFixture(t)
	token, _, err := f.client.MintToken(t.Context(), f.at, map[string]string{"contents": "read"})
	if err != nil {
		t.Fatal(err)
	}
	fail := func(path string, status int, after string) {
		t.Helper()
		header := map[string]string{}
		if after != "" {
			header["Retry-After"] = after
		}
		t.Cleanup(f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(path), Status: status, Header: header, Times: 1}))
	}
	end := func() error { return f.client.RevokeToken(t.Context(), f.at.Installation, token, time.Time{}) }
	fail(`/installation/token`, http.StatusInternalServerError, "")
	if failure, is := errors.AsType[*githubapi.Error](end()); !is || failure.Status != http.StatusInternalServerError {
		t.Errorf("what GitHub could not do: %v", failure)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.client.RevokeToken(gone, f.at.Installation, token, time.Time{}); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("what was not asked: %v", err)
	}
	fail(`/installation/token`, http.StatusTooManyRequests, "7")
	limit, is := errors.AsType[*githubapi.LimitError](end())
	if !is || limit.Installation != f.at.Installation || time.Until(limit.RetryTime()) > 7*time.Second {
		t.Errorf("a limit: %+v", limit)
	}
	f.sim.ResetRequests()
	if _, is := errors.AsType[*githubapi.LimitError](end()); !is || len(f.sim.Requests()) != 0 {
		t.Errorf("asked before the limit was over: %+v", f.sim.Requests())
	}
	fail(`/access_tokens`, http.StatusForbidden, "9")
	_, _, err = f.client.MintToken(t.Context(), f.at, map[string]string{"contents": "read"})
	if limit, is := errors.AsType[*githubapi.LimitError](err); !is || limit.Installation != 0 {
		t.Errorf("a limit of the App's: %v", err)
	}
}
