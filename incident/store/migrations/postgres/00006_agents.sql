-- +goose Up
CREATE TABLE vantage_state (
    tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    id     SMALLINT         NOT NULL CHECK (id = 1),
    at     BIGINT           NOT NULL,
    state  BYTEA            NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE TABLE handovers (
    tenant   TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    voter    TEXT COLLATE "C" NOT NULL,
    incident TEXT COLLATE "C" NOT NULL,
    version  BIGINT           NOT NULL,
    at       BIGINT           NOT NULL,
    body     BYTEA,
    PRIMARY KEY (tenant, voter, incident)
);
SELECT keep_tenants_apart('vantage_state'), keep_tenants_apart('handovers');
