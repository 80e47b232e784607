package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// records is the database beside the App, read as it lies there: not with the
// App's own code, which might share its faults.
type records struct {
	*sql.DB

	file string // empty for PostgreSQL
}

func openRecords(t testing.TB, databaseURL string) records {
	t.Helper()
	driver, source, file := "pgx", databaseURL, ""
	if path, ok := strings.CutPrefix(databaseURL, "sqlite:"); ok {
		driver, file = "sqlite", path
		source = "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(2)
	t.Cleanup(func() { _ = db.Close() })
	return records{db, file}
}

// undone counts the deliveries that were kept and are not worked off.
func (r records) undone(ctx context.Context) (count int, err error) {
	err = r.QueryRowContext(ctx, `SELECT COUNT(*) FROM deliveries WHERE done_at IS NULL`).Scan(&count)
	return count, err
}

// liveLeases counts the leases that are not cleared away.
func (r records) liveLeases(ctx context.Context) (count int, err error) {
	err = r.QueryRowContext(ctx, `SELECT COUNT(*) FROM leases WHERE state NOT IN ('revoked', 'expired', 'failed')`).Scan(&count)
	return count, err
}

// deliveries are all that were kept, and whether they are worked off.
func (r records) deliveries(ctx context.Context) (map[string]bool, error) {
	rows, err := r.QueryContext(ctx, `SELECT id, done_at IS NOT NULL FROM deliveries`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]bool{}
	for rows.Next() {
		var id string
		var done bool
		if err := rows.Scan(&id, &done); err != nil {
			return nil, err
		}
		found[id] = done
	}
	return found, rows.Err()
}

// chain holds the audit chain to what it promises.
func (r records) chain(ctx context.Context) (entries []audit.Entry, err error) {
	rows, err := r.QueryContext(ctx, `
		SELECT sequence, at, actor, actor_id, action, subject, commit_sha, detail, previous_hash, hash FROM audit_entries ORDER BY sequence`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e audit.Entry
		var at int64
		if err := rows.Scan(&e.Sequence, &at, &e.Actor, &e.ActorID, &e.Action, &e.Subject, &e.Commit, &e.Detail, &e.Previous, &e.Hash); err != nil {
			return nil, err
		}
		e.At = time.UnixMilli(at).UTC()
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return entries, audit.Verify(audit.Entry{}, entries)
}

// about is what is on record about a pull request, for people to read.
func (r records) about(ctx context.Context, key, subject string) string {
	var lines []string
	for _, query := range []string{
		`SELECT 'work', want, done, attempts, due_at, reason FROM work WHERE work_key = '` + key + `'`,
		`SELECT 'head', position, sha, since, pusher_login, replaced FROM approval_heads WHERE request_id = '` + key + `' ORDER BY position`,
		`SELECT 'vote', source, voter_login, verdict, commit_sha, given_at FROM approval_votes WHERE request_id = '` + key + `' ORDER BY position`,
		`SELECT 'asked again', redeliveries.id, times, next_at FROM redeliveries WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = redeliveries.id)`,
		`SELECT 'delivery', want, received_at, done_at, event, id FROM deliveries WHERE work_key = '` + key + `' ORDER BY want`,
		`SELECT 'audit', at, action, actor, commit_sha, detail FROM audit_entries WHERE subject = '` + subject + `' ORDER BY sequence`,
	} {
		err := r.eachRow(ctx, query, func(values []any) {
			var line []string
			for _, value := range values {
				if text, ok := value.([]byte); ok {
					value = string(text)
				}
				line = append(line, fmt.Sprint(value))
			}
			lines = append(lines, strings.Join(line, " "))
		})
		if err != nil {
			lines = append(lines, err.Error())
		}
	}
	return strings.Join(lines[max(0, len(lines)-200):], "\n")
}

// wanted are the deliveries that ask for work: those that the door hands to an
// inbox. The rest is acknowledged and forgotten.
func wanted(t testing.TB, all []githubsim.Delivery) map[string]bool {
	t.Helper()
	inbox := &listingInbox{}
	door, err := handlers.New(handlers.Config{Secret: demoSecret, Inbox: inbox, Switch: killswitch.NewGitHubKillSwitch(killswitch.Config{OrganizationRepository: ".github"}), Log: zerolog.Nop(), PolicyPath: policy.DefaultPath, OrganizationRepository: ".github"})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		request := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Payload))
		mac := hmac.New(sha256.New, []byte(demoSecret))
		mac.Write(d.Payload)
		for name, value := range map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": d.Event, "X-GitHub-Delivery": d.GUID,
			"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
		} {
			request.Header.Set(name, value)
		}
		answer := httptest.NewRecorder()
		if door.ServeHTTP(answer, request); answer.Code/100 != 2 {
			t.Errorf("the door answers %s %s with %d", d.Event, d.GUID, answer.Code)
		}
	}
	return inbox.ids
}

type listingInbox struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (i *listingInbox) Accept(_ context.Context, id, _ string, _ policy.PullRequestRef, _ gate.Urgency, _ []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ids == nil {
		i.ids = map[string]bool{}
	}
	i.ids[id] = true
	return nil
}

func (i *listingInbox) AcceptSwitch(ctx context.Context, id, event string, _ killswitch.Scope, payload []byte) error {
	return i.Accept(ctx, id, event, policy.PullRequestRef{}, gate.UrgencySwitch, payload)
}

// secretsIn looks for what must not be kept in every row of every table, and in
// every file of a folder.
func (r records) secretsIn(ctx context.Context, folder string, secrets []string) (found []string, err error) {
	look := func(where string, content []byte) {
		for _, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				found = append(found, fmt.Sprintf("%.12s… in %s", secret, where))
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".yml") {
			continue // the configuration is where they belong
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		look(filepath.Base(file), content)
	}
	tables, err := r.tables(ctx)
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		if err := r.eachValue(ctx, table, func(value []byte) { look(table, value) }); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (r records) tables(ctx context.Context) ([]string, error) {
	query := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if r.file == "" {
		query = `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`
	}
	rows, err := r.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		tables = append(tables, name)
	}
	return tables, rows.Err()
}

// eachValue calls see with each value of a table, unpacked where it is packed.
func (r records) eachValue(ctx context.Context, table string, see func([]byte)) error {
	return r.eachRow(ctx, "SELECT * FROM "+table, func(values []any) { //nolint:unqueryvet // secrets are looked for in every column
		for _, value := range values {
			switch v := value.(type) {
			case []byte:
				see(unpacked(v))
			case string:
				see([]byte(v))
			case nil:
			default:
				see(fmt.Append(nil, v))
			}
		}
	})
}

func (r records) eachRow(ctx context.Context, query string, see func(values []any)) error {
	rows, err := r.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		see(values)
	}
	return rows.Err()
}

func unpacked(value []byte) []byte {
	zipped, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return value
	}
	plain, err := io.ReadAll(zipped)
	if err != nil {
		return value
	}
	return plain
}
