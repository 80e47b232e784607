package app

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// invitation is a line of `demo` that is meant to be pasted.
var invitation = regexp.MustCompile(`^  curl -s (?:-X (\w+) )?-H 'Authorization: (Bearer \w+)' (\S+)(?: -d '(.*)')?`)

// TestDemoInvitesToWhatWorks runs `demo` and does what it says one can try.
func TestDemoInvitesToWhatWorks(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := Main(ctx, []string{"demo"}, Stdio{Out: in, Err: io.Discard})
		_ = in.Close()
		ended <- code
	}()
	var lines []string
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		lines = append(lines, scanner.Text())
		if strings.HasPrefix(scanner.Text(), "Ctrl-C") {
			break
		}
	}
	address, _, _ := strings.Cut(strings.TrimPrefix(lines[0], "Open "), " ")
	if status, _ := paste(t, http.MethodGet, "", address, ""); status != http.StatusOK {
		t.Errorf("%q: the page answered %d", lines[0], status)
	}
	var statuses []int
	for _, line := range lines {
		if match := invitation.FindStringSubmatch(line); match != nil {
			status, body := paste(t, match[1], match[2], match[3], match[4])
			statuses = append(statuses, status)
			for end, shows := range map[string]string{"/actions/secrets": "JIT_1H_DEPLOY", "/comments": "The sandbox `pc-"} {
				if match[1] == "" && strings.HasSuffix(match[3], end) && !strings.Contains(body, shows) {
					eventually(t, shows, func() bool {
						_, body := paste(t, match[1], match[2], match[3], match[4])
						return strings.Contains(body, shows)
					})
				}
			}
		}
	}
	if want := []int{200, 405, 201, 200, 201, 201, 201, 200, 201, 201, 200}; !slices.Equal(statuses, want) {
		t.Errorf("GitHub answered %v, want %v\n%s", statuses, want, strings.Join(lines, "\n"))
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("demo ended with %d", code)
	}
}

func paste(t *testing.T, method, authorization, url, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	r.Header.Set("User-Agent", "curl/8.0")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read, _ := io.ReadAll(response.Body)
	http.DefaultClient.CloseIdleConnections()
	return response.StatusCode, string(read)
}
