-- +goose Up

-- The number of the newest claim, and until when it holds; NULL: nobody holds it.
ALTER TABLE work ADD COLUMN claim BIGINT NOT NULL DEFAULT 0;
ALTER TABLE work ADD COLUMN claimed_until BIGINT;
-- When a worker was last called for it; NULL: none was since its last claim.
ALTER TABLE work ADD COLUMN rung_at BIGINT;
-- 1: a kill switch, 2: people, 3: everything else.
ALTER TABLE work ADD COLUMN urgency BIGINT NOT NULL DEFAULT 3;

DROP INDEX work_due;
CREATE INDEX work_due ON work (urgency, due_at, work_key) WHERE due_at IS NOT NULL;

CREATE INDEX work_repository ON work (repository_id);

-- What was done long ago is deleted.
CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at IS NOT NULL;

-- One row: the oldest schema whose binaries may work beside this one's.
CREATE TABLE schema_compatibility (
    id     BIGINT NOT NULL PRIMARY KEY,
    oldest BIGINT NOT NULL
);
INSERT INTO schema_compatibility (id, oldest) VALUES (1, 4);

-- What open pull requests looked like when they were last listed.
CREATE TABLE listings (
    repository_id BIGINT NOT NULL,
    number        BIGINT NOT NULL,
    looks         TEXT   NOT NULL,
    PRIMARY KEY (repository_id, number)
);

-- Deliveries that GitHub could not hand over.
CREATE TABLE redeliveries (
    id       TEXT NOT NULL PRIMARY KEY,
    attempt  BIGINT NOT NULL, -- GitHub's id of one that failed
    found_at BIGINT NOT NULL,
    times    BIGINT NOT NULL, -- how often GitHub was asked to send it again
    next_at  BIGINT           -- when it may be asked for next; NULL: never
);

-- How far sweeps came.
CREATE TABLE sweeps (
    sweep      TEXT   NOT NULL PRIMARY KEY,
    through_at BIGINT,          -- up to when an earlier one has seen everything; NULL: there was none
    began_at   BIGINT,          -- of the one that is under way; NULL: none is
    cursor_at  TEXT   NOT NULL  -- where that goes on
);

-- What replicas tell each other, as GitHub's limits.
CREATE TABLE notes (
    topic   TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    content TEXT   NOT NULL,
    PRIMARY KEY (topic, name)
);
