// Package reconcile makes true what the store says should be true: one case at every desk for every incident that opens one,
// and every notice that is due. It is level-triggered: it looks at the difference, takes the next step, makes that step durable
// and looks again, until the other side, read back, agrees. Nothing is fired and forgotten, and nothing depends on a message
// that could be lost with the process: killed at any instruction and started again, it goes on from what is durable.
//
// Who writes what: the planner adds the rows of cases and notices; once they are there the loop of a desk owns the cases of that
// desk, and the loop of a notifier the notices of that notifier. So no two goroutines ever write the same row.
package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// Store is the part of the store that the reconciler uses; *store.Store implements it. A write is durable when its method
// returns nil.
type Store interface {
	Incidents(ctx context.Context, f store.IncidentFilter) ([]incident.Incident, error)
	Incident(ctx context.Context, id string) (incident.Incident, error)
	Timeline(ctx context.Context, id string, after int64) ([]incident.Event, error)
	Cases(ctx context.Context, id string) ([]incident.Case, error)
	SaveCase(ctx context.Context, c incident.Case, events ...incident.Event) error
	Notices(ctx context.Context, id string) ([]incident.Notice, error)
	AddNotices(ctx context.Context, n ...incident.Notice) error
	SaveNotice(ctx context.Context, n incident.Notice, events ...incident.Event) error
	Evidence(ctx context.Context, id string) (incident.Evidence, error)
	EvidenceFile(ctx context.Context, id, name string) (incident.EvidenceFile, error)
}

// Desk is a configured desk with its name.
type Desk struct {
	Name  string
	Desk  desk.Desk
	Rules Rules

	Templates Templates         // of its cases
	Fields    map[string]string // templates of fields of the desk's own, by their names; used on create
}

// EarlyRule is what is done when people resolve the case of a fault that is still measured. The case is told so in any case.
type EarlyRule string

// The rules. The zero value is EarlyReopen.
const (
	EarlyReopen  EarlyRule = "reopen"   // open it again; at a desk that cannot, EarlyNewCase
	EarlyNewCase EarlyRule = "new_case" // open a case that follows it
	EarlyComment EarlyRule = "comment"  // no more than that
)

// Rules are what an operator decides about the cases at one desk. The zero value opens them always, opens them again at once, and
// resolves them at once.
type Rules struct {
	FallbackAfter time.Duration // cases are opened here only when the primary desk could not be reached for so long; 0: always
	Early         EarlyRule
	EarlyAfter    time.Duration // how long people may have been right
	ResolveAfter  time.Duration // how long the fault must have gone
	Leave         bool          // the case is told that the fault has gone; resolving is left to people
}

// The roles that a recipient may have.
const (
	RoleCustomer   = "customer"          // gets the contract's mails
	RoleFunctional = "functional"        // gets what is not infrastructure
	RoleOnCall     = "on_call"           // gets infrastructure and the agent's own trouble, at once
	RoleCentre     = "operations_centre" // gets what nobody there has taken, by a notifier that interrupts
	RoleAddresses  = "addresses"         // addresses of the notifier's own kind; told like on_call
)

// Recipient is somebody whom a notifier tells, and what for.
type Recipient struct {
	Role             string
	incident.Contact // empty for RoleAddresses: the notifier knows its own
}

// Notifier is a configured notifier with its name.
type Notifier struct {
	Name       string
	Notifier   notify.Notifier
	To         []Recipient         // empty: the notifier's own recipients, told like on_call
	Priorities []incident.Priority // only incidents that are, or were, of one of these; empty: all
	Quiet      *sla.Calendar       // hours in which nobody is told; what is due then is told after them. nil: none
	Loud       []incident.Priority // incidents of these are told in quiet hours too
}

// Silent reports whether nobody is told of an incident of that priority at that instant, since it lies in the quiet hours.
func (n Notifier) Silent(p incident.Priority, at time.Time) bool {
	return n.Quiet != nil && n.Quiet.Contains(at) && !slices.Contains(n.Loud, p)
}

// pace returns how the notifier's messages are attempted.
func (n Notifier) pace() notify.Pace {
	if p, ok := n.Notifier.(notify.Paced); ok {
		return p.Pace()
	}
	return notify.Pace{}
}

// Tenant is the customer, as it stands in cases and mails.
type Tenant struct {
	ID, Name   string
	Zone       *time.Location // nil: UTC
	Language   string         // of the mails to customer and functional contact: "en" or "da"; "" is "en"
	Customer   incident.Contact
	Functional incident.Contact
	OnCall     incident.Contact
}

// Centre is the Operations Centre.
type Centre struct{ Name, Phone string }

// The results of an Observation.
const (
	ResultOK      = "ok"
	ResultFailed  = "failed"  // it certainly did not happen
	ResultUnknown = "unknown" // it may have happened
)

