-- +goose Up
-- What an agent tells the fleet of its tenant: who it is, when it starts and when its configuration changes, and what it believes now.
-- heard is the server's time, so that all agents' are comparable.
CREATE TABLE tenants (
    tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant') PRIMARY KEY,
    heard  TIMESTAMPTZ      NOT NULL DEFAULT now(),
    facts  TEXT             NOT NULL,
    status TEXT             NOT NULL
) WITH (fillfactor = 50);
SELECT keep_tenants_apart('tenants');

-- The fleet reads what closed lately of every tenant.
CREATE INDEX incidents_closed_fleet ON incidents (closed) WHERE closed <> 0;

-- let_fleet_read lets a role read, and do nothing else, what the fleet is made of, of every tenant. The tables' owner calls it.
-- +goose StatementBegin
CREATE FUNCTION let_fleet_read(reader text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), reader);
    EXECUTE format('GRANT SELECT ON firstcall_schema TO %I', reader);
    FOREACH t IN ARRAY ARRAY['tenants', 'incidents', 'cases'] LOOP
        EXECUTE format('GRANT SELECT ON %I TO %I', t, reader);
        EXECUTE format('DROP POLICY IF EXISTS fleet ON %I', t);
        EXECUTE format('CREATE POLICY fleet ON %I FOR SELECT TO %I USING (true)', t, reader);
    END LOOP;
END $$;
-- +goose StatementEnd
