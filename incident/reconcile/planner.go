package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// planner adds the cases that are wanted and the notices that are due, writes status notes into the timeline, looks for what nobody looks after any more and
// measures how much is left to do. Only its own goroutine touches it.
type planner struct {
	r      *Reconciler
	active map[string]bool // incidents of the last round
	swept  time.Time
	done   map[string]bool // incidents of the sweep with nothing left to tell
}

func (p *planner) round(ctx context.Context) {
	if err := p.try(ctx); err != nil {
		p.r.storeFailed(ctx, err)
	}
}

func (p *planner) try(ctx context.Context) error {
	if err := p.sweep(ctx); err != nil {
		return err
	}
	incidents, err := p.r.work(ctx)
	if err != nil {
		return err
	}
	load := p.r.newBacklog()
	active := map[string]bool{}
	for _, i := range incidents {
		active[i.ID] = true
		delete(p.active, i.ID)
		s, err := p.r.situation(ctx, i.ID)
		if err != nil {
			return err
		}
		load.count(p.r, s)
		if err := p.r.wantThis(ctx, s); err != nil {
			return err
		}
	}
	for id := range p.active { // it ended since the last round
		if err := p.r.want(ctx, id); err != nil && !errors.Is(err, incident.ErrNotFound) {
			return err
		}
	}
	p.active = active
	p.r.mu.Lock()
	p.r.load = load
	p.r.mu.Unlock()
	return p.tidyUp(ctx)
}

// situation reads what a plan follows from. The timeline comes before the incident, so that the incident is never older.
func (r *Reconciler) situation(ctx context.Context, id string) (situation, error) {
	s := situation{now: r.o.Now()}
	var errs [5]error
	s.timeline, errs[0] = r.o.Store.Timeline(ctx, id, 0)
	s.cases, errs[1] = r.o.Store.Cases(ctx, id)
	s.notices, errs[2] = r.o.Store.Notices(ctx, id)
	s.incident, errs[3] = r.o.Store.Incident(ctx, id)
	if s.incident.Resolution == incident.Absorbed {
		s.into, errs[4] = r.leadNumber(ctx, s.incident.AbsorbedBy)
	}
	return s, errors.Join(errs[:]...)
}

// want makes durable what an incident asks for now: a case at every desk and the notices that are due. It does no harm that
// several goroutines do so: rows of cases are added one goroutine at a time, the ids of notices are deterministic, and what is
// there stays.
func (r *Reconciler) want(ctx context.Context, id string) error {
	s, err := r.situation(ctx, id)
	if err != nil {
		return err
	}
	return r.wantThis(ctx, s)
}

func (r *Reconciler) wantThis(ctx context.Context, s situation) error {
	if err := r.wantCases(ctx, s); err != nil {
		return err
	}
	return r.add(ctx, s)
}

// wantCases adds the rows of the cases that an incident asks for. A slow desk delays none of them: the incident stays
// unsettled until each row is.
func (r *Reconciler) wantCases(ctx context.Context, s situation) error {
	missing := func(cases []incident.Case) []string {
		var names []string
		for _, d := range r.desks {
			if caseAt(cases, d.Name).Incident == "" && d.wanted(s, cases) {
				names = append(names, d.Name)
			}
		}
		return names
	}
	if !s.incident.Class.OpensCase() || len(missing(s.cases)) == 0 {
		return nil
	}
	r.rows.Lock()
	defer r.rows.Unlock()
	cases, err := r.o.Store.Cases(ctx, s.incident.ID)
	if err != nil {
		return err
	}
	for _, name := range missing(cases) {
		if err := r.o.Store.SaveCase(ctx, incident.Case{Incident: s.incident.ID, Desk: name}); err != nil {
			return err
		}
		r.Kick()
	}
	return nil
}

// wanted reports whether the incident asks for a case at this desk: a fallback is used for what is open and the primary desk does
// not take.
func (l *deskLoop) wanted(s situation, cases []incident.Case) bool {
	after := l.Rules.FallbackAfter
	return after <= 0 || s.incident.Open() && away(s.incident, caseAt(cases, l.r.set.primary), after, s.now)
}

