-- How the durations that total sums are distributed, see Histogram: NULL in rows of before, and where there are none. A row that
-- was begun before counts fewer than up and degraded say.

-- +goose Up
ALTER TABLE rollups ADD COLUMN histogram BLOB;
