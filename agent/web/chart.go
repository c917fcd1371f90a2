package web

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// A chart, in units of its own view box. It is stretched to the width of the page, so it holds no words: those stand beside it.
const (
	chartWide  = 1000
	chartTall  = 200 // of the field of values
	stripTop   = chartTall + 6
	stripTall  = 18
	chartWhole = stripTop + stripTall
)

// backdrop is what a chart is drawn over.
type backdrop struct {
	normal, slow time.Duration // of the baseline now; 0: not known
	limit        time.Duration // absolute; 0: none
	incidents    []incident.Incident
	maintenance  []policy.Span
}

// figure is a chart with its scale in words.
type figure struct {
	SVG  template.HTML
	Top  string // what the upper edge means
	Half string
}

// chart is a chart being drawn.
type chart struct {
	strings.Builder
	from time.Time
	span time.Duration
	most float64 // at the upper edge
}

func newChart(from, to time.Time, most float64) *chart {
	return &chart{from: from, span: max(to.Sub(from), time.Second), most: max(most, 1e-9)}
}

// x returns where an instant lies, kept on the paper.
func (c *chart) x(t time.Time) float64 {
	return min(max(float64(t.Sub(c.from))/float64(c.span), 0), 1) * chartWide
}

// y returns where a value lies, kept on the paper.
func (c *chart) y(v float64) float64 { return chartTall * (1 - min(max(v/c.most, 0), 1)) }

