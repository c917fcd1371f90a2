-- Accounts that were refused to a probe of any of the tenant's agents, so that none tries one again: see probes.SharedLatch. A key holds a
-- slow digest of the account's secret.

-- +goose Up
CREATE TABLE latches (
    tenant  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    key     TEXT COLLATE "C" NOT NULL CHECK (key <> '' AND length(key) <= 64),
    reason  TEXT             NOT NULL,
    vantage TEXT             NOT NULL,
    at      TIMESTAMPTZ      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, key)
);
SELECT keep_tenants_apart('latches');
