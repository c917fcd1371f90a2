package agent

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/firstcall-agent/firstcall/agent/evidence"
	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// openStores opens the store, and where it is shared with other agents, what there is for the time in which it does not answer. Such an
// agent starts without it, too.
func (a *Agent) openStores(ctx context.Context) error {
	shared, err := a.openShared(ctx)
	if err == nil {
		a.store.shared.Store(shared)
	}
	if !a.o.Config.Shares() || err != nil && !unusable(err) {
		return err
	}
	gone := err
	if a.member, err = a.newMember(ctx); err != nil {
		return err
	}
	if gone != nil {
		a.member.without(gone)
		return nil
	}
	return a.member.meet(ctx, shared)
}

// unusable reports whether a database is away, or takes no writes, as in the middle of a failover: it will be back.
func unusable(err error) bool {
	return errors.Is(err, store.ErrAway) || errors.Is(err, store.ErrStandby)
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

// assembleInTime is assemble for an agent that starts without a shared store, too, where that goes away, or hangs, before all is read.
func (a *Agent) assembleInTime(ctx context.Context) error {
	if a.member == nil || a.store.shared.Load() == nil {
		return a.assemble(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	err := a.assemble(bounded)
	if err == nil || ctx.Err() != nil || !unusable(err) && bounded.Err() == nil {
		return err
	}
	a.member.forgo(ctx, err)
	return a.assemble(ctx)
}

// assemble builds the parts, from right to left.
func (a *Agent) assemble(ctx context.Context) error {
	c := a.o.Config
	a.orders = &orders{clock: a.clock, store: a.store}
	switch err := a.orders.load(ctx); {
	case a.member != nil && a.store.shared.Load() == nil && errors.Is(err, store.ErrAway):
		a.orders.recall(a.member.refuge.snapshot().Orders)
	case err != nil:
		return err
	}
	a.metrics = metrics.New(a.o.Version, a.started, a.snapshot)
	a.lag = newLag(a.clock, a.log, a.jumped)
	a.evidence = evidence.New(evidence.Options{
		Source: seen{a}, Store: a.store, Settings: a.gathers, Now: a.clock.Now, Log: a.log, Kept: a.kick,
	})
	a.writer = newWriter(a.clock, a.firstPlace(), a.log, a.metrics, a.decided)
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

// decided is called when a step is durable.
func (a *Agent) decided(incidents []incident.Incident) {
	if a.member != nil { // before a desk is told
		a.member.refuge.note(incidents)
	}
	a.kick()
	a.evidence.Kick()
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

// voter is the name under which this vantage votes.
func (a *Agent) voter(c *config.Config) string {
	if a.member == nil {
		return c.Vantage
	}
	return cmp.Or(a.member.self(), c.Vantage)
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
