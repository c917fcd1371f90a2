package detect

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// A Trend is made of medians of two hours over a week. What it is asked for is a slope over days, so it is taken of the daily
// extremes: sessions go up by day and down by night, and neither the morning's slope nor the evening's is a trend.
const (
	slotLength = 2 * time.Hour
	slotsADay  = int64(24 * time.Hour / slotLength)
	trendDays  = 7
	slotValues = 16 // values of the slot that is being filled; twice as many are thinned out
	leastDays  = 4  // fewer daily extremes rise by chance too often: see significant
	horizon    = 90 // days; what lies further off says nothing
)

// Trend remembers how a number went. Its size is bounded; the zero value has seen nothing.
type Trend struct {
	Slots  []Slot    `json:"slots,omitempty"`  // that are over, oldest first
	Slot   int64     `json:"slot,omitempty"`   // that is being filled, since 1970
	Values []float32 `json:"values,omitempty"` // of it: every Every-th
	Count  int       `json:"count,omitempty"`  // values of it that came, also those not kept
	Every  int       `json:"every,omitempty"`
}

// Slot is the median of two hours.
type Slot struct {
	N int64   `json:"n"` // since 1970
	V float32 `json:"v"`
}

// start returns when the slot began.
func (s Slot) start() time.Time { return time.Unix(s.N*int64(slotLength/time.Second), 0).UTC() }

func slotOf(t time.Time) int64 { return t.Unix() / int64(slotLength/time.Second) }

// add takes in a value; one of a slot that is over is left out.
func (t *Trend) add(at time.Time, value float64) {
	n := slotOf(at)
	switch {
	case len(t.Values) == 0:
	case n < t.Slot:
		return
	case n > t.Slot:
		t.Slots = append(t.Slots, Slot{t.Slot, medianOf(t.Values)})
		t.Values = t.Values[:0]
	}
	if len(t.Values) == 0 {
		t.Slot, t.Count, t.Every = n, 0, 1
		drop := 0
		for drop < len(t.Slots) && t.Slots[drop].N <= n-trendDays*slotsADay {
			drop++
		}
		t.Slots = slices.Delete(t.Slots, 0, drop)
	}
	if t.Count%max(1, t.Every) == 0 {
		t.Values = append(t.Values, float32(max(-math.MaxFloat32, min(math.MaxFloat32, value))))
	}
	t.Count++
	if len(t.Values) >= 2*slotValues {
		for i := range slotValues {
			t.Values[i] = t.Values[2*i]
		}
		t.Values, t.Every = t.Values[:slotValues], 2*max(1, t.Every)
	}
}

// medianOf returns the median; all is left as it is.
func medianOf(all []float32) float32 {
	var room [2 * slotValues]float32
	return median(append(room[:0], all...))
}

// rewind drops what lies after now.
func (t *Trend) rewind(now time.Time) {
	n := slotOf(now)
	t.Slots = slices.DeleteFunc(t.Slots, func(s Slot) bool { return s.N >= n })
	if t.Slot > n {
		t.Values = nil
	}
}

// extreme is the worst slot of a day: x in days before (so negative) the newest slot.
type extreme struct{ x, v float64 }

// whole returns the slots that are done, oldest first: the one that is being filled too, where the probe runs too seldom to
// fill the one before.
func (t *Trend) whole() []Slot {
	n := len(t.Slots)
	if len(t.Values) == 0 || n > 0 && t.Slots[n-1].N == t.Slot-1 {
		return t.Slots
	}
	return append(slices.Clone(t.Slots), Slot{t.Slot, medianOf(t.Values)})
}

// extremes returns the highest slot of each of the last days, or the lowest one, newest first. The days are counted back from
// the newest slot, so that each has all hours. One that has not is left out, most of all the first, of which the busy hours may
// be missing.
func extremes(slots []Slot, low bool) (days []extreme) {
	if len(slots) == 0 {
		return nil
	}
	var worst [trendDays]extreme
	var count [trendDays]int
	oldest, newest := 0, slots[len(slots)-1].N
	for _, s := range slots {
		day := int((newest - s.N) / slotsADay)
		if day < 0 || day >= trendDays {
			continue
		}
		v := float64(s.V)
		if w := &worst[day]; count[day] == 0 || !low && v > w.v || low && v < w.v {
			*w = extreme{-float64(newest-s.N) / float64(slotsADay), v}
		}
		count[day]++
		oldest = max(oldest, day)
	}
	fullest := slices.Max(count[:])
	for day, n := range count {
		if n == fullest || day < oldest && n > 0 && 3*n >= 2*fullest {
			days = append(days, worst[day])
		}
	}
	return days
}