func (c *chart) rect(class string, x1, x2, y1, y2 float64, title string) {
	fmt.Fprintf(&c.Builder, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f">`, class, x1, y1, max(x2-x1, 1), max(y2-y1, 0))
	if title != "" {
		c.WriteString("<title>" + template.HTMLEscapeString(clean(title)) + "</title>")
	}
	c.WriteString("</rect>")
}

func (c *chart) line(class string, v float64) {
	if y := c.y(v); v > 0 && v <= c.most {
		fmt.Fprintf(&c.Builder, `<path class="%s" d="M0 %.1fH%d"/>`, class, y, chartWide)
	}
}

// open begins the markup; label says the chart in words.
func (c *chart) open(tall int, label string) {
	fmt.Fprintf(&c.Builder, `<svg class="chart" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`, chartWide, tall, template.HTMLEscapeString(label))
	fmt.Fprintf(&c.Builder, `<path class="rule" d="M0 .5H%dM0 %dH%dM0 %dH%d"/>`, chartWide, chartTall/2, chartWide, chartTall, chartWide)
}

func (c *chart) close() template.HTML {
	c.WriteString("</svg>")
	return template.HTML(c.String()) //nolint:gosec // made of numbers, classes of ours and escaped text
}

// behind draws maintenance and incidents.
func (c *chart) behind(b backdrop, to time.Time, zone *time.Location) {
	for _, m := range b.maintenance {
		c.rect("window", c.x(m.From), c.x(m.To), 0, chartTall, fmt.Sprintf("maintenance %s to %s: %s", clock(m.From, to, zone), clock(m.To, to, zone), m.Name))
	}
	for _, i := range b.incidents {
		end := i.Ended
		if end.IsZero() {
			end = to
		}
		class := "mark " + strings.ToLower(strings.Trim(i.Highest.String(), "-"))
		title := fmt.Sprintf("%s %s, since %s", i.Highest, i.AtWorst().Title, clock(i.Started, to, zone))
		c.rect(strings.TrimSpace(class), c.x(i.Started), c.x(end), 0, chartTall, title)
		fmt.Fprintf(&c.Builder, `<path class="%s edge" d="M%.1f 0V%d"/>`, class, c.x(i.Started), chartTall)
	}
}

// latencyChart draws a probe's latency by phase, what is normal, what is slow, and below it how each slice came out.
func (s *site) latencyChart(d series, b backdrop, name string) figure {
	c := newChart(d.From, d.To, float64(ceiling(d, b)))
	c.open(chartWhole, tellSeries(d, b, name))
	c.behind(b, d.To, s.Zone)
	if spread := min(max(b.slow-b.normal, 0), b.normal); b.normal > 0 {
		c.rect("band", 0, chartWide, c.y(float64(b.normal+spread)), c.y(float64(b.normal-spread)), "")
	}
	for k := range max(1, len(d.Phases)) {
		c.area(d, k)
	}
	c.dots(d)
	if b.normal > 0 {
		c.line("normal", float64(b.normal))
		c.line("slow", float64(b.slow))
	}
	c.line("limit", float64(b.limit))
	c.strip(d, b)
	return figure{c.close(), latency(time.Duration(c.most)), latency(time.Duration(c.most / 2))}
}

// area draws one phase on top of those before it, or the whole where there are none.
func (c *chart) area(d series, phase int) {
	var path strings.Builder
	for _, p := range d.Slices {
		if !p.answered() {
			continue
		}
		low, high := 0.0, float64(p.Typical)
		if len(d.Phases) > 0 {
			for _, took := range p.Phases[:phase] {
				low += float64(took)
			}
			high = low + float64(p.Phases[phase])
			if phase == len(d.Phases)-1 && high < float64(p.Typical) && p.Phases[phase] == 0 {
				continue
			}
		}
		if high > low {
			x := c.x(p.From)
			fmt.Fprintf(&path, "M%.1f %.1fH%.1fV%.1fH%.1fz", x, c.y(high), c.x(p.To), c.y(low), x)
		}
	}
	if path.Len() > 0 {
		fmt.Fprintf(&c.Builder, `<path class="phase%d" d="%s"/>`, phase%6, path.String())
	}
}

// dots marks the slowest of each slice where it stands out, and draws the typical as a line.
func (c *chart) dots(d series) {
	var slowest, typical strings.Builder
	pen, before := "M", time.Time{}
	for _, p := range d.Slices {
		if !p.answered() {
			pen = "M"
			continue
		}
		if !p.From.Equal(before) {
			pen = "M"
		}
		fmt.Fprintf(&typical, "%s%.1f %.1fH%.1f", pen, c.x(p.From), c.y(float64(p.Typical)), c.x(p.To))
		pen, before = "L", p.To
		if p.Slowest > p.Typical*3/2 {
			fmt.Fprintf(&slowest, "M%.1f %.1fH%.1f", c.x(p.From), c.y(float64(p.Slowest)), c.x(p.To))
		}
	}
	if typical.Len() > 0 {
		fmt.Fprintf(&c.Builder, `<path class="typical" d="%s"/>`, typical.String())
	}
	if slowest.Len() > 0 {
		fmt.Fprintf(&c.Builder, `<path class="slowest" d="%s"/>`, slowest.String())
	}
}

// strip draws below the chart how each slice came out, with the shapes of the outcome bars.
func (c *chart) strip(d series, b backdrop) {
	paths := map[string]*strings.Builder{}
	add := func(class, format string, args ...any) {
		if paths[class] == nil {
			paths[class] = &strings.Builder{}
		}
		fmt.Fprintf(paths[class], format, args...)
	}
	const low = stripTop + stripTall
	for _, p := range d.Slices {
		x, w := c.x(p.From), max(c.x(p.To)-c.x(p.From)-.6, .8)
		switch {
		case maintained(b.maintenance, p.From) && p.Counts[probes.Down]+p.Counts[probes.Degraded] > 0:
			add("maintenance", "M%.1f %dl%.2f -6l%.2f 6l-%.2f 6z", x, stripTop+stripTall/2, w/2, w/2, w/2)
		case p.Counts[probes.Down] > 0:
			add("down", "M%.1f %dh%.2fV%dh-%.2fz", x, stripTop, w, low, w)
		case p.Counts[probes.Degraded] > 0:
			add("degraded", "M%.1f %dh%.2fv5h-%.2fzm0 7h%.2fV%dh-%.2fz", x, stripTop+3, w, w, w, low, w)
		case p.Counts[probes.Up] > 0:
			add("up", "M%.1f %dh%.2fV%dh-%.2fz", x, low-8, w, low, w)
		default:
			add("unknown", "M%.1f %dh%.2fv5h-%.2fz", x, low-6, w, w)
		}
	}
	for _, class := range []string{"up", "degraded", "down", "unknown", "maintenance"} {
		if p := paths[class]; p != nil {
			fmt.Fprintf(&c.Builder, `<path class="bar %s" d="%s"/>`, class, p.String())
		}
	}
}

func maintained(spans []policy.Span, at time.Time) bool {
	for _, m := range spans {
		if m.Active(at) {
			return true
		}
	}
	return false
}

// ceiling returns what the upper edge of a chart means: round, above what is typical and what is normal, and not so high that one slow
// run flattens the rest.
func ceiling(d series, b backdrop) time.Duration {
	most := max(b.slow, b.normal)
	for _, p := range d.Slices {
		most = max(most, p.Typical, min(p.Slowest, 2*p.Typical))
	}
	if b.limit > 0 && b.limit < 3*most {
		most = max(most, b.limit)
	}
	return time.Duration(nice(float64(most) * 1.1))
}

// nice rounds up to 1, 2, 2.5 or 5 times a power of ten.
func nice(v float64) float64 {
	if v <= 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 2.5, 4, 5, 8} {
		if v <= step*power {
			return step * power
		}
	}
	return 10 * power
}

