package agent

import (
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/agent/evidence"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// seen is what the agent measures, as the gatherer of evidence sees it.
type seen struct{ a *Agent }

func (s seen) View() engine.View { return s.a.View() }

func (s seen) Aim(probe string) probes.Aim {
	if j := s.a.set.Load().byID[probe]; j != nil {
		if aimed, ok := (*j.probe.Load()).(probes.Aimed); ok {
			return aimed.Aim()
		}
	}
	return probes.Aim{}
}

func (s seen) Files(probe string) []probes.Attachment {
	if j := s.a.set.Load().byID[probe]; j != nil {
		return j.recent.failing()
	}
	return nil
}

func (s seen) Lag() string {
	lagging, reason, delay := s.a.lag.state()
	if lagging {
		return "the agent itself was late: " + reason
	}
	return fmt.Sprintf("the agent itself was not late: %s at the most within the last minute", delay.Round(time.Millisecond))
}

// gathers returns what shall be gathered, as configured now.
func (a *Agent) gathers() evidence.Settings {
	c := a.set.Load().config
	return evidence.Settings{
		Enabled: c.Evidence.Enabled && a.judge.leads(), Path: c.Evidence.Path, Resolvers: c.Evidence.Resolvers,
		Zone: c.Tenant.Zone, Vantage: c.Vantage, ExternalURL: c.Web.ExternalURL,
	}
}
