package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

var phases = []probes.Phase{
	{Name: probes.PhaseDNS, Duration: 1},
	{Name: probes.PhaseConnect, Duration: time.Millisecond},
	{Name: probes.PhaseTLS},
	{Name: probes.PhaseX224, Duration: time.Hour},
	{Name: probes.PhaseRTT, Duration: time.Second},
	{Name: probes.PhaseFirstByte, Duration: -1},
	{Name: probes.PhaseTransfer, Duration: 3},
	{Name: "of-another-kind", Duration: 4},
}

// evidence is a result with every field set.
func evidence(probe string, start time.Time) probes.Result {
	return probes.Result{
		Probe: probe, Start: start, Duration: 1234567891, Outcome: probes.Down, Reason: probes.Refused, Detail: "tcp 192.0.2.1:443: refused\t“æøå”", Phases: phases,
		Certificate: &probes.Certificate{Subject: "CN=acme", Issuer: "CN=ca", NotBefore: at(0, 0), NotAfter: at(1, 0), Fingerprint: "ab", SelfSigned: true},
		Numbers:     []probes.Number{{Name: probes.CertificateDays, Value: -3.25, Of: "the authority Æ"}, {Name: "of_another_kind"}},
		Facts:       []probes.Fact{{Name: "address", Value: "192.0.2.1"}, {Name: "empty"}}, Recheck: true, Lagging: true,
	}
}

func good(probe string, start time.Time, d time.Duration) probes.Result {
	return probes.Result{Probe: probe, Start: start, Duration: d, Outcome: probes.Up, Phases: phases[:2]}
}

// round returns one result of each of three probes.
func round(n int) []probes.Result {
	var all []probes.Result
	for p := range 3 {
		all = append(all, good(fmt.Sprint("probe-", p), at(10, n), time.Duration(n+p)*time.Millisecond))
	}
	return all
}

// everywhere runs check while the results are as they were appended, and again after they were folded.
func everywhere(t *testing.T, s *store.Store, check func(t *testing.T)) {
	check(t)
	ok(t, s.Maintain(t.Context(), at(23, 0)))
	check(t)
}

func results(t *testing.T, s *store.Store) {
	ctx := t.Context()
	full, bare := evidence("backend/http", at(10, 0)), probes.Result{Probe: "backend/http", Start: at(10, 2)}
	up, slow := good("backend/http", at(10, 1), time.Second), evidence("backend/http", at(10, 3))
	slow.Outcome, slow.Reason, slow.Detail, slow.Recheck, slow.Lagging = probes.Degraded, probes.Slow, "", false, false
	up.Facts, up.Certificate, up.Numbers = full.Facts, full.Certificate, full.Numbers
	other := good("web-client/http", at(10, 1), time.Second)
	ok(t, s.AppendResults(ctx, nil))
	ok(t, s.AppendResults(ctx, []probes.Result{full, other, slow, up}))
	ok(t, s.AppendResults(ctx, []probes.Result{bare}))
	up.Facts, up.Certificate = nil, nil // not kept of what is up
	everywhere(t, s, func(t *testing.T) {
		read := func(probe string, from, to time.Time) []probes.Result {
			return must[[]probes.Result](t)(s.Results(ctx, probe, from, to, 100))
		}
		same(t, "all of a probe, oldest first", read("backend/http", at(0, 0), at(23, 0)), []probes.Result{full, up, bare, slow})
		same(t, "from is inclusive, to exclusive", read("backend/http", at(10, 1), at(10, 3)), []probes.Result{up, bare})
		same(t, "without bounds", read("web-client/http", time.Time{}, time.Time{}), []probes.Result{other})
		same(t, "of another time", read("backend/http", at(11, 0), at(12, 0)), []probes.Result(nil))
		same(t, "of an unknown probe", read("backend", time.Time{}, time.Time{}), []probes.Result(nil))
	})
}

func resultsLimit(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var want []probes.Result
	for n := range 3000 { // enough to be folded more than once
		list := []probes.Result{good("a", day.Add(time.Duration(n)*time.Second), time.Duration(n)), good("b", day.Add(time.Duration(n)*time.Second), 1)}
		want = append(want, list[0])
		if n%500 == 0 { // one that comes late
			late := good("a", day.Add(time.Duration(n)*time.Second-250*time.Second+500*time.Millisecond), 7)
			list = append(list, late)
		}
		ok(t, s.AppendResults(ctx, list))
	}
	for _, limit := range []int{1, 10, 200, 1500} {
		got := must[[]probes.Result](t)(s.Results(ctx, "a", day, day.Add(2000*time.Second), limit))
		if len(got) != limit || !got[limit-1].Start.Equal(want[1999].Start) {
			t.Fatalf("limit %d: %d results, the newest of %s", limit, len(got), got[len(got)-1].Start)
		}
		for i := 1; i < len(got); i++ {
			if gap := got[i].Start.Sub(got[i-1].Start); gap <= 0 || gap > time.Second {
				t.Fatalf("limit %d: %s follows %s", limit, got[i].Start, got[i-1].Start)
			}
		}
	}
	if n := len(must[[]probes.Result](t)(s.Results(ctx, "a", time.Time{}, time.Time{}, 0))); n != 3006 {
		t.Errorf("%d results without a limit, want 3006", n)
	}

	// Results between those of the last 100 s, which come when those were folded.
	ok(t, s.Maintain(ctx, day.Add(time.Hour)))
	var between []probes.Result
	for n := 2900; n < 3000; n++ {
		between = append(between, good("a", day.Add(time.Duration(n)*time.Second+500*time.Millisecond), 7))
	}
	ok(t, s.AppendResults(ctx, between))
	everywhere(t, s, func(t *testing.T) {
		got := must[[]probes.Result](t)(s.Results(ctx, "a", time.Time{}, time.Time{}, 50))
		for i := 1; i < len(got); i++ {
			if gap := got[i].Start.Sub(got[i-1].Start); len(got) != 50 || gap != 500*time.Millisecond {
				t.Fatalf("%d results, of which %s follows %s; want 50, one every 500 ms", len(got), got[i].Start, got[i-1].Start)
			}
		}
	})
}