// busy leaves out the days with less than half of the usual peak: a weekend or a holiday would hide a trend, or feign one.
func busy(days []extreme) []extreme {
	peaks := make([]float64, len(days))
	for i, d := range days {
		peaks[i] = d.v
	}
	usual := middle(peaks)
	return slices.DeleteFunc(days, func(d extreme) bool { return usual > 0 && d.v < usual/2 })
}

// slope returns the median of the slopes between all pairs (Theil and Sen) per day, the height of the line at x = 0, and Kendall's
// S: how many more pairs rise than fall.
func slope(days []extreme) (rate, height float64, s int) {
	var rates, heights []float64
	for i, a := range days {
		for _, b := range days[i+1:] {
			rates = append(rates, (a.v-b.v)/(a.x-b.x))
			switch {
			case a.v > b.v:
				s++
			case a.v < b.v:
				s--
			}
		}
	}
	rate = middle(rates)
	for _, d := range days {
		heights = append(heights, d.v-rate*d.x)
	}
	return rate, middle(heights), s
}

func middle(all []float64) float64 {
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// significant reports whether n values in a random order would have so large an S in less than one of forty cases (Mann and
// Kendall).
func significant(s, n int) bool {
	const oneOfForty = 1.96
	return float64(s) >= oneOfForty*math.Sqrt(float64(n*(n-1)*(2*n+5))/18)
}

// outlook says what the data tell of the time when the number reaches the value at which the resource is exhausted.
func (t *Trend) outlook(k *probes.NumberKind, now time.Time, value float64) string {
	full, known := k.Exhausted()
	if known && k.Passed(value, full) {
		return "nothing is left"
	}
	slots := t.whole()
	if len(slots) == 0 {
		return fmt.Sprintf("no forecast yet: it needs %d whole days of data and has none", leastDays)
	}
	days := extremes(slots, k.Low)
	if !k.Low && len(days) > 0 {
		days = busy(days)
	}
	if len(days) < leastDays {
		has := fmt.Sprint(len(days))
		if now.Sub(slots[0].start()) < 24*time.Hour {
			has = away(now.Sub(slots[0].start()))
		}
		return fmt.Sprintf("no forecast yet: it needs %d whole days of data and has %s", leastDays, has)
	}
	rate, height, s := slope(days)
	extremes, moves, toward := "daily peaks", "rise", 1
	if k.Low {
		extremes, moves, toward = "daily lows", "fall", -1
	}
	newest := slots[len(slots)-1].N
	rest := "of the last " + away(time.Duration(newest-slots[0].N+1)*slotLength)
	if !significant(s*toward, len(days)) || rate*float64(toward) <= 0 || math.IsInf(rate, 0) {
		return fmt.Sprintf("no trend in the %s %s", extremes, rest)
	}
	trend := fmt.Sprintf("the %s %s %s by %s a day", extremes, rest, moves, perDay(k, rate))
	if !known {
		return trend + ", and where the end is, is not known"
	}
	name := "full"
	if k.Low {
		name = "at " + k.Format(full)
	}
	left := (full - height) / rate // days after the middle of the newest slot
	end := Slot{N: newest}.start().Add(slotLength / 2)
	if left > horizon {
		return fmt.Sprintf("%s: at this rate not %s within %d days", trend, name, horizon)
	}
	if end = end.Add(time.Duration(max(0, left) * 24 * float64(time.Hour))); end.Sub(now) < 24*time.Hour {
		return fmt.Sprintf("%s: at this rate %s within a day", trend, name)
	}
	return fmt.Sprintf("%s: at this rate %s in %s (%s)", trend, name, away(end.Sub(now)), date(end))
}
