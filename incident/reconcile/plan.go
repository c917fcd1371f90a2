package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// audience is who is told by a route; it decides what and in which words.
type audience string

const (
	toCustomer   audience = "customer"
	toFunctional audience = "functional"
	toOnCall     audience = "on-call"
	toCentre     audience = "operations-centre"
	toCase       audience = "case" // status into the timeline, from where the desks note it
)

// route is one notifier's way to one audience.
type route struct {
	notifier   string
	audience   audience
	to         []incident.Contact // empty: the notifier's own recipients
	priorities []incident.Priority
	interrupts bool // it is told only what somebody must hear now, and nothing once somebody has the case
}

// routesOf splits a notifier by audience: a customer and an engineer are not told the same.
func routesOf(n Notifier) []route {
	var routes []route
	add := func(a audience, to incident.Contact) {
		k := slices.IndexFunc(routes, func(r route) bool { return r.audience == a })
		if k < 0 {
			k = len(routes)
			routes = append(routes, route{notifier: n.Name, audience: a, priorities: n.Priorities, interrupts: n.pace().UntilTold})
		}
		if to != (incident.Contact{}) {
			routes[k].to = append(routes[k].to, to)
		}
	}
	for _, to := range n.To {
		switch to.Role {
		case RoleCustomer:
			add(toCustomer, to.Contact)
		case RoleFunctional:
			add(toFunctional, to.Contact)
		case RoleCentre:
			add(toCentre, to.Contact)
		default:
			add(toOnCall, to.Contact)
		}
	}
	if len(n.To) == 0 {
		add(toOnCall, incident.Contact{})
	}
	return routes
}

// id returns the deterministic id of a notice.
func (r route) id(incidentID string, kind incident.NoticeKind, seq int64) string {
	return fmt.Sprintf("%s.%s.%s.%s.%d", incidentID, r.notifier, r.audience, kind, seq)
}

// audienceOf reads the audience back from a notice's id; "" when the notice is not of this notifier's routes.
func audienceOf(n incident.Notice, routes []route) (route, bool) {
	for _, r := range routes {
		if n.ID == r.id(n.Incident, n.Kind, int64(n.Seq)) {
			return r, true
		}
	}
	return route{}, false
}

// planning is the part of the options that decides which notices are due.
type planning struct {
	routes      []route
	primary     string          // name of the primary desk; "": none, alert-only
	fallbacks   []string        // names of the desks that are used while the primary is away
	mailing     map[string]bool // desks that mail the customer themselves, by name
	level       sla.Level
	warnAt      []int
	statusEvery time.Duration
	statusFor   []incident.Priority
}

// caseNotifier is the Notifier of notices that become status notes in the cases.
const caseNotifier = "case notes"

func (r *Reconciler) planning() planning {
	set := planning{primary: r.primary(), statusEvery: r.o.StatusEvery, statusFor: r.o.StatusFor, level: r.o.Level, warnAt: r.o.WarnAt, mailing: map[string]bool{}}
	for _, d := range r.o.Desks {
		set.mailing[d.Name] = d.Desk.Capabilities().MailsCustomer
		if d.Rules.FallbackAfter > 0 {
			set.fallbacks = append(set.fallbacks, d.Name)
		}
	}
	for _, n := range r.o.Notifiers {
		for _, route := range routesOf(n) {
			if route.audience != toCustomer || set.primary != "" {
				set.routes = append(set.routes, route)
			}
		}
	}
	if set.primary != "" {
		set.routes = append(set.routes, route{notifier: caseNotifier, audience: toCase})
	}
	return set
}

// situation is what a plan follows from.
type situation struct {
	now      time.Time
	incident incident.Incident
	timeline []incident.Event
	cases    []incident.Case
	into     string // number of the primary case of the incident that absorbed this one; "" while unknown
	notices  []incident.Notice
	late     bool // long over: only who was told of the beginning is told of the end
}

// plan returns the notices that are due now and not there yet. It is pure: the same situation gives the same notices, and
// their ids depend on the incident alone, so that planning twice plans nothing new.
func plan(s situation, set planning) []incident.Notice {
	var fresh []incident.Notice
	for _, r := range set.routes {
		for _, n := range r.plan(s, set) {
			if !slices.ContainsFunc(s.notices, func(o incident.Notice) bool { return o.ID == n.ID }) {
				fresh = append(fresh, n)
			}
		}
	}
	return fresh
}

// plan returns the notices of one route that are due by now, in order.
func (r route) plan(s situation, set planning) []incident.Notice {
	if r.audience == toCase {
		return append(r.reaction(s, set), r.planSince(s, set)...)
	}
	return r.planSince(s, set)
}

