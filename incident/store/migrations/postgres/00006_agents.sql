-- Several agents of a tenant are one: each has a place (a voter), under which its results are kept, and one of them leads. Whatever decides
-- who has what is decided here, by the server's clock. beat() and take_place() are what an agent calls; see incident/store/voters.go.

-- +goose Up
DROP TABLE agents;

-- Who leads. A write of the leader's locks this row with FOR KEY SHARE: beats change the rest of it meanwhile, without waiting, but another
-- epoch, which the second key is for, waits until that write is over.
CREATE TABLE leases (
    tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant') PRIMARY KEY,
    epoch  BIGINT           NOT NULL,
    voter  TEXT COLLATE "C" NOT NULL,
    token  TEXT COLLATE "C" NOT NULL,
    until  TIMESTAMPTZ      NOT NULL,
    UNIQUE (tenant, epoch)
) WITH (fillfactor = 20);

-- The places. A token is drawn each time that an agent takes one, so that the one of before notices. off is the server's clock minus the
-- agent's, in microseconds.
CREATE TABLE voters (
    tenant  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    name    TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    vantage TEXT COLLATE "C" NOT NULL,
    token   TEXT COLLATE "C" NOT NULL,
    holder  TEXT             NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    since   TIMESTAMPTZ      NOT NULL,
    beat    TIMESTAMPTZ      NOT NULL,
    off     BIGINT           NOT NULL,
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 20);
CREATE TABLE votes (
    tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    voter  TEXT COLLATE "C" NOT NULL,
    body   BYTEA            NOT NULL,
    PRIMARY KEY (tenant, voter)
) WITH (fillfactor = 20);
ALTER TABLE votes ALTER COLUMN body SET STORAGE MAIN;

-- number is that of the newest write of the agent that has the place, in the transaction of that write: whether one whose answer was lost
-- is stored. earlier is the last one of the agent before, and epoch counts them.
CREATE TABLE writes (
    tenant  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    voter   TEXT COLLATE "C" NOT NULL,
    token   TEXT COLLATE "C" NOT NULL,
    epoch   BIGINT           NOT NULL,
    number  BIGINT           NOT NULL,
    earlier BIGINT           NOT NULL,
    PRIMARY KEY (tenant, voter)
) WITH (fillfactor = 20);

