-- Several agents as one are PostgreSQL's matter; here is what one of them keeps of its own, and what it did alone. A body is JSON.

-- +goose Up
CREATE TABLE vantage_state (
    id    SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    at    BIGINT   NOT NULL,
    state BLOB     NOT NULL
);

-- What an agent did alone, until the leader takes it; then without a body, for a time, so that it is not taken twice. version rises with
-- what was done.
CREATE TABLE handovers (
    voter    TEXT   NOT NULL,
    incident TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    body     BLOB,
    PRIMARY KEY (voter, incident)
);
