package incident

import (
	"testing"
	"time"
)

func TestOrderConcerns(t *testing.T) {
	whole := Incident{ID: "i", Root: Solution, Components: []string{"backend", "web-client"}, Priority: P1}
	one := Incident{ID: "j", Root: "backend", Components: []string{"backend"}, Priority: P2}
	own := Incident{ID: "k", Class: Agent}
	for _, c := range []struct {
		name  string
		order Order
		about Incident
		want  bool
	}{
		{"everything", Order{}, whole, true},
		{"everything, and the agent's own trouble", Order{}, own, true},
		{"one component", Order{Components: []string{"backend"}}, one, true},
		{"another component", Order{Components: []string{"web-client"}}, one, false},
		{"one component never hides the whole solution", Order{Components: []string{"backend"}}, whole, false},
		{"all of its components", Order{Components: []string{"web-client", "backend", "rdp"}}, whole, true},
		{"components are not the agent's own trouble", Order{Components: []string{"backend"}}, own, false},
		{"one incident", Order{Incident: "j", Priority: P2}, one, true},
		{"one incident that rose", Order{Incident: "j", Priority: P3}, one, false},
		{"one incident that fell", Order{Incident: "j", Priority: P1}, one, true},
		{"another incident", Order{Incident: "i", Priority: P1}, one, false},
	} {
		if got := c.order.Concerns(c.about); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestOrderIsActive(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 10, minute, 0, 0, time.UTC) }
	lasts := Order{Kind: OrderSilence, From: at(10), Until: at(20)}
	ended := lasts
	ended.Ended = at(15)
	late := lasts
	late.Ended = at(40) // a clock that was set: it is over when its time is
	for minute, want := range map[int][3]bool{9: {}, 10: {true, true, true}, 14: {true, true, true}, 15: {true, false, true}, 19: {true, false, true}, 20: {}} {
		if got := [3]bool{lasts.Active(at(minute)), ended.Active(at(minute)), late.Active(at(minute))}; got != want {
			t.Errorf("10:%02d: %v, want %v", minute, got, want)
		}
	}
	if (Order{}).Active(at(0)) {
		t.Error("the zero order is in force")
	}
	if _, ok := Silenced([]Order{lasts}, Incident{}, true, at(12)); ok {
		t.Error("the customer is silenced without a word")
	}
	if _, ok := Silenced([]Order{{Kind: OrderMaintenance, From: at(10), Until: at(20)}}, Incident{}, false, at(12)); ok {
		t.Error("maintenance silences people")
	}
}
