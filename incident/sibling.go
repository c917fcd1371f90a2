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
// coarse that agents which do not know of each other arrive at the same key, or at a neighbour that SiblingKeys names. n tells
// apart the incidents of one class and root that started within the same ten minutes; it is less than 1,000.
func SharedKey(i Incident, n int) string {
	return Key(i.Tenant, i.Class, i.Root, i.Started.UTC().Truncate(keyBucket).Add(time.Duration(n)*time.Millisecond))
}

// SiblingKeys returns the keys under which other agents may have opened a case for the same fault, the likeliest first: they date
// it a little earlier or later, and may have seen less or more of the solution fail.
func SiblingKeys(i Incident) []string {
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
	var keys []string
	for _, root := range roots {
		for _, start := range starts {
			keys = append(keys, Key(i.Tenant, i.Class, root, start))
		}
	}
	return append(keys, SharedKey(i, 1))
}
