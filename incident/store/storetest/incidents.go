package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

func incidents(t *testing.T, s *store.Store) {
	ctx := t.Context()
	first, second := anIncident("fc-1", at(10, 0)), openIncident("fc-2", at(11, 0))
	ok(t, s.Commit(ctx, store.Commit{At: at(11, 0), Incidents: []incident.Incident{first, second}}))
	same(t, "an incident", must[incident.Incident](t)(s.Incident(ctx, "fc-1")), first)
	same(t, "an open incident", must[incident.Incident](t)(s.Incident(ctx, "fc-2")), second)

	second.Priority, second.Components = incident.P3, []string{"web-client", "remote-desktop", "web-client"}
	ok(t, s.Commit(ctx, store.Commit{At: at(11, 1), Incidents: []incident.Incident{second}}))
	same(t, "all, newest first", must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{})), []incident.Incident{second, first})
	same(t, "of a component that it does not name any more",
		ids(must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{Component: "backend"}))), []string{"fc-1"})

	if err := s.Commit(ctx, store.Commit{Incidents: []incident.Incident{{}}}); err == nil {
		t.Error("an incident without an id is stored")
	}
}

func incidentFilter(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var all []incident.Incident
	for n := range 120 {
		i := anIncident(fmt.Sprintf("fc-%03d", n), day.Add(time.Duration(n)*time.Minute))
		if n%40 == 7 {
			i = openIncident(i.ID, i.Opened)
		}
		if n%60 == 3 {
			i.Components = []string{"remote-desktop"}
		}
		switch n {
		case 5:
			i.Highest, i.Class = incident.P4, incident.Capacity
		case 6:
			i.Resolution, i.Title = incident.Recovered, `<b>"100" %_odd\`
		}
		all = append(all, i)
	}
	ok(t, s.Commit(ctx, store.Commit{At: at(12, 0), Incidents: all}))
	ok(t, s.SaveCase(ctx, aCase("fc-009", "soc")))
	for name, tc := range map[string]struct {
		f    store.IncidentFilter
		want []string
	}{
		"open":                {store.IncidentFilter{Open: true}, []string{"fc-087", "fc-047", "fc-007"}},
		"component":           {store.IncidentFilter{Component: "remote-desktop"}, []string{"fc-063", "fc-003"}},
		"component and open":  {store.IncidentFilter{Component: "remote-desktop", Open: true}, nil},
		"before":              {store.IncidentFilter{Before: all[2].Opened}, []string{"fc-001", "fc-000"}},
		"limit":               {store.IncidentFilter{Limit: 2}, []string{"fc-119", "fc-118"}},
		"from":                {store.IncidentFilter{From: all[118].Opened}, []string{"fc-119", "fc-118"}},
		"from and before":     {store.IncidentFilter{From: all[4].Opened, Before: all[6].Opened}, []string{"fc-005", "fc-004"}},
		"closed":              {store.IncidentFilter{Closed: true, Before: all[9].Opened, From: all[6].Opened}, []string{"fc-008", "fc-006"}},
		"highest":             {store.IncidentFilter{Highest: incident.P4}, []string{"fc-005"}},
		"class":               {store.IncidentFilter{Class: incident.Capacity}, []string{"fc-005"}},
		"class and priority":  {store.IncidentFilter{Class: incident.Capacity, Highest: incident.P1}, nil},
		"resolution":          {store.IncidentFilter{Resolution: incident.Recovered}, []string{"fc-006"}},
		"text in the title":   {store.IncidentFilter{Text: `"100" %_ODD`}, []string{"fc-006"}},
		"text is no pattern":  {store.IncidentFilter{Text: "1%d"}, nil},
		"text, a backslash":   {store.IncidentFilter{Text: `odd\`}, []string{"fc-006"}},
		"text, marked up":     {store.IncidentFilter{Text: "<B>"}, []string{"fc-006"}},
		"text, a component":   {store.IncidentFilter{Text: "remote-D"}, []string{"fc-063", "fc-003"}},
		"text, a case number": {store.IncidentFilter{Text: "inc-fc-009"}, []string{"fc-009"}},
		"text, an id":         {store.IncidentFilter{Text: "FC-11"}, []string{"fc-119", "fc-118", "fc-117", "fc-116", "fc-115", "fc-114", "fc-113", "fc-112", "fc-111", "fc-110"}},
		"text, hostile":       {store.IncidentFilter{Text: `'; DROP TABLE incidents; --`}, nil},
		"open, before, limit": {store.IncidentFilter{Open: true, Before: all[87].Opened, Limit: 1}, []string{"fc-047"}},
	} {
		same(t, name, ids(must[[]incident.Incident](t)(s.Incidents(ctx, tc.f))), tc.want)
		if n := must[int](t)(s.CountIncidents(ctx, tc.f)); n != len(tc.want) && tc.f.Limit == 0 {
			t.Errorf("%s: counted %d, want %d", name, n, len(tc.want))
		}
	}
	if n := len(must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{}))); n != 100 {
		t.Errorf("%d incidents without a limit, want 100", n)
	}
	if n := len(must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{Limit: 1000}))); n != 120 {
		t.Errorf("%d incidents in all, want 120", n)
	}
}

