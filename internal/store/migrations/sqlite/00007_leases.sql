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
    document      TEXT   NOT NULL,
    position      BIGINT NOT NULL UNIQUE -- in the order in which they were asked for
);
CREATE INDEX leases_next ON leases (installation, next_at) WHERE next_at IS NOT NULL;
-- What a kill switch, a pull request or a run ends.
CREATE INDEX leases_live ON leases (repository_id, number, by_agent, installation, owner, state) WHERE state IN ('intent', 'minted', 'active');
CREATE INDEX leases_live_owner ON leases (owner, by_agent, installation, state) WHERE state IN ('intent', 'minted', 'active');

-- What kill switches have ended: all leases of a place up to a position. It holds from
-- its transaction on, and is written into the leases themselves later: then it is applied.
CREATE TABLE lease_endings (
    repository_id BIGINT NOT NULL, -- 0: all of the owner's
    owner         TEXT   NOT NULL, -- in small letters; empty for one repository
    number        BIGINT NOT NULL, -- 0: any
    agents        BIGINT NOT NULL,
    upto          BIGINT NOT NULL,
    reason        TEXT   NOT NULL,
    ended_by      TEXT   NOT NULL,
    ended_by_id   BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL,
    applied       BIGINT NOT NULL,
    ended         BIGINT NOT NULL, -- how many, as far as nobody was told
    PRIMARY KEY (repository_id, owner, number, agents)
);
CREATE INDEX lease_endings_pending ON lease_endings (applied) WHERE applied = 0;

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
