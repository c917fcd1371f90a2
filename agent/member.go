package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
)

const (
	voteEvery   = time.Second     // how often the agent says that it lives, and hears the others
	voteTimeout = 3 * time.Second // of that
	enterFor    = 4 * time.Second // for what must be read before a role is entered: less than a lease lasts
	tendEvery   = 2 * time.Second // how often a snapshot is taken, and what others hand over is looked for
	tendTimeout = 10 * time.Second
	ordersEvery = 10 * time.Second
	recently    = time.Hour // of incidents that may be the same as one that was judged alone
	openTimeout = 15 * time.Second
	tryEvery    = 5 * time.Second // between two attempts to open the shared store
)

var errRole = errors.New("another agent leads, or may lead")

// member is the agent among those of its tenant that share a store: it votes, hears the others, and leads, follows or judges alone.
type member struct {
	a      *Agent
	log    *slog.Logger
	refuge *refuge
	poke   chan struct{}
	opened chan opening

	mu      sync.Mutex
	s       standing
	round   store.Round // newest answer
	known   []web.Vantage
	failing string              // why the shared store does not answer; "": it does
	open    []incident.Incident // of the snapshot: what a follower shows

	// Of the goroutine of run only.
	entered int           // the term whose role the agent has taken
	last    role          // of it
	shifts  shifts        // of the peers' clocks to this one's; under "" of this one's to the shared store's
	tried   time.Duration // monotonic time of the newest attempt to open the shared store; -1: none is under way

	pouring atomic.Bool
}

// opening is how an attempt to open the shared store ended.
type opening struct {
	store *store.Store
	err   error
}

func (a *Agent) newMember(ctx context.Context) (*member, error) {
	c := a.o.Config
	m := &member{a: a, log: a.log, poke: make(chan struct{}, 1), opened: make(chan opening, 1), entered: -1, tried: -1, shifts: shifts{}}
	var err error
	if m.refuge, err = newRefuge(ctx, c.StateDirs(), fileName(c.Tenant.ID+"-"+c.Vantage), a.log); err != nil {
		return nil, err
	}
	owes, err := m.refuge.owes(ctx)
	if err != nil {
		return nil, errors.Join(err, m.refuge.close())
	}
	m.s = standing{grace: c.Store.AloneAfter}
	m.s.begin(m.now(), owes)
	if m.refuge.spooled() {
		spool, err := m.refuge.spool(ctx)
		if err != nil {
			a.log.Warn("results of the time in which the database was away cannot be read; charts have a gap", "err", err)
		} else {
			a.store.spool.Store(spool)
		}
	}
	return m, nil
}

// fileName makes a name fit for a file.
func fileName(name string) string {
	safe := []byte(name)
	for i, b := range safe {
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '-' && b != '_' {
			safe[i] = '_'
		}
	}
	return string(safe)
}

func (m *member) now() instant { return instant{m.a.clock.mono(), m.a.clock.wall()} }

// run takes part until ctx ends.
func (m *member) run(ctx context.Context) {
	ticker := time.NewTicker(voteEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		m.vote(ctx)
		m.act(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-m.poke:
		}
	}
}

// end says that the agent stops: no role is taken any more.
func (m *member) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.end()
}

// lost is called when the store refused a write since another agent leads.
func (m *member) lost() {
	m.mu.Lock()
	m.s.lost(m.now())
	m.mu.Unlock()
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// vote says what this vantage believes, and hears the peers.
func (m *member) vote(ctx context.Context) {
	shared := m.a.store.shared.Load()
	if shared == nil {
		m.reach(ctx)
		return
	}
	vote, err := m.a.judge.vote()
	if err != nil {
		m.log.Error("this vantage cannot say what it believes; the others judge without it", "err", err)
	}
	sent := m.now()
	m.mu.Lock()
	m.s.pass(sent)
	wants := m.s.wants(sent)
	m.mu.Unlock()
	b := store.Beat{Vote: vote, Wants: wants, Now: m.a.clock.Now()}
	ctx, cancel := context.WithTimeout(ctx, voteTimeout)
	defer cancel()
	r, err := shared.Beat(ctx, b)
	if err != nil {
		m.missed(ctx, err)
		return
	}
	m.mu.Lock()
	now := m.now()
	m.s.heard(sent, now, r)
	m.round = r
	was := m.failing
	m.failing = ""
	if m.s.role == leader {
		m.a.prolong(m.s.until.mono - now.mono)
	}
	m.mu.Unlock()
	m.refuge.keepClock(m.shifts.of("", r.Offset, b.Now))
	if was != "" {
		m.log.Info("the database answers again")
	}
	if before := m.a.set.Load().setup.Vantage; r.Self != before { // another took its place while it was silent
		m.log.Warn("this agent has another name among the vantages", "name", r.Self, "before", before)
		if err := m.a.rebase(r.Self, nil); err != nil {
			m.log.Error("this agent cannot vote under its new name yet", "err", err)
		}
	}
	m.hear(r)
}

// missed notes that the shared store did not answer.
func (m *member) missed(ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // the agent stops
	}
	m.mu.Lock()
	m.s.missed(m.now())
	was := m.failing
	m.failing = err.Error()
	count, wait := m.s.failed, m.s.wait()
	grace := m.s.grace
	m.mu.Unlock()
	switch {
	case was != "" && count > 1:
	case grace == 0:
		m.log.Warn("the database does not answer: this agent goes on probing; no case is opened meanwhile, since store.alone_after is 0s", "err", err)
	default:
		m.log.Warn("the database does not answer: this agent goes on probing, and judges alone if that lasts", "after", wait, "err", err)
	}
}

