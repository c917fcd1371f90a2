package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/incident"
)

var readings = Readings{
	Momentary: 5 * time.Minute, MomentaryCount: 3, MomentaryWindow: time.Hour, Sustained: 15 * time.Minute,
	PeriodicCount: 3, PeriodicWindow: 6 * time.Hour, RedundancyLost: incident.P3,
}

// TestJudge is the contract's priority table.
func TestJudge(t *testing.T) {
	since := time.Date(2026, 11, 23, 10, 42, 0, 0, time.UTC)
	tests := []struct {
		name string
		s    Situation
		want incident.Priority
		says []string
	}{
		{"fine", Situation{}, incident.NoPriority, nil},
		{"non-redundant down", Situation{Status: Inaccessible, Instances: 1, Down: 1}, incident.P2, []string{"non-redundant", "10:42:00 UTC"}},
		{"redundant down", Situation{Status: Inaccessible, Instances: 2, Down: 2}, incident.P1, []string{"a redundant", "2 of 2"}},
		{"redundancy lost", Situation{Status: RedundancyLost, Instances: 3, Down: 2}, incident.P3, []string{"2 of 3", "reading"}},
		{"momentary outages", Situation{Status: Flapping, Instances: 1, Count: 4}, incident.P3, []string{"4 of web", "1h", "5m"}},
		{"sustained", Situation{Status: SlowSustained, Instances: 1}, incident.P2, []string{"sustained", "15m"}},
		{"periodic", Situation{Status: SlowPeriodic, Instances: 1, Count: 3}, incident.P3, []string{"periodic", "3 of web", "6h"}},
		{"threshold", Situation{Status: LimitPassed, Instances: 1}, incident.P4, []string{"progression limit"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.Component, tt.s.Since = "web", since
			v := Judge(tt.s, readings)
			if v.Priority != tt.want {
				t.Errorf("%s, want %s", v.Priority, tt.want)
			}
			for _, part := range tt.says {
				if !strings.Contains(v.Why, part) {
					t.Errorf("%q does not say %q", v.Why, part)
				}
			}
		})
	}
	other := readings
	other.RedundancyLost = incident.P2
	if v := Judge(Situation{Status: RedundancyLost}, other); v.Priority != incident.P2 {
		t.Errorf("the reading of lost redundancy is not followed: %s", v.Priority)
	}
	if v := EntireSolution(3, since); v.Priority != incident.P1 || !strings.Contains(v.Why, "all 3") {
		t.Errorf("%+v", v)
	}
	if v := EntireSolution(1, since); !strings.Contains(v.Why, ": its one essential component down since ") {
		t.Errorf("%+v", v)
	}
}

// TestWindow states when a maintenance window is open, on both nights of clock change too.
func TestWindow(t *testing.T) {
	copenhagen, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, spec string
		d          time.Duration
		at         string
		open       bool
	}{
		{"before", "0 22 * * SUN", 4 * time.Hour, "2026-11-22T20:59:59Z", false},
		{"start", "0 22 * * SUN", 4 * time.Hour, "2026-11-22T21:00:00Z", true},
		{"last second", "0 22 * * SUN", 4 * time.Hour, "2026-11-23T00:59:59Z", true},
		{"end", "0 22 * * SUN", 4 * time.Hour, "2026-11-23T01:00:00Z", false},
		{"summer time", "0 22 * * SUN", 4 * time.Hour, "2026-07-05T20:00:00Z", true},
		{"night that loses an hour: starts at 22:00 winter time", "0 22 * * SAT", 4 * time.Hour, "2026-03-28T21:00:00Z", true},
		{"night that loses an hour: lasts four real hours", "0 22 * * SAT", 4 * time.Hour, "2026-03-29T00:59:59Z", true},
		{"night that loses an hour: over", "0 22 * * SAT", 4 * time.Hour, "2026-03-29T01:00:00Z", false},
		{"night that gains an hour: starts at 22:00 summer time", "0 22 * * SAT", 4 * time.Hour, "2026-10-24T20:00:00Z", true},
		{"night that gains an hour: over", "0 22 * * SAT", 4 * time.Hour, "2026-10-25T00:00:00Z", false},
		{"longer than its period: always open", "0 * * * *", 90 * time.Minute, "2026-11-23T10:59:00Z", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			schedule, err := cron.ParseStandard(tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			w := Window{Schedule: schedule, Duration: tt.d}
			if _, end, open := w.Active(at, copenhagen); open != tt.open || open && !end.After(at) {
				t.Errorf("open %v until %s, want %v", open, end, tt.open)
			}
		})
	}
	w := Window{Components: []string{"web"}}
	if !w.Covers("web") || w.Covers("rdp") || !(Window{}).Covers("rdp") {
		t.Error("a window covers its components, or all when it names none")
	}
}