// add adds the notices that are due.
func (r *Reconciler) add(ctx context.Context, s situation) error {
	fresh := plan(s, r.set)
	if len(fresh) == 0 {
		return nil
	}
	err := r.o.Store.AddNotices(ctx, fresh...)
	r.Kick()
	return err
}

// tidyUp writes the status notes that are due into the timeline, from where the desks note them, and gives up the notices of
// notifiers that are configured no more.
func (p *planner) tidyUp(ctx context.Context) error {
	due, err := p.r.o.Store.Notices(ctx, "")
	if err != nil {
		return err
	}
	var own []incident.Notice
	for _, n := range due {
		switch {
		case n.State != incident.NoticeDue:
		case n.Notifier == caseNotifier && p.r.set.primary != "":
			own = append(own, n)
		case !slices.ContainsFunc(p.r.o.Notifiers, func(o Notifier) bool { return o.Name == n.Notifier }):
			n.State, n.LastError = incident.NoticeSuperseded, "the notifier is no longer configured"
			if err := p.r.o.Store.SaveNotice(ctx, n); err != nil {
				return err
			}
		}
	}
	next, pointless := pick(own, []route{{notifier: caseNotifier, audience: toCase}})
	for _, n := range pointless {
		n.State = incident.NoticeSuperseded
		if err := p.r.o.Store.SaveNotice(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range next {
		if err := p.note(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// note makes a status note part of the timeline, in one transaction with its proof.
func (p *planner) note(ctx context.Context, n incident.Notice) error {
	i, err := p.r.o.Store.Incident(ctx, n.Incident)
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		return err
	}
	if err != nil || !i.Open() {
		n.State = incident.NoticeSuperseded
		return p.r.o.Store.SaveNotice(ctx, n)
	}
	now := p.r.o.Now()
	n.State, n.Sent, n.Proof = incident.NoticeSent, now, "in the timeline"
	e := incident.Event{Incident: i.ID, At: now, Kind: incident.EventMeasured, Actor: incident.ActorAgent, Priority: i.Priority}
	cases, err := p.r.o.Store.Cases(ctx, i.ID)
	if err != nil {
		return err
	}
	lead := p.r.set.reacted(cases)
	if n.Kind == incident.NoticeReaction {
		if !lead.Acknowledged.IsZero() {
			n.State, n.Sent, n.Proof = incident.NoticeSuperseded, time.Time{}, ""
			return p.r.o.Store.SaveNotice(ctx, n)
		}
		e.Kind, e.Text = incident.EventReaction, p.r.text.reaction(i, lead, n.Seq%1000, p.r.o.Level.Clock(i, lead, now))
	} else {
		e.Text = p.r.text.statusNote(i, n.Seq, p.r.o.View(), p.r.set.mailing[lead.Desk])
	}
	if err := p.r.o.Store.SaveNotice(ctx, n, e); err != nil {
		return err
	}
	p.r.Kick()
	return nil
}

// sweep looks at what ended lately, for what fell between two steps of a process that died or a store that failed: incidents
// that nobody saw, of which no case and no notice speaks, so that the store cannot know that they are unsettled; and ends that
// were not told to those who were told of the beginning.
func (p *planner) sweep(ctx context.Context) error {
	now := p.r.o.Now()
	if soon(now, p.swept.Add(sweepEvery), sweepEvery) {
		return nil
	}
	all, err := p.r.o.Store.Incidents(ctx, store.IncidentFilter{Limit: 200})
	if err != nil {
		return err
	}
	var missed []incident.Incident
	done := map[string]bool{}
	for _, i := range all {
		if i.Open() || now.Sub(i.Closed) > sweepBack {
			continue
		}
		if !p.done[i.ID] {
			s, err := p.r.situation(ctx, i.ID)
			if err != nil {
				return err
			}
			if len(s.cases)+len(s.notices) == 0 {
				missed = append(missed, i)
				continue
			}
			s.late = true
			if err := p.r.add(ctx, s); err != nil {
				return err
			}
			if lately := soon(s.now, s.incident.Closed.Add(absorbWait), absorbWait); lately && s.incident.Resolution == incident.Absorbed {
				continue
			}
		}
		done[i.ID] = true
	}
	p.done, p.swept = done, now
	p.r.mu.Lock()
	p.r.missed = missed
	p.r.mu.Unlock()
	if len(missed) > 0 {
		p.r.Kick()
	}
	return nil
}
