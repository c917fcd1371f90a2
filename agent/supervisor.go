package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/firstcall-agent/firstcall/config"
)

// Supervisor is the service manager that started the agent and is told how it fares, in the words of sd_notify(3). The zero value
// is none.
type Supervisor struct {
	Tell     func(state string) // takes lines of NAME=value and does not wait for anybody; nil: nobody is told
	Watchdog time.Duration      // it kills an agent that shows no sign of life for so long; 0: it waits for none
}

func (s Supervisor) tell(state string) {
	if s.Tell != nil {
		s.Tell(state)
	}
}

// ready says that the agent works by a configuration, and why not by the newest one where refused is not nil.
func (s Supervisor) ready(c *config.Config, refused error) {
	status := fmt.Sprintf("STATUS=watches %s with %d probes", c.Tenant.ID, len(c.AllProbes()))
	if refused != nil {
		status += "; the new configuration is refused (see the log), the old one goes on"
	}
	s.tell(daemon.SdNotifyReady + "\n" + status)
}

func (s Supervisor) reloading() {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (s Supervisor) stopping() { s.tell(daemon.SdNotifyStopping + "\nSTATUS=stops") }

// watch gives a sign of life, twice as often as it is waited for, while alive is true, until ctx ends.
func (s Supervisor) watch(ctx context.Context, alive func() bool) {
	if s.Tell == nil || s.Watchdog <= 0 {
		return
	}
	tick := time.NewTicker(s.Watchdog / 2)
	defer tick.Stop()
	for {
		if alive() {
			s.tell(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