func TestSpansOfAWindow(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	schedule, err := cron.ParseStandard("0 22 * * *")
	if err != nil {
		t.Fatal(err)
	}
	w := Window{Name: "patching", Schedule: schedule, Duration: 4 * time.Hour}
	from := time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC) // inside the one of the evening before
	all := w.Spans(from, from.Add(48*time.Hour), zone, 10)
	if len(all) != 3 || !all[0].From.Equal(time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)) || all[0].To.Sub(all[0].From) != 4*time.Hour || all[0].Name != "patching" {
		t.Errorf("%+v", all)
	}
	if got := w.Spans(from, from.AddDate(1, 0, 0), zone, 5); len(got) != 5 {
		t.Errorf("%d spans, want the bound", len(got))
	}
	w.Duration = 30 * time.Hour // each begins before the one before ends
	if got := w.Spans(from, from.Add(48*time.Hour), zone, 10); len(got) != 1 || got[0].To.Sub(got[0].From) < 72*time.Hour {
		t.Errorf("windows that overlap are one: %+v", got)
	}
}

// TestQuorum states how many vantages are a quorum.
func TestQuorum(t *testing.T) {
	for _, tt := range []struct{ need, n, want int }{
		{0, 0, 1}, {0, 1, 1}, {0, 2, 2}, {0, 3, 2}, {0, 4, 3}, {0, 5, 3}, {1, 5, 1}, {2, 5, 2}, {3, 2, 2}, {3, 0, 1},
	} {
		if got := (Quorum{Need: tt.need}).Of(tt.n); got != tt.want {
			t.Errorf("need %d, of %d: %d, want %d", tt.need, tt.n, got, tt.want)
		}
	}
}

// TestAlone states the reading of end-user problems: what no quorum of the vantages sees is priority 4 until it has lasted.
func TestAlone(t *testing.T) {
	seen := Alone{From: []string{"weu"}, Others: []string{"dk", "neu"}}
	lasted := seen
	lasted.Lasted = 15 * time.Minute
	for _, tt := range []struct {
		status Status
		alone  Alone
		want   incident.Priority
		title  string
		why    string
	}{
		{Inaccessible, Alone{}, incident.P2, "app is inaccessible", "down since"},
		{Inaccessible, seen, incident.P4, "app is inaccessible from weu", "it would be P2: seen from weu only, not from dk and neu"},
		{Inaccessible, lasted, incident.P2, "app is inaccessible from weu", "seen from weu only, not from dk and neu, for longer than 15m"},
		{Flapping, seen, incident.P4, "app has momentary outages from weu", "it would be P3"},
		{SlowSustained, seen, incident.P4, "app is slow from weu", "it would be P2"},
		{LimitPassed, seen, incident.P4, "app passed a resource limit from weu", "; seen from weu only, not from dk and neu"},
		{Fine, seen, incident.NoPriority, "", ""},
	} {
		s := Situation{Component: "app", Status: tt.status, Instances: 1, Down: 1, Alone: tt.alone}
		v := Judge(s, Readings{})
		if v.Priority != tt.want || Rank(s, Readings{}) != tt.want || v.Title != tt.title || !strings.Contains(v.Why, tt.why) {
			t.Errorf("%d: %+v", tt.status, v)
		}
	}
}
