package fleet

import (
	"math"
	"slices"
	"time"
)

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

// patience returns how long after the newest member a fault of the scope joins: not so long that chance would bring one.
func (c *correlator) patience(s Scope, n int) time.Duration {
	size := c.tenantsOf(s)
	hours := 0.3 / (float64(size) * c.rate(s, size, n))
	return min(c.Join, time.Duration(hours*float64(time.Hour)))
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
