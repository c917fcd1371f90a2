package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// worthNoting reports whether the desk should hear of the event.
func worthNoting(i incident.Incident, e incident.Event) bool {
	switch e.Kind {
	case incident.EventOpened, incident.EventRaised, incident.EventLowered, incident.EventJoined, incident.EventLeft, incident.EventMeasured,
		incident.EventReaction, incident.EventMoved, incident.EventEvidence:
		return true
	case incident.EventAbsorbed:
		return i.Resolution != incident.Absorbed // else the closing note says it
	case incident.EventNote:
		return e.Actor == incident.ActorAgent
	default:
	}
	return false
}

// forCustomer reports whether the customer is told of such a step. What engineers owe each other is none of it.
func forCustomer(k incident.EventKind) bool {
	switch k {
	case incident.EventOpened, incident.EventRaised, incident.EventLowered, incident.EventMeasured, incident.EventMoved:
		return true
	default:
	}
	return false
}

// update tells the desk what it has not heard yet, in place.
func (j *job) update(ctx context.Context) error {
	if !j.i.Open() && (over(j.c.State) || j.can.Reopens && j.endsNow()) {
		return nil
	}
	fresh, err := j.untold(ctx)
	if err != nil {
		return err
	}
	var notes []desk.Note
	moved := j.c.Failures > 0 && j.i.Open() && j.mismatch(j.i.Priority) != nil // the last write of the priority did not take
	for _, e := range fresh {
		if worthNoting(j.i, e) {
			notes = append(notes, desk.Note{Seq: e.Seq, At: e.At, Text: j.text.note(j.i, j.c, e, j.r.o.View()), Public: j.can.MailsCustomer && forCustomer(e.Kind)})
			moved = moved || e.Kind == incident.EventOpened || e.Kind == incident.EventRaised || e.Kind == incident.EventLowered
		}
	}
	if len(notes) == 0 && !moved {
		return nil
	}
	if err := j.reload(ctx); err != nil {
		return err
	}
	want := j.c.Priority // as people left it
	if moved || want == incident.NoPriority {
		want = j.i.Priority
	}
	fields, err := j.fields(ctx, want)
	if err != nil {
		return err
	}
	err = j.call(ctx, "update", func(ctx context.Context) error {
		return j.Desk.Desk.Update(ctx, j.c.Ref, fields, notes)
	})
	if err != nil && over(j.c.State) && (errors.Is(err, incident.ErrNotFound) || j.tooEarly()) {
		// A closed case may take no more notes, a deleted one cannot: what follows it tells the whole story.
		j.c.Noted, j.c.Owed = max(j.c.Noted, lastSeq(fresh)), 0
		return j.save(ctx)
	}
	if err != nil {
		return err
	}
	j.c.Noted, j.c.Owed = max(j.c.Noted, lastSeq(fresh)), 0
	j.c.Priority = want
	if moved && j.can.ReadBack {
		j.c.Priority = incident.NoPriority // believed when it is read back
	}
	added := "a new note"
	if len(notes) != 1 {
		added = fmt.Sprintf("%d new notes", len(notes))
	}
	text := fmt.Sprintf("case %s is updated at %s: %s, %s", j.c.Number, j.Name, added, want)
	if err := j.save(ctx, j.event(incident.EventCaseUpdated, text)); err != nil {
		return err
	}
	return j.read(ctx)
}

// untold returns the events that the desk has not heard of, oldest first.
func (j *job) untold(ctx context.Context) ([]incident.Event, error) {
	fresh, err := j.r.o.Store.Timeline(ctx, j.i.ID, j.c.Noted)
	if err == nil && j.c.Owed != 0 && j.c.Owed <= j.c.Noted {
		var older []incident.Event
		older, err = j.r.o.Store.Timeline(ctx, j.i.ID, j.c.Owed-1)
		if len(older) > 0 && older[0].Seq == j.c.Owed {
			fresh = append(older[:1:1], fresh...)
		}
	}
	if err != nil {
		return nil, storeError{err}
	}
	return fresh, nil
}

// reload makes the incident at least as new as a timeline that was read before.
func (j *job) reload(ctx context.Context) error {
	i, err := j.r.o.Store.Incident(ctx, j.i.ID)
	if err != nil {
		return storeError{err}
	}
	j.i = i
	return nil
}

// fields returns what the case shall say.
func (j *job) fields(ctx context.Context, p incident.Priority) (desk.Fields, error) {
	events, err := j.r.o.Store.Timeline(ctx, j.i.ID, 0)
	if err != nil {
		return desk.Fields{}, storeError{err}
	}
	return j.text.fields(j.i, j.c, p, events, j.r.o.View()), nil
}

// settling returns errWait while the end of a case can only wait: for the lag of a create that may have made a double, or, a
// while, for the number of the case that goes on.
func (j *job) settling(ctx context.Context) error {
	now := j.r.o.Now()
	if over(j.c.State) {
		if j.can.Find && now.Before(j.visible()) {
			return errWait
		}
		return nil
	}
	if j.i.Resolution != incident.Absorbed || !soon(now, j.i.Closed.Add(absorbWait), absorbWait) {
		return nil
	}
	number, err := j.r.caseNumber(ctx, j.i.AbsorbedBy, j.Name)
	if err != nil {
		return storeError{err}
	}
	if number == "" {
		return errWait
	}
	return nil
}

// resolve ends the case of an ended incident until the desk, read back, agrees and no double is left.
func (j *job) resolve(ctx context.Context) error {
	if !over(j.c.State) {
		number, err := j.r.caseNumber(ctx, j.i.AbsorbedBy, j.Name)
		if err != nil {
			return storeError{err}
		}
		fields, err := j.fields(ctx, j.c.Priority)
		if err != nil {
			return err
		}
		if err := j.call(ctx, "resolve", func(ctx context.Context) error {
			return j.Desk.Desk.Resolve(ctx, j.c.Ref, fields, j.text.closing(j.i, j.c, number, j.r.o.View()))
		}); err != nil {
			return err
		}
		got := desk.Case{State: incident.CaseResolved}
		if j.can.ReadBack {
			if got, err = j.get(ctx); err != nil {
				return err
			}
			if !over(got.State) {
				return fmt.Errorf("desk %s: case %s is still %s after it was resolved: check which states the desk allows", j.Name, j.c.Number, got.State)
			}
		}
		events := j.take(got)
		j.forgive()
		if err := j.save(ctx, events...); err != nil {
			return err
		}
	}
	if j.can.Find {
		if j.r.o.Now().Before(j.visible()) {
			return errWait
		}
		found, err := j.find(ctx)
		if err != nil {
			return err
		}
		if err := j.unite(ctx, found); err != nil {
			return err
		}
	}
	j.c.Settled = true
	return nil
}
