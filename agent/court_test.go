package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// counting is an engine that opens an incident at every failure and whose state is how many results it has seen.
type counting struct {
	seen    int
	ticks   []time.Time
	forgot  []string
	wake    time.Duration // asked for after each tick; 0: none
	block   time.Duration // how long it thinks about a result
	learnt  int           // results that its baselines do not show yet
	seeded  []detect.Point
	follows bool
}

func (e *counting) Observe(r probes.Result) engine.Step {
	e.seen++
	e.learnt++
	time.Sleep(e.block)
	s := engine.Step{At: r.End()}
	if r.Outcome == probes.Down {
		id := r.Probe + " " + r.Detail
		s.Incidents = []incident.Incident{{ID: id, Detail: []string{fmt.Sprint(e.seen)}}}
		s.Events = []incident.Event{{Incident: id, At: r.End(), Text: fmt.Sprint(e.seen)}}
		s.Rechecks = []engine.Recheck{{Probe: r.Probe, Count: 1}}
	}
	return s
}

func (e *counting) Tick(now time.Time) engine.Step {
	e.ticks = append(e.ticks, now)
	if e.wake == 0 {
		return engine.Step{At: now}
	}
	return engine.Step{At: now, Wake: now.Add(e.wake)}
}

func (e *counting) Forget(now time.Time, reason string, _ time.Duration) engine.Step {
	e.forgot = append(e.forgot, reason)
	return engine.Step{At: now}
}

func (e *counting) State() ([]byte, error) { return json.Marshal(e.seen) }

func (e *counting) Baselines() map[string][]byte {
	if e.learnt == 0 {
		return nil
	}
	e.learnt = 0
	return e.AllBaselines()
}

func (e *counting) AllBaselines() map[string][]byte {
	return map[string][]byte{"p": fmt.Append(nil, e.seen), fmt.Sprint("p", e.seen%7): {1}}
}

func (e *counting) Learning(string) (days, of int) { return len(e.seeded), 14 }

func (e *counting) Seed(_ string, history []detect.Point) int {
	e.seeded = append(e.seeded, history...)
	return len(history)
}

func (e *counting) Maintain(time.Time, []policy.Span) engine.Step { return engine.Step{} }

func (e *counting) Vote() engine.Vote { return engine.Vote{} }

func (e *counting) Hear(time.Time, []engine.Vote) engine.Step { return engine.Step{} }

func (e *counting) Heard() []engine.Vote { return nil }

func (e *counting) Leads() bool { return !e.follows }

func (e *counting) Follow(time.Time) engine.Step { e.follows = true; return engine.Step{} }

func (e *counting) Lead(time.Time, []byte, []incident.Incident) (engine.Step, error) {
	e.follows = false
	return engine.Step{}, nil
}

func (e *counting) View(now time.Time) engine.View { return engine.View{At: now} }

// disk is a store that a test breaks.
type disk struct {
	mu      sync.Mutex
	err     error         // of every write, while set
	torn    error         // of writes of results only, while set
	slow    time.Duration // of every write
	commits []store.Commit
	vantage []store.Commit
	results []probes.Result
	tries   int
}

func (d *disk) write(ctx context.Context, then func()) error {
	d.mu.Lock()
	d.tries++
	slow, err := d.slow, d.err
	d.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		then()
	}
	return err
}

func (d *disk) Commit(ctx context.Context, c store.Commit) error {
	return d.write(ctx, func() { d.commits = append(d.commits, c) })
}

func (d *disk) AppendResults(ctx context.Context, r []probes.Result) error {
	d.mu.Lock()
	torn := d.torn
	d.mu.Unlock()
	if torn != nil {
		return torn
	}
	return d.write(ctx, func() { d.results = append(d.results, r...) })
}

func (d *disk) SaveVantage(ctx context.Context, state []byte, baselines map[string][]byte, seeds map[string]int) error {
	return d.write(ctx, func() { d.vantage = append(d.vantage, store.Commit{State: state, Baselines: baselines, Seeds: seeds}) })
}

func (d *disk) holds() (commits, results int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.commits), len(d.results)
}

func (d *disk) breaks(err error, slow time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.slow = err, slow
}

// court is a judge with a writer on a disk that breaks.
type court struct {
	*judge
	engine   *counting
	disk     *disk
	kicks    atomic.Int32
	rechecks []engine.Recheck
}

func newCourt() *court {
	c := &court{engine: &counting{}, disk: &disk{}}
	clock := newClock()
	m := metrics.New("test", time.Time{}, func() metrics.Snapshot { return metrics.Snapshot{} })
	w := newWriter(clock, place{state: c.disk, results: c.disk, judges: true}, quiet, m, func([]incident.Incident) { c.kicks.Add(1) })
	c.judge = newJudge(clock, w, func(list []engine.Recheck) { c.rechecks = append(c.rechecks, list...) })
	w.freeze = c.freeze
	c.begin(c.engine, engine.Step{})
	return c
}

// run runs judge and writer while work does its own, then stops both as the agent does.
func (c *court) run(t *testing.T, work func()) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	writeCtx, endWrite := context.WithCancel(context.Background())
	var judging, writing sync.WaitGroup
	judging.Go(func() { c.judge.run(ctx) })
	writing.Go(func() { c.writer.run(writeCtx) })
	work()
	end()
	judging.Wait()
	endWrite()
	writing.Wait()
	if err := c.writer.finish(); err != nil {
		t.Errorf("the last write failed: %v", err)
	}
}

func (c *court) hand(j *job, o probes.Outcome, detail string) {
	c.deliver(measured{job: j, result: probes.Result{Probe: j.id, Start: c.clock.Now(), Outcome: o, Detail: detail}})
}
