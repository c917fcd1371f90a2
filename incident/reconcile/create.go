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

// create finds the incident's case or opens it: at most one attempt, durable before it is made, and after an unanswered one
// none before the desk was searched again, later than its lag.
func (j *job) create(ctx context.Context) error {
	if j.needless() && j.c.Attempted.IsZero() {
		j.c.Settled = true
		return nil
	}
	if j.r.o.Peers && j.c.Round == 0 && j.c.Attempted.IsZero() {
		return j.first(ctx)
	}
	if !j.can.Find { // the desk itself drops doubles
		return j.open(ctx)
	}
	if soon(j.r.o.Now(), j.look[j.i.ID], waitEvery) {
		return errWait
	}
	found, err := j.find(ctx)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return j.unite(ctx, found)
	}
	if now := j.r.o.Now(); now.Before(j.visible()) {
		j.look[j.i.ID] = earlier(j.visible(), now.Add(waitEvery))
		return errWait
	}
	return j.open(ctx)
}

// needless reports whether nobody needs a case which does not exist yet: the incident is part of another one, is judged not to be
// the SOC's, or another desk has it. One that recovered needs one: a short outage is brought to the SOC as well.
func (j *job) needless() bool {
	return !j.i.Open() && (j.i.Resolution == incident.Absorbed || j.i.Resolution == incident.Removed || j.i.Resolution == incident.Rejudged) || j.elsewhere()
}

// visible returns when the last create, answered or not, must show in a search: it may reach the desk as late as its deadline,
// and the desk's index as late as its lag. What another agent attempted, by whatever its clock showed, it attempted before this one
// began.
func (j *job) visible() time.Time {
	if j.c.Attempted.IsZero() {
		return time.Time{}
	}
	last := j.c.Attempted
	if j.r.o.Peers && !j.mine[j.i.ID] && last.Before(j.began) {
		last = j.began
	}
	return last.Add(j.r.o.CallTimeout + j.can.Lag)
}

// open makes one attempt to create the case.
func (j *job) open(ctx context.Context) error {
	searched := j.r.o.Now()
	events, err := j.r.o.Store.Timeline(ctx, j.i.ID, 0)
	if err != nil {
		return storeError{err}
	}
	if err := j.reload(ctx); err != nil {
		return err
	}
	if j.needless() && (j.can.Find || j.c.Attempted.IsZero()) {
		j.c.Settled = true
		return nil
	}
	again := !j.can.Find && !j.c.Attempted.IsZero() // the attempt before may have worked
	priority := j.i.Priority
	switch {
	case again:
		events, priority = attempted(events, j.c.Noted, priority)
	case !j.can.Find: // as it would be repeated, although the incident may be newer than the timeline
		events, priority = attempted(events, lastSeq(events), priority)
	}
	fields := j.text.fields(j.i, j.c, priority, events, j.r.o.View())
	j.c.Attempted, j.c.Noted, j.c.Owed = j.r.o.Now(), lastSeq(events), evidenceSeq(events)
	if err := j.save(ctx); err != nil { // (3) durable before anything leaves the process
		return err
	}
	if j.r.o.Peers && j.can.Find && j.c.Round == 0 && j.r.o.Now().Sub(searched) > slowSave {
		if over, err := j.overtaken(ctx); over || err != nil {
			return err
		}
	}
	j.mine[j.i.ID] = true
	j.searched = false // what was searched before knows nothing of it
	var got desk.Case
	err = j.call(ctx, "open", func(ctx context.Context) (err error) {
		got, err = j.Desk.Desk.Open(ctx, fields)
		return err
	})
	if err == nil && got.Ref == "" {
		err = fmt.Errorf("desk %s: the answer to a create names no case: %w", j.Name, desk.ErrUnknownOutcome)
	}
	if err != nil {
		if !unknown(err) && !again {
			j.c.Attempted, j.c.Noted, j.c.Owed = time.Time{}, 0, 0
			if err := j.save(ctx); err != nil {
				return err
			}
		}
		return err
	}
	j.keep(got)
	return j.save(ctx)
}

// attempted returns what an attempt told that told all up to that event: its part of the timeline, and the priority by then. A desk
// without a search drops an attempt that is repeated, so that what came since is told as an update, or nobody would hear of it.
func attempted(events []incident.Event, noted int64, now incident.Priority) ([]incident.Event, incident.Priority) {
	n := slices.IndexFunc(events, func(e incident.Event) bool { return e.Seq > noted })
	switch {
	case n == 0:
		return events, now
	case n < 0:
		n = len(events)
	}
	for _, e := range slices.Backward(events[:n]) {
		switch e.Kind {
		case incident.EventOpened, incident.EventRaised, incident.EventLowered:
			return events[:n], e.Priority
		default:
		}
	}
	return events[:n], now
}

