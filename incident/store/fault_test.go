package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

var at = time.Date(2026, 2, 4, 10, 0, 0, 0, time.UTC)

func TestAttemptsThatFailedAlikeAreToldOnce(t *testing.T) {
	err := plain{errors.New("failed to connect to `user=a database=b`:\n\tdb:5432: connection refused\n\tdb:5432: connection refused\n\tdb2:5432: no route")}
	if got, want := err.Error(), "failed to connect to `user=a database=b`: db:5432: connection refused db2:5432: no route"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func openAt(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// httpResults makes the results of a round of probes that are up, as an HTTPS probe reports them.
func httpResults(first, n int, start time.Time) []probes.Result {
	all := make([]probes.Result, n)
	for i := range all {
		all[i] = probes.Result{
			Probe: fmt.Sprintf("component-%d/http", first+i), Start: start.Add(time.Duration(i) * time.Millisecond),
			Duration: 118*time.Millisecond + time.Duration(i*7919), Outcome: probes.Up,
			Phases: []probes.Phase{
				{Name: probes.PhaseDNS, Duration: 1234567},
				{Name: probes.PhaseConnect, Duration: 11234567},
				{Name: probes.PhaseTLS, Duration: 31234567},
				{Name: probes.PhaseFirstByte, Duration: 61234567},
				{Name: probes.PhaseTransfer, Duration: 2234567},
			},
			Certificate: &probes.Certificate{Subject: "CN=acme", Fingerprint: "00"},
		}
	}
	return all
}

// step is a small commit.
func step(n int) Commit {
	id := fmt.Sprint("fc-", n)
	return Commit{
		At: at, Incidents: []incident.Incident{{ID: id, Opened: at.Add(time.Duration(n)), Components: []string{"backend"}}},
		Events: []incident.Event{{Incident: id, At: at, Kind: incident.EventOpened, Actor: incident.ActorAgent, Text: id}},
	}
}

// raw opens the file as any other program would.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// mention fails unless err wraps want and says every text.
func mention(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want one that wraps %v", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func TestOneAgentAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	first := openAt(t, path, Options{})
	_, err := Open(t.Context(), "sqlite:"+path, Options{})
	mention(t, err, ErrLocked, path, fmt.Sprintf("process %d", os.Getpid()), "stop that one", "store.url")
	if err := first.Commit(t.Context(), step(1)); err != nil {
		t.Errorf("after the second agent was refused: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := openAt(t, path, Options{})
	if _, err := second.Incident(t.Context(), "fc-1"); err != nil {
		t.Error(err)
	}
}

func TestLockedByAnotherProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	s := openAt(t, path, Options{busy: 50 * time.Millisecond})
	other := raw(t, path)
	execute(t, other, "BEGIN EXCLUSIVE")
	mention(t, s.Commit(t.Context(), step(1)), ErrLocked, path, "end its transaction")
	mention(t, s.AppendResults(t.Context(), httpResults(0, 3, at)), ErrLocked)
	if all, err := s.Incidents(t.Context(), IncidentFilter{}); err != nil || len(all) != 0 {
		t.Errorf("reading goes on while the file is locked: %v %v", all, err)
	}
	execute(t, other, "ROLLBACK")
	if err := errors.Join(s.Commit(t.Context(), step(1)), s.AppendResults(t.Context(), httpResults(0, 3, at))); err != nil {
		t.Errorf("after the lock is gone: %v", err)
	}
	// A lock that does not last is waited for.
	s.options.busy = 0
	patient := openAt(t, filepath.Join(t.TempDir(), "patient.db"), Options{})
	other = raw(t, patient.path)
	execute(t, other, "BEGIN IMMEDIATE")
	done := make(chan error, 1)
	go func() { done <- patient.Commit(context.Background(), step(1)) }()
	select {
	case err := <-done:
		t.Fatalf("the commit did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	execute(t, other, "COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPatienceOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	s := openAt(t, path, Options{})
	<-s.gate // a write that does not end
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	mention(t, s.Commit(ctx, step(1)), context.DeadlineExceeded, "other writes")
	s.gate <- struct{}{}
}

func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	s := openAt(t, path, Options{})
	var pages int
	if err := s.writer.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	execute(t, s.writer, fmt.Sprint("PRAGMA max_page_count = ", pages+20))
	stored := fillUp(t, s)
	execute(t, s.writer, fmt.Sprint("PRAGMA max_page_count = ", pages+10000))
	afterFull(t, s, stored)
}

// fillUp commits until the disk is full and returns how many commits were acknowledged.
func fillUp(t *testing.T, s *Store) int {
	t.Helper()
	for n := range 100_000 {
		c := step(n)
		c.Incidents[0].Why = strings.Repeat("why ", 1000)
		if err := s.Commit(t.Context(), c); err != nil {
			mention(t, err, ErrDiskFull, "store: disk full", s.path, "make room")
			mention(t, s.Commit(t.Context(), c), ErrDiskFull)
			return n
		}
	}
	t.Fatal("the disk is never full")
	return 0
}

// afterFull checks that exactly what was acknowledged is stored, and that the store works again.
func afterFull(t *testing.T, s *Store, stored int) {
	t.Helper()
	check := func(want int) {
		all, err := s.Incidents(t.Context(), IncidentFilter{Limit: 1_000_000})
		if err != nil || len(all) != want {
			t.Fatalf("%d incidents (%v), want %d", len(all), err, want)
		}
		for _, i := range all {
			if events, err := s.Timeline(t.Context(), i.ID, 0); err != nil || len(events) != 1 {
				t.Fatalf("%s has %d events (%v), want 1", i.ID, len(events), err)
			}
		}
	}
	check(stored)
	if err := errors.Join(s.Commit(t.Context(), step(stored)), s.AppendResults(t.Context(), httpResults(0, 3, at)), s.Maintain(t.Context(), at)); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	check(stored + 1)
}

func TestDamaged(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"something else":     func([]byte) []byte { return []byte(strings.Repeat("this is no database\n", 1000)) },
		"header overwritten": func(b []byte) []byte { copy(b, "garbage garbage "); return b },
		"schema overwritten": func(b []byte) []byte { clear(b[100:4096]); return b },
		"cut off":            func(b []byte) []byte { return b[:len(b)/3] },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "firstcall.db")
			s := openAt(t, path, Options{})
			for n := range 50 {
				if err := s.Commit(t.Context(), step(n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := spoil(good)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), "sqlite:"+path, Options{})
			mention(t, err, ErrDamaged, path, "move it", "keep the file")
			if after, err := os.ReadFile(path); err != nil || string(after) != string(bad) {
				t.Errorf("the damaged file was changed (%v)", err)
			}
		})
	}
}

func TestRefusedFiles(t *testing.T) {
	newer, foreign := filepath.Join(t.TempDir(), "newer.db"), filepath.Join(t.TempDir(), "foreign.db")
	if err := openAt(t, newer, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, newer)
	execute(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
	_ = db.Close()
	_, err := Open(t.Context(), "sqlite:"+newer, Options{})
	mention(t, err, ErrNewer, newer, "schema 999", "install that version")
	if _, err := OpenReadOnly(t.Context(), "sqlite:"+newer); err == nil || !strings.Contains(err.Error(), "schema 999") {
		t.Errorf("reading a newer store: %v", err)
	}
	db = raw(t, foreign)
	execute(t, db, "CREATE TABLE customers (name TEXT)")
	_ = db.Close()
	_, err = Open(t.Context(), "sqlite:"+foreign, Options{})
	mention(t, err, errForeign, foreign, "another file")

	for url, want := range map[string]string{
		"postgres://firstcall:hunter2@db/firstcall": "tenant",
		"mysql://firstcall:hunter2@db/firstcall":    "postgres://USER",
		"":                                          "sqlite:PATH",
		"sqlite:":                                   "sqlite:PATH",
		"sqlite:" + filepath.Join(t.TempDir(), "no/x.db"):  "create the directory",
		"sqlite:" + t.TempDir():                            "directory",
		"sqlite:" + filepath.Join(foreign, "below a file"): "directory",
	} {
		_, err := Open(t.Context(), url, Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q): %v, want %q in it and no password", url, err, want)
		}
	}
}

// downgrade makes the store's schema that of an older version.
func downgrade(t *testing.T, db *sql.DB, version int) {
	t.Helper()
	undo := [][]string{
		2: {"DROP TABLE baselines", "DROP TABLE seeds"},
		3: {"DROP TABLE evidence", "DROP TABLE evidence_files"},
		4: {"ALTER TABLE rollups DROP COLUMN histogram"},
		5: {
			"DROP TABLE orders", "DROP INDEX incidents_opened", "ALTER TABLE incidents DROP COLUMN highest", "ALTER TABLE incidents DROP COLUMN class",
			"ALTER TABLE incidents DROP COLUMN resolution", "ALTER TABLE incidents DROP COLUMN words", "CREATE INDEX incidents_opened ON incidents (opened)",
		},
		6: {"DROP TABLE vantage_state", "DROP TABLE handovers"},
		7: {},
		8: {}, // of PostgreSQL only
	}
	for _, steps := range undo[version+1:] {
		for _, step := range steps {
			execute(t, db, step)
		}
	}
	execute(t, db, fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id > %d", version))
}

// TestOlderStore states that a store of the version before is brought up to date with all that is in it.
func TestOlderStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	s := openAt(t, path, Options{})
	if err := errors.Join(s.Commit(t.Context(), step(1)), s.Close()); err != nil {
		t.Fatal(err)
	}
	older := raw(t, path)
	downgrade(t, older, 1)
	if err := older.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{})
	if _, err := s.Incident(t.Context(), "fc-1"); err != nil {
		t.Error(err)
	}
	if err := s.Commit(t.Context(), Commit{At: at, Baselines: map[string][]byte{"a": {1}}}); err != nil {
		t.Error(err)
	}
	if all, err := s.Baselines(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("baselines %v, %v", all, err)
	}
	if kept, err := s.SaveEvidence(t.Context(), incident.Evidence{Incident: "fc-1", Text: "x"}); !kept || err != nil {
		t.Errorf("evidence: kept %t, %v", kept, err)
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	if _, err := OpenReadOnly(t.Context(), "sqlite:"+path); err == nil {
		t.Error("a store that is not there is opened for reading")
	}
	agent := openAt(t, path, Options{})
	if err := errors.Join(agent.Commit(t.Context(), step(1)), agent.AppendResults(t.Context(), httpResults(0, 2, at))); err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{true, false} {
		if !running {
			if err := agent.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s, err := OpenReadOnly(t.Context(), "sqlite:"+path)
		if err != nil {
			t.Fatalf("agent running %t: %v", running, err)
		}
		if _, err := s.Incident(t.Context(), "fc-1"); err != nil {
			t.Error(err)
		}
		if hours, err := s.Rollups(t.Context(), "component-0/http", time.Time{}, time.Time{}); err != nil || len(hours) != 1 {
			t.Errorf("roll-ups %v, %v", hours, err)
		}
		mention(t, s.Commit(t.Context(), step(2)), ErrReadOnly)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The timeline refuses what would change the past, whoever asks.
func TestTimelineIsAppendOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	s := openAt(t, path, Options{})
	if err := s.Commit(t.Context(), step(1)); err != nil {
		t.Fatal(err)
	}
	other := raw(t, path)
	for _, query := range []string{"UPDATE events SET text = 'nothing happened'", "DELETE FROM events"} {
		if _, err := other.Exec(query); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// Commits of incidents are on the disk when they return, those of results need not be.
func TestDurability(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "firstcall.db"), Options{})
	const full, normal = 2, 1
	for _, tc := range []struct {
		write func() error
		want  int
	}{
		{func() error { return s.Commit(t.Context(), step(1)) }, full},
		{func() error { return s.AppendResults(t.Context(), httpResults(0, 2, at)) }, normal},
		{func() error { return s.SaveCase(t.Context(), incident.Case{Incident: "fc-1", Desk: "soc"}) }, full},
	} {
		var got int
		if err := tc.write(); err != nil {
			t.Fatal(err)
		}
		if err := s.writer.QueryRow("PRAGMA synchronous").Scan(&got); err != nil || got != tc.want {
			t.Errorf("synchronous is %d (%v), want %d", got, err, tc.want)
		}
	}
}

func TestRawRowsAndBytesAreBounded(t *testing.T) {
	for name, o := range map[string]Options{"rows": {RawRows: 1000}, "bytes": {RawBytes: 20_000}} {
		t.Run(name, func(t *testing.T) {
			s := openAt(t, filepath.Join(t.TempDir(), "firstcall.db"), o)
			for n := range 60 {
				if err := s.AppendResults(t.Context(), httpResults(0, 50, at.Add(time.Duration(n)*time.Second))); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Maintain(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			var results, bytes, totalResults, totalBytes int64
			if err := s.writer.QueryRow("SELECT sum(results), sum(length(body)) FROM result_blocks").Scan(&results, &bytes); err != nil {
				t.Fatal(err)
			}
			if err := s.writer.QueryRow("SELECT results, bytes FROM result_totals").Scan(&totalResults, &totalBytes); err != nil {
				t.Fatal(err)
			}
			if results != totalResults || bytes != totalBytes {
				t.Errorf("%d results in %d bytes, but the totals say %d in %d", results, bytes, totalResults, totalBytes)
			}
			if limit := s.options; results > limit.RawRows || bytes > limit.RawBytes || results < 400 {
				t.Errorf("%d results in %d bytes are kept; at most %d in %d are wanted, and not far less", results, bytes, limit.RawRows, limit.RawBytes)
			}
			all, err := s.Results(t.Context(), "component-0/http", time.Time{}, time.Time{}, 0)
			if err != nil || len(all) == 0 || !all[len(all)-1].Start.Equal(at.Add(59*time.Second)) {
				t.Errorf("the newest result is not among those kept (%v)", err)
			}
			hours, err := s.Rollups(t.Context(), "component-0/http", time.Time{}, time.Time{})
			if err != nil || len(hours) != 1 || hours[0].Counts[probes.Up] != 60 {
				t.Errorf("roll-ups %+v (%v), want all 60 results in one", hours, err)
			}
		})
	}
}
