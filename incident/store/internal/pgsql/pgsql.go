// Package pgsql is a database/sql driver for PostgreSQL on pgconn, the protocol layer of pgx, for what a store needs: statements in
// the form that SQLite takes (see Translate), numbers, texts, bytes and times, and transactions whose end is never guessed.
// docs/decisions/postgresql.md says why it is not pgx's own.
package pgsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// ErrDoubt is wrapped by the error of a Commit whose answer never came: the server may have stored all of it, or nothing.
var ErrDoubt = errors.New("the connection was lost before the server said whether it committed")

// readOnly is the SQLSTATE of a write at a standby, or at a server that was made read-only.
const readOnly = "25006"

// closeWithin bounds the wait for the server to end a session: one that is away never does.
const closeWithin = 500 * time.Millisecond

// cached is how many statements a connection keeps prepared; those beyond are prepared each time.
const cached = 200

// Connector makes connections for sql.OpenDB. It is immutable and safe for concurrent use.
type Connector struct {
	Config  *pgconn.Config                              // of pgconn.ParseConfig
	Tokens  Tokens                                      // stand in for Config's password; may be nil
	Timeout time.Duration                               // that one statement may take, and a COMMIT; 0: a minute
	Ready   func(context.Context, *pgconn.PgConn) error // called once with each new connection, whose error refuses it; may be nil
	Reading func() string                               // a statement that goes with the BEGIN of a transaction that only reads; may be nil
}

// Connect implements driver.Connector.
func (c Connector) Connect(ctx context.Context) (driver.Conn, error) {
	pg, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	made := &conn{pg: pg, timeout: c.Timeout, reading: c.Reading, statements: map[string]*pgconn.StatementDescription{}}
	if made.timeout <= 0 {
		made.timeout = time.Minute
	}
	if c.Ready != nil {
		if err := c.Ready(ctx, pg); err != nil {
			return nil, errors.Join(err, made.Close())
		}
	}
	return made, nil
}

func (c Connector) connect(ctx context.Context) (*pgconn.PgConn, error) {
	if c.Tokens == nil {
		return pgconn.ConnectConfig(ctx, c.Config)
	}
	token, err := c.Tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	config := c.Config.Copy()
	config.Password = token
	pg, err := pgconn.ConnectConfig(ctx, config)
	var said *pgconn.PgError
	if errors.As(err, &said) && RefusedLogon(said) {
		c.Tokens.Refused(ctx, token)
	}
	if err != nil {
		return nil, hiding{err, token}
	}
	return pg, nil
}

// Tokens give what stands in for a password, which must not be kept for long. They are safe for concurrent use.
type Tokens interface {
	Token(ctx context.Context) (string, error) // that is good now; its waiting is bounded
	Refused(ctx context.Context, token string) // the server did not take it
}

// RefusedLogon reports whether a server says that it does not let somebody in.
func RefusedLogon(said *pgconn.PgError) bool { return said.Code == "28P01" || said.Code == "28000" }

// hiding is an error whose text shows no token, whatever a server says.
type hiding struct {
	error
	token string
}

// Error implements error.
func (h hiding) Error() string {
	return secret.Hide(h.error.Error(), []secret.Value{secret.New(h.token)})
}

// Unwrap returns the error as it was.
func (h hiding) Unwrap() error { return h.error }

// Driver implements driver.Connector.
func (c Connector) Driver() driver.Driver { return opener{} }

// opener is there because database/sql asks for it.
type opener struct{}

// Open implements driver.Driver.
func (opener) Open(string) (driver.Conn, error) { return nil, errors.New("pgsql: use sql.OpenDB") }

// conn is one session. database/sql uses it from one goroutine at a time.
type conn struct {
	pg         *pgconn.PgConn
	timeout    time.Duration
	reading    func() string
	statements map[string]*pgconn.StatementDescription // prepared, by the query as it was given
	within     context.Context                         //nolint:containedctx // of the transaction under way, whose end ends its statements; nil: there is none
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	_ = c.pg.Close(ctx) // a session that is gone is closed, too
	return nil
}

