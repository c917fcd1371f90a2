package sla

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/us"
)

const allWeek = "24x7"

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // by time.Weekday

// ParseCalendar reads a Supported Time Period: the one entry "24x7" (also meant by no entry at all), or weekly hours such as
// "Mon-Fri 08:00-16:00", "Sat 10:00-14:00", "Mon,Wed 22:00-02:00" (over midnight) or "Sun 00:00-24:00", in zone (nil: UTC).
// Overlapping entries count once. holidays is a code of Countries, whose public holidays are not supported time, or "" for
// none; 24x7 takes none. The error holds every fault, one a line: which entry, what is wrong, what to write.
func ParseCalendar(spec []string, zone *time.Location, holidays string) (Calendar, error) {
	var faults []error
	days, err := holidaysOf(holidays)
	if err != nil {
		faults = append(faults, err)
	}
	if len(spec) == 0 || len(spec) == 1 && strings.TrimSpace(spec[0]) == allWeek {
		if holidays != "" {
			faults = append(faults, fmt.Errorf("holidays %q: 24x7 is supported on holidays too: leave holidays out, or write \"Mon-Sun 00:00-24:00\" instead of 24x7", holidays))
		}
		return Calendar{}, errors.Join(faults...)
	}
	c := Calendar{hours: &hours{zone: cmp.Or(zone, time.UTC), holidays: cal.Calendar{Holidays: days}}}
	for i, entry := range spec {
		if err := c.hours.add(entry); err != nil {
			faults = append(faults, fmt.Errorf("entry %d %q: %w", i+1, entry, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return Calendar{}, err
	}
	c.hours.merge()
	return c, nil
}

// Countries returns the codes that ParseCalendar takes as holidays, sorted. The days are the nation-wide public holidays of
// github.com/rickar/cal, which leaves out those that always fall on a Sunday.
func Countries() []string { return slices.Sorted(maps.Keys(holidayLists())) }

func holidayLists() map[string][]*cal.Holiday {
	return map[string][]*cal.Holiday{
		"DE": de.Holidays, "DK": dk.Holidays, "GB": gb.Holidays, "NL": nl.Holidays,
		"NO": no.Holidays, "SE": se.Holidays, "US": us.Holidays,
	}
}

// Holidays returns a function that reports whether the local day of t is a nation-wide public holiday of the country, by its code;
// nil for "". The function is safe for concurrent use.
func Holidays(country string) (func(t time.Time) bool, error) {
	list, err := holidaysOf(country)
	if err != nil || list == nil {
		return nil, err
	}
	days := cal.Calendar{Holidays: list}
	return func(t time.Time) bool {
		actual, observed, _ := days.IsHoliday(t)
		return actual || observed
	}, nil
}

func holidaysOf(country string) ([]*cal.Holiday, error) {
	if country == "" {
		return nil, nil
	}
	list, ok := holidayLists()[strings.ToUpper(country)]
	if !ok {
		return nil, fmt.Errorf("holidays %q: the holidays of this country are not known: write one of %s, or leave holidays out",
			country, strings.Join(Countries(), ", "))
	}
	return list, nil
}

// add reads one entry and adds its spans; what runs over midnight is split, so that each day has its own.
func (h *hours) add(entry string) error {
	if strings.TrimSpace(entry) == allWeek {
		return errors.New("24x7 stands alone: leave the other entries out")
	}
	dayPart, hourPart, ok := strings.Cut(strings.TrimSpace(entry), " ")
	if !ok {
		return errors.New("want days, a space and hours: write for example \"Mon-Fri 08:00-16:00\"")
	}
	days, err := parseDays(dayPart)
	if err != nil {
		return err
	}
	from, to, err := parseHours(strings.TrimSpace(hourPart))
	if err != nil {
		return err
	}
	for _, day := range days {
		if from < to {
			h.week[day] = append(h.week[day], span{from, to})
			continue
		}
		next := (day + 1) % 7
		h.week[day] = append(h.week[day], span{from, dayMinutes})
		if to > 0 {
			h.week[next] = append(h.week[next], span{0, to})
		}
	}
	return nil
}

// merge sorts each day's spans and joins those that touch.
func (h *hours) merge() {
	for day, spans := range h.week {
		slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
		var merged []span
		for _, s := range spans {
			if last := len(merged) - 1; last >= 0 && s.from <= merged[last].to {
				merged[last].to = max(merged[last].to, s.to)
				continue
			}
			merged = append(merged, s)
		}
		h.week[day] = merged
	}
}

func parseDays(text string) ([]time.Weekday, error) {
	var days []time.Weekday
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, err := parseDay(first)
		if err != nil {
			return nil, err
		}
		to := from
		if ranged {
			if to, err = parseDay(last); err != nil {
				return nil, err
			}
		}
		for day := from; ; day = (day + 1) % 7 {
			days = append(days, day)
			if day == to {
				break
			}
		}
	}
	return days, nil
}

func parseDay(text string) (time.Weekday, error) {
	if day := slices.Index(dayNames[:], strings.ToLower(text)); day >= 0 {
		return time.Weekday(day), nil
	}
	return 0, fmt.Errorf("no day %q: write Mon, Tue, Wed, Thu, Fri, Sat or Sun, a range such as Mon-Fri, or a list such as Mon,Wed", text)
}

func parseHours(text string) (from, to int, err error) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return 0, 0, fmt.Errorf("no hours %q: write from-to, for example 08:00-16:00", text)
	}
	if from, err = parseMinute(first); err != nil {
		return 0, 0, err
	}
	if to, err = parseMinute(last); err != nil {
		return 0, 0, err
	}
	if from == dayMinutes {
		return 0, 0, errors.New("hours cannot begin at 24:00: write 00:00 of the next day")
	}
	if from == to {
		return 0, 0, fmt.Errorf("hours %q are empty: write 00:00-24:00 for the whole day", text)
	}
	return from, to, nil
}

func parseMinute(text string) (int, error) {
	text = strings.TrimSpace(text)
	hour, minute, ok := strings.Cut(text, ":")
	h, errHour := strconv.ParseUint(hour, 10, 8)
	m, errMinute := strconv.ParseUint(minute, 10, 8)
	total := int(h*60 + m)
	if !ok || len(hour) > 2 || len(minute) != 2 || errHour != nil || errMinute != nil || m > 59 || total > dayMinutes {
		return 0, fmt.Errorf("no time %q: write hours and minutes from 00:00 to 24:00, for example 08:00", text)
	}
	return total, nil
}
