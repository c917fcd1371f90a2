package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	// tickEvery is how often the engine is told the time where it does not ask for it sooner.
	tickEvery = time.Second
	// batch bounds the results that are judged before others may look at the engine.
	batch = 64
	// viewFor is how long a view is shown before a new one is made, so that a busy page does not slow the judgement.
	viewFor = 200 * time.Millisecond
	// judgeStuck is how long the judging loop may stand still before the agent is not alive.
	judgeStuck = 30 * time.Second
)

// Engine is what the judge needs of *engine.Engine.
type Engine interface {
	Observe(r probes.Result) engine.Step
	Tick(now time.Time) engine.Step
	Forget(now time.Time, reason string, gap time.Duration) engine.Step
	State() ([]byte, error)
	Baselines() map[string][]byte
	AllBaselines() map[string][]byte
	Seed(probe string, history []detect.Point) (taken int)
	Learning(probe string) (days, of int)
	Accept(now time.Time, probe, by, reason string) (engine.Step, bool)
	Maintain(now time.Time, spans []policy.Span) engine.Step
	View(now time.Time) engine.View
	Vote() engine.Vote
	Hear(now time.Time, votes []engine.Vote) engine.Step
	Heard() []engine.Vote
	Leads() bool
	Follow(now time.Time) engine.Step
	Lead(now time.Time, state []byte, open []incident.Incident) (engine.Step, error)
}

// judge owns the engine: results go in one after the other, steps come out to the writer and re-probes to the schedule. It
// waits for nothing but results: neither a disk nor a desk can delay it. It is safe for concurrent use.
type judge struct {
	clock   *clock
	in      chan measured
	done    chan struct{} // closed when the judge takes no more results
	writer  *writer
	recheck func([]engine.Recheck)
	moved   atomic.Int64 // monotonic time at which the loop moved last
	any     atomic.Bool  // something was judged
	moves   *moves       // guarded by mu; nil: the machine stays where it is

	packing sync.Mutex
	packer  engine.Packer // guarded by packing

	mu     sync.Mutex
	engine Engine
	wake   time.Time // when the engine wants a Tick at the latest
	view   engine.View
	viewed time.Duration // monotonic time at which view was made; -1: it is out of date
}

func newJudge(c *clock, w *writer, recheck func([]engine.Recheck)) *judge {
	j := &judge{clock: c, in: make(chan measured, 2*batch), done: make(chan struct{}), writer: w, recheck: recheck, viewed: -1}
	j.moved.Store(int64(c.mono()))
	return j
}

// begin sets the first engine, before run.
func (j *judge) begin(e Engine, s engine.Step) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.engine = e
	j.follow(s)
}

// deliver hands a result in; it waits while the judge is busy, and drops the result when the judge has ended.
func (j *judge) deliver(m measured) {
	select {
	case j.in <- m:
	case <-j.done:
	}
}

// run judges until ctx ends; what was handed in by then is judged before it returns.
func (j *judge) run(ctx context.Context) {
	defer close(j.done)
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	for {
		select {
		case m := <-j.in:
			j.observe(m)
		case <-timer.C:
			j.tick()
			timer.Reset(tickEvery)
		case <-ctx.Done():
			j.drain()
			return
		}
		j.moved.Store(int64(j.clock.mono()))
		if wait := j.untilWake(); wait < tickEvery {
			timer.Reset(wait)
		}
	}
}

// drain judges what was handed in already.
func (j *judge) drain() {
	for {
		select {
		case m := <-j.in:
			j.observe(m)
		default:
			return
		}
	}
}

// observe judges a result, and others that wait, at most a batch.
func (j *judge) observe(m measured) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for range batch {
		j.one(m)
		select {
		case m = <-j.in:
		default:
			return
		}
	}
	j.one(m)
}

