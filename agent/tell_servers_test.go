//go:build servers && linux

package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestTheFleetHears states that the fleet hears of an agent at its start, and of what it believes.
func TestTheFleetHears(t *testing.T) {
	t.Parallel()
	server := servers.StartPostgres(t)
	database := server.Database(t, "firstcall")
	backend, client := newTarget(t), newTarget(t)
	s := newSite(t, backend, client)
	s.write(t, backend, client, "")
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("sqlite:"+filepath.Join(s.dir, "firstcall.db"), database, "id: acme", "id: acme, labels: {region: westeurope}").Replace(string(text))
	if err := os.WriteFile(s.file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := s.start(t, true)
	defer stop()
	server.SQL(t, "firstcall", "CREATE ROLE reader LOGIN PASSWORD 'reader'")
	server.SQL(t, "firstcall", "SELECT let_fleet_read('reader')")
	f, err := store.OpenFleet(t.Context(), strings.Replace(database, "firstcall:firstcall@", "reader:reader@", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	waitFor(t, "the fleet to hear", func() bool {
		v, err := f.Read(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Tenants) != 1 {
			return false
		}
		var facts fleet.Facts
		var status fleet.Status
		if err := json.Unmarshal(v.Tenants[0].Facts, &facts); err != nil || facts.Labels["region"] != "westeurope" || len(facts.Components) != 2 {
			t.Fatalf("%s: %v", v.Tenants[0].Facts, err)
		}
		return json.Unmarshal(v.Tenants[0].Status, &status) == nil && status.Outcome != ""
	})
}
