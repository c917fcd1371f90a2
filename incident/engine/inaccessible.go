package engine

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

// maxOutages bounds the outages that an incident keeps. The next one of a component then goes on with its last one, so that what is
// counted is rather too much than too little.
const maxOutages = 500

// noteInaccessible keeps which components of an incident are inaccessible, and since when: what its availability is counted by.
func (e *Engine) noteInaccessible(l *live, all []condition) {
	changed := false
	for i := range all {
		k := &all[i]
		if e.member(incident.Availability, k.c.Name) != l {
			continue
		}
		down, open := k.Status == policy.Inaccessible && !k.narrow(), openOutage(l.Outages, k.c.Name) >= 0
		switch {
		case down && !open:
			l.Outages = beginOutage(l.Outages, k.c.Name, k.Since)
		case !down && open:
			l.Outages = endOutages(l.Outages, k.c.Name, e.firstGood(k.c), e.now)
		default:
			continue
		}
		changed = true
	}
	if changed {
		l.Updated = e.now
		e.step.put(l.Incident)
	}
}

// openOutage returns where the outage of a component is that lasts, or -1.
func openOutage(all []incident.ComponentOutage, component string) int {
	return slices.IndexFunc(all, func(o incident.ComponentOutage) bool { return o.Component == component && o.To.IsZero() })
}

// beginOutage adds an outage, which begins no sooner than the one before it ended. What it returns is new: incidents that were
// handed out share the old one.
func beginOutage(all []incident.ComponentOutage, component string, from time.Time) []incident.ComponentOutage {
	all = slices.Clone(all)
	last := -1
	for i, o := range all {
		if o.Component == component && (last < 0 || o.To.After(all[last].To)) {
			last = i
		}
	}
	if last >= 0 && all[last].To.After(from) {
		from = all[last].To
	}
	if last >= 0 && len(all) >= maxOutages {
		all[last].To = time.Time{}
		return all
	}
	return append(all, incident.ComponentOutage{Component: component, From: from.UTC()})
}

// endOutages ends the outages of a component that last, or of every one where it is "", at an instant between their beginning and
// now. What it returns is new.
func endOutages(all []incident.ComponentOutage, component string, at, now time.Time) []incident.ComponentOutage {
	all = slices.Clone(all)
	for i, o := range all {
		if !o.To.IsZero() || component != "" && o.Component != component {
			continue
		}
		if at.After(now) {
			at = now
		}
		all[i].To = at.UTC()
		if at.Before(o.From) {
			all[i].To = o.From
		}
	}
	return all
}

// takeOutages makes the outages that last ones of the incident that absorbs another, from now on.
func (e *Engine) takeOutages(survivor, loser *live) {
	for _, o := range loser.Outages {
		if o.To.IsZero() && openOutage(survivor.Outages, o.Component) < 0 {
			survivor.Outages = beginOutage(survivor.Outages, o.Component, e.now)
		}
	}
}
