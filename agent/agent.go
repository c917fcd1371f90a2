// Package agent is the running thing: it starts every probe when it is due, hands results to the judgement, makes its steps
// durable, and keeps desks and people told through the reconciler.
//
// The straight line is schedule -> judge -> writer -> store -> reconciler; each part has its own goroutine and none waits for
// one to its right. The page, the metrics and the heartbeat observe.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/agent/evidence"
	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Options say what to run. Config is required.
type Options struct {
	Config         *config.Config
	ConfigFile     string // read again at a reload; "": there is none, and a reload is refused
	AlertOnly      bool   // build no desk: no case can be opened
	Version        string
	Log            *slog.Logger     // nil: nothing is logged
	ListenOverride string           // instead of web.listen; "": web.listen
	OnReady        func(url string) // called once, when the page is served; nil: nobody
	Supervisor     Supervisor       // the service manager, told when the agent is ready, reloads, lives and stops

	NoPage bool                       // serve no page: no address is taken, and Handler is the only way to the API
	Adapt  func(*config.Config) error // changes a configuration that was read again before it is put in force; nil: it stays as it is
	Moves  *Moves                     // the machine sleeps and changes networks; nil: it is a server
}

// Times of a clean stop.
const (
	stopRuns   = 2 * time.Second // for runs of probes that were cancelled
	stopWrites = 5 * time.Second // for writes to a store that answers slowly
	stopDesks  = 5 * time.Second // for cases and notices that are on their way
)

// Agent watches one tenant. Its methods are safe for concurrent use; Run is called once.
type Agent struct {
	o         Options
	log       *slog.Logger
	clock     *clock
	lag       *lag
	metrics   *metrics.Metrics
	store     *books
	member    *member // nil: the store is this agent's own, and it always leads
	latches   *config.Latches
	writer    *writer
	judge     *judge
	seeds     *seeder
	evidence  *evidence.Gatherer
	schedule  *schedule
	heartbeat *heartbeat
	orders    *orders
	server    *web.Server
	started   time.Time
	ready     atomic.Bool
	stopped   atomic.Bool

	reloads sync.Mutex // one reload at a time
	set     atomic.Pointer[set]
	desks   atomic.Pointer[desking] // nil: this agent has not judged yet

	mu          sync.Mutex
	configRead  time.Time
	configError string // why the newest configuration is not in force
}

// desking is a reconciler that runs, or ran.
type desking struct {
	*reconcile.Reconciler
	store  reconcile.Store
	may    func() error
	ctx    context.Context
	cancel context.CancelFunc
	end    *time.Timer // cancels when the agent's lead is over; nil: it has no end
	done   chan struct{}
}

