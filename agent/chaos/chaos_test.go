//go:build servers && linux

package chaos

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// number returns an environment variable's number, or otherwise.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// tally is what all runs had together.
type tally struct {
	mu                  sync.Mutex
	done, cases, faults int
	lagged              int             // times that an agent did not get to run: frozen, or on a machine that is overloaded
	late                int             // runs in which a case of an outage that was over was live beside another's
	covered, stops      []time.Duration // from the first failing probe of an outage to its case; the slowest stop of each agent
}

func (s *tally) add(w *world, faults int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.cases, s.faults = s.done+1, s.cases+len(w.desk.Cases()), s.faults+faults
	if w.late > 0 {
		s.late++
	}
	if w.covering > 0 {
		s.covered = append(s.covered, w.covering)
	}
	for _, a := range w.agents {
		a.mu.Lock()
		s.stops = append(s.stops, a.slowest)
		a.mu.Unlock()
		s.lagged += strings.Count(a.log.String(), "the agent is lagging")
	}
}

func (s *tally) String() string {
	half := func(list []time.Duration) string {
		if len(list) == 0 {
			return "none"
		}
		slices.Sort(list)
		at := func(share float64) time.Duration {
			return list[int(share*float64(len(list)-1))].Round(time.Millisecond)
		}
		return fmt.Sprintf("p50 %s, p95 %s, most %s", at(0.5), at(0.95), at(1))
	}
	return fmt.Sprintf("%d runs, %d faults, %d cases; from the first failing probe to a case: %s; stops: %s; in %d runs a case of an outage that was over was not yet resolved when the next began; agents lagged %d times",
		s.done, s.faults, s.cases, half(s.covered), half(s.stops), s.late, s.lagged)
}

// TestThreeAgents lets a solution fail and recover while its three agents are killed, stopped, frozen and cut off from each other, from the
// store, from the desk and from what they watch, each with a clock of its own, and while the desk is slow, refuses, or loses answers. What must
// hold:
//
//   - the desk never has two live cases for one outage;
//   - an outage that lasts has a case within a minute of the last fault, and one that all see is priority 1;
//   - no case is opened before anything failed, and what one vantage alone cannot reach is priority 4 at the most;
//   - in the end every case is resolved, and every incident and notice settled;
//   - an agent that is told to stop does, whatever it cannot reach.
//
// FIRSTCALL_CHAOS=N makes N runs (make chaos: 500), FIRSTCALL_SEED=N begins with that run.
func TestThreeAgents(t *testing.T) {
	runs, seed := number(t, "FIRSTCALL_CHAOS", 3), number(t, "FIRSTCALL_SEED", 1)
	database := servers.StartPostgres(t, "max_connections=500")
	url := database.Database(t, "firstcall")
	all := &tally{}
	t.Cleanup(func() { t.Log(all) })
	for n := range runs {
		t.Run(fmt.Sprint(seed+n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, database, url, uint64(seed+n))
			all.add(w, w.run())
			w.judge()
		})
	}
}

// undo is a fault that will be over.
type undo struct {
	at   time.Time
	what string
	do   func()
}

// run plays one story and returns how many faults it had.
func (w *world) run() int {
	done, watched := make(chan struct{}), make(chan struct{})
	go func() { defer close(watched); w.watch(done) }()
	defer func() { close(done); <-watched }()
	for _, a := range w.agents {
		a.start()
		w.wait(time.Duration(w.rand.IntN(1000)) * time.Millisecond)
	}
	for _, a := range w.agents {
		if !probetest.Eventually(time.Minute, func() bool { return a.ended() || strings.Contains(a.log.String(), "the agent watches") }) || a.ended() {
			w.t.Errorf("%s does not start:\n%s", a.name, a.log.String())
			return 0
		}
	}
	w.wait(3 * time.Second)
	faults := 0
	if w.rand.IntN(4) == 0 {
		faults++
		w.alone()
	}
	faults += w.chaos()
	w.calm()
	for _, a := range w.agents {
		if a.ended() {
			w.t.Errorf("%s ended on its own", a.name)
		}
		a.ask()
	}
	for _, a := range w.agents {
		a.await()
	}
	if live := w.live(); len(live) > 0 {
		w.t.Errorf("a case is live after the end: %s", keys(live))
	}
	return faults
}

// alone cuts one vantage off from the solution, and nothing else.
func (w *world) alone() {
	w.wait(3 * time.Second) // until all have heard of each other
	a := w.agents[w.rand.IntN(len(w.agents))]
	w.say("%s alone does not reach the solution", a.name)
	w.only(true)
	a.drop(true, portTarget)
	w.troubled()
	w.wait(w.between(3*time.Second, 8*time.Second))
	a.drop(false, portTarget)
	w.troubled()
	w.say("it does again")
	if !probetest.Eventually(60*time.Second, func() bool { return len(w.live()) == 0 }) {
		w.t.Errorf("a case of one vantage is not resolved: %s", keys(w.live()))
	}
	w.wait(2 * time.Second)
	w.only(false)
}

func (w *world) only(one bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.one = one
}

// chaos breaks the solution, and anything at random, for a while, and returns how many faults there were.
func (w *world) chaos() (faults int) {
	var later []undo
	begin := time.Now()
	breaks := begin.Add(w.slowly(0, 8*time.Second))
	mends := breaks.Add(w.slowly(3*time.Second, 20*time.Second))
	calm := begin.Add(w.slowly(12*time.Second, 22*time.Second))
	for now := time.Now(); now.Before(calm); now = time.Now() {
		if now.After(breaks) && now.Before(mends) != w.target.Broken.Load() {
			w.fail(now.Before(mends))
		}
		kept := later[:0]
		for _, u := range later {
			if now.Before(u.at) {
				kept = append(kept, u)
				continue
			}
			w.say("%s: over", u.what)
			u.do()
		}
		later = kept
		if w.rand.IntN(6*w.slower) == 0 && len(later) < 4 {
			faults++
			later = append(later, w.fault(now))
		}
		w.troubled()
		w.wait(200 * time.Millisecond)
	}
	for _, u := range later {
		u.do()
	}
	for _, a := range w.agents {
		a.start()
	}
	w.desk.LoseEvery(0)
	w.troubled()
	w.say("calm: every fault is over")
	return faults
}

