package report_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

// story is a random time: outages, holds, windows and gaps.
type story struct {
	tales   []report.Tale
	windows []policy.Window
	orders  []incident.Order
	off     [][2]time.Time
	level   sla.Level
}

func aStory(t *testing.T, rt *rapid.T, from time.Time) story {
	minutes := func(what string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(rt, what)) * time.Minute
	}
	var s story
	for n := range rapid.IntRange(0, 5).Draw(rt, "incidents") {
		start := from.Add(minutes("start", 4*24*60) - 12*time.Hour)
		end := start.Add(minutes("length", 600))
		i := incident.Incident{
			ID: fmt.Sprint("i", n), Class: incident.Availability, Components: []string{"a", "b"}, Priority: incident.P1, Highest: incident.P1, Started: start,
			Opened: start.Add(minutes("confirmed", 5)), Outages: []incident.ComponentOutage{},
		}
		i.Commencement, i.ReactionDue = i.Opened, i.Opened.Add(15*time.Minute)
		if rapid.Bool().Draw(rt, "closed") {
			i.Ended, i.Closed, i.Resolution = end, end.Add(time.Minute), incident.Recovered
		}
		if rapid.IntRange(0, 4).Draw(rt, "old") == 0 {
			i.Outages = nil
		}
		for _, c := range i.Components {
			if i.Outages != nil && rapid.Bool().Draw(rt, c) {
				i.Outages = append(i.Outages, incident.ComponentOutage{Component: c, From: start, To: i.Ended})
			}
		}
		k := incident.Case{Incident: i.ID, Desk: "soc", Ref: "1", Number: "1"}
		for range rapid.IntRange(0, 2).Draw(rt, "holds") {
			held := start.Add(minutes("held", 600))
			k.Holds = append(k.Holds, incident.Hold{From: held, To: held.Add(minutes("for", 300))})
		}
		s.tales = append(s.tales, report.Tale{Incident: i, Cases: []incident.Case{k}})
	}
	if rapid.Bool().Draw(rt, "maintained") {
		s.windows = []policy.Window{{Name: "w", Schedule: schedule(t, "30 1 * * *"), Duration: 3 * time.Hour, Components: []string{"a"}}}
	}
	for range rapid.IntRange(0, 2).Draw(rt, "ordered") {
		at := from.Add(minutes("ordered", 3*24*60))
		s.orders = append(s.orders, incident.Order{Kind: incident.OrderMaintenance, Components: []string{"b"}, From: at, Until: at.Add(minutes("lasts", 300))})
	}
	for range rapid.IntRange(0, 3).Draw(rt, "gaps") {
		off := from.Add(minutes("off", 3*24*60))
		s.off = append(s.off, [2]time.Time{off, off.Add(minutes("gone", 400))})
	}
	if rapid.Bool().Draw(rt, "hours") {
		c, err := sla.ParseCalendar([]string{"Mon-Fri 08:00-16:00", "Sun 01:00-04:00"}, copenhagen(t), "")
		if err != nil {
			rt.Fatal(err)
		}
		s.level.Supported = c
	}
	return s
}

func (s story) report(t *testing.T, from, to, made time.Time) *report.Report {
	in := report.Input{
		Tenant: "acme", Zone: copenhagen(t), From: from, To: to, Made: made, Windows: s.windows, Orders: s.orders, Level: s.level, Tales: s.tales, Primary: "soc",
		Components: []report.InputComponent{{Name: "a", Instances: 1}, {Name: "b", Instances: 1}},
		Probes: []report.Probe{
			{ID: "a/tcp", Component: "a", Deciding: true, Interval: 15 * time.Minute},
			{ID: "b/tcp", Component: "b", Deciding: true, Schedule: schedule(t, "*/30 * * * *")},
		},
	}
	in.Measured = report.NewMeasured(in.Probes, from, to, in.Zone)
	first, end := in.Measured.Bounds()
	for at := first.Truncate(30 * time.Minute); at.Before(end); at = at.Add(15 * time.Minute) {
		if slices.ContainsFunc(s.off, func(o [2]time.Time) bool { return !at.Before(o[0]) && at.Before(o[1]) }) {
			continue
		}
		in.Measured.Add(probes.Result{Probe: "a/tcp", Start: at, Outcome: probes.Up})
		if at.Minute()%30 == 0 {
			in.Measured.Add(probes.Result{Probe: "b/tcp", Start: at, Outcome: probes.Up})
		}
	}
	return report.Compute(in)
}

