package agent

import (
	"context"
	"testing"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// slow is a store that answers when it is told to, whoever waits no more.
type slow struct {
	reconcile.Store
	asked  chan struct{} // a token for each question
	answer chan struct{}
}

// Incidents implements reconcile.Store.
func (s slow) Incidents(ctx context.Context, _ store.IncidentFilter) ([]incident.Incident, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.answer
	return nil, ctx.Err()
}

// A reload that waits for the end of the reconciler, while the agent's role begins anew, starts no second one beside that of the role.
func TestAReloadStartsNoReconcilerBesideThatOfARole(t *testing.T) {
	c, err := config.Load(newSite(t, newTarget(t), newTarget(t)).file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Options{Config: c, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	from := slow{asked: make(chan struct{}, 1), answer: make(chan struct{})}
	a.startDesks(a.set.Load(), from, nil, 0)
	<-from.asked
	first, restarted := a.desks.Load(), make(chan struct{})
	go func() {
		defer close(restarted)
		a.restartDesks(a.set.Load())
	}()
	<-first.ctx.Done()
	a.startDesks(a.set.Load(), a.store.shared.Load(), nil, 0) // the role, whose reconciler has ended
	ofRole := a.desks.Load()
	close(from.answer)
	<-restarted
	if a.desks.Load() != ofRole {
		t.Error("two reconcilers run, and one of them is known to nobody")
	}
	a.endDesks()
	<-a.desks.Load().done
	ofRole.cancel()
	<-ofRole.done
}