func (j *judge) one(m measured) {
	if m.job.retired.Load() {
		return
	}
	r := m.result
	r.Lagging = m.lagging
	if j.moves != nil {
		if r.Outcome == probes.Down {
			j.lookAtNetwork()
		}
		j.moves.sift(&r, m.job.witness)
	}
	m.job.series.ObserveResult(&r)
	m.job.recent.add(&r)
	r.Attachments = nil // they are held there, once, for an incident; the judgement has no use for them
	j.writer.result(r)
	j.follow(j.engine.Observe(r))
	j.any.Store(true)
}

// follow passes on what follows from an input. The caller holds mu.
func (j *judge) follow(s engine.Step) {
	if !s.Wake.IsZero() && (j.wake.IsZero() || s.Wake.Before(j.wake)) {
		j.wake = s.Wake
	}
	if s.Changed() {
		j.viewed = -1
		j.writer.step(s)
	}
	for _, i := range s.Incidents {
		if i.Class == incident.Account && i.Opened.Equal(s.At) {
			j.writer.log.Warn("the probe's own account is refused: its owner must mend it", "probe", i.Root, "account", strings.Join(i.Detail, "; "))
		}
	}
	for _, a := range s.Accepted {
		j.writer.log.Info("a slower latency is taken as normal from now on", "probe", a.Probe, "reason", a.Text)
	}
	j.recheck(s.Rechecks)
}

// accept takes the latency that a probe measures now as normal; false: too little is measured to say what that is, or there is no
// such probe.
func (j *judge) accept(probe, by, reason string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, ok := j.engine.Accept(j.clock.Now(), probe, by, reason)
	if ok && !s.Changed() { // no incident ends with it: the state, which holds it, is written at once all the same
		j.writer.step(s)
	}
	j.viewed = -1
	j.follow(s)
	return ok
}

// maintain puts the maintenance in force that people ordered.
func (j *judge) maintain(spans func() []policy.Span) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.follow(j.engine.Maintain(j.clock.Now(), spans()))
	j.viewed = -1
}

// fresh returns what the engine believes now, to the instant.
func (j *judge) fresh() engine.View {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.engine.View(j.clock.Now())
}

func (j *judge) tick() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wake = time.Time{}
	if j.moves != nil {
		j.lookAtNetwork()
	}
	j.follow(j.engine.Tick(j.clock.Now()))
}

// untilWake returns how long it is until the engine wants a Tick.
func (j *judge) untilWake() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.wake.IsZero() {
		return tickEvery
	}
	return max(time.Millisecond, j.wake.Sub(j.clock.Now()))
}

// forget tells the engine that the agent slept or that its clock jumped, by gap.
func (j *judge) forget(reason string, gap time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.clock.Now()
	if j.moves != nil {
		j.moves.woke(now)
	}
	j.follow(j.engine.Forget(now, reason, gap))
}

// lookAtNetwork drops suspicions that are not confirmed where the machine is in another network than before. The caller holds mu.
func (j *judge) lookAtNetwork() {
	now := j.clock.Now()
	if reason := j.moves.look(now); reason != "" {
		j.writer.log.Warn("suspicions that are not confirmed are dropped", "reason", reason)
		j.follow(j.engine.Forget(now, reason, 0))
	}
}

// current returns what the engine believes now, or did a moment ago.
func (j *judge) current() engine.View {
	j.mu.Lock()
	defer j.mu.Unlock()
	if now := j.clock.mono(); j.viewed < 0 || now-j.viewed >= viewFor {
		j.view, j.viewed = j.engine.View(j.clock.Now()), now
	}
	return j.view
}

// alive reports whether the loop moved lately.
func (j *judge) alive() bool { return j.clock.mono()-time.Duration(j.moved.Load()) < judgeStuck }

// judged reports whether any result was judged yet.
func (j *judge) judged() bool { return j.any.Load() }

// freeze returns the engine's state together with every step and every baseline that led to it and is not stored yet.
func (j *judge) freeze() (frozen, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.frozen()
}

// frozen is freeze for those who hold mu.
func (j *judge) frozen() (frozen, error) {
	j.writer.baselines(j.engine.Baselines())
	f := j.writer.take()
	f.At = j.clock.Now()
	state, err := j.engine.State()
	f.State = state
	return f, err
}

