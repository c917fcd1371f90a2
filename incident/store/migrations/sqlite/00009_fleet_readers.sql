-- Only a PostgreSQL has a fleet.

-- +goose Up
SELECT 1;
