package replay

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/agent/plot"
)

// Picture returns a chart of the series that the reports keep the readings of, with a strip of verdicts for each report. The
// reports are of one record; what is normal, and the time zone, are the first one's.
func Picture(reports ...*Report) plot.Chart {
	first := reports[0]
	c := plot.Chart{Title: first.Probe, Zone: first.Zone}
	if len(reports) == 1 {
		c.Title = fmt.Sprintf("%s, judged by %s", first.Probe, named(first))
	}
	for _, r := range first.Readings {
		c.Points = append(c.Points, plot.Point{At: r.At, Value: r.Value})
		c.Levels = append(c.Levels, plot.Level{At: r.At, Expected: r.Expected, Limit: r.Limit})
		if !r.Change.IsZero() {
			c.Changes = append(c.Changes, r.Change)
		}
	}
	for i, r := range reports {
		v := r.verdict()
		if len(reports) > 1 {
			v.Name = string(rune('A' + i))
		}
		c.Verdicts = append(c.Verdicts, v)
	}
	return c
}

// verdict returns what was judged of the series, and the cases that speak of its component.
func (r *Report) verdict() plot.Verdict {
	var v plot.Verdict
	states := map[string]plot.State{"degraded": plot.Degraded, "down": plot.Down}
	var from time.Time
	state := plot.OK
	flush := func(to time.Time) {
		if state != plot.OK {
			v.Spans = append(v.Spans, plot.Span{From: from, To: to, State: state})
		}
	}
	for _, reading := range r.Readings {
		if now := states[reading.State]; now != state {
			flush(reading.At)
			state, from = now, reading.At
		}
	}
	flush(r.End)
	component, _, _ := strings.Cut(r.Probe, "/")
	cases, _ := r.Cases()
	for _, i := range cases {
		if slices.Contains(i.Components, component) {
			v.Marks = append(v.Marks, plot.Mark{At: i.Opened, Text: i.Highest.String()})
		}
	}
	return v
}
