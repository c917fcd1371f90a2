//go:build servers && linux

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

var tenants atomic.Int64

// aTenant returns the address of an empty store in a database.
func aTenant(database string) string {
	sign := "?"
	if strings.Contains(database, "?") {
		sign = "&"
	}
	return fmt.Sprintf("%s%stenant=t%d", database, sign, tenants.Add(1))
}

// openURL opens a store whose agent beats, and leads where nobody else does.
func openURL(t *testing.T, url string) *Store {
	t.Helper()
	s := openSilent(t, url, "")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
				_, _ = s.Beat(ctx, Beat{Wants: true}) // a server that is away is what some tests are about
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// openSilent opens a store whose agent says nothing by itself.
func openSilent(t *testing.T, url, vantage string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, Options{Vantage: vantage})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// role opens the database as the agents' role, without a tenant.
func role(t *testing.T, database string) *sql.DB {
	t.Helper()
	p, err := parsePostgres(database)
	if err != nil {
		t.Fatal(err)
	}
	db := p.open(true, nil, nil, nil)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// stored fails unless just the steps from 1 to n are there, each with one event.
func stored(t *testing.T, s *Store, n int) {
	t.Helper()
	all, err := s.Incidents(t.Context(), IncidentFilter{Limit: 1_000_000})
	if err != nil || len(all) != n {
		t.Fatalf("%d steps are stored (%v), want %d", len(all), err, n)
	}
	for _, i := range all {
		if events, err := s.Timeline(t.Context(), i.ID, 0); err != nil || len(events) != 1 {
			t.Fatalf("%s has %d events (%v), want 1", i.ID, len(events), err)
		}
	}
}

// TestPostgresServer has the tests that share a server.
func TestPostgresServer(t *testing.T) {
	server := servers.StartPostgres(t)
	database := server.Database(t, "firstcall")
	for name, test := range map[string]func(*testing.T, *servers.Postgres, string){
		"tenants apart":            tenantsApart,
		"migration at once":        migrationAtOnce,
		"one leads":                oneLeads,
		"thawed leader":            thawedLeader,
		"led anew":                 ledAnew,
		"frozen in a write":        frozenInAWrite,
		"overtaken write":          overtakenWrite,
		"places":                   places,
		"place taken":              placeTaken,
		"killed":                   placeOfTheDead,
		"answer lost, lead taken":  answerLostLeadTaken,
		"answer lost, place taken": answerLostPlaceTaken,
		"taken twice":              answerLostPlaceTakenTwice,
		"clock set back":           handedOverWithAnotherClock,
		"clocks apart":             clocksApart,
		"voters apart":             votersApart,
		"gone":                     tidiedAfterOthers,
		"older schema":             olderSchema,
		"sessions lost":            sessionsLost,
		"made read-only":           madeReadOnly,
		"append-only":              appendOnly,
		"refused":                  refusedAddresses,
		"newer schema":             newerSchema,
		"a lesser role":            lesserRole,
		"read-only opening":        readOnlyOpening,
		"answer lost":              answerLost,
		"answer never comes":       answerNeverComes,
		"silent when it stops":     silentStop,
		"silent within a write":    silentWithin,
	} {
		t.Run(name, func(t *testing.T) { test(t, server, database) })
	}
}

// tenantsApart states that a tenant sees and changes its own rows only, through the store and as the role that owns the tables.
func tenantsApart(t *testing.T, _ *servers.Postgres, database string) {
	urls := [2]string{aTenant(database), aTenant(database)}
	for n, url := range urls {
		s := openURL(t, url)
		if err := errors.Join(s.Commit(t.Context(), step(1)), s.AppendResults(t.Context(), httpResults(0, n+1, at)), s.Maintain(t.Context(), at)); err != nil {
			t.Fatal(err)
		}
	}
	for n, url := range urls {
		s, err := OpenReadOnly(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		stored(t, s, 1)
		results, err := s.Results(t.Context(), "component-1/http", time.Time{}, time.Time{}, 0)
		if err != nil || len(results) != n {
			t.Errorf("tenant %d has %d results of the second probe (%v)", n, len(results), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	db := role(t, database)
	count := func() (n int) {
		if err := db.QueryRow("SELECT count(*) FROM incidents").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 0 {
		t.Errorf("without a tenant the role sees %d incidents", n)
	}
	_, tenant, _ := strings.Cut(urls[0], "tenant=")
	execute(t, db, "SET app.tenant = '"+tenant+"'")
	execute(t, db, "SET app.voter = 'x'")
	if n := count(); n != 1 {
		t.Errorf("the role sees %d incidents of its tenant, want 1", n)
	}
	for _, query := range []string{"INSERT INTO seeds (tenant, probe, at, points) VALUES ('other', 'x', 1, 1)", "UPDATE incidents SET tenant = 'other'"} {
		if _, err := db.Exec(query); err == nil || !strings.Contains(err.Error(), "row-level security") && !strings.Contains(err.Error(), "foreign key") {
			t.Errorf("%s: %v", query, err)
		}
	}
	var open int
	if err := db.QueryRow(`SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'firstcall_schema'
		AND NOT (relrowsecurity AND relforcerowsecurity)`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d tables are without row-level security (%v)", open, err)
	}
}

func migrationAtOnce(t *testing.T, server *servers.Postgres, _ string) {
	database := server.Database(t, "at_once")
	var group errgroup.Group
	for range 4 {
		url := aTenant(database)
		group.Go(func() error {
			s, err := Open(t.Context(), url, Options{})
			if err != nil {
				return err
			}
			return errors.Join(s.Commit(t.Context(), step(1)), s.Close())
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	var migrations, distinct int
	if err := role(t, database).QueryRow("SELECT count(*), count(DISTINCT version_id) FROM firstcall_schema").Scan(&migrations, &distinct); err != nil || migrations != distinct {
		t.Errorf("%d migrations, %d different ones (%v)", migrations, distinct, err)
	}
	other := server.Database(t, "elsewhere")
	execute(t, role(t, other), "CREATE TABLE events (x int)")
	if _, err := Open(t.Context(), aTenant(other), Options{}); err == nil || !strings.Contains(err.Error(), "tables of something else") {
		t.Errorf("in another program's database: %v", err)
	}
	execute(t, role(t, other), "CREATE SCHEMA firstcall")
	stored(t, openURL(t, aTenant(other+"?search_path=firstcall")), 0)
}

// sessionsLost states that sessions that the server ended, between two calls or within a transaction, are made anew.
func sessionsLost(t *testing.T, server *servers.Postgres, database string) {
	s := openURL(t, aTenant(database))
	end := func() {
		server.SQL(t, "postgres", "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'firstcall'")
	}
	for n := 1; n <= 3; n++ {
		if err := errors.Join(s.Commit(t.Context(), step(n)), s.AppendResults(t.Context(), httpResults(0, 3, at.Add(time.Duration(n)*time.Second)))); err != nil {
			t.Fatal(err)
		}
		stored(t, s, n)
		end()
	}
	err := s.write(t.Context(), durable, "write", func(tx *sql.Tx) error {
		if err := saveIncident(t.Context(), tx, step(4).Incidents[0]); err != nil {
			return err
		}
		end()
		return appendEvents(t.Context(), tx, step(4).Events)
	})
	mention(t, err, ErrAway, "nothing of it was stored")
	stored(t, s, 3)
	agree(t, s, 0)
}

func madeReadOnly(t *testing.T, server *servers.Postgres, _ string) {
	database := server.Database(t, "standing")
	s := openURL(t, aTenant(database))
	if err := s.Commit(t.Context(), step(1)); err != nil {
		t.Fatal(err)
	}
	server.SQL(t, "postgres", "ALTER DATABASE standing SET default_transaction_read_only = on")
	server.SQL(t, "postgres", "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'standing'")
	mention(t, s.Commit(t.Context(), step(2)), ErrStandby, "name the primary", "nothing of it was stored")
	server.SQL(t, "postgres", "ALTER DATABASE standing RESET default_transaction_read_only")
	if err := s.Commit(t.Context(), step(2)); err != nil {
		t.Error(err)
	}
	stored(t, s, 2)
}

func appendOnly(t *testing.T, _ *servers.Postgres, database string) {
	url := aTenant(database)
	if err := openURL(t, url).Commit(t.Context(), step(1)); err != nil {
		t.Fatal(err)
	}
	db := role(t, database)
	_, tenant, _ := strings.Cut(url, "tenant=")
	execute(t, db, "SET app.tenant = '"+tenant+"'")
	for _, query := range []string{"UPDATE events SET text = 'nothing happened'", "DELETE FROM events", "TRUNCATE events"} {
		if _, err := db.Exec(query); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func refusedAddresses(t *testing.T, server *servers.Postgres, database string) {
	if err := openURL(t, aTenant(database)).Close(); err != nil { // as the owner, which migrates
		t.Fatal(err)
	}
	server.SQL(t, "postgres", "CREATE ROLE above LOGIN BYPASSRLS PASSWORD 'hunter2'")
	server.SQL(t, "postgres", "CREATE ROLE below LOGIN PASSWORD 'hunter2'")
	for url, want := range map[string]string{
		"postgres://firstcall:hunter2@" + server.Address + "/firstcall":               "store.password_file",
		"postgres://below:hunter2@" + server.Address + "/hunter":                      "CREATE DATABASE",
		"postgres://below:hunter2@" + server.Address + "/firstcall":                   "grant it",
		"postgres://above:hunter2@" + server.Address + "/firstcall":                   "ordinary role",
		fmt.Sprintf("postgres://a:hunter2@127.0.0.1:%d/a", servers.FreePort(t)):       "does not answer",
		"postgres://firstcall:hunter2@" + server.Address + "/firstcall?sslmode=maybe": "sslmode",
		"postgres://firstcall:hunter2@" + server.Address:                              "database",
		database + "?sslmode=require":                                                 "TLS",
	} {
		for _, open := range []func() (*Store, error){
			func() (*Store, error) { return Open(t.Context(), aTenant(url), Options{}) },
			func() (*Store, error) { return OpenReadOnly(t.Context(), aTenant(url)) },
		} {
			_, err := open()
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q in it and no password", Name(url), err, want)
			}
		}
	}
	_, err := Open(t.Context(), database, Options{})
	if err == nil || !strings.Contains(err.Error(), "tenant=ID") {
		t.Errorf("without a tenant: %v", err)
	}
}

// lesserRole states that an agent needs no more than docs/operations.md says.
func lesserRole(t *testing.T, server *servers.Postgres, database string) {
	if err := openURL(t, aTenant(database)).Close(); err != nil { // as the owner, which migrates
		t.Fatal(err)
	}
	server.SQL(t, "firstcall", `CREATE ROLE agent LOGIN PASSWORD 'agent'; GRANT USAGE ON SCHEMA public TO agent;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO agent; REVOKE INSERT, UPDATE, DELETE ON firstcall_schema FROM agent`)
	s := openURL(t, aTenant(strings.Replace(database, "firstcall:firstcall@", "agent:agent@", 1)))
	_, err := s.AddOrder(t.Context(), incident.Order{Kind: incident.OrderMaintenance, From: at, Until: at.Add(time.Hour)})
	if err := errors.Join(err, s.Commit(t.Context(), step(1)), s.AppendResults(t.Context(), httpResults(0, 3, at)), s.Maintain(t.Context(), at.AddDate(2, 0, 0))); err != nil {
		t.Error(err)
	}
}

func newerSchema(t *testing.T, server *servers.Postgres, _ string) {
	database := server.Database(t, "newer")
	url := aTenant(database)
	if err := openURL(t, url).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, role(t, database), "INSERT INTO firstcall_schema (version_id, is_applied) VALUES (9999, true)")
	_, err := Open(t.Context(), url, Options{})
	mention(t, err, ErrNewer, "schema 9999")
	if _, err := OpenReadOnly(t.Context(), url); err == nil || !strings.Contains(err.Error(), "schema 9999") {
		t.Errorf("for reading: %v", err)
	}
}

func readOnlyOpening(t *testing.T, server *servers.Postgres, database string) {
	if _, err := OpenReadOnly(t.Context(), aTenant(server.Database(t, "empty"))); err == nil {
		t.Error("a store that is not there is opened for reading")
	}
	url := aTenant(database)
	agent := openURL(t, url)
	if err := agent.Commit(t.Context(), step(1)); err != nil {
		t.Fatal(err)
	}
	s, err := OpenReadOnly(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	stored(t, s, 1)
	mention(t, s.Commit(t.Context(), step(2)), ErrReadOnly)
	if s.Size() == 0 || agent.Size() == 0 {
		t.Error("the store takes no room")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// answerLost states that a write whose COMMIT, or whose answer, was lost returns nil when it is stored, and an error when not; even
// where the server is away for a while first.
func answerLost(t *testing.T, server *servers.Postgres, database string) {
	p := startCutter(t, server.Address)
	s := openURL(t, aTenant(strings.Replace(database, server.Address, p.address, 1)))
	for n, tc := range []struct {
		forward bool // the COMMIT reaches the server
		refuse  int  // connections that are refused then
	}{{true, 0}, {false, 0}, {true, 3}, {false, 3}} {
		p.cut(tc.forward, tc.refuse)
		err := s.Commit(t.Context(), step(n+1))
		if tc.forward != (err == nil) {
			t.Errorf("COMMIT forwarded %t, %d connections refused: %v", tc.forward, tc.refuse, err)
		}
		if err != nil {
			mention(t, err, ErrAway, "nothing of it was stored")
			if err := s.Commit(t.Context(), step(n+1)); err != nil {
				t.Fatal(err)
			}
		}
		stored(t, s, n+1)
	}
}

// answerNeverComes states that closing the store ends the wait for a server that stays away.
func answerNeverComes(t *testing.T, server *servers.Postgres, database string) {
	p := startCutter(t, server.Address)
	url := aTenant(database)
	s := openURL(t, strings.Replace(url, server.Address, p.address, 1))
	p.cut(true, 1_000_000)
	result := make(chan error, 1)
	go func() { result <- s.Commit(context.Background(), step(1)) }()
	<-p.refused
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	mention(t, s.Commit(ctx, step(2)), context.DeadlineExceeded) // the first is not over
	s.Hurry()
	mention(t, <-result, ErrDoubt)
	mention(t, s.SaveCase(t.Context(), incident.Case{Incident: "fc-1", Desk: "soc"}), ErrDoubt)
	_ = s.Close() // it says so once more
	stored(t, openURL(t, url), 1)
}
