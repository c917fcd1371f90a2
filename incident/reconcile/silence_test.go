package reconcile

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// hush is what people silenced.
type hush struct {
	mu  sync.Mutex
	all []incident.Order
}

func (h *hush) order(o incident.Order, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.Kind, o.Actor, o.Reason, o.From = incident.OrderSilence, "mette", "known, the vendor works on it", time.Now()
	o.Until = o.From.Add(d)
	h.all = append(h.all, o)
}

func (h *hush) silenced(i incident.Incident, customer bool, at time.Time) (incident.Order, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return incident.Silenced(h.all, i, customer, at)
}

func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name             string
		order            incident.Order
		before           bool // silenced before the incident begins
		lasts, silent    time.Duration
		raise            bool
		oncall, customer string
	}{
		{
			"of its component, before it began and beyond its end: nobody but the customer is told anything",
			incident.Order{Components: []string{"web-client"}},
			true, 20 * time.Minute, time.Hour, false, "", "opened resolved",
		},
		{"of its component, ended first: it is told then", incident.Order{Components: []string{"web-client"}}, true, time.Hour, 20 * time.Minute, false, "opened resolved", "opened status.1 resolved"},
		{"of another component", incident.Order{Components: []string{"backend"}}, true, 20 * time.Minute, time.Hour, false, "opened resolved", "opened resolved"},
		{"after it was told: the close is told all the same", incident.Order{}, false, 20 * time.Minute, time.Hour, false, "opened resolved", "opened resolved"},
		{"of the customer too", incident.Order{Customer: true}, false, 70 * time.Minute, 2 * time.Hour, false, "opened resolved", "opened resolved"},
		{"of one incident, which rises: that is told", incident.Order{Incident: "it", Priority: incident.P2}, false, 20 * time.Minute, time.Hour, true, "opened raised resolved", "opened raised resolved"},
		{"of everything: that it rises waits for the end of the silence", incident.Order{}, false, time.Hour, 20 * time.Minute, true, "opened raised resolved", "opened raised status.1 resolved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, h := newWorld(t), &hush{}
				w.o.Silenced = h.silenced
				w.run()
				if c.before {
					h.order(c.order, c.silent)
				}
				i := w.outage("web-client", incident.P2)
				w.wait(time.Minute)
				if !c.before {
					if c.order.Incident != "" {
						c.order.Incident = i.ID
					}
					h.order(c.order, c.silent)
				}
				if c.raise {
					i = w.raise(i, incident.P1)
				}
				w.wait(2 * time.Minute)
				if c.before && c.oncall == "" {
					if s := w.life.Status(); s.Notifiers["chat"].Pending != 0 {
						t.Errorf("what is silenced counts as a backlog: %+v", s.Notifiers["chat"])
					}
				}
				w.wait(c.lasts)
				w.recover(i)
				w.wait(time.Minute)
				if got := w.oncall.kinds(); got != c.oncall {
					t.Errorf("on-call was told %q, want %q", got, c.oncall)
				}
				if got := w.customer.kinds(); strings.ReplaceAll(got, " status.2", "") != c.customer {
					t.Errorf("the customer was told %q, want %q", got, c.customer)
				}
				w.stop()
			})
		})
	}
}

// What a person said when silencing is for colleagues: no body of a case, which the customer may read, tells it.
func TestSilenceStandsInNoCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		i := w.outage("web-client", incident.P2)
		for n, kind := range []incident.EventKind{incident.EventSilenced, incident.EventUnsilenced, incident.EventMaintenance} {
			w.store.mu.Lock()
			w.store.append([]incident.Event{{Incident: i.ID, At: time.Now().Add(time.Duration(n)), Kind: kind, Actor: "mette", Text: "they pulled the plug again"}})
			w.store.mu.Unlock()
		}
		w.run()
		w.wait(time.Minute)
		w.stop()
		if len(w.soc.cases) != 1 || !strings.Contains(w.soc.cases[0].body, " opened: ") || strings.Contains(w.soc.cases[0].body, "pulled the plug") {
			t.Errorf("the case says %+v", w.soc.cases)
		}
	})
}
