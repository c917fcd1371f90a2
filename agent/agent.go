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
		err = a.assembleInTime(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, a.latches.Close(), a.closeStores())
	}
	return a, nil
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
	stopped := a.desks.Load()
	a.stopDesks(stopped, err == nil && (a.member == nil || a.member.living() == 1))
	endPart()
	taking.Wait()
	if d := a.desks.Load(); d != stopped { // it was started meanwhile
		a.stopDesks(d, false)
	}
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

// jumped is called after the agent slept or its clock jumped, by gap.
func (a *Agent) jumped(reason string, gap time.Duration) {
	a.log.Warn("suspicions that are not confirmed are dropped", "reason", reason)
	a.schedule.realign()
	a.judge.forget(reason, gap)
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
