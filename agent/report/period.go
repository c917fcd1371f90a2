package report

import (
	"fmt"
	"time"
)

// Month returns the month written as 2026-11, in a zone: from its first midnight there to the next month's. On days on which the
// clocks change it is an hour shorter or longer than its days say.
func Month(text string, zone *time.Location) (from, to time.Time, err error) {
	first, err := time.ParseInLocation("2006-01", text, zone)
	if err != nil {
		return from, to, fmt.Errorf("%q is not a month: want the year and the month, such as 2026-11", text)
	}
	return midnight(first.Year(), first.Month(), 1, zone).UTC(), midnight(first.Year(), first.Month()+1, 1, zone).UTC(), nil
}

// midnight returns the first instant of a day: where the clocks skip midnight, what they show instead; where they show it twice, the
// first of the two.
func midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	at := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if want := time.Date(year, month, day, 0, 0, 0, 0, time.UTC); at.Day() != want.Day() { // skipped: time.Date may name the hour before
		return time.Date(year, month, day, 1, 0, 0, 0, zone)
	}
	if before := at.Add(-time.Hour); before.Day() == at.Day() {
		return before
	}
	return at
}

// days cuts a time at every midnight of a zone.
func days(from, to time.Time, zone *time.Location) []Span {
	var all []Span
	for from.Before(to) {
		local := from.In(zone)
		next := midnight(local.Year(), local.Month(), local.Day()+1, zone)
		if !next.After(from) { // no zone is so odd, but a loop must end
			next = from.Add(24 * time.Hour)
		}
		all = append(all, Span{from.UTC(), earlier(next, to).UTC()})
		from = next
	}
	return all
}

// wholeMonth reports whether the time is one month of the zone.
func wholeMonth(from, to time.Time, zone *time.Location) bool {
	local := from.In(zone)
	first, next, err := Month(local.Format("2006-01"), zone)
	return err == nil && first.Equal(from) && next.Equal(to)
}
