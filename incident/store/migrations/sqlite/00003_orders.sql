-- What people ordered for a time: maintenance now, and silence. A body holds the row in full.

-- +goose Up
CREATE TABLE orders (
    id   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    ends BIGINT  NOT NULL,
    body TEXT    NOT NULL
);
CREATE INDEX orders_ends ON orders (ends);
