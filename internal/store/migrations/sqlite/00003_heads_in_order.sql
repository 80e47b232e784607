-- +goose Up

-- The head before it; empty: it was the first, 'unknown': that is not known.
ALTER TABLE approval_heads ADD COLUMN replaced TEXT NOT NULL DEFAULT '';

-- What is due is listed often, by its keys alone.
DROP INDEX work_due;
CREATE INDEX work_due ON work (due_at, work_key) WHERE due_at IS NOT NULL;
