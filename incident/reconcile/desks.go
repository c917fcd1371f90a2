package reconcile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// deskLoop makes the cases of one desk what they should be. Only its own goroutine touches it.
type deskLoop struct {
	r *Reconciler
	Desk
	text *writer // of its cases

	// What is only remembered: a new process looks sooner than it must, which does no harm.
	look     map[string]time.Time // by incident: not before, where nothing failed
	verified map[string]bool      // by incident: searched for doubles after the desk's lag, none left
	kept     map[string]time.Time // by incident: when a desk that wants to be kept alive last heard of it
	mine     map[string]bool      // by incident: the newest create was attempted in this life
	again    map[string]time.Time // by incident: when an agent that judges alone looks for another's case once more
	began    time.Time            // of this life
	poked    atomic.Bool          // the desk says that something changed: look at once
	heard    time.Time            // when that was last done

	complete map[string]bool // by incident: the desk holds every file of its evidence, or never will
	flight   *flight         // a file on its way; nil: none
	flights  sync.WaitGroup  // of the calls that bring files
}

func newDeskLoop(r *Reconciler, d Desk) *deskLoop {
	return &deskLoop{
		r: r, Desk: d, text: r.text.at(d),
		look: map[string]time.Time{}, verified: map[string]bool{}, kept: map[string]time.Time{},
		complete: map[string]bool{}, mine: map[string]bool{}, again: map[string]time.Time{}, began: r.o.Now(),
	}
}

// errWait ends a step that can only wait: nothing failed, nothing succeeded.
var errWait = errors.New("waiting")

// storeError marks an error of the store: nothing can be written, so nothing is done.
type storeError struct{ error }

// job is one step with one case.
type job struct {
	*deskLoop
	can      desk.Capabilities
	i        incident.Incident
	c        incident.Case     // as durable, but for what the step changed since
	cases    []incident.Case   // of the incident, at every desk, when the step began
	back     bool              // the same fault is measured again, as another incident
	durable  incident.Case     // as durable
	found    []desk.Case       // of the search in this step
	searched bool              // this step searched
	under    map[string]string // by reference: the key under which the case of another agent was found
}

// round takes one step with every case that is due, the most urgent first.
func (l *deskLoop) round(ctx context.Context) {
	incidents, err := l.r.work(ctx)
	if err != nil {
		return
	}
	if now := l.r.o.Now(); !soon(now, l.heard.Add(pokeEvery), pokeEvery) && l.poked.Swap(false) {
		l.heard = now
		clear(l.look)
	}
	for _, i := range incidents {
		if ctx.Err() != nil {
			return
		}
		if i.Class.OpensCase() {
			l.tend(ctx, i, slices.ContainsFunc(incidents, func(o incident.Incident) bool { return again(i, o) }))
		}
	}
	l.attach(ctx, incidents)
}

// again reports whether o is the fault of the closed incident i, measured again.
func again(i, o incident.Incident) bool {
	return !i.Open() && o.Open() && o.Class == i.Class && o.Root == i.Root && !o.Started.Before(i.Ended)
}

// tend takes one step with the case of one incident and records how it went.
func (l *deskLoop) tend(ctx context.Context, i incident.Incident, back bool) {
	cases, err := l.r.o.Store.Cases(ctx, i.ID)
	if err != nil {
		l.r.storeFailed(ctx, err)
		return
	}
	c := caseAt(cases, l.Name)
	now := l.r.o.Now()
	if l.wantedAgain(c, i, cases, now) {
		c = another(c)
		c.Settled = false
	}
	if c.Incident == "" || c.Settled || soon(now, c.NextTry, maxBackoff) { // none is wanted yet, nothing is left, or not now
		return
	}
	j := &job{deskLoop: l, can: l.Desk.Desk.Capabilities(), i: i, c: c, durable: cloned(c), cases: cases, back: back}
	if j.c.Attempted.After(now) { // the clock was set back: the whole wait begins anew
		j.c.Attempted = now
	}
	switch err = j.step(ctx); {
	case errors.As(err, new(storeError)):
	case ctx.Err() != nil, errors.Is(err, errWait): // what is durable says where to go on
		return
	case err != nil:
		err = j.failed(ctx, now, err)
	default:
		err = j.succeeded(ctx)
	}
	if err != nil {
		l.r.storeFailed(ctx, err)
	}
}

// step takes the case as far towards what it should be as it can go now. Each part is durable before the next.
func (j *job) step(ctx context.Context) error {
	if err := j.save(ctx); err != nil {
		return err
	}
	if j.c.Ref == "" {
		if err := j.create(ctx); err != nil || j.c.Ref == "" {
			return err
		}
	}
	if j.isBack() {
		return j.handOver(ctx)
	}
	if !j.i.Open() {
		if err := j.settling(ctx); err != nil {
			return err
		}
	}
	if err := j.verify(ctx); err != nil {
		return err
	}
	if err := j.read(ctx); err != nil || j.c.Settled {
		return err
	}
	if err := j.update(ctx); err != nil {
		return err
	}
	if !j.i.Open() {
		if err := j.settling(ctx); err != nil { // it may have ended just now
			return err
		}
		return j.end(ctx)
	}
	if err := j.keepAlive(ctx); err != nil {
		return err
	}
	return j.early(ctx)
}

