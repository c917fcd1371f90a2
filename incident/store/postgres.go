package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/store/internal/pgsql"
)

const (
	schemaTable = "firstcall_schema" // of goose: another program's may be beside it
	// doubtFirst and doubtMost bound the wait between two attempts to learn what became of a commit.
	doubtFirst, doubtMost = 100 * time.Millisecond, 5 * time.Second
	postgresReaders       = 4
	connectTimeout        = "10"                   // seconds
	hurryWithin           = 2 * time.Second        // how long writes may still take after Hurry,
	hurryLeast            = 500 * time.Millisecond // and each that begins later
)

// postgres is what a store in PostgreSQL has beside its connections. Several agents of a tenant may have it open: each has a place, whose
// token fences its writes, and one of them leads, whose epoch fences the others. Beats have a connection of their own, so that they wait for no write;
// the lead and the place may change with any of them. The store's gate guards what is not atomic.
type postgres struct {
	name     string // fit to print
	tenant   string
	vantage  string // that the address names
	config   *pgconn.Config
	tokens   pgsql.Tokens // stand in for a password; nil: there is one, or none is needed
	session  string       // with which application_name begins, so that sessions of before can be ended
	beater   *sql.DB
	beating  chan struct{} // holds one token, which a beat, or taking a place, takes
	place    atomic.Pointer[place]
	lead     atomic.Pointer[lead] // that the last beat told; nil: none
	entered  atomic.Pointer[term] // in which this agent decides; nil: none
	deciding chan struct{}        // holds one token, which a write that only the leader may make, or Lead, takes
	beats    atomic.Int64         // sessions of beater ever
	told     said                 // the vote, and the status, that are stored
	writes   int64                // number of the newest write that was begun; it begins anywhere
	sessions atomic.Int64
	loaded   loaded        // where what is kept in memory was read
	hurry    chan struct{} // closed by Hurry
	until    time.Time     // how long writes may still take then; written before
	hurried  sync.Once
	gaveUp   bool // the outcome of a write was not waited for
	size     atomic.Int64
}