func unsettled(t *testing.T, s *store.Store) {
	ctx := t.Context()
	closedOne := func(id string) incident.Incident { return anIncident(id, at(10, 0)) }
	ok(t, s.Commit(ctx, store.Commit{Incidents: []incident.Incident{
		openIncident("a-open", at(10, 0)), closedOne("b-done"), closedOne("c-case"), closedOne("d-notice"), closedOne("e-bare"),
	}}))
	pending, due := aCase("c-case", "soc"), aNotice("n2", "d-notice", at(10, 0))
	pending.Settled, due.State = false, incident.NoticeDue
	ok(t, s.SaveCase(ctx, pending))
	ok(t, s.SaveCase(ctx, aCase("b-done", "soc")))
	ok(t, s.AddNotices(ctx, due, aNotice("n1", "b-done", at(10, 0))))
	list := func() []string {
		return ids(must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{Unsettled: true})))
	}
	same(t, "unsettled", list(), []string{"d-notice", "c-case", "a-open"})
	pending.Settled, due.State = true, incident.NoticeSuperseded
	ok(t, s.SaveCase(ctx, pending))
	ok(t, s.SaveNotice(ctx, due))
	same(t, "unsettled, after the work is done", list(), []string{"a-open"})
}

func commitIsAtomic(t *testing.T, s *store.Store) {
	ctx := t.Context()
	err := s.Commit(ctx, store.Commit{
		At: at(10, 0), Incidents: []incident.Incident{openIncident("fc-1", at(10, 0))},
		Events: []incident.Event{anEvent("fc-1", at(10, 0), "one"), {Kind: incident.EventNote}}, State: []byte("state"),
		Baselines: map[string][]byte{"backend/http": []byte("normal")},
	})
	if err == nil {
		t.Fatal("an event without an incident is stored")
	}
	if err := s.SaveCase(ctx, aCase("fc-1", "soc"), incident.Event{}); err == nil {
		t.Fatal("an event without an incident is stored")
	}
	if err := s.SaveNotice(ctx, aNotice("n", "fc-1", at(10, 0)), incident.Event{}); err == nil {
		t.Fatal("an event without an incident is stored")
	}
	if err := s.AddNotices(ctx, aNotice("n", "fc-1", at(10, 0)), incident.Notice{}); err == nil {
		t.Fatal("a notice without an id is stored")
	}
	same(t, "incidents", must[[]incident.Incident](t)(s.Incidents(ctx, store.IncidentFilter{})), []incident.Incident(nil))
	same(t, "events", must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0)), []incident.Event(nil))
	same(t, "state", must[[]byte](t)(s.EngineState(ctx)), []byte(nil))
	same(t, "baselines", must[map[string][]byte](t)(s.Baselines(ctx)), map[string][]byte(nil))
	same(t, "cases", must[[]incident.Case](t)(s.Cases(ctx, "")), []incident.Case(nil))
	same(t, "notices", must[[]incident.Notice](t)(s.Notices(ctx, "fc-1")), []incident.Notice(nil))
}

func engineState(t *testing.T, s *store.Store) {
	ctx := t.Context()
	if state := must[[]byte](t)(s.EngineState(ctx)); state != nil {
		t.Errorf("an empty store has state %q", state)
	}
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 0), State: []byte("one\x00two")}))
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 1)}))
	same(t, "state left alone", must[[]byte](t)(s.EngineState(ctx)), []byte("one\x00two"))
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 2), State: []byte("three")}))
	same(t, "state replaced", must[[]byte](t)(s.EngineState(ctx)), []byte("three"))
}

