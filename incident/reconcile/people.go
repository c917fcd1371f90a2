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

// Bounds on an argument with people: after so many times of opening a case again, or another one, people have the last word.
const (
	maxReopens = 3
	maxRounds  = 3
	leftEvery  = 5 * time.Minute     // how often a case that people shall resolve is read when the fault has gone
	leftFor    = 14 * 24 * time.Hour // how long
	fastClock  = 10 * time.Minute    // how far a desk's clock may be ahead of the agent's
)

// held returns the hold that the case has not left yet; nil when there is none.
func (j *job) held() *incident.Hold {
	n := len(j.c.Holds) - 1
	if n < 0 {
		return nil
	}
	h := &j.c.Holds[n]
	if !h.Left.IsZero() || !h.To.IsZero() && h.Answered.IsZero() { // a row of an earlier version has no Left
		return nil
	}
	return h
}

// answered takes an answer of the customer into the case.
func (j *job) answered(t incident.Transition, actor string) []incident.Event {
	text := tidy(t.Text, maxText)
	event := func(kind incident.EventKind, text string) incident.Event {
		return incident.Event{Incident: j.i.ID, At: t.At, Kind: kind, Actor: actor, Text: text, Priority: j.i.Priority}
	}
	events := []incident.Event{event(incident.EventNote, "the customer answered: "+text)}
	h := j.held()
	if h == nil || !h.Answered.IsZero() || t.At.Before(h.From) {
		return events
	}
	h.Answered = t.At
	if end := j.r.o.HoldEnds.End(h.Left, h.Answered); !end.IsZero() {
		h.To = end
		events = append(events, event(incident.EventResumed, fmt.Sprintf("the customer has answered, so case %s no longer waits for them", j.c.Number)))
	}
	return events
}

// tooEarly reports whether the case of an open incident was resolved: by people, and the grace is over; or by an agent that judged alone
// and knew no better, which is nobody's word.
func (j *job) tooEarly() bool {
	return j.i.Open() && j.c.State == incident.CaseResolved &&
		(j.byAgent() || !soon(j.r.o.Now(), j.c.Resolved.Add(j.Rules.EarlyAfter), j.Rules.EarlyAfter+fastClock))
}

func (j *job) byAgent() bool { return j.c.ResolvedBy == incident.ActorAgent }

// early does what the desk's rules say about a case that people resolved while its fault is measured.
func (j *job) early(ctx context.Context) error {
	if !j.tooEarly() {
		return nil
	}
	if j.r.o.Peers && j.can.Find { // what resolved it may be another agent, which goes on with another case
		found, err := j.find(ctx)
		if err != nil || slices.ContainsFunc(found, func(c desk.Case) bool { return c.State.Live() && c.Ref != j.c.Ref }) {
			if err == nil {
				err = j.unite(ctx, found)
			}
			return err
		}
	}
	again, able := j.Desk.Desk.(desk.Reopener)
	switch {
	case j.Rules.Early == EarlyComment && !j.byAgent():
	case j.Rules.Early != EarlyNewCase && able:
		if j.c.Reopened < maxReopens {
			err := j.reopen(ctx, again)
			if errors.Is(err, incident.ErrNotFound) { // somebody deleted it
				return j.another(ctx)
			}
			return err
		}
	case j.c.Round < maxRounds:
		return j.another(ctx)
	}
	return nil
}

// reopen opens the case again.
func (j *job) reopen(ctx context.Context, d desk.Reopener) error {
	fields, err := j.fields(ctx, j.i.Priority)
	if err != nil {
		return err
	}
	why := fmt.Sprintf("Opened again: %s after %s resolved this case, the fault is still measured: %s",
		english.span(j.r.o.Now().Sub(j.c.Resolved)), j.c.ResolvedBy, j.text.evidence(j.i, j.r.o.View()))
	if err := j.call(ctx, "reopen", func(ctx context.Context) error {
		return d.Reopen(ctx, j.c.Ref, fields, tidy(why, 2*maxText))
	}); err != nil {
		return err
	}
	got := desk.Case{State: incident.CaseNew}
	if j.can.ReadBack {
		if got, err = j.get(ctx); err != nil {
			return err
		}
		if !got.State.Live() {
			return fmt.Errorf("desk %s: case %s is still %s after it was opened again: check which states the desk allows", j.Name, j.c.Number, got.State)
		}
	}
	by := j.c.ResolvedBy
	j.c.State, j.c.Resolved, j.c.ResolvedBy = got.State, time.Time{}, ""
	j.c.Reopened++
	j.forgive()
	text := fmt.Sprintf("case %s is opened again at %s: %s resolved it, but the fault is still measured", j.c.Number, j.Name, by)
	return j.save(ctx, j.event(incident.EventCaseUpdated, text))
}

