package fleet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// Reader is the part of store.Fleet that is needed.
type Reader interface {
	Read(ctx context.Context, since time.Time) (store.FleetView, error)
}

// Options say what to watch. Reader is required.
type Options struct {
	Reader      Reader
	State       *store.Store // what is remembered; nil: nothing is, and no case can be opened
	Desks       []reconcile.Desk
	Tenant      reconcile.Tenant // the pseudo-tenant
	Centre      reconcile.Centre
	Level       sla.Level
	Rules       fleet.Rules
	Refresh     time.Duration // 0: 5 s
	SilentAfter time.Duration // 0: 1 min
	OpenCases   bool          // open every parent case by itself
	ExternalURL string
	Version     string
	Log         *slog.Logger     // nil: nothing is logged
	Now         func() time.Time // of this host; nil: time.Now
}

// overlap is how much of what was read before is read again: agents' clocks differ, and a transaction may commit late.
const overlap = 10 * time.Minute

// readStep is how exactly it is remembered until when the database was read.
const readStep = 10 * time.Minute

// Fleet watches all tenants. Its methods are safe for concurrent use.
type Fleet struct {
	o     Options
	desks *reconcile.Reconciler // nil: no case can be opened

	reading sync.Mutex // one round at a time

	rounds sync.Mutex // one judgement, or one order, at a time; guards what follows
	kept   memory
	stored []byte    // of kept, as it is in the state
	last   time.Time // of the reading that kept is of, by the database
	now    memory    // what is known: kept, and what cannot be kept yet
	unkept string    // why it cannot
	failed string    // why the newest round has not read; "": it has
	past   map[string]fleet.Fault
	read   time.Time // of the newest round, by the database
	seen   time.Time // the same by our clock
	again  time.Time // when it was read again after a time in which it was not, by the database; zero: it always was
	view   store.FleetView
	heard  hearing

	mu   sync.Mutex
	wall Wall
}

// memory is what survives a restart.
type memory struct {
	Incidents []fleet.Incident  `json:"incidents"`
	Asked     map[string]asked  `json:"asked"`             // for parent cases, by key
	Numbers   map[string]string `json:"numbers,omitempty"` // of members' cases, by incident
	Silences  []silence         `json:"silences,omitempty"`
	Read      time.Time         `json:"read,omitzero"` // of the newest round, rounded down so that it changes seldom
}

