package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/policy"
)

func ordered(from, to time.Duration, components ...string) []policy.Span {
	return []policy.Span{{Name: "a new certificate", From: t0.Add(from), To: t0.Add(to), Components: components}}
}

// Maintenance that a person orders holds back what would be opened, as a configured window does; never a close.
func TestOrderedMaintenance(t *testing.T) {
	for _, c := range []struct {
		name       string
		from, to   time.Duration // of the order
		ended      time.Duration // by a person; 0: not
		down, up   time.Duration
		components []string
		restart    bool
		want       []string
		opened     time.Duration // at the earliest
	}{
		{"an outage inside it", 5 * minute, 40 * minute, 0, 10 * minute, 20 * minute, []string{"rdp"}, false, nil, 0},
		{"of everything", 5 * minute, 40 * minute, 0, 10 * minute, 20 * minute, nil, false, nil, 0},
		{"of another component", 5 * minute, 40 * minute, 0, 10 * minute, 20 * minute, []string{"web"}, false, []string{"opened P2 rdp", "resolved P2 rdp"}, 10 * minute},
		{"an outage that outlives it", 5 * minute, 20 * minute, 0, 10 * minute, 50 * minute, []string{"rdp"}, false, []string{"opened P2 rdp", "resolved P2 rdp"}, 20 * minute},
		{"ended before its time", 5 * minute, 40 * minute, 15 * minute, 10 * minute, 50 * minute, []string{"rdp"}, false, []string{"opened P2 rdp", "resolved P2 rdp"}, 15 * minute},
		{"ordered when the incident was open: it is closed in it", 12 * minute, 40 * minute, 0, 5 * minute, 20 * minute, []string{"rdp"}, false, []string{"opened P2 rdp", "resolved P2 rdp"}, 5 * minute},
		{"it outlives a restart", 5 * minute, 40 * minute, 0, 10 * minute, 20 * minute, []string{"rdp"}, true, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, three()...)
			w.answer = during(c.down, c.up, refused, "rdp")
			w.run(c.from)
			w.setup.Spans = ordered(c.from, c.to, c.components...)
			w.take(w.engine.Maintain(w.now, w.setup.Spans))
			if v := w.engine.View(w.now).Components; !slices.ContainsFunc(v, func(v ComponentView) bool {
				return v.Maintenance == "a new certificate" && v.Maintained.Equal(t0.Add(c.to))
			}) {
				t.Errorf("nobody sees it: %+v", v)
			}
			if c.restart {
				w.run(c.down + 2*minute).restart()
			}
			if c.ended > 0 {
				w.run(c.ended)
				w.setup.Spans = nil
				w.take(w.engine.Maintain(w.now, nil))
			}
			w.run(60 * minute)
			var got []string
			for _, line := range w.story() {
				got = append(got, line[strings.Index(line, " ")+1:])
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("story %q, want %q", got, c.want)
			}
			if len(w.open()) != 0 {
				t.Errorf("open at the end: %+v", w.open())
			}
			for _, i := range w.incidents {
				if at := i.Opened.Sub(t0); at < c.opened || at > c.opened+time.Minute {
					t.Errorf("opened %s after the start, want from %s on", at, c.opened)
				}
				if began := i.Started.Sub(t0); began < c.down || began > c.down+time.Minute {
					t.Errorf("dated from %s, want from its real start, %s", began, c.down)
				}
			}
		})
	}
}
