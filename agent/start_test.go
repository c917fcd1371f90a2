package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// withoutDatabase makes an agent whose database does not answer, in a directory where before runs first.
func withoutDatabase(t *testing.T, before func(r *refuge)) *Agent {
	t.Helper()
	s := newSite(t, nowhere, nowhere)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	was := `"sqlite:` + filepath.Join(s.dir, "firstcall.db") + `"`
	text = []byte(strings.Replace(string(text), was, `"postgres://firstcall@127.0.0.1:1/firstcall?sslmode=disable", state_dir: state`, 1) + "vantage: weu\n")
	if err := os.WriteFile(s.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRefuge(t.Context(), c.StateDirs(), "acme-weu", quiet)
	if err != nil {
		t.Fatal(err)
	}
	before(r)
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Options{Config: c, Version: "test", AlertOnly: true, NoPage: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// An agent that starts while its database is away goes by the maintenance and the silence that its last snapshot knew.
func TestOrdersOutliveADatabaseThatIsAway(t *testing.T) {
	now := time.Now()
	order := incident.Order{ID: 1, Kind: incident.OrderMaintenance, Components: []string{"backend"}, From: now.Add(-time.Minute), Until: now.Add(time.Hour), Reason: "patches"}
	silence := order
	silence.ID, silence.Kind, silence.Components = 2, incident.OrderSilence, nil
	a := withoutDatabase(t, func(r *refuge) { r.keep(store.Snapshot{At: now, Orders: []incident.Order{order, silence}}) })
	view := a.View()
	if len(view.Components) != 2 || view.Components[0].Maintenance != "patches" || view.Components[1].Maintenance != "" {
		t.Errorf("%+v", view.Components)
	}
	if got := a.Orders(); len(got) != 2 || got[0].ID != 2 {
		t.Errorf("it goes by %+v", got)
	}
	if _, silenced := a.orders.silenced(incident.Incident{ID: "one", Root: "web-client"}, false, now); !silenced {
		t.Error("people would be told")
	}
	if err := a.member.alone(context.WithoutCancel(t.Context()), 1); err != nil {
		t.Fatal(err)
	}
	if view := a.judge.fresh(); view.Components[0].Maintenance != "patches" {
		t.Errorf("alone it believes %+v", view.Components)
	}
	a.endDesks()
	<-a.desks.Load().done
}

// An agent that starts while its database is away knows who else there was, and waits for its turn.
func TestACompanyOutlivesADatabaseThatIsAway(t *testing.T) {
	a := withoutDatabase(t, func(r *refuge) {
		r.keepCompany(company{Self: "weu#2", Leads: "weu", Voters: []string{"dk", "weu", "weu#2"}})
	})
	if s := &a.member.s; s.wait() != s.grace+2*s.stagger || s.stagger == 0 || a.set.Load().setup.Vantage != "weu#2" {
		t.Errorf("%q judges alone after %s", a.set.Load().setup.Vantage, s.wait())
	}
}
