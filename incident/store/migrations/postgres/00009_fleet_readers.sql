-- +goose Up
-- let_fleet_read gives each role a policy of its own, so that a further one takes nothing from those before. What it gave until now, a
-- policy with the name fleet, stays.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION let_fleet_read(reader text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t text;
    name text := 'fleet_' || CASE WHEN octet_length(reader) > 57 THEN md5(reader) ELSE reader END;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), reader);
    EXECUTE format('GRANT SELECT ON firstcall_schema TO %I', reader);
    FOREACH t IN ARRAY ARRAY['tenants', 'incidents', 'cases'] LOOP
        EXECUTE format('GRANT SELECT ON %I TO %I', t, reader);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', name, t);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO %I USING (true)', name, t, reader);
    END LOOP;
END $$;
-- +goose StatementEnd
