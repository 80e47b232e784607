package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// migrate brings the schema up to what this binary knows. A schema that is
// newer is left alone and refused: this binary would not keep what a newer one
// relies on.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("find the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer.DB, files)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return &NewerSchemaError{Schema: current, Known: target}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema from version %d to %d: %w", current, target, err)
	}
	return nil
}

// NewerSchemaError is returned for a database that a newer Portcullis has
// migrated.
type NewerSchemaError struct {
	// Schema is the database's version, Known the newest this binary has.
	Schema, Known int64
}

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("its schema has version %d and this binary knows %d; run the newer Portcullis or restore the backup made before it", e.Schema, e.Known)
}