// hear lets the engine hear the votes of the peers, on its own clock.
func (m *member) hear(r store.Round) {
	var votes []engine.Vote
	for _, p := range r.Peers {
		if len(p.Vote) == 0 {
			continue
		}
		v, err := engine.DecodeVote(p.Vote)
		if err != nil {
			m.log.Warn("what a vantage believes cannot be read: is it of another version?", "vantage", p.Voter, "err", err)
			continue
		}
		v.Vantage = p.Voter
		votes = append(votes, v.Moved(m.shifts.of(p.Voter, p.Offset-r.Offset, v.At)))
	}
	m.a.judge.hear(votes)
}

// reach tries to open the shared store, which did not answer when the agent started.
func (m *member) reach(ctx context.Context) {
	select {
	case o := <-m.opened:
		m.tried = m.a.clock.mono()
		if o.err == nil {
			if o.err = m.attach(ctx, o.store); o.err == nil {
				return
			}
			o.err = errors.Join(o.err, o.store.Close())
		}
		m.missed(ctx, o.err)
		return
	default:
	}
	m.mu.Lock()
	m.s.missed(m.now())
	m.mu.Unlock()
	if m.tried >= 0 && m.a.clock.mono()-m.tried < tryEvery {
		return
	}
	m.tried = 1<<63 - 1 // one at a time
	go func() {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		s, err := m.a.openShared(ctx)
		m.opened <- opening{s, err}
	}()
}

// attach takes the shared store, which answers for the first time, into use.
func (m *member) attach(ctx context.Context, s *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, tendTimeout)
	defer cancel()
	self, err := m.greet(ctx, s)
	if err != nil {
		return err
	}
	_, baselines, err := s.VantageState(ctx)
	if err != nil {
		return err
	}
	if err := m.a.rebase(self, baselines); err != nil {
		return err
	}
	m.a.store.shared.Store(s)
	m.a.judge.relocate(place{state: s, results: s})
	return m.a.orders.load(ctx)
}

// greet learns under which name the agent votes.
func (m *member) greet(ctx context.Context, s *store.Store) (self string, err error) {
	sent := m.now()
	m.mu.Lock()
	wants := m.s.wants(sent)
	m.mu.Unlock()
	b := store.Beat{Now: m.a.clock.Now(), Wants: wants}
	r, err := s.Beat(ctx, b)
	if err != nil {
		return "", err
	}
	m.refuge.keepClock(m.shifts.of("", r.Offset, b.Now))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.heard(sent, m.now(), r)
	m.round = r
	return r.Self, nil
}

// act takes the role that the agent has now, and does what is to be done in it.
func (m *member) act(ctx context.Context) {
	m.mu.Lock()
	m.s.pass(m.now())
	role, term, epoch, answers := m.s.role, m.s.term, m.s.epoch, m.s.failed == 0
	owes, ending := m.s.owes && !m.s.ending, m.s.ending
	m.mu.Unlock()
	if term == m.entered && role != follower && m.a.desksEnded() { // its time was over for a moment
		m.entered = -1
	}
	if term != m.entered {
		m.leave()
		if ending && role != follower {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, enterFor)
		defer cancel()
		var err error
		switch role {
		case leader:
			err = m.lead(ctx, term, epoch)
		case alone:
			err = m.alone(ctx, term)
		default:
			m.followed()
		}
		if err != nil {
			if ctx.Err() == nil || !errors.Is(ctx.Err(), context.Canceled) {
				m.log.Error("this agent cannot take its role; it is tried again", "role", role.String(), "err", err)
			}
			return
		}
		m.entered, m.last = term, role
	}
	if role == follower && owes && answers {
		m.handBack(ctx)
	}
}

