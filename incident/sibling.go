package incident

import (
	"slices"
	"time"
)

const (
	// keyBucket is how coarsely a shared key tells when an incident started.
	keyBucket = 10 * time.Minute
	// keyApart is how far apart two agents may date the start of one outage: a probe runs at least that often.
	keyApart = 5 * time.Minute
)

// SharedKey returns the key under which one of several agents opens the case of an incident: as Key, but with a start that is so
// coarse that agents which do not know of each other arrive at the same key, or at that of one of Siblings. n tells
// apart the incidents of one class and root that started within the same ten minutes; it is less than 1,000.
func SharedKey(i Incident, n int) string {
	return Key(i.Tenant, i.Class, i.Root, i.Started.UTC().Truncate(keyBucket).Add(time.Duration(n)*time.Millisecond))
}

// Siblings returns an incident as other agents may have judged the same fault, for SharedKey: i itself, then the likeliest first. They
// date it a little earlier or later, and may have seen less or more of the solution fail.
func Siblings(i Incident) []Incident {
	starts := []time.Time{i.Started.UTC().Truncate(keyBucket)}
	apart := keyApart
	if i.Class != Availability { // where a slow change began is dated with less certainty
		apart = keyBucket
	}
	for _, other := range []time.Time{i.Started.Add(-apart), i.Started.Add(apart)} {
		if start := other.UTC().Truncate(keyBucket); !slices.ContainsFunc(starts, start.Equal) {
			starts = append(starts, start)
		}
	}
	const mostRoots = 8
	roots := []string{i.Root}
	for _, other := range append([]string{Solution}, i.Components...) {
		if !slices.Contains(roots, other) && len(roots) < mostRoots {
			roots = append(roots, other)
		}
	}
	var all []Incident
	for _, root := range roots {
		for _, start := range starts {
			i.Root, i.Started = root, start
			all = append(all, i)
		}
	}
	return all
}
