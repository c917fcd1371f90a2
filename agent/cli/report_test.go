package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

func writeMonth(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(aMonth(ts.MkAbs(args[0])))
}

// aMonth writes a store with a run of web-client/http every minute of 2024-10-02 in UTC, which is down from 10:00 to 10:30, and a case of
// that that was acknowledged after two minutes.
func aMonth(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, "sqlite:"+path, store.Options{})
	if err != nil {
		return err
	}
	day := time.Date(2024, 10, 2, 0, 0, 0, 0, time.UTC)
	down, up := day.Add(10*time.Hour), day.Add(10*time.Hour+30*time.Minute)
	var results []probes.Result
	for at := day; at.Before(day.Add(24 * time.Hour)); at = at.Add(time.Minute) {
		r := probes.Result{Probe: "web-client/http", Start: at, Duration: 120 * time.Millisecond, Outcome: probes.Up}
		if !at.Before(down) && at.Before(up) {
			r.Outcome, r.Reason = probes.Down, probes.Refused
		}
		results = append(results, r)
	}
	i := incident.Incident{
		ID: incident.Key("acme", incident.Availability, "web-client", down), Tenant: "acme", Class: incident.Availability, Root: "web-client", Components: []string{"web-client"},
		Priority: incident.P2, Highest: incident.P2, Title: "web-client is inaccessible", Widest: "web-client is inaccessible", Started: down, Opened: down.Add(time.Minute),
		Commencement: down.Add(time.Minute), ReactionDue: down.Add(61 * time.Minute), Ended: up, Closed: up.Add(time.Minute), Resolution: incident.Recovered,
		Outages: []incident.ComponentOutage{{Component: "web-client", From: down, To: up}},
	}
	opened := incident.Event{Incident: i.ID, At: i.Opened, Kind: incident.EventOpened, Actor: incident.ActorAgent, Priority: incident.P2}
	c := incident.Case{Incident: i.ID, Desk: "soc", Ref: "17", Number: "SOC-17", State: incident.CaseResolved, Acknowledged: down.Add(3 * time.Minute), AcknowledgedBy: "ada", Settled: true}
	return errors.Join(
		s.AppendResults(ctx, results), s.Commit(ctx, store.Commit{Incidents: []incident.Incident{i}, Events: []incident.Event{opened}}), s.SaveCase(ctx, c), s.Close())
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	none := newProgress(&out)
	none.last = time.Time{}
	none.show("results", 0.5)
	none.clear()
	if out.Len() > 0 {
		t.Errorf("no terminal, and yet %q", out.String())
	}
	shown := &progress{out: &out}
	shown.show("results", 0.426)
	shown.show("results", 0.5) // too soon
	shown.clear()
	if want := "\r\x1b[Kreading results: 43 %\r\x1b[K"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	from, to := time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 6, 0, 0, 0, 0, time.UTC)
	for want, end := range map[string]time.Time{"reading the record: 25 %": to, "reading the record: 2048 results, up to 2026-10-05 06:00": {}} {
		out.Reset()
		(&progress{out: &out}).replayed(2048, from.Add(6*time.Hour), from, end)
		if !strings.HasPrefix(out.String(), "\r\x1b[K"+want) {
			t.Errorf("%q, want %q", out.String(), want)
		}
	}
}

// TestReportPage runs every command of docs/report.md.
func TestReportPage(t *testing.T) {
	text := read(t, "docs/report.md")
	t.Chdir(t.TempDir())
	config := "tenant: { id: acme, time_zone: Europe/Copenhagen }\nstore: { url: \"sqlite:firstcall.db\" }\ncomponents: [{ name: web-client, probes: [{ kind: http, url: \"https://acme.example/\", interval: 1m }] }]\n"
	if err := errors.Join(os.WriteFile("acme.yaml", []byte(config), 0o600), aMonth("firstcall.db"), aMonth("copy.db")); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			commands++
			var stdout, stderr strings.Builder
			if code := Main(words(line)[1:], strings.NewReader(""), &stdout, &stderr); code != 0 || stdout.String() == "" != strings.Contains(line, "--output") {
				t.Errorf("%s: exit code %d\n%s%s", line, code, stdout.String(), stderr.String())
			}
		}
	}
	if commands != 6 {
		t.Errorf("%d commands were run, want 6", commands)
	}
}
