package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// world is a store beside the simplest thing that behaves like one. Worlds share a store, since to open one takes long: what is
// in it is told apart by the name.
type world struct {
	t         *testing.T
	s         *store.Store
	name      string
	numbers   *int // of desk cases, over all worlds
	incidents map[string]incident.Incident
	events    map[string][]incident.Event
	cases     map[string]incident.Case // by incident and desk
	notices   map[string]incident.Notice
	desk      map[string]incident.StoredCase // by key
	results   map[string][]probes.Result
	state     []byte
	baselines map[string][]byte
	appended  time.Duration // results so far
}

// Model makes random changes to the empty store s and compares it now and then, and at the end, with a model in memory.
func Model(t *testing.T, s *store.Store) {
	worlds, numbers := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		worlds++
		state, err := s.EngineState(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		w := &world{
			t: t, s: s, name: fmt.Sprintf("world-%d-", worlds), numbers: &numbers, state: state,
			incidents: map[string]incident.Incident{}, events: map[string][]incident.Event{}, cases: map[string]incident.Case{},
			notices: map[string]incident.Notice{}, desk: map[string]incident.StoredCase{}, results: map[string][]probes.Result{},
			baselines: map[string][]byte{},
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": w.commit, "case": w.saveCase, "notice": w.saveNotice, "add notice": w.addNotice, "desk": w.deskCase, "results": w.append,
			"maintain": func(rt *rapid.T) { w.do(rt, w.s.Maintain(t.Context(), day.Add(24*time.Hour))) },
			"compare":  w.compare,
		})
		w.compare(rt)
		w.settle(rt)
	})
}

// settle leaves nothing to do, so that the lists of what is to be done stay short for the worlds to come.
func (w *world) settle(rt *rapid.T) {
	var c store.Commit
	for id, i := range w.incidents {
		c.Incidents = append(c.Incidents, anIncident(id, i.Opened))
	}
	w.do(rt, w.s.Commit(w.t.Context(), c))
	for _, c := range w.cases {
		c.Settled = true
		w.do(rt, w.s.SaveCase(w.t.Context(), c))
	}
	for _, n := range w.notices {
		n.State = incident.NoticeSent
		w.do(rt, w.s.SaveNotice(w.t.Context(), n))
	}
}

// mine reports whether a row with that id is of this world.
func (w *world) mine(id string) bool { return strings.HasPrefix(id, w.name) }

func (w *world) do(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(err)
	}
}

func (w *world) id(rt *rapid.T) string {
	return fmt.Sprint(w.name, rapid.IntRange(0, 3).Draw(rt, "incident"))
}

func (w *world) when(rt *rapid.T) time.Time {
	return day.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Hour)).Draw(rt, "time")))
}

func (w *world) event(rt *rapid.T, id string) incident.Event {
	text := strings.ReplaceAll(rapid.String().Draw(rt, "text"), "\x00", "\ufffd") // see oddTexts
	e := anEvent(id, w.when(rt), text)
	w.events[id] = append(w.events[id], e)
	return e
}

func (w *world) commit(rt *rapid.T) {
	id := w.id(rt)
	i := openIncident(id, w.when(rt))
	if rapid.Bool().Draw(rt, "closed") {
		i = anIncident(id, i.Opened)
	}
	i.Components = rapid.SliceOfN(rapid.SampledFrom([]string{"backend", "web-client", "remote-desktop"}), 0, 3).Draw(rt, "components")
	w.incidents[id] = i
	c := store.Commit{At: i.Updated, Incidents: []incident.Incident{i}, Events: []incident.Event{w.event(rt, id)}}
	if rapid.Bool().Draw(rt, "state") {
		c.State = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(rt, "bytes")
		w.state = c.State
	}
	if rapid.Bool().Draw(rt, "baseline") {
		probe := w.name + rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "learner")
		w.baselines[probe] = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(rt, "normal")
		c.Baselines = map[string][]byte{probe: w.baselines[probe]}
	}
	w.do(rt, w.s.Commit(w.t.Context(), c))
}

func (w *world) saveCase(rt *rapid.T) {
	c := aCase(w.id(rt), rapid.SampledFrom([]string{"soc", "mailbox"}).Draw(rt, "desk"))
	c.Settled = rapid.Bool().Draw(rt, "settled")
	c.Failures = rapid.IntRange(0, 9).Draw(rt, "failures")
	w.cases[c.Incident+" "+c.Desk] = c
	w.do(rt, w.s.SaveCase(w.t.Context(), c, w.event(rt, c.Incident)))
}

