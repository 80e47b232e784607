-- The schema as SQLite's has it since its fourth version, under the same number.
-- Times are BIGINT, milliseconds since 1970 UTC, and come from the process.
-- The zero time of Go, "never" or "not known", is its own value where a fact has
-- it and NULL where the column says so. Text is compared byte by byte.

-- +goose Up

-- One row per pull request: what is being asked. The rules are gate's.
CREATE TABLE approval_requests (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    subject       TEXT   NOT NULL,
    commit_sha    TEXT   NOT NULL,
    since         BIGINT NOT NULL,
    tier          TEXT   NOT NULL,
    required      BIGINT NOT NULL,
    excluded      TEXT   NOT NULL, -- JSON: account id to reason
    expires_after BIGINT NOT NULL, -- nanoseconds; 0: never
    quorums       TEXT   NOT NULL, -- JSON
    alike         TEXT   NOT NULL  -- JSON: commits
);

CREATE TABLE approval_heads (
    request_id   TEXT COLLATE "C" NOT NULL REFERENCES approval_requests (id),
    position     BIGINT NOT NULL, -- in the order of arrival, from 0
    sha          TEXT   NOT NULL,
    since        BIGINT NOT NULL,
    pusher_id    BIGINT NOT NULL, -- 0: not known
    pusher_login TEXT   NOT NULL,
    pusher_kind  TEXT   NOT NULL,
    replaced     TEXT   NOT NULL, -- the head before it; empty: it was the first, 'unknown': that is not known
    PRIMARY KEY (request_id, position)
);

CREATE TABLE approval_votes (
    request_id   TEXT COLLATE "C" NOT NULL REFERENCES approval_requests (id),
    position     BIGINT NOT NULL, -- in the order of first recording, from 0
    source       TEXT COLLATE "C" NOT NULL,
    voter_id     BIGINT NOT NULL, -- 0: withdrawn before it came
    voter_login  TEXT   NOT NULL,
    voter_kind   TEXT   NOT NULL,
    verdict      TEXT   NOT NULL,
    commit_sha   TEXT   NOT NULL,
    given_at     BIGINT NOT NULL,
    reason       TEXT   NOT NULL,
    lifter_id    BIGINT NOT NULL, -- who took back a rejection that is not theirs; 0: nobody
    lifter_login TEXT   NOT NULL,
    lifter_kind  TEXT   NOT NULL,
    PRIMARY KEY (request_id, position),
    UNIQUE (request_id, source)
);

CREATE INDEX approval_votes_voter ON approval_votes (voter_id);
CREATE INDEX approval_votes_lifter ON approval_votes (lifter_id) WHERE lifter_id <> 0;

-- One row per pull request that was ever evaluated.
CREATE TABLE decisions (
    pull_request      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    generation        BIGINT NOT NULL, -- the newest that was handed out
    posted_generation BIGINT NOT NULL, -- 0: nothing was posted yet
    head_sha          TEXT COLLATE "C" NOT NULL, -- the head that the posted decision is about
    decision          TEXT   NOT NULL, -- JSON
    check_run_id      BIGINT NOT NULL,
    digest            TEXT   NOT NULL, -- empty: write the next one whatever it says
    posted_at         BIGINT NOT NULL,
    review_at         BIGINT,          -- when time alone changes it; NULL: never
    closed            BIGINT NOT NULL DEFAULT 0, -- 1: the pull request was closed when it was last looked at
    base_branch       TEXT   NOT NULL DEFAULT '' -- empty: not known
);

CREATE INDEX decisions_head ON decisions (head_sha);

-- Entries of merge queues that wait for their check.
CREATE TABLE merge_groups (
    pull_request  TEXT COLLATE "C" NOT NULL,
    head_sha      TEXT COLLATE "C" NOT NULL,
    head_ref      TEXT   NOT NULL,
    installation  BIGINT NOT NULL,
    repository_id BIGINT NOT NULL,
    owner         TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    number        BIGINT NOT NULL,
    check_run_id  BIGINT NOT NULL, -- 0: not known
    digest        TEXT   NOT NULL, -- empty: write the next one whatever it says
    PRIMARY KEY (pull_request, head_sha)
);

-- Owners that have a policy for all their repositories.
CREATE TABLE floors (
    owner   TEXT   NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

-- One row per subject. Due is whatever has a due_at that has come. The rows are
-- changed often: there is room beside each for its next version.
CREATE TABLE work (
    work_key      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
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
    reason        TEXT   NOT NULL, -- of the last failure
    claim         BIGINT NOT NULL, -- the number of the newest claim
    claimed_until BIGINT,          -- NULL: nobody holds it
    rung_at       BIGINT,          -- when a worker was last called for it; NULL: none was since its last claim
    urgency       BIGINT NOT NULL  -- 1: a kill switch, 2: people, 3: everything else
) WITH (fillfactor = 70);

CREATE INDEX work_due ON work (urgency, due_at, work_key) WHERE due_at IS NOT NULL;
CREATE INDEX work_stuck ON work (work_key) WHERE attempts > 0;
CREATE INDEX work_repository ON work (repository_id);

CREATE TABLE deliveries (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    work_key    TEXT COLLATE "C" NOT NULL REFERENCES work (work_key),
    want        BIGINT NOT NULL, -- which asking it was: the order of arrival
    event       TEXT   NOT NULL,
    payload     BYTEA  NOT NULL, -- gzip
    received_at BIGINT NOT NULL,
    attempts    BIGINT NOT NULL, -- failures of its work since it came
    done_at     BIGINT           -- NULL: not done
);

-- It is compressed already.
ALTER TABLE deliveries ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE INDEX deliveries_undone ON deliveries (work_key, want) WHERE done_at IS NULL;
CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at IS NOT NULL;

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
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    attempt  BIGINT NOT NULL, -- GitHub's id of one that failed
    found_at BIGINT NOT NULL,
    times    BIGINT NOT NULL, -- how often GitHub was asked to send it again
    next_at  BIGINT           -- when it may be asked for next; NULL: never
);

-- How far sweeps came.
CREATE TABLE sweeps (
    sweep      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    through_at BIGINT,          -- up to when an earlier one has seen everything; NULL: there was none
    began_at   BIGINT,          -- of the one that is under way; NULL: none is
    cursor_at  TEXT   NOT NULL  -- where that goes on
);

-- What replicas tell each other, as GitHub's limits.
CREATE TABLE notes (
    topic   TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    content TEXT   NOT NULL,
    PRIMARY KEY (topic, name)
);
