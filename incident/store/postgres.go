package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/store/internal/pgsql"
)

const (
	schemaTable = "firstcall_schema" // of goose: another program's may be beside it
	// doubtFirst and doubtMost bound the wait between two attempts to learn what became of a commit.
	doubtFirst, doubtMost = 100 * time.Millisecond, 5 * time.Second
	lockEvery             = 50 * time.Millisecond
	postgresReaders       = 4
	connectTimeout        = "10" // seconds
)

// postgres is what a store in PostgreSQL has beside its connections. The writer's one session holds the tenant's advisory lock, so
// that whoever can write is the tenant's only agent: a session that ends takes the lock with it, and the next one takes it again
// before it writes. The store's gate guards what is not atomic. Several agents as one would have their leader's lease in the row of
// agents, whose epoch fences every write already.
type postgres struct {
	name     string // fit to print
	tenant   string
	config   *pgconn.Config
	session  string // application_name of the writer's sessions, so that one of before can be ended
	epoch    int64  // of this agent among the tenant's agents; 0: not an agent yet
	writes   int64  // number of the newest write that was begun
	sessions atomic.Int64
	loaded   int64         // number of the session in which what is kept in memory was read
	hurry    chan struct{} // closed by Hurry
	hurried  sync.Once
	gaveUp   bool // the outcome of a write was not waited for
	size     atomic.Int64
}

// isPostgres reports whether an address is one of PostgreSQL.
func isPostgres(rawURL string) bool {
	return strings.HasPrefix(rawURL, "postgres://") || strings.HasPrefix(rawURL, "postgresql://")
}

// allowed are the parameters of an address that pgconn may see: none that reads a file of other settings, or changes a session
// that the store relies on.
var allowed = []string{
	"host", "port", "user", "password", "database", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslsni",
	"sslnegotiation", "connect_timeout", "target_session_attrs", "search_path", "channel_binding",
}

// parsePostgres returns what is needed to connect. Its errors hold no password.
func parsePostgres(rawURL string) (*postgres, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("store: the address of PostgreSQL cannot be read: write postgres://USER@HOST/DATABASE?sslmode=verify-full, and %XX for signs that have a meaning")
	}
	q := u.Query()
	p := &postgres{tenant: q.Get("tenant"), hurry: make(chan struct{}), session: "firstcall " + strings.ToLower(rand.Text()[:12])}
	q.Del("tenant")
	for key := range q {
		if !slices.Contains(allowed, key) {
			return nil, fmt.Errorf("store: the address of PostgreSQL has the parameter %q: those are %s", secret.Plain(key, 50), strings.Join(allowed, ", "))
		}
	}
	if !q.Has("connect_timeout") {
		q.Set("connect_timeout", connectTimeout)
	}
	u.RawQuery = q.Encode()
	p.config, err = pgconn.ParseConfigWithOptions(u.String(), pgconn.ParseConfigOptions{ConnStringAllowedKeys: allowed})
	if err != nil {
		text := err.Error()
		if password, given := u.User.Password(); given && password != "" {
			text = secret.Hide(text, []secret.Value{secret.New(password)})
		}
		return nil, fmt.Errorf("store: the address of PostgreSQL is wrong: %s", secret.Plain(text, 500))
	}
	c := p.config
	if c.Database == "" {
		return nil, errors.New("store: the address of PostgreSQL names no database: write postgres://USER@HOST/DATABASE")
	}
	p.name = fmt.Sprintf("%s@%s:%d/%s", c.User, c.Host, c.Port, c.Database)
	c.MaxProtocolMessageBodyLen = 256 << 20 // evidence is far below
	maps.Copy(c.RuntimeParams, map[string]string{
		"standard_conforming_strings": "on", "client_encoding": "UTF8", "lock_timeout": "30s", "idle_in_transaction_session_timeout": "5min",
		// The server notices within half a minute that an agent's host is gone, and frees its lock.
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4",
	})
	return p, nil
}

// CheckURL returns why an address is not one of a store; nil when it is. It connects to nothing.
func CheckURL(rawURL string) error {
	if isPostgres(rawURL) {
		_, err := parsePostgres(rawURL)
		return err
	}
	_, err := parseURL(rawURL)
	return err
}

// Name returns the address of a store fit to print: without password and parameters.
func Name(rawURL string) string {
	if !isPostgres(rawURL) {
		return rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return secret.Mask
	}
	return (&url.URL{Scheme: u.Scheme, User: url.User(u.User.Username()), Host: u.Host, Path: u.Path}).String()
}

