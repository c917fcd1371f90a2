package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadFleet(t *testing.T) {
	load := func(text string) (*FleetFile, error) {
		path := filepath.Join(t.TempDir(), "fleet.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadFleet(path)
	}
	f, err := load("tenant: {id: fleet}\nstore: {url: 'postgres://reader@db/firstcall', password: p}\nfleet: {open_cases: true, window: 5m}\n")
	if err != nil {
		t.Fatal(err)
	}
	if f.Fleet.Window != 5*time.Minute || f.Fleet.MinTenants != 3 || filepath.Base(f.Fleet.State) != "fleet.db" || f.StoreURL() != "postgres://reader:p@db/firstcall" || len(f.Desks) != 0 {
		t.Errorf("%+v", f)
	}
	entra, err := load("tenant: {id: fleet}\nstore: {url: 'postgres://reader@db.example/firstcall?sslmode=verify-full', entra: {credential: managed-identity}}\n")
	if err != nil || !strings.Contains(entra.StoreURL(), "entra=managed-identity") || strings.Contains(entra.StoreURL(), "tenant=") {
		t.Errorf("with an identity at Entra (%v): %s", err, entra.StoreURL())
	}
	for text, want := range map[string]string{
		"tenant: {id: fleet}\nstore: {url: 'sqlite:x.db'}\n":                                             "not that of a PostgreSQL",
		"tenant: {id: fleet}\nstore: {url: 'postgres://a@b/c'}\nfleet: {min_tenants: 1}\n":               "between 2 and 1000",
		"tenant: {id: fleet}\nstore: {url: 'postgres://a@b/c'}\ncomponents: []\n":                        "unknown key",
		"tenant: {id: fleet, labels: {Region: x}}\nstore: {url: 'postgres://a@b/c'}\n":                   "not the name of a label",
		"tenant: {id: fleet, labels: {region: ''}}\nstore: {url: 'postgres://a@b/c'}\n":                  "has no value",
		"tenant: {id: fleet}\nstore: {url: 'postgres://a@b/c'}\nfleet: {refresh: 1ms}\n":                 "refresh",
		"tenant: {id: fleet}\nstore: {url: 'postgres://a@b/c'}\ndesks: [{kind: webhook, name: soc}]\n":   "url",
		"tenant: {id: fleet}\nstore: {url: 'postgres://a@b/c'}\nfleet: {false_per_year: 1000}\n":         "at most 100",
		"tenant: {id: fleet}\nstore: {url: 'postgres://a:x@b/c', password: y}\n":                         "stands in store.url",
		"tenant: {id: fleet}\nstore: {url: 'postgres://a@b/c', entra: {credential: managed-identity}}\n": "verify-full",
	} {
		_, err := load(text)
		var faults Faults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
