package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// tellEvery is how often the fleet hears of the agent: four times before it is taken for silent.
const tellEvery = 15 * time.Second

// tell tells the fleet of the tenant, again and again, until ctx ends: facts when they are new, what is believed now every time. Of several
// agents the one that leads does. It only observes: what fails is logged once, and nothing waits for it.
func (a *Agent) tell(ctx context.Context) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	told, failed := (*set)(nil), false
	for {
		shared := a.store.shared.Load()
		if shared == nil || !a.judge.leads() {
			told = nil
		} else {
			s := a.set.Load()
			err := a.tellOnce(ctx, shared, s, s != told)
			switch {
			case err == nil:
				told, failed = s, false
			case !failed && ctx.Err() == nil && !errors.Is(err, store.ErrNotLeading):
				failed = true
				a.log.Warn("the fleet does not hear of this agent; it probes and judges as before", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tellOnce tells what is believed now, and facts where they are new.
func (a *Agent) tellOnce(ctx context.Context, to *store.Store, s *set, fresh bool) error {
	var facts []byte
	if fresh {
		facts, _ = json.Marshal(a.fleetFacts(s)) // texts only: it does not fail
	}
	status, _ := json.Marshal(a.fleetStatus())
	ctx, cancel := context.WithTimeout(ctx, tellEvery)
	defer cancel()
	return to.TellFleet(ctx, facts, status)
}

func (a *Agent) fleetFacts(s *set) fleet.Facts {
	c := s.config
	f := fleet.Facts{Name: c.Tenant.Name, Labels: c.Tenant.Labels, URL: c.Web.ExternalURL, Vantage: c.Vantage, Version: a.o.Version}
	const most = 100 // components that are told, so that it keeps within its bound
	for n, m := range c.Components {
		if n < most {
			f.Components = append(f.Components, m.Name)
		}
	}
	return f
}

func (a *Agent) fleetStatus() fleet.Status {
	v, now := a.judge.current(), a.clock.Now()
	s := fleet.Status{At: now, Outcome: v.Outcome.String(), Blind: v.Blind, Trouble: cmp.Or(a.silent(), first(a.Health().Trouble(now))), Components: map[string]string{}}
	const most = 100
	for _, c := range v.Components {
		if c.Outcome != probes.Up && len(s.Components) < most {
			s.Components[c.Name] = c.Outcome.String()
		}
	}
	return s
}

// first is what stands first of what is wrong, and how much more is.
func first(trouble []string) string {
	switch len(trouble) {
	case 0:
		return ""
	case 1:
		return trouble[0]
	}
	return fmt.Sprintf("%s (and %d more)", trouble[0], len(trouble)-1)
}
