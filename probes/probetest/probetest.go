// Package probetest is the contract that every kind of probe keeps, as code.
//
// A kind's test describes targets of its kind (a healthy one, a silent one, hostile ones) in a Case and calls Run. Peers gives
// the hostile TCP servers that any kind over TCP must survive, Check judges a single result.
package probetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// Target starts something to probe, which ends with t's clean-up, and returns a valid probe of it.
type Target func(t *testing.T) probes.Probe

// Case is what a kind shows to the contract.
type Case struct {
	Kind      string     // the registered name
	Good      Target     // answers as expected: every run is Up
	Silent    Target     // takes what it is sent and never answers: every run is Down, Timeout
	Unproven  bool       // silence proves nothing, as that of a control plane does: every run of Silent is Unknown, Local
	Heavy     bool       // it works through a program beside the agent: its limits and margins are ten times as long
	Scenarios []Scenario // broken and hostile targets; see Peers
}

// scaled returns a limit as it holds for the kind.
func (c Case) scaled(limit time.Duration) time.Duration {
	if c.Heavy {
		return 10 * limit
	}
	return limit
}

// Scenario is a target with the verdict that it must get.
type Scenario struct {
	Name    string
	Target  Target
	Timeout time.Duration                            // of the run; 0: 10 s, which no target that fails by itself needs
	Outcome probes.Outcome                           // wanted
	Reasons []probes.Reason                          // wanted: any of these; none given: any that goes with the outcome
	Verify  func(t *testing.T, result probes.Result) // looks closer; may be nil
}

const (
	// margin is how late a run may end: the machine that tests may be busy.
	margin = 400 * time.Millisecond
	// maxHeap is what one run may add to the heap at most, in bytes, whatever the target does.
	maxHeap = 8 << 20
	// slack is the Timeout of scenarios that state none.
	slack = 10 * time.Second
)

// Run holds a kind to the contract. It measures goroutines, descriptors and memory of the whole process, so neither it nor what
// runs beside it may be parallel.
func Run(t *testing.T, c Case) {
	kind, ok := probes.Lookup(c.Kind)
	if !ok {
		t.Fatalf("no kind %q is registered", c.Kind)
	}
	t.Run("registered", func(t *testing.T) { registered(t, kind) })
	t.Run("good", func(t *testing.T) { good(t, kind, c) })
	t.Run("good at once", func(t *testing.T) { together(t, kind, c) })
	t.Run("deadline", func(t *testing.T) { deadline(t, kind, c) })
	t.Run("cancel", func(t *testing.T) { cancelled(t, kind, c, c.scaled(50*time.Millisecond)) })
	t.Run("cancelled before", func(t *testing.T) { cancelled(t, kind, c, 0) })
	for _, s := range c.Scenarios {
		t.Run(s.Name, func(t *testing.T) { scenario(t, kind, c, s) })
	}
}

func registered(t *testing.T, kind probes.Kind) {
	if kind.Doc == "" || len(kind.Phases) == 0 {
		t.Errorf("kind %s has no Doc or no Phases", kind.Name)
	}
	if a, b := kind.New(), kind.New(); a == b {
		t.Errorf("kind %s: New returns the same probe twice", kind.Name)
	}
}

func good(t *testing.T, kind probes.Kind, c Case) {
	noLeak(t)
	p := c.Good(t)
	for range 10 {
		r := once(t, kind, p, c.scaled(slack))
		if r.Outcome != probes.Up {
			t.Fatalf("a healthy target is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
		if len(r.Phases) == 0 {
			t.Error("a run that is up has no phases")
		}
	}
}

func together(t *testing.T, kind probes.Kind, c Case) {
	noLeak(t)
	p := c.Good(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if r := once(t, kind, p, c.scaled(slack)); r.Outcome != probes.Up {
				t.Errorf("a healthy target, probed by several at once, is %s, %s: %s", r.Outcome, r.Reason, r.Detail)
			}
		})
	}
	all.Wait()
}

func deadline(t *testing.T, kind probes.Kind, c Case) {
	noLeak(t)
	p := c.Silent(t)
	limit := c.scaled(400 * time.Millisecond)
	late := lateness(limit)
	began := time.Now()
	r := once(t, kind, p, limit)
	took := time.Since(began)
	if over := took - limit; over > c.scaled(margin)+late() {
		t.Errorf("ended %s after its deadline", over)
	}
	outcome, reason := probes.Down, probes.Timeout
	if c.Unproven {
		outcome, reason = probes.Unknown, probes.Local
	}
	if r.Outcome != outcome || r.Reason != reason {
		t.Errorf("a silent target is %s, %s (%s), want %s, %s", r.Outcome, r.Reason, r.Detail, outcome, reason)
	}
}

func cancelled(t *testing.T, kind probes.Kind, c Case, after time.Duration) {
	noLeak(t)
	p := c.Silent(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	late := lateness(after)
	if after == 0 {
		cancel()
	}
	stop := time.AfterFunc(after, cancel)
	defer stop.Stop()
	began := time.Now()
	r := p.Probe(ctx)
	if over := time.Since(began) - after; over > c.scaled(margin)+late() {
		t.Errorf("ended %s after it was cancelled", over)
	}
	Check(t, kind, r)
	if r.Outcome != probes.Unknown || r.Reason != probes.Local {
		t.Errorf("a cancelled run is %s, %s (%s), want unknown, local", r.Outcome, r.Reason, r.Detail)
	}
}

func scenario(t *testing.T, kind probes.Kind, c Case, s Scenario) {
	noLeak(t)
	p := s.Target(t)
	limit := c.scaled(s.Timeout)
	if limit == 0 {
		limit = c.scaled(slack)
	}
	late, heap := lateness(limit), watchHeap()
	began := time.Now()
	r := once(t, kind, p, limit)
	took := time.Since(began)
	if grown := heap(); grown > maxHeap {
		t.Errorf("the heap grew by %d KiB, at most %d are allowed", grown>>10, maxHeap>>10)
	}
	if took > limit+c.scaled(margin)+late() {
		t.Errorf("took %s, the deadline was %s", took, limit)
	}
	if s.Timeout == 0 && r.Reason == probes.Timeout {
		t.Errorf("the target failed by itself, and yet the run waited for its deadline")
	}
	if r.Outcome != s.Outcome || (len(s.Reasons) > 0 && !slices.Contains(s.Reasons, r.Reason)) {
		t.Errorf("result is %s, %q (%s), want %s, one of %q", r.Outcome, r.Reason, r.Detail, s.Outcome, s.Reasons)
	}
	if s.Verify != nil {
		s.Verify(t, r)
	}
}

// once runs p and checks its result against the clock of the caller.
func once(t *testing.T, kind probes.Kind, p probes.Probe, limit time.Duration) probes.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	r := p.Probe(ctx)
	ended := time.Now()
	Check(t, kind, r)
	if r.Start.Before(began) || r.End().After(ended) {
		t.Errorf("the result says %s to %s, the run was from %s to %s", r.Start, r.End(), began, ended)
	}
	return r
}
