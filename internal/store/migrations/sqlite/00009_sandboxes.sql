-- +goose Up

-- Sandboxes that were asked for. What runs is their backend's to say: these rows are what
-- caps count and what the audit log tells of.
CREATE TABLE sandboxes (
    id            TEXT   NOT NULL PRIMARY KEY,
    owner         TEXT   NOT NULL, -- in small letters
    repository_id BIGINT NOT NULL,
    number        BIGINT NOT NULL,
    by_agent      BIGINT NOT NULL,
    requested_by  BIGINT NOT NULL, -- 0: the policy did
    acts_as       BIGINT NOT NULL, -- whose rights its programs have at GitHub; 0: nobody's
    ended_at      BIGINT, -- NULL: it was not seen to have ended
    document      TEXT   NOT NULL
);
CREATE INDEX sandboxes_live ON sandboxes (repository_id, number) WHERE ended_at IS NULL;
CREATE INDEX sandboxes_deputies ON sandboxes (repository_id, ended_at) WHERE acts_as <> 0;

-- What is to be done about them for somebody, and what came of it.
CREATE TABLE sandbox_tasks (
    id       TEXT   NOT NULL PRIMARY KEY,
    done_at  BIGINT, -- NULL: it is not done
    document TEXT   NOT NULL
);