func (w *world) notice(rt *rapid.T) incident.Notice {
	n := aNotice(fmt.Sprint(w.name, "n", rapid.IntRange(0, 5).Draw(rt, "notice")), w.id(rt), w.when(rt))
	n.State = rapid.SampledFrom([]incident.NoticeState{incident.NoticeDue, incident.NoticeSent, incident.NoticeSuperseded}).Draw(rt, "state")
	return n
}

func (w *world) saveNotice(rt *rapid.T) {
	n := w.notice(rt)
	w.notices[n.ID] = n
	w.do(rt, w.s.SaveNotice(w.t.Context(), n, w.event(rt, n.Incident)))
}

func (w *world) addNotice(rt *rapid.T) {
	n := w.notice(rt)
	if _, there := w.notices[n.ID]; !there {
		w.notices[n.ID] = n
	}
	w.do(rt, w.s.AddNotices(w.t.Context(), n))
}

func (w *world) deskCase(rt *rapid.T) {
	c := aDeskCase(w.id(rt), w.when(rt))
	got, err := w.s.CreateDeskCase(w.t.Context(), c)
	w.do(rt, err)
	if _, there := w.desk[c.Key]; !there {
		*w.numbers++
		c.Number = fmt.Sprintf("FC-2026-%06d", *w.numbers)
		w.desk[c.Key] = c
	}
	w.equal(rt, "desk case", got, w.desk[c.Key])
	c = w.desk[c.Key]
	c.State = rapid.SampledFrom([]incident.CaseState{incident.CaseNew, incident.CaseHeld, incident.CaseResolved}).Draw(rt, "desk state")
	w.desk[c.Key] = c
	w.do(rt, w.s.UpdateDeskCase(w.t.Context(), c.Number, func(stored *incident.StoredCase) error {
		stored.State = c.State
		return nil
	}))
}

func (w *world) append(rt *rapid.T) {
	var list []probes.Result
	for range rapid.IntRange(1, 8).Draw(rt, "count") {
		// No two start at one instant: their order is nobody's business.
		r := evidence(w.name+rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "probe"), w.when(rt).Truncate(time.Millisecond).Add(w.appended))
		w.appended++
		r.Outcome = probes.Outcome(rapid.IntRange(0, 3).Draw(rt, "outcome"))
		r.Lagging, r.Recheck = rapid.Bool().Draw(rt, "lagging"), rapid.Bool().Draw(rt, "recheck")
		r.Duration = time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(rt, "duration"))
		r.Detail = rapid.String().Draw(rt, "detail")
		if r.Outcome == probes.Up {
			r.Facts, r.Certificate = nil, nil
		}
		list = append(list, r)
		w.results[r.Probe] = append(w.results[r.Probe], r)
	}
	w.do(rt, w.s.AppendResults(w.t.Context(), list))
}

