package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store/internal/pgsql"
)

// maxFleet bounds what an agent tells the fleet, each of facts and status, in bytes.
const maxFleet = 16 << 10

// TellFleet stores what the agent tells the fleet of its tenant, and that it lives: facts, JSON that changes with the configuration, and
// status, JSON of what it believes now. Each of nil stays as it is. It need not survive a power failure. A store in a file, which no
// fleet reads, keeps nothing of it.
func (s *Store) TellFleet(ctx context.Context, facts, status []byte) error {
	if s.pg == nil {
		return nil
	}
	if len(facts) > maxFleet || len(status) > maxFleet {
		return fmt.Errorf("store: cannot tell the fleet: %d and %d bytes are more than the %d that are kept", len(facts), len(status), maxFleet)
	}
	return s.write(ctx, led, "tell the fleet", func(tx *sql.Tx) error {
		_, err := run(ctx, tx, `INSERT INTO tenants (facts, status) VALUES (?, ?) ON CONFLICT (tenant) DO UPDATE SET heard = now(),
			facts = CASE WHEN excluded.facts = '' THEN tenants.facts ELSE excluded.facts END,
			status = CASE WHEN excluded.status = '' THEN tenants.status ELSE excluded.status END`, string(facts), string(status))
		return err
	})
}

// Fleet reads what all tenants of a PostgreSQL have in it. It changes nothing; a standby will do. It is safe for concurrent use.
type Fleet struct {
	pg     *postgres
	db     *sql.DB
	latest time.Duration // how far a standby may be behind

	mu   sync.Mutex
	lull lull
}

// FleetTenant is what is known of one tenant.
type FleetTenant struct {
	ID     string
	Silent time.Duration // since its agent was heard, by the server's clock
	Facts  []byte        // JSON, as the agent told it; empty: nothing
	Status []byte        // the same
}

// FleetView is one consistent state of the database.
type FleetView struct {
	At        time.Time // of the server
	Tenants   []FleetTenant
	Incidents []incident.Incident // open ones, and those that closed since
	Cases     []FleetCase         // of them
}

// FleetCase is a case of a tenant.
type FleetCase struct {
	Tenant string
	incident.Case
}

// OpenFleet opens a database for reading every tenant, as a role that may: one that let_fleet_read was called for, or one with BYPASSRLS.
func OpenFleet(ctx context.Context, rawURL string) (*Fleet, error) {
	p, err := parseFleet(rawURL)
	if err != nil {
		return nil, err
	}
	return openFleet(ctx, p)
}

func openFleet(ctx context.Context, p *postgres) (*Fleet, error) {
	p.config.RuntimeParams["default_transaction_read_only"] = "on"
	p.config.RuntimeParams["application_name"] = "firstcall fleet"
	f := &Fleet{pg: p, latest: latestStandby, db: sql.OpenDB(pgsql.Connector{Config: p.config, Tokens: p.tokens})}
	f.db.SetMaxOpenConns(2)
	if err := f.check(ctx); err != nil {
		return nil, errors.Join(err, f.db.Close())
	}
	return f, nil
}

// CheckFleetURL reports what is wrong with the address of a fleet's database, without connecting.
func CheckFleetURL(rawURL string) error {
	_, err := parseFleet(rawURL)
	return err
}

func parseFleet(rawURL string) (*postgres, error) {
	if !isPostgres(rawURL) {
		return nil, errors.New("store: a fleet is of many tenants in one PostgreSQL: write postgres://USER@HOST/DATABASE; a file has one tenant")
	}
	u, err := url.Parse(rawURL)
	if err == nil && u.Query().Has("tenant") {
		return nil, errors.New("store: the fleet reads every tenant: leave tenant= out of the address")
	}
	return parsePostgres(rawURL)
}

// check refuses a database of another version, and a role that sees one tenant, or more than it must.
func (f *Fleet) check(ctx context.Context) error {
	s := &Store{pg: f.pg}
	have, want, err := s.postgresVersions(ctx, f.db)
	if err != nil {
		return f.may(err)
	}
	if have != want {
		return fmt.Errorf("store: %s has schema %d, this firstcall reads %d: use the firstcall of the agents, or update them", f.pg.name, have, want)
	}
	var super, sees bool
	err = f.db.QueryRowContext(ctx, "SELECT rolsuper, "+seesAll+" FROM pg_roles WHERE rolname = current_user").Scan(&super, &sees)
	switch {
	case err != nil:
		return f.pg.fault("open", err)
	case super:
		return fmt.Errorf("store: the role of %s is a superuser, which may do far more than read: connect as a role of the fleet's own: %s", f.pg.name, f.remedy())
	case !sees:
		return f.oneOnly()
	}
	return nil
}