// loaded is a session of the writer, and the place that it wrote for.
type loaded struct {
	session int64
	place   *place
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
	p := &postgres{
		tenant: q.Get("tenant"), vantage: q.Get("vantage"), hurry: make(chan struct{}), beating: make(chan struct{}, 1), deciding: make(chan struct{}, 1),
		session: "firstcall " + strings.ToLower(rand.Text()[:12]), writes: mathrand.Int64N(1 << 50),
	}
	q.Del("tenant")
	q.Del("vantage")
	identity, err := takeEntra(q)
	if err != nil {
		return nil, err
	}
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
	if _, password := u.User.Password(); identity != nil {
		if err := p.useTokens(*identity, password || q.Has("password")); err != nil {
			return nil, err
		}
	}
	c.DialFunc = dialer(c.ConnectTimeout).DialContext
	c.MaxProtocolMessageBodyLen = 256 << 20 // evidence is far below
	maps.Copy(c.RuntimeParams, map[string]string{
		"standard_conforming_strings": "on", "client_encoding": "UTF8", "lock_timeout": "30s", "idle_in_transaction_session_timeout": "5min",
		// The server notices within half a minute that an agent's host is gone.
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

func openPostgres(ctx context.Context, p *postgres, o Options) (*Store, error) {
	if p.tenant == "" {
		return nil, fmt.Errorf("store: no tenant is given for %s: add ?tenant=ID to the address", p.name)
	}
	o.Vantage = cmp.Or(o.Vantage, p.vantage, hostVantage())
	if err := checkVantage(o.Vantage); err != nil {
		return nil, err
	}
	s := &Store{pg: p, options: o.withDefaults(), decided: make(chan struct{}, 1), gate: make(chan struct{}, 1)}
	s.gate <- struct{}{}
	if err := s.migratePostgres(ctx); err != nil {
		return nil, err
	}
	p.beater = p.open(true, s.beginBeats, nil, map[string]string{"lock_timeout": "5s"})
	p.beater.SetMaxOpenConns(1)
	p.beater.SetConnMaxIdleTime(0)
	// Who is frozen in the middle of a write keeps nobody from the lead for longer than that.
	s.writer = p.open(true, s.beginSession, nil, map[string]string{"idle_in_transaction_session_timeout": "5s"})
	s.writer.SetMaxOpenConns(1)
	s.reader = p.open(true, p.setTenant, p.readOwn, nil)
	s.reader.SetMaxOpenConns(postgresReaders)
	s.reader.SetMaxIdleConns(2)
	if err := s.takePlace(ctx, nil); err != nil {
		return nil, errors.Join(s.fault("open", err), s.abandon())
	}
	round, err := s.Beat(ctx, Beat{Wants: true})
	if err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	if round.Leading {
		s.pg.entered.Store(&term{round.Epoch})
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
	s.reader = p.open(false, p.setTenant, p.readOther, nil)
	s.reader.SetMaxOpenConns(postgresReaders)
	err = p.checkRole(ctx, s.reader)
	if err == nil {
		var have, want int64
		have, want, err = s.postgresVersions(ctx, s.reader)
		if err == nil && have != want {
			err = fmt.Errorf("store: %s has schema %d, this firstcall reads %d: use the firstcall that wrote it, or let this one run once on it", p.name, have, want)
		}
	}
	if err == nil && p.vantage != "" {
		err = s.checkVoter(ctx, p.vantage)
	}
	if err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	s.measure(ctx)
	return s, nil
}

// open returns a pool. One that writes looks for the server that takes writes among the hosts that the address names.
func (p *postgres) open(writes bool, ready func(context.Context, *pgconn.PgConn) error, reading func() string, settings map[string]string) *sql.DB {
	c := p.config.Copy()
	c.RuntimeParams["application_name"] = "firstcall"
	maps.Copy(c.RuntimeParams, settings)
	if writes {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	db := sql.OpenDB(pgsql.Connector{Config: c, Tokens: p.tokens, Ready: ready, Reading: reading})
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

// endFormer ends the sessions of this agent that the server does not know yet to have ended, but for the caller's.
const endFormer = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()"

// named makes a session see its tenant's rows, under a name that no other session of the agent has from then on.
func (p *postgres) named(ctx context.Context, c *pgconn.PgConn, name string) error {
	if _, err := value(ctx, c, "SELECT set_config('app.tenant', $1, false), set_config('application_name', $2, false)", p.tenant, name); err != nil {
		return err
	}
	_, err := value(ctx, c, endFormer, name)
	return err
}

// term is one time of leading, from a Lead to the next: an agent that was frozen, and that nobody replaced, has two in one epoch.
type term struct{ epoch int64 }

// beginSession begins a session of the writer. What the one before left locked, if the server has not noticed its end, is free soon.
func (s *Store) beginSession(ctx context.Context, c *pgconn.PgConn) error {
	err := s.pg.named(ctx, c, s.pg.session)
	if err == nil {
		s.pg.sessions.Add(1)
	}
	return err
}

// begin notes a write in its own transaction: under its number, so that its outcome can be looked up, and only while the place is this agent's, and
// the lead of that epoch, where the write asks for it. No other agent gets either before the transaction is over.
func (p *postgres) begin(ctx context.Context, tx *sql.Tx, pl *place, wants promise, in *term) error {
	const note = `UPDATE writes SET number = ? WHERE voter = ? AND token = ?`
	const set = ` RETURNING set_config('app.voter', voter, true) || set_config('synchronous_commit',
		CASE WHEN ? THEN 'off' WHEN current_setting('synchronous_commit') = 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)`
	p.writes++
	var row *sql.Row
	if wants&led == 0 {
		row = tx.QueryRowContext(ctx, note+set, p.writes, pl.name, pl.token, wants&durable == 0)
	} else {
		row = tx.QueryRowContext(ctx, `WITH lead AS (SELECT 1 FROM leases WHERE epoch = ? AND token = ? AND until > clock_timestamp() FOR KEY SHARE) `+
			note+` AND EXISTS (SELECT 1 FROM lead)`+set, in.epoch, pl.token, p.writes, pl.name, pl.token, wants&durable == 0)
	}
	var done string
	err := row.Scan(&done)
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	mine, err := exists(ctx, tx, "SELECT 1 FROM writes WHERE voter = ? AND token = ?", pl.name, pl.token)
	switch {
	case err != nil:
		return err
	case !mine:
		return errPlaceTaken
	}
	return ErrNotLeading
}

// transactPostgres is transact at a server that may go away at any moment, for an agent that may have been frozen. What is not committed is
// undone; a commit whose answer was lost is looked up, however long the server is away, so that the caller knows. An agent whose place was taken
// takes another and tries again. in is the lead that the write was decided in.
func (s *Store) transactPostgres(ctx context.Context, wants promise, in *term, fn func(*sql.Tx) error) error {
	ctx, cancel := s.pg.hasty(ctx)
	defer cancel()
	if wants&led != 0 {
		select {
		case s.pg.deciding <- struct{}{}:
			defer func() { <-s.pg.deciding }()
		case <-ctx.Done():
			return ErrNotLeading // and about to lead anew
		}
	}
	for attempt := 1; ; attempt++ {
		pl := s.pg.place.Load()
		switch {
		case pl == nil:
			return ErrClosed // after Resign
		case s.pg.gaveUp:
			return ErrDoubt
		case wants&led != 0 && (in == nil || in != s.pg.entered.Load()):
			return ErrNotLeading
		}
		err := s.tryPostgres(ctx, pl, wants, in, fn)
		if !errors.Is(err, errPlaceTaken) || attempt == 3 {
			return err
		}
		if err := s.takePlace(ctx, pl); err != nil {
			return err
		}
	}
}

// hasty returns a context that ends soon after Hurry was called, or will be.
func (p *postgres) hasty(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-p.hurry:
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(time.Until(p.until), hurryLeast)):
			cancel()
		}
	}()
	return ctx, cancel
}

func (s *Store) tryPostgres(ctx context.Context, pl *place, wants promise, in *term, fn func(*sql.Tx) error) error {
	p := s.pg
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := p.begin(ctx, tx, pl, wants, in); err != nil {
		return err
	}
	if now := (loaded{p.sessions.Load(), pl}); now != p.loaded {
		// Relaxed writes may be lost with a server that crashed, and what is known of them with it.
		if err := s.load(ctx, tx); err != nil {
			return err
		}
		p.loaded = now
	}
	if err := fn(tx); err != nil {
		return err
	}
	err = tx.Commit()
	if !errors.Is(err, pgsql.ErrDoubt) {
		return err
	}
	stored, doubt := s.lookUp(ctx, pl)
	switch {
	case errors.Is(doubt, errPlaceTaken): // and with it the lead: whoever decides next reads what is stored
		return doubt
	case doubt != nil:
		p.gaveUp = true
		return fmt.Errorf("%w (%w)", ErrDoubt, doubt)
	case stored:
		return nil
	}
	return errUndone
}

// lookUp returns whether the newest write is stored, made in a place that may be another agent's by now. It asks until it is told; it gives
// up when several agents have had the place since, or when the store is to be closed. The row is locked, so that the answer waits for a
// session that is not over.
func (s *Store) lookUp(ctx context.Context, pl *place) (stored bool, err error) {
	for wait := doubtFirst; ; wait = min(2*wait, doubtMost) {
		var epoch, number, earlier int64
		err := s.writer.QueryRowContext(ctx, "SELECT epoch, number, earlier FROM writes WHERE voter = ? FOR UPDATE", pl.name).Scan(&epoch, &number, &earlier)
		switch {
		case errors.Is(err, sql.ErrNoRows), err == nil && epoch < pl.epoch:
			return false, nil // a failover lost it, and the place with it
		case err == nil && epoch == pl.epoch:
			return number == s.pg.writes, nil
		case err == nil && epoch == pl.epoch+1:
			return earlier == s.pg.writes, nil
		case err == nil:
			return false, errPlaceTaken
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