// Run makes an agent and runs it until ctx ends; then it stops cleanly and returns nil. Any error is one of the start.
func Run(ctx context.Context, o Options) error {
	a, err := New(ctx, o)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// New opens the store, builds everything and takes the page's address; nothing runs yet. An Agent that is not Run must be
// Closed.
func New(ctx context.Context, o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{o: o, log: o.Log, clock: newClock()}
	a.started = a.clock.Now()
	a.configRead = a.started
	a.store = &books{}
	var err error
	if a.latches, err = o.Config.Latches(a.tellLatches); err != nil {
		return nil, err
	}
	if err = a.openStores(ctx); err == nil {
		err = a.assemble(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, a.latches.Close(), a.closeStores())
	}
	return a, nil
}

// openStores opens the store, and where it is shared with other agents, what there is for the time in which it does not answer. Such an
// agent starts without it, too.
func (a *Agent) openStores(ctx context.Context) error {
	shared, err := a.openShared(ctx)
	if err == nil {
		a.store.shared.Store(shared)
	}
	if !a.o.Config.Shares() || err != nil && !errors.Is(err, store.ErrAway) {
		return err
	}
	if err != nil {
		a.log.Error("the database does not answer: this agent starts without it, probes, and judges alone if that lasts", "after", a.o.Config.Store.AloneAfter, "err", err)
	}
	if a.member, err = a.newMember(ctx); err != nil || shared == nil {
		return err
	}
	_, err = a.member.greet(ctx, shared)
	return err
}

func (a *Agent) openShared(ctx context.Context) (*store.Store, error) {
	c := a.o.Config
	return store.Open(ctx, c.StoreURL(), store.Options{RawFor: c.Store.ResultsFor, Vantage: c.Vantage})
}

// closeStores closes them; whoever shares one with this agent takes over at once.
func (a *Agent) closeStores() error {
	if a.member != nil {
		return a.member.resign()
	}
	if s := a.store.shared.Load(); s != nil {
		return s.Close()
	}
	return nil
}

// assemble builds the parts, from right to left.
func (a *Agent) assemble(ctx context.Context) error {
	c := a.o.Config
	a.orders = &orders{clock: a.clock, store: a.store}
	if err := a.orders.load(ctx); err != nil && !errors.Is(err, store.ErrAway) {
		return err
	}
	a.metrics = metrics.New(a.o.Version, a.started, a.snapshot)
	a.lag = newLag(a.clock, a.log, a.jumped)
	a.evidence = evidence.New(evidence.Options{
		Source: seen{a}, Store: a.store, Settings: a.gathers, Now: a.clock.Now, Log: a.log, Kept: a.kick,
	})
	a.writer = newWriter(a.clock, a.firstPlace(), a.log, a.metrics, func() { a.kick(); a.evidence.Kick() })
	if a.member != nil {
		a.writer.refused = a.member.lost
	}
	a.judge = newJudge(a.clock, a.writer, func(list []engine.Recheck) { a.schedule.recheck(list) })
	a.writer.freeze = a.judge.freeze
	if a.o.Moves != nil {
		a.judge.moves = newMoves(*a.o.Moves, len(c.Witnesses), c.Tenant.Zone)
	}
	a.schedule = newSchedule(a.clock, a.lag, a.log, a.metrics, a.judge.deliver)
	a.heartbeat = newHeartbeat(a.clock, a.log, a.silent)
	s, err := a.build(c, nil)
	if err != nil {
		return err
	}
	a.install(s)
	if err := a.judgeAnew(ctx, s); err != nil {
		return err
	}
	var seeded map[string]int
	if shared := a.store.shared.Load(); shared != nil {
		if seeded, err = shared.Seeds(ctx); err != nil {
			return err
		}
	}
	a.seeds = newSeeder(a.clock, a.judge, a.log, seeded)
	if a.o.NoPage {
		return nil
	}
	listen := c.Web.Listen
	if a.o.ListenOverride != "" {
		listen = a.o.ListenOverride
	}
	a.server, err = web.Bind(listen, c.Web.ConfigFile)
	return err
}

// firstPlace is where the writer writes before the agent takes a role.
func (a *Agent) firstPlace() place {
	s := a.store.shared.Load()
	if s == nil {
		return place{state: away{}, results: away{}}
	}
	return place{state: s, results: s, judges: a.member == nil}
}

// judgeAnew makes the first engine, from what the store holds. One that shares the store begins as a follower, with what its own
// vantage has learnt.
func (a *Agent) judgeAnew(ctx context.Context, s *set) error {
	var state []byte
	var open []incident.Incident
	var err error
	now, setup, shared := a.clock.Now(), s.setup, a.store.shared.Load()
	setup.Spans, setup.Follows = a.orders.spans(), a.member != nil
	switch {
	case shared == nil: // what it knew when it was alone, if it was
		if state, err = a.member.refuge.own.EngineState(ctx); err == nil {
			setup.Baselines, err = a.member.refuge.own.Baselines(ctx)
		}
	case setup.Follows:
		state, setup.Baselines, err = shared.VantageState(ctx)
	default:
		if state, err = shared.EngineState(ctx); err != nil {
			return err
		}
		if open, err = shared.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents}); err != nil {
			return err
		}
		setup.Baselines, err = shared.Baselines(ctx)
	}
	if err != nil {
		return err
	}
	e, step, err := engine.New(setup, state, open, now)
	if err != nil && state != nil {
		// Watching matters more than what was remembered: open incidents are in the store, and are closed in the end.
		a.log.Error("the saved state of the judgement is of no use; judging begins anew with the stored incidents", "err", err)
		e, step, err = engine.New(setup, nil, open, now)
	}
	if err != nil {
		return err
	}
	a.judge.begin(e, step)
	return nil
}

// rebase makes the engine one of another voter's name, with what that has learnt.
func (a *Agent) rebase(voter string, baselines map[string][]byte) error {
	a.reloads.Lock()
	defer a.reloads.Unlock()
	s := a.set.Load()
	if s.setup.Vantage == voter && len(baselines) == 0 {
		return nil
	}
	fresh := *s
	fresh.setup.Vantage = voter
	return a.judge.swap(func(from remembered, now time.Time) (Engine, engine.Step, error) {
		setup := from.setup(fresh.setup, a.orders.spans())
		setup.Baselines = together(setup.Baselines, baselines)
		return engine.New(setup, from.state, from.open, now)
	}, func() { a.set.Store(&fresh) })
}

// voter is the name under which this vantage votes.
func (a *Agent) voter(c *config.Config) string {
	if a.member == nil {
		return c.Vantage
	}
	return cmp.Or(a.member.self(), c.Vantage)
}

// allIncidents is more than can ever be open.
const allIncidents = 100_000

