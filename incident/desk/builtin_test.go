package desk_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
)

// clock is a settable time.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func builtin(t *testing.T, storage desk.Storage, now func() time.Time) desk.Operable {
	t.Helper()
	kind, ok := desk.Lookup("builtin")
	if !ok {
		t.Fatal("no kind builtin")
	}
	d, err := kind.New().Build(desk.Env{Name: "soc", Tenant: "acme", ExternalURL: "https://acme.firstcall.example/", Storage: storage, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	operable, ok := d.(desk.Operable)
	if !ok {
		t.Fatal("the built-in desk is not Operable")
	}
	return operable
}

func TestBuiltinContract(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig {
		storage := &desktest.Storage{}
		d := builtin(t, storage, time.Now)
		return desktest.Rig{Desk: d, Name: "soc", Live: storage.Live, People: operators{t, d}}
	})
}

// operators work on the cases of a built-in desk.
type operators struct {
	t *testing.T
	d desk.Operable
}

func (o operators) act(ref string, action desk.Action, reason string) {
	o.t.Helper()
	if err := o.d.Act(o.t.Context(), ref, action, "anna", reason); err != nil {
		o.t.Fatal(err)
	}
}

func (o operators) Take(ref string)         { o.act(ref, desk.Acknowledge, "") }
func (o operators) Hold(ref, reason string) { o.act(ref, desk.Hold, reason) }
func (o operators) Answer(ref, text string) { o.act(ref, desk.Answer, text) }
func (o operators) Resume(ref string)       { o.act(ref, desk.Resume, "") }
func (o operators) Resolve(ref, text string) {
	o.act(ref, desk.Resolve, text)
}

// opened returns the desk, its storage and a new case.
func opened(t *testing.T, now func() time.Time) (desk.Operable, *desktest.Storage, desk.Case) {
	t.Helper()
	storage := &desktest.Storage{}
	d := builtin(t, storage, now)
	c, err := d.Open(t.Context(), desk.Fields{Key: "fc-acme-backend", Title: "P2 acme: backend is inaccessible", Priority: incident.P2})
	if err != nil {
		t.Fatal(err)
	}
	return d, storage, c
}

func TestBuiltinCaseIsNumberedByYearAndLinked(t *testing.T) {
	at := &clock{time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC)}
	d, _, c := opened(t, at.Now)
	if c.Number != "FC-2026-000001" || c.URL != "https://acme.firstcall.example/cases/FC-2026-000001" || !c.Created.Equal(at.now) {
		t.Errorf("case %+v", c)
	}
	at.now = at.now.Add(time.Hour)
	next, err := d.Open(t.Context(), desk.Fields{Key: "fc-acme-other", Priority: incident.P2})
	if err != nil || next.Number != "FC-2027-000001" {
		t.Errorf("case of the next year: %+v, %v", next, err)
	}
}

func TestOperatorActionsByState(t *testing.T) {
	const (
		ack, hold, resume, note, resolve = desk.Acknowledge, desk.Hold, desk.Resume, desk.AddNote, desk.Resolve
	)
	tests := []struct {
		name   string
		done   []desk.Action
		want   incident.CaseState
		refuse map[desk.Action]string // with the text that the error must hold
	}{
		{"new", nil, incident.CaseNew, map[desk.Action]string{resume: "the case is new: possible now: ack, hold, note, answer, rectify, resolve"}},
		{"taken", []desk.Action{ack}, incident.CaseAcknowledged, map[desk.Action]string{
			ack: "the case is acknowledged: possible now: hold, note, answer, rectify, resolve", resume: "acknowledged",
		}},
		{"held", []desk.Action{ack, hold}, incident.CaseHeld, map[desk.Action]string{
			ack: "the case is held: possible now: resume, note, answer, rectify, resolve", hold: "held",
		}},
		{"resumed", []desk.Action{ack, hold, resume}, incident.CaseAcknowledged, nil},
		{"held before it was taken, and resumed", []desk.Action{hold, note, resume}, incident.CaseNew, nil},
		{"resolved", []desk.Action{hold, resolve, note}, incident.CaseResolved, map[desk.Action]string{
			ack: "the case is resolved: possible now: note", hold: "resolved", resume: "resolved", resolve: "resolved",
		}},
		{"unknown action", nil, incident.CaseNew, map[desk.Action]string{"reopen": "possible now: ack, hold, note, answer, rectify, resolve"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, _, c := opened(t, time.Now)
			for _, action := range test.done {
				if err := d.Act(t.Context(), c.Number, action, "Mette", "waits for the key"); err != nil {
					t.Fatal(err)
				}
			}
			for action, want := range test.refuse {
				err := d.Act(t.Context(), c.Number, action, "Mette", "again")
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), c.Number) {
					t.Errorf("%s: error %v, want one with %q and the number", action, err, want)
				}
			}
			got, err := d.Get(t.Context(), c.Ref)
			if err != nil || got.State != test.want {
				t.Errorf("state %q, %v, want %q", got.State, err, test.want)
			}
			people, err := d.Transitions(t.Context(), c.Ref, time.Time{})
			if err != nil || len(people) != len(test.done) {
				t.Errorf("%d transitions, %v, want those %d that were allowed", len(people), err, len(test.done))
			}
		})
	}
}

