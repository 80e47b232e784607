-- +goose Up

ALTER TABLE approval_requests ADD COLUMN quorums TEXT NOT NULL DEFAULT 'null'; -- JSON
ALTER TABLE approval_requests ADD COLUMN alike TEXT NOT NULL DEFAULT 'null'; -- JSON: commits

-- Who pushed the head; 0: not known.
ALTER TABLE approval_heads ADD COLUMN pusher_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE approval_heads ADD COLUMN pusher_login TEXT NOT NULL DEFAULT '';
ALTER TABLE approval_heads ADD COLUMN pusher_kind TEXT NOT NULL DEFAULT '';

-- Who took back a rejection that is not theirs; 0: nobody.
ALTER TABLE approval_votes ADD COLUMN lifter_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE approval_votes ADD COLUMN lifter_login TEXT NOT NULL DEFAULT '';
ALTER TABLE approval_votes ADD COLUMN lifter_kind TEXT NOT NULL DEFAULT '';

-- Entries of merge queues that wait for their check.
CREATE TABLE merge_groups (
    pull_request  TEXT   NOT NULL,
    head_sha      TEXT   NOT NULL,
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

-- 1: the pull request was closed when it was last looked at.
ALTER TABLE decisions ADD COLUMN closed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN base_branch TEXT NOT NULL DEFAULT ''; -- empty: not known

CREATE INDEX approval_votes_voter ON approval_votes (voter_id);
CREATE INDEX approval_votes_lifter ON approval_votes (lifter_id) WHERE lifter_id <> 0;

-- Decisions were written down in another form before. Each is made anew.
UPDATE decisions SET posted_generation = 0, digest = '', decision = '';

-- Owners that have a policy for all their repositories.
CREATE TABLE floors (
    owner   TEXT   NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
