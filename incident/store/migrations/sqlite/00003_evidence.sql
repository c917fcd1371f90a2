-- What was gathered about an incident, once; it goes with it. Contents stand apart, since they are large and seldom read.

-- +goose Up
CREATE TABLE evidence (
    incident TEXT   NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    body     TEXT   NOT NULL
);
CREATE TABLE evidence_files (
    incident TEXT NOT NULL,
    name     TEXT NOT NULL,
    content  BLOB NOT NULL,
    PRIMARY KEY (incident, name)
);
