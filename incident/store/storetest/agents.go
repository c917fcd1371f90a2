package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// oneAgent states that the only agent leads, from the start.
func oneAgent(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ok(t, s.Leading())
	r := must[store.Round](t)(s.Beat(ctx, store.Beat{Vote: []byte("fine"), Wants: true, Now: day}))
	if !r.Leading || r.Self == "" || r.Leader != r.Self || r.Epoch != 1 || r.Lease < time.Second || len(r.Peers) != 0 {
		t.Errorf("the only agent hears %+v", r)
	}
	ok(t, s.Lead(ctx, r.Epoch))
	ok(t, errors.Join(s.Leading(), s.Commit(ctx, store.Commit{At: at(10, 0), State: []byte("x")})))
	if _, err := s.Beat(ctx, store.Beat{Vote: make([]byte, 64<<10+1)}); err == nil {
		t.Error("a vote of more than 64 KiB is stored")
	}
	must[[]store.Voter](t)(s.Voters(ctx))
	ok(t, s.Resign(ctx))
}

// vantageState states that what a vantage knows is kept beside what the leader knows, and its baselines with those of commits.
func vantageState(t *testing.T, s *store.Store) {
	ctx := t.Context()
	check := func(what, state string, baselines map[string][]byte) {
		t.Helper()
		got, normal, err := s.VantageState(ctx)
		if err != nil || string(got) != state || (got == nil) != (state == "") {
			t.Errorf("%s: state %q, %v", what, got, err)
		}
		same(t, what, normal, baselines)
	}
	check("of an empty store", "", nil)
	ok(t, s.SaveVantage(ctx, []byte("one"), map[string][]byte{"a": {1}}, map[string]int{"a": 3}))
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 0), State: []byte("shared"), Baselines: map[string][]byte{"b": {2}}}))
	check("saved", "one", map[string][]byte{"a": {1}, "b": {2}})
	ok(t, s.SaveVantage(ctx, nil, map[string][]byte{"b": {3}}, nil))
	check("the state left alone", "one", map[string][]byte{"a": {1}, "b": {3}})
	ok(t, s.SaveVantage(ctx, []byte("two"), nil, map[string]int{"c": 1}))
	check("replaced", "two", map[string][]byte{"a": {1}, "b": {3}})
	same(t, "shared", must[[]byte](t)(s.EngineState(ctx)), []byte("shared"))
	same(t, "seeds", must[map[string]int](t)(s.Seeds(ctx)), map[string]int{"a": 3, "c": 1})
	if err := s.SaveVantage(ctx, []byte("three"), map[string][]byte{"": {1}}, nil); err == nil {
		t.Error("a baseline without a probe is stored")
	}
	check("after one that failed", "two", map[string][]byte{"a": {1}, "b": {3}})
}

