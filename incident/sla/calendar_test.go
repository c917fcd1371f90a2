package sla

import (
	"strings"
	"testing"
	"time"
)

func copenhagen(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func parse(t testing.TB, holidays string, spec ...string) Calendar {
	t.Helper()
	c, err := ParseCalendar(spec, copenhagen(t), holidays)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func utc(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The clocks of Copenhagen go forward on 2026-03-29 at 01:00 UTC (02:00 becomes 03:00) and back on 2026-10-25 at 01:00 UTC
// (03:00 becomes 02:00). Easter Sunday of 2026 is April 5. All instants below are UTC.
func TestNext(t *testing.T) {
	const office = "Mon-Fri 08:00-16:00"
	for _, tc := range []struct{ name, holidays, spec, from, want string }{
		{"inside", "", office, "2026-02-04 10:11", "2026-02-04 10:11"},
		{"at the first instant", "", office, "2026-02-04 07:00", "2026-02-04 07:00"},
		{"at the end, which is outside", "", office, "2026-02-04 15:00", "2026-02-05 07:00"},
		{"before opening", "", office, "2026-02-04 03:00", "2026-02-04 07:00"},
		{"over the weekend when clocks go forward", "", office, "2026-03-27 15:00", "2026-03-30 06:00"},
		{"over the weekend when clocks go back", "", office, "2026-10-23 14:00", "2026-10-26 07:00"},
		{"over Easter", "DK", office, "2026-04-01 14:00", "2026-04-07 06:00"},
		{"over Easter without holidays", "", office, "2026-04-01 14:00", "2026-04-02 06:00"},
		{"Ascension Day", "DK", office, "2026-05-14 06:00", "2026-05-15 06:00"},
		{"Whit Monday", "DK", office, "2026-05-25 06:00", "2026-05-26 06:00"},
		{"Constitution Day is a Friday", "DK", office, "2026-06-05 06:00", "2026-06-08 06:00"},
		{"Great Prayer Day is abolished", "DK", office, "2026-05-01 06:00", "2026-05-01 06:00"},
		{"Great Prayer Day of 2023", "DK", office, "2023-05-05 06:00", "2023-05-08 06:00"},
		{"Christmas and the New Year", "DK", office, "2026-12-24 15:00", "2026-12-28 07:00"},
		{"New Year's Day is a Friday", "DK", office, "2026-12-31 15:00", "2027-01-04 07:00"},
		{"a window in the hour that does not exist", "", "Sun 02:00-03:00", "2026-03-28 12:00", "2026-04-05 00:00"},
		{"a window that begins in the hour that does not exist", "", "Sun 02:30-06:00", "2026-03-28 12:00", "2026-03-29 01:00"},
		{"a window that begins in the hour that is there twice", "", "Sun 02:30-06:00", "2026-10-24 12:00", "2026-10-25 00:30"},
		{"over midnight, the evening", "", "Mon 22:00-02:00", "2026-02-02 12:00", "2026-02-02 21:00"},
		{"over midnight, the night", "", "Mon 22:00-02:00", "2026-02-02 23:30", "2026-02-02 23:30"},
		{"over midnight from Saturday to Sunday", "", "Sat 22:00-02:00", "2026-02-08 00:30", "2026-02-08 00:30"},
		{"over midnight into a holiday", "DK", "Wed 22:00-02:00", "2026-04-01 22:00", "2026-04-08 20:00"},
		{"three weeks without supported time", "DK", "Fri 08:00-16:00", "2026-12-18 15:00", "2027-01-08 07:00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := parse(t, tc.holidays, tc.spec)
			got := c.Next(utc(t, tc.from).In(copenhagen(t)))
			if want := utc(t, tc.want); !got.Equal(want) || got.Location() != time.UTC {
				t.Errorf("Next(%s) = %s, want %s", tc.from, got, want)
			}
		})
	}
}

func TestAdd(t *testing.T) {
	const office = "Mon-Fri 08:00-16:00"
	for _, tc := range []struct {
		name, holidays, spec, from string
		d                          time.Duration
		want                       string
	}{
		{"24x7", "", "24x7", "2026-03-29 00:30", time.Hour, "2026-03-29 01:30"},
		{"inside a day", "", office, "2026-02-04 10:00", time.Hour, "2026-02-04 11:00"},
		{"to the very end of a day", "", office, "2026-02-04 14:00", time.Hour, "2026-02-04 15:00"},
		{"over the weekend when clocks go forward", "", office, "2026-03-27 14:30", time.Hour, "2026-03-30 06:30"},
		{"over the weekend when clocks go back", "", office, "2026-10-23 13:30", time.Hour, "2026-10-26 07:30"},
		{"over Easter", "DK", office, "2026-04-01 13:00", 3 * time.Hour, "2026-04-07 08:00"},
		{"12 h of 8 h days", "", office, "2026-02-06 07:00", 12 * time.Hour, "2026-02-09 11:00"},
		{"the short night has 5 h", "", "Sat 22:00-04:00", "2026-03-28 21:00", 5 * time.Hour, "2026-03-29 02:00"},
		{"the long night has 7 h", "", "Sat 22:00-04:00", "2026-10-24 20:00", 7 * time.Hour, "2026-10-25 03:00"},
		{"over the last day of a leap year", "", office, "2040-12-28 14:00", 9 * time.Hour, "2040-12-31 15:00"},
		{"none", "", office, "2026-02-07 12:00", 0, "2026-02-07 12:00"},
		{"less than none", "", office, "2026-02-07 12:00", -time.Hour, "2026-02-07 12:00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := parse(t, tc.holidays, tc.spec).Add(utc(t, tc.from), tc.d)
			if want := utc(t, tc.want); !got.Equal(want) || got.Location() != time.UTC {
				t.Errorf("Add(%s, %s) = %s, want %s", tc.from, tc.d, got, want)
			}
		})
	}
}

func TestBetween(t *testing.T) {
	for _, tc := range []struct {
		name, holidays string
		spec           []string
		a, b           string
		want           time.Duration
	}{
		{"24x7", "", []string{"24x7"}, "2026-03-28 23:00", "2026-03-29 22:00", 23 * time.Hour},
		{"the whole short day", "", []string{"Sun 00:00-24:00"}, "2026-03-28 00:00", "2026-03-31 00:00", 23 * time.Hour},
		{"the whole long day", "", []string{"Sun 00:00-24:00"}, "2026-10-24 00:00", "2026-10-27 00:00", 25 * time.Hour},
		{"a week", "", []string{"Mon-Fri 08:00-16:00", "Sat 10:00-14:00"}, "2026-02-02 00:00", "2026-02-09 00:00", 44 * time.Hour},
		{"overlapping entries count once", "", []string{"Mon 08:00-16:00", "Mon 12:00-18:00", "Mon 18:00-19:00"}, "2026-02-02 00:00", "2026-02-09 00:00", 11 * time.Hour},
		{"Easter week", "DK", []string{"Mon-Fri 08:00-16:00"}, "2026-03-30 00:00", "2026-04-06 00:00", 24 * time.Hour},
		{"the hour that does not exist", "", []string{"Sun 02:00-03:00"}, "2026-03-28 12:00", "2026-03-29 12:00", 0},
		{"the hour that is there twice", "", []string{"Sun 02:00-03:00"}, "2026-10-24 12:00", "2026-10-25 12:00", 2 * time.Hour},
		{"half of the hour that is there twice", "", []string{"Sun 02:00-02:30"}, "2026-10-24 12:00", "2026-10-25 12:00", 30 * time.Minute},
		{"a range over the weekend", "", []string{"Fri-Mon 12:00-13:00"}, "2026-02-02 00:00", "2026-02-09 00:00", 4 * time.Hour},
		{"backwards", "", []string{"Mon-Sun 00:00-24:00"}, "2026-02-03 00:00", "2026-02-02 00:00", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := parse(t, tc.holidays, tc.spec...).Between(utc(t, tc.a), utc(t, tc.b)); got != tc.want {
				t.Errorf("Between(%s, %s) = %s, want %s", tc.a, tc.b, got, tc.want)
			}
		})
	}
}

