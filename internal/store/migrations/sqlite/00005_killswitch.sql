-- +goose Up

-- What a gate's check is known to show: 0 closed, 1 waiting, 2 open, which unknown
-- counts as. GitHub merges by itself what has auto_merge.
ALTER TABLE decisions ADD COLUMN shows BIGINT NOT NULL DEFAULT 2;
ALTER TABLE decisions ADD COLUMN auto_merge BIGINT NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN by_agent BIGINT NOT NULL DEFAULT 1;

-- Kill switches. The document is the switch; the columns are what it is found by.
CREATE TABLE switches (
    scope    TEXT NOT NULL PRIMARY KEY,
    state    TEXT NOT NULL,
    document TEXT NOT NULL
);

-- Gates to be decided anew at the pace that GitHub allows.
CREATE TABLE marked_gates (
    pull_request TEXT   NOT NULL PRIMARY KEY,
    installation BIGINT NOT NULL,
    priority     BIGINT NOT NULL, -- the smaller goes first
    wanted_at    BIGINT           -- when its work was asked for; NULL: not yet
);
CREATE INDEX marked_gates_next ON marked_gates (installation, priority, pull_request) WHERE wanted_at IS NULL;

-- What was marked once is not marked again.
CREATE TABLE marks (
    mark TEXT   NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL
);

-- Which of them were decided of late, and by which process: the pace is that of all
-- processes, and of those that are no more.
CREATE TABLE paced_gates (
    installation BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    process      TEXT   NOT NULL
);
CREATE INDEX paced_gates_at ON paced_gates (installation, at);

-- A sweep that began before it was last asked for, as when a process starts, has not
-- seen everything once it ends.
ALTER TABLE sweeps ADD COLUMN wanted_at BIGINT;

-- An older binary would let gates open while a switch is on.
UPDATE schema_compatibility SET oldest = 5;
