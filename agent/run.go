package agent

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// grace is how long after its deadline a run may take to return.
const grace = time.Second

// measured is a result on its way to the judge.
type measured struct {
	job        *job
	result     probes.Result
	begun, end time.Duration // monotonic
	lagging    bool
}

// idleFor is how long a goroutine waits for a next run before it ends. Reusing it saves growing a new stack, a twentieth of
// the whole cost of an HTTP probe.
const idleFor = 250 * time.Millisecond

// work makes one run, and further ones that fall due soon after.
func (s *schedule) work(e entry) {
	timer := time.NewTimer(idleFor)
	defer timer.Stop()
	for {
		s.measure(e)
		timer.Reset(idleFor)
		select {
		case e = <-s.idle:
		case <-timer.C:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// measure makes one run: in its own goroutine, with its own deadline, whatever the probe does.
func (s *schedule) measure(e entry) {
	j := e.job
	begun := s.clock.mono()
	m := measured{job: j, begun: begun}
	start := s.clock.Now()
	s.metrics.Delayed(max(0, begun-e.due))
	s.lag.delayed(e.due, begun)

	var over atomic.Bool // the run's result is known: by its return, or because it was given up
	ctx, cancel := context.WithTimeoutCause(s.ctx, j.timeout, j.late)
	guard := time.AfterFunc(j.timeout+grace, func() {
		if !over.CompareAndSwap(false, true) {
			return
		}
		s.gaveUp(e)
		m := measured{job: j, begun: begun, result: probes.Result{
			Outcome: probes.Unknown, Reason: probes.Internal,
			Detail: fmt.Sprintf("the probe did not return %s after its time-out of %s; it runs again when it has returned", grace, j.timeout),
		}}
		s.hand(m, e, start)
	})
	result := s.once(ctx, j)
	cancel()
	guard.Stop()
	if !over.CompareAndSwap(false, true) {
		s.ended(e, true)
		return
	}
	m.result = result
	s.hand(m, e, start)
	s.ended(e, false)
}

// hand completes a result and gives it to the judge, unless the agent is stopping: a cancelled run says nothing.
func (s *schedule) hand(m measured, e entry, start time.Time) {
	if s.ctx.Err() != nil {
		return
	}
	m.end = s.clock.mono()
	r := &m.result
	r.Probe, r.Start, r.Recheck = e.job.id, start, e.recheck
	if took := m.end - m.begun; r.Duration <= 0 || r.Duration > took {
		r.Duration = took
	}
	m.lagging = s.lag.overlaps(e.due, m.end)
	s.deliver(m)
}

// once calls the probe and turns a panic into a result.
func (s *schedule) once(ctx context.Context, j *job) (r probes.Result) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		// What was panicked with may hold anything, a secret too; the runtime's own errors do not.
		cause := fmt.Sprintf("%T", v)
		if err, ok := v.(runtime.Error); ok {
			cause = err.Error()
		}
		s.log.Error("a probe panicked; please report this fault", "probe", j.id, "kind", j.kind, "cause", cause, "stack", string(debug.Stack()))
		r = probes.Result{Outcome: probes.Unknown, Reason: probes.Internal, Detail: "the probe itself failed (see the agent's log): " + cause}
	}()
	return (*j.probe.Load()).Probe(ctx)
}
