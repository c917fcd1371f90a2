package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// Bounds on bringing files to a case.
const (
	attachTries   = 6               // in a row without success, then it is given up
	attachFirst   = 5 * time.Second // until the second of them, then ever longer
	attachLongest = 5 * time.Minute
)

// flight is a file of evidence on its way to a case. The call runs beside the loop, so that a desk which is slow to take a file
// delays no case; the row is written by the loop alone, when the call has returned.
type flight struct {
	id, ref, name string
	began         time.Time
	done          chan error // takes the call's outcome, without a wait
}

// attach takes in what a call brought, and sends the next file, at most one at a time. What is attached stands in the case's row;
// killed between the two, the file is sent again, which changes nothing at a desk that can be asked what it holds.
func (l *deskLoop) attach(ctx context.Context, incidents []incident.Incident) {
	to, ok := l.Desk.Desk.(desk.Attacher)
	if can := l.Desk.Desk.Capabilities(); !ok || can.MailsCustomer && !can.InternalFiles {
		return
	}
	if l.flight != nil {
		select {
		case err := <-l.flight.done:
			if err := l.landed(ctx, err); err != nil {
				l.r.storeFailed(ctx, err) // the file is sent again
			}
			l.flight = nil
		default:
			return
		}
	}
	for _, i := range incidents {
		if ctx.Err() != nil {
			return
		}
		if !i.Class.OpensCase() || l.complete[i.ID] {
			continue
		}
		switch sent, err := l.depart(ctx, to, i); {
		case err != nil:
			l.r.storeFailed(ctx, err)
			return
		case sent:
			return
		}
	}
}

// depart sends the next file that the case of an incident lacks; it reports whether there is one to send now.
func (l *deskLoop) depart(ctx context.Context, to desk.Attacher, i incident.Incident) (bool, error) {
	cases, err := l.r.o.Store.Cases(ctx, i.ID)
	if err != nil {
		return false, err
	}
	c, now := caseAt(cases, l.Name), l.r.o.Now()
	// A desk that fails its cases is not asked to take files.
	if c.Ref == "" || !c.State.Live() || c.Failures > 0 || c.Owed != 0 || soon(now, c.AttachNext, attachLongest) {
		return false, nil
	}
	e, err := l.r.o.Store.Evidence(ctx, i.ID)
	if errors.Is(err, incident.ErrNotFound) {
		return false, nil // not yet gathered
	}
	if err != nil {
		return false, err
	}
	n := slices.IndexFunc(e.Files, func(f incident.EvidenceFile) bool { return !slices.Contains(c.Attached, f.Name) })
	if n < 0 || c.AttachFailures >= attachTries {
		l.complete[i.ID] = true
		return false, nil
	}
	file, err := l.r.o.Store.EvidenceFile(ctx, i.ID, e.Files[n].Name)
	if err != nil {
		return false, err
	}
	f := &flight{id: i.ID, ref: c.Ref, name: file.Name, began: now, done: make(chan error, 1)}
	fields := l.text.fields(i, c, i.Priority, nil, l.r.o.View())
	l.flight = f
	l.flights.Go(func() {
		f.done <- l.call(ctx, "attach", func(ctx context.Context) error {
			return to.Attach(ctx, f.ref, fields, desk.File{Name: file.Name, Type: file.Type, Content: file.Content})
		})
		l.r.Kick()
	})
	return true, nil
}

// landed notes how the call went. The timeline hears of the first failure, and when the last file is there.
func (l *deskLoop) landed(ctx context.Context, failed error) error {
	f := l.flight
	cases, err := l.r.o.Store.Cases(ctx, f.id)
	if err != nil {
		return err
	}
	c := caseAt(cases, l.Name)
	if c.Ref != f.ref || failed != nil && (ctx.Err() != nil || errors.Is(failed, errWait)) { // another case goes on, or the agent stops
		return nil
	}
	told := func(kind incident.EventKind, text string) incident.Event {
		return incident.Event{Incident: f.id, At: l.r.o.Now(), Kind: kind, Actor: l.Name, Text: text}
	}
	var events []incident.Event
	if failed != nil {
		text := tidy(failed.Error(), maxText)
		if c.AttachFailures == 0 {
			events = append(events, told(incident.EventCaseFailed, tidy(fmt.Sprintf("the file %s could not be attached to case %s, which goes on without it: %s", f.name, c.Number, text), maxText)))
		}
		c.AttachFailures++
		c.AttachNext = f.began.Add(min(attachFirst<<(c.AttachFailures-1), attachLongest))
		l.r.o.Log.Warn("a file of evidence could not be attached", "desk", l.Name, "case", f.id, "file", f.name, "attempt", c.AttachFailures, "of", attachTries, "err", text)
		return l.r.o.Store.SaveCase(ctx, c, events...)
	}
	c.AttachFailures, c.AttachNext = 0, time.Time{}
	c.Attached = append(slices.Clone(c.Attached), f.name)
	e, err := l.r.o.Store.Evidence(ctx, f.id)
	if err != nil {
		return err
	}
	if len(c.Attached) >= len(e.Files) {
		events = append(events, told(incident.EventCaseUpdated, fmt.Sprintf("the evidence is attached to case %s at %s: %s", c.Number, l.Name, strings.Join(c.Attached, ", "))))
	}
	return l.r.o.Store.SaveCase(ctx, c, events...)
}
