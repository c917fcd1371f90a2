package engine

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// stepBuilder gathers what follows from one input.
type stepBuilder struct{ Step }

// put records a changed incident; a later change of the same one replaces the earlier.
func (b *stepBuilder) put(i incident.Incident) {
	at := slices.IndexFunc(b.Incidents, func(o incident.Incident) bool { return o.ID == i.ID })
	if at < 0 {
		b.Incidents = append(b.Incidents, i)
		return
	}
	b.Incidents[at] = i
}

// event records a step in an incident's timeline.
func (b *stepBuilder) event(i incident.Incident, kind incident.EventKind, text string) {
	b.Events = append(b.Events, incident.Event{
		Incident: i.ID, At: b.At, Kind: kind, Actor: incident.ActorAgent, Text: text, Priority: i.Priority,
	})
}

// recheck asks for quick re-probes; a second request for the same probe keeps the larger count.
func (b *stepBuilder) recheck(id string, count int, within time.Duration) {
	at := slices.IndexFunc(b.Rechecks, func(r Recheck) bool { return r.Probe == id })
	if at < 0 {
		b.Rechecks = append(b.Rechecks, Recheck{Probe: id, Count: count, Within: within})
		return
	}
	b.Rechecks[at].Count = max(b.Rechecks[at].Count, count)
	b.Rechecks[at].Within = max(b.Rechecks[at].Within, within)
}

// wake asks for a Tick at t at the latest.
func (b *stepBuilder) wake(t time.Time) {
	if b.Wake.IsZero() || t.Before(b.Wake) {
		b.Wake = t
	}
}
