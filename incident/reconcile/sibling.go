package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// mostKeys bounds the incidents of one class and root that start within the same ten minutes.
const mostKeys = 20

// Between the two looks of an agent that judges alone.
const (
	shortestPause = time.Second
	longestPause  = 5 * time.Second
)

// slowSave is how long after a search it is no longer believed.
const slowSave = 500 * time.Millisecond

// sibling is a case under a key that another agent may have given to the same fault.
type sibling struct {
	desk.Case
	key string // that was searched
}

// first finds the case that another agent has opened for the same fault, or makes the first attempt to open one. Agents that
// cannot reach the store that they share know nothing of each other's incidents: only the desk keeps them from opening two.
//
// One that judges alone looks twice, at two moments that it shares with nobody: what kept all of them from a desk ends for all at once, and the
// leader, of which it does not hear, may be about to open the case too.
func (j *job) first(ctx context.Context) error {
	now := j.r.o.Now()
	again, looked := j.again[j.i.ID]
	if soon(now, again, longestPause) {
		return errWait
	}
	others, free, err := j.siblings(ctx)
	if err != nil {
		return err
	}
	if found := j.fitting(others); len(found) > 0 {
		return j.unite(ctx, found)
	}
	if j.r.o.Alone && j.can.Find && !looked {
		j.again[j.i.ID] = now.Add(shortestPause + time.Duration(j.r.o.Jitter()*float64(longestPause-shortestPause)))
		return errWait
	}
	delete(j.again, j.i.ID)
	j.c.As = free
	return j.open(ctx)
}

// fitting returns the siblings that may be of this incident, the oldest first.
func (j *job) fitting(others []sibling) (found []desk.Case) {
	for _, s := range others {
		if s.State.Live() || !j.i.Open() {
			found = append(found, s.Case)
		}
	}
	slices.SortStableFunc(found, desk.Older)
	return found
}

// overtaken reports whether another agent has opened the case since it was searched, and takes that up: the attempt was made durable first, and a
// store that is slow takes its time. What was attempted is not, then.
func (j *job) overtaken(ctx context.Context) (bool, error) {
	others, _, err := j.siblings(ctx)
	found := j.fitting(others)
	if err != nil || len(found) == 0 {
		return false, err
	}
	j.c.Attempted, j.c.Noted, j.c.Owed = time.Time{}, 0, 0
	return true, j.unite(ctx, found)
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

// siblings searches the desk for cases that other agents may have opened for the same fault; free is the key under which there is none
// yet, "" that of the incident itself. What belongs to another incident that this agent knows is no sibling.
func (j *job) siblings(ctx context.Context) (all []sibling, free string, err error) {
	used, err := j.others(ctx)
	if err != nil {
		return nil, "", err
	}
	dated := j.i
	dated.Started = dated.Started.Add(j.r.o.Offset())
	list := incident.Siblings(dated)
	for _, i := range incident.Siblings(j.i) { // dated by an agent of before, whose clock may be right
		if !slices.ContainsFunc(list, func(o incident.Incident) bool { return incident.SharedKey(o, 0) == incident.SharedKey(i, 0) }) {
			list = append(list, i)
		}
	}
	for at, i := range list {
		if at > 0 && !j.can.Find {
			break
		}
		for n := range mostKeys { // earlier incidents of these ten minutes come first
			key := incident.SharedKey(i, n)
			if used.keys[key] {
				continue
			}
			var found []desk.Case
			if j.can.Find {
				if found, err = j.findKey(ctx, key); err != nil {
					return nil, "", err
				}
			}
			for _, c := range found {
				if j.under == nil {
					j.under = map[string]string{}
				}
				j.under[c.Ref] = key
				if !used.refs[c.Ref] && !slices.ContainsFunc(all, func(s sibling) bool { return s.Ref == c.Ref }) {
					all = append(all, sibling{c, key})
				}
			}
			if len(found) == 0 {
				if at == 0 {
					free = key
				}
				break
			}
		}
	}
	return all, free, nil
}
