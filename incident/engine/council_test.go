package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// council is several vantages that exchange votes every two seconds, and the store that they share.
type council struct {
	t         tester
	members   []*member
	leader    *member // nil: nobody leads
	incidents map[string]incident.Incident
	events    []incident.Event
	shared    []byte
	now       time.Duration // since t0, by the true clock
	pace      time.Duration // between two beats
	beats     int
	ghost     *Vote // of a vantage that is gone: the store still shows it
	strict    bool  // a raise above P4 is checked against what the vantages see
}

// member is one vantage.
type member struct {
	*world
	name   string
	skew   time.Duration // of its clock
	alive  bool
	cut    bool // it cannot reach the store: it is neither heard nor hears
	answer func(id string, at time.Time) probes.Result
}

func newCouncil(t tester, names string, components ...policy.Component) *council {
	c := &council{t: t, incidents: map[string]incident.Incident{}, pace: 2 * time.Second, strict: true}
	for name := range strings.FieldsSeq(names) {
		m := &member{world: newWorld(t, components...), name: name}
		m.among, m.incidents = c, c.incidents
		m.answer = func(string, time.Time) probes.Result { return up() }
		m.world.answer = func(id string, at time.Time) probes.Result { return m.answer(id, at.Add(-m.skew)) }
		m.setup.Vantage = name
		c.members = append(c.members, m)
	}
	return c
}

func (c *council) of(name string) *member {
	return c.members[slices.IndexFunc(c.members, func(m *member) bool { return m.name == name })]
}

// all makes every vantage named, or all, see the same.
func (c *council) all(answer func(string, time.Time) probes.Result, names ...string) *council {
	for _, m := range c.members {
		if len(names) == 0 || slices.Contains(names, m.name) {
			m.answer = answer
		}
	}
	return c
}

// begin starts an agent: it follows until it is told to lead.
func (c *council) begin(m *member) {
	m.alive = true
	m.setup.Follows = true
	m.now = t0.Add(c.now + m.skew)
	m.engine = nil
	m.start()
}

func (c *council) kill(name string) {
	m := c.of(name)
	if m.engine != nil && c.leader != m {
		m.saved, _ = m.engine.State()
	}
	m.alive, m.engine = false, nil
	if c.leader == m {
		c.leader = nil
	}
}

// lead makes a vantage lead; the one that led follows.
func (c *council) lead(name string) {
	m := c.of(name)
	if c.leader != nil && c.leader != m {
		c.leader.take(c.leader.engine.Follow(c.leader.now))
	}
	c.leader = m
	var open []incident.Incident
	for _, i := range c.incidents {
		if i.Open() {
			open = append(open, i)
		}
	}
	step, err := m.engine.Lead(m.now, c.shared, open)
	if err != nil {
		c.t.Fatal(err)
	}
	c.take(m.world, step)
	m.wellFormed()
}

// beat lets every vantage that is not cut off tell and hear.
func (c *council) beat() {
	said := map[*member]Vote{}
	for n, m := range c.members {
		if !m.alive || m.cut {
			continue
		}
		v := m.engine.Vote()
		if c.beats++; (c.beats+n)%10 == 0 { // the rest of the time it is spared
			data, err := v.Encode()
			if err != nil {
				c.t.Fatal(err)
			}
			if v, err = DecodeVote(data); err != nil {
				c.t.Fatal(err)
			}
		}
		said[m] = v
	}
	for _, m := range c.members {
		if !m.alive {
			continue
		}
		var votes []Vote
		for _, o := range c.members {
			if v, ok := said[o]; ok && o != m && !m.cut {
				votes = append(votes, v)
			}
		}
		if c.ghost != nil { // the clocks are compared anew each time
			votes = append(votes, c.ghost.Moved(time.Duration(c.beats)*time.Microsecond))
		}
		m.take(m.engine.Hear(m.now, votes))
	}
}

