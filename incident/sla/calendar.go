package sla

import (
	"sort"
	"time"

	"github.com/rickar/cal/v2"
)

// Calendar says which time is supported. The zero value is 24x7. A Calendar is immutable and safe for concurrent use.
//
// Hours are those of the wall clock. A boundary such as 02:30 is the first instant of the day at which the clock shows 02:30 or
// later: on the night when clocks go forward over it, that is the instant of the change; on the night when they go back, it
// is the first of the two. So every window is one piece, windows that touch on the clock touch in time, and a day's 00:00-24:00
// has 23, 24 or 25 hours. A window over midnight is split there: a public holiday takes what falls on its own date.
type Calendar struct{ hours *hours }

// hours is a calendar that is not 24x7.
type hours struct {
	zone     *time.Location
	week     [7][]span    // by time.Weekday; sorted, apart
	holidays cal.Calendar // not cacheable: reading it changes nothing
}

// span is a piece of a day in minutes after midnight, as the clock shows them; to is exclusive.
type span struct{ from, to int }

const (
	dayMinutes = 24 * 60
	// quietDays ends a search: no week is taken by holidays for so long, whatever the hours.
	quietDays = 800
)

// window is a span in time; to is exclusive.
type window struct{ from, to time.Time }

// Next returns the first supported instant at or after t.
func (c Calendar) Next(t time.Time) time.Time {
	next := t
	c.walk(t, func(w window) bool {
		next = w.from
		return false
	})
	return next.UTC()
}

// Contains reports whether t is supported.
func (c Calendar) Contains(t time.Time) bool { return c.Next(t).Equal(t) }

// Add returns the first instant at which d of supported time has passed since t; t itself when d is not positive. Where that
// takes longer than time.Duration can say (292 years), it returns where the search ended.
func (c Calendar) Add(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return t.UTC()
	}
	if c.hours == nil {
		return t.Add(d).UTC()
	}
	end := t
	c.walk(t, func(w window) bool {
		if length := w.to.Sub(w.from); length < d {
			d -= length
			end = w.to
			return true
		}
		end = w.from.Add(d)
		return false
	})
	return end.UTC()
}

// Between returns how much of a..b is supported; 0 when b is not after a.
func (c Calendar) Between(a, b time.Time) time.Duration {
	if !b.After(a) {
		return 0
	}
	if c.hours == nil {
		return b.Sub(a)
	}
	var sum time.Duration
	c.walk(a, func(w window) bool {
		if !w.from.Before(b) {
			return false
		}
		if w.to.After(b) {
			w.to = b
		}
		sum += w.to.Sub(w.from)
		return true
	})
	return sum
}

// longest bounds a walk: the years that a time.Duration can span.
const longest = 292 * 366

// walk calls visit with every supported window that ends after t, in order, the first one clipped to begin at t or later,
// until visit returns false. 24x7 is one endless window.
func (c Calendar) walk(t time.Time, visit func(window) bool) {
	if c.hours == nil {
		visit(window{from: t, to: t.AddDate(longest/366, 0, 0)})
		return
	}
	year, month, day := t.In(c.hours.zone).Date()
	quiet := 0
	for i := 0; i < longest && quiet < quietDays; i++ {
		date := time.Date(year, month, day+i, 0, 0, 0, 0, time.UTC)
		quiet++
		for _, s := range c.hours.spans(date) {
			w := window{from: c.hours.instant(date, s.from), to: c.hours.instant(date, s.to)}
			if w.from.Before(t) {
				w.from = t
			}
			if !w.to.After(w.from) {
				continue
			}
			quiet = 0
			if !visit(w) {
				return
			}
		}
	}
}

// spans returns the spans of a date, which is given as midnight in UTC; none on a holiday.
func (h *hours) spans(date time.Time) []span {
	spans := h.week[date.Weekday()]
	if len(spans) == 0 || len(h.holidays.Holidays) == 0 {
		return spans
	}
	if actual, observed, _ := h.holidays.IsHoliday(date); actual || observed {
		return nil
	}
	return spans
}

// instant returns the first instant at which the zone's clock shows that minute of the date, or later. It asks for offsets only:
// time.Date leaves open which instant it picks around a change, and ZoneBounds (Go 1.26) ends in the past on 31 December of
// leap years that a zone describes by rule.
func (h *hours) instant(date time.Time, minute int) time.Time {
	wall := date.Add(time.Duration(minute) * time.Minute)                  // what the clock shows, written as if it were UTC
	before, after := h.offset(wall.Add(-reach)), h.offset(wall.Add(reach)) // different: the clocks change meanwhile, once
	early, late := wall.Add(-before), wall.Add(-after)
	if before == after || h.offset(early) == before {
		return early
	}
	if h.offset(late) == after {
		return late
	}
	// The clock jumps over it, at an instant from late to early.
	jump := sort.Search(int(early.Sub(late)/time.Second), func(i int) bool {
		return h.offset(late.Add(time.Duration(i)*time.Second)) == after
	})
	return late.Add(time.Duration(jump) * time.Second)
}

// reach is more than any zone's distance from UTC and any jump of its clock.
const reach = 36 * time.Hour

// offset returns how far the zone's clock is ahead of UTC at that instant.
func (h *hours) offset(at time.Time) time.Duration {
	_, seconds := at.In(h.zone).Zone()
	return time.Duration(seconds) * time.Second
}
