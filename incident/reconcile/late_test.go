package reconcile

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// lateDesk reads a case back by its search, as the webhook desk does: within the lag after its create it knows it not.
type lateDesk struct{ *fakeDesk }

func (d lateDesk) Get(ctx context.Context, ref string) (desk.Case, error) {
	c, err := d.fakeDesk.Get(ctx, ref)
	if err == nil && time.Since(c.Created) < d.can.Lag {
		return desk.Case{}, fmt.Errorf("desk fake: case %s: %w", ref, incident.ErrNotFound)
	}
	return c, err
}

// A case that cannot be read back yet is not gone: it must be resolved like any other.
func TestACaseThatShowsLateIsResolved(t *testing.T) {
	for _, lasts := range []time.Duration{0, 2 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.soc.can.Lag = 20 * time.Second
			w.o.Desks = []Desk{{Name: "soc", Desk: lateDesk{w.soc}}}
			i := w.outage("web-client", incident.P2)
			if lasts == 0 { // over before anybody looked
				w.recover(i)
			}
			w.run()
			w.wait(lasts)
			if lasts > 0 {
				w.recover(i)
			}
			w.wait(3 * time.Minute)
			w.stop()
			w.settled(i.ID)
			if c := w.soc.only(t); c.State != incident.CaseResolved {
				t.Errorf("lasted %s: the case is %s at the end, timeline %s", lasts, c.State, w.events(i.ID))
			}
		})
	}
}

// The answer to a create is lost, and the incident is raised before it is repeated, at a desk that drops what it has: the repetition
// is the same as the attempt, and the desk hears of the raise, whatever else befalls it.
func TestARaiseBeforeARepeatedCreateIsTold(t *testing.T) {
	for name, next := range map[string]fault{"taken": fine, "lost again": lose, "refused": refuse, "failed": fail} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.soc.can = desk.Capabilities{DedupeOnCreate: true}
				w.soc.faults = func(action string, n int) fault {
					switch {
					case action == "open" && n == 1:
						return lose
					case action == "open" && n == 2:
						return next
					}
					return fine
				}
				i := w.outage("web-client", incident.P3)
				w.run()
				w.wait(100 * time.Millisecond)
				i = w.raise(i, incident.P1)
				w.wait(20 * time.Second)
				c := w.soc.only(t)
				if want := []incident.Priority{incident.P3, incident.P3, incident.P3}[:len(w.soc.asked)]; !slices.Equal(w.soc.asked, want) {
					t.Errorf("asked for cases at %v, want %v", w.soc.asked, want)
				}
				if c.Priority != incident.P1 || len(c.notes) == 0 || !strings.Contains(c.notes[0].Text, "P1") {
					t.Errorf("the desk has %s with the notes %+v, want P1 and why", c.Priority, c.notes)
				}
				w.recover(i)
				w.wait(time.Minute)
				w.stop()
				w.settled(i.ID)
				w.soc.only(t)
			})
		})
	}
}

// raisingStore raises an incident right before its create reads it anew: its timeline was read before.
type raisingStore struct {
	Store
	once  sync.Once
	raise func()
}

func (s *raisingStore) Incident(ctx context.Context, id string) (incident.Incident, error) {
	if by, _, _, _ := runtime.Caller(1); strings.HasSuffix(runtime.FuncForPC(by).Name(), "reload") { // others read it, too
		s.once.Do(s.raise)
	}
	return s.Store.Incident(ctx, id)
}

// The same where it is raised between what is read for the attempt: whatever that says, the repetition says it again.
func TestARaiseInTheMiddleOfACreateIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.soc.can = desk.Capabilities{DedupeOnCreate: true}
		w.soc.faults = func(action string, n int) fault {
			if action == "open" && n == 1 {
				return lose
			}
			return fine
		}
		i := w.outage("web-client", incident.P3)
		w.o.Store = &raisingStore{Store: w.o.Store, raise: func() { w.raise(i, incident.P1) }}
		w.run()
		w.wait(20 * time.Second)
		if len(w.soc.asked) != 2 || w.soc.asked[0] != w.soc.asked[1] {
			t.Errorf("asked for cases at %v, want the same twice", w.soc.asked)
		}
		if c := w.soc.only(t); c.Priority != incident.P1 {
			t.Errorf("the desk has %s, want P1", c.Priority)
		}
		w.stop()
	})
}
