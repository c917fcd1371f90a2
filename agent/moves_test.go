package agent

import (
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// laptop is a real judgement on a machine that sleeps and changes networks. Two targets: web answers from everywhere, rdp behind
// the tunnel only; the witness answers wherever there is a network.
type laptop struct {
	*judge
	slept   time.Duration // the wall clock is ahead of the monotonic one by so much
	network string
	late    time.Duration // monotonic time until which a network that is there carries nothing
	broken  map[string]bool
	jobs    []*job
	again   []engine.Recheck
	alarms  []string // titles of incidents of the SOC's, in order
	blind   bool     // ever
}

const (
	home   = "wlan0 192.168.1.0/24"
	tunnel = home + ", tun0 10.8.0.0/24"
	cafe   = "wlan0 172.20.10.0/24"
)

func newLaptop(t *testing.T, witnesses bool, moves bool) *laptop {
	t.Helper()
	l := &laptop{network: tunnel, broken: map[string]bool{}}
	start := time.Now()
	mono := func() time.Duration { return time.Since(start) }
	clock := newClockOn(func() time.Time { return start.Add(mono() + l.slept).Round(0) }, mono)
	m := metrics.New("test", time.Time{}, func() metrics.Snapshot { return metrics.Snapshot{} })
	l.judge = newJudge(clock, newWriter(clock, place{state: &disk{}, results: &disk{}, judges: true}, quiet, m, func([]incident.Incident) {}), func(list []engine.Recheck) { l.again = append(l.again, list...) })
	var s policy.Solution
	for _, name := range []string{"web", "rdp"} {
		id := name + "/probe"
		s.Components = append(s.Components, policy.Component{Name: name, Essential: true, Instances: []policy.Instance{{Name: name, Probes: []policy.Probe{{ID: id, Deciding: true}}}}})
		l.jobs = append(l.jobs, testJob(id, 30*time.Second, up))
	}
	count := 0
	if witnesses {
		s.Witnesses, count = []string{"witness/tcp"}, 1
		w := testJob("witness/tcp", 30*time.Second, up)
		w.witness = true
		l.jobs = append([]*job{w}, l.jobs...)
	}
	setup := engine.Setup{
		Solution:  s,
		Detection: detect.Settings{Rechecks: 3, RecheckWithin: 4 * time.Second, Recover: 3, LimitWindow: 5 * time.Minute, LimitPoints: 5, SlowRatio: 1.18, SlowBy: 2 * time.Millisecond},
		Readings:  policy.Readings{Momentary: 5 * time.Minute, MomentaryCount: 3, MomentaryWindow: time.Hour, Sustained: 15 * time.Minute, PeriodicCount: 3, PeriodicWindow: 6 * time.Hour, RedundancyLost: incident.P3, Settle: 6 * time.Second},
	}
	e, step, err := engine.New(setup, nil, nil, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	l.begin(e, step)
	if moves {
		l.moves = newMoves(Moves{Network: func() string { return l.network }}, count, time.UTC)
	}
	return l
}

// answers is what a run of the probe sees now.
func (l *laptop) answers(id string) bool {
	connected := l.network != "" && l.clock.mono() >= l.late
	switch {
	case !connected, l.broken[id]:
		return false
	case id == "rdp/probe":
		return l.network == tunnel
	}
	return true
}

func (l *laptop) measure(j *job, recheck bool) {
	r := probes.Result{Probe: j.id, Start: l.clock.Now(), Duration: 20 * time.Millisecond, Outcome: probes.Up, Recheck: recheck}
	if !l.answers(j.id) {
		r.Outcome, r.Reason, r.Detail = probes.Down, probes.Timeout, "no answer within 5s"
	}
	l.observe(measured{job: j, result: r})
}

// live lets so much time pass, a second at a time.
func (l *laptop) live(d time.Duration) {
	for end := l.clock.mono() + d; l.clock.mono() < end; {
		time.Sleep(time.Second)
		second := int(l.clock.mono() / time.Second)
		for n, j := range l.jobs {
			if second%30 == 3*n {
				l.measure(j, false)
			}
		}
		list := l.again
		l.again = nil
		for _, r := range list {
			for _, j := range l.jobs {
				for range r.Count {
					if j.id == r.Probe {
						l.measure(j, true)
					}
				}
			}
		}
		l.tick()
		v := l.current()
		l.blind = l.blind || v.Blind
		for _, i := range v.Incidents {
			if i.Class != incident.Agent && !slices.Contains(l.alarms, i.Title) {
				l.alarms = append(l.alarms, i.Title)
			}
		}
	}
}

// sleep suspends the machine: the wall clock goes on, and the network needs a while afterwards.
func (l *laptop) sleep(d, network time.Duration) {
	l.slept += d
	l.late = l.clock.mono() + network
	l.clock.follow()
	l.forget("the machine slept", 0)
}

func TestALaptopRaisesNoFalseAlarm(t *testing.T) {
	stories := []struct {
		name    string
		live    func(l *laptop)
		want    []string
		unmoved bool // a server, to which the story does happen, raises an alarm
		blind   bool // but not where it has witnesses
	}{
		{name: "nothing happens", live: func(l *laptop) { l.live(20 * time.Minute) }},
		{name: "it sleeps, and the network takes 40 s", unmoved: true, blind: true, live: func(l *laptop) {
			l.live(3 * time.Minute)
			l.sleep(9*time.Hour, 40*time.Second)
			l.live(10 * time.Minute)
		}},
		{name: "it sleeps again and again", live: func(l *laptop) {
			for range 6 {
				l.live(100 * time.Second)
				l.sleep(20*time.Minute, 30*time.Second)
			}
			l.live(5 * time.Minute)
		}},
		{name: "the tunnel flaps for 20 minutes", unmoved: true, live: func(l *laptop) {
			l.live(3 * time.Minute)
			l.network = home
			l.live(20 * time.Minute)
			l.network = tunnel
			l.live(10 * time.Minute)
		}},
		{name: "it moves to a café for good", unmoved: true, live: func(l *laptop) { l.live(3 * time.Minute); l.network = cafe; l.live(time.Hour) }},
		{name: "the cable is pulled", live: func(l *laptop) {
			l.live(3 * time.Minute)
			l.network = ""
			l.live(10 * time.Minute)
			l.network = tunnel
			l.live(10 * time.Minute)
		}},
		{name: "it wakes in another network, and the tunnel comes late", unmoved: true, live: func(l *laptop) {
			l.live(3 * time.Minute)
			l.network = cafe
			l.sleep(time.Hour, 20*time.Second)
			l.live(3 * time.Minute)
			l.network = tunnel
			l.live(10 * time.Minute)
		}},
		{name: "an outage is told all the same", want: []string{"web is inaccessible"}, unmoved: true, live: func(l *laptop) { l.live(3 * time.Minute); l.broken["web/probe"] = true; l.live(5 * time.Minute) }},
		{name: "an outage before the first look is told", want: []string{"web is inaccessible"}, unmoved: true, live: func(l *laptop) { l.broken["web/probe"] = true; l.live(5 * time.Minute) }},
		{name: "an outage during sleep is told after it", want: []string{"web is inaccessible"}, unmoved: true, live: func(l *laptop) {
			l.live(3 * time.Minute)
			l.broken["web/probe"] = true
			l.sleep(time.Hour, 20*time.Second)
			l.live(10 * time.Minute)
		}},
		{name: "an outage of what answered in the café is told", want: []string{"web is inaccessible"}, unmoved: true, live: func(l *laptop) {
			l.live(3 * time.Minute)
			l.network = cafe
			l.live(3 * time.Minute)
			l.broken["web/probe"] = true
			l.live(5 * time.Minute)
		}},
	}
	for _, s := range stories {
		for _, witnesses := range []bool{true, false} {
			t.Run(s.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLaptop(t, witnesses, true)
					s.live(l)
					if !slices.Equal(l.alarms, s.want) {
						t.Errorf("witnesses %t: alarms %q, want %q", witnesses, l.alarms, s.want)
					}
				})
				synctest.Test(t, func(t *testing.T) {
					if server := newLaptop(t, witnesses, false); s.unmoved && (!s.blind || !witnesses) {
						if s.live(server); len(server.alarms) == 0 {
							t.Errorf("witnesses %t: a server raises no alarm: the story proves nothing", witnesses)
						}
					}
				})
			})
		}
	}
}