// vote returns what this vantage believes, packed.
func (j *judge) vote() ([]byte, error) {
	j.mu.Lock()
	v := j.engine.Vote()
	j.mu.Unlock()
	j.packing.Lock()
	defer j.packing.Unlock()
	return j.packer.Encode(v)
}

// hear takes what the peers that live believe.
func (j *judge) hear(votes []engine.Vote) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.follow(j.engine.Hear(j.clock.Now(), votes))
}

// cede makes the engine judge no incident any more, and what comes from now on go to another place. It returns what was not durable
// yet: of the steps nothing else is kept.
func (j *judge) cede(at place) (frozen, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f, err := j.frozen()
	step := j.engine.Follow(j.clock.Now())
	j.writer.move(at)
	j.writer.learnt(f.Baselines, f.Seeds)
	j.viewed = -1
	j.follow(step)
	return f, err
}

// lead makes the engine judge incidents, with what was committed last, and its steps go to a place.
func (j *judge) lead(at place, state []byte, open []incident.Incident) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.clock.Now()
	j.engine.Follow(now) // what it believed in a role of before counts no more
	step, err := j.engine.Lead(now, state, open)
	if err != nil && state != nil {
		// Watching matters more than what was remembered: open incidents are in the store, and are closed in the end.
		j.writer.log.Error("the saved state of the judgement is of no use; judging begins anew with the stored incidents", "err", err)
		step, err = j.engine.Lead(now, nil, open)
	}
	if err != nil {
		return err
	}
	j.writer.move(at)
	j.viewed = -1
	j.follow(step)
	return nil
}

// relocate lets what comes from now on go to another place.
func (j *judge) relocate(at place) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writer.move(at)
}

// takeUp makes an engine that leads know open incidents that were handed over.
func (j *judge) takeUp(open []incident.Incident) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.engine.Leads() {
		return nil
	}
	step, err := j.engine.Lead(j.clock.Now(), nil, open)
	if err == nil {
		j.viewed = -1
		j.follow(step)
	}
	return err
}

// leads reports whether the engine judges incidents.
func (j *judge) leads() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.engine.Leads()
}

// remembered is what an engine leaves to the one that goes on.
type remembered struct {
	state     []byte
	baselines map[string][]byte
	open      []incident.Incident
	follows   bool
	votes     []engine.Vote
}

// setup returns the configuration of an engine that goes on with what is remembered.
func (r remembered) setup(s engine.Setup, spans []policy.Span) engine.Setup {
	s.Baselines, s.Spans, s.Follows, s.Votes = r.baselines, spans, r.follows, r.votes
	return s
}

// seed teaches a probe's baseline what was measured before, unless it has learnt enough, and returns how many points it took.
func (j *judge) seed(probe string, history []detect.Point) (taken int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if days, of := j.engine.Learning(probe); days >= of {
		return 0
	}
	if taken = j.engine.Seed(probe, history); taken > 0 {
		j.writer.seed(probe, taken)
	}
	return taken
}

// learning returns how many days of so many a probe's baseline has learnt.
func (j *judge) learning(probe string) (days, of int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.engine.Learning(probe)
}

// swap puts a new engine, made from what the old one remembers, in its place, and calls then before anything else is judged.
// When build fails nothing has changed.
func (j *judge) swap(build func(from remembered, now time.Time) (Engine, engine.Step, error), then func()) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.clock.Now()
	state, err := j.engine.State()
	if err != nil {
		return err
	}
	j.writer.baselines(j.engine.Baselines()) // the new engine takes them for saved
	fresh, step, err := build(remembered{state, j.engine.AllBaselines(), j.engine.View(now).Incidents, !j.engine.Leads(), j.engine.Heard()}, now)
	if err != nil {
		return fmt.Errorf("the judgement cannot go on with the new configuration: %w", err)
	}
	j.engine, j.wake, j.viewed = fresh, time.Time{}, -1
	then()
	j.follow(step)
	return nil
}
