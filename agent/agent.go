// Package agent is the running thing: it starts every probe when it is due, hands results to the judgement, makes its steps
// durable, and keeps desks and people told through the reconciler.
//
// The straight line is schedule -> judge -> writer -> store -> reconciler; each part has its own goroutine and none waits for
// one to its right. The page, the metrics and the heartbeat observe.
package agent

import (
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
	stopRuns  = 2 * time.Second // for runs of probes that were cancelled
	stopDesks = 5 * time.Second // for cases and notices that are on their way
)

// Agent watches one tenant. Its methods are safe for concurrent use; Run is called once.
type Agent struct {
	o         Options
	log       *slog.Logger
	clock     *clock
	lag       *lag
	metrics   *metrics.Metrics
	store     *store.Store
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
	desks   atomic.Pointer[desking]

	mu          sync.Mutex
	configRead  time.Time
	configError string // why the newest configuration is not in force
}

// desking is a running reconciler.
type desking struct {
	*reconcile.Reconciler
	cancel context.CancelFunc
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
	var err error
	if a.latches, err = o.Config.Latches(a.tellLatches); err != nil {
		return nil, err
	}
	if a.store, err = store.Open(ctx, o.Config.StoreURL(), store.Options{RawFor: o.Config.Store.ResultsFor}); err != nil {
		return nil, errors.Join(err, a.latches.Close())
	}
	if err := a.assemble(ctx); err != nil {
		return nil, errors.Join(err, a.latches.Close(), a.store.Close())
	}
	return a, nil
}

// assemble builds the parts, from right to left.
func (a *Agent) assemble(ctx context.Context) error {
	c := a.o.Config
	a.orders = &orders{clock: a.clock, store: a.store}
	if err := a.orders.load(ctx); err != nil {
		return err
	}
	a.metrics = metrics.New(a.o.Version, a.started, a.snapshot)
	a.lag = newLag(a.clock, a.log, a.jumped)
	a.evidence = evidence.New(evidence.Options{
		Source: seen{a}, Store: a.store, Settings: a.gathers, Now: a.clock.Now, Log: a.log, Kept: a.kick,
	})
	a.writer = newWriter(a.clock, a.store, a.log, a.metrics, func() { a.kick(); a.evidence.Kick() })
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
	seeded, err := a.store.Seeds(ctx)
	if err != nil {
		return err
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

// judgeAnew makes the first engine, from what the store holds.
func (a *Agent) judgeAnew(ctx context.Context, s *set) error {
	state, err := a.store.EngineState(ctx)
	if err != nil {
		return err
	}
	open, err := a.store.Incidents(ctx, store.IncidentFilter{Open: true, Limit: allIncidents})
	if err != nil {
		return err
	}
	now, setup := a.clock.Now(), s.setup
	setup.Spans = a.orders.spans()
	if setup.Baselines, err = a.store.Baselines(ctx); err != nil {
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
}

// Close gives up an agent that never ran.
func (a *Agent) Close() error {
	a.schedule.cancel()
	if a.server == nil {
		return errors.Join(a.latches.Close(), a.store.Close())
	}
	return errors.Join(a.server.Close(), a.latches.Close(), a.store.Close())
}

// Run works until ctx ends, then stops cleanly: no further probe begins, those under way are cancelled and say nothing, what
// was judged is made durable, desks and people get a moment, and the store is closed.
func (a *Agent) Run(ctx context.Context) error {
	tuneMemory()
	var watching, judging, writing sync.WaitGroup
	judgeCtx, endJudge := context.WithCancel(context.WithoutCancel(ctx))
	writeCtx, endWrite := context.WithCancel(context.WithoutCancel(ctx))
	beatCtx, endBeat := context.WithCancel(context.WithoutCancel(ctx))
	defer endBeat() // when the store is closed
	defer endJudge()
	defer endWrite()

	writing.Go(func() { a.writer.run(writeCtx) })
	writing.Go(func() { a.writer.maintain(writeCtx) })
	judging.Go(func() { a.judge.run(judgeCtx) })
	a.startDesks(a.set.Load())
	a.seeds.run(ctx, a.set.Load().config)
	if a.server != nil {
		watching.Go(func() { a.serve(ctx) })
	}
	watching.Go(func() { a.lag.run(ctx) })
	go a.beat(beatCtx)
	watching.Go(func() { a.heartbeat.run(ctx) })
	watching.Go(func() { a.evidence.Run(ctx) })
	watching.Go(func() { a.watchConfig(ctx) })
	watching.Go(func() { a.o.Supervisor.watch(ctx, a.judge.alive) })
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
	a.schedule.stop(stopRuns)
	probes.CloseBrowsers()
	a.seeds.wait()
	endJudge()
	judging.Wait()
	endWrite()
	a.store.Hurry()
	writing.Wait()
	err := a.writer.finish()
	a.stopDesks(err == nil)
	watching.Wait()
	if err != nil {
		err = fmt.Errorf("the agent stopped, but could not save its state: %w", err)
	}
	return errors.Join(err, a.latches.Close(), a.store.Close())
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

// startDesks starts the reconciler of a set.
func (a *Agent) startDesks(s *set) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &desking{Reconciler: a.reconciler(s), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		d.Run(ctx)
	}()
	a.desks.Store(d)
	d.Kick()
}

// stopDesks ends the reconciler; where the newest steps are durable, it first gets a moment to tell them.
func (a *Agent) stopDesks(stored bool) {
	d := a.desks.Load()
	defer d.cancel()
	limit := time.After(stopDesks)
	if stored {
		d.Kick()
		for wait := 50 * time.Millisecond; d.Status().Pending > 0; {
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
