package sla

import (
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

func TestLevel(t *testing.T) {
	l := Level{
		Supported: parse(t, "DK", "Mon-Fri 08:00-16:00"),
		Reaction:  [5]time.Duration{0, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour},
	}
	// Maundy Thursday 2026: nobody is there until Tuesday 08:00, which is 06:00 UTC.
	commenced := l.Commencement(utc(t, "2026-04-02 09:00"))
	if want := utc(t, "2026-04-07 06:00"); !commenced.Equal(want) {
		t.Fatalf("commencement %s, want %s", commenced, want)
	}
	for p, want := range map[incident.Priority]string{
		incident.P1: "2026-04-07 06:15", incident.P2: "2026-04-07 07:00", incident.P3: "2026-04-07 09:00", incident.P4: "2026-04-08 10:00",
	} {
		if got := l.ReactionDue(p, commenced); !got.Equal(utc(t, want)) {
			t.Errorf("%s: reaction due %s, want %s", p, got, want)
		}
	}
	for _, got := range []time.Time{
		l.ReactionDue(incident.NoPriority, commenced), l.ReactionDue(9, commenced), l.ReactionDue(incident.P1, time.Time{}), l.Commencement(time.Time{}),
	} {
		if !got.IsZero() {
			t.Errorf("got %s where there is no case, want the zero time", got)
		}
	}
}

func TestDowntime(t *testing.T) {
	start := utc(t, "2026-02-04 10:00")
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	hold := func(from, to int) incident.Hold { return incident.Hold{From: at(from), To: at(to)} }
	open := func(from int) incident.Hold { return incident.Hold{From: at(from)} }
	for name, tc := range map[string]struct {
		holds []incident.Hold
		net   int // of 60 minutes
	}{
		"none":                        {nil, 60},
		"one":                         {[]incident.Hold{hold(10, 20)}, 50},
		"two apart, newest first":     {[]incident.Hold{hold(30, 40), hold(10, 20)}, 40},
		"overlapping count once":      {[]incident.Hold{hold(10, 30), hold(20, 40)}, 30},
		"one inside the other":        {[]incident.Hold{hold(10, 40), hold(20, 30)}, 30},
		"clipped to the start":        {[]incident.Hold{hold(-30, 10)}, 50},
		"clipped to the end":          {[]incident.Hold{hold(50, 90)}, 50},
		"without an end":              {[]incident.Hold{open(45)}, 45},
		"without an end, twice":       {[]incident.Hold{open(45), open(30)}, 30},
		"all of it":                   {[]incident.Hold{hold(-1, 61)}, 0},
		"before":                      {[]incident.Hold{hold(-20, -10)}, 60},
		"after":                       {[]incident.Hold{hold(70, 80)}, 60},
		"without an end, after":       {[]incident.Hold{open(70)}, 60},
		"ends before it begins":       {[]incident.Hold{hold(30, 20)}, 60},
		"backwards beside a good one": {[]incident.Hold{hold(30, 20), hold(25, 35)}, 50},
	} {
		gross, net := Downtime(start, at(60), tc.holds)
		if gross != time.Hour || net != time.Duration(tc.net)*time.Minute {
			t.Errorf("%s: gross %s net %s, want 1h and %d min", name, gross, net, tc.net)
		}
	}
	if gross, net := Downtime(start, at(-1), []incident.Hold{open(-5)}); gross != 0 || net != 0 {
		t.Errorf("ended before it started: gross %s net %s, want none", gross, net)
	}
}
