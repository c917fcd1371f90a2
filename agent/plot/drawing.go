package plot

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-analyze/charts"
)

// The colours are told apart by the colour-blind (after Okabe and Ito), and by their lightness where the picture is printed in
// grey: a time that was down is darker than one that was slow.
var (
	white     = charts.ColorRGB(255, 255, 255)
	ink       = charts.ColorRGB(34, 34, 34)
	soft      = charts.ColorRGB(110, 110, 110)
	grid      = charts.ColorRGB(226, 226, 226)
	frame     = charts.ColorRGB(150, 150, 150)
	measured  = charts.ColorRGB(0, 90, 156)
	band      = charts.ColorRGB(214, 231, 243)
	normal    = charts.ColorRGB(34, 34, 34)
	failure   = charts.ColorRGB(120, 16, 16)
	degraded  = charts.ColorRGB(240, 170, 40)
	down      = charts.ColorRGB(140, 20, 30)
	paleSlow  = charts.ColorRGB(253, 240, 214)
	paleDown  = charts.ColorRGB(240, 205, 205)
	change    = charts.ColorRGB(150, 60, 140)
	transport = charts.ColorRGB(0, 0, 0).WithAlpha(0)
)

const (
	small, large = 9.0, 11.0 // sizes of text
	lineHeight   = 15
	markHeight   = 12
	stripHeight  = 12
	stripGap     = 4
	failHeight   = 8
	margin       = 10
)

// drawing is a chart on its way to the paper.
type drawing struct {
	Chart
	p                        *charts.Painter
	left, top, right, bottom int // of the series' own field
	below                    int // bottom of the last strip
	from, to                 time.Time
	most                     time.Duration // at the top edge
	above                    int           // points over it
	highest                  time.Duration
	failed                   int
	timeless                 bool // nothing says which time is meant: the axis has no words
}

func (d *drawing) draw() {
	d.p.FilledRect(0, 0, d.Width, d.Height, white, white, 0)
	d.measure()
	d.layout()
	d.shade()
	d.drawBand()
	d.drawGrid()
	d.drawPoints()
	d.drawExpected()
	d.drawChanges()
	d.drawStrips()
	d.drawMarks()
	d.frameAndTitle()
	if len(d.Points)+len(d.Levels) == 0 {
		d.centre(d.say("no results in this time"))
	}
}

// measure finds the bounds in time and in value.
func (d *drawing) measure() {
	d.from, d.to = d.From, d.To
	include := func(t time.Time) {
		if d.From.IsZero() && (d.from.IsZero() || t.Before(d.from)) {
			d.from = t
		}
		if d.To.IsZero() && (d.to.IsZero() || t.After(d.to)) {
			d.to = t
		}
	}
	values := make([]time.Duration, 0, len(d.Points))
	for _, p := range d.Points {
		include(p.At)
		if !d.From.IsZero() && p.At.Before(d.From) || !d.To.IsZero() && p.At.After(d.To) {
			continue
		}
		if p.Value > 0 {
			values = append(values, p.Value)
			d.highest = max(d.highest, p.Value)
		} else {
			d.failed++
		}
	}
	if d.from.IsZero() {
		d.timeless = true
		d.from = time.Unix(0, 0)
		d.to = d.from.Add(time.Hour)
	}
	if !d.to.After(d.from.Add(time.Second)) {
		d.from, d.to = d.from.Add(-30*time.Second), d.from.Add(30*time.Second)
	}
	d.most = d.ceiling(values)
	for _, v := range values {
		if v > d.most {
			d.above++
		}
	}
}

// x returns where an instant is.
func (d *drawing) x(t time.Time) int {
	share := float64(t.Sub(d.from)) / float64(d.to.Sub(d.from))
	return d.left + int(math.Round(min(max(share, 0), 1)*float64(d.right-d.left)))
}