// Observation is one call to a desk or a notifier, for the metrics.
type Observation struct {
	Kind     string // "desk" or "notifier"
	Name     string // as configured
	Action   string // find, open, get, update, resolve, withdraw, transitions, attach; send
	Result   string // ResultOK, ResultFailed, ResultUnknown
	Duration time.Duration
}

// Options are everything that a Reconciler needs. Store is required.
type Options struct {
	Store     Store
	Desks     []Desk // the first is primary; none: alert-only, no case and no customer mail
	Notifiers []Notifier

	Tenant      Tenant
	Centre      Centre
	StatusEvery time.Duration       // 0: 30 min, the contract's
	StatusFor   []incident.Priority // which get status mails; empty: none
	Level       sla.Level           // the reaction clock
	WarnAt      []int               // shares of the reaction time, in percent, at which on-call is warned; empty: never
	HoldEnds    sla.HoldRule
	CallTimeout time.Duration // of one call to a desk, or to a notifier that asks for no other; 0: 10 s
	ExternalURL string        // of the agent's page; "": not mentioned

	// Silenced returns the order of a person by which nobody is told of an incident at that instant, the customer only where it says
	// so; nil: nothing is ever silenced.
	Silenced func(i incident.Incident, customer bool, at time.Time) (incident.Order, bool)
	Version  string
	Vantage  string

	// May says why nothing may leave the process now, or nil. It is asked directly before every call to a desk or a notifier; what
	// it forbids is neither tried nor counted as a failure. nil: everything may.
	May func() error
	// Peers says that there are other agents of the tenant: of what one of them did before, the time is not known by this one's
	// clock, and each of them may have opened a case for the same fault.
	Peers bool
	// Alone says that this one judges alone, though Peers may be at work, unheard: it looks for their case twice before it opens one.
	Alone bool
	// Offset returns what is to be added to Now for the clock of the store that the agents share, so that they arrive at the same keys though their own
	// clocks differ. nil: nothing.
	Offset func() time.Duration

	View    func() engine.View // what is measured now; nil: nothing is known
	Now     func() time.Time   // nil: time.Now
	Jitter  func() float64     // 0 <= j < 1, for back-off; nil: random
	Log     *slog.Logger       // nil: silent
	Observe func(Observation)  // nil: nobody listens; called from several goroutines
}

// Times that bound the work.
const (
	tick        = time.Second            // how often the difference is looked at without a Kick, while an incident is unsettled
	idleTick    = 10 * time.Second       // the same while none is: a Kick comes with every new one
	callTimeout = 10 * time.Second       // of one call to a desk or notifier, unless configured
	pollEvery   = 15 * time.Second       // how often people's work at a desk is read back
	longestRest = 500 * time.Millisecond // between two rounds
	pokeEvery   = 2 * time.Second        // how often a desk is read at its own asking
	waitEvery   = 5 * time.Second        // how often a case that may exist is searched while its desk's lag runs
	absorbWait  = time.Minute            // how long an absorbed incident waits for the case number of the one that absorbed it
	sweepEvery  = time.Minute            // how often incidents that came and went unseen are looked for
	sweepBack   = 48 * time.Hour         // how far back
	allRows     = 10_000
)

// Reconciler drives desks and notifiers. Its methods are safe for concurrent use.
type Reconciler struct {
	o     Options
	text  *writer
	set   planning
	desks []*deskLoop
	wakes []chan struct{} // one a loop, each with room for one

	rows    sync.Mutex // held while rows of cases are added
	mu      sync.Mutex
	failing map[string]map[string]string // by "desk NAME" or "notifier NAME", then by row: the error
	load    backlog
	missed  []incident.Incident // closed before the reconciler ever saw them
	storeUp bool
	idle    atomic.Bool // the newest look at the store found nothing to do
}

