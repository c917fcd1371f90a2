package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// over reports whether a case in this state asks for no more work.
func over(s incident.CaseState) bool {
	return s == incident.CaseResolved || s == incident.CaseWithdrawn
}

// read learns what the desk holds: what people did, the state and the priority. A new or an ending case is read at every step,
// any other from time to time.
func (j *job) read(ctx context.Context) error {
	now := j.r.o.Now()
	first := j.c.State == incident.CaseWanted
	written := first || j.c.Priority == incident.NoPriority // and not yet read back
	if every := j.pollAfter(); !written && (j.i.Open() || !j.c.GoodNoted.IsZero()) && soon(now, j.look[j.i.ID], every) {
		return nil
	}
	var events []incident.Event
	var got desk.Case
	var missing, refused error
	if j.can.ReadBack {
		if got, missing = j.get(ctx); missing != nil && !errors.Is(missing, incident.ErrNotFound) {
			return missing
		}
	}
	if j.can.Transitions && !first && missing == nil {
		people, err := j.transitions(ctx)
		if err != nil {
			return err
		}
		for _, t := range people {
			events = append(events, j.apply(t)...)
			j.c.Seen = t.At
			if t.To != "" {
				got.State = j.c.State // the history is newer, and says who and why
			}
		}
	}
	switch {
	case missing != nil && !j.i.Open():
		if now.Before(j.visible()) { // it may only not show yet
			return errWait
		}
		return j.gone(ctx)
	case missing != nil && !now.Before(j.visible()):
		text := fmt.Sprintf("case %s is no longer at %s", j.c.Number, j.Name)
		events = append(events, j.apply(incident.Transition{At: now, To: incident.CaseResolved, Text: text})...) // as good as resolved
		written = false
	case missing != nil:
		return missing
	case j.can.ReadBack:
		events = append(events, j.take(got)...)
	case first:
		j.c.State, j.c.Priority = incident.CaseNew, j.i.Priority
		events = append(events, j.openedEvents()...)
	}
	if j.can.ReadBack && written && j.i.Open() {
		refused = j.mismatch(j.i.Priority)
	}
	if err := j.save(ctx, events...); err != nil {
		return err
	}
	j.look[j.i.ID] = now.Add(j.pollAfter())
	if first {
		j.look[j.i.ID] = now.Add(tick)
	}
	return refused
}

// pollAfter returns how soon people's work is read again. A desk that lives inside the agent costs nothing to ask.
func (j *job) pollAfter() time.Duration {
	if _, inside := j.Desk.Desk.(desk.Operable); inside {
		return tick
	}
	if !j.i.Open() && j.Rules.Leave {
		return leftEvery
	}
	return pollEvery
}

// transitions returns what people did since the newest transition that was read, oldest first.
func (j *job) transitions(ctx context.Context) ([]incident.Transition, error) {
	var all []incident.Transition
	err := j.call(ctx, "transitions", func(ctx context.Context) (err error) {
		all, err = j.Desk.Desk.Transitions(ctx, j.c.Ref, j.c.Seen)
		return err
	})
	all = slices.DeleteFunc(slices.Clone(all), func(t incident.Transition) bool {
		return t.Actor == incident.ActorAgent || !t.At.After(j.c.Seen)
	})
	slices.SortStableFunc(all, func(a, b incident.Transition) int { return a.At.Compare(b.At) })
	return all, err
}

// gone settles the ended incident whose case somebody deleted.
func (j *job) gone(ctx context.Context) error {
	j.c.State, j.c.Resolved = incident.CaseResolved, j.r.o.Now()
	text := fmt.Sprintf("case %s is no longer at %s: there is nothing to resolve", j.c.Number, j.Name)
	err := j.save(ctx, j.event(incident.EventCaseResolved, text))
	j.c.Settled = err == nil
	return err
}

// take believes what was read back.
func (j *job) take(got desk.Case) []incident.Event {
	var events []incident.Event
	first := j.c.State == incident.CaseWanted
	if got.URL != "" {
		j.c.URL = tidy(got.URL, maxText)
	}
	switch {
	case got.Priority == incident.NoPriority && j.c.Priority == incident.NoPriority: // the desk does not show it
		j.c.Priority = j.i.Priority
	case got.Priority == incident.NoPriority || got.Priority == j.c.Priority:
	case j.c.Priority == incident.NoPriority || j.c.Failures > 0:
		j.c.Priority = got.Priority
	default:
		text := fmt.Sprintf("the priority of case %s is %s now, was %s: changed at the desk", j.c.Number, got.Priority, j.c.Priority)
		events = append(events, j.event(incident.EventCaseUpdated, text))
		j.c.Priority = got.Priority
	}
	if first {
		j.c.State = incident.CaseNew
		events = append(events, j.openedEvents()...)
	}
	// Where the desk keeps no history of what people did, the difference is what they did. Where it does, a new case's
	// history is read first.
	if got.State != incident.CaseWanted && (!first || !j.can.Transitions || !j.i.Open()) {
		t := incident.Transition{At: j.r.o.Now(), To: got.State}
		if !j.i.Open() && over(got.State) {
			t.Actor = incident.ActorAgent
		}
		events = append(events, j.apply(t)...)
	}
	return events
}

