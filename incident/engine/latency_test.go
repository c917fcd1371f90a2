package engine

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour
)

// learnt returns a world of one component whose probe runs each minute, after so many days, in which latency, in milliseconds, is
// what level says.
func learnt(t *testing.T, days int, level func(at time.Duration) float64) *world {
	r := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t, one("web"))
	w.interval, w.beat = time.Minute, 30*time.Second
	w.setup.Detection.SlowRatio = 1.18
	w.answer = func(id string, at time.Time) probes.Result {
		ms := 20.
		if strings.HasPrefix(id, "web") {
			ms = level(at.Sub(t0)) * math.Exp(.05*r.NormFloat64())
		}
		return probes.Result{Outcome: probes.Up, Duration: time.Duration(ms * float64(time.Millisecond))}
	}
	w.run(time.Duration(days) * day).tells(t)
	return w
}

// TestSlowAgainstTheBaseline states that what is slow for this hour opens a case when it has lasted, which says in numbers why, and
// that a restart in the middle changes nothing.
func TestSlowAgainstTheBaseline(t *testing.T) {
	begin := 8*day + 2*hour
	level := func(at time.Duration) float64 {
		if at >= begin && at < begin+hour {
			return 220
		}
		return 100
	}
	w := learnt(t, 8, level)
	w.run(begin + 14*time.Minute).tells(t)
	w.run(begin+20*time.Minute).tells(t, "opened P2 web-performance")
	i := w.open()[0]
	if off := i.Started.Sub(t0.Add(begin)); off < -2*time.Minute || off > 2*time.Minute {
		t.Errorf("started %s off", off)
	}
	for _, part := range []string{"web/tcp: total: median of the last 7 runs", " days like it, 2.", "since about 12:0"} {
		if !strings.Contains(i.Detail[0], part) {
			t.Errorf("%q does not say %q", i.Detail[0], part)
		}
	}
	v := w.engine.View(w.now).Components[0].Instances[0].Probes[0]
	if v.Outcome != probes.Degraded || v.Baseline == nil || v.Baseline.Days < 7 || v.Baseline.Of != 14 || v.Baseline.Expected.Round(20*time.Millisecond) != 100*time.Millisecond || v.Findings[0].Latency == nil {
		t.Errorf("%+v %+v", v, v.Baseline)
	}
	w.restart().run(begin+50*time.Minute).tells(t, "opened P2 web-performance")
	w.run(begin+3*hour).tells(t, "opened P2 web-performance", "measured P2 web-performance", "resolved P2 web-performance")
	for _, i := range w.incidents {
		if lasted := i.Ended.Sub(i.Started); lasted < 57*time.Minute || lasted > 63*time.Minute {
			t.Errorf("lasted %s, want 1h", lasted)
		}
	}
}

// TestShortSlowness states that one short slow stretch opens nothing, however long it is watched on, and that the third in six hours
// is a periodic problem.
func TestShortSlowness(t *testing.T) {
	begin := 8 * day
	level := func(at time.Duration) float64 {
		if since := at - begin; since >= 0 && since < 9*hour && since%(3*hour) < 8*time.Minute || since >= 20*hour && since < 24*hour && since%(30*time.Minute) < 6*time.Minute {
			return 300
		}
		return 100
	}
	w := learnt(t, 8, level)
	w.run(begin + 5*hour).tells(t)
	w.run(begin+7*hour).tells(t, "opened P3 web-performance")
	w.run(begin+19*hour).tells(t, "opened P3 web-performance", "resolved P3 web-performance")
	w.run(begin+20*hour+50*time.Minute).tells(t, "opened P3 web-performance", "resolved P3 web-performance")
	w.run(begin+32*hour).tells(t, "opened P3 web-performance", "resolved P3 web-performance", "opened P3 web-performance", "resolved P3 web-performance")
}

// TestAcceptedLevel states that a case of a level that is taken as normal, after a day or by an operator, says so when it is closed.
func TestAcceptedLevel(t *testing.T) {
	begin := 8 * day
	level := func(at time.Duration) float64 {
		if at >= begin {
			return 150
		}
		return 100
	}
	w := learnt(t, 8, level)
	w.run(begin+30*hour).tells(t, "opened P2 web-performance", "resolved P2 web-performance")
	for _, i := range w.incidents {
		if i.Resolution != incident.Accepted || i.Closed.Sub(i.Started) < 23*hour {
			t.Errorf("%s after %s", i.Resolution, i.Closed.Sub(i.Started))
		}
	}
	if text := w.events[1].Text; !strings.Contains(text, "web/tcp") || !strings.Contains(text, "taken as normal") {
		t.Errorf("%q", text)
	}

	w = learnt(t, 8, level)
	w.run(begin + 2*hour)
	step, ok := w.engine.Accept(w.now, "web/tcp", "ada", "")
	w.take(step)
	if !ok || len(step.Accepted) != 1 {
		t.Fatalf("%v %+v", ok, step)
	}
	w.run(begin+4*hour).tells(t, "opened P2 web-performance", "resolved P2 web-performance")
	if text := w.events[1].Text; !strings.Contains(text, "by ada") {
		t.Errorf("%q", text)
	}
	if _, ok := w.engine.Accept(w.now, "nowhere", "ada", ""); ok {
		t.Error("a probe that is not there")
	}
}

// TestNowAndThen states that a component whose single runs fail again and again, though each is answered when asked again, has
// momentary outages.
func TestNowAndThen(t *testing.T) {
	w := newWorld(t, one("web"), one("rdp"))
	n := 0
	w.answer = func(id string, at time.Time) probes.Result {
		since := at.Sub(t0)
		if id == "web/tcp" && since > 10*time.Minute && since < 30*time.Minute && since%(10*time.Second) < time.Millisecond {
			if n++; n%3 == 0 {
				return refused()
			}
		}
		return up()
	}
	w.run(10 * time.Minute).tells(t)
	w.run(20*time.Minute).tells(t, "opened P3 web")
	if i := w.open()[0]; !strings.Contains(i.Why, "fails again and again") || !strings.Contains(i.Detail[0], "of the last 30 scheduled runs failed") {
		t.Errorf("%+v", i)
	}
	w.run(2*hour).tells(t, "opened P3 web", "resolved P3 web")
}
