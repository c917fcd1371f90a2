package agent

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// present is what the shared store has of one incident.
type present struct {
	incident.Incident
	cases []incident.Case
}

// taken decides what becomes of what an agent did alone about one incident. same is the shared store's row of that incident, nil where
// it has none; others are the shared store's incidents that may be the same fault; judged says that this leader's engine has judged them already, so that
// their rows are its own; ahead is by how much the leader's clock is ahead of that agent's. One root cause keeps one case: where the shared store knows the fault as another incident, that goes on with
// the case, or the case is ended with a note that says where it goes on.
func taken(h store.Handed, same *present, others []present, judged bool, ahead time.Duration, now time.Time) store.Taken {
	t := store.Taken{Events: h.Events}
	if same != nil {
		goesOn := same.Open()
		if !judged && goesOn && h.Incident.Updated.After(same.Updated) {
			t.Incidents, goesOn = []incident.Incident{h.Incident}, h.Incident.Open()
		}
		// The end of its case is no more than that of one which the leader judges: it goes on, as another agent saw it, or said so later.
		t.Cases, t.Notices = newer(h.Cases, same, judged || goesOn && !h.Incident.Open()), h.Notices
		return t
	}
	t.Incidents, t.Cases, t.Notices = []incident.Incident{h.Incident}, h.Cases, h.Notices
	at := slices.IndexFunc(others, func(o present) bool {
		switch {
		case !sameFault(o.Incident, h.Incident):
			return false
		case h.Incident.Open():
			return o.Open()
		}
		dated := h.Incident
		dated.Started, dated.Ended = dated.Started.Add(ahead), dated.Ended.Add(ahead)
		return !opened(h) && overlap(o.Incident, dated) // its case would be a second one
	})
	if at < 0 {
		return t
	}
	return absorbed(h, others[at], now)
}

// inOrder returns handovers so that what each may be the same as is decided before it: first what was known before, by the newest word on it,
// so that nothing that began after its end is taken for it; last what was over before it had a case, since another's may be its. Of two
// the earlier lives on.
func inOrder(all []store.Handover) []store.Handover {
	rank := func(h store.Handover) int {
		switch {
		case !slices.ContainsFunc(h.Events, func(e incident.Event) bool { return e.Kind == incident.EventOpened }):
			return 0
		case h.Incident.Open() || opened(h.Handed):
			return 1
		}
		return 2
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b store.Handover) int {
		return cmp.Or(rank(a)-rank(b), a.Incident.Opened.Compare(b.Incident.Opened), b.Incident.Updated.Compare(a.Incident.Updated))
	})
}

// opened reports whether a case was opened for what was done alone, or may have been.
func opened(h store.Handed) bool {
	return slices.ContainsFunc(h.Cases, func(c incident.Case) bool { return c.Ref != "" || !c.Attempted.IsZero() })
}

// overlapSlack is how far apart two agents may be about the times of one fault.
const overlapSlack = 10 * time.Second

// overlap reports whether two incidents lasted at the same time.
func overlap(a, b incident.Incident) bool {
	before := func(a, b incident.Incident) bool { return !a.Open() && a.Ended.Add(overlapSlack).Before(b.Started) }
	return !before(a, b) && !before(b, a)
}

// sameFault reports whether two agents judged one fault: they differ in when it began and in how much of the solution they saw fail.
func sameFault(a, b incident.Incident) bool {
	return a.ID != b.ID && a.Class == b.Class && (a.Root == b.Root || slices.ContainsFunc(a.Components, func(c string) bool { return slices.Contains(b.Components, c) }))
}

// newer returns those of the handed cases that say more than the shared store's. Where the agent that was alone resolved the case of a fault
// that is measured on, the store's says so: it is opened again at once, as it is not where people resolved it.
func newer(handed []incident.Case, same *present, judged bool) []incident.Case {
	var list []incident.Case
	shared := same.cases
	for _, c := range handed {
		at := slices.IndexFunc(shared, func(s incident.Case) bool { return s.Desk == c.Desk })
		switch {
		case at < 0 || shared[at].Ref == "" && (c.Ref != "" || !c.Attempted.IsZero()):
			if judged && same.Open() && c.State == incident.CaseResolved && c.ResolvedBy == incident.ActorAgent {
				c.Settled = false
			}
			list = append(list, c)
		case !judged && shared[at].Ref == c.Ref && c.Noted >= shared[at].Noted:
			list = append(list, c)
		case same.Open() && shared[at].Ref == c.Ref && c.State == incident.CaseResolved && c.ResolvedBy == incident.ActorAgent && shared[at].Reopened == 0:
			s := shared[at]
			s.State, s.Resolved, s.ResolvedBy, s.Settled = c.State, c.Resolved, c.ResolvedBy, false
			list = append(list, s)
		}
	}
	return list
}

// absorbed makes one incident of two.
func absorbed(h store.Handed, into present, now time.Time) store.Taken {
	t := store.Taken{Events: h.Events}
	i := h.Incident
	if i.Open() {
		i.Ended, i.Closed = now, now
	}
	i.Resolution, i.AbsorbedBy, i.Updated = incident.Absorbed, into.ID, now
	t.Incidents = []incident.Incident{i}
	for _, c := range h.Cases {
		at := slices.IndexFunc(into.cases, func(s incident.Case) bool { return s.Desk == c.Desk })
		switch {
		case c.Ref == "":
			if !c.Attempted.IsZero() { // one may exist: it is looked for, and ended
				t.Cases = append(t.Cases, c)
			}
		case at >= 0 && into.cases[at].Ref == c.Ref: // it was found there
		case at < 0 || into.cases[at].Ref == "" && into.cases[at].Attempted.IsZero():
			c.As, c.Incident, c.Round, c.Noted, c.Owed = c.Key(), into.ID, 0, 0, 0
			t.Cases = append(t.Cases, c)
		default:
			c.Settled = false
			t.Cases = append(t.Cases, c)
		}
	}
	for _, n := range h.Notices {
		if n.State == incident.NoticeDue {
			n.State = incident.NoticeSuperseded
		}
		t.Notices = append(t.Notices, n)
	}
	text := fmt.Sprintf("absorbed by %s (%s), which is the same fault: it was judged while the database was away", into.ID, into.Title)
	t.Events = append(slices.Clone(t.Events), incident.Event{Incident: i.ID, At: now, Kind: incident.EventAbsorbed, Actor: incident.ActorAgent, Text: text, Priority: i.Priority},
		incident.Event{
			Incident: into.ID, At: now, Kind: incident.EventAbsorbed, Actor: incident.ActorAgent, Priority: into.Priority,
			Text: fmt.Sprintf("took in %s (%s), which an agent judged while the database was away", i.ID, i.Title),
		})
	return t
}
