package sla

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/incident"
)

var contract = Level{Reaction: [5]time.Duration{0, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour}}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestHoldEndsByTheRule(t *testing.T) {
	early, late := instant(t, "2026-03-02 10:00"), instant(t, "2026-03-02 11:00")
	for _, c := range []struct {
		rule                 HoldRule
		left, answered, want time.Time
	}{
		{EndsAtAnswer, time.Time{}, time.Time{}, time.Time{}},
		{EndsAtAnswer, late, time.Time{}, late},
		{EndsAtAnswer, late, early, early},
		{EndsAtAnswer, early, late, early},
		{EndsAtAnswer, time.Time{}, early, early},
		{"", late, early, early},
		{EndsAtStatus, late, early, late},
		{EndsAtStatus, time.Time{}, early, time.Time{}},
	} {
		if got := c.rule.End(c.left, c.answered); !got.Equal(c.want) {
			t.Errorf("%q: left %s, answered %s: ends %s, want %s", c.rule, c.left, c.answered, got, c.want)
		}
	}
}

func TestWorkIsOwed(t *testing.T) {
	office := contract
	var err error
	if office.Supported, err = ParseCalendar([]string{"Mon-Fri 08:00-16:00"}, time.UTC, "DK"); err != nil {
		t.Fatal(err)
	}
	begun := instant(t, "2026-03-02 15:00") // a Monday
	for _, c := range []struct {
		name, at, rectified string
		p                   incident.Priority
		want                bool
	}{
		{"before it began", "2026-03-02 14:59", "", incident.P1, false},
		{"priority 1 in the evening", "2026-03-02 20:00", "", incident.P1, true},
		{"priority 2 on Sunday", "2026-03-08 03:00", "", incident.P2, true},
		{"priority 3 in the evening", "2026-03-02 20:00", "", incident.P3, false},
		{"priority 3 the next morning", "2026-03-03 08:00", "", incident.P3, true},
		{"priority 4 on Maundy Thursday", "2026-04-02 10:00", "", incident.P4, false},
		{"priority 1, temporarily rectified, in the evening", "2026-03-02 20:00", "2026-03-02 19:00", incident.P1, false},
		{"priority 1, temporarily rectified, the next morning", "2026-03-03 09:00", "2026-03-02 19:00", incident.P1, true},
		{"no priority", "2026-03-02 15:30", "", incident.NoPriority, false},
	} {
		var rectified time.Time
		if c.rectified != "" {
			rectified = instant(t, c.rectified)
		}
		if got := office.Working(c.p, begun, rectified, instant(t, c.at)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// open returns an incident of that priority which was opened then.
func open(l Level, p incident.Priority, opened time.Time) incident.Incident {
	i := incident.Incident{ID: "fc-1", Class: incident.Availability, Priority: p, Highest: p, Started: opened.Add(-time.Minute), Opened: opened}
	i.Commencement = l.Commencement(opened)
	i.ReactionDue = l.ReactionDue(p, i.Commencement)
	return i
}

func TestReactionClockWarns(t *testing.T) {
	opened := instant(t, "2026-03-02 10:00")
	i := open(contract, incident.P1, opened)
	shares := []int{50, 80, 100}
	for after, want := range map[time.Duration]int{
		0: 0, 7*time.Minute + 29*time.Second: 0, 7*time.Minute + 30*time.Second: 50, 11*time.Minute + 59*time.Second: 50,
		12 * time.Minute: 80, 15*time.Minute - time.Millisecond: 80, 15 * time.Minute: 100, 48 * time.Hour: 100,
	} {
		if got := contract.Passed(i, incident.Case{}, shares, opened.Add(after)); got != want {
			t.Errorf("after %s: %d %%, want %d %%", after, got, want)
		}
	}
	if got := contract.Passed(i, incident.Case{Acknowledged: opened.Add(time.Minute)}, shares, opened.Add(time.Hour)); got != 0 {
		t.Errorf("of a case that was taken: %d %%", got)
	}
	i.Closed = opened.Add(time.Minute)
	if got := contract.Passed(i, incident.Case{}, shares, opened.Add(time.Hour)); got != 0 {
		t.Errorf("of an incident that is over: %d %%", got)
	}
}

// A case of Friday evening has its hour on Monday, and the clock stands still meanwhile.
func TestReactionClockStandsOutsideSupportedTime(t *testing.T) {
	office := contract
	var err error
	if office.Supported, err = ParseCalendar([]string{"Mon-Fri 08:00-16:00"}, time.UTC, ""); err != nil {
		t.Fatal(err)
	}
	i := open(office, incident.P3, instant(t, "2026-03-06 15:00")) // a Friday; 1 h is left of it
	k := office.Clock(i, incident.Case{}, instant(t, "2026-03-07 12:00"))
	if k.Margin != 2*time.Hour || k.Used < 0.333 || k.Used > 0.334 || !k.Due.Equal(instant(t, "2026-03-09 10:00")) || k.Working {
		t.Errorf("on Saturday: %+v", k)
	}
	k = office.Clock(i, incident.Case{}, instant(t, "2026-03-09 10:30"))
	if k.Margin != -30*time.Minute || k.Used <= 1 || !k.Working {
		t.Errorf("on Monday, too late: %+v", k)
	}
	c := incident.Case{Acknowledged: instant(t, "2026-03-09 09:00"), Holds: []incident.Hold{{From: instant(t, "2026-03-09 09:30")}}}
	k = office.Clock(i, c, instant(t, "2026-03-09 10:30"))
	if k.Margin != time.Hour || !k.Held || k.Gross-k.Net != time.Hour {
		t.Errorf("taken, on hold: %+v", k)
	}
}

// Whatever the calendar and the zone, both nights of clock change within: the share that has passed never falls as time goes on, it is
// one exactly when the reaction is due, and downtime is never more net than gross.
func TestClockProperties(t *testing.T) {
	zones := []string{"Europe/Copenhagen", "America/New_York", "Australia/Lord_Howe", "UTC"}
	rapid.Check(t, func(rt *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(rt, "zone"))
		if err != nil {
			rt.Fatal(err)
		}
		l := contract
		hours := rapid.SampledFrom([][]string{{"24x7"}, {"Mon-Fri 08:00-16:00"}, {"Sun 00:00-24:00", "Sat 22:00-03:30"}, {"Mon-Sun 01:30-02:30"}}).Draw(rt, "hours")
		if l.Supported, err = ParseCalendar(hours, zone, ""); err != nil {
			rt.Fatal(err)
		}
		night := rapid.SampledFrom([]string{"2026-03-28 20:00", "2026-10-24 20:00", "2026-11-01 02:00", "2026-07-01 00:00"}).Draw(rt, "around")
		opened := instant(t, night).Add(time.Duration(rapid.IntRange(0, 720).Draw(rt, "minutes")) * time.Minute)
		p := incident.Priority(rapid.IntRange(1, 4).Draw(rt, "priority"))
		i := open(l, p, opened)
		if k := l.Clock(i, incident.Case{}, i.ReactionDue); k.Margin != 0 || k.Used != 1 {
			rt.Fatalf("when it is due: %+v", k)
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		at, before := opened, Clock{Used: -1}
		c := incident.Case{}
		for range 20 {
			at = at.Add(time.Duration(random.IntN(int(8 * time.Hour))))
			if random.IntN(3) == 0 {
				c.Holds = append(c.Holds, incident.Hold{From: at, To: at.Add(time.Duration(random.IntN(int(3 * time.Hour))))})
			}
			k := l.Clock(i, c, at)
			if k.Used < before.Used || k.Net > k.Gross || k.Net < 0 || k.Gross < before.Gross {
				rt.Fatalf("at %s: %+v after %+v", at, k, before)
			}
			if (p == incident.P1 || p == incident.P2) && !at.Before(i.Commencement) && !k.Working {
				rt.Fatalf("at %s: nobody works on %s", at, p)
			}
			before = k
		}
	})
}