func TestActRefusesWhatItCannotTell(t *testing.T) {
	d, _, c := opened(t, time.Now)
	tests := []struct {
		name, number  string
		action        desk.Action
		actor, reason string
		want          string
	}{
		{"hold without a reason", c.Number, desk.Hold, "Mette", "", "needs a text"},
		{"hold with an invisible reason", c.Number, desk.Hold, "Mette", "\t\r\n\u202e", "needs a text"},
		{"note without a text", c.Number, desk.AddNote, "Mette", " ", "needs a text"},
		{"the agent's own name", c.Number, desk.Acknowledge, "FirstCall", "", "agent's own name"},
		{"an endless reason", c.Number, desk.AddNote, "Mette", strings.Repeat("x", 2001), "shorten"},
		{"an endless name", c.Number, desk.AddNote, strings.Repeat("x", 101), "x", "shorten"},
		{"an unknown number", "FC-2026-999999", desk.Acknowledge, "Mette", "", "not found"},
		{"an unknown number that is code", "FC\x1b[2J\n", desk.Acknowledge, "Mette", "", "not found"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := d.Act(t.Context(), test.number, test.action, test.actor, test.reason)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("error %q, want one with %q", err, test.want)
			}
			if (test.want == "not found") != errors.Is(err, incident.ErrNotFound) {
				t.Errorf("ErrNotFound: %v", err)
			}
		})
	}
	if got, err := d.Get(t.Context(), c.Ref); err != nil || got.State != incident.CaseNew {
		t.Errorf("the case was changed: %+v, %v", got, err)
	}
}

func TestWhatPeopleWriteIsCleaned(t *testing.T) {
	d, _, c := opened(t, time.Now)
	if err := d.Act(t.Context(), c.Number, desk.AddNote, "Mette\r\nØ", "line\x00one\nline\u202etwo \x1b[31mrød"); err != nil {
		t.Fatal(err)
	}
	if err := d.Act(t.Context(), c.Number, desk.Acknowledge, "", ""); err != nil {
		t.Fatal(err)
	}
	people, err := d.Transitions(t.Context(), c.Ref, time.Time{})
	if err != nil || len(people) != 2 {
		t.Fatalf("transitions %+v, %v", people, err)
	}
	if got, want := people[0].Actor+": "+people[0].Text, "Mette Ø: line one line two [31mrød"; got != want {
		t.Errorf("note %q, want %q", got, want)
	}
	if people[1].Actor != "operator" || people[1].To != incident.CaseAcknowledged {
		t.Errorf("acknowledged by nobody in particular: %+v", people[1])
	}
}

func TestTransitionsAreNotLostWhenTheClockGoesBack(t *testing.T) {
	at := &clock{time.Date(2026, 3, 29, 3, 0, 0, 0, time.UTC)}
	d, _, c := opened(t, at.Now)
	at.now = at.now.Add(10 * time.Minute)
	if err := d.Act(t.Context(), c.Number, desk.Acknowledge, "Mette", ""); err != nil {
		t.Fatal(err)
	}
	first, err := d.Transitions(t.Context(), c.Ref, time.Time{})
	if err != nil || len(first) != 1 {
		t.Fatalf("transitions %+v, %v", first, err)
	}
	at.now = at.now.Add(-time.Hour)
	if err := d.Act(t.Context(), c.Number, desk.Resolve, "Mette", "done"); err != nil {
		t.Fatal(err)
	}
	second, err := d.Transitions(t.Context(), c.Ref, first[0].At)
	if err != nil || len(second) != 1 || second[0].To != incident.CaseResolved {
		t.Errorf("since the first one: %+v, %v, want the resolve alone", second, err)
	}
}

func TestUpdateDropsDoubleNotesAndKeepsTheLogBounded(t *testing.T) {
	d, storage, c := opened(t, time.Now)
	if err := d.Act(t.Context(), c.Number, desk.Acknowledge, "Mette", ""); err != nil {
		t.Fatal(err)
	}
	f := desk.Fields{
		Key: "fc-acme-backend", Title: "P1 acme: backend is inaccessible", Priority: incident.P1,
		Customer: incident.Contact{Name: "ACME IT", Phone: "+45 00 00 00 00"}, Body: "Since 09:30.", Published: []string{"tcp: refused"},
	}
	for seq := range int64(1200) {
		notes := []desk.Note{{Seq: max(0, seq-1), Text: fmt.Sprint("note ", seq-1)}, {Seq: seq, Text: fmt.Sprint("note ", seq)}}
		if err := d.Update(t.Context(), c.Ref, f, notes); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Update(t.Context(), c.Ref, f, []desk.Note{{Seq: 1, Text: "note 1"}}); err != nil {
		t.Fatal(err)
	}
	stored, err := storage.DeskCaseByNumber(t.Context(), c.Number)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.Log) != 1000 || len(stored.Seqs) != 1000 {
		t.Errorf("%d entries and %d seqs, want 1000", len(stored.Log), len(stored.Seqs))
	}
	if stored.Log[0].To != incident.CaseNew || stored.Log[1].Actor != "Mette" {
		t.Errorf("what happened gave way instead of notes: %+v", stored.Log[:2])
	}
	if last, before := stored.Log[999].Text, stored.Log[998].Text; last != "note 1199" || before != "note 1198" {
		t.Errorf("newest notes %q, %q", before, last)
	}
	want := "Since 09:30."
	if stored.Body != want || stored.Title != f.Title || stored.Priority != incident.P1 {
		t.Errorf("body %q, want %q; %s %s", stored.Body, want, stored.Priority, stored.Title)
	}
}

func TestBuiltinNeedsAStore(t *testing.T) {
	if _, err := (&desk.Builtin{}).Build(desk.Env{Name: "soc"}); err == nil {
		t.Error("built without a store")
	}
}
