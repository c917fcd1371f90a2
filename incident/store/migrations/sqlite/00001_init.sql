-- Times are Unix nanoseconds in UTC, 0 for none; hours are whole hours since 1970. A body is JSON and holds the row in full; the
-- other columns are what is searched. Plain types, so that PostgreSQL can have the same tables.

-- +goose Up
CREATE TABLE engine_state (
    id    SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    at    BIGINT   NOT NULL,
    state BLOB     NOT NULL
);

CREATE TABLE incidents (
    id       TEXT     NOT NULL PRIMARY KEY,
    opened   BIGINT   NOT NULL,
    closed   BIGINT   NOT NULL,
    priority SMALLINT NOT NULL,
    body     TEXT     NOT NULL
);
CREATE INDEX incidents_opened ON incidents (opened);
CREATE INDEX incidents_open ON incidents (opened) WHERE closed = 0;
CREATE INDEX incidents_closed ON incidents (closed) WHERE closed <> 0;

CREATE TABLE incident_components (
    component TEXT NOT NULL,
    incident  TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    PRIMARY KEY (component, incident)
);
CREATE INDEX incident_components_incident ON incident_components (incident);

CREATE TABLE events (
    seq      INTEGER  NOT NULL PRIMARY KEY AUTOINCREMENT,
    incident TEXT     NOT NULL,
    at       BIGINT   NOT NULL,
    kind     TEXT     NOT NULL,
    actor    TEXT     NOT NULL,
    text     TEXT     NOT NULL,
    priority SMALLINT NOT NULL
);
CREATE INDEX events_incident ON events (incident, seq);

-- The timeline is append-only; it goes with its incident, when that is past retention, and never before.
-- +goose StatementBegin
CREATE TRIGGER events_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the timeline is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER events_delete BEFORE DELETE ON events WHEN EXISTS (SELECT 1 FROM incidents WHERE id = OLD.incident)
BEGIN
    SELECT RAISE(ABORT, 'the timeline is append-only');
END;
-- +goose StatementEnd

CREATE TABLE cases (
    seq      INTEGER  NOT NULL PRIMARY KEY AUTOINCREMENT,
    incident TEXT     NOT NULL,
    desk     TEXT     NOT NULL,
    number   TEXT     NOT NULL,
    state    TEXT     NOT NULL,
    settled  SMALLINT NOT NULL,
    body     TEXT     NOT NULL,
    UNIQUE (incident, desk)
);
CREATE INDEX cases_number ON cases (number) WHERE number <> '';
CREATE INDEX cases_unsettled ON cases (incident) WHERE settled = 0;

CREATE TABLE notices (
    id       TEXT   NOT NULL PRIMARY KEY,
    incident TEXT   NOT NULL,
    due      BIGINT NOT NULL,
    state    TEXT   NOT NULL,
    body     TEXT   NOT NULL
);
CREATE INDEX notices_incident ON notices (incident, due);
CREATE INDEX notices_due ON notices (due, incident) WHERE state = '';

CREATE TABLE desk_numbers (
    year INTEGER NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
);
CREATE TABLE desk_cases (
    number  TEXT   NOT NULL PRIMARY KEY,
    key     TEXT   NOT NULL UNIQUE,
    state   TEXT   NOT NULL,
    changed BIGINT NOT NULL,
    body    TEXT   NOT NULL
);
CREATE INDEX desk_cases_changed ON desk_cases (changed);

-- Raw results are appended to result_log as they come, many to a row, and folded from time to time: into result_blocks, by probe,
-- and into rollups, by probe and hour, in one transaction with their removal from the log.
CREATE TABLE probes (
    id   INTEGER NOT NULL PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE,
    seen BIGINT  NOT NULL
);
CREATE TABLE result_log (
    id      INTEGER NOT NULL PRIMARY KEY,
    results INTEGER NOT NULL,
    body    BLOB    NOT NULL
);
CREATE TABLE result_blocks (
    id      INTEGER NOT NULL PRIMARY KEY,
    probe   INTEGER NOT NULL,
    first   BIGINT  NOT NULL,
    last    BIGINT  NOT NULL,
    results INTEGER NOT NULL,
    body    BLOB    NOT NULL
);
CREATE INDEX result_blocks_probe ON result_blocks (probe, last);
CREATE INDEX result_blocks_first ON result_blocks (first);
CREATE TABLE result_totals (
    id      SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    results BIGINT   NOT NULL,
    bytes   BIGINT   NOT NULL
);
INSERT INTO result_totals (id, results, bytes) VALUES (1, 0, 0);

-- By hour first: the rows that are written again and again within an hour lie together.
CREATE TABLE rollups (
    hour     INTEGER NOT NULL,
    probe    INTEGER NOT NULL,
    unknown  INTEGER NOT NULL,
    up       INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    down     INTEGER NOT NULL,
    lagging  INTEGER NOT NULL,
    total    BIGINT  NOT NULL,
    shortest BIGINT,
    longest  BIGINT,
    PRIMARY KEY (hour, probe)
) WITHOUT ROWID;
CREATE INDEX rollups_probe ON rollups (probe, hour);
