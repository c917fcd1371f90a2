package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// council is several vantages that exchange votes every two seconds, and the store that they share.
type council struct {
	packer    Packer
	t         tester
	members   []*member
	leader    *member // nil: nobody leads
	incidents map[string]incident.Incident
	events    []incident.Event
	shared    []byte
	now       time.Duration // since t0, by the true clock
	pace      time.Duration // between two beats
	beats     int
	said      map[*member]Vote // with the newest beat, by those that were heard
	calm      time.Duration    // since when nothing happened to a vantage
	ghost     *Vote            // of a vantage that is gone: the store still shows it
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
	c := &council{t: t, incidents: map[string]incident.Incident{}, pace: 2 * time.Second}
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
	c.calm = c.now
	m.alive = true
	m.setup.Follows = true
	m.now = t0.Add(c.now + m.skew)
	m.engine = nil
	m.start()
}

func (c *council) kill(name string) {
	m := c.of(name)
	c.calm = c.now
	delete(c.said, m)
	if m.engine != nil && c.leader != m {
		m.saved, _ = m.engine.State()
	}
	m.alive, m.engine = false, nil
	if c.leader == m {
		c.leader = nil
	}
}

// lead makes a vantage lead; the one that led follows. An agent that just began is given the lead with its first beat, in which it hears the others too.
func (c *council) lead(name string) {
	m := c.of(name)
	c.calm = c.now
	if _, told := c.said[m]; !told && len(m.engine.peers) == 0 {
		m.take(m.engine.Hear(m.now, c.votes(m)))
	}
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
	c.said = said
	for n, m := range c.members {
		if !m.alive || m.cut {
			continue
		}
		v := m.engine.Vote()
		if c.beats++; (c.beats+n)%10 == 0 { // the rest of the time it is spared
			data, err := c.packer.Encode(v)
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
		votes := c.votes(m)
		if c.ghost != nil { // the clocks are compared anew each time
			votes = append(votes, c.ghost.Moved(time.Duration(c.beats)*time.Microsecond))
		}
		m.take(m.engine.Hear(m.now, votes))
	}
}

// votes is what a vantage hears of the newest beat.
func (c *council) votes(m *member) (list []Vote) {
	for _, o := range c.members {
		if v, ok := c.said[o]; ok && o != m && !m.cut {
			list = append(list, v)
		}
	}
	return list
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
		c.followed()
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

// says returns who sees, and says last, that a probe of some has a finding of a kind, and who has measured one since it began to see and
// says nothing of the kind: what was told with the newest beat, and what the leader itself knows; places, where there are several, by the most
// of their agents. lasted: one has said so for long enough to be believed against the others.
func (c *council) says(kind incident.FindingKind, list []*probe) (says, denies int, lasted bool) {
	yes, no := map[string]int{}, map[string]int{}
	for _, m := range c.members {
		v, told := c.said[m]
		if m == c.leader {
			v, told = m.engine.Vote(), true
		}
		if !told || v.Blind {
			continue
		}
		said, heard := false, false
		for _, p := range list {
			pv := v.Probes[p.id]
			heard = heard || pv.heard()
			if f := pv.finding(kind); f != nil {
				said = true
				lasted = lasted || m.now.Sub(f.Since)+c.slack() >= m.engine.set.Quorum.Lasting()
			}
		}
		switch {
		case said:
			yes[m.place()]++
		case heard:
			no[m.place()]++
		}
	}
	all := maps.Clone(no)
	maps.Copy(all, yes)
	for place := range all {
		switch {
		case len(all) == 1:
			return yes[place], no[place], lasted
		case yes[place] > no[place]:
			says++
		default:
			denies++
		}
	}
	return says, denies, lasted
}

// place is where a vantage's agent is.
func (m *member) place() string { return strings.TrimRight(m.name, "#0123456789") }

// slack is by how much what vantages say of the same time differs: a beat, and what their clocks do, since one leads after the other.
func (c *council) slack() time.Duration {
	by := func(a, b *member) int { return cmp.Compare(a.skew, b.skew) }
	return c.pace + slices.MaxFunc(c.members, by).skew - slices.MinFunc(c.members, by).skew
}

// gravest is the highest priority that what the vantages say now can give to components of an availability incident.
func (c *council) gravest(w *world, names []string) incident.Priority {
	best := incident.P4
	entire := 0
	for _, comp := range w.engine.components {
		full, quorum := 0, 0
		for _, instance := range comp.instances {
			says, denies, lasted := c.says(incident.Outage, decidingOf(instance))
			agreed := says >= w.engine.set.Quorum.Of(says+denies) && says > 0
			if agreed {
				quorum++
			}
			if agreed || lasted {
				full++
			}
		}
		if comp.Essential && entire >= 0 {
			if entire++; quorum < len(comp.instances) {
				entire = -1
			}
		}
		p := incident.P4
		switch {
		case !slices.Contains(names, comp.Name) || full == 0:
		case full < len(comp.instances):
			p = incident.P3
		case len(comp.instances) > 1:
			p = incident.P1
		default:
			p = incident.P2
		}
		if p.Above(best) {
			best = p
		}
	}
	if entire > 0 {
		return incident.P1
	}
	return best
}

// sober holds that nothing is opened or raised above what the quorum of those that live and see, or one vantage's word that has lasted,
// makes of it: one vantage's word alone never makes more than priority 4.
func (c *council) sober(w *world, e incident.Event) {
	i := c.incidents[e.Incident]
	if !e.Priority.Above(incident.P4) || e.Kind != incident.EventOpened && e.Kind != incident.EventRaised {
		return
	}
	switch {
	case strings.Contains(i.Title, "momentary") || strings.Contains(i.Title, "periodic"):
	case i.Class == incident.Performance:
		says, denies, lasted := c.says(incident.Regression, w.engine.byName[i.Root].deciding)
		if says < w.engine.set.Quorum.Of(says+denies) && !lasted {
			c.t.Fatalf("%s: %s %s, %d say so and %d do not: %s\n%s", c.now, e.Kind, e.Priority, says, denies, e.Text, strings.Join(c.story(), "\n"))
		}
	case e.Priority.Above(c.gravest(w, i.Components)):
		c.t.Fatalf("%s: %s %s, what is seen allows %s: %s\n%s", c.now, e.Kind, e.Priority, c.gravest(w, i.Components), e.Text, strings.Join(c.story(), "\n"))
	}
}

// followed holds that what all vantages that see have called down for long is in an incident, above priority 4 where they are at two places or
// more, and that what they all call well is in none.
func (c *council) followed() {
	var see []*member
	for _, m := range c.members {
		if m.alive && (m.cut || m.engine.blind()) || !m.alive && m.engine != nil {
			c.calm = c.now
		}
		if m.alive {
			see = append(see, m)
		}
	}
	if c.leader == nil || c.now-c.calm < 2*wordHolds {
		return
	}
	several := slices.ContainsFunc(see, func(m *member) bool { return m.place() != see[0].place() })
	e := c.leader.engine
	all := func(comp policy.Component, o probes.Outcome, every bool) bool {
		return !slices.ContainsFunc(see, func(m *member) bool { return !m.says(comp, o, steady, every) })
	}
	for _, comp := range c.leader.setup.Solution.Components {
		l := e.member(incident.Availability, comp.Name)
		maintained := len(c.leader.setup.Windows) > 0
		switch {
		case !maintained && all(comp, probes.Down, false) && (l == nil || several && !l.Priority.Above(incident.P4)):
			c.t.Fatalf("%s: %s is down for all, and in no incident or a low one: %+v\n%s", c.now, comp.Name, l, c.dump())
		case l != nil && !l.Stateless && slices.Contains(l.Active, comp.Name) && all(comp, probes.Up, true) && !slices.ContainsFunc(see, func(m *member) bool { return m.flaps(comp.Name) }) &&
			!e.byName[comp.Name].memory.Flaps:
			c.t.Fatalf("%s: %s is well for all and in %s\n%s", c.now, comp.Name, l.ID, c.dump())
		}
	}
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
