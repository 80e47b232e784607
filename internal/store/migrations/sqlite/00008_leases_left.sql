-- +goose Up

-- What is lent, or not cleared away, in a repository. What was cleared away is on record
-- for a while, and is far more.
CREATE INDEX leases_left ON leases (repository_id, number, run_id) WHERE state NOT IN ('revoked', 'expired', 'failed');