// run plays until that long after t0. Where nobody leads, the first that lives and is not cut off does.
func (c *council) run(until time.Duration) *council {
	for _, m := range c.members {
		if m.engine == nil && c.now == 0 {
			c.begin(m)
		}
	}
	for c.now < until {
		c.now += c.pace
		for _, m := range c.members {
			if m.alive {
				m.run(c.now + m.skew)
			}
		}
		c.beat()
		if c.leader == nil {
			if at := slices.IndexFunc(c.members, func(m *member) bool { return m.alive && !m.cut }); at >= 0 {
				c.lead(c.members[at].name)
			}
		}
	}
	return c
}

// take does for a vantage what the store does for all.
func (c *council) take(w *world, s Step) {
	for _, r := range s.Rechecks {
		for n := range r.Count {
			w.push(run{at: w.now.Add(r.Within * time.Duration(n+1) / time.Duration(r.Count)).Add(time.Millisecond), id: r.Probe, recheck: true})
		}
	}
	if w.engine == nil {
		return
	}
	if !s.Changed() {
		return
	}
	if c.leader == nil || c.leader.world != w {
		c.t.Fatalf("%s follows, and judged: %+v", w.setup.Vantage, s)
	}
	for _, i := range s.Incidents {
		w.check(i)
		c.incidents[i.ID] = i
	}
	c.events = append(c.events, s.Events...)
	w.wellFormed()
	for _, e := range s.Events {
		c.sober(w, e)
	}
	var err error
	if c.shared, err = w.engine.State(); err != nil {
		c.t.Fatal(err)
	}
}

// sober holds that nothing counts above priority 4 on the word of one vantage, where others see and deny it, before it has lasted.
func (c *council) sober(w *world, e incident.Event) {
	i := c.incidents[e.Incident]
	if !c.strict || !e.Priority.Above(incident.P4) || e.Kind != incident.EventOpened && e.Kind != incident.EventRaised ||
		strings.Contains(i.Title, "momentary") || strings.Contains(i.Title, "periodic") {
		return
	}
	kind := incident.Outage
	if i.Class == incident.Performance {
		kind = incident.Regression
	}
	for _, name := range i.Components {
		comp := w.engine.byName[name]
		if comp == nil {
			continue
		}
		for _, instance := range comp.instances { // that others have not measured one yet is no denial
			says, denies, lasted := 0, 0, false
			for _, p := range decidingOf(instance) {
				for _, v := range w.engine.voices(p) {
					f := v.finding(kind)
					if f != nil {
						says++
						lasted = lasted || w.now.Sub(f.Since) >= w.engine.set.Quorum.Lasting()
					} else if !v.held && v.Outcome != probes.Unknown {
						denies++
					}
				}
			}
			if says > 1 || says == 1 && (denies == 0 || lasted) {
				return
			}
		}
	}
	c.t.Fatalf("%s: %s %s on one vantage's word: %s\n%s", c.now, e.Kind, e.Priority, e.Text, strings.Join(c.story(), "\n"))
}

func (c *council) open() []incident.Incident { return c.members[0].open() }

func (c *council) story() (list []string) {
	for _, e := range c.events {
		i := c.incidents[e.Incident]
		list = append(list, fmt.Sprintf("%s %s %s %s", e.At.Sub(t0).Round(time.Second), e.Kind, e.Priority, strings.TrimPrefix(string(i.Class)+" "+i.Root, "availability ")))
	}
	return list
}

// short is the story without times.
func (c *council) short() (list []string) {
	for _, line := range c.story() {
		list = append(list, line[strings.Index(line, " ")+1:])
	}
	return list
}

func (c *council) equal(want ...string) bool { return slices.Equal(c.short(), want) }

// dump says all that an incident's reader gets.
func (c *council) dump() string {
	var b bytes.Buffer
	for _, e := range c.events {
		fmt.Fprintf(&b, "%s %s %s: %s\n", e.At.Sub(t0).Round(time.Second), e.Kind, e.Priority, e.Text)
	}
	for _, i := range c.open() {
		fmt.Fprintf(&b, "open: %s %s\n  %s\n  %s\n", i.Priority, i.Title, i.Why, strings.Join(i.Detail, "\n  "))
	}
	return b.String()
}
