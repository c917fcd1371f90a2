package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

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
	db := p.open(true, nil, nil, nil)
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
	// Of agents that met at an empty database one found, once in dozens of runs, no table where it had just seen that there was one.
	if _, err = provider.Up(ctx); noTable(err) {
		_, err = provider.Up(ctx)
	}
	runtime.GC() // see migrate
	runtime.GC()
	return s.fault("migrate", err)
}

// noTable reports whether PostgreSQL said that a table is not there.
func noTable(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Code == "42P01"
}
