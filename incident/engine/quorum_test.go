package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// TestQuorum states what several vantages make of a fault.
func TestQuorum(t *testing.T) {
	full := func() probes.Result {
		return probes.Result{Outcome: probes.Degraded, Reason: probes.Capacity, Detail: "certificate expires in 6 days", Duration: time.Millisecond}
	}
	tests := []struct {
		name       string
		vantages   string
		components []policy.Component
		prepare    func(*council)
		play       func(*council)
		until      time.Duration
		want       []string
		texts      []string // that occur in what is told
	}{
		{
			name: "two of three see it", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "dk", "weu") },
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
			texts:   []string{"seen from dk and weu"},
		},
		{
			name: "one of three sees it: an end-user problem", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu") },
			want:    []string{"opened P4 rdp", "resolved P4 rdp"},
			texts:   []string{"rdp is inaccessible from weu", "it would be P2: seen from weu only, not from dk and neu"},
		},
		{
			name: "one of three sees it, then another: it rises in place", components: three(), until: 30 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 20*minute, refused, "rdp"), "weu").all(during(8*minute, 20*minute, refused, "rdp"), "neu")
			},
			want:  []string{"opened P4 rdp", "raised P2 rdp", "resolved P2 rdp"},
			texts: []string{"P4 to P2: a non-redundant", "seen from neu and weu"},
		},
		{
			name: "one of three sees it for long: it counts in full", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 22*minute, refused, "rdp"), "weu") },
			want:    []string{"opened P4 rdp", "raised P2 rdp", "resolved P2 rdp"},
			texts:   []string{"seen from weu only, not from dk and neu, for longer than 15m"},
		},
		{
			name: "of two vantages both are the majority", vantages: "dk weu", components: three(), until: 14 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu") },
			want:    []string{"opened P4 rdp", "resolved P4 rdp"},
		},
		{
			name: "one is enough where that is configured", components: three(), until: 30 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 12*minute, refused, "rdp"), "weu")
				for _, m := range c.members {
					m.setup.Quorum.Need = 1
				}
			},
			want: []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "all see everything down: one P1", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "web", "backend", "rdp")) },
			want:    []string{"opened P1 rdp", "left P1 rdp", "left P1 rdp", "resolved P1 rdp"},
			texts:   []string{"the entire customer solution is inaccessible: all 3", "seen from dk, neu and weu"},
		},
		{
			name: "one sees everything down: one P4 that never becomes P1", components: three(), until: 40 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 25*minute, refused, "web", "backend", "rdp"), "dk") },
			want:    []string{"opened P4 rdp", "raised P2 rdp", "left P2 rdp", "left P2 rdp", "resolved P2 rdp"},
			texts:   []string{"the entire customer solution is inaccessible from dk"},
		},
		{
			name: "one sees everything down, the others all but one: their outage is the one that counts", components: three(), until: 14 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 12*minute, refused, "backend", "rdp")).all(during(2*minute, 12*minute, refused, "web", "backend", "rdp"), "dk")
			},
			want: []string{"opened P2 web", "joined P2 web", "opened P2 rdp", "left P2 web", "resolved P2 web", "resolved P2 rdp"},
		},
		{
			name: "both instances, each seen down by other vantages, are no quorum for both", components: []policy.Component{two("app"), one("rdp")}, until: 14 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 12*minute, refused, "app/a")).all(during(2*minute, 12*minute, refused, "app"), "weu")
			},
			want: []string{"opened P3 app", "resolved P3 app"},
		},
		{
			name: "the leader is blind, its peers see an outage", components: three(), until: 30 * minute,
			prepare: func(c *council) {
				c.all(during(4*minute, 14*minute, refused, "rdp"))
				c.all(during(2*minute, 20*minute, hang, "web", "backend", "rdp", "witness"), "dk")
			},
			want:  []string{"opened - agent sight", "opened P2 rdp", "resolved P2 rdp", "resolved - agent sight"},
			texts: []string{"weu: rdp/tcp: connection refused"},
		},
		{
			name: "a follower is blind: its word does not count, and people are told", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, hang, "web", "backend", "rdp", "witness"), "weu") },
			want:    []string{"opened - agent sight/weu", "resolved - agent sight/weu"},
		},
		{
			name: "a vantage that saw it goes blind: its last word ends when the others see it end", components: three(), until: 30 * minute,
			prepare: func(c *council) {
				outage := during(2*minute, 10*minute, refused, "rdp")
				c.all(outage).all(both(during(9*minute, 13*minute, hang, "web", "backend", "rdp", "witness"), outage), "weu")
			},
			want: []string{"opened P2 rdp", "opened - agent sight/weu", "resolved P2 rdp", "resolved - agent sight/weu"},
		},
		{
			name: "all are blind", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, hang, "web", "backend", "rdp", "witness")) },
			want: []string{
				"opened - agent sight", "opened - agent sight/neu", "opened - agent sight/weu",
				"resolved - agent sight", "resolved - agent sight/neu", "resolved - agent sight/weu",
			},
		},
		{
			name: "a vantage vanishes in mid-incident that saw it: nothing changes", components: three(), until: 40 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 30*minute, refused, "rdp"), "neu", "weu") },
			play:    func(c *council) { c.run(5 * minute).kill("weu"); c.run(9 * minute).begin(c.of("weu")) },
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "all that saw it vanish: it is closed by those that live, not at once", components: three(), until: 40 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 30*minute, refused, "rdp"), "neu", "weu") },
			play:    func(c *council) { c.run(5 * minute).kill("weu"); c.kill("neu"); c.run(9 * minute) },
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "those that deny it vanish: what one sees stays an end-user problem until it has lasted", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 25*minute, refused, "rdp"), "weu") },
			play: func(c *council) {
				c.run(4 * minute).kill("dk")
				c.kill("neu")
				c.run(16 * minute)
			},
			want: []string{"opened P4 rdp", "raised P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "a quorum sees it good and one does not: it falls, with the reason, and ends with the last", components: three(), until: 40 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 8*minute, refused, "rdp")).all(during(2*minute, 18*minute, refused, "rdp"), "weu")
			},
			want:  []string{"opened P2 rdp", "lowered P4 rdp", "resolved P4 rdp"},
			texts: []string{"P2 to P4: reading of the contract"},
		},
		{
			name: "half of four see it, and those that do not vanish: it is not raised by that", vantages: "dk neu sea weu", components: three(), until: 12 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 7*minute, refused, "rdp"), "sea", "weu") },
			play:    func(c *council) { c.run(4 * minute).kill("dk"); c.kill("neu") },
			want:    []string{"opened P4 rdp", "resolved P4 rdp"},
		},
		{
			name: "the last vantage recovers half a minute late: nobody is told of a fall", components: three(), until: 30 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 12*minute, refused, "rdp")).all(during(2*minute, 12*minute+30*time.Second, refused, "rdp"), "weu")
			},
			want: []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "the only vantage sees an outage; another comes and denies it", vantages: "weu dk", components: three(), until: 14 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu") },
			play: func(c *council) {
				c.of("dk").engine = &Engine{}
				c.run(5 * minute).begin(c.of("dk"))
			},
			want: []string{"opened P2 rdp", "lowered P4 rdp", "resolved P4 rdp"},
		},
		{
			name: "one instance is waited for, though a quorum sees it good, when the other goes: that is no priority 1", until: 14 * minute,
			components: []policy.Component{two("app"), one("rdp")},
			prepare: func(c *council) {
				b := during(8*minute+20*time.Second, 12*minute, refused, "app/b")
				c.all(both(during(2*minute, 8*minute, refused, "app/a"), b)).all(both(during(2*minute, 12*minute, refused, "app/a"), b), "weu")
			},
			want: []string{"opened P3 app", "resolved P3 app"},
		},
		{
			name: "and it does not hide what else is down for all", until: 14 * minute,
			components: []policy.Component{two("app"), one("web", "app")},
			prepare: func(c *council) {
				b := both(during(8*minute+20*time.Second, 12*minute, refused, "app/b"), during(8*minute+10*time.Second, 8*minute+50*time.Second, refused, "web"))
				c.all(both(during(2*minute, 8*minute, refused, "app/a"), b)).all(both(during(2*minute, 12*minute, refused, "app/a"), b), "weu")
			},
			want: []string{"opened P3 app", "opened P2 web", "absorbed P3 app", "absorbed P2 web", "raised P2 app", "left P2 app", "lowered P3 app", "resolved P3 app"},
		},
		{
			name: "one has seen one thing down for long, and then all: what it saw for long counts in full, and no more", until: 40 * minute,
			components: []policy.Component{one("rdp"), two("app")},
			prepare: func(c *council) {
				c.all(both(during(2*minute, 25*minute, refused, "rdp"), during(19*minute, 25*minute, refused, "app")), "dk")
			},
			want:  []string{"opened P4 app", "raised P2 app", "joined P2 app", "left P2 app", "resolved P2 app"},
			texts: []string{"the entire customer solution is inaccessible from dk"},
		},
		{
			name: "the other vantage goes with what failed, before it has looked: the one that is left is believed", vantages: "dk weu", components: three(), until: 30 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 12*minute, refused, "rdp")).all(during(2*minute-15*time.Second, time.Hour, func() probes.Result {
					return probes.Result{Outcome: probes.Down, Reason: probes.Timeout, Detail: "hung", Duration: time.Hour}
				}, "rdp"), "weu")
			},
			play:  func(c *council) { c.run(2*minute + 40*time.Second).kill("weu") },
			want:  []string{"opened P4 rdp", "raised P2 rdp", "resolved P2 rdp"},
			texts: []string{"seen from dk only, not from weu"},
		},
		{
			name: "a vantage comes back that had seen it, and still does: how long it lasts alone is counted anew", components: three(), until: 70 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 52*minute, refused, "rdp"), "weu") },
			play:    func(c *council) { c.run(3 * minute).kill("weu"); c.run(40 * minute).begin(c.of("weu")) },
			want:    []string{"opened P4 rdp", "resolved P4 rdp", "opened P4 rdp", "resolved P4 rdp"},
		},
		{
			name: "the quorum comes and goes twice a minute while one sees it throughout: it stays", components: three(), until: 20 * minute,
			prepare: func(c *council) {
				var all []func(string, time.Time) probes.Result
				for at := 2 * minute; at < 12*minute; at += minute {
					all = append(all, during(at, at+30*time.Second, refused, "rdp"))
				}
				c.all(both(all...), "dk").all(during(2*minute, 12*minute, refused, "rdp"), "weu")
			},
			want: []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "two agents at one place are no two places: the way from there to all is broken, and nothing is priority 1", vantages: "dk weu weu#2", components: three(), until: 14 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "web", "backend", "rdp"), "weu", "weu#2") },
			want:    []string{"opened P4 rdp", "left P4 rdp", "left P4 rdp", "resolved P4 rdp"},
			texts:   []string{"the entire customer solution is inaccessible from weu and weu#2"},
		},
		{
			name: "two of three places see it, and three agents at the third do not", vantages: "dk neu weu weu#2 weu#3", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "dk", "neu") },
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "one agent of a place sees it, the others there do not", vantages: "dk weu weu#2 weu#3", components: three(), until: 14 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu#2") },
			want:    []string{"opened P4 rdp", "resolved P4 rdp"},
			texts:   []string{"seen from weu#2 only, not from dk, weu and weu#3"},
		},
		{
			name: "most agents of each place see it", vantages: "dk weu weu#2 weu#3", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "dk", "weu", "weu#3") },
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "there is but one place: most of its agents are enough", vantages: "weu weu#2 weu#3", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu", "weu#3") },
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "there is but one place: one agent is not", vantages: "weu weu#2 weu#3", components: three(), until: 14 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu#3") },
			want:    []string{"opened P4 rdp", "resolved P4 rdp"},
		},
		{
			name: "the other place, which denied it, vanishes: that raises nothing", vantages: "dk weu weu#2", components: three(), until: 14 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu", "weu#2") },
			play:    func(c *council) { c.run(4 * minute).kill("dk") },
			want:    []string{"opened P4 rdp", "resolved P4 rdp"},
		},
		{
			name: "the other place vanishes before it has measured it: those that are left are believed", vantages: "dk weu weu#2", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, refused, "rdp"), "weu", "weu#2") },
			play:    func(c *council) { c.run(2*minute - 10*time.Second).kill("dk") },
			want:    []string{"opened P2 rdp", "resolved P2 rdp"},
		},
		{
			name: "slow for all but one", components: three(), until: 90 * minute,
			prepare: func(c *council) {
				c.all(during(10*minute, 40*minute, slow, "web"), "dk", "weu")
				for _, m := range c.members {
					m.setup.Limits = limits("web/tcp", "total", 3*time.Second)
				}
			},
			want: []string{"opened P2 performance web", "resolved P2 performance web"},
		},
		{
			name: "slow for one", components: three(), until: 90 * minute,
			prepare: func(c *council) {
				c.all(during(10*minute, 37*minute, slow, "web"), "weu")
				for _, m := range c.members {
					m.setup.Limits = limits("web/tcp", "total", 3*time.Second)
				}
			},
			want:  []string{"opened P4 performance web", "resolved P4 performance web"},
			texts: []string{"web is slow from weu"},
		},
		{
			name: "slow for one, for long", components: three(), until: 90 * minute,
			prepare: func(c *council) {
				c.all(during(10*minute, 60*minute, slow, "web"), "weu")
				for _, m := range c.members {
					m.setup.Limits = limits("web/tcp", "total", 3*time.Second)
				}
			},
			want: []string{"opened P4 performance web", "raised P2 performance web", "resolved P2 performance web"},
		},
		{
			name: "a threshold that one sees passed", components: three(), until: 30 * minute,
			prepare: func(c *council) { c.all(during(2*minute, 12*minute, full, "web"), "weu") },
			want:    []string{"opened P4 capacity web", "resolved P4 capacity web"},
			texts:   []string{"seen from weu only, not from dk and neu"},
		},
		{
			name: "a functional failure that one sees", components: three(), until: 30 * minute,
			prepare: func(c *council) {
				c.all(during(2*minute, 12*minute, func() probes.Result {
					return probes.Result{Outcome: probes.Degraded, Reason: probes.Functional, Detail: "the query is wrong", Duration: time.Millisecond}
				}, "web"), "weu")
			},
			want:  []string{"opened - functional web", "resolved - functional web"},
			texts: []string{"seen from weu only, not from dk and neu"},
		},
		{
			name: "three short outages that one sees are momentary outages of priority 4", components: three(), until: 120 * minute,
			prepare: func(c *council) {
				c.all(both(during(2*minute, 3*minute, refused, "rdp"), during(10*minute, 11*minute, refused, "rdp"), during(20*minute, 21*minute, refused, "rdp")), "weu")
			},
			want: []string{"opened P4 rdp", "resolved P4 rdp", "opened P4 rdp", "resolved P4 rdp", "opened P4 rdp", "resolved P4 rdp"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vantages := tt.vantages
			if vantages == "" {
				vantages = "dk neu weu"
			}
			c := newCouncil(t, vantages, tt.components...)
			tt.prepare(c)
			if tt.play != nil {
				tt.play(c)
			}
			c.run(tt.until)
			var got []string
			for _, line := range c.short() {
				if !strings.HasPrefix(line, "measured") {
					got = append(got, line)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("story:\n%s\nwant:\n%s\n%s", strings.Join(c.story(), "\n"), strings.Join(tt.want, "\n"), c.dump())
			}
			told := c.dump()
			for _, i := range c.incidents {
				told += i.Title + "\n" + i.Widest + "\n" + i.Why + "\n" + strings.Join(i.Detail, "\n")
			}
			for _, text := range tt.texts {
				if !strings.Contains(told, text) {
					t.Errorf("nowhere is %q:\n%s", text, told)
				}
			}
			if len(c.open()) > 0 {
				t.Errorf("open at the end:\n%s", c.dump())
			}
		})
	}
}

