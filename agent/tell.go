package agent

import (
	"context"
	"encoding/json"
	"time"

	"github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/probes"
)

// tellEvery is how often the fleet hears of the agent: four times before it is taken for silent.
const tellEvery = 15 * time.Second

// tell tells the fleet of the tenant, again and again, until ctx ends: facts when they are new, what is believed now every time. It only
// observes: what fails is logged once, and nothing waits for it.
func (a *Agent) tell(ctx context.Context) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	told, failed := (*set)(nil), false
	for {
		s := a.set.Load()
		var facts []byte
		if s != told {
			facts, _ = json.Marshal(a.fleetFacts(s)) // texts only: it does not fail
		}
		status, _ := json.Marshal(a.fleetStatus())
		once, cancel := context.WithTimeout(ctx, tellEvery)
		err := a.store.TellFleet(once, facts, status)
		cancel()
		switch {
		case err == nil:
			told, failed = s, false
		case !failed && ctx.Err() == nil:
			failed = true
			a.log.Warn("the fleet does not hear of this agent; it probes and judges as before", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
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
	v := a.judge.current()
	s := fleet.Status{At: a.clock.Now(), Outcome: v.Outcome.String(), Blind: v.Blind, Trouble: a.silent(), Components: map[string]string{}}
	const most = 100
	for _, c := range v.Components {
		if c.Outcome != probes.Up && len(s.Components) < most {
			s.Components[c.Name] = c.Outcome.String()
		}
	}
	return s
}
