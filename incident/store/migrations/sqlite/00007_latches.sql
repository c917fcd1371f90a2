-- A file has one agent, which keeps what it knows of refused accounts in files beside it: 'firstcall probe' shares them while the agent runs.

-- +goose Up
SELECT 1;