// seesAll is whether a role of pg_roles sees every tenant: in each table that the fleet reads it has a policy of let_fleet_read.
const seesAll = `(rolbypassrls OR (SELECT count(DISTINCT c.relname) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
	WHERE c.relname IN ('tenants', 'incidents', 'cases') AND c.relnamespace = current_schema()::regnamespace AND (p.polname = 'fleet' OR starts_with(p.polname, 'fleet_'))
	AND EXISTS (SELECT 1 FROM unnest(p.polroles) r WHERE r <> 0 AND pg_has_role(current_user, r, 'USAGE'))) = 3)`

// oneOnly is the error of a role that sees one tenant, or none, of all.
func (f *Fleet) oneOnly() error {
	return fmt.Errorf("store: the role of %s sees one tenant only, and a fleet is of all: %s", f.pg.name, f.remedy())
}

// remedy says how a role comes to read every tenant.
func (f *Fleet) remedy() string {
	return "as the owner of the tables, run CREATE ROLE fleet_reader LOGIN PASSWORD '...', then SELECT let_fleet_read('fleet_reader'), and connect as that role (docs/fleet.md)"
}

// may adds what to do to the refusal of a role.
func (f *Fleet) may(err error) error {
	if strings.Contains(err.Error(), "may not") {
		return fmt.Errorf("%w; to read the fleet: %s", err, f.remedy())
	}
	return err
}

// Close closes the connections.
func (f *Fleet) Close() error { return f.db.Close() }

// Name returns the database, fit to print.
func (f *Fleet) Name() string { return f.pg.name }

// Read returns what is there now, with the incidents that closed since. A standby that is far behind is an error: what it has says nothing of who
// lives now.
func (f *Fleet) Read(ctx context.Context, since time.Time) (v FleetView, err error) {
	tx, err := f.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return v, f.pg.fault("read the fleet", err)
	}
	defer func() { _ = tx.Rollback() }()
	// who lost the right to see gets no error, but no rows; until the end of the transaction the locks keep what is seen as it is
	if _, err := tx.ExecContext(ctx, "LOCK TABLE tenants, incidents, cases IN ACCESS SHARE MODE"); err != nil {
		return v, f.pg.fault("read the fleet", err)
	}
	if err := f.sees(ctx, tx); err != nil {
		return v, err
	}
	if err := f.read(ctx, tx, since, &v); err != nil {
		return v, f.pg.fault("read the fleet", err)
	}
	return v, nil
}

func (f *Fleet) read(ctx context.Context, tx *sql.Tx, since time.Time, v *FleetView) (err error) {
	var at int64
	if err := tx.QueryRowContext(ctx, "SELECT (extract(epoch FROM now()) * 1000000)::bigint").Scan(&at); err != nil {
		return err
	}
	v.At = time.UnixMicro(at).UTC()
	rows, err := tx.QueryContext(ctx, "SELECT tenant, (extract(epoch FROM now() - heard) * 1000)::bigint, facts, status FROM tenants ORDER BY tenant")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var t FleetTenant
		var ms int64
		if err := rows.Scan(&t.ID, &ms, &t.Facts, &t.Status); err != nil {
			return err
		}
		t.Silent = time.Duration(max(ms, 0)) * time.Millisecond
		v.Tenants = append(v.Tenants, t)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	v.Incidents, err = bodies[incident.Incident](ctx, tx, "SELECT body FROM incidents WHERE closed = 0 UNION ALL SELECT body FROM incidents WHERE closed <> 0 AND closed >= ?", nanos(since))
	if err != nil {
		return err
	}
	return f.cases(ctx, tx, since, v)
}

func (f *Fleet) cases(ctx context.Context, tx *sql.Tx, since time.Time, v *FleetView) error {
	const of = "SELECT c.tenant, c.seq, c.body FROM incidents i JOIN cases c ON c.tenant = i.tenant AND c.incident = i.id WHERE "
	rows, err := tx.QueryContext(ctx, "SELECT tenant, body FROM ("+of+"i.closed = 0 UNION ALL "+of+"i.closed <> 0 AND i.closed >= ?) found ORDER BY tenant, seq", nanos(since))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c FleetCase
		var body []byte
		if err := rows.Scan(&c.Tenant, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &c.Case); err != nil {
			return err
		}
		v.Cases = append(v.Cases, c)
	}
	return rows.Err()
}
