package detect

import (
	"slices"
	"time"
)

// Point is one latency of the past, from which a baseline may be learnt.
type Point struct {
	At    time.Time
	Value time.Duration
}

// Seed learns from what was measured before, elsewhere or by another agent, oldest first, so that a new install need not wait for
// two weeks. What the Detector has learnt itself is kept; an hour of which it knows nothing is taken from the history. It
// returns how many points were of use. No finding starts or ends.
func (d *Detector) Seed(history []Point) (taken int) {
	past := latency{calendar: d.latency.calendar, slowRatio: d.latency.slowRatio, slowBy: d.latency.slowBy}
	for _, p := range history {
		if past.observe(p.At.Unix(), milliseconds(p.Value), nil, "").judged {
			taken++
		}
	}
	if past.hour.start != 0 {
		past.closeHour()
	}
	if len(past.base.days) == 0 {
		return 0
	}
	d.latency.base.take(&past.base)
	if d.latency.hour.start != 0 {
		d.latency.learn()
	}
	return taken
}

// take adds the hours of another baseline that b knows nothing of.
func (b *baseline) take(from *baseline) {
	for i := range from.days {
		r := &from.days[i]
		at, known := slices.BinarySearchFunc(b.days, r.date, func(d day, date int32) int { return int(d.date - date) })
		if !known {
			b.days = slices.Insert(b.days, at, day{date: r.date, rest: r.rest, phases: make([][24]int16, len(b.phases))})
		}
		mine := &b.days[at]
		for k := range mine.hours {
			if !mine.hours[k].used() && r.hours[k].used() {
				mine.hours[k] = r.hours[k]
				b.hours++
			}
		}
		mine.setBase()
	}
	if from.accepted > b.accepted {
		b.accepted, b.level = from.accepted, from.level
	}
	if more := len(b.days) - keepDays; more > 0 {
		b.days = slices.Delete(b.days, 0, more)
	}
	b.changed = true
}
