package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/probes"
)

// sessions limits a number of some probes.
func sessions(ids ...string) map[string][]detect.Threshold {
	all := map[string][]detect.Threshold{}
	for _, id := range ids {
		all[id] = []detect.Threshold{{NumberKind: probes.NumberKind{Name: "sessions", Unit: "%", Full: 100}, Limit: 90}}
	}
	return all
}

func used(percent float64) probes.Result {
	r := up()
	r.Numbers = []probes.Number{{Name: "sessions", Value: percent}}
	return r
}

// filling answers for every probe, those of web with so many sessions.
func filling(percent func(at time.Duration) float64) func(string, time.Time) probes.Result {
	return func(id string, at time.Time) probes.Result {
		if strings.HasPrefix(id, "web") {
			return used(percent(at.Sub(t0)))
		}
		return up()
	}
}

// TestNumberOpensACase states that a number at its limit is P4, one case for all numbers of a component, though the results are
// good, and that it is over only past the release.
func TestNumberOpensACase(t *testing.T) {
	w := newWorld(t, three()...)
	w.setup.Thresholds = sessions("web/tcp")
	w.answer = filling(func(at time.Duration) float64 {
		switch {
		case at < 4*minute || at > 30*minute:
			return 80
		case at < 10*minute:
			return 95
		}
		return 85
	})
	w.run(20*minute).tells(t, "opened P4 web-capacity")
	if i := w.open()[0]; !strings.HasPrefix(i.Detail[0], "web/tcp: sessions is 95 %, limit 90 %, reached since 2026-11-23 10:04:0") ||
		i.Started.Sub(t0).Round(10*time.Second) != 4*minute || !strings.Contains(i.Detail[0], "; no forecast yet: it needs 4 whole days of data and has ") || i.Reason != "capacity" || !strings.HasPrefix(i.Why, "progression limit for resources exceeded") {
		t.Errorf("%+v", i)
	}
	if v := w.engine.View(w.now).Components[1]; v.Outcome != probes.Degraded || v.Reason != probes.Capacity {
		t.Errorf("%+v", v)
	}
	w.restart().run(29*minute).tells(t, "opened P4 web-capacity")
	w.run(35*minute).tells(t, "opened P4 web-capacity", "resolved P4 web-capacity")
}

// TestNumberInMaintenance states that what passed its limit in a window opens afterwards only when it is still seen, which a good
// result does too.
func TestNumberInMaintenance(t *testing.T) {
	for until, want := range map[time.Duration][]string{15 * minute: nil, 10 * time.Hour: {"opened P4 web-capacity"}} {
		w := newWorld(t, three()...)
		w.setup.Thresholds = sessions("web/tcp")
		window1h("5 10 * * *")(&w.setup)
		w.answer = filling(func(at time.Duration) float64 {
			if at > 10*minute && at < 10*minute+until {
				return 95
			}
			return 20
		})
		w.run(20 * minute)
		w.saved, _ = w.engine.State()
		w.off(2*time.Hour, 0).run(4*time.Hour).tells(t, want...)
	}
}

// TestNumberIsNoLongerLimited states that an open case ends with the limit that it rests on.
func TestNumberIsNoLongerLimited(t *testing.T) {
	w := newWorld(t, three()...)
	w.setup.Thresholds = sessions("web/tcp")
	w.answer = filling(func(time.Duration) float64 { return 95 })
	w.run(10*minute).reload(func(s *Setup) { s.Thresholds = nil }).run(11*minute).tells(t, "opened P4 web-capacity", "resolved P4 web-capacity")
}
