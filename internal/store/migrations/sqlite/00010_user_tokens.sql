-- +goose Up

-- People who let the App act for them. What is sealed is encrypted with a key that is not
-- in the database.
CREATE TABLE user_tokens (
    person_id          BIGINT NOT NULL PRIMARY KEY,
    login              TEXT   NOT NULL,
    sealed             BLOB, -- NULL: they do not, or not any more
    expires_at         BIGINT, -- NULL: never
    refresh_expires_at BIGINT,
    turn               TEXT   NOT NULL, -- whose turn it is to renew it; empty: nobody's
    turn_until         BIGINT,
    expected_until     BIGINT, -- until when something may be there that was made for them; NULL: nothing is
    pays               BIGINT NOT NULL -- 1: they pay for it
);
CREATE INDEX user_tokens_expected ON user_tokens (expected_until) WHERE expected_until IS NOT NULL;