// calm lets an outage be that nothing disturbs any more, and waits for its end and that of all else.
func (w *world) calm() {
	fresh := !w.target.Broken.Load()
	if !w.target.Broken.Load() {
		if w.rand.IntN(2) == 0 { // else it may begin while cases of before are not yet resolved
			probetest.Eventually(60*time.Second, func() bool { return len(w.live()) == 0 })
		}
		w.wait(w.between(2*time.Second, 6*time.Second))
		w.fail(true)
	}
	since := time.Now()
	if !probetest.Eventually(60*time.Second, func() bool { return w.covered("") }) {
		w.t.Error("the outage has no case after a minute")
	}
	if took := time.Since(since); fresh && took < stale {
		w.covering = took
	}
	if !probetest.Eventually(60*time.Second, func() bool { return w.covered("p1") }) {
		w.t.Error("an outage that all see is not priority 1 after a minute")
	}
	w.wait(w.between(0, 4*time.Second))
	w.fail(false)
	if !probetest.Eventually(90*time.Second, func() bool { return len(w.live()) == 0 }) {
		w.t.Errorf("the outage is over, and its case is not: %s", keys(w.live()))
	}
	left := ""
	if !probetest.Eventually(60*time.Second, func() bool { left = w.settled(); return left == "" }) {
		w.t.Errorf("something is left after all is over: %s", left)
	}
}

func (w *world) fail(broken bool) {
	w.target.Broken.Store(broken)
	w.troubled()
	w.say("the solution is broken: %t", broken)
}

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rand.Int64N(int64(most-least)))
}

// slowly is between, for so much longer in a run of slow faults.
func (w *world) slowly(least, most time.Duration) time.Duration {
	return w.between(time.Duration(w.slower)*least, time.Duration(w.slower)*most)
}

func (w *world) wait(d time.Duration) { <-time.After(d) }

// fault does something to an agent, to all of them, or to the desk, and returns how to undo it.
func (w *world) fault(now time.Time) undo {
	a := w.agents[w.rand.IntN(len(w.agents))]
	for range w.agents { // one that stops is left alone
		if a.asked.IsZero() {
			break
		}
		a = w.agents[(slices.Index(w.agents, a)+1)%len(w.agents)]
	}
	u := undo{at: now.Add(w.slowly(300*time.Millisecond, 12*time.Second))}
	cut := func(what string, ports ...int) {
		u.what = a.name + " does not reach " + what
		a.drop(true, ports...)
		u.do = func() { a.drop(false, ports...) }
	}
	switch w.rand.IntN(12) {
	case 0, 1:
		u.what, u.do = a.name+" is killed", a.start
		a.kill()
	case 2:
		u.what, u.do = a.name+" is told to stop", a.start
		a.ask()
	case 3, 4:
		if !a.asked.IsZero() {
			u.what, u.do = "nothing", func() {}
			break
		}
		u.what, u.do = a.name+" is frozen", func() { a.signal(syscall.SIGCONT) }
		a.signal(syscall.SIGSTOP)
	case 5:
		cut("the store", portStore)
	case 6:
		cut("the desk", portDesk)
	case 7:
		cut("the solution", portTarget)
	case 8:
		cut("anything", portStore, portDesk, portTarget, portWitness)
	case 9:
		u.what, u.do = "the desk refuses", func() { w.desk.Refuse(0) }
		w.desk.Refuse(503)
	case 10:
		slow := w.between(500*time.Millisecond, 3*time.Second) // its time-out is 2 s
		u.what, u.do = fmt.Sprintf("the desk takes %s", slow.Round(time.Millisecond)), func() { w.desk.Delay(0) }
		w.desk.Delay(slow)
	default:
		u.what = "nobody reaches the store"
		for _, a := range w.agents {
			a.drop(true, portStore)
		}
		u.do = func() {
			for _, a := range w.agents {
				a.drop(false, portStore)
			}
		}
	}
	if w.rand.IntN(3) == 0 {
		n := w.rand.IntN(4) // 0: none any more
		w.say("the desk loses every %dth answer", n)
		w.desk.LoseEvery(n)
	}
	w.say("%s", u.what)
	return u
}

// judge says what must hold of a run that is over, and tells its story where it does not.
func (w *world) judge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for numbers, looks := range w.doubles {
		if !w.belated(numbers) {
			w.t.Errorf("an outage had two live cases, for %d looks: %s", looks, numbers)
		}
	}
	if len(w.lone) > 0 {
		w.t.Errorf("one vantage alone did not reach the solution, and there was %s", w.lone[0])
	}
	for _, c := range w.desk.Cases() {
		n := w.of(c)
		if n < 0 || !w.outages[n].to.IsZero() && c.Created.Sub(w.outages[n].to) > time.Minute {
			w.t.Errorf("case %s was opened while nothing was wrong", keys([]servers.WebhookCase{c}))
		}
	}
	if !w.t.Failed() {
		return
	}
	w.t.Logf("the story, from %s:\n%s", w.began.UTC().Format("15:04:05.000"), strings.Join(w.story, "\n"))
	w.t.Logf("what is stored:\n%s", w.stored())
	for _, a := range w.agents {
		w.t.Logf("%s:\n%s", a.name, a.log.String())
	}
}