// TestAvailabilityHolds states what is true of every report, and that the figures of its parts add up to those of the whole.
func TestAvailabilityHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from := time.Date(2026, 10, 23, 22, 0, 0, 0, time.UTC) // the clocks go back on the 25th
		to := from.Add(3 * 24 * time.Hour)
		cut := from.Add(time.Duration(rapid.IntRange(1, 3*24*60-1).Draw(rt, "cut")) * time.Minute)
		s := aStory(t, rt, from)
		whole, first, second := s.report(t, from, to, to), s.report(t, from, cut, to), s.report(t, cut, to, to)
		for i, c := range whole.Parts {
			for _, share := range []report.Share{c.GrossShare, c.NetShare, c.AtLeast} {
				if share.Part < 0 || share.Part > share.Whole || share.Ratio() < 0 || share.Ratio() > 1 {
					rt.Fatalf("share %+v of %+v", share, c)
				}
			}
			if c.Net > c.Gross || c.NetShare.Ratio() < c.GrossShare.Ratio() || c.AtLeast.Known() && c.AtLeast.Ratio() > c.GrossShare.Ratio()+1e-12 && c.GrossShare.Known() {
				rt.Fatalf("net, gross and at least: %+v", c)
			}
			if c.Judged+c.Maintenance+c.Unmeasured != whole.Period || c.Gross > c.Judged {
				rt.Fatalf("the parts are not the whole of %s: %+v", time.Duration(whole.Period), c)
			}
			a, b := first.Parts[i], second.Parts[i]
			for name, x := range map[string][3]report.Seconds{
				"gross": {a.Gross, b.Gross, c.Gross}, "net": {a.Net, b.Net, c.Net}, "judged": {a.Judged, b.Judged, c.Judged},
				"maintenance": {a.Maintenance, b.Maintenance, c.Maintenance}, "unmeasured": {a.Unmeasured, b.Unmeasured, c.Unmeasured},
			} {
				if x[0]+x[1] != x[2] {
					rt.Fatalf("%s of %s: %s and %s are not %s", name, c.Name, time.Duration(x[0]), time.Duration(x[1]), time.Duration(x[2]))
				}
			}
			var days, gross report.Seconds
			for _, d := range c.Days {
				days, gross = days+d.Length, gross+d.Gross
			}
			if days != whole.Period || gross != c.Gross {
				rt.Fatalf("days of %s add up to %s and %s", c.Name, time.Duration(days), time.Duration(gross))
			}
		}
		if sum := first.Coverage.Measured + second.Coverage.Measured; sum != whole.Coverage.Measured || whole.Coverage.Measured+whole.Coverage.Stopped+whole.Coverage.Blind != whole.Period {
			rt.Fatalf("measured %s, in parts %s; %+v", time.Duration(whole.Coverage.Measured), time.Duration(sum), whole.Coverage)
		}
		counted := func(r *report.Report) (n int) {
			for _, x := range r.Reactions {
				n += x.Incidents
			}
			return n
		}
		if counted(first)+counted(second) != counted(whole) {
			rt.Fatalf("%d and %d reactions are not %d", counted(first), counted(second), counted(whole))
		}
		if whole.Fingerprint == "" || whole.Fingerprint != s.report(t, from, to, to).Fingerprint {
			rt.Fatal("the same figures have another fingerprint")
		}
	})
}
