package reconcile

import (
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Status is how the reconciler fares, for health and metrics.
type Status struct {
	DeskErrors   map[string]string // by desk; only those that fail now
	NoticeErrors map[string]string // by notifier; only those that fail now
	Pending      int               // incidents whose case is not yet as it should be
	Oldest       time.Duration     // how long the oldest of them has been waiting

	Desks     map[string]Backlog // by desk: every configured one, and others whose case is not settled
	Notifiers map[string]Backlog // by notifier: every configured one
	// Reaction is the smallest margin of the reaction time (see sla.Clock) among the open incidents that nobody has taken, by their
	// priority. A priority without such an incident is not in it.
	Reaction map[incident.Priority]time.Duration
	Untaken  map[incident.Priority]int // how many of them there are, by their priority
}

// Backlog is what one desk or notifier has not heard yet.
type Backlog struct {
	Pending  int           // cases, or notices
	Oldest   time.Duration // how long the oldest of them has been waiting, quiet hours left out; 0: none is
	Failures int           // attempts that failed in a row, of the one that failed most often

	// Waits is Oldest by the priority of the incident. It is kept of desks only.
	Waits [incident.P4 + 1]time.Duration
}

// Status returns how the reconciler fares now. What waits is that of the newest look at the store; how long it waits is up to date.
func (r *Reconciler) Status() Status {
	now := r.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		DeskErrors: map[string]string{}, NoticeErrors: map[string]string{}, Pending: r.load.all.pending, Oldest: r.load.all.age(now),
		Desks: map[string]Backlog{}, Notifiers: map[string]Backlog{}, Reaction: map[incident.Priority]time.Duration{},
		Untaken: map[incident.Priority]int{},
	}
	for name, t := range r.load.desks {
		s.Desks[name] = t.backlog(now)
	}
	for name, list := range r.load.notices {
		s.Notifiers[name] = r.waitingFor(name, list, now)
	}
	for _, u := range r.load.untaken {
		k := r.o.Level.Clock(u.incident, u.lead, now)
		if least, ok := s.Reaction[u.incident.Priority]; !ok || k.Margin < least {
			s.Reaction[u.incident.Priority] = k.Margin
		}
		s.Untaken[u.incident.Priority]++
	}
	for who, rows := range r.failing {
		first := ""
		for row := range rows {
			if first == "" || row < first {
				first = row
			}
		}
		if name, ok := strings.CutPrefix(who, "desk "); ok && first != "" {
			s.DeskErrors[name] = rows[first]
		} else if name, ok := strings.CutPrefix(who, "notifier "); ok && first != "" {
			s.NoticeErrors[name] = rows[first]
		}
	}
	return s
}

// waitingFor returns the backlog of a notifier less what waits for its quiet hours to end.
func (r *Reconciler) waitingFor(name string, due []waiting, now time.Time) Backlog {
	var b Backlog
	k := slices.IndexFunc(r.o.Notifiers, func(n Notifier) bool { return n.Name == name })
	for _, w := range due {
		age := now.Sub(w.since)
		if k >= 0 {
			n := r.o.Notifiers[k]
			if n.Silent(w.priority, now) {
				continue
			}
			if n.Quiet != nil && !slices.Contains(n.Loud, w.priority) && age > 0 {
				age -= n.Quiet.Between(w.since, now)
			}
		}
		b.Pending++
		b.Oldest, b.Failures = max(b.Oldest, age), max(b.Failures, w.failures)
	}
	return b
}

// backlog is what is left to do, as of one look at the store. It is not changed once it is shown.
type backlog struct {
	all     tally
	desks   map[string]tally
	notices map[string][]waiting
	untaken []untaken
}

// tally counts what waits, and since when the oldest does.
type tally struct {
	pending, failures int
	since             time.Time
	first             [incident.P4 + 1]time.Time // since by priority; zero: none waits
}

// waiting is a notice that is due.
type waiting struct {
	since    time.Time
	priority incident.Priority
	failures int
}

