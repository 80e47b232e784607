package codespaces

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// I15: GitHub's 17 states, and what it may say tomorrow.
func TestI15States(t *testing.T) {
	want := map[sandbox.SandboxStatus][]string{
		sandbox.StatusIdle:       {"Created", "Queued", "Provisioning", "Awaiting", "Starting", "Rebuilding", "Updating", "Exporting"},
		sandbox.StatusRunning:    {"Available"},
		sandbox.StatusTerminated: {"Deleted", "Shutdown", "ShuttingDown", "Archived", "Moved"},
		sandbox.StatusError:      {"Failed", "Unavailable", "Unknown", "ShutDown", "available", "", "Hibernating"},
	}
	known := 0
	for status, states := range want {
		for _, state := range states {
			if got := statusOf(state); got != status {
				t.Errorf("%q is %s, want %s", state, got, status)
			}
			if _, is := statuses[state]; is {
				known++
			}
		}
	}
	if known != 17 || len(statuses) != 17 {
		t.Errorf("%d states of %d are tested", known, len(statuses))
	}
	c := &Codespaces{config: Config{App: 1}}
	running := Codespace{State: "Available", Pending: true, PendingWhy: "it is moved"}
	if is := c.instance(sight{Codespace: running}, nil); is.Status != sandbox.StatusError || is.Reason != "it is moved" {
		t.Errorf("one with which nothing can be done is %s: %s", is.Status, is.Reason)
	}
}

var offered = []Machine{{"large", 8, 32 << 30}, {"small", 2, 8 << 30}, {"middle", 4, 16 << 30}, {"wide", 8, 16 << 30}}

func TestMachines(t *testing.T) {
	for _, c := range []struct {
		memory, cpu int
		want        string
	}{
		{0, 0, "small"},
		{8192, 0, "small"},
		{16384, 0, "middle"},
		{0, 800, "wide"},
		{16384, 800, "wide"},
		{32768, 800, "large"},
		{512, 0, "memory_mb: a codespace has the whole of its machine: there is none with 512, but with 8192, 16384, 32768"},
		{8193, 0, "memory_mb: a codespace has the whole of its machine: there is none with 8193"},
		{0, 150, "cpu_percent: a codespace has the whole of its machine: there is none with 150, but with 200, 400, 800"},
		{8192, 400, "cpu_percent: a codespace has the whole of its machine: there is none with 400, but with 200"},
	} {
		machine, err := machineFor(sandbox.SandboxConstraints{MemoryMB: c.memory, CPUPercent: c.cpu}, offered)
		got := machine.Name
		if refused, is := errors.AsType[*sandbox.UnsupportedError](err); is {
			got = refused.Field + ": " + refused.Why
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%d MB and %d%%: %s, want %s", c.memory, c.cpu, got, c.want)
		}
	}
	if _, err := machineFor(sandbox.SandboxConstraints{}, nil); err == nil {
		t.Error("a machine where there is none")
	}
}

func TestWhatGitHubsRefusalsMean(t *testing.T) {
	by := usertoken.New(policy.Actor{ID: 7, Login: "ann"}, "ghu_secret")
	for _, c := range []struct {
		status         int
		message, allow string
		want           string
	}{
		{http.StatusUnauthorized, "Bad credentials", "", "ann has to let the App act for them: GitHub does not take the token"},
		{http.StatusUnauthorized, "", "https://github.com/allow", "ann has to let the App act for them: the repository's devcontainer asks for more"},
		{http.StatusUnauthorized, "", "javascript:alert(1)", "ann has to let the App act for them: GitHub does not take the token"},
		{http.StatusPaymentRequired, "Spending limit", "", "GitHub creates no codespace: nobody pays for it"},
		{http.StatusForbidden, "", "", "GitHub creates no codespace: neither the person nor the App may"},
		{http.StatusNotFound, "", "", "GitHub creates no codespace: the person cannot see"},
		{http.StatusConflict, "", "", "GitHub creates no codespace: there is another one"},
		{http.StatusBadRequest, "Display name is wrong", "", "GitHub creates no codespace: it does not take what was asked for (GitHub says: Display name is wrong)"},
		{http.StatusBadRequest, "The ref @ann `x` <b>", "", "GitHub creates no codespace: it does not take what was asked for (GitHub says: The ref  ann  x   b )"},
		{http.StatusUnprocessableEntity, "", "", "GitHub creates no codespace: it does not take what was asked for"},
		{http.StatusTeapot, "", "", "GitHub creates no codespace: it answers 418"},
		{http.StatusServiceUnavailable, "", "", "cause"},
		{0, "", "", "cause"},
	} {
		err := refusal(by, &AnswerError{Status: c.status, Message: c.message, AllowURL: c.allow, Cause: errors.New("cause")})
		if !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%d: %v, want %s", c.status, err, c.want)
		}
		if needed, is := errors.AsType[*NeedsUserTokenError](err); is && needed.Person.ID != 7 {
			t.Errorf("%d: it is for %+v", c.status, needed.Person)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "0 <nil>"},
		{errors.New("cut off"), "0 cut off"},
		{&ssh.ExitMissingError{}, "0 wait: remote command exited without exit status or exit signal"},
	} {
		if code, err := exitCode(c.err); fmt.Sprint(code, err) != c.want {
			t.Errorf("%v: %d, %v", c.err, code, err)
		}
	}
}

func TestConfigurations(t *testing.T) {
	for idle, good := range map[time.Duration]bool{0: true, 5 * time.Minute: true, 4 * time.Minute: false, 241 * time.Minute: false, 90 * time.Second: false, 240 * time.Minute: true} {
		if _, err := NewCodespacesSandbox(Config{Idle: idle}); (err == nil) != good {
			t.Errorf("%s: %v", idle, err)
		}
	}
}