// leave ends the role that the agent had: whatever it was about to tell a desk or a person is told by whoever judges next.
func (m *member) leave() {
	m.a.endDesks()
	at := place{state: away{}, results: away{}}
	if s := m.a.store.shared.Load(); s != nil {
		at = place{state: s, results: s}
	}
	own := m.a.store.own.Load()
	f, err := m.a.judge.cede(at)
	if err == nil && own != nil { // what it judged alone is handed over to the last step
		ctx, cancel := context.WithTimeout(context.Background(), voteTimeout)
		defer cancel()
		err = own.Commit(ctx, f.Commit)
	}
	if err != nil && own != nil {
		m.log.Warn("the last steps of the time alone could not be kept", "err", err)
	}
	m.a.store.own.Store(nil)
}

// followed says that the agent follows.
func (m *member) followed() {
	if m.entered < 0 {
		return
	}
	switch m.last {
	case leader:
		m.log.Warn("this agent leads no more: it probes and votes, and whoever leads judges and tells desks and people")
	case alone:
		m.log.Info("this agent judges alone no more: it hands over what it did")
	default:
	}
}

// lead begins to judge for all.
func (m *member) lead(ctx context.Context, term int, epoch int64) error {
	shared := m.a.store.shared.Load()
	shared.Lead(epoch)
	if err := m.takeHandovers(ctx, shared, false); err != nil {
		return err
	}
	state, err := shared.EngineState(ctx)
	if err != nil {
		return err
	}
	open, err := shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err != nil {
		return err
	}
	if err := m.a.orders.load(ctx); err != nil {
		return err
	}
	if err := m.a.judge.lead(place{state: shared, results: shared, judges: true, several: true}, state, open); err != nil {
		return err
	}
	m.a.judge.maintain(m.a.orders.spans)
	m.a.startDesks(m.a.set.Load(), shared, func() error { return m.may(term) }, max(m.left(), time.Nanosecond))
	m.log.Info("this agent leads: it judges by what all vantages see, and tells desks and people", "epoch", epoch, "open_incidents", len(open))
	return nil
}

// alone begins to judge by itself.
func (m *member) alone(ctx context.Context, term int) error {
	if err := m.refuge.adopt(ctx); err != nil {
		return err
	}
	own := m.refuge.own
	spool := m.a.store.spool.Load()
	if spool == nil {
		var err error
		if spool, err = m.refuge.spool(ctx); err != nil {
			return err
		}
		m.a.store.spool.Store(spool)
	}
	state, err := own.EngineState(ctx)
	if err != nil {
		return err
	}
	open, err := own.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err != nil {
		return err
	}
	m.a.judge.hear(nil)
	if err := m.a.judge.lead(place{state: own, results: spool, judges: true}, state, open); err != nil {
		return err
	}
	m.a.store.own.Store(own)
	m.a.startDesks(m.a.set.Load(), own, func() error { return m.may(term) }, 0)
	m.log.Error("the database is away: this agent judges alone and tells desks and people by itself, until the database is back", "kept_in", m.refuge.where(), "open_incidents", len(open))
	return nil
}

// left returns how long the lead is sure from now.
func (m *member) left() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.until.mono - m.now().mono
}

// may says why the reconciler of a term may tell nobody anything now.
func (m *member) may(term int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.s.term != term || m.s.role == leader && !m.s.sure(m.now()) {
		return errRole
	}
	if m.s.role == leader {
		return m.a.store.shared.Load().Leading()
	}
	return nil
}

// handBack puts what was done alone before the leader.
func (m *member) handBack(ctx context.Context) {
	if !m.a.desksGone() {
		return // a call of its reconciler has not ended: what comes of it belongs to what is handed over
	}
	shared := m.a.store.shared.Load()
	ctx, cancel := context.WithTimeout(ctx, tendTimeout)
	defer cancel()
	list, err := m.refuge.handed(ctx)
	for i := range list {
		list[i].Offset = m.refuge.clock()
	}
	for part := range slices.Chunk(list, mostHanded) {
		if err == nil {
			err = shared.Handover(ctx, m.self(), part)
		}
	}
	if err == nil {
		err = m.refuge.clear(ctx)
	}
	if err != nil {
		m.log.Error("what this agent did alone could not be handed over; it is tried again", "incidents", len(list), "err", err)
		return
	}
	m.mu.Lock()
	m.s.handed()
	m.mu.Unlock()
	m.log.Info("what this agent did alone is handed over to whoever leads", "incidents", len(list))
}

