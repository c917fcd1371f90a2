package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// graceShare is the part of the time between two status mails that one may be late and is on time.
const graceShare = 10

// builder computes one report.
type builder struct {
	in      *Input
	until   time.Time
	tales   []*Tale // in the order in which their incidents were opened
	sights  map[string]sight
	limited bool // the Supported Time Period is not 24x7
}

// Compute returns the report of what is given. The same input gives the same report.
func Compute(in Input) *Report {
	if in.Zone == nil {
		in.Zone = time.UTC
	}
	in.From, in.To, in.Made = in.From.UTC(), in.To.UTC(), in.Made.UTC()
	b := &builder{in: &in, until: in.until(), sights: map[string]sight{}}
	if in.Measured == nil {
		in.Measured = NewMeasured(in.Probes, in.From, b.until, in.Zone)
	}
	for id, p := range in.Measured.probes {
		b.sights[id] = p.sight(in.Measured)
	}
	for i := range in.Tales {
		b.tales = append(b.tales, &in.Tales[i])
	}
	slices.SortStableFunc(b.tales, func(x, y *Tale) int {
		return cmp.Or(x.Incident.Opened.Compare(y.Incident.Opened), strings.Compare(x.Incident.ID, y.Incident.ID))
	})
	b.limited = in.Level.Supported.Between(in.From, b.until) != b.until.Sub(in.From)
	r := &Report{
		Schema: Schema, Agent: in.Agent, Tenant: in.Tenant, Name: cmp.Or(in.Name, in.Tenant), Language: cmp.Or(in.Language, "en"), TimeZone: in.Zone.String(),
		From: in.From, To: in.To, Until: b.until, SoFar: b.until.Before(in.To), Made: in.Made, Period: Seconds(b.until.Sub(in.From)),
		Method: b.method(), Parts: []Component{}, Functional: []string{}, zone: in.Zone,
	}
	for _, c := range in.Components {
		r.Parts = append(r.Parts, b.component(c))
	}
	b.incidents(r)
	r.Mails = b.mails()
	r.Latency = b.latency()
	r.Coverage = b.coverage()
	r.Fingerprint = r.fingerprint()
	return r
}

func (b *builder) method() Method {
	in := b.in
	m := Method{
		Centre: in.Centre, Supported: in.Supported, Reaction: map[string]Seconds{}, HoldEnds: string(in.HoldEnds), StatusEvery: Seconds(in.StatusEvery),
		StatusFor: in.StatusFor, Grace: Seconds(in.StatusEvery / graceShare), Momentary: Seconds(in.Momentary), Windows: []string{}, Ordered: []Ordered{}, Estimated: []string{},
	}
	if len(m.Supported) == 0 {
		m.Supported = []string{"24x7"}
	}
	for p := incident.P1; p <= incident.P4; p++ {
		m.Reaction[strings.ToLower(p.String())] = Seconds(in.Level.Reaction[p])
	}
	for _, w := range in.Windows {
		m.Windows = append(m.Windows, w.Name)
	}
	for _, o := range in.Orders {
		s := Span{later(o.From, in.From), earlier(o.End(), b.until)}
		if o.Kind == incident.OrderMaintenance && s.Len() > 0 {
			m.Ordered = append(m.Ordered, Ordered{Span: s, Components: append([]string{}, o.Components...), Actor: o.Actor, Reason: o.Reason})
		}
	}
	for _, t := range b.tales {
		if estimated(t.Incident) && b.touches(t.Incident) {
			m.Estimated = append(m.Estimated, t.Incident.ID)
		}
	}
	return m
}

// touches reports whether an incident lasted, or was opened, in the time.
func (b *builder) touches(i incident.Incident) bool {
	end := i.Ended
	if i.Open() {
		end = b.in.Made
	}
	return i.Started.Before(b.until) && end.After(b.in.From) || b.opened(i)
}

// opened reports whether an incident was opened in the time.
func (b *builder) opened(i incident.Incident) bool {
	return !i.Opened.Before(b.in.From) && i.Opened.Before(b.until)
}