// New returns a Reconciler; Run starts it.
func New(o Options) *Reconciler {
	if o.CallTimeout <= 0 {
		o.CallTimeout = callTimeout
	}
	if o.StatusEvery <= 0 {
		o.StatusEvery = 30 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
	if o.Silenced == nil {
		o.Silenced = func(incident.Incident, bool, time.Time) (incident.Order, bool) { return incident.Order{}, false }
	}
	if o.May == nil {
		o.May = func() error { return nil }
	}
	if o.Offset == nil {
		o.Offset = func() time.Duration { return 0 }
	}
	if o.View == nil {
		o.View = func() engine.View { return engine.View{} }
	}
	if o.Tenant.Zone == nil {
		o.Tenant.Zone = time.UTC
	}
	if o.Tenant.Name == "" {
		o.Tenant.Name = o.Tenant.ID
	}
	r := &Reconciler{o: o, text: newWriter(o), failing: map[string]map[string]string{}, storeUp: true}
	for _, d := range o.Desks {
		r.desks = append(r.desks, newDeskLoop(r, d))
	}
	r.set = r.planning()
	r.wakes = make([]chan struct{}, 1+len(o.Desks)+len(o.Notifiers))
	for i := range r.wakes {
		r.wakes[i] = make(chan struct{}, 1)
	}
	return r
}

// Run works until ctx is done and every goroutine of it has returned. It is called once.
func (r *Reconciler) Run(ctx context.Context) {
	var all sync.WaitGroup
	p := &planner{r: r}
	all.Go(func() { r.loop(ctx, r.wakes[0], p.round) })
	for n, d := range r.desks {
		all.Go(func() {
			r.loop(ctx, r.wakes[1+n], d.round)
			d.flights.Wait()
		})
	}
	for n, s := range r.o.Notifiers {
		l := &noticeLoop{r: r, Notifier: s, routes: routesOf(s)}
		all.Go(func() { r.loop(ctx, r.wakes[1+len(r.desks)+n], l.round) })
	}
	all.Wait()
}

// loop runs a round at once, at every wake and at least every tick; less often while there is nothing to do. After a round it rests
// for as long as the round took, so that what wakes it meanwhile is done in one go: with a hundred incidents at once every step of
// every case wakes every loop.
func (r *Reconciler) loop(ctx context.Context, wake <-chan struct{}, round func(context.Context)) {
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		round(ctx)
		if rest := min(time.Since(began), longestRest); rest > 0 {
			timer.Reset(rest)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		if r.idle.Load() {
			timer.Reset(idleTick)
		} else {
			timer.Reset(tick)
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
	}
}

// Kick says that something changed. It is cheap and never blocks.
func (r *Reconciler) Kick() {
	for _, c := range r.wakes {
		wake(c)
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fails records, or with an empty text clears, the error of one row of a desk or notifier.
func (r *Reconciler) fails(who, row, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text == "" {
		delete(r.failing[who], row)
		return
	}
	if r.failing[who] == nil {
		r.failing[who] = map[string]string{}
	}
	r.failing[who][row] = text
}

// storeFailed logs that the store does not answer, once until it does again. Nothing leaves the process meanwhile: what is not
// durable is not sent.
func (r *Reconciler) storeFailed(ctx context.Context, err error) {
	if err != nil && (ctx.Err() != nil || errors.Is(err, store.ErrNotLeading)) {
		return // the agent's time to act is over
	}
	r.mu.Lock()
	was := r.storeUp
	r.storeUp = err == nil
	r.mu.Unlock()
	if err != nil && was {
		r.o.Log.Error("the store does not answer: cases and notices wait for it", "err", err)
	}
}

// work returns the incidents that may need something, the most urgent first.
func (r *Reconciler) work(ctx context.Context) ([]incident.Incident, error) {
	list, err := r.o.Store.Incidents(ctx, store.IncidentFilter{Unsettled: true, Limit: allRows})
	r.storeFailed(ctx, err)
	if err != nil {
		r.idle.Store(false)
		return nil, err
	}
	r.mu.Lock()
	for _, i := range r.missed {
		if !slices.ContainsFunc(list, func(j incident.Incident) bool { return j.ID == i.ID }) {
			list = append(list, i)
		}
	}
	r.mu.Unlock()
	r.idle.Store(len(list) == 0)
	slices.SortStableFunc(list, func(a, b incident.Incident) int {
		switch {
		case a.Priority.Above(b.Priority):
			return -1
		case b.Priority.Above(a.Priority):
			return 1
		}
		return a.Opened.Compare(b.Opened)
	})
	return list, nil
}

// primary returns the name of the primary desk, "" when there is none.
func (r *Reconciler) primary() string {
	if len(r.o.Desks) == 0 {
		return ""
	}
	return r.o.Desks[0].Name
}

// Changed says that something changed at the desk of that name, as its system told: its cases are read at once. It reports
// whether there is such a desk. It is cheap and never blocks.
func (r *Reconciler) Changed(name string) bool {
	for n, d := range r.desks {
		if d.Name == name {
			d.poked.Store(true)
			wake(r.wakes[1+n])
			return true
		}
	}
	return false
}

// caseNumber returns the number of an incident's case at a desk; "" while there is none.
func (r *Reconciler) caseNumber(ctx context.Context, id, desk string) (string, error) {
	if id == "" || desk == "" {
		return "", nil
	}
	cases, err := r.o.Store.Cases(ctx, id)
	return caseAt(cases, desk).Number, err
}

// leadNumber returns the number of the case that people go by; "" while there is none.
func (r *Reconciler) leadNumber(ctx context.Context, id string) (string, error) {
	if id == "" || r.set.primary == "" {
		return "", nil
	}
	cases, err := r.o.Store.Cases(ctx, id)
	return r.set.lead(cases).Number, err
}

// caseAt returns the case of one desk among those of an incident; the zero case when there is none.
func caseAt(cases []incident.Case, desk string) incident.Case {
	for _, c := range cases {
		if c.Desk == desk {
			return c
		}
	}
	return incident.Case{}
}
