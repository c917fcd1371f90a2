package reconcile

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// crashing is a world in which the process dies behind its k-th write, to whomever, and is started again two seconds later.
type crashing struct {
	*world
	life  *death
	fakes []*fakeDesk
}

func newCrashing(t *testing.T, can desk.Capabilities, after int, lossy bool) *crashing {
	w := &crashing{world: newWorld(t), life: &death{after: after}}
	w.soc.can = can
	second := &fakeDesk{can: desk.Capabilities{DedupeOnCreate: true, ReadBack: true}}
	w.fakes = []*fakeDesk{w.soc, second}
	if lossy {
		for _, d := range w.fakes {
			d.faults = func(action string, n int) fault {
				if action != "get" && n%3 == 0 {
					return lose
				}
				return fine
			}
		}
	}
	w.o.Desks = nil
	for n, d := range w.fakes {
		w.o.Desks = append(w.o.Desks, Desk{Name: fmt.Sprint("desk", n), Desk: mortalDesk{d, w.life}})
	}
	w.o.Store = mortal{w.store, w.life}
	w.customer.life, w.oncall.life = w.life, w.life
	return w
}

// start runs the process, and the next one when it dies.
func (w *crashing) start() {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	w.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			life, kill := context.WithCancel(ctx)
			w.life.mu.Lock()
			w.life.kill, w.life.dead = kill, false
			w.life.mu.Unlock()
			New(w.o).Run(life)
			kill()
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	}()
}

// check says what must hold at the end of every story.
func (w *crashing) check(incidents ...incident.Incident) {
	w.t.Helper()
	for _, i := range incidents {
		w.settled(i.ID)
		for n, d := range w.fakes {
			of := 0
			for _, c := range d.cases {
				if c.Key == i.ID {
					of++
					if !over(c.State) {
						w.t.Errorf("desk %d: case %s is %s at the end", n, c.Number, c.State)
					}
				}
			}
			if of != 1 || d.mostly > 1 {
				w.t.Errorf("desk %d: %d cases of %s, %d live at once", n, of, i.ID, d.mostly)
			}
		}
	}
	for name, f := range map[string]*fakeNotifier{"customer": w.customer, "on-call": w.oncall} {
		ids := map[string]bool{}
		for _, m := range f.sent {
			ids[m.ID] = true
		}
		for _, i := range incidents {
			for _, kind := range []incident.NoticeKind{incident.NoticeOpened, incident.NoticeResolved} {
				r := route{notifier: "mail", audience: toCustomer}
				if name == "on-call" {
					r = route{notifier: "chat", audience: toOnCall}
				}
				if !ids[r.id(i.ID, kind, 0)] {
					w.t.Errorf("%s never got %s of %s: %v", name, kind, i.ID, ids)
				}
			}
		}
		sent := 0
		for _, n := range w.store.notices {
			if n.State == incident.NoticeSent && ids[n.ID] {
				sent++
			}
		}
		if sent != len(ids) {
			w.t.Errorf("%s: %d ids were sent, %d of them are kept as sent", name, len(ids), sent)
		}
		if len(f.sent) > len(ids)+1 { // only the message behind which the process died is sent twice
			w.t.Errorf("%s: %d messages of %d ids", name, len(f.sent), len(ids))
		}
	}
}

// long is a story with every step; short is over before anybody looked.
func (w *crashing) long() []incident.Incident {
	w.start()
	i := w.outage("web-client", incident.P2)
	w.wait(20 * time.Second)
	i = w.raise(i, incident.P1)
	w.wait(10 * time.Second)
	w.soc.person("SOC-1", "jens", incident.CaseAcknowledged, "")
	w.wait(16 * time.Second)
	w.soc.person("SOC-1", "jens", incident.CaseHeld, "answer?")
	w.wait(30 * time.Second)
	return []incident.Incident{w.recover(i)}
}

