package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// TestWhatIsOpenHasALiveCase states that whatever agents did alone, and in whatever order it was handed over, an incident that is open in the end
// has a case that is not settled, and one that is not has none of its own beside it.
func TestWhatIsOpenHasALiveCase(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	known := incident.Incident{ID: "known", Class: incident.Availability, Root: "backend", Components: []string{"backend"}, Started: now, Opened: now, Updated: now}
	over := known
	over.Ended, over.Closed, over.Updated = now.Add(9*time.Minute), now.Add(10*time.Minute), now.Add(10*time.Minute)
	behind := over // by a clock that is behind the last leader's
	behind.Updated = now.Add(-time.Minute)
	raised := known
	raised.Updated, raised.Priority = now.Add(20*time.Minute), incident.P1
	next := known
	next.ID, next.Started, next.Opened, next.Updated = "next", now.Add(30*time.Minute), now.Add(30*time.Minute), now.Add(30*time.Minute)
	brief := next
	brief.ID, brief.Started, brief.Opened, brief.Ended, brief.Closed = "brief", next.Started.Add(-time.Second), next.Opened.Add(-time.Second), next.Started.Add(10*time.Second), next.Started.Add(12*time.Second)
	live := func(ref string, i incident.Incident) incident.Case {
		return incident.Case{Incident: i.ID, Desk: "soc", Ref: ref, As: "key"}
	}
	settled := func(ref string, i incident.Incident) incident.Case {
		c := live(ref, i)
		c.State, c.Resolved, c.ResolvedBy, c.Settled, c.Noted = incident.CaseResolved, now, incident.ActorAgent, true, 9
		return c
	}
	hand := func(i incident.Incident, cases ...incident.Case) store.Handover {
		h := store.Handover{Handed: store.Handed{Incident: i, Cases: cases}}
		if i.ID != "known" {
			h.Events = []incident.Event{{Incident: i.ID, Kind: incident.EventOpened}}
		}
		return h
	}
	for name, c := range map[string]struct {
		first []incident.Case // of the incident that was known before
		all   []store.Handover
		live  map[string]string // the cases that are not settled at the end, and of which incident
	}{
		"it ended, and began again": {
			[]incident.Case{live("1", known)}, []store.Handover{hand(next, live("2", next)), hand(over, settled("1", known))}, map[string]string{"2": "next"},
		},
		"it ended by a clock that is behind, and began again": {
			[]incident.Case{live("1", known)}, []store.Handover{hand(next, live("2", next)), hand(behind, settled("1", known))}, map[string]string{"1": "known"},
		},
		"it ended at one place, and was raised at another": {
			[]incident.Case{live("1", known)}, []store.Handover{hand(raised, live("1", known)), hand(over, settled("1", known))}, map[string]string{"1": "known"},
		},
		"the case was opened and ended at one place, and at another it goes on": {
			nil, []store.Handover{hand(raised), hand(behind, settled("1", known))}, map[string]string{"1": "known"},
		},
		"one place saw it end before it had a case, another opened one": {
			[]incident.Case{live("1", known)}, []store.Handover{hand(brief), hand(next, live("2", next)), hand(over, settled("1", known))}, map[string]string{"2": "next"},
		},
	} {
		for range 2 {
			slices.Reverse(c.all)
			rows := []present{{known, slices.Clone(c.first)}}
			at := func(id string) int { return slices.IndexFunc(rows, func(p present) bool { return p.ID == id }) }
			for _, h := range inOrder(c.all) {
				var same *present
				var others []present
				for _, p := range rows {
					if p.ID == h.Incident.ID {
						same = &p
					} else if p.Resolution != incident.Absorbed {
						others = append(others, p)
					}
				}
				got := taken(h.Handed, same, others, false, 0, now.Add(time.Hour))
				for _, i := range got.Incidents {
					if at(i.ID) < 0 {
						rows = append(rows, present{})
						rows[len(rows)-1].ID = i.ID
					}
					rows[at(i.ID)].Incident = i
				}
				for _, k := range got.Cases {
					of := &rows[at(k.Incident)]
					of.cases = append(slices.DeleteFunc(of.cases, func(o incident.Case) bool { return o.Desk == k.Desk }), k)
				}
			}
			live := map[string]string{}
			for _, p := range rows {
				for _, k := range p.cases {
					if !k.Settled && p.Resolution != incident.Absorbed {
						live[k.Ref] = p.ID
					}
				}
				if p.Open() && !slices.ContainsFunc(p.cases, func(k incident.Case) bool { return !k.Settled }) {
					t.Errorf("%s: %s is open and has no live case: %+v", name, p.ID, p.cases)
				}
				if !p.Open() && len(p.cases) == 0 && p.Resolution != incident.Absorbed {
					t.Errorf("%s: %s is over, would get a case, and another has one", name, p.ID)
				}
			}
			if diff := cmp.Diff(c.live, live); diff != "" {
				t.Errorf("%s: the live cases differ (-want +got):\n%s", name, diff)
			}
		}
	}
}
