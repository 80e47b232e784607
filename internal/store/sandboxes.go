package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

var _ sandbox.Records = (*Store)(nil)

// OpenSandbox keeps a record, unless there is one with the id.
func (s *Store) OpenSandbox(ctx context.Context, record sandbox.Record, caps sandbox.Caps, entry audit.Entry) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		known, err := loadSandbox(ctx, tx, record.ID)
		if err == nil && !known.EndedAt.IsZero() {
			return sandbox.ErrEnded
		}
		if !errors.Is(err, sandbox.ErrUnknown) {
			return err
		}
		if reaching, err := inForce(ctx, tx, record.For); err != nil || len(reaching) > 0 {
			return cmpErr(err, sandbox.ErrStopped)
		}
		if err := full(ctx, tx, record, caps); err != nil {
			return err
		}
		if err := saveSandbox(ctx, tx, record); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("keep that the sandbox %s is to be started: %w", record.ID, err)
	}
	return nil
}

// full is a [*sandbox.FullError] if there are as many as there may be.
func full(ctx context.Context, tx *transaction, record sandbox.Record, caps sandbox.Caps) error {
	for _, cap := range []struct {
		of, where string
		args      []any
		max       int
	}{
		{record.For.Repository.String(), `repository_id = ?`, []any{record.For.Repository.ID}, caps.PerRepository},
		{record.RequestedBy.String(), `requested_by = ? AND requested_by <> 0`, []any{record.RequestedBy.ID}, caps.PerPerson},
		{"this server", `1 = 1`, nil, caps.Total},
	} {
		n := 0
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sandboxes WHERE ended_at IS NULL AND `+cap.where, cap.args...).Scan(&n); err != nil {
			return err
		}
		if n >= cap.max {
			return &sandbox.FullError{Of: cap.of, Max: cap.max}
		}
	}
	return nil
}

// AdoptSandbox keeps a record of what was found, unless there is one with the id that has
// not ended.
func (s *Store) AdoptSandbox(ctx context.Context, record sandbox.Record, entry audit.Entry) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		known, err := loadSandbox(ctx, tx, record.ID)
		if err != nil && !errors.Is(err, sandbox.ErrUnknown) || err == nil && known.EndedAt.IsZero() {
			return err
		}
		if err := saveSandbox(ctx, tx, record); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("keep that the sandbox %s was found: %w", record.ID, err)
	}
	return nil
}

// ChangeSandbox changes one that has not ended.
func (s *Store) ChangeSandbox(ctx context.Context, id string, change func(*sandbox.Record) []audit.Entry) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		record, err := loadSandbox(ctx, tx, id)
		if errors.Is(err, sandbox.ErrUnknown) || err == nil && !record.EndedAt.IsZero() {
			return nil
		}
		if err != nil {
			return err
		}
		entries := change(&record)
		if err := saveSandbox(ctx, tx, record); err != nil {
			return err
		}
		return s.appendAll(ctx, tx, entries)
	})
	if err != nil {
		return fmt.Errorf("change the sandbox %s: %w", id, err)
	}
	return nil
}

// Sandboxes lists those in the scope that have not ended.
func (s *Store) Sandboxes(ctx context.Context, scope killswitch.Scope) (found []sandbox.Record, err error) {
	err = s.read(ctx, func(tx *transaction) (err error) {
		where, args := `ended_at IS NULL`, []any(nil)
		if scope.Repository.ID != 0 {
			where, args = where+` AND repository_id = ?`, append(args, scope.Repository.ID)
		}
		if scope.Number != 0 {
			where, args = where+` AND number = ?`, append(args, scope.Number)
		}
		if scope.Agents {
			where += ` AND by_agent = 1`
		}
		if scope.Repository.ID == 0 && scope.Repository.Owner != "" {
			where, args = where+` AND owner = ?`, append(args, strings.ToLower(scope.Repository.Owner))
		}
		found, err = list(ctx, tx, scanSandbox, `SELECT document FROM sandboxes WHERE `+where+` ORDER BY id`, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes: %w", err)
	}
	return found, nil
}

// Deputies lists the sandboxes in the repository whose programs have a person's rights, or
// had them at that time or later.
func (s *Store) Deputies(ctx context.Context, repository policy.Repository, since time.Time) (deputies []policy.Deputy, err error) {
	var found []sandbox.Record
	err = s.read(ctx, func(tx *transaction) (err error) {
		found, err = list(ctx, tx, scanSandbox, `SELECT document FROM sandboxes WHERE repository_id = ? AND acts_as <> 0 AND (ended_at IS NULL OR ended_at >= ?) ORDER BY id`, repository.ID, since.UnixMilli())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes in %s that act for people: %w", repository, err)
	}
	for _, record := range found {
		deputies = append(deputies, policy.Deputy{For: record.ActsAs, Sandbox: record.ID, From: record.CreatedAt, Until: record.EndedAt})
	}
	return deputies, nil
}

func loadSandbox(ctx context.Context, tx *transaction, id string) (sandbox.Record, error) {
	record, err := scanSandbox(tx.QueryRowContext(ctx, `SELECT document FROM sandboxes WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = sandbox.ErrUnknown
	}
	return record, err
}

func scanSandbox(row scanner) (record sandbox.Record, err error) {
	var document []byte
	if err := row.Scan(&document); err != nil {
		return record, err
	}
	err = json.Unmarshal(document, &record)
	return record, err
}

