package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/agent/plot"
	"github.com/firstcall-agent/firstcall/incident"
)

// The traces, of a ping every four minutes, from github.com/WenqinSHAO/rtt: incident/detect/testdata/rtt/LICENSE.
const (
	calm    = "11241" // Mon 12 to Tue 20 Dec 2016: 193 to 183 ms, one path after the other
	restive = "15271" // Fri 14 to Fri 28 Oct 2016: 249 to 315 ms, and back, and again
)

// figure is a picture of one trace.
type figure struct {
	name, title string
	trace       string
	known       bool                    // the trace's own first week comes before it, so that the probe knows its weeks
	fault       func(time.Time) float64 // factor on the latency
	from, to    time.Time               // of the picture
	says        func(*judged) string
	dated       bool // changes of level are drawn
	quoted      bool // the page quotes what the finding says
}

var figures = []figure{
	{
		name: "hour", title: "An hour that is half as slow again", trace: calm, known: true, dated: true, quoted: true,
		fault: between(at(19, 9), time.Hour, 1.5), from: at(19, 4), to: at(19, 16),
		says: func(j *judged) string {
			return "Latency x 1.5 on Monday from 09:00 to 10:00. " + j.story(at(19, 9))
		},
	},
	{
		name: "paths", title: "Small changes of path", trace: calm, dated: true,
		fault: none, from: at(15, 6), to: at(17, 18),
		says: func(j *judged) string {
			n := len(j.changes(at(15, 6), at(17, 18)))
			return fmt.Sprintf("As it was measured. %d changes of level are dated; %s.", n, j.alarms())
		},
	},
	{
		name: "week", title: "The first week of a probe", trace: calm,
		fault: wave, from: at(12, 5), to: at(20, 14),
		says: func(j *judged) string {
			return fmt.Sprintf("A wave of up to +40 %% between 07:00 and 17:00 of working days is multiplied in. In these eight days %s.", j.alarms())
		},
	},
	{
		name: "ramp", title: "A slow creep", trace: calm, known: true,
		fault: ramp(at(17, 12), .01, 1.6), from: at(17, 0), to: at(20, 14),
		says: func(j *judged) string {
			return fmt.Sprintf("From Saturday 12:00 on slower by 1 %% of the first level each hour. Judged slow at %s (test `%s`), when the rise was %.0f %%.",
				clock(j.raised[0].At), j.raised[0].Latency.Test, 100*(ramp(at(17, 12), .01, 1.6)(j.raised[0].At)-1))
		},
	},
	{
		name: "burst", title: "Short bursts, held as one", trace: calm, known: true,
		fault: bursts(at(19, 8), 6, time.Hour, 20*time.Minute, 2), from: at(19, 5), to: at(19, 22),
		says: func(j *judged) string {
			return fmt.Sprintf("Doubled for 20 minutes at the beginning of six hours of Monday. %s %d slow stretches are %s and %s.",
				j.story(at(19, 8)), len(j.slow), count(len(j.raised), "finding"), count(len(j.cases), "case"))
		},
	},
	{
		name: "accepted", title: "A permanent change", trace: restive, dated: true,
		fault: none, from: time.Date(2016, 10, 20, 12, 0, 0, 0, time.UTC), to: time.Date(2016, 10, 23, 12, 0, 0, 0, time.UTC),
		says: func(j *judged) string {
			return fmt.Sprintf("As it was measured. %s Taken as normal at %s.", j.story(j.raised[0].Since), clock(j.closed[0]))
		},
	},
}

// at returns an instant of the calm trace's month.
func at(day, hour int) time.Time { return time.Date(2016, 12, day, hour, 0, 0, 0, time.UTC) }

func none(time.Time) float64 { return 1 }

func between(from time.Time, long time.Duration, factor float64) func(time.Time) float64 {
	return func(t time.Time) float64 {
		if t.Before(from) || !t.Before(from.Add(long)) {
			return 1
		}
		return factor
	}
}

func bursts(from time.Time, n int, every, long time.Duration, factor float64) func(time.Time) float64 {
	return func(t time.Time) float64 {
		if into := t.Sub(from); into < 0 || into >= time.Duration(n)*every || into%every >= long {
			return 1
		}
		return factor
	}
}

func ramp(from time.Time, anHour, most float64) func(time.Time) float64 {
	return func(t time.Time) float64 { return min(1+anHour*max(0, t.Sub(from).Hours()), most) }
}

// wave is half a sine over the hours of work.
func wave(t time.Time) float64 {
	into := float64(t.Hour()) + float64(t.Minute())/60 - 7
	if into < 0 || into > 10 || t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
		return 1
	}
	return 1 + .4*math.Sin(math.Pi*into/10)
}

// story says when the first finding of a fault began, and the case.
func (j *judged) story(fault time.Time) string {
	i := slices.IndexFunc(j.raised, func(f incident.Finding) bool { return !f.At.Before(fault) })
	if i < 0 {
		return "It is not judged slow."
	}
	f := &j.raised[i]
	text := fmt.Sprintf("Judged slow at %s by run %d of the change (test `%s`), dated back to %s", clock(f.At), j.runs(fault, f.At), f.Latency.Test, clock(f.Since))
	for k := range j.cases {
		if c := &j.cases[k]; !c.Opened.Before(fault) {
			return fmt.Sprintf("%s; case at %s, priority %d.", text, clock(c.Opened), c.Highest)
		}
	}
	return text + "."
}

func (j *judged) alarms() string {
	if n := len(j.raised); n > 0 {
		return count(n, "finding") + " began"
	}
	return "nothing is judged slow"
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func clock(t time.Time) string { return t.Format("Mon 15:04") }

// chart is the picture: dots, what is normal up to the limit, and strips of when it was judged slow, how long the finding lasted and
// how long the case was open.
func (f *figure) chart(j *judged) plot.Chart {
	c := plot.Chart{Title: f.title, From: f.from, To: f.to, Height: 380, Width: 900}
	if f.dated {
		c.Changes = j.changes(f.from, f.to)
	}
	for _, r := range j.readings {
		if !r.At.Before(f.from) && !r.At.After(f.to) {
			c.Points = append(c.Points, plot.Point{At: r.At, Value: r.Value})
			c.Levels = append(c.Levels, plot.Level{At: r.At, Expected: r.Expected, Limit: r.Limit})
		}
	}
	slow, finding, open := plot.Verdict{Name: "slow"}, plot.Verdict{Name: "finding"}, plot.Verdict{Name: "case"}
	until := func(t time.Time) time.Time {
		if t.IsZero() {
			return j.end
		}
		return t
	}
	for _, s := range j.slow {
		slow.Spans = append(slow.Spans, plot.Span{From: s.from, To: until(s.to), State: plot.Degraded})
	}
	for i := range j.raised {
		s := plot.Span{From: j.raised[i].At, To: j.end, State: plot.Degraded}
		if i < len(j.ended) {
			s.To = j.closed[i]
		}
		finding.Spans = append(finding.Spans, s)
	}
	for _, k := range j.cases {
		open.Spans = append(open.Spans, plot.Span{From: k.Opened, To: until(k.Closed), State: plot.Degraded})
		open.Marks = append(open.Marks, plot.Mark{At: k.Opened, Text: k.Highest.String()})
	}
	if len(slow.Spans) > 0 {
		c.Verdicts = []plot.Verdict{slow, finding, open}
	}
	return c
}
