-- +goose Up

-- Credentials that are lent. The document is the lease without any value; the columns
-- are what it is found by, and state, outcome, reason, ended_by, ended_at and next_at
-- what ends many at once: they hold, whatever the document says.
CREATE TABLE leases (
    id            TEXT   NOT NULL PRIMARY KEY,
    idem_key      TEXT   NOT NULL UNIQUE,
    installation  BIGINT NOT NULL,
    owner         TEXT   NOT NULL, -- in small letters
    repository_id BIGINT NOT NULL,
    environment   TEXT   NOT NULL,
    number        BIGINT NOT NULL,
    by_agent      BIGINT NOT NULL,
    run_id        BIGINT NOT NULL,
    state         TEXT   NOT NULL CHECK (state IN ('intent', 'minted', 'active', 'revoking', 'stuck', 'revoked', 'expired', 'failed')),
    outcome       TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    ended_by      TEXT   NOT NULL,
    ended_by_id   BIGINT NOT NULL,
    ended_at      BIGINT,
    token_hash    TEXT   UNIQUE, -- NULL: none
    expires_at    BIGINT NOT NULL,
    next_at       BIGINT, -- when there is something to do; NULL: never
    document      TEXT   NOT NULL
);
CREATE INDEX leases_next ON leases (installation, next_at) WHERE next_at IS NOT NULL;
-- What a kill switch, a pull request or a run ends.
CREATE INDEX leases_live ON leases (repository_id, number) WHERE state IN ('intent', 'minted', 'active');
CREATE INDEX leases_live_owner ON leases (owner) WHERE state IN ('intent', 'minted', 'active');

-- One lease that is not cleared away has a slot.
CREATE TABLE lease_slots (
    repository_id BIGINT NOT NULL,
    environment   TEXT   NOT NULL, -- in small letters, as GitHub compares them
    name          TEXT   NOT NULL,
    lease         TEXT   NOT NULL,
    PRIMARY KEY (repository_id, environment, name)
);
CREATE INDEX lease_slots_lease ON lease_slots (lease);

-- What jobs wait for before they start, or were approved for and have not ended.
CREATE TABLE deployments (
    repository_id BIGINT NOT NULL,
    run_id        BIGINT NOT NULL,
    environment   TEXT   NOT NULL, -- in small letters
    number        BIGINT NOT NULL, -- of the pull request
    approved      BIGINT NOT NULL,
    document      TEXT   NOT NULL,
    PRIMARY KEY (repository_id, run_id, environment)
);

-- An older binary would let a kill switch be thrown and what is lent go on.
UPDATE schema_compatibility SET oldest = 7;
