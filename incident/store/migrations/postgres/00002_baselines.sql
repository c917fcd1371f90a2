-- +goose Up
CREATE TABLE baselines (
    tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    probe  TEXT COLLATE "C" NOT NULL,
    at     BIGINT           NOT NULL,
    body   BYTEA            NOT NULL,
    PRIMARY KEY (tenant, probe)
);
CREATE TABLE seeds (
    tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    probe  TEXT COLLATE "C" NOT NULL,
    at     BIGINT           NOT NULL,
    points BIGINT           NOT NULL,
    PRIMARY KEY (tenant, probe)
);
SELECT keep_tenants_apart('baselines'), keep_tenants_apart('seeds');