func TestContains(t *testing.T) {
	c := parse(t, "DK", "mon-FRI 08:00-16:00")
	for at, want := range map[string]bool{
		"2026-02-04 07:00": true, "2026-02-04 06:59": false, "2026-02-04 14:59": true, "2026-02-04 15:00": false,
		"2026-02-07 10:00": false, "2026-04-02 10:00": false, "2026-04-07 10:00": true,
	} {
		if got := c.Contains(utc(t, at)); got != want {
			t.Errorf("Contains(%s) = %t, want %t", at, got, want)
		}
	}
	if !(Calendar{}).Contains(utc(t, "2026-12-25 03:00")) {
		t.Error("the zero Calendar is not 24x7")
	}
}

// Havana's clocks go back from 01:00 to 00:00, Santiago's from 24:00 to 23:00: the date is there twice, in part.
func TestChangeAtMidnight(t *testing.T) {
	for name, day := range map[string]string{"America/Havana": "2026-11-01", "America/Santiago": "2026-04-04"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCalendar([]string{"Mon-Sun 00:00-24:00"}, zone, "")
		if err != nil {
			t.Fatal(err)
		}
		from := utc(t, day+" 00:00")
		for at := from; at.Before(from.Add(48 * time.Hour)); at = at.Add(10 * time.Minute) {
			if !c.Contains(at) {
				t.Errorf("%s: %s is not supported", name, at)
			}
		}
		if got := c.Between(from, from.Add(48*time.Hour)); got != 48*time.Hour {
			t.Errorf("%s: 48 h hold %s of supported time", name, got)
		}
	}
}