// snapshot states that an agent goes on alone, in a store of its own, with all that is not settled, under the same names.
func snapshot(t *testing.T, s *store.Store) {
	ctx := t.Context()
	empty := must[store.Snapshot](t)(s.Snapshot(ctx))
	if empty.State != nil || len(empty.Incidents) != 0 || !empty.At.IsZero() {
		t.Errorf("of an empty store: %+v", empty)
	}
	open, pending, over := openIncident("fc-open", at(10, 0)), anIncident("fc-case", at(9, 0)), anIncident("fc-over", at(8, 0))
	order := incident.Order{Kind: incident.OrderMaintenance, From: at(9, 0), Until: at(23, 0), Actor: "mette"}
	past := incident.Order{Kind: incident.OrderSilence, From: at(7, 0), Until: at(8, 0), Actor: "mette"}
	ok(t, s.Commit(ctx, store.Commit{
		At: at(10, 1), State: []byte("state\x00"), Incidents: []incident.Incident{open, pending, over},
		Events: []incident.Event{anEvent("fc-over", at(8, 0), "over"), anEvent("fc-open", at(10, 0), "opened <b>"), anEvent("fc-case", at(9, 0), "x"), anEvent("fc-open", at(10, 1), "raised")},
	}))
	c := aCase("fc-case", "soc")
	c.Settled = false
	ok(t, errors.Join(s.SaveCase(ctx, c), s.SaveCase(ctx, aCase("fc-open", "soc")), s.SaveCase(ctx, aCase("fc-over", "soc"))))
	ok(t, s.AddNotices(ctx, aNotice("n1", "fc-open", at(10, 0)), aNotice("n2", "fc-over", at(10, 0))))
	must[incident.Order](t)(s.AddOrder(ctx, past))
	order = must[incident.Order](t)(s.AddOrder(ctx, order))

	text := must[[]byte](t)(json.Marshal(must[store.Snapshot](t)(s.Snapshot(ctx))))
	var n store.Snapshot
	ok(t, json.Unmarshal(text, &n))
	if !n.At.Equal(at(10, 1)) || string(n.State) != "state\x00" || len(n.Incidents) != 2 || len(n.Events) != 3 || len(n.Cases) != 2 || len(n.Notices) != 1 || len(n.Orders) != 1 {
		t.Errorf("snapshot %+v", n)
	}

	alone := must[*store.Store](t)(store.Open(ctx, "sqlite::memory:", store.Options{}))
	defer func() { _ = alone.Close() }()
	ok(t, alone.Adopt(ctx, n))
	for _, store := range []*store.Store{s, alone} {
		same(t, "incident", must[incident.Incident](t)(store.Incident(ctx, "fc-open")), open)
		same(t, "case", must[[]incident.Case](t)(store.Cases(ctx, "fc-case")), []incident.Case{c})
		same(t, "notices", must[[]incident.Notice](t)(store.Notices(ctx, "fc-open")), []incident.Notice{aNotice("n1", "fc-open", at(10, 0))})
		same(t, "state", must[[]byte](t)(store.EngineState(ctx)), []byte("state\x00"))
		same(t, "orders", must[[]incident.Order](t)(store.Orders(ctx, at(10, 0))), []incident.Order{order})
	}
	before := must[[]incident.Event](t)(s.Timeline(ctx, "fc-open", 0))
	same(t, "timeline, by the same Seq", must[[]incident.Event](t)(alone.Timeline(ctx, "fc-open", 0)), before)
	ok(t, alone.AppendEvents(ctx, anEvent("fc-open", at(10, 5), "alone")))
	if after := must[[]incident.Event](t)(alone.Timeline(ctx, "fc-open", before[1].Seq)); len(after) != 1 || after[0].Text != "alone" {
		t.Errorf("what is new alone: %+v", after)
	}
	if err := alone.Adopt(ctx, n); err == nil {
		t.Error("a store that is not empty adopts a snapshot")
	}
	if other := must[incident.Order](t)(alone.AddOrder(ctx, past)); other.ID <= order.ID {
		t.Errorf("order %d comes after %d", other.ID, order.ID)
	}
}

