package agent

import (
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

func TestWhatWasDoneAloneBecomesOneIncidentWithOneCase(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	one := incident.Incident{ID: "one", Class: incident.Availability, Root: "backend", Components: []string{"backend"}, Updated: now}
	other := one
	other.ID, other.Root, other.Components = "other", incident.Solution, []string{"backend", "web-client"}
	slow := other
	slow.ID, slow.Class = "slow", incident.Performance
	over := one
	over.Closed, over.Updated = now, now.Add(time.Minute)
	brief := over // on its own clock
	brief.Started, brief.Ended, brief.Closed = now.Add(-12*time.Second), now.Add(-2*time.Second), now
	ended, next := other, other
	ended.Started, ended.Ended, ended.Closed = now.Add(-13*time.Second), now.Add(-time.Second), now.Add(time.Second)
	next.Started = now.Add(time.Minute)
	moved := ended
	moved.Started, moved.Ended, moved.Closed = ended.Started.Add(10*time.Minute), ended.Ended.Add(10*time.Minute), ended.Closed.Add(10*time.Minute)
	later := one
	later.Updated, later.Priority = now.Add(time.Minute), incident.P1
	at := func(i, ref string, more ...func(*incident.Case)) incident.Case {
		c := incident.Case{Incident: i, Desk: "soc", Ref: ref, Number: ref, As: "key"}
		for _, m := range more {
			m(&c)
		}
		return c
	}
	settled := func(c *incident.Case) { c.Settled = true }
	resolved := func(c *incident.Case) {
		c.State, c.Resolved, c.ResolvedBy = incident.CaseResolved, now, incident.ActorAgent
	}
	for name, c := range map[string]struct {
		handed incident.Incident
		cases  []incident.Case
		same   *present
		open   []present
		judged bool
		ahead  time.Duration

		stored   string // incident, "": none
		absorbed bool
		into     string // incident of the case that is stored, "": none is
	}{
		"nobody knows it":                       {handed: one, cases: []incident.Case{at("one", "7")}, stored: "one", into: "one"},
		"it is over, and nobody knew it":        {handed: over, cases: []incident.Case{at("one", "7", settled)}, open: []present{{Incident: other}}, stored: "one", into: "one"},
		"known before, and raised":              {handed: later, cases: []incident.Case{at("one", "7")}, same: &present{Incident: one}, stored: "one", into: "one"},
		"known before, and over now":            {handed: over, cases: []incident.Case{at("one", "7")}, same: &present{one, []incident.Case{at("one", "7")}}, stored: "one", into: "one"},
		"known, and the leader judged it since": {handed: over, cases: []incident.Case{at("one", "7")}, same: &present{one, []incident.Case{at("one", "7")}}, judged: true},
		"known, and it resolved the case of a fault that lasts": {
			handed: over, cases: []incident.Case{at("one", "7", settled, resolved)}, same: &present{one, []incident.Case{at("one", "7")}}, judged: true, into: "one",
		},
		"known, and the leader opened the case again": {
			handed: over, cases: []incident.Case{at("one", "7", settled, resolved)}, same: &present{one, []incident.Case{at("one", "7", func(c *incident.Case) { c.Reopened = 1 })}}, judged: true,
		},
		"known, and the leader has no case":                    {handed: later, cases: []incident.Case{at("one", "7")}, same: &present{one, []incident.Case{at("one", "")}}, judged: true, into: "one"},
		"the leader has it as another, and no case":            {handed: one, cases: []incident.Case{at("one", "7")}, open: []present{{Incident: other}}, stored: "one", absorbed: true, into: "other"},
		"the leader has it as another, with that case":         {handed: one, cases: []incident.Case{at("one", "7")}, open: []present{{other, []incident.Case{at("other", "7")}}}, stored: "one", absorbed: true},
		"the leader has it as another, and both opened a case": {handed: one, cases: []incident.Case{at("one", "7", settled)}, open: []present{{other, []incident.Case{at("other", "8")}}}, stored: "one", absorbed: true, into: "one"},
		"it was over before a case was opened, and the leader has it": {
			handed: brief, open: []present{{ended, []incident.Case{at("other", "8", settled)}}}, stored: "one", absorbed: true,
		},
		"the same by a clock that is ten minutes behind": {
			handed: brief, open: []present{{moved, []incident.Case{at("other", "8", settled)}}}, ahead: 10 * time.Minute, stored: "one", absorbed: true,
		},
		"it was over before a case was opened, and long before the leader's": {handed: brief, open: []present{{Incident: next}}, stored: "one"},
		"another class is another incident":                                  {handed: one, cases: []incident.Case{at("one", "7")}, open: []present{{Incident: slow}}, stored: "one", into: "one"},
	} {
		got := taken(store.Handed{Incident: c.handed, Cases: c.cases, Notices: []incident.Notice{{ID: "n"}}}, c.same, c.open, c.judged, c.ahead, now.Add(time.Hour))
		stored := ""
		for _, i := range got.Incidents {
			stored = i.ID
			if c.absorbed != (i.Resolution == incident.Absorbed && i.AbsorbedBy == "other" && !i.Open()) {
				t.Errorf("%s: stored as %+v", name, i)
			}
		}
		if stored != c.stored {
			t.Errorf("%s: incident %q is stored, want %q", name, stored, c.stored)
		}
		into := ""
		for _, k := range got.Cases {
			into = k.Incident
			if c.absorbed && (k.Settled || k.Key() == "") {
				t.Errorf("%s: the case is stored as %+v", name, k)
			}
		}
		if into != c.into {
			t.Errorf("%s: the case is stored with %q, want %q", name, into, c.into)
		}
		if len(got.Notices) != 1 || c.absorbed != (got.Notices[0].State == incident.NoticeSuperseded) {
			t.Errorf("%s: notices %+v", name, got.Notices)
		}
	}
}
