package fleet

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Rules say when faults of several tenants are one cause. The zero value has the defaults.
type Rules struct {
	Window     time.Duration // in which they begin; 0: 10 min
	MinTenants int           // fewer are never one cause; 0: 3
	PerYear    float64       // so many a year may be found by chance, over all scopes together; 0: 0.1
	Join       time.Duration // how long after the newest member a further one joins; 0: 30 min
	Linger     time.Duration // how long after the last member recovered it is over; 0: 5 min
}

// The base rate.
const (
	History   = 7 * 24 * time.Hour // over which it is counted
	fewest    = 90 * 24 * time.Hour
	shortest  = 12 * time.Hour // that the base rate is counted over
	perDay    = 3              // faults of one tenant that count in a day
	hourShare = time.Hour      // the same hour of the days before counts for itself
	fresh     = 2 * time.Hour
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
// last and those that ended within History, in any order. before is what it returned the last time; nil when nothing is remembered:
// then what it would have found is found again, under the same keys.
func (r Rules) Correlate(now time.Time, tenants []Tenant, faults []Fault, before []Incident) []Incident {
	c := newCorrelator(r.withDefaults(), now, tenants, faults, before)
	c.follow()
	first := 0
	if before != nil {
		first, _ = slices.BinarySearchFunc(c.faults, now.Add(-fresh), func(f known, t time.Time) int { return f.Opened.Compare(t) })
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

// Odds returns how many times a year at least k of n tenants would by chance begin to fail within the window, each of which fails
// rate times an hour on average. Every fault of the scope opens a window, in which the others are counted: a Poisson process.
func (r Rules) Odds(k, n int, rate float64) float64 {
	r = r.withDefaults()
	const year = 365.25 * 24
	hourly := float64(n) * rate
	return hourly * year * poissonTail(hourly*r.Window.Hours(), k-1)
}

// poissonTail returns the probability of k or more where mean are expected.
func poissonTail(mean float64, k int) float64 {
	if k <= 0 {
		return 1
	}
	if mean <= 0 {
		return 0
	}
	lg, _ := math.Lgamma(float64(k) + 1)
	term := math.Exp(float64(k)*math.Log(mean) - mean - lg)
	if float64(k) <= mean { // the sum below would begin before the top: the other side is short enough
		return max(1-poissonBelow(mean, k), 0)
	}
	sum := 0.0
	for n := k; term > sum*1e-12 && term > 0; {
		sum += term
		n++
		term *= mean / float64(n)
	}
	return min(sum, 1)
}

func poissonBelow(mean float64, k int) float64 {
	sum := 0.0
	for n := range k {
		lg, _ := math.Lgamma(float64(n) + 1)
		sum += math.Exp(float64(n)*math.Log(mean) - mean - lg)
	}
	return min(sum, 1)
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

// count counts scopes with enough tenants.
func (c *correlator) count() {
	size := map[string]int{}
	for _, t := range c.tenants {
		for _, component := range slices.Concat([]string{"", incident.Solution}, t.Components) {
			for s := range scopesOf(component, incident.Availability, t) {
				size[s.id()]++
			}
		}
	}
	for _, n := range size {
		if n >= c.MinTenants {
			c.scopes++
		}
	}
	c.scopes = max(c.scopes, 1)
}

// scopesOf yields the scopes that a component of the tenant lies in; of the component "" those of any.
func scopesOf(component string, class incident.Class, t Tenant) func(func(Scope) bool) {
	return func(yield func(Scope) bool) {
		s := Scope{Class: class}
		if component != "" {
			s.Components = []string{component}
		}
		if !yield(s) {
			return
		}
		for label, value := range t.Labels {
			s.Label, s.Values = label, []string{value}
			if !yield(s) {
				return
			}
		}
	}
}

// tenantsOf returns how many tenants could fail in a scope.
func (c *correlator) tenantsOf(s Scope) int {
	key := s.id()
	n, known := c.size[key]
	if !known {
		for _, t := range c.tenants {
			if s.has(t) {
				n++
			}
		}
		c.size[key] = n
	}
	return n
}

// join lets a fault join what lasted when it was confirmed.
func (c *correlator) join(n int) bool {
	for k := range c.list {
		if i := &c.list[k]; c.joins(*i, c.faults[n]) {
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
		if other := &c.list[k]; other.Scope.related(best) && c.near(*other, i.Started, f.Opened) {
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

// last returns the fault of a fleet incident that was confirmed last.
func (c *correlator) last(i Incident) int {
	for n := len(c.faults) - 1; n > 0; n-- {
		if m := i.member(c.faults[n].Tenant); m != nil && slices.Contains(m.Incidents, c.faults[n].Incident) {
			return n
		}
	}
	return 0
}

// patience returns how long after the newest member a fault of the scope joins: not so long that chance would bring one.
func (c *correlator) patience(s Scope, n int) time.Duration {
	size := c.tenantsOf(s)
	hours := 0.3 / (float64(size) * c.rate(s, size, n))
	return min(c.Join, time.Duration(hours*float64(time.Hour)))
}

// explain gives a fleet incident the scope that tells most about the members that it has at the fault n: a component that most of them
// have in common, and the values of a label. A value more must be worth what it costs to name it.
func (c *correlator) explain(i *Incident, n int) {
	var sets [][]string
	counts, values := map[string]int{}, map[string]map[string]int{}
	for _, m := range i.Members {
		for _, component := range m.Components {
			counts[component]++
		}
		for label, value := range c.byID[m.Tenant].Labels {
			if values[label] == nil {
				values[label] = map[string]int{}
			}
			values[label][value]++
		}
	}
	for component, k := range counts {
		if 2*k >= len(i.Members) {
			sets = append(sets, []string{component})
		}
	}
	slices.SortFunc(sets, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	sets = append(sets, nil)
	best, most := i.Scope, math.Inf(-1)
	for _, components := range sets {
		bare := Scope{Class: i.Scope.Class, Components: components}
		candidates := []Scope{bare}
		for label, found := range values {
			s := bare
			s.Label = label
			for value, k := range found {
				if k >= c.MinTenants || 4*k >= len(i.Members) {
					s.Values = append(s.Values, value)
				}
			}
			slices.Sort(s.Values)
			if len(s.Values) > 0 {
				candidates = append(candidates, s)
			}
		}
		for _, s := range candidates {
			size, k := c.tenantsOf(s), 0
			for _, m := range i.Members {
				if s.about(m.Components) && s.holds(c.byID[m.Tenant]) {
					k++
				}
			}
			if k < c.MinTenants || 2*k < len(i.Members) {
				continue
			}
			mean := float64(size) * c.rate(s, size, n) * c.Window.Hours()
			gain := float64(k)*math.Log(float64(k)/mean) - float64(k) + mean
			if len(components) == 0 {
				gain -= 1e-6 // of what says the same, the narrower
			}
			if s.Label != "" {
				gain -= float64(len(s.Values)) * math.Log(float64(c.variety(s.Label)+1))
			}
			if gain > most+1e-9 || math.Abs(gain-most) <= 1e-9 && s.Root()+s.Label < best.Root()+best.Label {
				best, most = s, gain
			}
		}
	}
	i.Scope, i.Patience = best, c.patience(best, n)
}

// variety returns how many values a label has.
func (c *correlator) variety(label string) int {
	seen := map[string]bool{}
	for _, t := range c.tenants {
		seen[t.Labels[label]] = true
	}
	return len(seen)
}

// joins reports whether a fault belongs to what was found: it lies in its scope and began with it or soon after the newest member.
func (c *correlator) joins(i Incident, f known) bool {
	if !i.Scope.covers(f.Fault, f.tenant) {
		return false
	}
	return c.near(i, f.Started, f.Opened) || i.member(f.Tenant) != nil && c.lasted(i, f.Opened) // a member that fails again is one whenever it does
}

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

// best returns the scope that the faults around the fault n tell most about, the faults that are new in it, and its odds; none when
// chance explains them all.
func (c *correlator) best(n int) (best Scope, members []int, odds float64) {
	f := c.faults[n]
	surprise := 0.0
	around := c.around(n)
	if len(around) < c.MinTenants {
		return best, nil, 0
	}
	for _, component := range append(slices.Clone(f.Components), "") {
		for s := range scopesOf(component, f.Class, f.tenant) {
			found := c.densest(around, s)
			k := len(found)
			if k < c.MinTenants {
				continue
			}
			size := c.tenantsOf(s)
			if c.Odds(k, size, 1/fewest.Hours())*c.scopes > c.PerYear {
				continue // the rate is never lower
			}
			rate := c.rate(s, size, n)
			o := c.Odds(k, size, rate) * c.scopes
			if o > c.PerYear {
				continue
			}
			mean := float64(size) * rate * c.Window.Hours()
			gain := float64(k)*math.Log(float64(k)/mean) - float64(k) + mean
			if component == "" {
				gain -= 1e-9 // of what says the same, the narrower
			}
			if gain > surprise || gain == surprise && s.Root()+s.Label < best.Root()+best.Label {
				best, members, odds, surprise = s, found, o, gain
			}
		}
	}
	return best, members, odds
}

// around returns the faults that were confirmed until the fault n, began within a window of it, and belong to nothing yet, by start.
func (c *correlator) around(n int) (list []int) {
	f := c.faults[n]
	from, to := f.Started.Add(-c.Window), f.Started.Add(c.Window)
	first, _ := slices.BinarySearchFunc(c.starts, from, func(m int, t time.Time) int { return c.faults[m].Started.Compare(t) })
	for _, m := range c.starts[first:] {
		g := c.faults[m]
		if g.Started.After(to) {
			break
		}
		if m <= n && !g.taken && g.Class == f.Class {
			list = append(list, m)
		}
	}
	return list
}

// densest returns the faults of the scope in the window with the most tenants, one a tenant.
func (c *correlator) densest(around []int, s Scope) (most []int) {
	var in []int
	for _, m := range around {
		if f := c.faults[m]; s.covers(f.Fault, f.tenant) {
			in = append(in, m)
		}
	}
	for first := range in {
		seen := map[string]bool{}
		var list []int
		for _, m := range in[first:] {
			f := c.faults[m]
			if f.Started.Sub(c.faults[in[first]].Started) > c.Window {
				break
			}
			if !seen[f.Tenant] {
				seen[f.Tenant] = true
				list = append(list, m)
			}
		}
		if len(list) > len(most) {
			most = list
		}
		if len(in)-first <= len(most) {
			break
		}
	}
	return most
}

// rate returns how often, by the hour, one tenant of the scope begins to fail, as known when the fault n was confirmed: the highest of
// what all tenants with the component do, what those of the scope do, and what is usual at this hour of the day; never less than once in
// 90 days. More than three faults a day of one tenant do not count.
func (c *correlator) rate(s Scope, size, n int) float64 {
	at := c.faults[n].Started.Add(-c.Window)
	wide := Scope{Class: s.Class, Components: s.Components}
	all, within := c.begins(wide), c.begins(s)
	span := min(max(at.Sub(c.faults[c.starts[0]].Started), shortest), History) // of a fleet that is young no more is known
	from := at.Add(-span)
	inHour, days := 0, max(int(span.Hours()/24), 1)
	for day := range days {
		middle := at.Add(-time.Duration(day+1) * 24 * time.Hour)
		inHour += between(all, middle.Add(-hourShare/2), middle.Add(hourShare/2))
	}
	tenants := float64(c.tenantsOf(wide))
	return max(
		1/fewest.Hours(),
		float64(between(all, from, at))/(span.Hours()*tenants),
		float64(between(within, from, at))/(span.Hours()*float64(size)),
		float64(inHour)/(float64(days)*hourShare.Hours()*tenants),
	)
}

// begins returns when faults of the scope began, in order, those that count for the base rate.
func (c *correlator) begins(s Scope) []time.Time {
	key := s.id()
	list, known := c.base[key]
	if known {
		return list
	}
	type day struct {
		tenant string
		day    int64
	}
	counted := map[day]int{}
	for _, m := range c.starts {
		if f := &c.faults[m]; s.covers(f.Fault, f.tenant) {
			d := day{f.Tenant, f.Started.Unix() / 86400}
			if counted[d]++; counted[d] <= perDay {
				list = append(list, f.Started)
			}
		}
	}
	c.base[key] = list
	return list
}

// between returns how many instants lie in from..to, to left out.
func between(list []time.Time, from, to time.Time) int {
	a, _ := slices.BinarySearchFunc(list, from, time.Time.Compare)
	b, _ := slices.BinarySearchFunc(list, to, time.Time.Compare)
	return b - a
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
		i.Of = max(c.tenantsOf(i.Scope), len(i.Members))
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
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