// save makes the case durable together with what is told of it, when there is anything new.
func (j *job) save(ctx context.Context, events ...incident.Event) error {
	if len(events) == 0 && reflect.DeepEqual(j.c, j.durable) {
		return nil
	}
	if err := j.r.o.Store.SaveCase(ctx, j.c, events...); err != nil {
		return storeError{err}
	}
	j.durable = cloned(j.c)
	for _, e := range events {
		switch e.Kind {
		case incident.EventCaseOpened, incident.EventCaseResolved:
			j.r.o.Log.Info("a step of an incident", "step", e.Kind, "incident", e.Incident, "priority", e.Priority.String(), "text", e.Text)
		default: // the timeline has it
		}
	}
	j.r.Kick()
	return nil
}

// cloned returns a copy that shares nothing with c.
func cloned(c incident.Case) incident.Case {
	c.Holds, c.Earlier, c.Attached = slices.Clone(c.Holds), slices.Clone(c.Earlier), slices.Clone(c.Attached)
	return c
}

// event is a step in the incident's timeline that this desk took.
func (j *job) event(kind incident.EventKind, text string) incident.Event {
	return incident.Event{Incident: j.i.ID, At: j.r.o.Now(), Kind: kind, Actor: j.Name, Text: text, Priority: j.i.Priority}
}

// failed records a failure and when to try again. The timeline hears of it the first time and when the error changes.
func (j *job) failed(ctx context.Context, began time.Time, err error) error {
	j.c = cloned(j.durable) // what was not saved with its events is learnt again
	text := tidy(err.Error(), maxText)
	var events []incident.Event
	if j.c.Failures == 0 || !sameError(j.c.LastError, text) {
		events = append(events, j.event(incident.EventCaseFailed, text))
		j.r.o.Log.Warn("the desk does not do as asked; it is asked again", "desk", j.Name, "case", j.i.ID, "err", text)
	}
	if j.c.Failures == 0 {
		j.c.FailingSince = began
	}
	j.c.Failures++
	j.c.LastError = text
	j.c.NextTry = began.Add(backoff(j.c.Failures, j.r.o.Jitter()))
	j.r.fails("desk "+j.Name, j.i.ID, text)
	// save would kick the loops awake; a failure is no news to them
	if err := j.r.o.Store.SaveCase(ctx, j.c, events...); err != nil {
		return storeError{err}
	}
	return nil
}

// forgive clears what failed before.
func (j *job) forgive() {
	j.r.fails("desk "+j.Name, j.i.ID, "")
	j.c.Failures, j.c.LastError, j.c.NextTry, j.c.FailingSince = 0, "", time.Time{}, time.Time{}
}

func (j *job) succeeded(ctx context.Context) error {
	j.forgive()
	if j.c.Settled && !j.durable.Settled {
		// a settled incident is looked at no more: what its end gives to tell must be durable first
		if err := j.r.want(ctx, j.i.ID); err != nil {
			return storeError{err}
		}
		delete(j.look, j.i.ID)
		delete(j.verified, j.i.ID)
		delete(j.kept, j.i.ID)
		delete(j.complete, j.i.ID)
		delete(j.mine, j.i.ID)
		delete(j.again, j.i.ID)
	}
	return j.save(ctx)
}

// call makes one bounded call to the desk and observes it.
func (l *deskLoop) call(ctx context.Context, action string, do func(context.Context) error) error {
	return l.r.observed(ctx, l.r.o.CallTimeout, "desk", l.Name, action, do)
}

func (r *Reconciler) observed(ctx context.Context, longest time.Duration, kind, name, action string, do func(context.Context) error) error {
	if err := r.o.May(); err != nil {
		return fmt.Errorf("%w: %w", errWait, err)
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	began := r.o.Now()
	err := do(ctx)
	o := Observation{Kind: kind, Name: name, Action: action, Result: ResultOK, Duration: r.o.Now().Sub(began)}
	switch {
	case err != nil && unknown(err):
		o.Result = ResultUnknown
	case err != nil:
		o.Result = ResultFailed
	}
	r.o.Observe(o)
	return err
}

// get reads the case back.
func (j *job) get(ctx context.Context) (desk.Case, error) {
	var got desk.Case
	err := j.call(ctx, "get", func(ctx context.Context) (err error) {
		got, err = j.Desk.Desk.Get(ctx, j.c.Ref)
		return err
	})
	return got, err
}

// find searches the desk for every case of this incident, and those that other agents opened for the same fault. It is asked at
// most once a step.
func (j *job) find(ctx context.Context) ([]desk.Case, error) {
	if j.searched {
		return j.found, nil
	}
	found, err := j.findKey(ctx, j.c.Key())
	if err == nil && j.r.o.Peers && j.c.Round == 0 && (j.i.Open() || !over(j.c.State)) {
		var others []sibling
		others, _, err = j.siblings(ctx)
		for _, s := range others {
			if s.State.Live() && !j.later(s.Case) && !slices.ContainsFunc(found, func(c desk.Case) bool { return c.Ref == s.Ref }) {
				found = append(found, s.Case)
			}
		}
	}
	j.found, j.searched = found, err == nil
	return found, err
}

// later reports whether a case, found under a key that another agent may have given to the same fault, is of the next one: it was opened when
// this one was over, and has its case.
func (j *job) later(c desk.Case) bool {
	return !j.i.Open() && j.c.Ref != "" && c.Created.After(j.i.Closed.Add(j.r.o.Offset()))
}

func (j *job) findKey(ctx context.Context, key string) (found []desk.Case, err error) {
	err = j.call(ctx, "find", func(ctx context.Context) (err error) {
		found, err = j.Desk.Desk.Find(ctx, key)
		return err
	})
	return found, err
}
