package plot

import (
	"maps"
	"slices"
	"time"

	"github.com/go-analyze/charts"
)

// mostDots bounds the dots of a picture: more cannot be told apart, and an SVG of them would be large.
const mostDots = 3000

// drawPoints draws a dot a run: where there are more runs than a picture has room for, one for all that lie together, and always
// the lowest and the highest of a column. Failed runs are ticks below.
func (d *drawing) drawPoints() {
	dots, peaks, fails := d.thin()
	radius := 2.0
	if len(dots) > 600 {
		radius = 1.4
	}
	if len(dots) > 0 {
		d.p.Dots(dots, measured, measured, 0.5, radius)
	}
	for _, x := range peaks {
		d.p.FillArea([]charts.Point{{X: x - 4, Y: d.top + 7}, {X: x + 4, Y: d.top + 7}, {X: x, Y: d.top + 1}, {X: x - 4, Y: d.top + 7}}, measured)
	}
	for _, x := range fails {
		d.rect(x-1, d.bottom+2, x+1, d.bottom+2+failHeight, failure)
	}
}

// thin returns where dots are, and the columns with points above the top edge and with failures.
func (d *drawing) thin() (dots []charts.Point, peaks, fails []int) {
	for cell := 1; ; cell++ {
		dots, peaks, fails = d.gather(cell)
		if len(dots) <= mostDots || cell > 16 {
			return dots, peaks, fails
		}
	}
}

// gather keeps one dot of those in a square, and the lowest and the highest of a column of squares.
func (d *drawing) gather(cell int) (dots []charts.Point, peaks, fails []int) {
	taken := map[charts.Point]bool{}
	extremes := map[int][2]charts.Point{} // by column
	lastPeak, lastFail := -10, -10
	for _, p := range d.Points {
		if !d.inside(p.At) {
			continue
		}
		x := d.x(p.At)
		switch {
		case p.Value <= 0:
			if x-lastFail >= 2 {
				fails, lastFail = append(fails, x), x
			}
			continue
		case p.Value > d.most:
			if x-lastPeak >= 6 {
				peaks, lastPeak = append(peaks, x), x
			}
			continue
		}
		dot := charts.Point{X: x, Y: d.y(p.Value)}
		if square := (charts.Point{X: x / cell, Y: dot.Y / cell}); !taken[square] {
			taken[square] = true
			dots = append(dots, dot)
		}
		e, known := extremes[x/cell]
		if !known || dot.Y > e[0].Y {
			e[0] = dot
		}
		if !known || dot.Y < e[1].Y {
			e[1] = dot
		}
		extremes[x/cell] = e
	}
	if cell > 1 { // a square of one pixel hides nothing
		for _, column := range slices.Sorted(maps.Keys(extremes)) {
			for _, dot := range extremes[column] {
				if !slices.Contains(dots, dot) {
					dots = append(dots, dot)
				}
			}
		}
	}
	return dots, peaks, fails
}

// drawBand fills from what is normal up to what is slow.
func (d *drawing) drawBand() {
	d.levels(func(run []Level) {
		var upper, lower []charts.Point
		for _, l := range run {
			if l.Limit > 0 && l.Expected > 0 {
				upper = append(upper, charts.Point{X: d.x(l.At), Y: d.y(l.Limit)})
				lower = append(lower, charts.Point{X: d.x(l.At), Y: d.y(l.Expected)})
			}
		}
		if len(upper) < 2 {
			return
		}
		area := append([]charts.Point{}, upper...)
		for _, at := range slices.Backward(lower) {
			area = append(area, at)
		}
		d.p.FillArea(append(area, upper[0]), band)
	})
}

// drawExpected draws what is normal, and what is slow, as lines.
func (d *drawing) drawExpected() {
	d.levels(func(run []Level) {
		var expected, limit []charts.Point
		for _, l := range run {
			if l.Expected > 0 {
				expected = append(expected, charts.Point{X: d.x(l.At), Y: d.y(l.Expected)})
			}
			if l.Limit > 0 && l.Limit <= d.most {
				limit = append(limit, charts.Point{X: d.x(l.At), Y: d.y(l.Limit)})
			}
		}
		if len(expected) > 1 {
			d.p.LineStroke(expected, white, 4)
			d.p.LineStroke(expected, normal, 1.6)
		}
		if len(limit) > 1 {
			d.p.DashedLineStroke(limit, soft, 1, []float64{5, 4})
		}
	})
}

// levels calls f with every run of levels that belong together, one a column at most.
func (d *drawing) levels(f func([]Level)) {
	var run []Level
	known := func(l Level) [2]bool { return [2]bool{l.Expected > 0, l.Limit > 0} }
	flush := func() {
		if len(run) > 0 {
			f(run)
		}
		run = nil
	}
	var last time.Time
	gap := d.to.Sub(d.from) / 20
	for _, l := range d.Levels {
		if !d.inside(l.At) || l.Expected <= 0 && l.Limit <= 0 {
			flush()
			continue
		}
		if len(run) > 0 && (known(run[len(run)-1]) != known(l) || l.At.Sub(last) > gap && l.At.Sub(last) > time.Hour) {
			flush()
		}
		last = l.At
		if len(run) > 0 && d.x(run[len(run)-1].At) == d.x(l.At) {
			run[len(run)-1] = l
			continue
		}
		run = append(run, l)
	}
	flush()
}
