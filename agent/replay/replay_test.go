package replay

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/history"
	"github.com/firstcall-agent/firstcall/agent/plot"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

const acme = `
tenant: { id: acme }
components:
  - name: web
    probes: [{ kind: tcp, address: "a:1", limits: { total: 1s } }]
  - name: backend
    instances:
      - { name: one, probes: [{ kind: tcp, address: "b:1" }] }
      - { name: two, probes: [{ kind: tcp, address: "c:1" }] }
witnesses: [{ name: dns, kind: tcp, address: "d:1" }]
`

var t0 = time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC)

func configured(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("acme.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list is a source in memory.
type list []probes.Result

func (l list) String() string { return "a list" }

func (l list) Each(_ context.Context, from, to time.Time, fn func(probes.Result) error) error {
	for _, r := range l {
		if !from.IsZero() && r.Start.Before(from) || !to.IsZero() && !r.Start.Before(to) {
			continue
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func result(probe string, at time.Duration, o probes.Outcome) probes.Result {
	r := probes.Result{Probe: probe, Start: t0.Add(at), Duration: 100 * time.Millisecond, Outcome: o}
	if o == probes.Down {
		r.Reason, r.Detail = probes.Refused, "refused"
	}
	return r
}

// steady returns runs of every probe and of the witness, one a minute each, of which fails says which fail.
func steady(minutes int, fails func(probe string, minute int) bool) list {
	var l list
	for m := range minutes {
		for i, probe := range []string{"witness/dns", "web/tcp", "backend/one/tcp", "backend/two/tcp"} {
			o := probes.Up
			if fails(probe, m) {
				o = probes.Down
			}
			l = append(l, result(probe, time.Duration(m)*time.Minute+time.Duration(i)*time.Second, o))
		}
	}
	return l
}

func run(t testing.TB, o Options) []*Report {
	t.Helper()
	reports, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return reports
}

func TestOutages(t *testing.T) {
	record := steady(300, func(probe string, m int) bool {
		return probe == "web/tcp" && m >= 60 && m < 80 || probe == "backend/one/tcp" && m >= 100 && m < 130
	})
	r := run(t, Options{Configs: []*config.Config{configured(t, acme)}, Source: record, Series: "web/tcp"})[0]
	var got []string
	cases, _ := r.Cases()
	for _, i := range cases {
		got = append(got, fmt.Sprintf("%s %s %s %s", i.Highest, i.Root, i.Started.Sub(t0), i.Lasted(r.End)))
	}
	if diff := cmp.Diff([]string{"P2 web 1h0m1s 20m0s", "P3 backend 1h40m2s 30m0s"}, got); diff != "" {
		t.Errorf("cases (-want +got)\n%s", diff)
	}
	web, backend := r.Components[0], r.Components[1]
	if web.Name != "web" || web.Down < 19*time.Minute || web.Down > 23*time.Minute || web.Degraded != 0 {
		t.Errorf("web: %+v", web)
	}
	if backend.Down != 0 || backend.Degraded < 29*time.Minute || backend.Degraded > 33*time.Minute {
		t.Errorf("backend: %+v", backend)
	}
	if r.Results != 1200 || r.Foreign != 0 || len(r.Missing) != 0 || len(r.Gaps) != 0 || r.Wanted == 0 || len(r.Readings) != 300 {
		t.Errorf("%d results, %d foreign, missing %v, gaps %v, %d wanted, %d readings", r.Results, r.Foreign, r.Missing, r.Gaps, r.Wanted, len(r.Readings))
	}
	picture := Picture(r)
	if len(picture.Points) != 300 || len(picture.Verdicts) != 1 || len(picture.Verdicts[0].Marks) != 1 || picture.Verdicts[0].Spans[0].State != plot.Down {
		t.Errorf("picture %+v", picture.Verdicts)
	}
}

// TestRecordedRechecks states that re-probes that the record holds confirm as they did, within seconds, and that what is read from
// a store is judged as what comes from elsewhere.
func TestRecordedRechecks(t *testing.T) {
	record := steady(30, func(probe string, m int) bool { return probe == "web/tcp" && m >= 10 && m < 20 })
	for n := range 3 {
		again := result("web/tcp", 10*time.Minute+time.Duration(2+n)*time.Second+200*time.Millisecond, probes.Down)
		again.Recheck = true
		record = append(record, again)
	}
	record = append(record, result("witness/dns", 10*time.Minute+1500*time.Millisecond, probes.Up)) // asked at the first failure
	slices.SortStableFunc(record, func(a, b probes.Result) int { return a.End().Compare(b.End()) })
	url := "sqlite:" + filepath.Join(t.TempDir(), "firstcall.db")
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.AppendResults(t.Context(), record), s.Close()); err != nil {
		t.Fatal(err)
	}
	c := configured(t, acme)
	direct := run(t, Options{Configs: []*config.Config{c}, Source: record})[0]
	stored := run(t, Options{Configs: []*config.Config{c}, Source: history.Store{URL: url}})[0]
	if diff := cmp.Diff(direct.Incidents, stored.Incidents); diff != "" {
		t.Errorf("from the store (-direct +stored)\n%s", diff)
	}
	if len(direct.Incidents) != 1 || direct.Incidents[0].Opened.Sub(direct.Incidents[0].Started) > 10*time.Second || direct.Rechecks != 3 {
		t.Errorf("opened %s after it began, %d re-probes", direct.Incidents[0].Opened.Sub(direct.Incidents[0].Started), direct.Rechecks)
	}
}

// TestInterrupted states that nothing is judged where nothing was recorded: no suspicion survives it, and no case is closed by it.
func TestInterrupted(t *testing.T) {
	var record list
	for _, r := range steady(600, func(probe string, m int) bool {
		return probe == "web/tcp" && (m == 99 || m >= 300 && m < 310 || m >= 400 && m < 420)
	}) {
		if m := int(r.Start.Sub(t0) / time.Minute); m >= 100 && m < 300 || m >= 410 && m < 500 {
			continue
		}
		record = append(record, r)
	}
	r := run(t, Options{Configs: []*config.Config{configured(t, acme)}, Source: record})[0]
	cases, _ := r.Cases()
	if len(r.Gaps) != 2 || r.Gaps[0].To.Sub(r.Gaps[0].From) < 199*time.Minute {
		t.Errorf("gaps %v", r.Gaps)
	}
	if len(cases) != 2 || cases[0].Started.Before(t0.Add(300*time.Minute)) || cases[1].Closed.Before(t0.Add(500*time.Minute)) {
		t.Errorf("cases %+v", cases)
	}
}

// TestWithoutWitnesses states that a record that cannot hold witnesses is judged as by an agent that has none.
func TestWithoutWitnesses(t *testing.T) {
	var record list
	for _, r := range steady(60, func(_ string, m int) bool { return m >= 20 }) {
		if r.Probe == "web/tcp" {
			record = append(record, r)
		}
	}
	c := configured(t, acme)
	r := run(t, Options{Configs: []*config.Config{c}, Source: record, Recorded: func(id string) bool { return id == "web/tcp" }})[0]
	if cases, _ := r.Cases(); len(cases) != 1 || !cases[0].Open() {
		t.Errorf("cases %+v", cases)
	}
	if diff := cmp.Diff([]string{"backend/one/tcp", "backend/two/tcp"}, r.Missing); diff != "" {
		t.Errorf("missing (-want +got)\n%s", diff)
	}
	var text strings.Builder
	if err := WriteText(&text, r, "a list"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"web is inaccessible (39m", "still open at the end", "no results of backend/one/tcp, backend/two/tcp"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
}

func TestCompare(t *testing.T) {
	at := func(minute int) time.Time { return t0.Add(time.Duration(minute) * time.Minute) }
	one := func(class incident.Class, component string, from, to int) Incident {
		i := Incident{Incident: incident.Incident{Class: class, Root: component, Components: []string{component}, Started: at(from), Opened: at(from + 1), Priority: incident.P2, Highest: incident.P2}}
		if to > 0 {
			i.Ended, i.Closed = at(to), at(to+1)
		}
		return i
	}
	a := &Report{End: at(1000), Incidents: []Incident{
		one(incident.Availability, "web", 10, 20), one(incident.Availability, "web", 30, 40), one(incident.Performance, "web", 100, 200), one(incident.Availability, "backend", 900, 0),
		one(incident.Function, "web", 5, 6),
	}}
	b := &Report{End: at(1000), Incidents: []Incident{
		one(incident.Availability, "web", 12, 35), one(incident.Performance, "backend", 100, 200), one(incident.Performance, "web", 150, 160), one(incident.Availability, "backend", 950, 0),
	}}
	var got []string
	for _, p := range Compare(a, b) {
		text := ""
		for _, i := range []*Incident{p.A, p.B} {
			if i == nil {
				text += " -"
			} else {
				text += fmt.Sprintf(" %s/%s@%d", i.Class, i.Root, int(i.Started.Sub(t0)/time.Minute))
			}
		}
		got = append(got, strings.TrimSpace(text))
	}
	want := []string{
		"availability/web@10 availability/web@12", "availability/web@30 -", "performance/web@100 performance/web@150", "- performance/backend@100",
		"availability/backend@900 availability/backend@950",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pairs (-want +got)\n%s", diff)
	}
}

func TestNothing(t *testing.T) {
	c := []*config.Config{configured(t, acme)}
	if _, err := Run(t.Context(), Options{Configs: c, Source: list{}}); err == nil || !strings.Contains(err.Error(), "a list has no results in that time") {
		t.Errorf("empty: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Configs: c, Source: steady(1000, func(string, int) bool { return false })}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	r := run(t, Options{Configs: c, Source: list{result("other", 0, probes.Up)}})[0]
	if r.Foreign != 1 || r.Results != 0 || len(r.Missing) != 3 {
		t.Errorf("%+v", r)
	}
	if err := WriteText(&strings.Builder{}, r, "a list"); err != nil {
		t.Error(err)
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59*time.Second + 600*time.Millisecond: "1m", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 61 * time.Minute: "1h1m", 23*time.Hour + 59*time.Minute: "1d",
		2*time.Hour + 100*time.Millisecond: "2h", 49 * time.Hour: "2d1h", 30 * 24 * time.Hour: "30d",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %q", n, got)
		}
	}
}

// BenchmarkMonth replays a month of one probe at a minute's step.
func BenchmarkMonth(b *testing.B) {
	var record list
	for i := range 43_200 {
		record = append(record, result("web/tcp", time.Duration(i)*time.Minute, probes.Up))
	}
	c := configured(b, acme)
	for b.Loop() {
		if _, err := Run(b.Context(), Options{Configs: []*config.Config{c}, Source: record, Series: "web/tcp", Recorded: func(id string) bool { return id == "web/tcp" }}); err != nil {
			b.Fatal(err)
		}
	}
}
