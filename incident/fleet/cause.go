package fleet

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

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
