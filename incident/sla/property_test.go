package sla

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var days = [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// anyCalendar draws weekly hours in zones whose clocks change at different hours, or not at all.
func anyCalendar(t *rapid.T) (Calendar, *time.Location) {
	zone, err := time.LoadLocation(rapid.SampledFrom([]string{
		"UTC", "Europe/Copenhagen", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Asia/Kathmandu",
	}).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	clock := rapid.Custom(func(t *rapid.T) string {
		m := rapid.IntRange(0, dayMinutes-1).Draw(t, "minute")
		return fmt.Sprintf("%02d:%02d", m/60, m%60)
	})
	entry := rapid.Custom(func(t *rapid.T) string {
		from, to := clock.Draw(t, "from"), clock.Draw(t, "to")
		if from == to {
			to = "24:00"
		}
		return fmt.Sprintf("%s-%s %s-%s", rapid.SampledFrom(days[:]).Draw(t, "first"), rapid.SampledFrom(days[:]).Draw(t, "last"), from, to)
	})
	spec := rapid.SliceOfN(entry, 1, 4).Draw(t, "spec")
	c, err := ParseCalendar(spec, zone, rapid.SampledFrom(append(Countries(), "")).Draw(t, "holidays"))
	if err != nil {
		t.Fatal(err)
	}
	return c, zone
}

// anyTime draws instants of 2026 and 2027, half of them near a change of clocks.
func anyTime(t *rapid.T, label string) time.Time {
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	within := 2 * 365 * 24 * time.Hour
	if rapid.Bool().Draw(t, label+" near a change") {
		base = rapid.SampledFrom([]time.Time{
			time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC),
			time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC),
		}).Draw(t, label+" change")
		within = 36 * time.Hour
	}
	return base.Add(time.Duration(rapid.Int64Range(0, int64(within/time.Second)).Draw(t, label)) * time.Second)
}

func anyDuration(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(100*time.Hour/time.Millisecond)).Draw(t, label)) * time.Millisecond
}

func TestCalendarProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, _ := anyCalendar(t)
		a, b := anyTime(t, "a"), anyTime(t, "b")
		d, e := anyDuration(t, "d"), anyDuration(t, "e")

		next := c.Next(a)
		if next.Before(a) || !c.Contains(next) || !c.Next(next).Equal(next) {
			t.Fatalf("Next(%s) = %s, and of that %s, contained %t", a, next, c.Next(next), c.Contains(next))
		}
		if c.Between(a, next) != 0 {
			t.Fatalf("%s of supported time before Next(%s) = %s", c.Between(a, next), a, next)
		}
		due := c.Add(a, d)
		if got := c.Between(a, due); got != d {
			t.Fatalf("Add(%s, %s) = %s, but Between is %s", a, d, due, got)
		}
		if d > 0 && c.Between(a, due.Add(-1)) != d-1 {
			t.Fatalf("Add(%s, %s) = %s is not the first such instant", a, d, due)
		}
		if split := c.Add(due, e); !split.Equal(c.Add(a, d+e)) {
			t.Fatalf("Add(Add(%s, %s), %s) = %s, in one step %s", a, d, e, split, c.Add(a, d+e))
		}
		if b.Before(a) {
			a, b = b, a
		}
		if c.Next(b).Before(c.Next(a)) || c.Add(b, d).Before(c.Add(a, d)) {
			t.Fatalf("not monotone: from %s and %s", a, b)
		}
		if got := c.Between(a, b); got < 0 || got > b.Sub(a) || c.Add(a, got).After(b) {
			t.Fatalf("Between(%s, %s) = %s", a, b, got)
		}
	})
}

// Away from a change of clocks, supported is what the wall clock and the date say.
func TestContainsIsTheWallClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, zone := anyCalendar(t)
		at := anyTime(t, "at").In(zone)
		if c.hours.offset(at.Add(-3*time.Hour)) != c.hours.offset(at.Add(3*time.Hour)) {
			return
		}
		minute, want := at.Hour()*60+at.Minute(), false
		for _, s := range c.hours.week[at.Weekday()] {
			want = want || s.from <= minute && minute < s.to
		}
		if actual, observed, _ := c.hours.holidays.IsHoliday(at); actual || observed {
			want = false
		}
		if got := c.Contains(at); got != want {
			t.Fatalf("Contains(%s) = %t, want %t", at, got, want)
		}
	})
}

func FuzzParseCalendar(f *testing.F) {
	for _, seed := range []string{"24x7", "Mon-Fri 08:00-16:00", "Mon,Wed 22:00-02:00", "Sun 00:00-24:00", "Sat 9:00-0:00"} {
		f.Add(seed, "DK")
	}
	at := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, entry, holidays string) {
		c, err := ParseCalendar([]string{entry}, time.UTC, holidays)
		if err != nil {
			return
		}
		if !c.Contains(c.Next(at)) {
			t.Errorf("%q supports nothing", entry)
		}
	})
}