// TestWeigh states how far a problem counts by what is remembered of it.
func TestWeigh(t *testing.T) {
	now := t0.Add(time.Hour)
	one, long := []string{"weu"}, now.Add(-20*minute)
	for _, tt := range []struct {
		name string
		was  standing
		t    tally
		then time.Time
		open bool
		want weight
	}{
		{"one of three", standing{}, tally{says: one, denies: []string{"dk", "neu"}}, long, true, alone},
		{"two of three", standing{}, tally{says: []string{"dk", "weu"}, denies: []string{"neu"}}, now, true, inFull},
		{"the only one that can tell", standing{}, tally{says: one}, now, true, inFull},
		{"the only one that is left, and another denied it", standing{Alone: now, Denied: true}, tally{says: one}, now, true, alone},
		{"the only one that is left, and no other had measured it", standing{Alone: now}, tally{says: one}, now, true, inFull},
		{"a quorum saw it just now", standing{Full: true}, tally{says: one, denies: []string{"dk", "neu"}}, now, true, stays},
		{"a quorum saw it just now, and no incident is open", standing{Full: true}, tally{says: one, denies: []string{"dk", "neu"}}, now, false, alone},
		{"a quorum saw it a while ago", standing{Full: true, Alone: now.Add(-lookLong)}, tally{says: one, denies: []string{"dk", "neu"}}, now, true, alone},
		{"a quorum with a last word", standing{Full: true}, tally{says: one, held: []string{"neu"}, denies: []string{"dk"}}, now, true, stays},
		{"it has lasted", standing{Alone: long}, tally{says: one, denies: []string{"dk", "neu"}}, long, true, inFull},
		{"it has lasted, but of this vantage", standing{Alone: long}, tally{says: one, denies: []string{"dk", "neu"}}, now, true, alone},
		{"a place that is split, and another", standing{}, tally{says: []string{"dk", "weu"}, denies: []string{"weu#2"}}, now, true, alone},
		{"a place of which one died that denied it, and another", standing{}, tally{says: []string{"dk", "weu"}, denied: []string{"weu#2"}}, now, true, inFull},
		{"a place that another denied", standing{Alone: now, Denied: true, Away: true}, tally{says: []string{"weu", "weu#2"}}, now, true, alone},
		{"a place of which one denied it", standing{Alone: now, Denied: true}, tally{says: []string{"weu", "weu#2"}}, now, true, inFull},
		{"a last word of one at a place", standing{Full: true}, tally{says: []string{"weu#2"}, held: []string{"weu"}, denies: []string{"weu#3"}}, now, true, stays},
		{"a last word, and nothing is open", standing{}, tally{held: one}, long, false, nothing},
	} {
		w := newWorld(t, three()...)
		w.setup.Vantage = "dk"
		e, _, err := New(w.setup, nil, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		c := e.components[0]
		*c.memory.standing("it") = tt.was
		if got, _ := e.weigh(c, "it", tt.t, tt.then, tt.open); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	p := &probe{voices: []voice{{vantage: "weu", held: true, at: now, ProbeVote: bigVote(1, 1).Probes["component-0/instance-0/probe-0"]}}}
	for _, open := range []bool{false, true} {
		got, _, _ := count([]*probe{p}, open, incident.Outage, func(v *voice) *incident.Finding { return v.finding(incident.Outage) })
		if len(got.says) > 0 || len(got.held) > 0 != open {
			t.Errorf("the last word of one that is gone, open %t: %+v", open, got)
		}
	}
}

// TestALastWordIsOverruledFromItsOwnVantage states that what an agent said last, before it was killed, holds no longer than until another one at
// its vantage has measured the probe well for a while.
func TestALastWordIsOverruledFromItsOwnVantage(t *testing.T) {
	said := t0.Add(time.Hour)
	last := voice{vantage: "weu", held: true, at: said, ProbeVote: bigVote(1, 1).Probes["component-0/instance-0/probe-0"]}
	well := func(vantage string, after time.Duration) voice {
		return voice{vantage: vantage, at: said.Add(after), ProbeVote: ProbeVote{Outcome: probes.Up, Run: said.Add(after)}}
	}
	blind := well("weu#2", minute)
	blind.held = true
	fails := well("weu#2", minute)
	fails.Outcome, fails.Findings = probes.Down, last.Findings
	doubts := well("weu#2", minute)
	doubts.Outcome = probes.Down
	for name, tt := range map[string]struct {
		other voice
		holds bool
	}{
		"its successor measures it well":          {well("weu#2", minute), false},
		"its successor has only begun":            {well("weu#2", 10*time.Second), true},
		"its successor is blind":                  {blind, true},
		"its successor sees it too":               {fails, true},
		"its successor has a doubt":               {doubts, true},
		"another vantage measures it well":        {well("dk", minute), true},
		"a vantage of a like name measures it so": {well("weu2", minute), true},
	} {
		p := &probe{voices: []voice{last, tt.other}}
		got, _, _ := count([]*probe{p}, true, incident.Outage, func(v *voice) *incident.Finding { return v.finding(incident.Outage) })
		if slices.Contains(got.held, "weu") != tt.holds {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestConfirmedSoonByAll states how soon an outage that all see counts in full: it opens at its full priority, as with one vantage, and
// takes no more than two beats longer.
func TestConfirmedSoonByAll(t *testing.T) {
	for offset := range 10 {
		c := newCouncil(t, "dk neu weu", three()...)
		fault := 2*minute + time.Duration(offset)*time.Second
		c.all(during(fault, time.Hour, refused, "rdp"))
		for _, m := range c.members {
			m.interval = time.Minute
		}
		c.run(10 * minute)
		if len(c.open()) != 1 || c.short()[0] != "opened P2 rdp" {
			t.Fatalf("offset %d: %s", offset, c.dump())
		}
		i := c.open()[0]
		if took := i.Opened.Sub(i.Started); took > 13*time.Second {
			t.Errorf("offset %d: opened %s after the first failing result\n%s", offset, took, c.dump())
		}
	}
}

// TestAccountsOfPeers states that an account that is refused at one vantage is told, once, and is over when it is used again.
func TestAccountsOfPeers(t *testing.T) {
	rdp := one("rdp")
	rdp.Instances[0].Probes[0].Account = true
	c := newCouncil(t, "dk neu weu", one("web"), rdp)
	c.all(during(2*minute, 12*minute, fact(up(), "locked out"), "rdp"), "neu", "weu")
	c.run(30 * minute)
	if !c.equal("opened - account rdp/tcp", "resolved - account rdp/tcp") {
		t.Error(c.dump())
	}
}
