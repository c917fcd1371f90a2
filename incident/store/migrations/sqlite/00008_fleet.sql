-- A fleet is of many tenants in one PostgreSQL; a file has one, and nothing of it changes.

-- +goose Up
SELECT 1;
