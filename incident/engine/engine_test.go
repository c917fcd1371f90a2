package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

const minute = time.Minute

func limits(id, phase string, most time.Duration) map[string][]detect.Limit {
	return map[string][]detect.Limit{id: {{Phase: phase, Max: most}}}
}

func three() []policy.Component {
	return []policy.Component{one("backend"), one("web", "backend"), one("rdp")}
}

// TestStories states what the engine makes of whole faults: the timeline of every incident, and what is open at the end.
func TestStories(t *testing.T) {
	tests := []struct {
		name       string
		components []policy.Component
		answer     func(string, time.Time) probes.Result
		prepare    func(*Setup)
		until      time.Duration
		want       []string // kind, priority and subject of each event
		open       int
	}{
		{
			name: "nothing fails", components: three(), until: 60 * minute,
		},
		{
			name: "one run fails", components: three(), until: 10 * minute,
			answer: during(60*time.Second, 61*time.Second, refused, "web"),
		},
		{
			name: "one component down, recovers after 10 minutes", components: three(), until: 30 * minute,
			answer: during(2*minute, 12*minute, refused, "rdp"),
			want:   []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "a parent explains its child", components: three(), until: 30 * minute,
			answer: during(2*minute, 12*minute, refused, "web", "backend"),
			want:   []string{"opened P2 backend", "joined P2 backend", "left P2 backend", "resolved P2 backend"},
		},
		{
			name: "a child fails minutes before its parent", components: three(), until: 30 * minute,
			answer: both(during(2*minute, 12*minute, refused, "web"), during(4*minute, 12*minute, refused, "backend")),
			want:   []string{"opened P2 web", "opened P2 backend", "absorbed P2 web", "absorbed P2 backend", "left P2 web", "resolved P2 web"},
		},
		{
			name: "everything down at once is one P1", components: three(), until: 30 * minute,
			answer: during(2*minute, 12*minute, hang, "web", "backend", "rdp"),
			want:   []string{"opened P1 solution", "left P1 solution", "left P1 solution", "resolved P1 solution"},
		},
		{
			name: "everything down later: the earliest case rises, the others are absorbed", components: three(), until: 30 * minute,
			answer: both(during(2*minute, 12*minute, refused, "rdp"), during(4*minute, 12*minute, refused, "web", "backend")),
			want:   []string{"opened P2 rdp", "joined P2 rdp", "joined P2 rdp", "raised P1 rdp", "left P1 rdp", "left P1 rdp", "resolved P1 rdp"},
		},
		{
			name: "one of two instances down, then both, then none", components: []policy.Component{two("app"), one("rdp")}, until: 40 * minute,
			answer: both(during(2*minute, 20*minute, refused, "app/a"), during(6*minute, 12*minute, refused, "app/b")),
			want:   []string{"opened P3 app", "raised P1 app", "lowered P3 app", "resolved P3 app"},
		},
		{
			name: "three short outages become one momentary problem that ends after a quiet hour", components: three(), until: 120 * minute,
			answer: both(during(2*minute, 3*minute, refused, "rdp"), during(10*minute, 11*minute, refused, "rdp"), during(20*minute, 21*minute, refused, "rdp"), during(30*minute, 31*minute, refused, "rdp")),
			want: []string{
				"opened P2 rdp", "resolved P2 rdp", "opened P2 rdp", "resolved P2 rdp", "opened P2 rdp", "lowered P3 rdp",
				"raised P2 rdp", "lowered P3 rdp", "resolved P3 rdp",
			},
		},
		{
			name: "an outage inside a maintenance window is not opened", components: three(), until: 60 * minute,
			prepare: window("5 10 * * *", 30*minute),
			answer:  during(10*minute, 20*minute, refused, "rdp"),
		},
		{
			name: "an outage that outlives its window opens at the end of it", components: three(), until: 60 * minute,
			prepare: window("5 10 * * *", 30*minute),
			answer:  during(10*minute, 50*minute, refused, "rdp"),
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "an outage from before the window is closed in it", components: three(), until: 60 * minute,
			prepare: window("5 10 * * *", 30*minute),
			answer:  during(2*minute, 10*minute, refused, "rdp"),
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "the agent's own network breaks", components: three(), until: 30 * minute,
			answer: during(2*minute, 12*minute, hang, "web", "backend", "rdp", "witness"),
			want:   []string{"opened - sight-agent", "resolved - sight-agent"},
		},
		{
			name: "the agent's own network breaks during an outage: it stays open, and closes after", components: three(), until: 40 * minute,
			answer: both(during(2*minute, 20*minute, refused, "rdp"), during(5*minute, 15*minute, hang, "web", "backend", "rdp", "witness")),
			want:   []string{"opened P2 rdp", "opened - sight-agent", "resolved - sight-agent", "resolved P2 rdp"},
		},
		{
			name: "a blocked witness does not silence an agent that sees", components: three(), until: 30 * minute,
			answer: both(during(0, time.Hour, hang, "witness"), during(2*minute, 12*minute, refused, "rdp")),
			want:   []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "a functional failure opens no case", components: three(), until: 30 * minute,
			answer: during(2*minute, 12*minute, func() probes.Result {
				return probes.Result{Outcome: probes.Degraded, Reason: probes.Functional, Detail: "the query is wrong", Duration: time.Millisecond}
			}, "web"),
			want: []string{"opened - web-functional", "resolved - web-functional"},
		},
		{
			name: "a passed threshold is P4", components: three(), until: 30 * minute,
			answer: during(2*minute, 12*minute, func() probes.Result {
				return probes.Result{Outcome: probes.Degraded, Reason: probes.Capacity, Detail: "certificate expires in 6 days", Duration: time.Millisecond}
			}, "web"),
			want: []string{"opened P4 web-capacity", "resolved P4 web-capacity"},
		},
		{
			name: "every probe fails on the agent's own host", components: three(), until: 30 * minute,
			answer: during(2*minute, 12*minute, func() probes.Result {
				return probes.Result{Outcome: probes.Unknown, Reason: probes.Local, Detail: "no route", Duration: time.Millisecond}
			}, "web", "backend", "rdp", "witness"),
			want: []string{"opened - sight-agent", "resolved - sight-agent"},
		},
		{
			name: "the entire solution is one component", components: []policy.Component{one("web")}, until: 30 * minute,
			answer: during(2*minute, 12*minute, refused, "web"),
			want:   []string{"opened P1 solution", "resolved P1 solution"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.components...)
			if tt.answer != nil {
				w.answer = tt.answer
			}
			if tt.prepare != nil {
				tt.prepare(&w.setup)
			}
			w.run(tt.until)
			var got []string
			for _, line := range w.story() {
				got = append(got, line[strings.Index(line, " ")+1:])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("story:\n%s\nwant:\n%s", strings.Join(w.story(), "\n"), strings.Join(tt.want, "\n"))
			}
			for _, e := range w.events {
				if sentence, rest, _ := strings.Cut(e.Text, ": "); rest != "" && strings.Contains(rest, sentence) {
					t.Errorf("said twice: %s", e.Text)
				}
			}
			if n := len(w.open()); n != tt.open {
				t.Errorf("%d incidents open at the end, want %d", n, tt.open)
			}
		})
	}
}