// asked is who wanted a parent case, and when.
type asked struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// New returns a fleet that remembers what State holds.
func New(ctx context.Context, o Options) (*Fleet, error) {
	o.Refresh, o.SilentAfter = cmp.Or(o.Refresh, 5*time.Second), cmp.Or(o.SilentAfter, time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Fleet{o: o, past: map[string]fleet.Fault{}, kept: memory{Asked: map[string]asked{}}}
	if o.State == nil {
		return f, nil
	}
	state, err := o.State.EngineState(ctx)
	if err != nil {
		return nil, err
	}
	if state != nil {
		if err := json.Unmarshal(state, &f.kept); err != nil {
			return nil, fmt.Errorf("what the fleet remembers cannot be read: %w: move the file of fleet.state_file away to begin anew", err)
		}
		if f.kept.Asked == nil {
			f.kept.Asked = map[string]asked{}
		}
		if f.kept.Incidents == nil {
			f.kept.Incidents = []fleet.Incident{}
		}
		f.stored, f.last, f.now, f.heard.silences = state, f.kept.Read, f.kept, f.kept.Silences
	}
	if len(o.Desks) > 0 {
		f.desks = reconcile.New(reconcile.Options{
			Store: o.State, Desks: o.Desks, Tenant: o.Tenant, Centre: o.Centre, Level: o.Level, ExternalURL: o.ExternalURL, Version: o.Version, Vantage: "fleet",
			Log: o.Log, Now: o.Now,
		})
	}
	f.show(ctx, 0) // what was known before: the database may be away
	return f, nil
}

// Run reads and judges until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	var all sync.WaitGroup
	if f.desks != nil {
		all.Go(func() { f.desks.Run(ctx) })
	}
	ticker := time.NewTicker(f.o.Refresh)
	defer ticker.Stop()
	failed := false
	for ctx.Err() == nil {
		err := f.Round(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			f.o.Log.Error("the fleet cannot be read: the wall stands still", "err", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	all.Wait()
}

// Round reads everything once and judges it.
func (f *Fleet) Round(ctx context.Context) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	began := time.Now()
	err := f.round(ctx, began)
	if err != nil {
		f.rounds.Lock()
		defer f.rounds.Unlock()
		f.failed = err.Error()
		f.mu.Lock()
		f.wall.Err = f.failed
		f.mu.Unlock()
	}
	return err
}

// errEmpty is the error of a reading without a tenant, where there were some: nobody recovered by that.
var errEmpty = errors.New("the database has no tenant any more, so that nothing is known of those that it had: look whether store.url is the database of the agents; " +
	"where it is meant to be empty, begin anew without the file of fleet.state_file")

func (f *Fleet) round(ctx context.Context, began time.Time) error {
	v, err := f.readSince(ctx, f.since())
	if err != nil {
		return err
	}
	f.rounds.Lock()
	defer f.rounds.Unlock()
	if len(v.Tenants) == 0 && (len(f.view.Tenants) > 0 || slices.ContainsFunc(f.now.Incidents, fleet.Incident.Open)) {
		return errEmpty
	}
	// a fleet without a memory looks once: what it sees counts
	if f.read.IsZero() && f.o.State != nil || !f.read.IsZero() && v.At.Sub(f.read) > max(3*f.o.Refresh, f.o.SilentAfter/2) {
		f.again = v.At
	}
	f.read, f.seen, f.view = v.At, f.o.Now(), v
	f.heard = hear(v, f.heard.silences, f.again, f.o.SilentAfter, f.o.Rules.Keep())
	before := f.kept.Incidents
	is := f.o.Rules.Correlate(v.At, f.last, tenants(v), f.history(v), before)
	if is == nil {
		is = []fleet.Incident{}
	}
	next := memory{Incidents: is, Asked: map[string]asked{}, Silences: f.heard.silences, Read: v.At.Truncate(readStep)}
	next.Numbers = numbers(is, v.Cases, f.now.Numbers)
	for _, i := range is {
		if a, ok := f.now.Asked[i.Key]; ok {
			next.Asked[i.Key] = a
		} else if f.o.OpenCases && f.desks != nil && i.Open() {
			next.Asked[i.Key] = asked{By: incident.ActorAgent, At: v.At}
		}
	}
	f.now = next
	switch err := f.remember(ctx, next, v.At); {
	case err == nil:
		f.unkept = ""
	case ctx.Err() != nil:
		return err
	default: // the wall goes on; nothing leaves the process that is not durable
		if f.unkept == "" {
			f.o.Log.Error("what the fleet decides cannot be kept: parent cases wait", "err", err)
		}
		f.unkept = err.Error()
	}
	f.failed = ""
	f.show(ctx, time.Since(began))
	return nil
}

// since returns when what is over must have ended to be read again. An order does not wait for a reading.
func (f *Fleet) since() time.Time {
	f.rounds.Lock()
	defer f.rounds.Unlock()
	if f.read.IsZero() {
		return f.o.Now().Add(-f.o.Rules.Keep())
	}
	return f.read.Add(-overlap)
}

// readFor is how long the database may take for a reading, where three times Refresh is not longer.
const readFor = 30 * time.Second

// readSince reads once, or says that it takes too long.
func (f *Fleet) readSince(ctx context.Context, since time.Time) (store.FleetView, error) {
	within := max(readFor, 3*f.o.Refresh)
	slow := fmt.Errorf("the database took longer than %s for a reading, which was given up: look at the database's load, and at the network between", within)
	bounded, cancel := context.WithTimeoutCause(ctx, within, slow)
	defer cancel()
	v, err := f.o.Reader.Read(bounded, since)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return v, slow
	}
	return v, err
}

// history returns all faults that last, and those of the last days.
func (f *Fleet) history(v store.FleetView) []fleet.Fault {
	all := f.heard.faults(v.At)
	for _, one := range faults(v) {
		if one.Ended.IsZero() {
			delete(f.past, one.Tenant+"\x00"+one.Incident)
			all = append(all, one)
		} else {
			f.past[one.Tenant+"\x00"+one.Incident] = one
		}
	}
	for key, one := range f.past {
		if one.Ended.Before(v.At.Add(-f.o.Rules.Keep())) {
			delete(f.past, key)
			continue
		}
		all = append(all, one)
	}
	return all
}

// remember makes durable what is known now, with the parents of those that were asked for, before anything leaves the process. What it
// cannot make durable is judged anew the next time, from what is.
func (f *Fleet) remember(ctx context.Context, next memory, at time.Time) error {
	last := f.view.At
	if last.IsZero() { // an order before the first reading
		last = f.last
	}
	if f.o.State == nil {
		f.kept, f.last = next, last
		return nil
	}
	state, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if bytes.Equal(state, f.stored) {
		f.kept, f.last = next, last
		return nil
	}
	c := store.Commit{At: at, State: state}
	for _, i := range next.Incidents {
		a, wanted := next.Asked[i.Key]
		if !wanted {
			continue
		}
		was := fleet.Incident{}
		if _, already := f.kept.Asked[i.Key]; already {
			if n := slices.IndexFunc(f.kept.Incidents, func(o fleet.Incident) bool { return o.Key == i.Key }); n >= 0 {
				was = f.kept.Incidents[n]
			}
		}
		if was.Key != "" && !was.Open() {
			continue
		}
		p := i.Parent(f.o.Tenant.ID, f.o.Rules, next.Numbers, at)
		p.Commencement = f.o.Level.Commencement(a.At)
		p.ReactionDue = f.o.Level.ReactionDue(p.Highest, p.Commencement)
		c.Incidents = append(c.Incidents, p)
		c.Events = append(c.Events, fleet.Steps(was, i, f.o.Rules, at)...)
		if was.Key == "" && a.By != incident.ActorAgent {
			c.Events = append(c.Events, incident.Event{Incident: i.Key, At: at, Kind: incident.EventNote, Actor: a.By, Text: "asked for the parent case"})
		}
	}
	if err := f.o.State.Commit(ctx, c); err != nil {
		return err
	}
	f.kept, f.stored, f.last = next, state, last
	if f.desks != nil && len(c.Incidents) > 0 {
		f.desks.Kick()
	}
	return nil
}

// numbers returns the numbers of the members' cases by incident: those that are read, and those that were, as long as a member has them.
func numbers(is []fleet.Incident, cases []store.FleetCase, before map[string]string) map[string]string {
	read, all := map[string]string{}, map[string]string{}
	for _, c := range cases {
		if c.Number != "" && read[c.Incident] == "" {
			read[c.Incident] = c.Number
		}
	}
	for _, i := range is {
		for _, m := range i.Members {
			for _, id := range m.Incidents {
				if number := cmp.Or(read[id], before[id]); number != "" {
					all[id] = number
				}
			}
		}
	}
	return all
}

// ErrNoDesk is the error of an order for a case where none can be opened.
var ErrNoDesk = errors.New("no desk is configured for the fleet, so that no parent case can be opened: copy its text, or configure desks (docs/fleet.md)")

// Open has the parent case of a fleet incident opened, once; the error wraps incident.ErrNotFound where there is none that lasts.
func (f *Fleet) Open(ctx context.Context, key, who string) error {
	if f.desks == nil {
		return ErrNoDesk
	}
	f.rounds.Lock()
	defer f.rounds.Unlock()
	n := slices.IndexFunc(f.now.Incidents, func(i fleet.Incident) bool { return i.Key == key && i.Open() })
	if n < 0 {
		return fmt.Errorf("fleet incident %q, open: %w", key, incident.ErrNotFound)
	}
	if _, already := f.kept.Asked[key]; already {
		return nil
	}
	next := f.now
	next.Asked = map[string]asked{key: {By: who, At: f.o.Now().UTC()}}
	maps.Copy(next.Asked, f.now.Asked)
	if err := f.remember(ctx, next, f.o.Now().UTC()); err != nil {
		return err
	}
	f.now, f.unkept = next, ""
	f.o.Log.Info("a parent case was asked for", "key", key, "actor", who)
	f.show(ctx, f.Wall().Took)
	return nil
}

// show makes the wall of what is known.
func (f *Fleet) show(ctx context.Context, took time.Duration) {
	zone := f.o.Tenant.Zone
	if zone == nil {
		zone = time.UTC
	}
	at := f.view.At
	if at.IsZero() { // it is not read yet
		at = f.o.Now()
	}
	w := Wall{At: f.view.At, Seen: f.seen, Refresh: f.o.Refresh, Took: took, Err: f.failed, Unkept: f.unkept, Rows: rows(f.view, f.heard), Counts: map[State]int{}, Desks: f.desks != nil}
	shared := map[string]string{}
	for _, i := range slices.Backward(f.now.Incidents) {
		if !i.Open() && i.Closed.Before(at.Add(-24*time.Hour)) {
			continue
		}
		p := i.Parent(f.o.Tenant.ID, f.o.Rules, f.now.Numbers, at)
		s := Shared{
			Incident: i, Sentence: i.Sentence(zone, at), Title: p.Title, Why: p.Why, Reasons: i.Reasons(), Now: i.Failing(), Priority: p.Priority.String(), OpenedBy: f.now.Asked[i.Key].By,
			Text: fmt.Sprintf("%s %s\n\n%s\nKey: %s\n\n%s\n", p.Priority, p.Title, p.Why, i.Key, strings.Join(p.Detail, "\n")),
		}
		if s.OpenedBy != "" {
			cases, err := f.o.State.Cases(ctx, i.Key)
			if err != nil {
				f.o.Log.Warn("the parent's cases cannot be read", "err", err)
			}
			for _, c := range cases {
				s.Cases = append(s.Cases, cmp.Or(c.Number, "at "+c.Desk+" soon"))
			}
		}
		w.Shared = append(w.Shared, s)
		for _, m := range i.Members {
			if i.Open() && m.Ended.IsZero() {
				shared[m.Tenant] = i.Key
			}
		}
	}
	slices.SortStableFunc(w.Shared, func(a, b Shared) int {
		if a.Open() != b.Open() {
			return map[bool]int{true: -1, false: 1}[a.Open()]
		}
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Now, a.Now), a.Started.Compare(b.Started))
	})
	for n := range w.Rows {
		w.Rows[n].Shared = shared[w.Rows[n].ID]
		w.Counts[w.Rows[n].State]++
		if w.Rows[n].Silent {
			w.Unheard++
		}
		if w.Rows[n].Unsure {
			w.Unsure++
		}
	}
	f.mu.Lock()
	f.wall = w
	f.mu.Unlock()
}

// Wall returns what was seen last. It must not be changed.
func (f *Fleet) Wall() Wall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wall
}
