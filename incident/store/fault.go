package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The errors that a caller can tell apart with errors.Is. What wraps them names the file and what to do.
var (
	ErrDiskFull = errors.New("disk full")                 // works again once there is space
	ErrLocked   = errors.New("locked by another program") // works again once it lets go
	ErrDamaged  = errors.New("the file is damaged")       // will not go away by itself
	ErrNewer    = errors.New("made by a newer firstcall") // see OpenReadOnly and Open
	ErrReadOnly = errors.New("open for reading only")     // a write on a store of OpenReadOnly
	ErrClosed   = errors.New("the store is closed")       // a write after Close
	ErrAway     = errors.New("does not answer")           // PostgreSQL; works again once it is back
	ErrStandby  = errors.New("takes no writes")           // PostgreSQL: a standby, or made read-only
	// ErrNotLeading is a write that only the leading agent may make, or Leading, while another agent leads or may lead. Nothing was stored.
	ErrNotLeading = errors.New("this agent does not lead")
	// ErrDoubt is a write that PostgreSQL may or may not have stored: the store was told to hurry before that could be learnt. Every later
	// write fails with it: what is stored is known by opening it again.
	ErrDoubt      = errors.New("whether a write was stored is not known")
	errForeign    = errors.New("not a store of firstcall's") // an SQLite file of something else
	errUndone     = errors.New("the connection was lost when it was to be committed")
	errPlaceTaken = errors.New("another agent has the place of this one")
)

// fault says what failed, on which file, and what to do. It keeps err for errors.Is and errors.As.
func (s *Store) fault(what string, err error) error {
	if err == nil {
		return nil
	}
	if s.pg != nil {
		return s.pg.fault(what, err)
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	name := s.path
	if name == "" {
		name = "the store in memory"
	}
	code := se.Code()
	if code == sqlite3.SQLITE_IOERR_SHMSIZE { // no room for the index of the write-ahead log
		code = sqlite3.SQLITE_FULL
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("store: %w: cannot %s: make room on the disk of %s; nothing of it was stored, and the store goes on when there is space (%w)",
			ErrDiskFull, what, name, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("store: cannot %s: %s is %w: end its transaction (is the file open in sqlite3 or a backup?); nothing of it was stored (%w)",
			what, name, ErrLocked, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("store: cannot %s from %s: %w: stop the agent, keep the file, and put a good copy in its place, or move it and its -wal and -shm away to begin with an empty store (%w)",
			what, name, ErrDamaged, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("store: cannot %s: give this user the right to read and write %s and its directory (%w)", what, name, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("store: cannot %s: the disk of %s fails, or a quota is used up: check it and the system's log; nothing of it was stored (%w)", what, name, err)
	}
	return fmt.Errorf("store: cannot %s: %s: %w", what, name, err)
}
