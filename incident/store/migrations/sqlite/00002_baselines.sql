-- What is normal for a probe, by its name: opaque to the store. A row is replaced as the probe learns, in the commit of the state
-- that it belongs to.

-- +goose Up
CREATE TABLE baselines (
    probe TEXT   NOT NULL PRIMARY KEY,
    at    BIGINT NOT NULL,
    body  BLOB   NOT NULL
);

-- The probes whose baselines were taught once from elsewhere.
CREATE TABLE seeds (
    probe  TEXT    NOT NULL PRIMARY KEY,
    at     BIGINT  NOT NULL,
    points INTEGER NOT NULL
);
