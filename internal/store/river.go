package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// onceWaiting lets one alarm with the same key wait or run at a time.
var onceWaiting = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateScheduled, rivertype.JobStateRunning, rivertype.JobStateRetryable,
}}

// queueConnections is how many connections River uses: three producers, one that
// completes, one that listens, one that elects, and the bell.
const queueConnections = 6

// migrationLock is the number of the advisory lock under which replicas that
// start together bring River's tables up to date one after the other.
const migrationLock = 0x72697672 // "rivr"

// newAlarmClient makes a client of River's, and what closes its database.
func (s *Store) newAlarmClient(ctx context.Context, config *river.Config) (alarmClient, func(), error) {
	if s.server != nil {
		return newServerAlarms(ctx, s.server, config)
	}
	return newLocalAlarms(ctx, config)
}

// newServerAlarms keeps alarms in the database that all replicas share, so that
// any of them answers.
func newServerAlarms(ctx context.Context, server *pgx.ConnConfig, config *river.Config) (alarmClient, func(), error) {
	pooled, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, nil, fmt.Errorf("prepare a pool: %w", err)
	}
	pooled.ConnConfig = server.Copy()
	pooled.MaxConns = queueConnections
	pooled.AfterConnect = applySessionSettings
	pool, err := pgxpool.NewWithConfig(ctx, pooled)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	driver := riverpgxv5.New(pool)
	if err := migrateAlarms(ctx, pool, driver, config.Logger); err != nil {
		pool.Close()
		return nil, nil, err
	}
	client, err := river.NewClient(driver, config)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return client, pool.Close, nil
}

// migrateAlarms makes River's tables, or brings them up to date, while no other
// replica does.
func migrateAlarms(ctx context.Context, pool *pgxpool.Pool, driver *riverpgxv5.Driver, log *slog.Logger) error {
	turn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer turn.Release()
	if _, err := turn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("wait for other replicas: %w", err)
	}
	defer func() { _, _ = turn.Exec(ctx, "SELECT pg_advisory_unlock($1)", migrationLock) }() // or the end of the connection does it
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: log})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return fmt.Errorf("migrate River's tables: %w", err)
	}
	return nil
}

// newLocalAlarms keeps alarms in memory: the process is alone with its file, and
// rings for everything that is due when it starts.
func newLocalAlarms(ctx context.Context, config *river.Config) (alarmClient, func(), error) {
	db, err := sql.Open("sqlite", "file::memory:?_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	// Another connection would be another database.
	db.SetMaxOpenConns(1)
	closeAll := func() { _ = db.Close() } // nothing is in it that anybody needs
	driver := localDriver{riversqlite.New(db)}
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: config.Logger})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		closeAll()
		return nil, nil, fmt.Errorf("make River's tables: %w", err)
	}
	client, err := river.NewClient(driver, config)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return client, closeAll, nil
}

// localDriver says that there is nobody to tell of a new alarm but this process:
// River then hands it to a worker at once, instead of reading a table for it.
type localDriver struct{ *riversqlite.Driver }

func (localDriver) SupportsListener() bool     { return false }
func (localDriver) SupportsListenNotify() bool { return false }