// keep takes the identity of a case at the desk into the row. What stands in the case is believed when it is read back.
func (j *job) keep(got desk.Case) {
	j.c.Ref, j.c.Number, j.c.URL, j.c.Created = got.Ref, tidy(got.Number, maxActor), tidy(got.URL, maxText), got.Created
	if j.c.Number == "" {
		j.c.Number = tidy(got.Ref, maxActor)
	}
}

// verify searches for doubles: another agent, or an attempt whose answer was lost, may have opened one. At a desk that shows
// a new case at once it does so at once; otherwise when a case shows that was opened by somebody who could not see this one.
func (j *job) verify(ctx context.Context) error {
	if !j.can.Find || j.verified[j.i.ID] {
		return nil
	}
	if j.can.Lag > 0 && j.r.o.Now().Before(j.visible().Add(j.can.Lag)) {
		if !j.i.Open() && !over(j.c.State) { // once resolved, no agent could tell a double from the case
			return errWait
		}
		return nil
	}
	found, err := j.find(ctx)
	if err != nil {
		return err
	}
	if err := j.unite(ctx, found); err != nil {
		return err
	}
	j.verified[j.i.ID] = true
	return nil
}

// unite keeps one case of those found, and withdraws the others. Every agent that sees the same cases keeps the same one: the
// oldest, where one of them is still open the oldest open one. When the incident is over it is the oldest resolved one, if any.
func (j *job) unite(ctx context.Context, found []desk.Case) error {
	found = slices.Clone(found)
	if j.c.Ref != "" && !slices.ContainsFunc(found, func(c desk.Case) bool { return c.Ref == j.c.Ref }) {
		own, err := j.get(ctx) // late in the index, withdrawn by another agent, or gone
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			return err
		}
		if err == nil && own.State != incident.CaseWithdrawn {
			found = append(found, own)
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, desk.Older)
	keep := found[0]
	if n := slices.IndexFunc(found, func(c desk.Case) bool { return c.State.Live() == j.i.Open() }); n > 0 {
		keep = found[n]
	}
	if err := j.change(ctx, keep); err != nil {
		return err
	}
	for _, c := range found {
		if c.Ref == keep.Ref || !c.State.Live() {
			continue
		}
		if err := j.call(ctx, "withdraw", func(ctx context.Context) error {
			return j.Desk.Desk.Withdraw(ctx, c.Ref, j.c.Number)
		}); err != nil {
			return err
		}
		text := fmt.Sprintf("case %s was a double and is withdrawn; case %s goes on", tidy(c.Number, maxActor), j.c.Number)
		if err := j.save(ctx, j.event(incident.EventCaseUpdated, text)); err != nil {
			return err
		}
	}
	return nil
}

// change makes the row that of the case which is kept.
func (j *job) change(ctx context.Context, keep desk.Case) error {
	if keep.Ref == j.c.Ref {
		return nil
	}
	adopted := j.c.Attempted.IsZero() || j.c.Ref != ""
	j.keep(keep)
	if key := j.under[keep.Ref]; key != "" {
		j.c.As = key // a desk takes a case by both
	}
	if adopted { // somebody else's words: all but that it was opened is told again
		events, err := j.r.o.Store.Timeline(ctx, j.i.ID, 0)
		if err != nil {
			return storeError{err}
		}
		j.c.Noted, j.c.Owed = 0, 0
		if len(events) > 0 {
			j.c.Noted = events[0].Seq
		}
	}
	j.c.State, j.c.Seen = incident.CaseWanted, time.Time{} // to be read back
	j.c.Resolved, j.c.ResolvedBy = time.Time{}, ""
	j.c.Attached, j.c.AttachFailures, j.c.AttachNext = nil, 0, time.Time{}
	delete(j.complete, j.i.ID)
	return j.save(ctx)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// evidenceSeq returns the Seq of the evidence in a timeline; 0 where there is none. It stands in no body, which the customer may
// read, so that it is told on its own.
func evidenceSeq(events []incident.Event) int64 {
	for _, e := range events {
		if e.Kind == incident.EventEvidence {
			return e.Seq
		}
	}
	return 0
}

func lastSeq(events []incident.Event) int64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}
