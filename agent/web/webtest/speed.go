package webtest

import (
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// whole is a baseline with all its days.
func whole(expected time.Duration) *engine.BaselineView {
	return &engine.BaselineView{Days: 14, Of: 14, Expected: expected, Limit: expected * 122 / 100}
}

// young is an agent that was installed three days ago, with one probe that was added today.
func young(f *Fake) {
	f.State.Started = At(76 * time.Hour)
	for i := range f.Seen.Components {
		for j := range f.Seen.Components[i].Instances {
			for _, p := range f.Seen.Components[i].Instances[j].Probes {
				p.Baseline.Days = 3
			}
		}
	}
	*f.Seen.Components[3].Instances[0].Probes[0].Baseline = engine.BaselineView{Of: 14}
}

// slowness makes web-client/http slow by the time that its TLS takes.
func slowness(f *Fake) *engine.ProbeView {
	c := &f.Seen.Components[1]
	p := &c.Instances[0].Probes[0]
	all := f.Newest[p.ID]
	for n := len(all) - 19; n < len(all); n++ {
		r := &all[n]
		r.Duration += 352 * time.Millisecond
		for k := range r.Phases {
			if r.Phases[k].Name == probes.PhaseTLS {
				r.Phases[k].Duration += 352 * time.Millisecond
			}
		}
	}
	last := all[len(all)-1]
	p.Last, p.Baseline = &last, whole(118*time.Millisecond)
	l := &incident.Latency{
		Phase: probes.PhaseTotal, Test: "mid", Runs: 7, Span: 210 * time.Second, Median: 412 * time.Millisecond, Expected: 118 * time.Millisecond,
		Hour: "Mon 10 h", Days: 6, Ratio: 3.49, Limit: 1.22, LimitBy: "history", Over: 19, Of: 20, Stretch: 1, Onset: At(10 * time.Minute), Learnt: 14,
		Where: []incident.PhaseChange{
			{Phase: probes.PhaseTLS, Median: 301 * time.Millisecond, Expected: 21 * time.Millisecond},
			{Phase: probes.PhaseFirstByte, Median: 64 * time.Millisecond, Expected: 52 * time.Millisecond},
			{Phase: probes.PhaseConnect, Median: 12 * time.Millisecond, Expected: 11 * time.Millisecond},
		},
	}
	p.Outcome = probes.Degraded
	p.Findings = []incident.Finding{{
		Probe: p.ID, Kind: incident.Regression, Reason: probes.Slow, Since: At(10 * time.Minute), At: At(8 * time.Minute), Again: At(10 * time.Minute),
		Explanation: detect.Explain(l, At(0)), Latency: l,
	}}
	c.Outcome, c.Instances[0].Outcome, c.Reason, c.Since, c.Detail = probes.Degraded, probes.Degraded, probes.Slow, At(10*time.Minute), p.Findings[0].Explanation
	f.Seen.Outcome = probes.Degraded
	i := f.open(incident.Incident{
		Class: incident.Performance, Root: "web-client", Components: []string{"web-client"}, Priority: incident.P2, Reason: "slow", Title: "web-client is slow",
		Why:    "sustained speed problems: web-client has been slow for 10 min, since 2026-11-23 09:38:20 UTC",
		Detail: []string{p.ID + ": " + p.Findings[0].Explanation}, Started: At(10 * time.Minute), Opened: At(8 * time.Minute),
	})
	f.tell(i.ID, 8*time.Minute, incident.EventOpened, "firstcall", i.Title+": "+i.Why, incident.P2)
	f.Desk = append(f.Desk, incident.Case{Incident: i.ID, Desk: "builtin", Ref: "203", Number: "FC-2026-000203", State: incident.CaseNew, Created: At(8 * time.Minute), Priority: incident.P2})
	return p
}

func slow(f *Fake) { slowness(f) }

// quiet is the same, fast again for two minutes. An older incident of the kind was accepted.
func quiet(f *Fake) {
	p := slowness(f)
	all := f.Newest[p.ID]
	copy(all[len(all)-4:], all[:4])
	for n := len(all) - 4; n < len(all); n++ {
		all[n].Start = At(time.Duration(len(all)-n)*30*time.Second - 20*time.Second)
	}
	last := all[len(all)-1]
	p.Last = &last
	p.Findings[0].Quiet = At(130 * time.Second)
	p.Findings[0].Explanation += "; fast again since 09:46:10 UTC, watched on because short slow stretches come again"
	f.Seen.Components[1].Detail = p.Findings[0].Explanation
	i := &f.Told[0]
	i.Class, i.Title, i.Widest, i.Reason, i.Resolution, i.AcceptedBy = incident.Performance, "web-client is slow", "web-client is slow", "slow", incident.Accepted, "mette"
	f.tell(i.ID, 37*time.Hour, incident.EventResolved, "firstcall", "the latency of web-client/http is taken as normal from now on, by mette: moved to another zone", incident.P2)
}
