package reconcile

import (
	"context"
	"slices"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// mostKeys bounds the incidents of one class and root that start within the same ten minutes.
const mostKeys = 20

// sibling is a case under a key that another agent may have given to the same fault.
type sibling struct {
	desk.Case
	key string // that was searched
}

// first finds the case that another agent has opened for the same fault, or makes the first attempt to open one. Agents that
// cannot reach the store that they share know nothing of each other's incidents: only the desk keeps them from opening two.
func (j *job) first(ctx context.Context) error {
	var others []sibling
	if j.can.Find {
		var err error
		if others, err = j.siblings(ctx); err != nil {
			return err
		}
	}
	fits := slices.DeleteFunc(slices.Clone(others), func(s sibling) bool { return j.i.Open() && !s.State.Live() })
	if len(fits) > 0 {
		slices.SortStableFunc(fits, func(a, b sibling) int { return older(a.Case, b.Case) })
		j.c.As = fits[0].key
		var found []desk.Case
		for _, s := range fits {
			found = append(found, s.Case)
		}
		return j.unite(ctx, found)
	}
	used, err := j.others(ctx)
	if err != nil {
		return err
	}
	for n := range mostKeys {
		key := incident.SharedKey(j.i, n)
		if used.keys[key] || slices.ContainsFunc(others, func(s sibling) bool { return s.key == key }) {
			continue
		}
		if n > 1 && j.can.Find { // the search for siblings did not look there
			found, err := j.findKey(ctx, key)
			if err != nil {
				return err
			}
			if len(found) > 0 {
				continue
			}
		}
		j.c.As = key
		return j.open(ctx)
	}
	j.c.As = ""
	return j.open(ctx) // under the incident's own id
}

// owned are the cases at one desk that belong to other incidents.
type owned struct{ keys, refs map[string]bool }

func (j *job) others(ctx context.Context) (owned, error) {
	o := owned{keys: map[string]bool{}, refs: map[string]bool{}}
	all, err := j.r.o.Store.Cases(ctx, "")
	if err != nil {
		return o, storeError{err}
	}
	for _, c := range all {
		if c.Desk == j.Name && c.Incident != j.i.ID {
			c.Round = 0
			o.keys[c.Key()], o.refs[c.Ref] = true, true
			for _, e := range c.Earlier {
				o.refs[e.Ref] = true
			}
		}
	}
	return o, nil
}

// siblings searches the desk for cases that other agents may have opened for the same fault. What belongs to another incident that
// this agent knows is none of them.
func (j *job) siblings(ctx context.Context) ([]sibling, error) {
	used, err := j.others(ctx)
	if err != nil {
		return nil, err
	}
	var all []sibling
	for _, key := range incident.SiblingKeys(j.i) {
		if used.keys[key] {
			continue
		}
		found, err := j.findKey(ctx, key)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if !used.refs[c.Ref] && !slices.ContainsFunc(all, func(s sibling) bool { return s.Ref == c.Ref }) {
				all = append(all, sibling{c, key})
			}
		}
	}
	return all, nil
}
