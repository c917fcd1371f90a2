//go:build servers && linux

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/incident"
	shared "github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestFleetPrints states what 'firstcall fleet' prints of a real database, and how it ends.
func TestFleetPrints(t *testing.T) {
	server := servers.StartPostgres(t)
	database := server.Database(t, "monitoring")
	now := time.Now().UTC()
	for n := range 8 {
		s, err := store.Open(t.Context(), fmt.Sprintf("%s?tenant=t%d", database, n), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		facts, _ := json.Marshal(shared.Facts{Name: fmt.Sprint("Tenant ", n), Labels: map[string]string{"region": "westeurope"}, Components: []string{"virtual-desktop"}})
		if err := s.TellFleet(t.Context(), facts, []byte(`{"outcome":"up"}`)); err != nil {
			t.Fatal(err)
		}
		if n < 6 {
			i := incident.Incident{
				ID: fmt.Sprint("fc-t", n), Tenant: fmt.Sprint("t", n), Class: incident.Availability, Root: "virtual-desktop", Components: []string{"virtual-desktop"}, Priority: incident.P2,
				Highest: incident.P2, Reason: "timeout", Title: "virtual-desktop is \x1b[31minaccessible", Started: now.Add(-3 * time.Minute), Opened: now.Add(-2 * time.Minute),
			}
			if err := s.Commit(t.Context(), store.Commit{At: now, Incidents: []incident.Incident{i}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	server.SQL(t, "monitoring", "CREATE ROLE reader LOGIN PASSWORD 'sesame'")
	server.SQL(t, "monitoring", "SELECT let_fleet_read('reader')")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "postgres://reader@" + server.Address + "/monitoring"
	run := func(args ...string) (string, int) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"fleet", "--store.url", address, "--store.password-file", password}, args...), strings.NewReader(""), &out, &errs)
		if errs.Len() > 0 {
			t.Errorf("%v: %s", args, &errs)
		}
		return out.String(), code
	}
	text, code := run()
	for _, want := range []string{"P2 6 tenants lost virtual-desktop at ", ": one cause\n", "6 of 8 tenants, ", "key fc-fleet-virtual-desktop", "P2     t0", "region=westeurope", "8 tenants at ", ": 6 P2, 2 well\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if code != exitFailed || strings.Contains(text, "\x1b") || strings.Contains(text, "t7") {
		t.Errorf("exit code %d of\n%q", code, text)
	}
	if text, _ := run("--all"); !strings.Contains(text, "t7") {
		t.Errorf("--all leaves some out:\n%s", text)
	}
	text, _ = run("--json")
	var w fleet.Wall
	if err := json.Unmarshal([]byte(text), &w); err != nil || len(w.Rows) != 8 || len(w.Shared) != 1 || w.Counts[fleet.P2] != 6 {
		t.Errorf("as JSON: %v, %d tenants", err, len(w.Rows))
	}
	var errs bytes.Buffer
	if code := Main([]string{"fleet", "--store.url", database}, strings.NewReader(""), &bytes.Buffer{}, &errs); code != exitFailed || !strings.Contains(errs.String(), "let_fleet_read") {
		t.Errorf("as an agent's role: %d, %s", code, &errs)
	}
}
