package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // also registers the driver
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/sqlite/*.sql migrations/postgres/*.sql
var migrations embed.FS

const (
	memory = ":memory:"
	// applicationID marks the file as firstcall's ("fcst"), so that nothing else is ever migrated.
	applicationID = 0x66637374
	// Page caches, in KiB, are small: the hot pages are few, and the operating system has the rest.
	writerCache, readerCache = 512, 256
	readers                  = 2
)

// Open opens, and creates or migrates, the store at rawURL: "sqlite:PATH" (a file; its directory must exist), "sqlite::memory:" or
// "postgres://USER:PASSWORD@HOST/DATABASE?tenant=ID", with the parameters of libpq; see also WithEntra. A file has one agent at a time: a lock on PATH.lock,
// which the operating system frees when the process ends, refuses a second one and says who holds it. In PostgreSQL a tenant has as many as
// there are: each takes a place (see Voter), and the lead where nobody has it. A file that is damaged, is not firstcall's or was made by a
// newer firstcall is refused and left as it is.
func Open(ctx context.Context, rawURL string, o Options) (*Store, error) {
	if isPostgres(rawURL) {
		p, err := parsePostgres(rawURL)
		if err != nil {
			return nil, err
		}
		return openPostgres(ctx, p, o)
	}
	path, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, options: o.withDefaults(), decided: make(chan struct{}, 1), gate: make(chan struct{}, 1)}
	s.gate <- struct{}{}
	if path != "" {
		if s.lock, err = acquire(path); err != nil {
			return nil, err
		}
		if err := create(path); err != nil {
			return nil, errors.Join(err, s.lock.release())
		}
	}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	return s, nil
}

// OpenReadOnly opens an existing store for reading, whether an agent has it open or not; every write fails with ErrReadOnly.
// It changes nothing and migrates nothing: a store of another version of firstcall is refused. A standby of PostgreSQL will do. There
// results and baselines are those of the voter that the parameter vantage names, or of the one that leads or led last.
func OpenReadOnly(ctx context.Context, rawURL string) (*Store, error) {
	if isPostgres(rawURL) {
		return openPostgresReadOnly(ctx, rawURL)
	}
	path, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("store: a store in memory cannot be opened for reading only: name a file")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: there is none at %s (%w): name the file of an agent that ran", path, fs.ErrNotExist)
	}
	s := &Store{path: path, options: Options{}.withDefaults()}
	if s.reader, err = sql.Open("sqlite", s.dsn(readerCache, url.Values{"mode": {"ro"}})); err != nil {
		return nil, s.fault("open", err)
	}
	s.reader.SetMaxOpenConns(readers)
	have, want, err := s.versions(ctx)
	if err == nil && have != want {
		err = fmt.Errorf("store: %s has schema %d, this firstcall reads %d: use the firstcall that wrote it, or let this one run once on it", path, have, want)
	}
	if err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	return s, nil
}

// parseURL returns the path of the file, absolute, or "" for memory.
func parseURL(raw string) (string, error) {
	path, ok := strings.CutPrefix(raw, "sqlite:")
	if !ok || path == "" {
		scheme, _, _ := strings.Cut(raw, ":") // the rest may hold a password
		return "", fmt.Errorf("store: url %q...: write sqlite:PATH, for example sqlite:/var/lib/firstcall/firstcall.db, or postgres://USER@HOST/DATABASE", scheme)
	}
	if path == memory {
		return "", nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return path, nil
}

// create makes the file, for this user only, where there is none; SQLite itself would let everybody read it.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w: create the directory and give this user the right to write in it, or set store.url", err)
	}
	return f.Close()
}

func (s *Store) dsn(cache int, parameters url.Values) string {
	q := url.Values{"_busy_timeout": {fmt.Sprint(s.options.busy.Milliseconds())}, "_foreign_keys": {"on"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", cache))
	for key, values := range parameters {
		q[key] = append(q[key], values...)
	}
	if s.path == "" {
		return "file::memory:?" + q.Encode()
	}
	path := filepath.ToSlash(s.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/firstcall.db
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// connect opens the connections of a store that writes, migrates it, and reads what is kept in memory.
func (s *Store) connect(ctx context.Context) (err error) {
	_, _ = sqlite.Fdatasync(true) // as SQLite is built everywhere but here; where it does not exist, fsync stays
	parameters := url.Values{"_txlock": {"immediate"}, "_synchronous": {"FULL"}}
	if s.writer, err = sql.Open("sqlite", s.dsn(writerCache, parameters)); err != nil {
		return s.fault("open", err)
	}
	s.writer.SetMaxOpenConns(1)
	if err := s.mark(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	s.reader = s.writer // in memory there is but one connection
	if s.path != "" {
		if s.reader, err = sql.Open("sqlite", s.dsn(readerCache, url.Values{"_query_only": {"on"}})); err != nil {
			return s.fault("open", err)
		}
		s.reader.SetMaxOpenConns(readers)
		s.reader.SetMaxIdleConns(1)
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.fault("open", err)
	}
	return s.fault("open", errors.Join(s.load(ctx, tx), tx.Rollback()))
}

// mark refuses a file of something else, and makes a new one ours.
func (s *Store) mark(ctx context.Context) error {
	var id, tables int64
	if err := s.writer.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return s.fault("open", err)
	}
	if err := s.writer.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return s.fault("open", err)
	}
	if tables > 0 && id != applicationID {
		return fmt.Errorf("store: %s is %w: name another file in store.url", s.path, errForeign)
	}
	if _, err := s.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return s.fault("open", err)
	}
	var mode string
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return s.fault("open", err)
	}
	if s.path != "" && mode != "wal" {
		return fmt.Errorf("store: %s cannot have a write-ahead log (its journal is %q): put the file on a local disk", s.path, mode)
	}
	return nil
}

// newest returns the number of the last migration in a directory.
func newest(dir string) (number int64, err error) {
	files, err := fs.Glob(migrations, dir+"/*.sql")
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	for _, name := range files {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("store: %w", err)
		}
		number = max(number, version)
	}
	return number, nil
}

// versions returns the schema's version in the file, 0 when it has none, and the newest that this program knows.
func (s *Store) versions(ctx context.Context) (have, want int64, err error) {
	if want, err = newest("migrations/sqlite"); err != nil {
		return 0, 0, err
	}
	db := s.writer
	if db == nil {
		db = s.reader
	}
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied = 1").Scan(&have)
	var se *sqlite.Error
	if errors.As(err, &se) && se.Code() == sqlite3.SQLITE_ERROR { // no such table
		return 0, want, nil
	}
	return have, want, s.fault("open", err)
}

func (s *Store) migrate(ctx context.Context) error {
	have, want, err := s.versions(ctx)
	switch {
	case err != nil:
		return err
	case have > want:
		return fmt.Errorf("store: %s was %w (schema %d, this one knows %d): install that version again, or name another file in store.url", s.path, ErrNewer, have, want)
	case have == want:
		return nil
	}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	_, err = provider.Up(ctx)
	// goose leaves 8 MB of buffers in a pool, which the second collection frees; kept, they would let the heap grow to twice that.
	runtime.GC()
	runtime.GC()
	return s.fault("migrate", err)
}

// load reads what is kept in memory.
func (s *Store) load(ctx context.Context, tx *sql.Tx) error {
	known := map[string]int64{}
	rows, err := tx.QueryContext(ctx, "SELECT id, name FROM probes")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		known[name] = id
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	s.probes = known
	return tx.QueryRowContext(ctx, "SELECT CAST(coalesce(sum(results), 0) AS BIGINT) FROM result_log").Scan(&s.logged)
}

// abandon closes what a failed Open had opened.
func (s *Store) abandon() error {
	var errs []error
	dbs := []*sql.DB{s.writer, s.reader}
	if s.pg != nil {
		dbs = append(dbs, s.pg.beater)
	}
	for _, db := range dbs {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}
