package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// maxWhere bounds the phases of a slow probe that are shown.
const maxWhere = 6

// findingRow is what a detector asserts of a probe.
type findingRow struct {
	Text  string
	Quiet string     // that it is fast again, and since when
	Where []phaseRow // where the time went, of a probe that is slow
	Whole phaseRow   // of the same, in whole
	said  string     // Text, with what Quiet says in its place
}

// finds reports whether a finding of the probe says just that.
func (p *probeRow) finds(text string) bool {
	return slices.ContainsFunc(p.Findings, func(f findingRow) bool { return f.said == text })
}

// phaseRow is a part of a latency against what is normal.
type phaseRow struct{ Name, Now, Normal, More string }

func newPhaseRow(name string, now, normal time.Duration) phaseRow {
	row := phaseRow{Name: strings.ReplaceAll(clean(name), "_", " "), Now: latency(now), Normal: latency(normal)}
	switch {
	case now >= normal:
		row.More = "+" + latency(now-normal)
	default:
		row.More = "−" + latency(normal-now)
	}
	return row
}

func (s *site) findingRow(f incident.Finding, now time.Time) findingRow {
	row := findingRow{Text: clean(f.Explanation)}
	row.said = row.Text
	if !f.Quiet.IsZero() {
		row.Quiet = "fast again since " + clock(f.Quiet, now, s.Zone) + ", watched until it has stayed so"
		if i := strings.LastIndex(row.Text, quietly); i >= 0 {
			row.Text = row.Text[:i]
		}
	}
	if l := f.Latency; l != nil && len(l.Where) > 0 {
		for _, c := range l.Where[:min(maxWhere, len(l.Where))] {
			row.Where = append(row.Where, newPhaseRow(c.Phase, c.Median, c.Expected))
		}
		row.Whole = newPhaseRow(l.Phase, l.Median, l.Expected)
	}
	return row
}

// quietly is how the detector goes on, in UTC, where a probe is fast again: the page says it in the tenant's zone.
const quietly = "; fast again since "

// regression returns the finding that a probe is slow, or was a moment ago; nil: it is not.
func regression(p engine.ProbeView) *incident.Finding {
	for i := range p.Findings {
		if p.Findings[i].Kind == incident.Regression {
			return &p.Findings[i]
		}
	}
	return nil
}

// normal says what is normal for a probe: "normally 38 ms, slow from 46 ms"; "": it is not known.
func normal(b *engine.BaselineView) string {
	if b == nil || b.Expected <= 0 {
		return ""
	}
	text := "normally " + unbroken(latency(b.Expected))
	if b.Limit > 0 {
		text += ", slow from " + unbroken(latency(b.Limit))
	}
	return text
}

// unbroken keeps a number and its unit on one line.
func unbroken(text string) string { return strings.ReplaceAll(text, " ", noBreak) }

// learned says how far the baseline is, until it is whole: "learning, 3 of 14 days".
func learned(b *engine.BaselineView) string {
	if b == nil || b.Days >= b.Of {
		return ""
	}
	return fmt.Sprintf("learning, %d of %d days", b.Days, b.Of)
}

// judged returns what is held against the baseline where that is not the whole run: "round trip 12 ms"; "" otherwise.
func judged(r *probes.Result) string {
	if d, ok := r.Phase(probes.PhaseRTT); ok {
		return "round trip " + unbroken(latency(d)) + ", "
	}
	return ""
}
