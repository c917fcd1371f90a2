//go:build servers && linux

package store

import (
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestFleetOnAStandby states that a standby will do for the fleet, but not one that hears nothing of its primary: it would make every agent silent.
func TestFleetOnAStandby(t *testing.T) {
	server := servers.StartPostgres(t)
	database := server.Database(t, "firstcall")
	server.SQL(t, "postgres", "ALTER SYSTEM SET autovacuum = off") // nothing is committed but what the test commits
	server.SQL(t, "postgres", "SELECT pg_reload_conf()")
	s := openSilent(t, aTenant(database), "")
	if err := s.TellFleet(t.Context(), []byte(`{"name":"a"}`), []byte(`{"outcome":"up"}`)); err != nil {
		t.Fatal(err)
	}
	server.SQL(t, "firstcall", "CREATE ROLE reader LOGIN PASSWORD 'reader'")
	execute(t, role(t, database), "SELECT let_fleet_read('reader')")
	standby := server.Standby(t)
	reader := strings.NewReplacer("firstcall:firstcall@", "reader:reader@", server.Address, standby.Address)
	f, err := OpenFleet(t.Context(), reader.Replace(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Read(t.Context(), time.Time{}); err == nil || !strings.Contains(err.Error(), "nothing of its primary since it started") {
		t.Errorf("nobody knows how old it is, and the reading says %v", err)
	}
	var v FleetView
	var began time.Time                                               // of the reading that may be the first without news
	for end := time.Now().Add(time.Minute); time.Now().Before(end); { // until a transaction has come through
		if err = s.TellFleet(t.Context(), nil, []byte(`{"outcome":"up"}`)); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if v, err = f.Read(t.Context(), time.Time{}); err == nil {
			break
		}
	}
	if err != nil || len(v.Tenants) != 1 {
		t.Errorf("a standby shows %d tenants (%v)", len(v.Tenants), err)
	}
	f.latest = 0
	standby.SQL(t, "postgres", "ALTER SYSTEM SET wal_receiver_timeout = '3s'")
	standby.SQL(t, "postgres", "SELECT pg_reload_conf()")
	if _, err := f.Read(t.Context(), time.Time{}); err == nil || !strings.Contains(err.Error(), "its primary is away, no agent writes there, or") {
		t.Errorf("nobody knows why nothing comes, and the reading says %v", err)
	}
	if !probetest.Eventually(time.Minute, func() bool { v, err = f.Read(t.Context(), time.Time{}); return err == nil }) || len(v.Tenants) != 1 {
		t.Errorf("the primary is well and nobody writes there: %d tenants (%v)", len(v.Tenants), err)
	}
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("that is known after %s: a receiver may live for 3 s without its primary", took)
	}
	server.Crash()
	if !probetest.Eventually(time.Minute, func() bool {
		_, err = f.Read(t.Context(), time.Time{})
		return err != nil && strings.Contains(err.Error(), "nothing comes from its primary: that is away")
	}) {
		t.Errorf("the primary is away, and the reading says %v", err)
	}
	f.latest = time.Hour
	if v, err := f.Read(t.Context(), time.Time{}); err != nil || len(v.Tenants) != 1 {
		t.Errorf("the primary is just away, and there are %d tenants (%v)", len(v.Tenants), err)
	}
}