func (m *member) self() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.self
}

// takeHandovers takes what others did alone; judged says that this agent's engine judges already.
func (m *member) takeHandovers(ctx context.Context, shared *store.Store, judged bool) error {
	waiting, err := shared.Handovers(ctx)
	if err != nil || len(waiting) == 0 {
		return err
	}
	for _, h := range waiting {
		t, err := m.weigh(ctx, shared, h, judged)
		if err != nil {
			return err
		}
		err = shared.Take(ctx, h, t)
		if errors.Is(err, incident.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		m.log.Info("an incident that an agent judged alone is taken over", "vantage", h.Voter, "incident", h.Incident.ID, "title", h.Incident.Title, "open", h.Incident.Open())
	}
	if !judged {
		return nil
	}
	open, err := shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err == nil {
		err = m.a.judge.takeUp(open)
	}
	m.a.kick()
	return err
}

// weigh decides what becomes of a handover.
func (m *member) weigh(ctx context.Context, shared *store.Store, h store.Handover, judged bool) (store.Taken, error) {
	with := func(i incident.Incident) (present, error) {
		cases, err := shared.Cases(ctx, i.ID)
		return present{i, cases}, err
	}
	var same *present
	row, err := shared.Incident(ctx, h.Incident.ID)
	switch {
	case err == nil:
		p, err := with(row)
		if err != nil {
			return store.Taken{}, err
		}
		same = &p
	case !errors.Is(err, incident.ErrNotFound):
		return store.Taken{}, err
	}
	rows, err := shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err != nil {
		return store.Taken{}, err
	}
	ahead := h.Offset - m.refuge.clock()
	if !h.Incident.Open() {
		recent, err := shared.Incidents(ctx, store.IncidentFilter{Closed: true, Class: h.Incident.Class, From: h.Incident.Opened.Add(ahead - recently)})
		if err != nil {
			return store.Taken{}, err
		}
		rows = append(rows, recent...)
	}
	var others []present
	for _, i := range rows {
		if !sameFault(i, h.Incident) || i.Resolution == incident.Absorbed {
			continue
		}
		p, err := with(i)
		if err != nil {
			return store.Taken{}, err
		}
		others = append(others, p)
	}
	return taken(h.Handed, same, others, judged, ahead, m.a.clock.Now()), nil
}

// tend does, beside the beat, what may take its time: it keeps a snapshot of the shared store, takes what others hand over, reads what
// people ordered, and brings back the results of a time alone.
func (m *member) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	orders, loose := m.a.clock.mono(), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m.mu.Lock()
		role, answers, owes := m.s.role, m.s.failed == 0, m.s.owes
		m.mu.Unlock()
		shared := m.a.store.shared.Load()
		if shared == nil || !answers || role == alone {
			loose = false
			continue
		}
		err := m.look(ctx, shared, owes, &loose)
		if err == nil && role == leader {
			err = m.takeHandovers(ctx, shared, true)
		}
		if now := m.a.clock.mono(); err == nil && role == follower && now-orders >= ordersEvery {
			orders = now
			err = m.a.orders.load(ctx)
			m.a.judge.maintain(m.a.orders.spans)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrNotLeading) {
			m.log.Debug("the shared store could not be looked at", "err", err)
		}
		m.pour(ctx, shared)
	}
}

