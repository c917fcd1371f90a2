-- +goose Up
CREATE TABLE evidence (
    tenant   TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    incident TEXT COLLATE "C" NOT NULL,
    at       BIGINT           NOT NULL,
    body     TEXT             NOT NULL,
    PRIMARY KEY (tenant, incident)
);
CREATE TABLE evidence_files (
    tenant   TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    incident TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    content  BYTEA            NOT NULL,
    PRIMARY KEY (tenant, incident, name)
);
SELECT keep_tenants_apart('evidence'), keep_tenants_apart('evidence_files');