func saveSandbox(ctx context.Context, tx *transaction, record sandbox.Record) error {
	document, err := json.Marshal(record)
	if err != nil {
		return err
	}
	place := record.For
	_, err = tx.ExecContext(ctx, `
		INSERT INTO sandboxes (id, owner, repository_id, number, by_agent, requested_by, acts_as, ended_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, repository_id = excluded.repository_id, number = excluded.number, by_agent = excluded.by_agent,
			requested_by = excluded.requested_by, acts_as = excluded.acts_as, ended_at = excluded.ended_at, document = excluded.document`,
		record.ID, strings.ToLower(place.Repository.Owner), place.Repository.ID, place.Number, asNumber(place.Agents), record.RequestedBy.ID, record.ActsAs.ID,
		nullMillis(record.EndedAt), storableText(string(document)))
	return err
}

// PutTask keeps a task with the work on it, unless there is one with the id.
func (s *Store) PutTask(ctx context.Context, task sandbox.Task) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := loadTask(ctx, tx, task.ID); !errors.Is(err, sandbox.ErrUnknown) {
			return err
		}
		return s.saveTask(ctx, tx, task, s.now())
	})
	if err != nil {
		return fmt.Errorf("keep the task %s: %w", task.ID, err)
	}
	s.signal()
	return nil
}

// Task reads one.
func (s *Store) Task(ctx context.Context, id string) (task sandbox.Task, err error) {
	err = s.read(ctx, func(tx *transaction) error {
		task, err = loadTask(ctx, tx, id)
		return err
	})
	if err != nil {
		return sandbox.Task{}, fmt.Errorf("read the task %s: %w", id, err)
	}
	return task, nil
}

// ChangeTask changes one, and has the work on it done at that time.
func (s *Store) ChangeTask(ctx context.Context, id string, change func(*sandbox.Task) (time.Time, error)) (task sandbox.Task, _ error) {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
		if task, err = loadTask(ctx, tx, id); err != nil {
			return err
		}
		again, err := change(&task)
		if err != nil {
			return err
		}
		if again.IsZero() {
			again = s.now()
		}
		return s.saveTask(ctx, tx, task, again)
	})
	if err != nil {
		return sandbox.Task{}, fmt.Errorf("change the task %s: %w", id, err)
	}
	s.signal()
	return task, nil
}

// TaskTold keeps that whoever asked knows what came of it.
func (s *Store) TaskTold(ctx context.Context, id string) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		task, err := loadTask(ctx, tx, id)
		if err != nil {
			return err
		}
		task.Told = true
		return s.saveTask(ctx, tx, task, time.Time{})
	})
	if err != nil {
		return fmt.Errorf("keep that the task %s was told of: %w", id, err)
	}
	return nil
}

// saveTask keeps a task, and has the work on it done at that time; zero: never.
func (s *Store) saveTask(ctx context.Context, tx *transaction, task sandbox.Task, again time.Time) error {
	document, err := json.Marshal(task)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO sandbox_tasks (id, done_at, document) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET done_at = excluded.done_at, document = excluded.document`,
		task.ID, nullMillis(task.DoneAt), storableText(string(document)))
	if err != nil {
		return err
	}
	key, ref := sandbox.WorkKey(task.ID), policy.PullRequestRef{Repository: task.On.Repository}
	row, err := loadWork(ctx, tx, key)
	if errors.Is(err, errNoWork) {
		row, err = workRow{key: key, ref: ref, urgency: gate.UrgencyPeople}, nil
	}
	if err != nil {
		return err
	}
	// The time that holds is the newest: whoever was to be looked after may be done.
	row.runAt = time.Time{}
	if !again.IsZero() {
		row.runAt = atEarliest(again)
	}
	return saveWork(ctx, tx, row)
}

func loadTask(ctx context.Context, tx *transaction, id string) (task sandbox.Task, _ error) {
	var document []byte
	err := tx.QueryRowContext(ctx, `SELECT document FROM sandbox_tasks WHERE id = ?`, id).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return task, sandbox.ErrUnknown
	}
	if err != nil {
		return task, err
	}
	err = json.Unmarshal(document, &task)
	return task, err
}

const (
	// tasksKept is how long what came of a task is kept: as long as GitHub may deliver what
	// asked for it once more.
	tasksKept = 7 * 24 * time.Hour
	// sandboxesKept is how long a sandbox that has ended is remembered: one is not started
	// again, and what was said while it had a person's rights is not taken for theirs.
	sandboxesKept = 366 * 24 * time.Hour
)

// pruneSandboxes deletes records and tasks that ended long ago.
func pruneSandboxes(ctx context.Context, tx *transaction, now time.Time) (n int64, _ error) {
	for _, old := range []struct {
		statement string
		kept      time.Duration
	}{
		{`DELETE FROM sandboxes WHERE id IN (SELECT id FROM sandboxes WHERE ended_at < ? ORDER BY id LIMIT ?)`, sandboxesKept},
		{`DELETE FROM work WHERE due_at IS NULL AND work_key IN (SELECT '` + sandbox.WorkKey("") + `' || id FROM sandbox_tasks WHERE done_at < ? ORDER BY id LIMIT ?)`, tasksKept},
		{`DELETE FROM sandbox_tasks WHERE id IN (SELECT id FROM sandbox_tasks WHERE done_at < ? ORDER BY id LIMIT ?)`, tasksKept},
	} {
		done, err := tx.ExecContext(ctx, old.statement, now.Add(-old.kept).UnixMilli(), prunedTogether)
		if err != nil {
			return n, err
		}
		some, err := done.RowsAffected()
		if err != nil {
			return n, err
		}
		n = max(n, some)
	}
	return n, nil
}
