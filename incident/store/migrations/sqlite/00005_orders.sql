-- What people ordered for a time: maintenance now, and silence. A body holds the row in full.

-- +goose Up
CREATE TABLE orders (
    id   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    ends BIGINT  NOT NULL,
    body TEXT    NOT NULL
);
CREATE INDEX orders_ends ON orders (ends);

-- What incidents are filtered by, from the body; words are those in which a text is looked for, as JSON. The one index holds them all,
-- in the order in which incidents are listed, so that a filter does not read bodies.
ALTER TABLE incidents ADD COLUMN highest TEXT AS (json_extract(body, '$.highest')) VIRTUAL;
ALTER TABLE incidents ADD COLUMN class TEXT AS (json_extract(body, '$.class')) VIRTUAL;
ALTER TABLE incidents ADD COLUMN resolution TEXT AS (json_extract(body, '$.resolution')) VIRTUAL;
ALTER TABLE incidents ADD COLUMN words TEXT AS (json_extract(body, '$.title', '$.widest', '$.reason', '$.components')) VIRTUAL;
DROP INDEX incidents_opened;
CREATE INDEX incidents_opened ON incidents (opened, id, closed, highest, class, resolution, words);
