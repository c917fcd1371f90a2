//go:build servers && linux

package store

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestFleet states that the fleet reads every tenant as a role that may, and nothing as one that may not.
func TestFleet(t *testing.T) {
	server := servers.StartPostgres(t)
	database := server.Database(t, "firstcall")
	var urls []string
	var first *Store
	for n := range 3 {
		url := aTenant(database)
		urls = append(urls, url)
		s := openURL(t, url)
		first = cmp.Or(first, s)
		c := step(n + 1)
		c.Incidents[0].Closed = time.Time{}
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveCase(t.Context(), incident.Case{Incident: c.Incidents[0].ID, Desk: "soc", Number: "INC-1"}); err != nil {
			t.Fatal(err)
		}
		if err := s.TellFleet(t.Context(), []byte(`{"name":"a"}`), []byte(`{"outcome":"up"}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.TellFleet(t.Context(), nil, []byte(`{"outcome":"down"}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.TellFleet(t.Context(), make([]byte, maxFleet+1), nil); err == nil {
			t.Error("more is kept than may be")
		}
	}
	for address, want := range map[string]string{
		database: "let_fleet_read", urls[0]: "leave tenant= out", "sqlite:x.db": "a file has one tenant", "postgres://nobody@" + server.Address + "/firstcall": "does not let us in",
	} {
		if _, err := OpenFleet(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", Name(address), err, want)
		}
	}
	server.SQL(t, "firstcall", "CREATE ROLE reader LOGIN PASSWORD 'reader'")
	reader := strings.Replace(database, "firstcall:firstcall@", "reader:reader@", 1)
	if _, err := OpenFleet(t.Context(), reader); err == nil || !strings.Contains(err.Error(), "let_fleet_read") {
		t.Errorf("a role without rights: %v", err)
	}
	execute(t, role(t, database), "SELECT let_fleet_read('reader')")
	f, err := OpenFleet(t.Context(), reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	v, err := f.Read(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Tenants) != 3 || len(v.Incidents) != 3 || len(v.Cases) != 3 || v.At.IsZero() {
		t.Errorf("%d tenants, %d incidents, %d cases at %s", len(v.Tenants), len(v.Incidents), len(v.Cases), v.At)
	}
	for _, one := range v.Tenants {
		if string(one.Facts) != `{"name":"a"}` || string(one.Status) != `{"outcome":"down"}` || one.Silent > time.Minute {
			t.Errorf("%s: %s %s %s", one.ID, one.Facts, one.Status, one.Silent)
		}
	}
	over := step(1)
	over.Incidents[0].Closed = at.Add(time.Hour)
	if err := first.Commit(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[time.Duration]int{30 * time.Minute: 3, 2 * time.Hour: 2} {
		if v, err := f.Read(t.Context(), at.Add(since)); err != nil || len(v.Incidents) != want || len(v.Cases) != want {
			t.Errorf("since %s: %d incidents, %d cases (%v)", since, len(v.Incidents), len(v.Cases), err)
		}
	}
	own := role(t, reader)
	for _, query := range []string{"UPDATE tenants SET facts = ''", "DELETE FROM incidents", "SELECT * FROM events", "INSERT INTO cases (incident) VALUES ('x')"} {
		if _, err := own.Exec(query); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", query, err)
		}
	}
	if s, err := OpenReadOnly(t.Context(), aTenant(database)); err != nil {
		t.Error(err)
	} else if all, err := s.Incidents(t.Context(), IncidentFilter{}); err != nil || len(all) != 0 {
		t.Errorf("an ordinary role of another tenant sees %d incidents (%v)", len(all), err)
	} else {
		_ = s.Close()
	}
	server.SQL(t, "firstcall", "CREATE ROLE high LOGIN PASSWORD 'high' BYPASSRLS; GRANT SELECT ON ALL TABLES IN SCHEMA public TO high")
	if all, err := OpenFleet(t.Context(), strings.Replace(database, "firstcall:firstcall@", "high:high@", 1)); err != nil {
		t.Error(err)
	} else {
		_ = all.Close()
	}
	// a second reader takes nothing from the first, nor does one that an older version let in
	server.SQL(t, "firstcall", "CREATE ROLE "+second+" LOGIN PASSWORD 'second'; CREATE ROLE former LOGIN PASSWORD 'former'; GRANT SELECT ON tenants, incidents, cases, firstcall_schema TO former")
	execute(t, role(t, database), "SELECT let_fleet_read('"+second+"')")
	for _, table := range []string{"tenants", "incidents", "cases"} {
		server.SQL(t, "firstcall", "CREATE POLICY fleet ON "+table+" FOR SELECT TO former USING (true)")
	}
	for _, other := range []string{second + ":second@", "former:former@", "reader:reader@"} {
		o, err := OpenFleet(t.Context(), strings.Replace(database, "firstcall:firstcall@", other, 1))
		if err != nil {
			t.Errorf("%s: %v", other, err)
			continue
		}
		_ = o.Close()
	}
	if v, err := f.Read(t.Context(), time.Time{}); err != nil || len(v.Tenants) != 3 {
		t.Errorf("since a second role reads the first sees %d tenants (%v)", len(v.Tenants), err)
	}
	for _, table := range []string{"incidents", "tenants"} { // no rows, but no error either, if nobody asked
		server.SQL(t, "firstcall", "DROP POLICY fleet_reader ON "+table)
		if v, err := f.Read(t.Context(), time.Time{}); err == nil || !strings.Contains(err.Error(), "let_fleet_read") {
			t.Errorf("without a right to %s: %d tenants, %d incidents (%v)", table, len(v.Tenants), len(v.Incidents), err)
		}
	}
	execute(t, role(t, database), "SELECT let_fleet_read('reader')")
	if _, err := f.Read(t.Context(), time.Time{}); err != nil {
		t.Errorf("it may read again: %v", err)
	}
}

// second is a role with the longest name.
var second = strings.Repeat("a", 63)
