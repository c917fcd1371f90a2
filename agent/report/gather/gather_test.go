package gather_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/agent/report/gather"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

var (
	from = time.Date(2026, 9, 30, 22, 0, 0, 0, time.UTC)
	to   = time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC)
)

// parse returns a configuration of so many components with one probe.
func parse(t testing.TB, components int) *config.Config {
	t.Helper()
	text := "tenant: { id: acme, time_zone: Europe/Copenhagen, language: da }\ndefaults: { interval: 30s }\ncomponents:\n"
	for n := range components {
		text += fmt.Sprintf("  - { name: c%d, probes: [{ kind: tcp, address: \"c%d.example:443\" }] }\n", n, n)
	}
	c, err := config.Parse("", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), "sqlite:"+path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// fill adds a run of every probe every half a minute.
func fill(t testing.TB, s *store.Store, c *config.Config, from, to time.Time) {
	t.Helper()
	var batch []probes.Result
	for n, at := 0, from; at.Before(to); n, at = n+1, at.Add(30*time.Second) {
		for i, p := range c.AllProbes() {
			batch = append(batch, probes.Result{
				Probe: p.ID, Start: at.Add(time.Duration(i) * time.Second), Outcome: probes.Up, Duration: time.Duration(50+n*7919%100) * time.Millisecond,
				Phases: []probes.Phase{{Name: probes.PhaseConnect, Duration: time.Millisecond}},
			})
		}
		if len(batch) > 5000 || !at.Add(30*time.Second).Before(to) {
			if err := s.AppendResults(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

func anIncident(n int, started, closed time.Time) incident.Incident {
	i := incident.Incident{
		ID: fmt.Sprintf("i-%d", n), Tenant: "acme", Class: incident.Availability, Root: "c0", Components: []string{"c0"}, Priority: incident.P2, Highest: incident.P2,
		Started: started, Opened: started.Add(time.Minute), Commencement: started.Add(time.Minute), ReactionDue: started.Add(time.Hour), Outages: []incident.ComponentOutage{},
	}
	if !closed.IsZero() {
		i.Ended, i.Closed, i.Resolution = closed, closed, incident.Recovered
	}
	return i
}

// TestRead states that a report reads what touches its time, of a store that an agent has open, and nothing else.
func TestRead(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "firstcall.db")
	agent := open(t, path)
	c := parse(t, 2)
	fill(t, agent, c, from.Add(-time.Hour), from.Add(2*time.Hour))
	var commit store.Commit
	for n := range 1200 { // over before: more than are read at once, all opened at one instant
		commit.Incidents = append(commit.Incidents, anIncident(n, from.Add(-48*time.Hour), from.Add(-47*time.Hour)))
	}
	commit.Incidents = append(commit.Incidents,
		anIncident(2001, from.Add(-49*time.Hour), from.Add(time.Hour)), anIncident(2002, from.Add(-400*time.Hour), time.Time{}),
		anIncident(2003, from.Add(time.Hour), from.Add(2*time.Hour)), anIncident(2004, to, to.Add(time.Hour)), anIncident(2005, to.Add(-30*time.Second), to.Add(time.Hour)))
	commit.Events = []incident.Event{{Incident: "i-2003", At: from, Kind: incident.EventOpened, Actor: incident.ActorAgent, Text: "x"}}
	if err := agent.Commit(ctx, commit); err != nil {
		t.Fatal(err)
	}
	if err := agent.SaveCase(ctx, incident.Case{Incident: "i-2003", Desk: "soc", Number: "7"}); err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenReadOnly(ctx, "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	told := map[string]bool{}
	in, err := gather.Read(ctx, s, c, from, to, to.Add(time.Hour), func(what string, done float64) {
		told[what] = true
		if done < 0 || done > 1 {
			t.Errorf("%s: %g done", what, done)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, one := range in.Tales {
		ids = append(ids, one.Incident.ID)
		if one.Incident.ID == "i-2003" && (len(one.Timeline) != 1 || len(one.Cases) != 1) {
			t.Errorf("%+v", one)
		}
	}
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"i-2001", "i-2002", "i-2003", "i-2005"}) {
		t.Errorf("incidents %v", ids)
	}
	r := report.Compute(in)
	// The last run, of c1, began 29 s before the two hours were over and speaks for 33 s.
	if got := time.Duration(r.Coverage.Measured); got != 2*time.Hour+4*time.Second {
		t.Errorf("measured %s", got)
	}
	if l := r.Latency[0]; l.Runs != 240 || l.Source != report.FromRuns || l.Error != 0 {
		t.Errorf("latency %+v", l)
	}
	if !told["hours"] || !told["incidents"] || r.Language != "da" || r.TimeZone != "Europe/Copenhagen" {
		t.Errorf("told %v, %s, %s", told, r.Language, r.TimeZone)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := gather.Read(cancelled, s, c, from, to, to, nil); err == nil {
		t.Error("reading goes on when nobody wants it")
	}
}

// BenchmarkMonth is a report of a month of ten probes that run every 30 s, from the store to HTML.
func BenchmarkMonth(b *testing.B) {
	path := filepath.Join(b.TempDir(), "firstcall.db")
	c := parse(b, 10)
	agent := open(b, path)
	fill(b, agent, c, from, to)
	b.ReportAllocs()
	for b.Loop() {
		s, err := store.OpenReadOnly(context.Background(), "sqlite:"+path)
		if err != nil {
			b.Fatal(err)
		}
		in, err := gather.Read(context.Background(), s, c, from, to, to, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := report.Compute(in).Write(io.Discard, report.HTML); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
