package plot

import (
	"slices"
	"time"

	"github.com/go-analyze/charts"
)

// shade colours the field of the series where the first verdict is not OK: paler than the strip, so that dots stay readable.
func (d *drawing) shade() {
	if len(d.Verdicts) == 0 {
		return
	}
	for _, s := range d.Verdicts[0].Spans {
		if x1, x2, ok := d.extent(s); ok {
			d.rect(x1, d.top, x2, d.bottom, map[State]charts.Color{Degraded: paleSlow, Down: paleDown}[s.State])
		}
	}
}

// extent returns where a span is, at least two pixels wide.
func (d *drawing) extent(s Span) (x1, x2 int, ok bool) {
	if s.State == OK || s.To.Before(d.from) || s.From.After(d.to) {
		return 0, 0, false
	}
	x1, x2 = d.x(s.From), d.x(s.To)
	if x2-x1 < 2 {
		x2 = x1 + 2
	}
	return x1, min(x2, d.right), true
}

func (d *drawing) drawStrips() {
	y := d.below - len(d.Verdicts)*(stripHeight+stripGap) + stripGap
	for _, v := range d.Verdicts {
		d.rect(d.left, y, d.right, y+stripHeight, charts.ColorRGB(240, 240, 240))
		for _, s := range v.Spans {
			if x1, x2, ok := d.extent(s); ok {
				d.rect(x1, y, x2, y+stripHeight, map[State]charts.Color{Degraded: degraded, Down: down}[s.State])
			}
		}
		if v.Name != "" {
			d.text(v.Name, d.left-6-d.width(v.Name, small), y+stripHeight-2, small, ink)
		}
		y += stripHeight + stripGap
	}
}

// drawMarks flags the instants of the verdicts above the series. A word that would overlap another goes to the next row; where
// all are full there, the sign alone stands.
func (d *drawing) drawMarks() {
	free := make([]int, d.markRows())
	for _, v := range d.Verdicts {
		for _, m := range v.Marks {
			if !d.inside(m.At) {
				continue
			}
			x := d.x(m.At)
			d.p.DashedLineStroke([]charts.Point{{X: x, Y: d.top}, {X: x, Y: d.bottom}}, ink, 1, []float64{2, 3})
			d.p.FillArea([]charts.Point{{X: x - 4, Y: d.top - 6}, {X: x + 4, Y: d.top - 6}, {X: x, Y: d.top}, {X: x - 4, Y: d.top - 6}}, ink)
			text := m.Text
			if len(d.Verdicts) > 1 && v.Name != "" {
				text = v.Name + " " + text
			}
			width := d.width(text, small)
			at := min(max(x-width/2, d.left), d.right-width)
			for row := range free {
				if at >= free[row] {
					d.text(text, at, d.top-8-row*markHeight, small, ink)
					free[row] = at + width + 6
					break
				}
			}
		}
	}
}

func (d *drawing) drawChanges() {
	for _, at := range d.Changes {
		if !d.inside(at) {
			continue
		}
		x := d.x(at)
		d.p.DashedLineStroke([]charts.Point{{X: x, Y: d.top}, {X: x, Y: d.bottom}}, change, 1.4, []float64{7, 3})
		d.p.FilledDiamond(x, d.bottom-5, 9, 9, change, change, 1)
	}
}

// key is an entry of the legend.
type key struct {
	text string
	draw func(x, y int) // on a field of 18 x 10 pixels whose lower left corner is there
}

// legend writes what the signs mean, those that are used only, and returns how high it is. Without ink it only measures.
func (d *drawing) legend(inked bool) (height int) {
	const leastWithLegend = 260
	keys := d.keys()
	if len(keys) == 0 || d.Height < leastWithLegend {
		return 0
	}
	x, y := margin, margin+lineHeight-2
	if d.Title != "" {
		y += lineHeight + 4
	}
	first := y
	for _, k := range keys {
		width := 22 + d.width(k.text, small) + 14
		if x+width > d.Width-margin && x > margin {
			x = margin
			y += lineHeight
		}
		if inked {
			k.draw(x, y)
			d.text(k.text, x+22, y, small, ink)
		}
		x += width
	}
	return y - first + lineHeight
}

func (d *drawing) keys() []key {
	box := func(c charts.Color) func(x, y int) { return func(x, y int) { d.rect(x, y-9, x+18, y+1, c) } }
	var keys []key
	add := func(used bool, text string, draw func(x, y int)) {
		if used {
			keys = append(keys, key{d.say(text), draw})
		}
	}
	add(len(d.Points) > d.failed, "measured", func(x, y int) { d.p.Dots([]charts.Point{{X: x + 9, Y: y - 4}}, measured, measured, 1, 2.5) })
	add(d.above > 0, d.say("above, up to")+" "+short(round(d.highest)), func(x, y int) {
		d.p.FillArea([]charts.Point{{X: x + 5, Y: y - 1}, {X: x + 13, Y: y - 1}, {X: x + 9, Y: y - 7}, {X: x + 5, Y: y - 1}}, measured)
	})
	expected, limited, banded := false, false, false
	for _, l := range d.Levels {
		if !d.inside(l.At) {
			continue
		}
		expected, limited = expected || l.Expected > 0, limited || l.Limit > 0 && l.Limit <= d.most
		banded = banded || l.Expected > 0 && l.Limit > 0
	}
	add(expected, "normal", func(x, y int) { d.p.LineStroke([]charts.Point{{X: x, Y: y - 4}, {X: x + 18, Y: y - 4}}, normal, 1.6) })
	add(banded, "up to the limit", box(band))
	add(limited && !banded, "limit", func(x, y int) {
		d.p.DashedLineStroke([]charts.Point{{X: x, Y: y - 4}, {X: x + 18, Y: y - 4}}, soft, 1, []float64{5, 4})
	})
	add(d.failed > 0, "failed run", func(x, y int) { d.rect(x+8, y-9, x+10, y+1, failure) })
	slow, dead := false, false
	for _, v := range d.Verdicts {
		for _, s := range v.Spans {
			if _, _, ok := d.extent(s); !ok {
				continue
			}
			slow, dead = slow || s.State == Degraded, dead || s.State == Down
		}
	}
	add(slow, "judged degraded", box(degraded))
	add(dead, "judged down", box(down))
	add(d.marked(), "case opened", func(x, y int) {
		d.p.FillArea([]charts.Point{{X: x + 5, Y: y - 7}, {X: x + 13, Y: y - 7}, {X: x + 9, Y: y - 1}, {X: x + 5, Y: y - 7}}, ink)
	})
	add(slices.ContainsFunc(d.Changes, d.inside), "change of level", func(x, y int) { d.p.FilledDiamond(x+9, y-4, 9, 9, change, change, 1) })
	return keys
}

// round leaves three digits.
func round(v time.Duration) time.Duration {
	unit := time.Duration(1)
	for v/unit >= 1000 {
		unit *= 10
	}
	return v.Round(unit)
}
