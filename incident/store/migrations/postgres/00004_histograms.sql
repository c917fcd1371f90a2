-- +goose Up
ALTER TABLE rollups ADD COLUMN histogram BYTEA;
