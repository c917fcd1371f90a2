package report

import (
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// The words of Incident.Alarm.
const (
	alarmFalse     = "false"
	alarmMomentary = "momentary"
	alarmLowered   = "lowered"
	alarmAccepted  = "accepted"
)

// falseWords are what a person writes into a case that should not have been.
var falseWords = []string{"false alarm", "falsk alarm"}

// incidents fills in everything that is told of incidents.
func (b *builder) incidents(r *Report) {
	r.Incidents = []Incident{}
	r.Alarms = Alarms{False: []string{}, Momentary: []string{}, Lowered: []string{}, Accepted: []string{}, Absorbed: []string{}}
	reactions := map[incident.Priority]*Reaction{}
	for p := incident.P1; p <= incident.P4; p++ {
		reactions[p] = &Reaction{Priority: p, Limit: Seconds(b.in.Level.Reaction[p])}
	}
	downtimes := b.downtimes()
	for _, t := range b.tales {
		if !b.touches(t.Incident) {
			continue
		}
		switch {
		case t.Incident.Class == incident.Function:
			r.Functional = append(r.Functional, t.Incident.ID)
		case t.Incident.Class.OpensCase():
			i := b.incident(t)
			i.Downtime = downtimes[t]
			r.Incidents = append(r.Incidents, i)
			if !i.Before {
				if count := reactions[i.Priority]; count != nil {
					count.add(i)
				}
				r.Alarms.add(i)
			}
		}
	}
	for p := incident.P1; p <= incident.P4; p++ {
		r.Reactions = append(r.Reactions, *reactions[p])
	}
}

func (r *Reaction) add(i Incident) {
	r.Incidents++
	switch i.Reaction {
	case ReactionMet:
		r.Met++
	case ReactionMissed:
		r.Missed++
	case ReactionPending:
		r.Pending++
	default:
		r.Over++
	}
	if i.Reaction == ReactionMet || i.Reaction == ReactionMissed {
		if r.Least == nil || i.Margin < *r.Least {
			r.Least = &i.Margin
		}
	}
}

func (a *Alarms) add(i Incident) {
	a.Opened++
	if i.Number != "" {
		a.Cases++
	}
	if i.Resolution == incident.Absorbed {
		a.Absorbed = append(a.Absorbed, i.ID)
	}
	for _, list := range []struct {
		word string
		ids  *[]string
	}{{alarmFalse, &a.False}, {alarmMomentary, &a.Momentary}, {alarmLowered, &a.Lowered}, {alarmAccepted, &a.Accepted}} {
		if slices.Contains(i.Alarm, list.word) {
			*list.ids = append(*list.ids, i.ID)
		}
	}
}

// downtimes returns what each incident adds to the downtime of components.
func (b *builder) downtimes() map[*Tale][]Downtime {
	all := map[*Tale][]Downtime{}
	for _, c := range b.in.Components {
		t := b.divide(c.Name)
		for _, one := range b.tales {
			var mine []Span
			for _, o := range t.outages {
				if o.tale == one {
					mine = append(mine, o.Span)
				}
			}
			if down := unite(mine...).less(t.maintenance); len(down) > 0 {
				all[one] = append(all[one], Downtime{Component: c.Name, Spans: down, Gross: Seconds(down.length()), Net: Seconds(down.less(b.held(one)).length())})
			}
		}
	}
	return all
}

// incident returns what is told of one incident.
func (b *builder) incident(t *Tale) Incident {
	i, lead := t.Incident.AtWorst(), t.lead(b.in.Primary)
	clock := b.in.Level.Clock(t.Incident, lead, b.in.Made)
	r := Incident{
		ID: i.ID, Class: i.Class, Title: i.Title, Priority: i.Highest, Components: i.Components, Started: i.Started, Opened: i.Opened, Ended: i.Ended,
		Resolution: i.Resolution, AbsorbedBy: i.AbsorbedBy, Before: !b.opened(t.Incident), Desk: lead.Desk, Number: lead.Number,
		Due: i.ReactionDue, Reacted: lead.Acknowledged, ReactedBy: lead.AcknowledgedBy, Gross: Seconds(clock.Gross), Net: Seconds(clock.Net),
		Holds: lead.Holds, Estimate: estimated(t.Incident), Alarm: []string{}, Seqs: map[string][]int64{},
	}
	if r.Components == nil {
		r.Components = []string{}
	}
	if r.Holds == nil {
		r.Holds = []incident.Hold{}
	}
	r.Reaction, r.Margin = b.reaction(t.Incident, lead.Acknowledged, clock.Margin)
	b.trace(&r, t, lead)
	if i.Resolution == incident.Momentary {
		r.Alarm = append(r.Alarm, alarmMomentary)
	}
	if i.Resolution == incident.Accepted {
		r.Alarm = append(r.Alarm, alarmAccepted)
	}
	slices.Sort(r.Alarm)
	r.Alarm = slices.Compact(r.Alarm)
	return r
}

// reaction says what became of the reaction to an incident, and by which margin.
func (b *builder) reaction(i incident.Incident, reacted time.Time, margin time.Duration) (string, Seconds) {
	switch {
	case !reacted.IsZero() && !reacted.After(i.ReactionDue):
		return ReactionMet, Seconds(margin)
	case !reacted.IsZero() && (i.Open() || !i.Closed.Before(i.ReactionDue)):
		return ReactionMissed, Seconds(margin)
	case !i.Open() && !i.Closed.After(i.ReactionDue):
		return ReactionOver, 0
	case !b.in.Made.After(i.ReactionDue):
		return ReactionPending, Seconds(margin)
	}
	return ReactionMissed, Seconds(margin)
}

// trace notes the events that the figures rest on, by their sequence numbers, and what persons and the engine said against the alarm.
func (b *builder) trace(r *Incident, t *Tale, lead incident.Case) {
	list := r.Seqs
	for _, e := range t.Timeline {
		switch e.Kind {
		case incident.EventOpened, incident.EventRaised, incident.EventLowered, incident.EventJoined, incident.EventLeft, incident.EventAbsorbed,
			incident.EventResolved, incident.EventCaseOpened, incident.EventAcknowledged, incident.EventHeld, incident.EventResumed, incident.EventCaseResolved:
			list[string(e.Kind)] = append(list[string(e.Kind)], e.Seq)
		default:
		}
		if e.Kind == incident.EventCaseOpened && e.Actor == lead.Desk && r.CaseAfter == nil {
			after := Seconds(max(0, e.At.Sub(t.Incident.Opened)))
			r.CaseAfter = &after
		}
		if e.Kind == incident.EventLowered {
			r.Alarm = append(r.Alarm, alarmLowered)
		}
		said := e.Kind == incident.EventNote || e.Kind == incident.EventCaseResolved || e.Kind == incident.EventRectified
		text := strings.ToLower(e.Text)
		if said && e.Actor != incident.ActorAgent && slices.ContainsFunc(falseWords, func(w string) bool { return strings.Contains(text, w) }) {
			r.Alarm = append(r.Alarm, alarmFalse)
			list["false"] = append(list["false"], e.Seq)
		}
	}
}
