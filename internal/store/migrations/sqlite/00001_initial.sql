-- Times are BIGINT, milliseconds since 1970 UTC, and come from the process.
-- The zero time of Go, "never" or "not known", is its own value where a fact has
-- it and NULL where the column says so.

-- +goose Up

-- One row per pull request: what is being asked. The rules are gate's.
CREATE TABLE approval_requests (
    id            TEXT   NOT NULL PRIMARY KEY,
    subject       TEXT   NOT NULL,
    commit_sha    TEXT   NOT NULL,
    since         BIGINT NOT NULL,
    tier          TEXT   NOT NULL,
    required      BIGINT NOT NULL,
    excluded      TEXT   NOT NULL, -- JSON: account id to reason
    expires_after BIGINT NOT NULL  -- nanoseconds; 0: never
);

CREATE TABLE approval_heads (
    request_id TEXT   NOT NULL REFERENCES approval_requests (id),
    position   BIGINT NOT NULL, -- in the order of arrival, from 0
    sha        TEXT   NOT NULL,
    since      BIGINT NOT NULL,
    PRIMARY KEY (request_id, position)
);

CREATE TABLE approval_votes (
    request_id  TEXT   NOT NULL REFERENCES approval_requests (id),
    position    BIGINT NOT NULL, -- in the order of first recording, from 0
    source      TEXT   NOT NULL,
    voter_id    BIGINT NOT NULL, -- 0: withdrawn before it came
    voter_login TEXT   NOT NULL,
    voter_kind  TEXT   NOT NULL,
    verdict     TEXT   NOT NULL,
    commit_sha  TEXT   NOT NULL,
    given_at    BIGINT NOT NULL,
    reason      TEXT   NOT NULL,
    PRIMARY KEY (request_id, position),
    UNIQUE (request_id, source)
);

-- One row per pull request that was ever evaluated.
CREATE TABLE decisions (
    pull_request      TEXT   NOT NULL PRIMARY KEY,
    generation        BIGINT NOT NULL, -- the newest that was handed out
    posted_generation BIGINT NOT NULL, -- 0: nothing was posted yet
    head_sha          TEXT   NOT NULL, -- the head that the posted decision is about
    decision          TEXT   NOT NULL, -- JSON
    check_run_id      BIGINT NOT NULL,
    digest            TEXT   NOT NULL, -- empty: write the next one whatever it says
    posted_at         BIGINT NOT NULL,
    review_at         BIGINT           -- when time alone changes it; NULL: never
);

CREATE INDEX decisions_head ON decisions (head_sha);

-- One row per subject. Due is whatever has a due_at that has come.
CREATE TABLE work (
    work_key      TEXT   NOT NULL PRIMARY KEY,
    installation  BIGINT NOT NULL,
    repository_id BIGINT NOT NULL, -- 0: about no pull request
    owner         TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    number        BIGINT NOT NULL,
    want          BIGINT NOT NULL, -- how often it was asked for
    done          BIGINT NOT NULL, -- up to which of those it was done
    wanted_at     BIGINT,          -- since when want > done; NULL: they are equal
    run_at        BIGINT,          -- the timer; NULL: none
    not_before    BIGINT,          -- the back-off; NULL: none
    due_at        BIGINT,          -- follows from the three; NULL: nothing to do
    attempts      BIGINT NOT NULL, -- failures since it was last done
    reason        TEXT   NOT NULL  -- of the last failure
);

CREATE INDEX work_due ON work (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX work_stuck ON work (work_key) WHERE attempts > 0;

CREATE TABLE deliveries (
    id          TEXT   NOT NULL PRIMARY KEY,
    work_key    TEXT   NOT NULL REFERENCES work (work_key),
    want        BIGINT NOT NULL, -- which asking it was: the order of arrival
    event       TEXT   NOT NULL,
    payload     BLOB   NOT NULL, -- gzip
    received_at BIGINT NOT NULL,
    attempts    BIGINT NOT NULL, -- failures of its work since it came
    done_at     BIGINT           -- NULL: not done
);

CREATE INDEX deliveries_undone ON deliveries (work_key, want) WHERE done_at IS NULL;

CREATE TABLE audit_entries (
    sequence      BIGINT NOT NULL PRIMARY KEY,
    at            BIGINT NOT NULL,
    actor         TEXT   NOT NULL,
    actor_id      BIGINT NOT NULL,
    action        TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    commit_sha    TEXT   NOT NULL,
    detail        TEXT   NOT NULL,
    previous_hash TEXT   NOT NULL,
    hash          TEXT   NOT NULL
);

-- One row, written to find out whether the database can be written.
CREATE TABLE pings (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