func timeline(t *testing.T, s *store.Store) {
	ctx := t.Context()
	one, two, other, three := anEvent("fc-1", at(10, 0), "one"), anEvent("fc-1", at(9, 0), "two: “æøå” <b>"), anEvent("fc-2", at(10, 0), "other"), anEvent("fc-1", at(10, 5), "three")
	one.Seq, three.Priority = 99, incident.NoPriority
	ok(t, s.Commit(ctx, store.Commit{Events: []incident.Event{one, two}}))
	ok(t, s.AppendEvents(ctx, other, three))
	ok(t, s.AppendEvents(ctx))
	got := must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))
	if len(got) != 3 || got[0].Seq <= 0 || got[1].Seq <= got[0].Seq || got[2].Seq <= got[1].Seq+1 {
		t.Fatalf("sequence does not rise over the whole store: %+v", got)
	}
	one.Seq, two.Seq, three.Seq = got[0].Seq, got[1].Seq, got[2].Seq
	same(t, "timeline, in the order in which it was appended", got, []incident.Event{one, two, three})
	same(t, "after one", must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", one.Seq)), []incident.Event{two, three})
	same(t, "after all", must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", three.Seq)), []incident.Event(nil))
}

func cases(t *testing.T, s *store.Store) {
	ctx := t.Context()
	wanted := incident.Case{Incident: "fc-1", Desk: "soc"}
	ok(t, s.SaveCase(ctx, wanted, anEvent("fc-1", at(10, 0), "wanted")))
	same(t, "wanted", must[[]incident.Case](t)(s.Cases(ctx, "fc-1")), []incident.Case{wanted})
	first, second, third := aCase("fc-1", "soc"), aCase("fc-1", "mailbox"), aCase("fc-2", "soc")
	second.Number = "M-1"
	for _, c := range []incident.Case{second, third, first} {
		ok(t, s.SaveCase(ctx, c))
	}
	same(t, "of one incident", must[[]incident.Case](t)(s.Cases(ctx, "fc-1")), []incident.Case{first, second})
	same(t, "of all, newest first", must[[]incident.Case](t)(s.Cases(ctx, "")), []incident.Case{third, second, first})
	same(t, "by number", must[incident.Case](t)(s.CaseByNumber(ctx, "M-1")), second)
	if n := len(must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))); n != 1 {
		t.Errorf("%d events with the cases, want 1", n)
	}
	if err := s.SaveCase(ctx, incident.Case{Incident: "fc-1"}); err == nil {
		t.Error("a case without a desk is stored")
	}
}

func notices(t *testing.T, s *store.Store) {
	ctx := t.Context()
	late, early, sent, other := aNotice("n-a", "fc-1", at(11, 0)), aNotice("n-b", "fc-1", at(10, 0)), aNotice("n-c", "fc-1", at(10, 30)), aNotice("n-d", "fc-2", at(10, 45))
	late.State, early.State, other.State = incident.NoticeDue, incident.NoticeDue, incident.NoticeDue
	ok(t, s.AddNotices(ctx))
	ok(t, s.AddNotices(ctx, late, early, sent))
	again := early
	again.Text = "changed"
	ok(t, s.AddNotices(ctx, again, other))
	same(t, "of one incident, by due", must[[]incident.Notice](t)(s.Notices(ctx, "fc-1")), []incident.Notice{early, sent, late})
	same(t, "due", must[[]incident.Notice](t)(s.Notices(ctx, "")), []incident.Notice{early, other, late})
	early.State, early.Proof = incident.NoticeSent, "250 ok"
	ok(t, s.SaveNotice(ctx, early, anEvent("fc-1", at(10, 0), "sent")))
	same(t, "due, after one is sent", must[[]incident.Notice](t)(s.Notices(ctx, "")), []incident.Notice{other, late})
	same(t, "saved", must[[]incident.Notice](t)(s.Notices(ctx, "fc-1")), []incident.Notice{early, sent, late})
	if n := len(must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))); n != 1 {
		t.Errorf("%d events with the notice, want 1", n)
	}
}

func notFound(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ok(t, s.SaveCase(ctx, incident.Case{Incident: "fc-1", Desk: "soc"})) // without a number
	for what, err := range map[string]error{
		"incident":            second(s.Incident(ctx, "fc-9")),
		"case by number":      second(s.CaseByNumber(ctx, "INC-9")),
		"case by no number":   second(s.CaseByNumber(ctx, "")),
		"desk case by key":    second(s.DeskCaseByKey(ctx, "fc-9")),
		"desk case by number": second(s.DeskCaseByNumber(ctx, "FC-2026-000009")),
		"desk case to update": s.UpdateDeskCase(ctx, "FC-2026-000009", func(*incident.StoredCase) error { return nil }),
	} {
		if !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%s: %v, want incident.ErrNotFound", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// oddTexts: what no database has as a character does not keep a step from being stored, nor what else it says from being found.
func oddTexts(t *testing.T, s *store.Store) {
	ctx := t.Context()
	const odd, plain = "a\x00b\xffc \\u0000", "a\ufffdb\ufffdc \\u0000"
	i := openIncident("fc-1", at(10, 0))
	i.Title, i.Components = odd+" is down", []string{odd}
	ok(t, s.Commit(ctx, store.Commit{At: at(10, 0), Incidents: []incident.Incident{i}, Events: []incident.Event{anEvent("fc-1", at(10, 0), odd)}}))
	events := must[[]incident.Event](t)(s.Timeline(ctx, "fc-1", 0))
	if len(events) != 1 || events[0].Text != odd && events[0].Text != plain {
		t.Errorf("events %+v", events)
	}
	for _, f := range []store.IncidentFilter{{Text: "is down"}, {Component: odd}, {Highest: incident.P1}} {
		same(t, "found", ids(must[[]incident.Incident](t)(s.Incidents(ctx, f))), []string{"fc-1"})
	}
}
