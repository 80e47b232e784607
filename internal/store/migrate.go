package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

// migrate brings the schema up to what this binary knows. Replicas that start
// together take turns. A schema that is newer is left alone, and refused unless
// it says that a binary as old as this one may work with it: another one would
// not keep what the newer ones rely on.
func (s *Store) migrate(ctx context.Context) error {
	provider, err := s.migrationProvider()
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return s.checkNewer(ctx, current, target)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema from version %d to %d: %w", current, target, err)
	}
	return nil
}

// checkSchema is migrate for whoever only reads: the schema must be one that this
// binary knows.
func (s *Store) checkSchema(ctx context.Context) error {
	provider, err := s.migrationProvider()
	if err != nil {
		return err
	}
	var current int64
	if err := s.reader.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&current); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	sources := provider.ListSources()
	target := sources[len(sources)-1].Version
	switch {
	case current > target:
		return s.checkNewer(ctx, current, target)
	case current < target:
		return &OpenError{Problem: fmt.Sprintf("its schema has version %d and this binary needs %d", current, target), Remedy: "start the server with this binary once"}
	}
	return nil
}

func (s *Store) migrationProvider() (*goose.Provider, error) {
	d := s.writer.dialect
	files, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	var options []goose.ProviderOption
	if d.goose == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, fmt.Errorf("prepare to migrate: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(d.goose, s.reader.DB, files, options...)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}

// checkNewer reads what the newest migration wrote down: the oldest schema whose
// binaries may go on working beside it.
func (s *Store) checkNewer(ctx context.Context, current, known int64) error {
	var oldest int64
	err := s.reader.QueryRowContext(ctx, `SELECT oldest FROM schema_compatibility`).Scan(&oldest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read which versions the schema admits: %w", err)
	}
	if err != nil || known < oldest {
		return &NewerSchemaError{Schema: current, Known: known}
	}
	return nil
}

// NewerSchemaError is returned for a database that a newer Portcullis has
// migrated, and that does not admit this one.
type NewerSchemaError struct {
	// Schema is the database's version, Known the newest this binary has.
	Schema, Known int64
}

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("its schema has version %d and this binary knows %d; run the newer Portcullis or restore the backup made before it", e.Schema, e.Known)
}