func (j *job) openedEvents() []incident.Event {
	events := []incident.Event{j.event(incident.EventCaseOpened, fmt.Sprintf("case %s is open at %s", j.c.Number, j.Name))}
	if n := len(j.c.Earlier); n > 0 {
		last := j.c.Earlier[n-1]
		moved := j.event(incident.EventMoved, fmt.Sprintf("case %s goes on where case %s was resolved by %s while the fault was measured", j.c.Number, last.Number, last.ResolvedBy))
		moved.Actor = incident.ActorAgent
		events = append(events, moved)
	}
	return events
}

// mismatch returns an error when the desk shows another priority than was written.
func (j *job) mismatch(want incident.Priority) error {
	if !j.can.ReadBack || j.c.Priority == want {
		return nil
	}
	return fmt.Errorf("desk %s: case %s shows %s where %s was written: check the desk's rules for priorities", j.Name, j.c.Number, j.c.Priority, want)
}

// apply takes one step of a person into the case: who reacted, when it was held, who resolved it. An Actor of "" is somebody
// whom the desk does not name.
func (j *job) apply(t incident.Transition) []incident.Event {
	actor := tidy(t.Actor, maxActor)
	if actor == "" {
		actor = j.Name
	}
	var events []incident.Event
	told := func(kind incident.EventKind, otherwise string) {
		text := tidy(t.Text, maxText)
		if text == "" {
			text = otherwise
		}
		events = append(events, incident.Event{Incident: j.i.ID, At: t.At, Kind: kind, Actor: actor, Text: text, Priority: j.i.Priority})
	}
	if t.Rectified {
		j.c.Rectified, j.c.RectifiedBy = t.At, actor
		told(incident.EventRectified, fmt.Sprintf("%s says that the fault is temporarily rectified", actor))
	}
	if t.To == "" {
		if t.Customer {
			events = append(events, j.answered(t, actor)...)
		} else if !t.Rectified {
			told(incident.EventNote, "a note without text")
		}
		return events
	}
	if t.To == j.c.State {
		return nil
	}
	was := j.c.State
	j.c.State = t.To
	if j.c.Acknowledged.IsZero() && t.To != incident.CaseNew && t.To != incident.CaseWithdrawn && actor != incident.ActorAgent {
		j.c.Acknowledged, j.c.AcknowledgedBy = t.At, actor // whoever holds or resolves it has reacted to it
	}
	if h := j.held(); h != nil && t.To != incident.CaseHeld {
		h.Left = t.At
		h.To = j.r.o.HoldEnds.End(h.Left, h.Answered)
		told(incident.EventResumed, fmt.Sprintf("case %s is worked on again", j.c.Number))
	}
	switch {
	case t.To == incident.CaseHeld:
		j.c.Holds = append(j.c.Holds, incident.Hold{From: t.At, Reason: tidy(t.Text, maxText), Actor: actor})
		told(incident.EventHeld, fmt.Sprintf("case %s waits for the customer", j.c.Number))
	case over(t.To):
		if t.To == incident.CaseWithdrawn {
			delete(j.verified, j.i.ID) // another agent kept another case: look which
		}
		j.c.Resolved, j.c.ResolvedBy = t.At, actor
		told(incident.EventCaseResolved, fmt.Sprintf("case %s is %s at %s", j.c.Number, t.To, j.Name))
		if j.i.Open() && t.To == incident.CaseResolved {
			events = append(events, j.stillMeasured(actor))
		}
	case over(was):
		j.c.Resolved, j.c.ResolvedBy = time.Time{}, ""
		told(incident.EventNote, fmt.Sprintf("case %s is open again", j.c.Number))
	case t.To == incident.CaseAcknowledged && was != incident.CaseHeld:
		told(incident.EventAcknowledged, fmt.Sprintf("case %s is taken", j.c.Number))
	}
	return events
}

// stillMeasured is what the agent answers, once, when somebody resolves the case of a fault that lasts.
func (j *job) stillMeasured(actor string) incident.Event {
	text := fmt.Sprintf("%s resolved case %s, but the fault is still measured: %s", actor, j.c.Number, j.text.evidence(j.i, j.r.o.View()))
	e := j.event(incident.EventNote, tidy(text, 2*maxText))
	e.Actor = incident.ActorAgent
	return e
}