func TestObservedHolidays(t *testing.T) {
	// 4 July 2026 is a Saturday and kept on Friday the 3rd; 26 December 2026 is a Saturday and kept on Monday the 28th.
	for country, from := range map[string]string{"US": "2026-07-03 10:00", "GB": "2026-12-28 10:00"} {
		if parse(t, country, "Mon-Fri 08:00-16:00").Contains(utc(t, from)) {
			t.Errorf("%s: %s is supported", country, from)
		}
	}
}

func TestParseCalendarFaults(t *testing.T) {
	for _, tc := range []struct {
		spec     []string
		holidays string
		want     []string
	}{
		{[]string{"always"}, "", []string{`entry 1 "always"`, "Mon-Fri 08:00-16:00"}},
		{[]string{""}, "", []string{`entry 1 ""`}},
		{[]string{"Mon-Fri 08:00-16:00", "Lør 10:00-14:00"}, "", []string{"entry 2", `no day "Lør"`, "Sat"}},
		{[]string{"Mon-Fri 8-16"}, "", []string{`no time "8"`, "08:00"}},
		{[]string{"Mon-Fri 08:00"}, "", []string{`no hours "08:00"`, "08:00-16:00"}},
		{[]string{"Mon-Fri 08:00-24:01"}, "", []string{`no time "24:01"`}},
		{[]string{"Mon-Fri 08:60-16:00"}, "", []string{`no time "08:60"`}},
		{[]string{"Mon-Fri +8:00-16:00"}, "", []string{`no time "+8:00"`}},
		{[]string{"Mon 24:00-02:00"}, "", []string{"cannot begin at 24:00"}},
		{[]string{"Mon 08:00-08:00"}, "", []string{"empty", "00:00-24:00"}},
		{[]string{"Mon- 08:00-16:00"}, "", []string{`no day ""`}},
		{[]string{"24x7", "Mon 08:00-16:00"}, "", []string{"24x7 stands alone"}},
		{[]string{"24x7"}, "DK", []string{`holidays "DK"`, "Mon-Sun 00:00-24:00"}},
		{[]string{"Mon-Fri 08:00-16:00"}, "XX", []string{`holidays "XX"`, "DE, DK, GB"}},
		{[]string{"Man 08:00-16:00", "Tir 08:00-16:00"}, "XX", []string{"Man", "Tir", "XX"}},
	} {
		_, err := ParseCalendar(tc.spec, copenhagen(t), tc.holidays)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("ParseCalendar(%q, %q): %v, want %q in it", tc.spec, tc.holidays, err, want)
			}
		}
	}
}

func TestParseCalendarTakes(t *testing.T) {
	for _, spec := range [][]string{nil, {"24x7"}, {" 24x7 "}} {
		c, err := ParseCalendar(spec, nil, "")
		if err != nil || c != (Calendar{}) {
			t.Errorf("ParseCalendar(%q) = %v, %v, want the zero Calendar", spec, c, err)
		}
	}
	for _, country := range append(Countries(), "dk") {
		if _, err := ParseCalendar([]string{"Mon-Fri 8:00-16:00"}, nil, country); err != nil {
			t.Errorf("holidays %s: %v", country, err)
		}
	}
}
