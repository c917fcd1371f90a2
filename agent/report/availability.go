package report

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
)

// outage is a time in which an incident says that a component was inaccessible.
type outage struct {
	Span
	began    time.Time // perhaps before the time
	tale     *Tale
	estimate bool // an earlier version wrote the incident: its whole length
}

// outages returns those of a component that touch the time, open ones up to when the report was made.
func (b *builder) outages(component string) []outage {
	var all []outage
	add := func(t *Tale, from, to time.Time, estimate bool) {
		if to.IsZero() {
			to = b.in.Made
		}
		if s := (Span{later(from, b.in.From), earlier(to, b.until)}); s.Len() > 0 {
			all = append(all, outage{s, from, t, estimate})
		}
	}
	for i := range b.tales {
		t := b.tales[i]
		for _, o := range t.Incident.Outages {
			if o.Component == component {
				add(t, o.From, o.To, false)
			}
		}
		if estimated(t.Incident) && slices.Contains(t.Incident.Components, component) {
			add(t, t.Incident.Started, t.Incident.Ended, true)
		}
	}
	return all
}

// estimated reports whether an incident does not say when its components were inaccessible, and may have been about that: an earlier
// version wrote it.
func estimated(i incident.Incident) bool {
	return i.Class == incident.Availability && i.Outages == nil && (i.Highest == incident.P1 || i.Highest == incident.P2)
}

// windows returns when maintenance covered a component.
func windows(all []policy.Window, component string, from, to time.Time, zone *time.Location) spans {
	const most = 100_000 // a window a minute for two months
	var list []Span
	for _, w := range all {
		if !w.Covers(component) || w.Duration <= 0 {
			continue
		}
		at := w.Schedule.Next(from.Add(-w.Duration).In(zone))
		for n := 0; n < most && !at.IsZero() && at.Before(to); n++ {
			list = append(list, Span{later(at.UTC(), from), earlier(at.Add(w.Duration).UTC(), to)})
			at = w.Schedule.Next(at)
		}
	}
	return unite(list...)
}

// ordered returns when maintenance that people had ordered by then covered a component: what is ordered in mid-outage shortens none.
func (b *builder) ordered(component string, by time.Time) spans {
	var list []Span
	for _, o := range b.in.Orders {
		covers := len(o.Components) == 0 || slices.Contains(o.Components, component)
		if o.Kind == incident.OrderMaintenance && covers && !o.From.After(by) {
			list = append(list, Span{later(o.From, b.in.From), earlier(o.End(), b.until)})
		}
	}
	return unite(list...)
}

// times are the parts of a component's time.
type times struct {
	maintenance, gross, net, unmeasured, judged spans
	outages                                     []outage
}

// divide tells apart the parts of a component's time.
func (b *builder) divide(component string) times {
	period := unite(Span{b.in.From, b.until})
	planned := windows(b.in.Windows, component, b.in.From, b.until, b.in.Zone)
	t := times{outages: b.outages(component)}
	var gross, net []Span
	for _, o := range t.outages {
		down := unite(o.Span).less(planned.or(b.ordered(component, o.began)))
		gross = append(gross, down...)
		net = append(net, down.less(b.held(o.tale))...)
	}
	t.gross, t.net = unite(gross...), unite(net...)
	t.maintenance = planned.or(b.ordered(component, b.until)).less(t.gross)
	agreed := period.less(t.maintenance)
	t.unmeasured = agreed.less(t.gross).less(b.measured(component))
	t.judged = agreed.less(t.unmeasured)
	return t
}

// held returns when the case of an incident was on hold.
func (b *builder) held(t *Tale) spans {
	var list []Span
	for _, h := range t.lead(b.in.Primary).Holds {
		to := h.To
		if to.IsZero() {
			to = b.in.Made
		}
		list = append(list, Span{h.From, to})
	}
	return unite(list...)
}

// measured returns when at least one deciding probe of a component told how it stands.
func (b *builder) measured(component string) spans {
	var all spans
	for i := range b.in.Probes {
		if p := &b.in.Probes[i]; p.Component == component && p.Deciding {
			all = all.or(b.sights[p.ID].often)
		}
	}
	return all
}

// share returns the part of a time that was no downtime.
func share(whole, down time.Duration) Share { return Share{whole - down, whole} }

// component returns the availability of one component.
func (b *builder) component(c InputComponent) Component {
	t := b.divide(c.Name)
	r := Component{
		Name: c.Name, Essential: c.Essential, Instances: c.Instances, Incidents: []string{},
		Maintenance: Seconds(t.maintenance.length()), Unmeasured: Seconds(t.unmeasured.length()), Judged: Seconds(t.judged.length()),
		Gross: Seconds(t.gross.length()), Net: Seconds(t.net.length()), Held: Seconds(t.gross.length() - t.net.length()),
		GrossShare: share(t.judged.length(), t.gross.length()), NetShare: share(t.judged.length(), t.net.length()),
	}
	r.AtLeast = share(t.judged.length()+t.unmeasured.length(), t.gross.length()+t.unmeasured.length())
	r.Outages = len(t.gross)
	for _, o := range t.outages {
		if unite(o.Span).less(t.maintenance).length() > 0 && !slices.Contains(r.Incidents, o.tale.Incident.ID) {
			r.Incidents = append(r.Incidents, o.tale.Incident.ID)
		}
	}
	if b.limited {
		judged, gross, net := b.supported(t.judged), b.supported(t.gross), b.supported(t.net)
		r.Supported = &Hours{Seconds(judged), Seconds(gross), Seconds(net), share(judged, gross), share(judged, net)}
	}
	for _, day := range days(b.in.From, b.until, b.in.Zone) {
		in := func(s spans) Seconds { return Seconds(s.and(spans{day}).length()) }
		r.Days = append(r.Days, Day{
			Date: day.From.In(b.in.Zone).Format(time.DateOnly), Length: Seconds(day.Len()),
			Maintenance: in(t.maintenance), Unmeasured: in(t.unmeasured), Gross: in(t.gross), Net: in(t.net),
		})
	}
	return r
}

// supported returns how much of a time is supported.
func (b *builder) supported(s spans) time.Duration {
	var sum time.Duration
	for _, span := range s {
		sum += b.in.Level.Supported.Between(span.From, span.To)
	}
	return sum
}