func TestWhatAMoveTakesFromAResult(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 11, 23, 9, 0, s, 0, time.UTC) }
	network := home
	m := newMoves(Moves{Network: func() string { return network }}, 1, time.UTC)
	sift := func(id string, start time.Time, o probes.Outcome, witness bool) probes.Result {
		r := probes.Result{Probe: id, Start: start, Outcome: o, Detail: "connection refused"}
		m.sift(&r, witness)
		return r
	}
	if r := sift("web", at(0), probes.Down, false); r.Outcome != probes.Down {
		t.Errorf("before anything happened: %v", r)
	}
	if r := sift("web", at(1), probes.Up, false); r.Lagging {
		t.Errorf("a latency at home is not judged: %v", r)
	}
	m.woke(at(10))
	for _, c := range []struct {
		start time.Time
		want  string
	}{
		{at(9), "the machine woke up or its clock jumped at 09:00:10 during the run, so nothing is said of it (connection refused)"},
		{at(12), "woke up or its clock jumped at 09:00:10, and this has not answered yet"},
		{at(71), "and no witness has answered since"},
	} {
		if r := sift("web", c.start, probes.Down, false); r.Outcome != probes.Unknown || r.Reason != probes.Local || !strings.Contains(r.Detail, c.want) {
			t.Errorf("got %v, want %q", r, c.want)
		}
	}
	if r := sift("witness/tcp", at(72), probes.Down, true); r.Outcome != probes.Down {
		t.Errorf("a witness that fails is what tells that the agent is blind: %v", r)
	}
	sift("witness/tcp", at(73), probes.Up, true)
	if r := sift("web", at(74), probes.Down, false); r.Outcome != probes.Down {
		t.Errorf("after the grace, with a witness: %v", r)
	}
	network = cafe
	if what := m.look(at(80)); what != "the network changed" || m.look(at(81)) != "" {
		t.Errorf("a change is told once: %q", what)
	}
	if r := sift("web", at(3000), probes.Down, false); !strings.Contains(r.Detail, "never answered from here: is the VPN up?") {
		t.Errorf("a target that never answered from here: %v", r)
	}
	if r := sift("web", at(3001), probes.Up, false); !r.Lagging {
		t.Error("a latency from elsewhere is compared with those of home")
	}
	if r := sift("web", at(3002), probes.Down, false); r.Outcome != probes.Down {
		t.Errorf("one that did: %v", r)
	}
}

func TestNetworksAreBounded(t *testing.T) {
	network := "0"
	m := newMoves(Moves{Network: func() string { return network }}, 0, nil)
	for n := range 10 * mostNetworks {
		network = strings.Repeat("x", n)
		m.look(time.Unix(int64(n), 0))
		m.sift(&probes.Result{Probe: "web", Start: time.Unix(int64(n), 0), Outcome: probes.Up}, false)
	}
	if len(m.known) > mostNetworks || len(m.order) != len(m.known) {
		t.Errorf("%d networks are remembered", len(m.known))
	}
}

func TestSubnets(t *testing.T) {
	for text, want := range map[string]string{
		"192.168.1.17/24": "192.168.1.0/24", "10.8.0.6/32": "10.8.0.0/24", "10.1.2.3/16": "10.1.0.0/16", "fe80::1/64": "", "127.0.0.1/8": "",
		"2001:db8:1:2:a:b:c:d/128": "2001:db8:1:2::/64", "2001:db8:1:2::9/64": "2001:db8:1:2::/64",
	} {
		ip, n, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := subnetOf(&net.IPNet{IP: ip, Mask: n.Mask}); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if a, b := Network(), Network(); a != b {
		t.Errorf("the same network twice: %q and %q", a, b)
	}
}
