//go:build servers && linux

package chaos

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// TestThreeAgents lets a solution fail and recover while its three agents are killed, frozen and cut off from each other, from the store,
// from the desk and from what they watch, each with a clock of its own: the desk never has two live cases, an outage that lasts
// always gets one, and all are resolved in the end. FIRSTCALL_CHAOS=N makes N runs (make chaos: 500), FIRSTCALL_SEED=N begins with
// that run.
func TestThreeAgents(t *testing.T) {
	runs, seed := number(t, "FIRSTCALL_CHAOS", 4), number(t, "FIRSTCALL_SEED", 1)
	database := servers.StartPostgres(t, "max_connections=500")
	url := database.Database(t, "firstcall")
	var mu sync.Mutex
	done, cases, faults := 0, 0, 0
	t.Cleanup(func() { t.Logf("%d runs, %d faults, %d cases", done, faults, cases) })
	for n := range runs {
		t.Run(fmt.Sprint(seed+n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, database, url, uint64(seed+n))
			f := w.run()
			mu.Lock()
			defer mu.Unlock()
			done, cases, faults = done+1, cases+len(w.desk.Cases()), faults+f
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
	w.wait(4 * time.Second)
	for _, a := range w.agents {
		if a.ended() {
			w.t.Fatalf("%s does not start:\n%s", a.name, a.logged())
		}
	}

	var later []undo
	begin := time.Now()
	breaks := begin.Add(w.between(0, 8*time.Second))
	mends := breaks.Add(w.between(3*time.Second, 20*time.Second))
	calm := begin.Add(w.between(12*time.Second, 22*time.Second))
	faults := 0
	for now := time.Now(); now.Before(calm); now = time.Now() {
		if now.After(breaks) && now.Before(mends) != w.broken.Load() {
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
		if w.rand.IntN(6) == 0 && len(later) < 4 {
			faults++
			later = append(later, w.fault(now))
		}
		w.wait(200 * time.Millisecond)
	}
	w.say("calm: every fault is over")
	for _, u := range later {
		u.do()
	}
	for _, a := range w.agents {
		a.signal(syscall.SIGCONT)
		a.drop(false, portStore, portDesk, portTarget, portWitness)
		a.start()
	}
	w.desk.LoseEvery(0)
	if !w.broken.Load() { // an outage that nothing disturbs any more
		w.wait(w.between(0, 6*time.Second))
		w.fail(true)
	}
	if !poll(60*time.Second, func() bool { return len(w.live()) > 0 }) {
		w.t.Errorf("seed %s: the outage has no case", w.t.Name())
	}
	w.wait(w.between(0, 4*time.Second))
	w.fail(false)
	if !poll(90*time.Second, func() bool { return len(w.live()) == 0 }) {
		w.t.Errorf("seed %s: the outage is over, and its case is not: %s", w.t.Name(), keys(w.live()))
	}
	w.wait(3 * time.Second)
	for _, a := range w.agents {
		if a.ended() {
			w.t.Errorf("%s ended on its own", a.name)
		}
		a.stop()
	}
	if live := w.live(); len(live) > 0 {
		w.t.Errorf("seed %s: a case is live after the end: %s", w.t.Name(), keys(live))
	}
	return faults
}

func (w *world) fail(broken bool) {
	w.broken.Store(broken)
	w.say("the solution is broken: %t", broken)
}

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rand.Int64N(int64(most-least)))
}

func (w *world) wait(d time.Duration) { <-time.After(d) }

// fault does something to an agent, or to all of them, and returns how to undo it.
func (w *world) fault(now time.Time) undo {
	a := w.agents[w.rand.IntN(len(w.agents))]
	u := undo{at: now.Add(w.between(300*time.Millisecond, 12*time.Second))}
	cut := func(what string, ports ...int) {
		u.what = a.name + " does not reach " + what
		a.drop(true, ports...)
		u.do = func() { a.drop(false, ports...) }
	}
	switch w.rand.IntN(10) {
	case 0, 1:
		u.what, u.do = a.name+" is killed", a.start
		a.kill()
	case 2:
		u.what, u.do = a.name+" is stopped", a.start
		a.stop()
	case 3, 4:
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
	if w.most > 1 {
		w.t.Errorf("there were %d live cases at once, for %s", w.most, w.twice)
	}
	if len(w.desk.Cases()) == 0 {
		w.t.Error("there was no case")
	}
	if !w.t.Failed() {
		return
	}
	w.t.Logf("the story:\n%s", strings.Join(w.story, "\n"))
	for _, a := range w.agents {
		w.t.Logf("%s:\n%s", a.name, a.logged())
	}
}