func (w *world) equal(rt *rapid.T, what string, got, want any) {
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		rt.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func (w *world) compare(rt *rapid.T) {
	ctx := w.t.Context()
	state, err := w.s.EngineState(ctx)
	w.do(rt, err)
	w.equal(rt, "state", state, w.state)
	normal, err := w.s.Baselines(ctx)
	w.do(rt, err)
	maps.DeleteFunc(normal, func(probe string, _ []byte) bool { return !w.mine(probe) })
	w.equal(rt, "baselines", normal, w.baselines)
	unsettled := map[string]bool{}
	for id, i := range w.incidents {
		got, err := w.s.Incident(ctx, id)
		w.do(rt, err)
		w.equal(rt, id, got, i)
		unsettled[id] = i.Open()
	}
	for _, c := range w.cases {
		if _, there := w.incidents[c.Incident]; there && !c.Settled {
			unsettled[c.Incident] = true
		}
	}
	for _, n := range w.notices {
		if _, there := w.incidents[n.Incident]; there && n.State == incident.NoticeDue {
			unsettled[n.Incident] = true
		}
	}
	work, err := w.s.Incidents(ctx, store.IncidentFilter{Unsettled: true, Limit: 1_000_000})
	w.do(rt, err)
	for _, i := range work {
		if w.mine(i.ID) && !unsettled[i.ID] {
			rt.Fatalf("%s is said to be unsettled", i.ID)
		}
		delete(unsettled, i.ID)
	}
	for id, wanted := range unsettled {
		if wanted {
			rt.Fatalf("%s is not said to be unsettled", id)
		}
	}
	w.compareRows(rt)
	w.compareResults(rt)
}

func (w *world) compareRows(rt *rapid.T) {
	ctx := w.t.Context()
	for key, want := range w.cases {
		cases, err := w.s.Cases(ctx, want.Incident)
		w.do(rt, err)
		i := slices.IndexFunc(cases, func(c incident.Case) bool { return c.Incident+" "+c.Desk == key })
		if i < 0 {
			rt.Fatalf("case %s is not there", key)
		}
		w.equal(rt, "case", cases[i], want)
	}
	var due []incident.Notice
	for _, n := range w.notices {
		if n.State == incident.NoticeDue {
			due = append(due, n)
		}
	}
	slices.SortFunc(due, func(a, b incident.Notice) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
	got, err := w.s.Notices(ctx, "")
	w.do(rt, err)
	got = slices.DeleteFunc(got, func(n incident.Notice) bool { return !w.mine(n.Incident) })
	w.equal(rt, "due notices", got, due)
	for id, want := range w.events {
		got, err := w.s.Timeline(ctx, id, 0)
		w.do(rt, err)
		w.equal(rt, "timeline of "+id, forget(got), want)
	}
	for key, want := range w.desk {
		c, err := w.s.DeskCaseByKey(ctx, key)
		w.do(rt, err)
		w.equal(rt, "desk case", c, want)
	}
}

// forget drops the sequence numbers.
func forget(events []incident.Event) []incident.Event {
	for i := range events {
		events[i].Seq = 0
	}
	return events
}

func (w *world) compareResults(rt *rapid.T) {
	ctx := w.t.Context()
	from, to, limit := w.when(rt), w.when(rt), rapid.IntRange(1, 20).Draw(rt, "limit")
	var each, byEnd []probes.Result
	w.do(rt, w.s.EachResult(ctx, slices.Collect(maps.Keys(w.results)), from, to, func(r probes.Result) error {
		each = append(each, r)
		return nil
	}))
	for _, all := range w.results {
		byEnd = append(byEnd, all...)
	}
	byEnd = slices.DeleteFunc(byEnd, func(r probes.Result) bool { return r.Start.Before(from) || !r.Start.Before(to) })
	slices.SortFunc(byEnd, func(a, b probes.Result) int { return cmp.Or(a.End().Compare(b.End()), a.Start.Compare(b.Start)) })
	if len(w.results) > 0 {
		w.equal(rt, "each result", each, byEnd)
	}
	for probe, all := range w.results {
		byStart := slices.Clone(all)
		slices.SortStableFunc(byStart, func(a, b probes.Result) int { return a.Start.Compare(b.Start) })
		byStart = slices.DeleteFunc(byStart, func(r probes.Result) bool { return r.Start.Before(from) || !r.Start.Before(to) })
		got, err := w.s.Results(ctx, probe, from, to, limit)
		w.do(rt, err)
		w.equal(rt, "results of "+probe, got, byStart[max(0, len(byStart)-limit):])

		counts := map[time.Time]int64{}
		var total time.Duration
		var took, counted store.Histogram
		for _, r := range all {
			counts[r.Start.Truncate(time.Hour)]++
			if !r.Lagging && (r.Outcome == probes.Up || r.Outcome == probes.Degraded) {
				total += r.Duration
				took.Add(r.Duration)
			}
		}
		rolled, err := w.s.Rollups(ctx, probe, time.Time{}, time.Time{})
		w.do(rt, err)
		for _, r := range rolled {
			counts[r.Hour] -= r.Counts[0] + r.Counts[1] + r.Counts[2] + r.Counts[3] + r.Lagging
			total -= r.Sum
			counted.Merge(r.Latency)
		}
		w.equal(rt, "histograms of "+probe, counted, took)
		for hour, left := range counts {
			if left != 0 || total != 0 {
				rt.Fatalf("roll-ups of %s at %s differ by %d results, in all by %s", probe, hour, left, total)
			}
		}
	}
}
