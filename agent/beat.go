package agent

import (
	"context"
	"time"

	"github.com/firstcall-agent/firstcall/incident/store"
)

// renewEvery is well below the time for which a lead lasts.
const renewEvery = time.Second

// beat keeps the lead of the one agent that there is, until ctx ends.
func (a *Agent) beat(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(renewEvery):
		}
		round, err := a.store.Beat(ctx, store.Beat{Wants: true, Now: a.clock.Now()})
		if err == nil && round.Leading && a.store.Leading() != nil {
			a.store.Lead(round.Epoch)
		}
	}
}
