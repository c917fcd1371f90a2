package report

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/agent/plot"
)

// Lacking returns the words of a report that have no translation.
func Lacking(r *Report) []string {
	w := newWords("da", r.zone)
	var lacking []string
	w.lacks = func(key string) { lacking = append(lacking, key) }
	for _, s := range r.document(w).Sections {
		for _, p := range s.Plots {
			if _, err := p.chart.Render(plot.SVG); err != nil {
				lacking = append(lacking, err.Error())
			}
		}
	}
	slices.Sort(lacking)
	return slices.Compact(lacking)
}

// Percent and Lasting write a share and a duration in a language.
func Percent(code string, s Share) string { return newWords(code, time.UTC).percent(s) }

func Lasting(code string, s Seconds) string { return newWords(code, time.UTC).span(s) }

func Short(code string, s Seconds) string { return newWords(code, time.UTC).latency(s) }