func openPostgres(ctx context.Context, rawURL string, o Options) (*Store, error) {
	p, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	if p.tenant == "" {
		return nil, fmt.Errorf("store: no tenant is given for %s: add ?tenant=ID to the address", p.name)
	}
	s := &Store{pg: p, options: o.withDefaults(), gate: make(chan struct{}, 1)}
	s.gate <- struct{}{}
	if err := s.migratePostgres(ctx); err != nil {
		return nil, err
	}
	s.writer = p.open(true, s.beginSession)
	s.writer.SetMaxOpenConns(1)
	s.reader = p.open(true, p.setTenant)
	s.reader.SetMaxOpenConns(postgresReaders)
	s.reader.SetMaxIdleConns(2)
	err = s.transact(ctx, relaxed, func(tx *sql.Tx) error {
		_, err := run(ctx, tx, "INSERT INTO result_totals (id, results, bytes) VALUES (1, 0, 0) ON CONFLICT (id) DO NOTHING")
		return err
	})
	if err != nil {
		return nil, errors.Join(s.fault("open", err), s.abandon())
	}
	s.measure(ctx)
	return s, nil
}

func openPostgresReadOnly(ctx context.Context, rawURL string) (*Store, error) {
	p, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	if p.tenant == "" {
		return nil, fmt.Errorf("store: no tenant is given for %s: add ?tenant=ID to the address", p.name)
	}
	p.config.RuntimeParams["default_transaction_read_only"] = "on"
	s := &Store{pg: p, options: Options{}.withDefaults()}
	s.reader = p.open(false, p.setTenant)
	s.reader.SetMaxOpenConns(postgresReaders)
	err = p.checkRole(ctx, s.reader)
	if err == nil {
		var have, want int64
		have, want, err = s.postgresVersions(ctx, s.reader)
		if err == nil && have != want {
			err = fmt.Errorf("store: %s has schema %d, this firstcall reads %d: use the firstcall that wrote it, or let this one run once on it", p.name, have, want)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	s.measure(ctx)
	return s, nil
}

// open returns a pool. One that writes looks for the server that takes writes among the hosts that the address names.
func (p *postgres) open(writes bool, ready func(context.Context, *pgconn.PgConn) error) *sql.DB {
	c := p.config.Copy()
	c.RuntimeParams["application_name"] = "firstcall"
	if writes {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	db := sql.OpenDB(pgsql.Connector{Config: c, Ready: ready})
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db
}

// value returns the first value that a query finds, as text; "" when there is none.
func value(ctx context.Context, c *pgconn.PgConn, query string, args ...string) (string, error) {
	values := make([][]byte, len(args))
	for n, a := range args {
		values[n] = []byte(a)
	}
	r := c.ExecParams(ctx, query, values, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) == 0 || len(r.Rows[0]) == 0 {
		return "", r.Err
	}
	return string(r.Rows[0][0]), nil
}

// setTenant makes a session see its tenant's rows and no others.
func (p *postgres) setTenant(ctx context.Context, c *pgconn.PgConn) error {
	_, err := value(ctx, c, "SELECT set_config('app.tenant', $1, false)", p.tenant)
	return err
}

// checkRole refuses a role whom row-level security does not bind.
func (p *postgres) checkRole(ctx context.Context, db *sql.DB) error {
	var above bool
	err := db.QueryRowContext(ctx, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user").Scan(&above)
	if err != nil {
		return p.fault("open", err)
	}
	if above {
		return fmt.Errorf("store: the role of %s is a superuser or has BYPASSRLS, so that it would see every tenant: connect as an ordinary role", p.name)
	}
	return nil
}

// beginSession makes a new session of the writer the tenant's only one: it takes the tenant's lock, if need be from a session of
// this agent whose end the server has not noticed, and makes sure that no other agent wrote since.
func (s *Store) beginSession(ctx context.Context, c *pgconn.PgConn) error {
	p := s.pg
	if _, err := value(ctx, c, "SELECT set_config('app.tenant', $1, false), set_config('application_name', $2, false)", p.tenant, p.session); err != nil {
		return err
	}
	const lockIt = "SELECT pg_try_advisory_lock(hashtextextended('firstcall ' || current_schema() || ' ' || current_setting('app.tenant'), 0))"
	deadline := time.Now().Add(s.options.busy)
	for {
		locked, err := value(ctx, c, lockIt)
		if err != nil {
			return err
		}
		if locked == "t" {
			break
		}
		if p.epoch > 0 {
			const end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()"
			if _, err := value(ctx, c, end, p.session); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			holder, err := value(ctx, c, "SELECT holder || ', since ' || to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' FROM agents")
			return errors.Join(err, fmt.Errorf("store: tenant %s in %s is %w: another firstcall (%q) has it open: stop that one, or give this one a database of its own", p.tenant, p.name, ErrLocked, holder))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockEvery):
		}
	}
	if err := s.takeEpoch(ctx, c); err != nil {
		return err
	}
	p.sessions.Add(1)
	return nil
}

// takeEpoch makes this agent the tenant's newest, or checks that it still is.
func (s *Store) takeEpoch(ctx context.Context, c *pgconn.PgConn) error {
	p := s.pg
	if p.epoch > 0 {
		now, err := value(ctx, c, "SELECT epoch FROM agents")
		if err == nil && now != strconv.FormatInt(p.epoch, 10) {
			err = fmt.Errorf("store: tenant %s in %s: %w: restart this one, which does not know what that one wrote", p.tenant, p.name, errSuperseded)
		}
		return err
	}
	host, _ := os.Hostname() // only said for people
	holder := fmt.Sprintf("process %d on %s", os.Getpid(), host)
	text, err := value(ctx, c, `INSERT INTO agents (epoch, writes, holder) VALUES (1, 0, $1)
		ON CONFLICT (tenant) DO UPDATE SET epoch = agents.epoch + 1, holder = excluded.holder, since = excluded.since RETURNING epoch || ' ' || writes`, holder)
	if err != nil {
		return err
	}
	_, err = fmt.Sscan(text, &p.epoch, &p.writes)
	return err
}

// begin notes a write in its own transaction: under its number, so that its outcome can be looked up, and only while this agent is
// the tenant's newest.
func (p *postgres) begin(ctx context.Context, tx *sql.Tx, d promise) error {
	p.writes++
	var set string
	err := tx.QueryRowContext(ctx, `UPDATE agents SET writes = ? WHERE epoch = ? RETURNING set_config('synchronous_commit',
		CASE WHEN ? THEN 'off' WHEN current_setting('synchronous_commit') = 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)`,
		p.writes, p.epoch, d&durable == 0).Scan(&set)
	if errors.Is(err, sql.ErrNoRows) {
		return errSuperseded
	}
	return err
}

// transactPostgres is transact at a server that may go away at any moment. What is not committed is undone; a commit whose answer
// was lost is looked up, however long the server is away, so that the caller knows.
func (s *Store) transactPostgres(ctx context.Context, d promise, fn func(*sql.Tx) error) error {
	p := s.pg
	if p.gaveUp {
		return ErrDoubt
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := p.begin(ctx, tx, d); err != nil {
		return err
	}
	if session := p.sessions.Load(); session != p.loaded {
		// Relaxed writes may be lost with a server that crashed, and what is known of them with it.
		if err := s.load(ctx, tx); err != nil {
			return err
		}
		p.loaded = session
	}
	if err := fn(tx); err != nil {
		return err
	}
	err = tx.Commit()
	if !errors.Is(err, pgsql.ErrDoubt) {
		return err
	}
	stored, doubt := s.lookUp(ctx)
	switch {
	case doubt != nil:
		p.gaveUp = true
		return fmt.Errorf("%w (%w)", ErrDoubt, doubt)
	case stored:
		return nil
	}
	return errUndone
}

// lookUp returns whether the newest write is stored. It asks until it is told; it gives up when another agent has taken over, or
// when the store is to be closed.
func (s *Store) lookUp(ctx context.Context) (stored bool, err error) {
	for wait := doubtFirst; ; wait = min(2*wait, doubtMost) {
		var newest int64
		err := s.writer.QueryRowContext(ctx, "SELECT writes FROM agents").Scan(&newest)
		if err == nil {
			return newest == s.pg.writes, nil
		}
		if errors.Is(err, errSuperseded) {
			return false, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.pg.hurry:
			timer.Stop()
			return false, err
		case <-timer.C:
		}
	}
}

// measure notes how much room the tables take, of all tenants.
func (s *Store) measure(ctx context.Context) {
	var bytes int64
	err := s.reader.QueryRowContext(ctx, `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
		WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace`).Scan(&bytes)
	if err == nil { // otherwise what was measured before stands
		s.pg.size.Store(bytes)
	}
}

// postgresVersions returns the schema's version in the database, 0 when it has none, and the newest that this program knows.
func (s *Store) postgresVersions(ctx context.Context, db *sql.DB) (have, want int64, err error) {
	if want, err = newest("migrations/postgres"); err != nil {
		return 0, 0, err
	}
	var there bool
	err = db.QueryRowContext(ctx, "SELECT to_regclass(quote_ident(current_schema()) || '."+schemaTable+"') IS NOT NULL").Scan(&there)
	if err == nil && there {
		err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+schemaTable+" WHERE is_applied").Scan(&have)
	}
	return have, want, s.fault("open", err)
}

// migratePostgres brings the schema up to date, one agent at a time.
func (s *Store) migratePostgres(ctx context.Context) error {
	p := s.pg
	db := p.open(true, nil)
	defer func() { _ = db.Close() }()
	if err := p.checkRole(ctx, db); err != nil {
		return err
	}
	have, want, err := s.postgresVersions(ctx, db)
	switch {
	case err != nil:
		return err
	case have > want:
		return fmt.Errorf("store: %s was %w (schema %d, this one knows %d): install that version again, or name another database in store.url", p.name, ErrNewer, have, want)
	case have == want:
		return nil
	}
	files, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 10))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(schemaTable), goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	_, err = provider.Up(ctx)
	runtime.GC() // see migrate
	runtime.GC()
	return s.fault("migrate", err)
}
