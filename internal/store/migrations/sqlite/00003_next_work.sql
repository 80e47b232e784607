-- +goose Up

-- What is due is listed often, by its keys alone.
DROP INDEX work_due;
CREATE INDEX work_due ON work (due_at, work_key) WHERE due_at IS NOT NULL;