CREATE TABLE vantage_state (
    tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.tenant'),
    voter  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('app.voter'),
    id     SMALLINT         NOT NULL CHECK (id = 1),
    at     BIGINT           NOT NULL,
    state  BYTEA            NOT NULL,
    PRIMARY KEY (tenant, voter, id)
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
SELECT keep_tenants_apart(t::regclass) FROM unnest(ARRAY['leases', 'voters', 'votes', 'writes', 'vantage_state', 'handovers']) AS t;

-- What there is belongs to the first agent that takes a place: until then to the voter ''.
ALTER TABLE baselines ADD COLUMN voter TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE baselines DROP CONSTRAINT baselines_pkey, ADD PRIMARY KEY (tenant, voter, probe);
ALTER TABLE seeds ADD COLUMN voter TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE seeds DROP CONSTRAINT seeds_pkey, ADD PRIMARY KEY (tenant, voter, probe);
ALTER TABLE result_totals ADD COLUMN voter TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE result_totals DROP CONSTRAINT result_totals_pkey, ADD PRIMARY KEY (tenant, voter, id);
ALTER TABLE result_log ADD COLUMN voter TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE result_log DROP CONSTRAINT result_log_pkey, ADD PRIMARY KEY (tenant, voter, id);
-- Blocks and roll-ups name the probe by its id, which is of one voter.
ALTER TABLE probes ADD COLUMN voter TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE probes DROP CONSTRAINT probes_tenant_name_key, ADD UNIQUE (tenant, voter, name);

-- A session reads the rows of app.voter, which need not be its own, and of app.from where a new place begins with what another knows. It
-- writes those of app.voter.
-- +goose StatementBegin
CREATE FUNCTION keep_voters_apart(t regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ALTER COLUMN voter SET DEFAULT current_setting(''app.voter'')', t);
    EXECUTE format('CREATE POLICY voter ON %s AS RESTRICTIVE USING (voter IN (current_setting(''app.voter'', true), coalesce(current_setting(''app.from'', true), ''''))) WITH CHECK (voter = current_setting(''app.voter'', true))', t);
END $$;
-- +goose StatementEnd
SELECT keep_voters_apart(t::regclass) FROM unnest(ARRAY['baselines', 'seeds', 'result_totals', 'result_log', 'probes', 'vantage_state']) AS t;

-- The key of the advisory lock that a session of the agent holds that has a place: it says that the session lives, and fences nothing.
-- +goose StatementBegin
CREATE FUNCTION place_key(name TEXT) RETURNS BIGINT LANGUAGE sql STABLE AS $$
    SELECT hashtextextended('firstcall place ' || current_schema() || ' ' || current_setting('app.tenant') || ' ' || name, 0)
$$;
-- +goose StatementEnd

-- take_place takes the first free place of a vantage: nobody's, released, of an agent whose session has ended, or of one that was not heard of
-- for 15 s.
-- +goose StatementBegin
CREATE FUNCTION take_place(wanted TEXT, new_token TEXT, new_holder TEXT, new_session TEXT, OUT place TEXT, OUT place_epoch BIGINT) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n      INTEGER := 0;
    had    voters%ROWTYPE;
    locked BOOLEAN;
BEGIN
    PERFORM pg_advisory_unlock_all();
    PERFORM pg_advisory_xact_lock(hashtextextended('firstcall places ' || current_schema() || ' ' || current_setting('app.tenant'), 0));
    LOOP
        n := n + 1;
        place := wanted || CASE WHEN n > 1 THEN '#' || n ELSE '' END;
        locked := pg_try_advisory_lock(place_key(place));
        SELECT * INTO had FROM voters WHERE name = place;
        EXIT WHEN locked OR NOT FOUND OR had.beat < clock_timestamp() - interval '15 seconds';
    END LOOP;
    IF NOT locked AND had.session <> '' THEN
        FOR attempt IN 1..20 LOOP
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE starts_with(application_name, had.session) AND usename = current_user AND pid <> pg_backend_pid();
            EXIT WHEN pg_try_advisory_lock(place_key(place));
            PERFORM pg_sleep(0.05);
        END LOOP;
    END IF;
    INSERT INTO voters (name, vantage, token, holder, session, since, beat, off)
        VALUES (place, wanted, new_token, new_holder, new_session, clock_timestamp(), clock_timestamp(), 0)
        ON CONFLICT (tenant, name) DO UPDATE SET token = excluded.token, holder = excluded.holder, session = excluded.session,
            since = excluded.since, beat = excluded.beat, off = 0;
    INSERT INTO writes (voter, token, epoch, number, earlier) VALUES (place, new_token, 1, 0, 0)
        ON CONFLICT (tenant, voter) DO UPDATE SET token = excluded.token, epoch = writes.epoch + 1, number = 0, earlier = writes.number
        RETURNING epoch INTO place_epoch;
    DELETE FROM votes WHERE voter = place;

    PERFORM set_config('app.voter', place, true);
    UPDATE baselines SET voter = place WHERE voter = '';
    UPDATE seeds SET voter = place WHERE voter = '';
    UPDATE result_totals SET voter = place WHERE voter = '';
    UPDATE result_log SET voter = place WHERE voter = '';
    UPDATE probes SET voter = place WHERE voter = '';
    INSERT INTO result_totals (id, results, bytes) VALUES (1, 0, 0) ON CONFLICT DO NOTHING;
    IF n > 1 AND NOT EXISTS (SELECT 1 FROM baselines WHERE voter = place) THEN
        PERFORM set_config('app.from', wanted, true);
        INSERT INTO baselines (probe, at, body) SELECT probe, at, body FROM baselines WHERE voter = wanted;
        INSERT INTO seeds (probe, at, points) SELECT probe, at, points FROM seeds WHERE voter = wanted;
    END IF;
END $$;
-- +goose StatementEnd

-- beat notes that an agent lives, gives or renews the lead, and returns everybody who lives; nothing where the place is another's now. Only
-- a lead that is taken waits for the disk: a renewal that a crash of the server undoes ends early, which its holder allows for.
-- +goose StatementBegin
CREATE FUNCTION beat(me TEXT, mine TEXT, wants BOOLEAN, clock TIMESTAMPTZ, told BYTEA)
    RETURNS TABLE (voter TEXT, leads BOOLEAN, age BIGINT, off BIGINT, vote BYTEA, epoch BIGINT) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held  leases%ROWTYPE;
    taken BOOLEAN := false;
BEGIN
    SELECT * INTO held FROM leases;
    IF NOT FOUND THEN
        INSERT INTO leases (epoch, voter, token, until) VALUES (0, '', '', '-infinity') ON CONFLICT DO NOTHING;
        SELECT * INTO held FROM leases;
    END IF;
    IF held.token = mine AND (wants OR held.until > '-infinity') THEN
        UPDATE leases SET until = CASE WHEN wants THEN clock_timestamp() + interval '6 seconds' ELSE '-infinity' END WHERE token = mine;
    ELSIF wants AND held.until <= clock_timestamp() THEN
        UPDATE leases SET epoch = epoch + 1, voter = me, token = mine, until = clock_timestamp() + interval '6 seconds'
            WHERE until <= clock_timestamp() AND EXISTS (SELECT 1 FROM voters WHERE name = me AND token = mine);
        taken := FOUND;
    END IF;
    UPDATE voters SET beat = clock_timestamp(), off = coalesce(1000000 * extract(epoch FROM clock_timestamp() - clock), 0)::bigint
        WHERE name = me AND token = mine;
    IF NOT FOUND THEN
        UPDATE leases SET until = '-infinity' WHERE token = mine;
        RETURN;
    END IF;
    SELECT * INTO held FROM leases;
    IF told IS NOT NULL THEN
        INSERT INTO votes (voter, body) VALUES (me, told) ON CONFLICT (tenant, voter) DO UPDATE SET body = excluded.body;
    END IF;
    IF NOT taken THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN QUERY SELECT v.name, v.token = held.token AND held.until > clock_timestamp(),
            (1000000 * extract(epoch FROM clock_timestamp() - v.beat))::bigint, v.off, b.body, held.epoch
        FROM voters v LEFT JOIN votes b ON b.voter = v.name
        WHERE v.beat > clock_timestamp() - interval '15 seconds' ORDER BY v.name;
END $$;
-- +goose StatementEnd
