package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Rules say when faults of several tenants are one cause. The zero value has the defaults.
type Rules struct {
	Window     time.Duration // in which they begin; 0: 10 min
	MinTenants int           // fewer are never one cause; 0: 3
	PerYear    float64       // so many a year may be found by chance, over all scopes together; 0: 0.1
	Join       time.Duration // how long after the newest member a further one joins, and after it recovered one that fails again; 0: 30 min
	Linger     time.Duration // how long after the last member recovered it is over; 0: 5 min
}

// The base rate.
const (
	History   = 7 * 24 * time.Hour // over which it is counted
	fewest    = 90 * 24 * time.Hour
	shortest  = 12 * time.Hour // that the base rate is counted over
	perDay    = 3              // faults of one tenant that count in a day
	hourShare = time.Hour      // the same hour of the days before counts for itself
	fresh     = 2 * time.Hour  // that is judged again each time: what is confirmed, or read, late
)

func (r Rules) withDefaults() Rules {
	r.Window = cmp.Or(r.Window, 10*time.Minute)
	r.MinTenants = max(cmp.Or(r.MinTenants, 3), 2)
	r.PerYear = cmp.Or(r.PerYear, 0.1)
	r.Join = cmp.Or(r.Join, 30*time.Minute)
	r.Linger = cmp.Or(r.Linger, 5*time.Minute)
	return r
}

// Keep returns how far back closed faults must be given.
func (r Rules) Keep() time.Duration { return History }

// Correlate returns the fleet incidents at now: those that last, and those that ended within History, the oldest first. faults are all that
// last and those that ended within History, in any order. before is what it returned the last time, at last or later; nil when nothing is
// remembered: then what it would have found is found again, under the same keys.
func (r Rules) Correlate(now, last time.Time, tenants []Tenant, faults []Fault, before []Incident) []Incident {
	c := newCorrelator(r.withDefaults(), now, tenants, faults, before)
	c.follow()
	first := 0
	if before != nil {
		if last.IsZero() || last.After(now) {
			last = now
		}
		first, _ = slices.BinarySearchFunc(c.faults, last.Add(-fresh), func(f known, t time.Time) int { return f.Opened.Compare(t) })
	}
	for n := first; n < len(c.faults); n++ {
		if !c.faults[n].taken && !c.join(n) {
			c.find(n)
		}
	}
	for again := true; again; { // what joined may let others join, too
		again = false
		for n := first; n < len(c.faults); n++ {
			again = !c.faults[n].taken && c.join(n) || again
		}
		for n := range c.list { // what is known now may tell the cause better than what gave it away
			if i := &c.list[n]; i.Open() && len(i.Members) != i.Explained {
				c.explain(i, c.last(*i))
				i.Explained = len(i.Members)
				again = true
			}
		}
	}
	c.follow()
	c.end()
	slices.SortFunc(c.list, func(a, b Incident) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Key, b.Key)) })
	return slices.DeleteFunc(c.list, func(i Incident) bool { return !i.Open() && i.Closed.Before(now.Add(-History)) })
}

// known is a fault under consideration.
type known struct {
	Fault
	tenant Tenant
	taken  bool // by a fleet incident
}

type correlator struct {
	Rules
	now     time.Time
	tenants []Tenant
	faults  []known // in the order in which they were confirmed
	starts  []int   // of faults, by start
	list    []Incident
	scopes  float64        // that are looked at
	size    map[string]int // tenants of a scope, by its id
	base    map[string][]time.Time
	byID    map[string]Tenant
}

func newCorrelator(r Rules, now time.Time, tenants []Tenant, faults []Fault, before []Incident) *correlator {
	c := &correlator{Rules: r, now: now, tenants: tenants, size: map[string]int{}, base: map[string][]time.Time{}, byID: make(map[string]Tenant, len(tenants))}
	for _, t := range tenants {
		c.byID[t.ID] = t
	}
	// of a tenant that is no longer there the faults count for nothing
	for _, f := range faults {
		if t, ok := c.byID[f.Tenant]; ok && !f.Opened.After(now) {
			c.faults = append(c.faults, known{Fault: f, tenant: t})
		}
	}
	slices.SortFunc(c.faults, func(a, b known) int {
		return cmp.Or(a.Opened.Compare(b.Opened), a.Started.Compare(b.Started), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Incident, b.Incident))
	})
	c.starts = make([]int, len(c.faults))
	for n := range c.starts {
		c.starts[n] = n
	}
	slices.SortStableFunc(c.starts, func(a, b int) int { return c.faults[a].Started.Compare(c.faults[b].Started) })
	for _, i := range before {
		i.Members = slices.Clone(i.Members)
		for n := range i.Members {
			i.Members[n].Incidents = slices.Clone(i.Members[n].Incidents)
		}
		c.list = append(c.list, i)
	}
	owner := map[string]int{}
	for n, i := range c.list {
		for _, m := range i.Members {
			for _, id := range m.Incidents {
				owner[m.Tenant+"\x00"+id] = n
			}
		}
	}
	for n := range c.faults {
		_, c.faults[n].taken = owner[c.faults[n].Tenant+"\x00"+c.faults[n].Incident]
	}
	c.count()
	return c
}

// join lets a fault join what lasted when it was confirmed.
func (c *correlator) join(n int) bool {
	for k := range c.list {
		if i := &c.list[k]; !c.outlived(*i, n) && c.joins(*i, c.faults[n]) {
			c.take(i, n)
			return true
		}
	}
	return false
}

