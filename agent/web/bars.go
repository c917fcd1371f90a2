package web

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// The strip of outcome bars, in units of its own view box.
const (
	barCount  = 40
	barStep   = 5
	barWidth  = 4
	barHeight = 24
	barLeast  = 6 // of an answer that took no time at all
)

// strip draws the newest results as bars, the newest at the right. Each outcome has its own shape: up is a plain bar as high as
// the answer was slow, degraded is broken in two, down is full and notched, unknown is a small hollow box; what was not up in maintenance is a diamond. What
// is not up says why in its title. Everything in the markup is a number or is escaped here.
func strip(results []probes.Result, now time.Time, zone *time.Location, upkeep []policy.Span) template.HTML {
	if len(results) > barCount {
		results = results[len(results)-barCount:]
	}
	var b strings.Builder
	class := "bars"
	if maintained(upkeep, now) {
		class = "bars window"
	}
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %d %d" role="img" aria-label="%s">`, class, barCount*barStep, barHeight,
		template.HTMLEscapeString(tell(results, now, zone, upkeep)))
	ceiling := scale(results)
	var ups []byte
	left := (barCount - len(results)) * barStep
	for i, r := range results {
		x := left + i*barStep
		if r.Outcome == probes.Up && !r.Lagging {
			h := barLeast + int((barHeight-barLeast)*min(r.Duration, ceiling)/max(ceiling, 1))
			ups = fmt.Appendf(ups, "M%d %dh%dV%dh-%dz", x, barHeight-h, barWidth, barHeight, barWidth)
			continue
		}
		b.WriteString(bar(r, x, now, zone, maintained(upkeep, r.Start)))
	}
	if len(ups) > 0 {
		b.WriteString(`<path class="up" d="`)
		b.Write(ups)
		b.WriteString(`"/>`)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // made of numbers and escaped text above
}

// bar draws one result that is not plainly up.
func bar(r probes.Result, x int, now time.Time, zone *time.Location, upkeep bool) string {
	what := r.Outcome.String()
	if r.Lagging {
		what = "not used, the agent was late: " + what
	}
	if upkeep {
		what = "in maintenance, " + what
	}
	if r.Reason != probes.None {
		what += ", " + string(r.Reason)
	}
	title := precise(r.Start, now, zone) + " " + what + ", " + latency(r.Duration)
	class, d := "unknown", fmt.Sprintf("M%d.5 %d.5h3v8h-3z", x, barHeight-10)
	switch {
	case r.Lagging:
	case upkeep && r.Outcome != probes.Unknown:
		class, d = "maintenance", fmt.Sprintf("M%d %dl2.5 6l-2.5 6l-2.5 -6z", x+2, barHeight-12)
	case r.Outcome == probes.Down:
		class, d = "down", fmt.Sprintf("M%d 0l2.5 6l2.5-6V%dh-5z", x, barHeight)
	case r.Outcome == probes.Degraded:
		class, d = "degraded", fmt.Sprintf("M%d 3h4v8h-4zM%d 14h4V%dh-4z", x, x, barHeight)
	}
	return `<path class="` + class + `" d="` + d + `"><title>` + template.HTMLEscapeString(clean(title)) + `</title></path>`
}

// scale returns the duration that fills a bar: at least three times the median, so that an even answer looks even.
func scale(results []probes.Result) time.Duration {
	var all []time.Duration
	for _, r := range results {
		if r.Outcome == probes.Up && !r.Lagging {
			all = append(all, r.Duration)
		}
	}
	if len(all) == 0 {
		return 1
	}
	slices.Sort(all)
	return max(all[len(all)-1], 3*all[len(all)/2])
}

// tell says a strip in words.
func tell(results []probes.Result, now time.Time, zone *time.Location, upkeep []policy.Span) string {
	if len(results) == 0 {
		return "no results yet"
	}
	var counts [4]int
	late := 0
	for _, r := range results {
		switch {
		case r.Lagging:
			late++
		case int(r.Outcome) < len(counts):
			counts[r.Outcome]++
		}
	}
	var parts []string
	for _, o := range []probes.Outcome{probes.Up, probes.Degraded, probes.Down, probes.Unknown} {
		if counts[o] > 0 {
			parts = append(parts, strconv.Itoa(counts[o])+" "+o.String())
		}
	}
	if late > 0 {
		parts = append(parts, strconv.Itoa(late)+" not used")
	}
	text := fmt.Sprintf("last %s, %s to %s: %s", plural(len(results), "result", "results"), precise(results[0].Start, now, zone),
		precise(results[len(results)-1].Start, now, zone), strings.Join(parts, ", "))
	if maintained(upkeep, now) {
		text += "; in maintenance"
	}
	return text
}

// phases draws the parts of a duration as one line and names each.
func phases(r probes.Result) template.HTML {
	if len(r.Phases) == 0 || r.Duration <= 0 {
		return ""
	}
	var names []string
	var b strings.Builder
	x := 0.0
	for i, p := range r.Phases {
		if i == maxPhases {
			break
		}
		w := min(100-x, 100*float64(p.Duration)/float64(r.Duration))
		fmt.Fprintf(&b, `<rect class="phase%d" x="%.1f" width="%.1f" height="4"/>`, i%6, x, max(w, 0))
		x += max(w, 0)
		names = append(names, strings.ReplaceAll(strings.ReplaceAll(clean(p.Name), "_", " ")+" "+latency(p.Duration), " ", noBreak))
	}
	text := template.HTMLEscapeString(strings.Join(names, noBreak+"· "))
	return template.HTML(`<svg class="phases" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">` + b.String() + //nolint:gosec // as above
		`</svg><small>` + text + `</small>`)
}

// noBreak is a space at which no line ends.
const noBreak = "\u00a0"

// maxPhases bounds what is drawn; no kind has more than six.
const maxPhases = 8