func window(spec string, d time.Duration) func(*Setup) {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		panic(err)
	}
	return func(s *Setup) { s.Windows = []policy.Window{{Name: "patching", Schedule: schedule, Duration: d}} }
}

// TestConfirmedSoon states the time from fault to incident: the rest of the interval, the quick re-probes, nothing else.
func TestConfirmedSoon(t *testing.T) {
	for offset := range 20 {
		w := newWorld(t, three()...)
		fault := 2*minute + time.Duration(offset)*500*time.Millisecond
		w.answer = during(fault, time.Hour, refused, "rdp")
		w.run(10 * minute)
		if len(w.open()) != 1 {
			t.Fatalf("offset %d: %d incidents", offset, len(w.open()))
		}
		i := w.open()[0]
		if took := i.Opened.Sub(t0.Add(fault)); took > w.interval+4100*time.Millisecond {
			t.Errorf("opened %s after the fault", took)
		}
		if took := i.Opened.Sub(i.Started); took > 4100*time.Millisecond {
			t.Errorf("opened %s after the first failing result", took)
		}
	}
}

// TestRestart states that a restart in the middle changes nothing.
func TestRestart(t *testing.T) {
	answer := both(during(2*minute, 20*minute, refused, "app/a"), during(6*minute, 12*minute, refused, "app/b"))
	plain := newWorld(t, two("app"), one("rdp"))
	plain.answer = answer
	plain.run(40 * minute)
	for _, at := range []time.Duration{3 * minute, 7 * minute, 9 * minute, 13 * minute, 19 * minute, 21 * minute} {
		w := newWorld(t, two("app"), one("rdp"))
		w.answer = answer
		w.run(at).restart().run(40 * minute)
		var got, want []string
		for _, e := range w.events {
			got = append(got, string(e.Kind)+e.Priority.String())
		}
		for _, e := range plain.events {
			want = append(want, string(e.Kind)+e.Priority.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("restart at %s: %v, want %v", at, got, want)
		}
	}
}

// TestLostState states that open incidents of the store are taken up when the engine's state is gone: the same incident goes on
// while the fault does, and is closed after.
func TestLostState(t *testing.T) {
	w := newWorld(t, three()...)
	w.answer = during(2*minute, 20*minute, refused, "rdp")
	w.run(5 * minute)
	open := w.open()
	e, step, err := New(w.setup, nil, open, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if step.Changed() {
		t.Fatalf("nothing is measured yet: %+v", step)
	}
	w.saved = nil
	w.engine = e
	w.run(15 * minute)
	if got := w.open(); len(got) != 1 || got[0].ID != open[0].ID {
		t.Fatalf("while the fault lasts: %+v", got)
	}
	w.run(30 * minute)
	if got := w.open(); len(got) != 0 || len(w.incidents) != 1 {
		t.Fatalf("after the fault: %d open of %d", len(got), len(w.incidents))
	}
	if _, _, err := New(w.setup, []byte("{"), nil, w.now); err == nil {
		t.Error("state that cannot be read must be an error")
	}
}

// TestRemovedComponent states that an incident whose component is no longer configured is closed.
func TestRemovedComponent(t *testing.T) {
	w := newWorld(t, three()...)
	w.answer = during(2*minute, 20*minute, refused, "rdp")
	w.run(5 * minute)
	w.setup.Solution.Components = w.setup.Solution.Components[:2]
	w.restart()
	if len(w.open()) != 0 {
		t.Fatalf("still open: %+v", w.open())
	}
	for _, i := range w.incidents {
		if i.Resolution != incident.Removed {
			t.Errorf("resolution %q", i.Resolution)
		}
	}
}

// TestSlow states that slowness is P2 when it has lasted, P3 when it comes and goes, and never down.
func TestSlow(t *testing.T) {
	slow := func() probes.Result { return probes.Result{Outcome: probes.Up, Duration: 4 * time.Second} }
	at := func(from, to time.Duration) func(string, time.Time) probes.Result {
		return func(id string, now time.Time) probes.Result {
			if id == "web/tcp" && !now.Before(t0.Add(from)) && now.Before(t0.Add(to)) {
				return slow()
			}
			return up()
		}
	}
	w := newWorld(t, three()...)
	w.setup.Limits = limits("web/tcp", "total", 3*time.Second)
	w.answer = at(10*minute, 40*minute)
	w.run(90 * minute)
	if got := strings.Join(w.story(), "\n"); !strings.Contains(got, "opened P2 web-performance") || len(w.events) != 2 {
		t.Errorf("sustained: %s", got)
	}
	for _, i := range w.incidents {
		if lag := i.Opened.Sub(t0.Add(10 * minute)); lag < 15*minute || lag > 18*minute {
			t.Errorf("sustained was opened %s after it began", lag)
		}
	}
	w = newWorld(t, three()...)
	w.setup.Limits = limits("web/tcp", "total", 3*time.Second)
	first, second, third := at(10*minute, 18*minute), at(60*minute, 68*minute), at(120*minute, 128*minute)
	w.answer = func(id string, now time.Time) probes.Result {
		for _, f := range []func(string, time.Time) probes.Result{first, second, third} {
			if r := f(id, now); r.Duration > time.Second {
				return r
			}
		}
		return up()
	}
	w.run(9 * 60 * minute)
	var got []string
	for _, e := range w.events {
		got = append(got, string(e.Kind)+" "+e.Priority.String())
	}
	if want := []string{"opened P3", "resolved P3"}; !slices.Equal(got, want) {
		t.Errorf("periodic: %v, want %v\n%s", got, want, strings.Join(w.story(), "\n"))
	}
}