// handovers states that what an agent did alone waits for the leader, once, and is taken once.
func handovers(t *testing.T, s *store.Store) {
	ctx := t.Context()
	list := func() []store.Handover { return must[[]store.Handover](t)(s.Handovers(ctx)) }
	one := store.Handed{
		Incident: openIncident("fc-1", at(10, 0)), Events: []incident.Event{{Seq: 7, Incident: "fc-1", At: at(10, 0), Kind: incident.EventOpened, Text: "<down>"}},
		Cases: []incident.Case{aCase("fc-1", "soc")}, Notices: []incident.Notice{aNotice("n1", "fc-1", at(10, 0))},
	}
	two := store.Handed{Incident: openIncident("fc-2", at(10, 0))}
	for range 2 {
		ok(t, s.Handover(ctx, "dk", []store.Handed{one, two}))
	}
	ok(t, s.Handover(ctx, "neu", []store.Handed{two}))
	ok(t, s.Handover(ctx, "neu", nil))
	all := list()
	if len(all) != 3 || all[0].Voter != "dk" || all[2].Voter != "neu" || all[0].At.IsZero() {
		t.Fatalf("handovers %+v", all)
	}
	same(t, "handed", all[0].Handed, one)

	// It goes on alone, and hands over more.
	more := one
	more.Incident.Updated = at(11, 0)
	ok(t, s.Handover(ctx, "dk", []store.Handed{more}))
	if err := s.Take(ctx, all[0], store.Taken{Incidents: []incident.Incident{one.Incident}}); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("one that has changed since it was read: %v", err)
	}
	if _, err := s.Incident(ctx, "fc-1"); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("it was stored: %v", err)
	}

	// What it told the desk of is its own event 9; the store numbers anew, and has one of them already.
	known := anEvent("fc-1", at(10, 1), "known")
	ok(t, s.AppendEvents(ctx, known))
	known.Seq = 8
	fresh, owed, later := anEvent("fc-1", at(10, 2), "fresh"), anEvent("fc-1", at(10, 3), "owed"), anEvent("fc-1", at(10, 4), "later")
	fresh.Seq, owed.Seq, later.Seq = 9, 10, 11
	c := aCase("fc-1", "soc")
	c.Noted, c.Owed = 9, 10
	sent := aNotice("n1", "fc-1", at(10, 0))
	due := sent
	due.State = incident.NoticeDue
	ok(t, s.AddNotices(ctx, due))
	var now store.Handover
	for _, word := range []store.Handed{one, more} { // whatever its clock showed, its last word counts
		ok(t, s.Handover(ctx, "dk", []store.Handed{word}))
		for _, h := range list() {
			if h.Voter == "dk" && h.Incident.ID == "fc-1" {
				now = h
			}
		}
		same(t, "the last word", now.Handed, word)
	}
	taken := store.Taken{Incidents: []incident.Incident{more.Incident}, Events: []incident.Event{known, fresh, owed, later}, Cases: []incident.Case{c}, Notices: []incident.Notice{sent}}
	ok(t, s.Take(ctx, now, taken))
	if err := s.Take(ctx, now, taken); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("taken twice: %v", err)
	}
	same(t, "incident", must[incident.Incident](t)(s.Incident(ctx, "fc-1")), more.Incident)
	events := must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))
	if len(events) != 4 || events[0].Text != "known" || events[3].Text != "later" {
		t.Fatalf("timeline %+v", events)
	}
	stored := must[[]incident.Case](t)(s.Cases(ctx, "fc-1"))
	if len(stored) != 1 || stored[0].Noted != events[1].Seq || stored[0].Owed != events[2].Seq {
		t.Errorf("the desk was told up to %d and is owed %d, want %d and %d", stored[0].Noted, stored[0].Owed, events[1].Seq, events[2].Seq)
	}
	same(t, "notices", must[[]incident.Notice](t)(s.Notices(ctx, "fc-1")), []incident.Notice{sent})
	sent.Text = "once more"
	ok(t, s.Handover(ctx, "dk", []store.Handed{more})) // its answer was lost
	if all = list(); len(all) != 2 {
		t.Fatalf("what was taken is there again: %+v", all)
	}
	more.Incident.Updated = at(12, 0)
	ok(t, s.Handover(ctx, "dk", []store.Handed{more}))
	for _, h := range list() {
		ok(t, s.Take(ctx, h, store.Taken{Notices: []incident.Notice{sent}})) // dropped, but for a notice that is sent already
	}
	if all = list(); len(all) != 0 {
		t.Errorf("left: %+v", all)
	}
	sent.Text = "still down"
	same(t, "notices", must[[]incident.Notice](t)(s.Notices(ctx, "fc-1")), []incident.Notice{sent})
}

// handoverBounds: what is over them is refused whole.
func handoverBounds(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var many []store.Handed
	for n := range 1001 {
		many = append(many, store.Handed{Incident: incident.Incident{ID: fmt.Sprint("fc-", n), Updated: at(10, 0)}})
	}
	big := store.Handed{Incident: incident.Incident{ID: "fc-big", Why: string(make([]byte, 9<<20))}}
	for what, err := range map[string]error{
		"many": s.Handover(ctx, "dk", many), "no voter": s.Handover(ctx, "", many[:1]), "no incident": s.Handover(ctx, "dk", []store.Handed{{}}),
		"big": s.Handover(ctx, "dk", []store.Handed{many[0], big}),
	} {
		if err == nil {
			t.Errorf("%s: stored", what)
		}
	}
	if all := must[[]store.Handover](t)(s.Handovers(ctx)); len(all) != 0 {
		t.Errorf("%d are stored", len(all))
	}
	ok(t, s.Handover(ctx, "dk", many[:1000]))
	for _, h := range must[[]store.Handover](t)(s.Handovers(ctx))[:3] {
		ok(t, s.Take(ctx, h, store.Taken{}))
	}
	ok(t, s.Maintain(ctx, time.Now().AddDate(2, 0, 0))) // what was taken is forgotten in the end, what waits is not
	if all := must[[]store.Handover](t)(s.Handovers(ctx)); len(all) != 997 {
		t.Errorf("%d wait, want 997", len(all))
	}
	ok(t, s.Handover(ctx, "dk", many[:3]))
	if all := must[[]store.Handover](t)(s.Handovers(ctx)); len(all) != 1000 {
		t.Errorf("%d wait, want 1,000", len(all))
	}
	ok(t, s.Handover(ctx, "neu", many[:3]))
	if all := must[[]store.Handover](t)(s.Handovers(ctx)); len(all) != 1000 {
		t.Errorf("%d are read at once, want 1,000", len(all))
	}
}
