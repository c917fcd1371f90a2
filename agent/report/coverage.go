package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// mostGaps bounds the gaps that are listed.
const mostGaps = 50

// coverage returns how much of the time the agent measured: while any of its frequent probes ran and told something.
func (b *builder) coverage() Coverage {
	period := unite(Span{b.in.From, b.until})
	ran, saw := b.agentSight()
	stopped, blind := period.less(ran), period.and(ran).less(saw)
	measured := period.and(ran).and(saw)
	c := Coverage{
		Share: Share{measured.length(), period.length()}, Measured: Seconds(measured.length()), Stopped: Seconds(stopped.length()), Blind: Seconds(blind.length()),
		Gaps: []Gap{}, Troubles: []Trouble{}, Probes: []ProbeCoverage{},
	}
	for _, s := range stopped {
		c.Gaps = append(c.Gaps, Gap{s, GapStopped})
	}
	for _, s := range blind {
		c.Gaps = append(c.Gaps, Gap{s, GapBlind})
	}
	c.GapCount = len(c.Gaps)
	slices.SortStableFunc(c.Gaps, func(x, y Gap) int { return cmp.Or(cmp.Compare(y.Len(), x.Len()), x.From.Compare(y.From)) })
	c.Gaps = c.Gaps[:min(mostGaps, len(c.Gaps))]
	slices.SortStableFunc(c.Gaps, func(x, y Gap) int { return x.From.Compare(y.From) })
	for _, t := range b.tales {
		if i := t.Incident; i.Class == incident.Agent && b.touches(i) {
			c.Troubles = append(c.Troubles, Trouble{i.ID, i.Title, i.Started, i.Ended})
		}
	}
	for i := range b.in.Probes {
		if m := b.in.Measured.probes[b.in.Probes[i].ID]; m != nil {
			c.Probes = append(c.Probes, b.probeCoverage(m))
		}
	}
	return c
}

// agentSight returns when any probe ran, and when any told something. Probes that run seldom speak for too long to tell: they are left
// out.
func (b *builder) agentSight() (ran, saw spans) {
	fastest := time.Duration(0)
	for _, p := range b.in.Measured.probes {
		if fastest == 0 || p.pace < fastest {
			fastest = p.pace
		}
	}
	var allRan, allSaw []Span
	for id, p := range b.in.Measured.probes {
		if p.pace <= 2*fastest {
			allRan, allSaw = append(allRan, b.sights[id].alive...), append(allSaw, b.sights[id].often...)
		}
	}
	return unite(allRan...), unite(allSaw...)
}

func (b *builder) probeCoverage(m *measured) ProbeCoverage {
	c := ProbeCoverage{Probe: m.ID, Share: Share{b.sights[m.ID].saw.length(), b.until.Sub(b.in.From)}, Expected: m.expected(b.in.From, b.until, b.in.Zone)}
	for _, h := range m.list(b.in.Measured) {
		c.Runs += h.runs
		c.Unknown += h.unknown
		c.Lagging += h.lagging
		if h.source == FromHours {
			c.ByHour++
		}
	}
	return c
}

// expected returns how many runs the schedule has in a time.
func (p *measured) expected(from, to time.Time, zone *time.Location) int64 {
	if p.Schedule == nil {
		return int64(to.Sub(from) / p.step)
	}
	const most = 1_000_000
	n := int64(0)
	for at := p.Schedule.Next(from.Add(-1).In(zone)); n < most && !at.IsZero() && at.Before(to); at = p.Schedule.Next(at) {
		n++
	}
	return n
}