// untaken is an open incident to which nobody has reacted.
type untaken struct {
	incident incident.Incident
	lead     incident.Case
}

func (t *tally) add(p incident.Priority, since time.Time, failures int) {
	if t.pending == 0 || since.Before(t.since) {
		t.since = since
	}
	if first := &t.first[p]; first.IsZero() || since.Before(*first) {
		*first = since
	}
	t.pending++
	t.failures = max(t.failures, failures)
}

func (t tally) age(now time.Time) time.Duration {
	if t.pending == 0 {
		return 0
	}
	return max(0, now.Sub(t.since))
}

func (t tally) backlog(now time.Time) Backlog {
	b := Backlog{Pending: t.pending, Oldest: t.age(now), Failures: t.failures}
	for p, first := range t.first {
		if !first.IsZero() {
			b.Waits[p] = max(0, now.Sub(first))
		}
	}
	return b
}

func (r *Reconciler) newBacklog() backlog {
	b := backlog{desks: map[string]tally{}, notices: map[string][]waiting{}}
	for _, d := range r.desks {
		b.desks[d.Name] = tally{}
	}
	for _, n := range r.o.Notifiers {
		b.notices[n.Name] = nil
	}
	return b
}

// count adds what is left to do for one incident.
func (b *backlog) count(r *Reconciler, s situation) {
	for _, n := range s.notices {
		if _, ok := b.notices[n.Notifier]; ok && n.State == incident.NoticeDue && !n.Due.After(s.now) && !r.waitsForSilence(n, s.incident, s.now) {
			b.notices[n.Notifier] = append(b.notices[n.Notifier], waiting{n.Due, s.incident.Priority, n.Failures})
		}
	}
	if !s.incident.Class.OpensCase() {
		return
	}
	if lead := r.set.reacted(s.cases); s.incident.Open() && lead.Acknowledged.IsZero() && !s.incident.ReactionDue.IsZero() && len(r.desks) > 0 {
		b.untaken = append(b.untaken, untaken{s.incident, lead})
	}
	var whole tally
	for _, d := range r.desks {
		b.countDesk(d, s, &whole)
	}
	for _, c := range s.cases { // a desk that is configured no more cannot be asked to resolve its case
		known := slices.ContainsFunc(r.desks, func(d *deskLoop) bool { return d.Name == c.Desk })
		if !known && !c.Settled {
			b.wait(c.Desk, s.incident.Priority, s.incident.Opened, c.Failures)
			whole.add(s.incident.Priority, s.incident.Opened, c.Failures)
			r.fails("desk "+c.Desk, c.Incident, "the desk is no longer configured, but case "+c.Number+" there is not settled: resolve it by hand or configure the desk again")
		}
	}
	if whole.pending > 0 {
		b.all.add(s.incident.Priority, whole.since, whole.failures)
	}
}

// countDesk adds what one desk has not heard of one incident.
func (b *backlog) countDesk(d *deskLoop, s situation, whole *tally) {
	c := caseAt(s.cases, d.Name)
	after := d.Rules.FallbackAfter
	if after > 0 && c.Incident == "" { // a fallback that is not wanted
		return
	}
	waits, ok := c.Delivery(s.incident)
	switch {
	case ok && waits.Action == incident.DeliverCreate:
		waits.Since = later(waits.Since, s.incident.Opened.Add(after))
	case !ok && !c.Settled && !s.incident.Open() && c.GoodNoted.IsZero(): // resolved, and not verified
		whole.add(s.incident.Priority, s.incident.Closed, c.Failures)
	}
	if ok {
		b.wait(d.Name, s.incident.Priority, waits.Since, waits.Attempts)
		whole.add(s.incident.Priority, waits.Since, waits.Attempts)
	}
}

func (b *backlog) wait(desk string, p incident.Priority, since time.Time, failures int) {
	t := b.desks[desk]
	t.add(p, since, failures)
	b.desks[desk] = t
}