// reaction returns the warning, for the timeline, that a share of the reaction time has passed; the highest where several have.
func (r route) reaction(s situation, set planning) []incident.Notice {
	share := set.level.Passed(s.incident, set.reacted(s.cases), set.warnAt, s.now)
	if share == 0 {
		return nil
	}
	seq := int64(s.incident.Highest)*1000 + int64(share) // a higher priority has a clock of its own
	return []incident.Notice{{
		ID: r.id(s.incident.ID, incident.NoticeReaction, seq), Incident: s.incident.ID, Notifier: r.notifier,
		Kind: incident.NoticeReaction, Seq: int(seq), Due: s.now.UTC(),
	}}
}

// planSince returns what is due from the moment at which the audience is first told.
func (r route) planSince(s situation, set planning) []incident.Notice {
	since, ok := r.since(s, set)
	if !ok || !r.serves(s.incident.Class) {
		return nil
	}
	notice := func(kind incident.NoticeKind, seq int64, due time.Time, text string) incident.Notice {
		return incident.Notice{ID: r.id(s.incident.ID, kind, seq), Incident: s.incident.ID, Notifier: r.notifier, Kind: kind, Seq: int(seq), Due: due.UTC(), Text: text}
	}
	opened := notice(incident.NoticeOpened, 0, since, "")
	if k := slices.IndexFunc(s.notices, func(n incident.Notice) bool { return n.ID == opened.ID }); k >= 0 {
		opened = s.notices[k]
	} else if s.late {
		return nil
	}
	var list []incident.Notice
	if r.audience != toCase {
		list = append(list, opened)
		for _, e := range s.timeline {
			if !s.incident.Open() && !e.At.Before(s.incident.Closed) {
				break // the end says it all
			}
			if kind, ok := r.tells(e, set.lead(s.cases)); ok && e.At.After(opened.Due) {
				list = append(list, notice(kind, e.Seq, e.At, e.Text))
			}
		}
	}
	if k, due := r.status(s, set, opened.Due); k > 0 {
		list = append(list, notice(incident.NoticeStatus, k, due, ""))
	}
	if r.audience != toCase && !r.interrupts && !s.incident.Open() && !r.waitsForNumber(s) {
		due := s.incident.Closed
		if due.Before(opened.Due) {
			due = opened.Due
		}
		list = append(list, notice(incident.NoticeResolved, 0, due, ""))
	}
	return list
}

// serves reports whether the audience is told of incidents of the class. What is functional is never infrastructure's, and the
// agent's own trouble is no customer's business; a refused account is a message, and nobody is called for it.
func (r route) serves(c incident.Class) bool {
	switch r.audience {
	case toFunctional:
		return c == incident.Function || c == incident.Account
	case toOnCall:
		return c.OpensCase() || c == incident.Agent || c == incident.Account && !r.interrupts
	case toCentre:
		return c.OpensCase()
	default:
	}
	return c.OpensCase()
}

// since returns when the audience is first told; false while it is not to be told. A customer is told the case's number, so
// not before there is one; the others at once.
func (r route) since(s situation, set planning) (time.Time, bool) {
	at, ok := r.matches(s)
	if !ok {
		return at, false
	}
	if r.audience != toCustomer && r.audience != toCase {
		return at, true
	}
	c := set.lead(s.cases)
	// one sender, never two: where the desk mails the customer it does so from the case's notes
	if !exists(c) || r.audience == toCustomer && set.mailing[c.Desk] {
		return at, false
	}
	exists := s.incident.Opened
	for _, e := range s.timeline {
		if e.Kind == incident.EventCaseOpened && e.Actor == c.Desk {
			exists = e.At
			break
		}
	}
	return later(at, exists), true
}

// matches returns since when the incident is one of the route's priorities. What has no priority is not filtered by one, but
// the agent's own trouble and that of its accounts count like priority 2: a person who is called for priority 1 only is not called
// for them.
func (r route) matches(s situation) (time.Time, bool) {
	i := s.incident
	if len(r.priorities) == 0 || i.Class == incident.Function || r.audience == toFunctional {
		return i.Opened, true
	}
	if i.Class == incident.Agent || i.Class == incident.Account {
		return i.Opened, slices.Contains(r.priorities, incident.P2)
	}
	for _, e := range s.timeline {
		switch e.Kind {
		case incident.EventOpened, incident.EventRaised, incident.EventLowered:
			if slices.Contains(r.priorities, e.Priority) {
				return e.At, true
			}
		default:
		}
	}
	return i.Opened, slices.Contains(r.priorities, i.Priority) || slices.Contains(r.priorities, i.Highest)
}