// tellSeries says a chart in words.
func tellSeries(d series, b backdrop, name string) string {
	var all []time.Duration
	var counts [4]int
	for _, p := range d.Slices {
		if p.answered() {
			all = append(all, p.Typical)
		}
		for o, n := range p.Counts {
			counts[o] += n
		}
	}
	text := "latency of " + name + ": "
	if len(all) == 0 {
		text += "nothing was answered"
	} else {
		text += "typically " + latency(middle(all)) + ", between " + latency(all[0]) + " and " + latency(all[len(all)-1])
	}
	text += fmt.Sprintf("; %d up, %d degraded, %d down, %d unknown", counts[probes.Up], counts[probes.Degraded], counts[probes.Down], counts[probes.Unknown])
	if len(b.incidents) > 0 {
		text += "; " + plural(len(b.incidents), "incident", "incidents")
	}
	return text
}

// numberChart draws a number of a probe over time, and its limit.
func (s *site) numberChart(d series, b backdrop, k int, kind probes.NumberKind, limit float64, limited bool) figure {
	most, least := 0.0, 0.0
	for _, p := range d.Slices {
		if p.Has[k] {
			most, least = max(most, p.Numbers[k]), min(least, p.Numbers[k])
		}
	}
	if limited {
		most = max(most, limit)
	}
	c := newChart(d.From, d.To, nice(most*1.1))
	c.open(chartTall, numberTold(d, k, kind))
	c.behind(b, d.To, s.Zone)
	var path strings.Builder
	pen := "M"
	for _, p := range d.Slices {
		if p.Has[k] {
			fmt.Fprintf(&path, "%s%.1f %.1fH%.1f", pen, c.x(p.From), c.y(p.Numbers[k]), c.x(p.To))
			pen = "L"
		}
	}
	if path.Len() > 0 {
		fmt.Fprintf(&c.Builder, `<path class="number" d="%s"/>`, path.String())
	}
	if limited {
		c.line("limit", limit)
	}
	return figure{c.close(), kind.Format(c.most), kind.Format(c.most / 2)}
}

func numberTold(d series, k int, kind probes.NumberKind) string {
	if last := lastNumber(d, k); last != nil {
		return strings.ReplaceAll(kind.Name, "_", " ") + ", newest " + kind.Format(*last)
	}
	return strings.ReplaceAll(kind.Name, "_", " ") + ": nothing was measured"
}