// y returns where a value is; what is above the top edge is on it.
func (d *drawing) y(v time.Duration) int {
	share := float64(v) / float64(d.most)
	return d.bottom - int(math.Round(min(max(share, 0), 1)*float64(d.bottom-d.top)))
}

// inside reports whether an instant is in the picture.
func (d *drawing) inside(t time.Time) bool { return !t.Before(d.from) && !t.After(d.to) }

func (d *drawing) say(word string) string {
	if d.Say == nil {
		return word
	}
	return d.Say(word)
}

// day writes the date of an instant.
func (d *drawing) day(t time.Time) string {
	return fmt.Sprintf("%s %d %s", d.say(t.Format("Mon")), t.Day(), d.say(t.Format("Jan")))
}

func font(size float64, c charts.Color) charts.FontStyle {
	return charts.FontStyle{FontSize: size, FontColor: c}
}

func (d *drawing) width(text string, size float64) int {
	return d.p.MeasureText(text, 0, font(size, ink)).Width()
}

func (d *drawing) text(text string, x, y int, size float64, c charts.Color) {
	d.p.Text(text, x, y, 0, font(size, c))
}

func (d *drawing) centre(text string) {
	d.text(text, (d.left+d.right-d.width(text, large))/2, (d.top+d.bottom)/2, large, soft)
}

func (d *drawing) rect(x1, y1, x2, y2 int, c charts.Color) {
	if x2 > x1 && y2 > y1 {
		d.p.FilledRect(x1, y1, x2, y2, c, transport, 0)
	}
}

// layout divides the paper: title, legend, series, strips, time axis.
func (d *drawing) layout() {
	d.left = margin
	for _, v := range d.valueTicks() {
		d.left = max(d.left, margin+d.width(short(v), small)+8)
	}
	for _, v := range d.Verdicts {
		d.left = max(d.left, margin+d.width(v.Name, small)+8)
	}
	d.right = d.Width - margin - 6
	d.top = margin + 8
	if d.Title != "" {
		d.top += lineHeight + 6
	}
	d.top += d.legend(false)
	if d.marked() {
		d.top += d.markRows()*markHeight + 2
	}
	d.below = d.Height - margin - 2*lineHeight - 2
	d.bottom = d.below
	if n := len(d.Verdicts); n > 0 {
		d.bottom -= n*(stripHeight+stripGap) + 2
	}
	if d.failed > 0 {
		d.bottom -= failHeight + 2
	}
	d.bottom = max(d.bottom, d.top+30)
}

// marked reports whether a mark is in the picture.
func (d *drawing) marked() bool {
	return slices.ContainsFunc(d.Verdicts, func(v Verdict) bool {
		return slices.ContainsFunc(v.Marks, func(m Mark) bool { return d.inside(m.At) })
	})
}

// markRows returns how many rows the words of marks have.
func (d *drawing) markRows() int { return min(1+len(d.Verdicts), 3) }

func (d *drawing) frameAndTitle() {
	d.p.LineStroke([]charts.Point{{X: d.left, Y: d.top}, {X: d.left, Y: d.bottom}, {X: d.right, Y: d.bottom}, {X: d.right, Y: d.top}, {X: d.left, Y: d.top}}, frame, 1)
	if d.Title != "" {
		d.text(d.fit(d.Title, d.Width-2*margin, large), margin, margin+lineHeight-2, large, ink)
	}
	d.legend(true)
}

// fit cuts a text to a width.
func (d *drawing) fit(text string, width int, size float64) string {
	runes := []rune(text)
	for d.width(text, size) > width && len(runes) > 1 {
		runes = runes[:len(runes)-1]
		text = string(runes) + "..."
	}
	return text
}

// short writes a latency as people read it.
func short(v time.Duration) string {
	switch {
	case v == 0:
		return "0"
	case v < time.Millisecond:
		return fmt.Sprintf("%g µs", float64(v)/1e3)
	case v < time.Second:
		return fmt.Sprintf("%.4g ms", float64(v)/1e6)
	}
	return fmt.Sprintf("%.4g s", v.Seconds())
}