// find looks whether a fault, at the instant at which it was confirmed, gives a common cause away.
func (c *correlator) find(n int) {
	f := c.faults[n]
	best, members, odds := c.best(n)
	if len(members) == 0 {
		return
	}
	i := Incident{Scope: best, Found: f.Opened, Odds: odds, Started: c.faults[members[0]].Started, Patience: c.patience(best, n)}
	for _, m := range members {
		if s := c.faults[m].Started; s.Before(i.Started) {
			i.Started = s
		}
	}
	for k := range c.list { // what begins together and has something in common is one
		other := &c.list[k]
		late := slices.ContainsFunc(members, func(m int) bool { return c.outlived(*other, m) })
		if !late && other.Scope.related(best) && c.near(*other, i.Started, f.Opened) {
			for _, m := range members {
				c.take(other, m)
			}
			c.explain(other, n)
			c.gather(other, n)
			return
		}
	}
	for _, m := range members {
		c.take(&i, m)
	}
	i.First = len(i.Members)
	i.Key = incident.Key("fleet", best.Class, best.Root(), i.Started)
	c.gather(&i, n)
	c.list = append(c.list, i)
}

// joins reports whether a fault belongs to what was found: it lies in its scope and began with it or soon after the newest member.
func (c *correlator) joins(i Incident, f known) bool {
	if !i.Scope.covers(f.Fault, f.tenant) {
		return false
	}
	if c.near(i, f.Started, f.Opened) {
		return true
	}
	m := i.member(f.Tenant) // one that fails again soon after it recovered is one still
	return m != nil && (m.Ended.IsZero() || !f.Started.After(m.Ended.Add(c.Join))) && c.lasted(i, f.Opened)
}

// outlived reports whether a fault lasts that was read after it was decided that a fleet incident is over: that stays decided.
func (c *correlator) outlived(i Incident, n int) bool { return !i.Open() && c.faults[n].Ended.IsZero() }

// near reports whether what started then and was confirmed at that time belongs to what lasted then.
func (c *correlator) near(i Incident, started, confirmed time.Time) bool {
	if started.Before(i.Started.Add(-c.Window)) || started.After(confirmed) || !c.lasted(i, confirmed) {
		return false
	}
	newest := i.Started
	for _, m := range i.Members {
		if !m.Started.After(confirmed) {
			newest = later(newest, m.Started)
		}
	}
	return !started.After(newest.Add(i.Patience))
}

// lasted reports whether it was not over at that time.
func (c *correlator) lasted(i Incident, at time.Time) bool {
	if at.Before(i.Started) || !i.Open() && at.After(i.Closed) {
		return false
	}
	return slices.ContainsFunc(i.Members, func(m Member) bool { return m.Ended.IsZero() || m.Ended.Add(c.Linger).After(at) })
}

func (c *correlator) take(i *Incident, n int) {
	c.faults[n].taken = true
	i.add(c.faults[n].Fault)
}

// gather takes in what was confirmed until the fault n and belongs to it, until nothing more does.
func (c *correlator) gather(i *Incident, n int) {
	from := i.Started.Add(-c.Window)
	first, _ := slices.BinarySearchFunc(c.starts, from, func(m int, t time.Time) int { return c.faults[m].Started.Compare(t) })
	for again := true; again; {
		again = false
		for _, m := range c.starts[first:] {
			f := c.faults[m]
			if m <= n && !f.taken && c.joins(*i, f) {
				c.take(i, m)
				again = true
			}
		}
	}
}

// last returns the fault of a fleet incident that was confirmed last.
func (c *correlator) last(i Incident) int {
	for n := len(c.faults) - 1; n > 0; n-- {
		if m := i.member(c.faults[n].Tenant); m != nil && slices.Contains(m.Incidents, c.faults[n].Incident) {
			return n
		}
	}
	return 0
}

// follow brings members to what their faults are now.
func (c *correlator) follow() {
	now := map[string]Fault{}
	for _, f := range c.faults {
		now[f.Tenant+"\x00"+f.Incident] = f.Fault
	}
	for n := range c.list {
		i := &c.list[n]
		if !i.Open() {
			continue
		}
		for k := range i.Members {
			m := &i.Members[k]
			was, ended := m.Ended, m.Started
			lasts := false
			for _, id := range m.Incidents {
				f, ok := now[m.Tenant+"\x00"+id]
				switch {
				case ok && f.Ended.IsZero():
					lasts = true
				case ok && f.Ended.After(ended):
					ended = f.Ended
				case !ok: // it is out of sight: a tenant that left, or an agent that is heard again
					ended = later(ended, was)
					if was.IsZero() {
						ended = c.now
					}
				}
				if ok && f.Priority.Above(m.Priority) {
					m.Priority = f.Priority
				}
			}
			m.Ended = ended
			if lasts {
				m.Ended = time.Time{}
			}
		}
		slices.SortFunc(i.Members, byStart)
		for k := range i.Members {
			m := &i.Members[k]
			if t, ok := c.byID[m.Tenant]; ok { // one that left stays where it was
				m.Outside = !i.Scope.about(m.Components) || !i.Scope.holds(t)
			}
		}
		i.Of = max(c.tenantsOf(i.Scope), i.Within())
	}
}

// end closes what is over.
func (c *correlator) end() {
	for n := range c.list {
		i := &c.list[n]
		switch {
		case !i.Open():
		case i.Failing() == 0:
			last := i.Started
			for _, m := range i.Members {
				last = later(last, m.Ended)
			}
			if !c.now.Before(last.Add(c.Linger)) {
				i.Ended, i.Closed = last, later(last.Add(c.Linger), i.Found)
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