// tells returns which kind of notice the event is to the audience. Holds and reactions count at the primary desk only.
func (r route) tells(e incident.Event, primary incident.Case) (incident.NoticeKind, bool) {
	if r.interrupts && e.Kind != incident.EventRaised && e.Kind != incident.EventReaction {
		return "", false
	}
	held := func(at func(incident.Hold) time.Time) bool {
		return r.audience == toCustomer && slices.ContainsFunc(primary.Holds, func(h incident.Hold) bool { return at(h).Equal(e.At) })
	}
	switch e.Kind {
	case incident.EventRaised:
		return incident.NoticeRaised, r.audience != toFunctional
	case incident.EventLowered:
		return incident.NoticeLowered, r.audience != toFunctional
	case incident.EventAcknowledged:
		return incident.NoticeAcknowledged, r.audience == toOnCall && primary.Acknowledged.Equal(e.At)
	case incident.EventReaction:
		return incident.NoticeReaction, r.audience == toOnCall || r.audience == toCentre
	case incident.EventMoved:
		return incident.NoticeMoved, r.audience == toOnCall || r.audience == toCustomer
	case incident.EventHeld:
		return incident.NoticeHeld, held(func(h incident.Hold) time.Time { return h.From })
	case incident.EventResumed:
		return incident.NoticeResumed, held(func(h incident.Hold) time.Time { return h.To })
	default:
	}
	return "", false
}

// status returns the newest status that is due: number k, k times the interval after the customer was told or, where that is
// later, break/fix commenced (contract: "From this point in time, a status e-mail will be sent every thirty minutes, until an
// Incident has been rectified"). Those that were missed before it are gone; their numbers show the gap.
func (r route) status(s situation, set planning, told time.Time) (k int64, due time.Time) {
	if (r.audience != toCustomer && r.audience != toCase) || !s.incident.Open() || !slices.Contains(set.statusFor, s.incident.Priority) {
		return 0, time.Time{}
	}
	from := later(told, s.incident.Commencement)
	k = int64(s.now.Sub(from) / set.statusEvery)
	if k <= 0 {
		return 0, time.Time{}
	}
	return k, from.Add(time.Duration(k) * set.statusEvery)
}

// waitsForNumber reports whether the notice that ends an absorbed incident waits, a while, for the number of the case that
// goes on.
func (r route) waitsForNumber(s situation) bool {
	return r.audience == toCustomer && s.incident.Resolution == incident.Absorbed && s.into == "" && soon(s.now, s.incident.Closed.Add(absorbWait), absorbWait)
}

// pick returns, of the due notices of one notifier, the next of each incident and audience in the order of their due times, and
// those that are pointless now: a status to which a newer one or the end has come.
func pick(due []incident.Notice, routes []route) (next, pointless []incident.Notice) {
	groups := map[string][]incident.Notice{}
	var order []string
	for _, n := range due {
		r, ok := audienceOf(n, routes)
		if !ok { // nobody is told this way any more
			pointless = append(pointless, n)
			continue
		}
		key := n.Incident + " " + string(r.audience)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], n)
	}
	for _, key := range order {
		list := groups[key]
		slices.SortStableFunc(list, inOrder)
		last := list[len(list)-1]
		keep := list[:0:0]
		for k, n := range list {
			newer := slices.ContainsFunc(list[k+1:], func(o incident.Notice) bool { return o.Kind == incident.NoticeStatus })
			if n.Kind == incident.NoticeStatus && (newer || last.Kind == incident.NoticeResolved) {
				pointless = append(pointless, n)
				continue
			}
			keep = append(keep, n)
		}
		next = append(next, keep[0])
	}
	slices.SortStableFunc(next, func(a, b incident.Notice) int { return a.Due.Compare(b.Due) })
	return next, pointless
}

// inOrder sorts the notices of one incident to one audience: opened first, resolved last, the others as they fell due.
func inOrder(a, b incident.Notice) int {
	rank := func(n incident.Notice) int {
		switch n.Kind {
		case incident.NoticeOpened:
			return 0
		case incident.NoticeResolved:
			return 2
		default:
		}
		return 1
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	if d := a.Due.Compare(b.Due); d != 0 {
		return d
	}
	return a.Seq - b.Seq
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// noticeName is a notice's kind in a sentence.
func noticeName(n incident.Notice) string {
	if n.Kind == incident.NoticeStatus {
		return fmt.Sprintf("status %d", n.Seq)
	}
	return string(n.Kind)
}
