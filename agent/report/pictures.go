package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/agent/plot"
)

// pictures returns the latency of each probe over the period, hour by hour, in the order of the report; only the slowest where there are
// many.
func (r *Report) pictures(w *words) []picture {
	order := make([]int, 0, len(r.Latency))
	for i, l := range r.Latency {
		if l.P50 != nil {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(longest(r.Latency[b]), longest(r.Latency[a])) })
	order = order[:min(mostPictures, len(order))]
	slices.Sort(order)
	var all []picture
	for _, i := range order {
		all = append(all, picture{r.Latency[i].Probe, r.chart(w, r.Latency[i])})
	}
	return all
}

// chart draws the hourly median, and up to what 95 of 100 runs took, over the downtime of the component.
func (r *Report) chart(w *words, l Latency) plot.Chart {
	own := map[string]string{"normal": w.say("median of the hour"), "up to the limit": w.say("up to 95 % of the runs"), "judged down": w.say("component down")}
	c := plot.Chart{Title: l.Probe, Zone: r.zone, From: r.From, To: r.Until, Width: 1000, Height: 280, Say: func(word string) string {
		if text, ok := own[word]; ok {
			return text
		}
		return w.say(word)
	}}
	var last time.Time
	for i := range l.list {
		h := &l.list[i]
		median, ok := h.quantile(0.50)
		if !ok {
			continue
		}
		high, _ := h.quantile(0.95)
		at := later(r.From, h.at.Add(30*time.Minute))
		if !last.IsZero() && at.Sub(last) > 90*time.Minute {
			c.Levels = append(c.Levels, plot.Level{At: last.Add(time.Minute)}) // a gap
		}
		last = at
		c.Levels = append(c.Levels, plot.Level{At: at, Expected: median, Limit: max(high, median)})
	}
	var down []plot.Span
	for _, i := range r.Incidents {
		for _, d := range i.Downtime {
			if d.Component != l.Component {
				continue
			}
			for _, s := range d.Spans {
				down = append(down, plot.Span{From: s.From, To: s.To, State: plot.Down})
			}
		}
	}
	c.Verdicts = []plot.Verdict{{Spans: down}}
	return c
}
