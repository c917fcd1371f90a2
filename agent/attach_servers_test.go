//go:build servers && linux

package agent

import (
	"os"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// sharing returns the configuration of an agent whose store is in a database of the server.
func sharing(t *testing.T, server *servers.Postgres) *config.Config {
	t.Helper()
	url := server.Database(t, "firstcall")
	s := newSite(t, nowhere, nowhere)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), "sqlite:"+s.dir+"/firstcall.db", url, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestADatabaseThatTakesNoWritesAtTheStart states that an agent starts while only a standby answers, and uses the primary when there is one.
func TestADatabaseThatTakesNoWritesAtTheStart(t *testing.T) {
	t.Parallel()
	server := servers.StartPostgres(t)
	c := sharing(t, server)
	server.SQL(t, "postgres", "ALTER DATABASE firstcall SET default_transaction_read_only = on")
	a, err := New(t.Context(), Options{Config: c, Version: "test", AlertOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if a.store.shared.Load() != nil {
		t.Error("a standby is in use")
	}
	server.SQL(t, "postgres", "ALTER DATABASE firstcall RESET default_transaction_read_only")
	shared, err := a.openShared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.member.opened <- opening{store: shared}
	a.member.reach(t.Context())
	if a.store.shared.Load() == nil {
		t.Error("the primary is not in use")
	}
}

// TestADatabaseThatGoesAwayWhileAnAgentStarts states that such an agent starts, knows that it is away, and uses the database when it is back.
func TestADatabaseThatGoesAwayWhileAnAgentStarts(t *testing.T) {
	t.Parallel()
	server := servers.StartPostgres(t)
	a, err := New(t.Context(), Options{Config: sharing(t, server), Version: "test", AlertOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	server.Crash()
	shared := a.store.shared.Load()
	if err := a.member.meet(t.Context(), shared); err != nil || a.store.shared.Load() != nil {
		t.Errorf("it does not start without the database (%v)", err)
	}
	if h := a.Health(); h.StoreAway == "" || h.Role != "follower" || a.member.refused() == nil {
		t.Errorf("it does not know that the database is away: %+v", h)
	}
	server.Start()
	waitFor(t, "database", func() bool { a.member.reach(t.Context()); return a.store.shared.Load() != nil })
}

// TestADatabaseThatGoesAwayAgainAtOnce states that an agent which began without its database takes it into use wholly or not at all: what of
// it could not be read is tried again, and no role is taken meanwhile.
func TestADatabaseThatGoesAwayAgainAtOnce(t *testing.T) {
	t.Parallel()
	server := servers.StartPostgres(t)
	c := sharing(t, server)
	server.Crash()
	a, err := New(t.Context(), Options{Config: c, Version: "test", AlertOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	server.Start()

	attach := func() error {
		t.Helper()
		shared, err := a.openShared(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.member.obtain(t.Context(), shared)
		a.member.opened <- <-a.member.opened
		a.member.reach(t.Context())
		a.member.act(t.Context())
		if a.store.shared.Load() == nil {
			return errNoStore
		}
		return nil
	}
	without := func(table string) (again func()) {
		shared, err := a.openShared(t.Context()) // the schema is there
		if err != nil {
			t.Fatal(err)
		}
		if err := shared.Close(); err != nil {
			t.Fatal(err)
		}
		server.SQL(t, "firstcall", "ALTER TABLE "+table+" RENAME TO hidden")
		return func() { server.SQL(t, "firstcall", "ALTER TABLE hidden RENAME TO "+table) }
	}

	back := without("vantage_state")
	if attach() == nil {
		t.Error("a database whose state of the vantage cannot be read is in use")
	}
	if a.member.s.role == leader {
		t.Error("the agent leads without its database")
	}
	back()
	back = without("orders")
	if err := attach(); err != nil {
		t.Errorf("a database whose orders cannot be read is not in use: %v", err)
	}
	back()
	a.member.vote(t.Context())
	a.member.act(t.Context())
	if a.member.failing != "" || a.member.s.role != leader || a.desks.Load() == nil {
		t.Errorf("afterwards it is a %s (%s)", a.member.s.role, a.member.failing)
	}
	a.endDesks()
	<-a.desks.Load().done
}