// another lets a new case follow the one that was resolved; it is opened as any other.
func (j *job) another(ctx context.Context) error {
	text := fmt.Sprintf("case %s was resolved by %s, but the fault is still measured: another case follows it", j.c.Number, j.c.ResolvedBy)
	j.c = another(j.c)
	delete(j.look, j.i.ID)
	delete(j.verified, j.i.ID)
	j.forgive()
	return j.save(ctx, j.event(incident.EventCaseUpdated, text))
}

// another returns the row of a case that follows c and does not exist yet; c itself where it never existed.
func another(c incident.Case) incident.Case {
	if c.Ref == "" {
		return c
	}
	c = cloned(c)
	c.Earlier = append(c.Earlier, incident.EarlierCase{Ref: c.Ref, Number: c.Number, URL: c.URL, Resolved: c.Resolved, ResolvedBy: c.ResolvedBy})
	c.Round++
	c.Ref, c.Number, c.URL, c.State = "", "", "", incident.CaseWanted
	c.Attempted, c.Created, c.Seen, c.Resolved, c.ResolvedBy = time.Time{}, time.Time{}, time.Time{}, time.Time{}, ""
	c.Priority, c.Noted, c.Owed = incident.NoPriority, 0, 0
	c.Attached, c.AttachFailures, c.AttachNext = nil, 0, time.Time{}
	return c
}

// keepAlive repeats what a desk must hear again and again.
func (j *job) keepAlive(ctx context.Context) error {
	every := j.can.KeepAlive / 2
	now := j.r.o.Now()
	if every <= 0 || over(j.c.State) || soon(now, j.kept[j.i.ID], every) {
		return nil
	}
	fields, err := j.fields(ctx, j.i.Priority)
	if err != nil {
		return err
	}
	if err := j.call(ctx, "update", func(ctx context.Context) error {
		return j.Desk.Desk.Update(ctx, j.c.Ref, fields, nil)
	}); err != nil {
		return err
	}
	j.kept[j.i.ID] = now.Add(every)
	return nil
}

// end ends the case of an ended incident as the desk's rules say: at once, when the fault has gone for long enough, or not at all,
// where people want to. What is part of another incident, or is watched no more, ends at once.
func (j *job) end(ctx context.Context) error {
	rules, now := j.Rules, j.r.o.Now()
	if over(j.c.State) || j.endsNow() {
		return j.resolve(ctx)
	}
	if err := j.noteGood(ctx); err != nil {
		return err
	}
	switch {
	case rules.Leave && (!j.can.ReadBack && !j.can.Transitions || now.Sub(j.i.Closed) > leftFor):
		j.c.Settled = true
		text := fmt.Sprintf("case %s is left to people at %s to resolve", j.c.Number, j.Name)
		return j.save(ctx, j.event(incident.EventCaseUpdated, text))
	case rules.Leave, !j.back && soon(now, j.i.Closed.Add(rules.ResolveAfter), rules.ResolveAfter):
		return errWait
	}
	return j.resolve(ctx)
}

// endsNow reports whether the case of an ended incident is resolved as soon as that can be.
func (j *job) endsNow() bool {
	part := j.i.Resolution == incident.Absorbed || j.i.Resolution == incident.Removed || j.i.Resolution == incident.Rejudged
	return part || !j.Rules.Leave && j.Rules.ResolveAfter <= 0
}

// noteGood tells the case, once, that the fault has gone.
func (j *job) noteGood(ctx context.Context) error {
	if !j.c.GoodNoted.IsZero() {
		return nil
	}
	fields, err := j.fields(ctx, j.c.Priority)
	if err != nil {
		return err
	}
	text := j.text.closing(j.i, j.c, "", j.r.o.View())
	if j.Rules.Leave {
		text = "The fault has gone; please resolve this case when you agree.\n\n" + text
	} else {
		until := j.i.Closed.Add(j.Rules.ResolveAfter)
		text = "The fault has gone; this case will be resolved at " + j.text.stamp(until) + " unless the fault comes back.\n\n" + text
	}
	note := desk.Note{Seq: -1, At: j.i.Closed, Text: cut(text, maxBody), Public: j.can.MailsCustomer}
	if err := j.call(ctx, "update", func(ctx context.Context) error {
		return j.Desk.Desk.Update(ctx, j.c.Ref, fields, []desk.Note{note})
	}); err != nil {
		return err
	}
	j.c.GoodNoted = j.r.o.Now()
	j.forgive()
	return j.save(ctx, j.event(incident.EventCaseUpdated, fmt.Sprintf("case %s is told at %s that the fault has gone", j.c.Number, j.Name)))
}