// install puts a set in force, but for its engine and its reconciler.
func (a *Agent) install(s *set) {
	for i, j := range s.jobs {
		j.probe.Store(&s.probes[i])
	}
	a.set.Store(s)
	a.writer.expect(s.perSecond())
	a.metrics.SetSeries(s.series)
	a.schedule.replace(s.jobs, runLimit(len(s.jobs)))
	a.heartbeat.configure(s.config.Heartbeat)
	if a.member != nil {
		a.member.follow(s)
	}
}

// Close gives up an agent that never ran.
func (a *Agent) Close() error {
	a.schedule.cancel()
	if a.server == nil {
		return errors.Join(a.latches.Close(), a.closeStores())
	}
	return errors.Join(a.server.Close(), a.latches.Close(), a.closeStores())
}

// Run works until ctx ends, then stops cleanly: no further probe begins, those under way are cancelled and say nothing, what
// was judged is made durable, desks and people get a moment, and the store is closed.
func (a *Agent) Run(ctx context.Context) error {
	tuneMemory()
	var watching, judging, writing sync.WaitGroup
	judgeCtx, endJudge := context.WithCancel(context.WithoutCancel(ctx))
	writeCtx, endWrite := context.WithCancel(context.WithoutCancel(ctx))
	defer endJudge()
	defer endWrite()

	writing.Go(func() { a.writer.run(writeCtx) })
	writing.Go(func() { a.maintain(writeCtx) })
	judging.Go(func() { a.judge.run(judgeCtx) })
	var taking sync.WaitGroup
	takeCtx, endPart := context.WithCancel(context.WithoutCancel(ctx))
	defer endPart()
	if a.member != nil {
		taking.Go(func() { a.member.run(takeCtx) })
		taking.Go(func() { a.member.tend(takeCtx) })
	} else {
		a.startDesks(a.set.Load(), a.store.shared.Load(), nil, 0)
	}
	a.seeds.run(ctx, a.set.Load().config)
	if a.server != nil {
		watching.Go(func() { a.serve(ctx) })
	}
	watching.Go(func() { a.lag.run(ctx) })
	watching.Go(func() { a.heartbeat.run(ctx) })
	watching.Go(func() { a.evidence.Run(ctx) })
	watching.Go(func() { a.watchConfig(ctx) })
	watching.Go(func() { a.o.Supervisor.watch(ctx, a.judge.alive) })
	watching.Go(func() { a.tell(ctx) })
	c := a.set.Load().config
	a.log.Info("the agent watches", "tenant", c.Tenant.ID, "probes", len(c.AllProbes()), "alert_only", a.o.AlertOnly, "version", a.o.Version)
	a.tellMissing(c)
	if a.o.OnReady != nil {
		a.o.OnReady(a.URL())
	}
	a.o.Supervisor.ready(c, nil)

	a.schedule.run(ctx)
	a.log.Info("the agent stops", "cause", context.Cause(ctx))
	a.o.Supervisor.stopping()
	a.reloads.Lock()
	a.stopped.Store(true) // no reload from here on
	a.reloads.Unlock()
	if a.member != nil {
		a.member.end()
	}
	a.schedule.stop(stopRuns)
	probes.CloseBrowsers()
	a.seeds.wait()
	endJudge()
	judging.Wait()
	endWrite()
	hurry := time.AfterFunc(stopWrites, a.store.hurry)
	defer hurry.Stop()
	if a.member == nil || a.member.away() {
		a.store.hurry()
	}
	writing.Wait()
	err := a.writer.finish()
	a.stopDesks(err == nil && (a.member == nil || a.member.living() == 1))
	endPart()
	taking.Wait()
	a.stopDesks(false) // where another was started meanwhile
	watching.Wait()
	if err != nil {
		err = fmt.Errorf("the agent stopped, but could not save its state: %w", err)
	}
	return errors.Join(err, a.latches.Close(), a.closeStores())
}

// maintain applies retention from time to time, until ctx ends.
func (a *Agent) maintain(ctx context.Context) {
	for wait := maintainEvery / 60; ; wait = maintainEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		for _, s := range []*store.Store{a.store.shared.Load(), a.store.own.Load(), a.store.spool.Load()} {
			if s == nil {
				continue
			}
			if err := s.Maintain(ctx, a.clock.Now()); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrAway) && !errors.Is(err, store.ErrClosed) {
				a.log.Error("the store could not be tidied; it grows until it can", "err", err)
			}
		}
	}
}

// tellLatches tells the log whether what other agents know of refused accounts can be asked.
func (a *Agent) tellLatches(err error) {
	if err == nil {
		a.log.Info("which accounts were refused to other agents is known again")
		return
	}
	a.log.Warn("which accounts were refused to other agents cannot be asked: an account that was not accepted since this agent began rests, the others are used", "err", err)
}