func resultsRefused(t *testing.T, s *store.Store) {
	ctx := t.Context()
	for name, r := range map[string]probes.Result{
		"no probe":   {Start: at(10, 0)},
		"no start":   {Probe: "a"},
		"outcome":    {Probe: "a", Start: at(10, 0), Outcome: 9},
		"far future": {Probe: "a", Start: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if err := s.AppendResults(ctx, []probes.Result{good("a", at(10, 0), 1), r}); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	same(t, "results", must[[]probes.Result](t)(s.Results(ctx, "a", time.Time{}, time.Time{}, 10)), []probes.Result(nil))
	same(t, "roll-ups", must[[]store.Rollup](t)(s.Rollups(ctx, "a", time.Time{}, time.Time{})), []store.Rollup(nil))
}

func rollups(t *testing.T, s *store.Store) {
	ctx := t.Context()
	outcome := func(o probes.Outcome, hour, minute int, d time.Duration, lagging bool) probes.Result {
		return probes.Result{Probe: "a", Start: at(hour, minute), Duration: d, Outcome: o, Lagging: lagging}
	}
	list := []probes.Result{
		outcome(probes.Up, 10, 0, 300, false), outcome(probes.Degraded, 10, 10, 900, false), outcome(probes.Down, 10, 20, 5000, false),
		outcome(probes.Unknown, 10, 30, 1, false), outcome(probes.Up, 10, 40, 100000, true), outcome(probes.Up, 10, 59, 200, false),
		outcome(probes.Down, 11, 0, 5000, false), outcome(probes.Up, 13, 0, 50, false), good("b", at(10, 0), 1),
	}
	hours := []store.Rollup{
		{Probe: "a", Hour: day.Add(10 * time.Hour), Counts: [4]int64{1, 2, 1, 1}, Lagging: 1, Sum: 1400, Min: 200, Max: 900, Latency: histogram(300, 900, 200)},
		{Probe: "a", Hour: day.Add(11 * time.Hour), Counts: [4]int64{0, 0, 0, 1}},
		{Probe: "a", Hour: day.Add(13 * time.Hour), Counts: [4]int64{0, 1, 0, 0}, Sum: 50, Min: 50, Max: 50, Latency: histogram(50)},
	}
	ok(t, s.AppendResults(ctx, list))
	everywhere(t, s, func(t *testing.T) {
		read := func(from, to time.Time) []store.Rollup { return must[[]store.Rollup](t)(s.Rollups(ctx, "a", from, to)) }
		same(t, "all", read(day, day.Add(24*time.Hour)), hours)
		same(t, "without bounds", read(time.Time{}, time.Time{}), hours)
		same(t, "from is inclusive, to exclusive", read(hours[0].Hour, hours[1].Hour), hours[:1])
		same(t, "from within an hour", read(hours[0].Hour.Add(1), time.Time{}), hours[1:])
	})
	// More of the same hour, after the first was folded: together, folded or not.
	ok(t, s.AppendResults(ctx, []probes.Result{outcome(probes.Up, 11, 1, 400, false), outcome(probes.Up, 10, 58, 100, false), outcome(probes.Down, 13, 2, 1, false)}))
	hours[0].Counts[probes.Up], hours[0].Sum, hours[0].Min = 3, 1500, 100
	hours[1].Counts[probes.Up], hours[1].Sum, hours[1].Min, hours[1].Max = 1, 400, 400, 400
	hours[2].Counts[probes.Down] = 1
	hours[0].Latency, hours[1].Latency = histogram(300, 900, 200, 100), histogram(400)
	everywhere(t, s, func(t *testing.T) {
		same(t, "with more", must[[]store.Rollup](t)(s.Rollups(ctx, "a", day, time.Time{})), hours)
	})
}

func histogram(all ...time.Duration) store.Histogram {
	var h store.Histogram
	for _, d := range all {
		h.Add(d)
	}
	return h
}

func rawRetention(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var list []probes.Result
	for n := range 100 {
		list = append(list, good("a", day.AddDate(0, 0, n), 1))
	}
	ok(t, s.AppendResults(ctx, list))
	ok(t, s.Maintain(ctx, day.AddDate(0, 0, 99)))
	got := must[[]probes.Result](t)(s.Results(ctx, "a", time.Time{}, time.Time{}, 0))
	if len(got) != 36 || !got[0].Start.Equal(day.AddDate(0, 0, 64)) {
		t.Errorf("%d results of 35 days are left, the oldest of %s; want 36 from day 64", len(got), got[0].Start)
	}
	if n := len(must[[]store.Rollup](t)(s.Rollups(ctx, "a", time.Time{}, time.Time{}))); n != 100 {
		t.Errorf("%d roll-ups are left, want 100", n)
	}
	ok(t, s.Maintain(ctx, day.AddDate(0, 0, 140)))
	same(t, "results, long after", must[[]probes.Result](t)(s.Results(ctx, "a", time.Time{}, time.Time{}, 0)), []probes.Result(nil))
}

func rollupRetention(t *testing.T, s *store.Store) {
	ctx := t.Context()
	last := day.Add(405 * 24 * time.Hour)
	ok(t, s.AppendResults(ctx, []probes.Result{good("a", day, 1), good("a", day.Add(10*24*time.Hour), 1), good("gone", day, 1), good("a", last, 1)}))
	ok(t, s.Maintain(ctx, last))
	got := must[[]store.Rollup](t)(s.Rollups(ctx, "a", time.Time{}, time.Time{}))
	if len(got) != 2 || !got[0].Hour.Equal(day.Add(10*24*time.Hour)) {
		t.Errorf("roll-ups of 400 days: %+v, want those of days 10 and 405", got)
	}
	same(t, "roll-ups of a probe that is gone", must[[]store.Rollup](t)(s.Rollups(ctx, "gone", time.Time{}, time.Time{})), []store.Rollup(nil))
	ok(t, s.AppendResults(ctx, []probes.Result{good("gone", last, 2)})) // it comes back
	if got := must[[]probes.Result](t)(s.Results(ctx, "gone", time.Time{}, time.Time{}, 0)); len(got) != 1 || got[0].Duration != 2 {
		t.Errorf("results of a probe that came back: %+v", got)
	}
}

func incidentRetention(t *testing.T, s *store.Store) {
	ctx := t.Context()
	old, fresh := at(10, 0), at(10, 0).Add(100*24*time.Hour)
	ok(t, s.Commit(ctx, store.Commit{
		Incidents: []incident.Incident{anIncident("old", old), openIncident("open", old), anIncident("case", old), anIncident("notice", old), anIncident("fresh", fresh)},
		Events:    []incident.Event{anEvent("old", old, "x"), anEvent("open", old, "x"), anEvent("fresh", fresh, "x")},
	}))
	pending, due := aCase("case", "soc"), aNotice("n2", "notice", old)
	pending.Settled, due.State = false, incident.NoticeDue
	for _, c := range []incident.Case{aCase("old", "soc"), pending, aCase("fresh", "soc")} {
		ok(t, s.SaveCase(ctx, c))
	}
	ok(t, s.AddNotices(ctx, aNotice("n1", "old", old), due))
	done, live := aDeskCase("done", old), aDeskCase("live", old)
	done.State = incident.CaseResolved
	must[incident.StoredCase](t)(s.CreateDeskCase(ctx, live))
	must[incident.StoredCase](t)(s.CreateDeskCase(ctx, done))

	ok(t, s.Maintain(ctx, old.Add(399*24*time.Hour)))
	if n := len(must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{}))); n != 5 {
		t.Errorf("%d incidents after 399 days, want all 5", n)
	}
	ok(t, s.Maintain(ctx, old.Add(401*24*time.Hour)))
	same(t, "incidents after 401 days", ids(must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{}))), []string{"fresh", "open", "notice", "case"})
	for id, want := range map[string]int{"old": 0, "open": 1, "fresh": 1} {
		if n := len(must[[]incident.Event](t)(s.Timeline(ctx, id, 0))); n != want {
			t.Errorf("%d events of %s, want %d", n, id, want)
		}
	}
	if n := len(must[[]incident.Case](t)(s.Cases(ctx, ""))); n != 2 {
		t.Errorf("%d cases are left, want 2", n)
	}
	same(t, "notices", must[[]incident.Notice](t)(s.Notices(ctx, "old")), []incident.Notice(nil))
	must[incident.StoredCase](t)(s.DeskCaseByKey(ctx, "live"))
	if _, err := s.DeskCaseByKey(ctx, "done"); err == nil {
		t.Error("a resolved desk case of 401 days ago is still there")
	}
	if got := must[incident.StoredCase](t)(s.CreateDeskCase(ctx, aDeskCase("next", old))); got.Number != "FC-2026-000003" {
		t.Errorf("after retention the next number is %s, want FC-2026-000003", got.Number)
	}
}
