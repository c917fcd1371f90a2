package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// crowd returns an engine of n components with one probe each, which all answered once.
func crowd(b *testing.B, n int) (e *Engine, ids []string, now time.Time) {
	var all []policy.Component
	for i := range n {
		c := one(fmt.Sprintf("c%04d", i))
		if i > 0 {
			c.DependsOn = []string{"c0000"}
		}
		all = append(all, c)
		ids = append(ids, c.Name+"/tcp")
	}
	w := newWorld(b, all...)
	e, _, err := New(w.setup, nil, nil, t0)
	if err != nil {
		b.Fatal(err)
	}
	now = t0
	for _, id := range append(ids, "witness/w") {
		now = now.Add(time.Millisecond)
		r := up()
		r.Probe, r.Start = id, now
		e.Observe(r)
	}
	return e, ids, now
}

// BenchmarkObserve is one good result while nothing is wrong: it must not depend on how many components there are.
func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{10, 1000, 5000} {
		for _, peers := range []int{0, 2} {
			b.Run(fmt.Sprintf("%d, %d peers", n, peers), func(b *testing.B) {
				e, ids, now := crowd(b, n)
				e.Hear(now, votesOf(e, peers))
				r := up()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					now = now.Add(time.Millisecond)
					r.Probe, r.Start = ids[i%n], now
					e.Observe(r)
				}
			})
		}
	}
}

// votesOf returns the votes of so many peers that see what the engine sees.
func votesOf(e *Engine, peers int) (all []Vote) {
	for n := range peers {
		v := e.Vote()
		v.Vantage = fmt.Sprintf("peer%d", n)
		all = append(all, v)
	}
	return all
}

// BenchmarkBeat is what every beat costs a leader with two peers, and the second after it.
func BenchmarkBeat(b *testing.B) {
	var p Packer
	for _, n := range []int{1000} {
		e, ids, now := crowd(b, n)
		beat := func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Second)
				if _, err := p.Encode(e.Vote()); err != nil {
					b.Fatal(err)
				}
				e.Hear(now, votesOf(e, 2))
				e.Tick(now)
			}
		}
		b.Run(fmt.Sprintf("%d well", n), beat)
		collapse(e, ids, now)
		b.Run(fmt.Sprintf("%d down", n), beat)
	}
}

// BenchmarkTick is what every second costs while nothing is wrong, and while everything is down.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		e, ids, now := crowd(b, n)
		tick := func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Second)
				e.Tick(now)
			}
		}
		b.Run(fmt.Sprintf("%d well", n), tick)
		collapse(e, ids, now)
		b.Run(fmt.Sprintf("%d down", n), tick)
	}
}

// BenchmarkCollapse is a whole solution that fails within ten seconds: every result until all is in one incident.
func BenchmarkCollapse(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				e, ids, now := crowd(b, n)
				b.StartTimer()
				collapse(e, ids, now)
				if len(e.s.Open) != 1 {
					b.Fatalf("%d open", len(e.s.Open))
				}
			}
		})
	}
}

func collapse(e *Engine, ids []string, now time.Time) {
	for run := range 4 {
		for i, id := range ids {
			at := now.Add(time.Duration(run)*2*time.Second + time.Duration(i)*time.Millisecond)
			if i == 0 {
				w := up()
				w.Probe, w.Start = "witness/w", at
				e.Observe(w)
			}
			r := refused()
			r.Probe, r.Start, r.Recheck = id, at, run > 0
			r.Duration = probes.Result{}.Duration
			e.Observe(r)
		}
	}
	e.Tick(now.Add(20 * time.Second))
}