// look reads what the leader committed last, and who is there.
func (m *member) look(ctx context.Context, shared *store.Store, owes bool, loose *bool) error {
	ctx, cancel := context.WithTimeout(ctx, tendTimeout)
	defer cancel()
	ever, idle := m.a.writer.idle()
	snap, err := shared.Snapshot(ctx)
	if err != nil {
		return err
	}
	if !owes {
		m.refuge.keep(snap)
	}
	var open []incident.Incident
	for _, i := range snap.Incidents {
		if i.Open() {
			open = append(open, i)
		}
	}
	voters, err := shared.Voters(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.open = open
	m.known = vantages(voters, m.round)
	m.mu.Unlock()
	if later, still := m.a.writer.idle(); !idle || !still || later != ever || !m.a.judge.leads() {
		*loose = false
		return nil
	}
	// Every step is durable, so that the engine knows every open incident; but for one that a write of an earlier term stored late.
	known := m.a.judge.fresh().Incidents
	unknown := slices.ContainsFunc(open, func(i incident.Incident) bool {
		return !slices.ContainsFunc(known, func(o incident.Incident) bool { return o.ID == i.ID })
	})
	if later, _ := m.a.writer.idle(); unknown && *loose && later == ever {
		m.log.Warn("an open incident that this leader did not know is taken up")
		return m.a.judge.takeUp(open)
	}
	*loose = unknown
	return nil
}

// pour brings the results of a time alone to the shared store, in the background.
func (m *member) pour(ctx context.Context, shared *store.Store) {
	spool := m.a.store.spool.Load()
	if spool == nil || !m.pouring.CompareAndSwap(false, true) {
		return
	}
	defer m.pouring.Store(false)
	n, err := m.refuge.pour(ctx, spool, shared)
	if err != nil {
		if ctx.Err() == nil {
			m.log.Warn("results of the time alone are not in the database yet; it is tried again", "results", n, "err", err)
		}
		return
	}
	m.mu.Lock()
	still := m.s.role == alone || m.s.failed > 0
	if !still {
		m.a.store.spool.Store(nil)
	}
	m.mu.Unlock()
	if still {
		return
	}
	if err := m.refuge.dropSpool(spool); err != nil {
		m.log.Warn("the file of results of the time alone could not be removed", "err", err)
	}
	m.log.Info("results of the time alone are in the database", "results", n)
}

// vantages says the same in the page's words.
func vantages(voters []store.Voter, r store.Round) []web.Vantage {
	var list []web.Vantage
	for _, v := range voters {
		list = append(list, web.Vantage{Name: v.Name, Holder: v.Holder, Self: v.Name == r.Self, Alive: v.Alive, Leads: v.Leading, Beat: v.Beat})
	}
	return list
}

// resign lets another agent take over at once, and closes everything.
func (m *member) resign() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopDesks)
	defer cancel()
	var errs []error
	if s := m.a.store.shared.Load(); s != nil {
		if err := s.Resign(ctx); err != nil {
			m.log.Warn("the other agents learn only by its silence that this one stopped", "err", err)
		}
		errs = append(errs, s.Close())
	}
	if spool := m.a.store.spool.Load(); spool != nil {
		errs = append(errs, spool.Close())
	}
	if m.tried == 1<<63-1 {
		if o := <-m.opened; o.store != nil {
			errs = append(errs, o.store.Close())
		}
	}
	return errors.Join(append(errs, m.refuge.close())...)
}

// where says where a time alone is kept.
func (r *refuge) where() string {
	if r.base == "" {
		return "memory"
	}
	return r.base + ".db"
}

// refused says that a person's order is for another agent, or nil where this one takes it.
func (m *member) refused() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.s.role == leader:
		return nil
	case m.s.role == alone, m.failing != "", m.round.Self == "":
		return errors.New("the database is away: what people order cannot be kept now; work on cases at their desk, and try again when it is back")
	case m.round.Leader == "":
		return errors.New("no agent leads at this moment: try again in a few seconds")
	}
	holder := ""
	for _, v := range m.known {
		if v.Name == m.round.Leader && v.Holder != "" {
			holder = " (" + v.Holder + ")"
		}
	}
	return fmt.Errorf("this agent follows: give the order to the one that leads, %s%s", m.round.Leader, holder)
}

// incidents returns what is open by the newest snapshot.
func (m *member) incidents() []incident.Incident {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.open)
}

// away reports whether the shared store does not answer.
func (m *member) away() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.failed > 0 || m.s.role == alone
}

// health adds the role, and who else there is.
func (m *member) health(h *web.Health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	h.Role, h.Voter, h.Leader, h.Epoch, h.StoreAway = m.s.role.String(), m.s.self, m.round.Leader, m.s.epoch, m.failing
	if m.s.role == alone {
		h.Leader, h.AloneSince = "", m.a.clock.Now().Add(-max(0, now.mono-m.s.since.mono))
	}
	h.Vantages = slices.Clone(m.known)
}

// living returns how many vantages there are, this one included.
func (m *member) living() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.s.failed > 0 || m.round.Self == "" {
		return 1
	}
	return 1 + len(m.round.Peers)
}

// createFor is how long an agent needs from its first look at an incident until a desk has answered.
const createFor = 20 * time.Second

// follow sets how much later each agent judges alone than the one before it: when it searches a desk, that shows what the one before
// opened.
func (m *member) follow(s *set) {
	var lag time.Duration
	for _, d := range s.desks {
		lag = max(lag, d.Desk.Capabilities().Lag)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.stagger = lag + createFor
}