func (w *crashing) short() []incident.Incident {
	i := w.outage("web-client", incident.P2)
	i = w.recover(i)
	w.start()
	return []incident.Incident{i}
}

// Killed behind any write and started again: exactly one case at every desk at any time, all resolved, every notice at least
// once with one id.
func TestKilledBehindEveryWrite(t *testing.T) {
	desks := map[string]desk.Capabilities{
		"finds":      {Find: true, ReadBack: true, Transitions: true},
		"finds late": {Find: true, ReadBack: true, Transitions: true, Lag: 20 * time.Second},
		"dedupes":    {DedupeOnCreate: true},
	}
	stories := map[string]func(*crashing) []incident.Incident{"long": (*crashing).long, "short": (*crashing).short}
	for desk, can := range desks {
		for story, tell := range stories {
			for _, lossy := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, lossy %t", desk, story, lossy), func(t *testing.T) {
					lives := 0
					for k, more := 1, true; more && !t.Failed(); k++ {
						synctest.Test(t, func(t *testing.T) {
							w := newCrashing(t, can, k, lossy)
							incidents := tell(w)
							w.wait(2 * time.Minute)
							w.stop()
							w.check(incidents...)
							more = w.life.steps >= k
							if t.Failed() {
								t.Logf("killed behind write %d", k)
							}
						})
						lives = k
					}
					if lives < 15 {
						t.Errorf("only %d writes: the story does not happen", lives)
					}
				})
			}
		}
	}
}

// Killed again and again, a few writes apart.
func TestKilledAgainAndAgain(t *testing.T) {
	for every := 6; every <= 12; every++ { // an attempt must be durable and made in one life
		synctest.Test(t, func(t *testing.T) {
			w := newCrashing(t, desk.Capabilities{Find: true, ReadBack: true, Transitions: true, Lag: 5 * time.Second}, 0, true)
			w.life.after = -1
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ctx.Err() == nil {
					life, kill := context.WithCancel(ctx)
					w.life.mu.Lock()
					w.life.kill, w.life.dead, w.life.after = kill, false, w.life.steps+every
					w.life.mu.Unlock()
					New(w.o).Run(life)
					kill()
					select {
					case <-ctx.Done():
					case <-time.After(time.Second):
					}
				}
			}()
			i := w.outage("web-client", incident.P2)
			w.wait(4 * time.Minute)
			i = w.raise(i, incident.P1)
			w.wait(4 * time.Minute)
			i = w.recover(i)
			w.wait(10 * time.Minute)
			cancel()
			<-done
			w.settled(i.ID)
			for n, d := range w.fakes {
				if len(d.cases) != 1 || d.cases[0].State != incident.CaseResolved {
					t.Errorf("every %d: desk %d has %d cases, %+v", every, n, len(d.cases), d.cases)
				}
			}
			if w.customer.kinds() != "opened raised resolved" || w.oncall.kinds() != "opened raised resolved" {
				t.Errorf("every %d: customer got %q, on-call %q", every, w.customer.kinds(), w.oncall.kinds())
			}
		})
	}
}

// The clock is set back by an hour: nothing waits for it to come round again, and nothing is opened twice.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var offset atomic.Int64
		w.o.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		w.soc.faults = func(a string, n int) fault {
			if a == "open" && n <= 2 {
				return fail
			}
			return fine
		}
		w.customer.faults = func(n int) fault {
			if n <= 6 {
				return refuse
			}
			return fine
		}
		w.run()
		i := w.outage("web-client", incident.P2)
		w.wait(2 * time.Second)
		offset.Store(-int64(time.Hour))
		w.wait(45 * time.Second)
		w.soc.only(t)
		w.wait(20 * time.Second)
		offset.Store(-int64(2 * time.Hour))
		w.wait(30 * time.Second)
		if got := w.customer.kinds(); got != "opened" {
			t.Errorf("customer got %s", got)
		}
		w.recover(i)
		w.wait(time.Minute)
		w.settled(i.ID)
		w.stop()
	})
}
