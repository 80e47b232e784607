-- +goose Up

-- The branches that open pull requests go to: a stop asks for them before it locks.
CREATE INDEX decisions_base_branch ON decisions (base_branch) WHERE closed = 0;