// tellMissing tells the log what this host lacks for probes, whose results are unknown until it is there.
func (a *Agent) tellMissing(c *config.Config) {
	for id, missing := range c.Missing() {
		a.log.Warn("a probe cannot run on this host", "probe", id, "reason", missing)
	}
}

// serve serves the page until ctx ends. Probing goes on without a page.
func (a *Agent) serve(ctx context.Context) {
	if err := a.server.Run(ctx, a.Handler(), a.log); err != nil {
		a.log.Error("the status page ended; probing and cases go on", "err", err)
	}
}

// Handler returns the page and the API of the configuration that is in force.
func (a *Agent) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.set.Load().handler.ServeHTTP(w, r) })
}

// startDesks starts the reconciler of a set on a store, for as long as may allows (nil: always), and for so long where lasts is not 0:
// see prolong.
func (a *Agent) startDesks(s *set, from reconcile.Store, may func() error, lasts time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &desking{Reconciler: a.reconciler(s, from, may), store: from, may: may, ctx: ctx, cancel: cancel, done: make(chan struct{})}
	if lasts != 0 {
		d.end = time.AfterFunc(max(lasts, 0), cancel)
	}
	go func() {
		defer close(d.done)
		d.Run(ctx)
	}()
	a.desks.Store(d)
	d.Kick()
}

// prolong lets the reconciler go on for so long from now.
func (a *Agent) prolong(lasts time.Duration) {
	if d := a.desks.Load(); d != nil && d.end != nil && d.ctx.Err() == nil {
		d.end.Reset(max(lasts, 0))
	}
}

// endDesks ends the reconciler at once, and waits for nobody: what it writes from now on no store takes, and it tells nobody anything.
func (a *Agent) endDesks() {
	if d := a.desks.Load(); d != nil {
		d.cancel()
	}
}

// desksEnded reports whether the reconciler was ended.
func (a *Agent) desksEnded() bool {
	d := a.desks.Load()
	return d == nil || d.ctx.Err() != nil
}

// desksGone reports whether no call of a reconciler is under way.
func (a *Agent) desksGone() bool {
	d := a.desks.Load()
	if d == nil {
		return true
	}
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// restartDesks lets the reconciler go on with another set.
func (a *Agent) restartDesks(s *set) {
	d := a.desks.Load()
	if d == nil || d.ctx.Err() != nil {
		return // whoever starts one takes the new set
	}
	lasts := time.Duration(0)
	if d.end != nil {
		lasts = max(a.member.left(), time.Nanosecond)
	}
	d.cancel()
	<-d.done // never two at once: a case could be opened twice
	if d.may == nil || d.may() == nil {
		a.startDesks(s, d.store, d.may, lasts)
	}
}

// stopDesks ends the reconciler; where the newest steps are durable and nobody else takes over, it first gets a moment to tell them.
func (a *Agent) stopDesks(tell bool) {
	d := a.desks.Load()
	if d == nil {
		return
	}
	defer d.cancel()
	limit := time.After(stopDesks)
	if tell {
		d.Kick()
		for wait := 50 * time.Millisecond; d.ctx.Err() == nil && d.Status().Pending > 0; {
			select {
			case <-limit:
				a.log.Warn("cases are not yet as they should be; this goes on at the next start", "cases", d.Status().Pending)
				d.cancel()
				<-d.done
				return
			case <-time.After(wait):
			}
		}
	}
	d.cancel()
	select {
	case <-d.done:
	case <-limit:
		a.log.Warn("a desk or a notifier did not end its call; it is left behind")
	}
}

// kick tells the reconciler that something became durable.
func (a *Agent) kick() {
	if d := a.desks.Load(); d != nil {
		d.Kick()
	}
}

// jumped is called after the agent slept or its clock jumped.
func (a *Agent) jumped(reason string) {
	a.log.Warn("suspicions that are not confirmed are dropped", "reason", reason)
	a.schedule.realign()
	a.judge.forget(reason)
}

// silent says why no heartbeat may be given now, or "".
func (a *Agent) silent() string {
	reason, lasting := a.writer.failure()
	switch {
	case !a.judge.judged():
		return "nothing is measured yet"
	case !a.judge.alive():
		return "the judgement stands still"
	case a.judge.current().Blind:
		return "the agent is blind"
	case reason != "" && lasting > storeFailed:
		return "the store cannot be written"
	}
	return ""
}

// URL returns the page's address, with a host that this machine can open; "" where no page is served.
func (a *Agent) URL() string {
	if a.server == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(a.server.Addr().String())
	if err != nil {
		return "http://" + a.server.Addr().String() + "/"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if webTLS(a.set.Load().config.Web.ConfigFile) {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}
