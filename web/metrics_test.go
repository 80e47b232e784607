package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/web"
)

// figures are what is counted on record.
type figures struct {
	since                  time.Time
	leases, dues, backlogs error
}

func (f figures) CountLeases(context.Context) (map[credential.State]int, error) {
	return map[credential.State]int{credential.StateActive: 3, credential.StateStuck: 1}, f.leases
}

func (f figures) OldestDueLease(context.Context) (time.Time, error) { return f.since, f.dues }

func (f figures) Backlog(context.Context) (int, error) { return 7, f.backlogs }

func scrape(t *testing.T, f figures, w *world) (status int, body string) {
	t.Helper()
	answer := httptest.NewRecorder()
	web.NewMetrics(f, w, func() time.Time { return now }, zerolog.Nop()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return answer.Code, answer.Body.String()
}

func TestMetrics(t *testing.T) {
	stop := &world{on: []killswitch.Switch{stopped(5, true)}}
	status, told := scrape(t, figures{since: now.Add(-90 * time.Second)}, stop)
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, told)
	}
	for _, line := range []string{
		`portcullis_credential_leases{state="active"} 3`, `portcullis_credential_leases{state="stuck"} 1`, `portcullis_credential_leases{state="revoking"} 0`,
		"portcullis_credential_oldest_due_seconds 90", "portcullis_work_backlog 7", "portcullis_kill_switches_on 1", "# TYPE go_goroutines gauge",
	} {
		if !strings.Contains(told, "\n"+line+"\n") {
			t.Errorf("it lacks %q:\n%s", line, told)
		}
	}
	for _, name := range []string{"acme", "violet", "a token leaked"} {
		if strings.Contains(told, name) {
			t.Errorf("it tells anybody of %q", name)
		}
	}
	if _, told := scrape(t, figures{}, stop); !strings.Contains(told, "\nportcullis_credential_oldest_due_seconds 0\n") {
		t.Errorf("nothing waits, and it tells\n%s", told)
	}
}

// What cannot be read is no zero, and says nothing of the database.
func TestWhatCannotBeReadIsNoMetric(t *testing.T) {
	broken := errors.New("connection refused")
	for name, c := range map[string]struct {
		figures
		unread error
	}{"leases": {figures{leases: broken}, nil}, "what is due": {figures{dues: broken}, nil}, "work": {figures{backlogs: broken}, nil}, "switches": {figures{}, broken}} {
		status, told := scrape(t, c.figures, &world{unread: c.unread})
		if status != http.StatusInternalServerError || strings.Contains(told, "portcullis_work_backlog 7") || strings.Contains(told, "connection refused") {
			t.Errorf("%s cannot be read: %d %s", name, status, told)
		}
	}
}