// IsValid implements driver.Validator: a broken connection does not go back to the pool.
func (c *conn) IsValid() bool { return !c.pg.IsClosed() }

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(context.Context) error {
	if c.pg.IsClosed() || c.pg.TxStatus() != 'I' {
		return driver.ErrBadConn
	}
	return nil
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

// BeginTx implements driver.ConnBeginTx. A transaction that only reads sees one state of the database. A BEGIN that the connection
// did not survive did nothing, so that database/sql tries it on another.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	begin := "BEGIN"
	switch {
	case o.Isolation != driver.IsolationLevel(sql.LevelDefault):
		return nil, errors.New("pgsql: no isolation level can be chosen")
	case o.ReadOnly:
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
		if c.reading != nil {
			begin += "; " + c.reading()
		}
	}
	if err := c.simple(ctx, begin); err != nil {
		if c.pg.IsClosed() && ctx.Err() == nil {
			return nil, driver.ErrBadConn
		}
		return nil, err
	}
	c.within = ctx
	return tx{ctx, c}, nil
}

// bound returns the context of a statement: it ends with the transaction's, too, and when the statement takes too long.
func (c *conn) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	if c.within == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(c.within, cancel)
	return ctx, func() { stop(); cancel() }
}

// simple runs a statement without arguments and results.
func (c *conn) simple(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	results, err := c.pg.Exec(ctx, query).ReadAll()
	if err == nil && query == "COMMIT" && len(results) == 1 && results[0].CommandTag.String() == "ROLLBACK" {
		return errors.New("the transaction had failed before its end, and was undone")
	}
	return c.checked(err)
}

// checked closes a connection to a server that takes no writes any more, so that the next one may find the server that does.
func (c *conn) checked(err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == readOnly {
		_ = c.Close()
	}
	return err
}

// tx is a transaction; ctx is that of its BEGIN, and bounds its statements, its COMMIT and its ROLLBACK as well.
type tx struct {
	ctx context.Context
	c   *conn
}

// Commit implements driver.Tx. That pgconn calls an error safe to retry says nothing here: of an answer that was lost it may, too.
func (t tx) Commit() error {
	t.c.within = nil
	if t.c.pg.IsClosed() {
		return errors.New("the connection was lost before the end of the transaction, which was undone")
	}
	err := t.c.simple(t.ctx, "COMMIT")
	if err != nil && t.c.pg.IsClosed() {
		return fmt.Errorf("%w (%w)", ErrDoubt, err)
	}
	return err
}

// Rollback implements driver.Tx. The server undoes the transaction of a connection that ends.
func (t tx) Rollback() error {
	t.c.within = nil
	if t.c.pg.IsClosed() {
		return nil
	}
	err := t.c.simple(t.ctx, "ROLLBACK")
	if err != nil {
		_ = t.c.Close()
	}
	return err
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	if _, err := c.prepared(ctx, query); err != nil {
		return nil, err
	}
	return &statement{c, query}, nil
}

// prepared returns the description of a query.
func (c *conn) prepared(ctx context.Context, query string) (*pgconn.StatementDescription, error) {
	if d := c.statements[query]; d != nil {
		return d, nil
	}
	name := ""
	if len(c.statements) < cached {
		name = fmt.Sprintf("s%d", len(c.statements))
	}
	d, err := c.pg.Prepare(ctx, name, Translate(query), nil)
	if err == nil && name != "" {
		c.statements[query] = d
	}
	return d, c.checked(err)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ctx, cancel := c.bound(ctx)
	d, err := c.prepared(ctx, query)
	if err != nil {
		cancel()
		return nil, err
	}
	values, formats, err := encode(d, args)
	if err != nil {
		cancel()
		return nil, err
	}
	results := make([]int16, len(d.Fields))
	for n, f := range d.Fields {
		results[n] = format(f.DataTypeOID)
	}
	return &rows{c: c, d: d, reader: c.pg.ExecStatement(ctx, d, values, formats, results), cancel: cancel}, nil
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	all, err := c.QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	r := all.(*rows)
	defer r.cancel()
	tag, err := r.reader.Close()
	if err != nil {
		return nil, c.checked(err)
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

// statement is a prepared query, which its connection keeps.
type statement struct {
	c     *conn
	query string
}

// Close implements driver.Stmt.
func (s *statement) Close() error { return nil }

// NumInput implements driver.Stmt: the server counts.
func (s *statement) NumInput() int { return -1 }

// Exec implements driver.Stmt.
func (s *statement) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements driver.Stmt.
func (s *statement) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// ExecContext implements driver.StmtExecContext.
func (s *statement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.query, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *statement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.query, args)
}
