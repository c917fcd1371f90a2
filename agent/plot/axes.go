package plot

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-analyze/charts"
)

// ceiling returns the value of the top edge: the highest, but where a few spikes would press all else flat, what holds nearly all.
func (d *drawing) ceiling(values []time.Duration) time.Duration {
	var most, levels time.Duration
	for _, l := range d.Levels {
		levels = max(levels, l.Limit*11/10, l.Expected*5/4)
	}
	if len(values) > 0 {
		sorted := slices.Sorted(slices.Values(values))
		most = sorted[len(sorted)-1]
		if nearly := sorted[((len(sorted)-1)*995+999)/1000]; most > 3*nearly {
			within, _ := slices.BinarySearch(sorted, 2*nearly)
			most = sorted[max(within-1, 0)]
		}
		if levels < 6*most { // a limit far above would press the series flat as well
			most = max(most, levels)
		}
	} else {
		most = levels
	}
	if most <= 0 {
		return time.Second
	}
	return min(most, math.MaxInt64/2) + most/16
}

// valueTicks returns round values, from 0 on.
func (d *drawing) valueTicks() []time.Duration {
	wanted := float64(max(2, (d.Height-140)/45))
	rough := float64(d.most) / wanted
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * unit
	for _, factor := range []float64{1, 2, 2.5, 5} {
		if factor*unit >= rough {
			step = factor * unit
			break
		}
	}
	var all []time.Duration
	for v := 0.0; v <= float64(d.most); v += step {
		all = append(all, time.Duration(math.Round(v)))
	}
	return all
}

// timeTick is a label of the time axis; the lower line is there where a day begins.
type timeTick struct {
	at    time.Time
	upper string
	day   bool
}

// timeTicks returns round instants in the zone, as many as fit.
func (d *drawing) timeTicks() []timeTick {
	const clockRoom, dayRoom = 64, 78
	most := max(2, (d.right-d.left)/clockRoom)
	span := d.to.Sub(d.from)
	for _, step := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
		5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if int(span/step) < most {
			return d.clockTicks(step)
		}
	}
	most = max(2, (d.right-d.left)/dayRoom)
	for _, days := range []int{1, 2, 7, 14, 28, 91, 182, 365, 3650} {
		if int(span/(24*time.Hour))/days < most {
			return d.dayTicks(days)
		}
	}
	return nil
}

// clockTicks are counted from local midnight, so that they are round on days of 23 and 25 hours too.
func (d *drawing) clockTicks(step time.Duration) []timeTick {
	first := d.from.In(d.Zone)
	var all []timeTick
	for n := range 400 {
		midnight := time.Date(first.Year(), first.Month(), first.Day()+n, 0, 0, 0, 0, d.Zone)
		if midnight.After(d.to) {
			break
		}
		next := time.Date(first.Year(), first.Month(), first.Day()+n+1, 0, 0, 0, 0, d.Zone)
		for offset := time.Duration(0); offset < 24*time.Hour; offset += step {
			at := time.Date(midnight.Year(), midnight.Month(), midnight.Day(), 0, 0, int(offset/time.Second), 0, d.Zone)
			if at.Before(midnight) || !at.Before(next) || !d.inside(at) || len(all) > 0 && !at.After(all[len(all)-1].at) {
				continue
			}
			form := "15:04"
			if step < time.Minute {
				form = "15:04:05"
			}
			all = append(all, timeTick{at: at, upper: at.Format(form), day: offset == 0})
		}
	}
	return all
}

func (d *drawing) dayTicks(days int) []timeTick {
	first := d.from.In(d.Zone)
	var all []timeTick
	for n := range 400 {
		at := time.Date(first.Year(), first.Month(), first.Day()+n*days, 0, 0, 0, 0, d.Zone)
		if at.After(d.to) {
			break
		}
		if d.inside(at) {
			upper := d.day(at)
			if days > 7 {
				upper = fmt.Sprintf("%d %s %s", at.Day(), d.say(at.Format("Jan")), at.Format("06"))
			}
			all = append(all, timeTick{at: at, upper: upper})
		}
	}
	return all
}

func (d *drawing) drawGrid() {
	for _, v := range d.valueTicks() {
		y := d.y(v)
		d.p.LineStroke([]charts.Point{{X: d.left, Y: y}, {X: d.right, Y: y}}, grid, 1)
		text := short(v)
		d.text(text, d.left-6-d.width(text, small), y+4, small, soft)
	}
	if d.timeless {
		return
	}
	ticks := d.timeTicks()
	zone := d.say("time in") + " " + d.Zone.String()
	zoneAt := d.right - d.width(zone, small)
	d.text(zone, zoneAt, d.below+2*lineHeight+2, small, soft)
	from := d.from.In(d.Zone)
	first := d.day(from) + from.Format(" 2006")
	d.text(first, margin, d.below+2*lineHeight+2, small, ink)
	free, freeBelow := margin, margin+d.width(first, small)+8
	for _, t := range ticks {
		x := d.x(t.at)
		d.p.LineStroke([]charts.Point{{X: x, Y: d.top}, {X: x, Y: d.bottom}}, grid, 1)
		d.p.LineStroke([]charts.Point{{X: x, Y: d.below}, {X: x, Y: d.below + 4}}, frame, 1)
		width := d.width(t.upper, small)
		if at := min(max(x-width/2, margin), d.Width-margin-width); at >= free {
			d.text(t.upper, at, d.below+lineHeight+2, small, soft)
			free = at + width + 8
		}
		if t.day {
			day := d.day(t.at)
			width := d.width(day, small)
			if at := max(x-width/2, margin); at >= freeBelow && at+width+8 < zoneAt {
				d.text(day, at, d.below+2*lineHeight+2, small, ink)
				freeBelow = at + width + 8
			}
		}
	}
}
