package agent

import (
	"context"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/probes"
)

// The Agent is what the pages show.
var _ web.Agent = (*Agent)(nil)

// View returns what is believed now, or was a fifth of a second ago; callers must not change it.
func (a *Agent) View() engine.View {
	v := a.judge.current()
	if a.member != nil && !a.judge.leads() { // whoever leads knows what is open
		v.Incidents = a.member.incidents()
	}
	return v
}

// Recent returns the newest results of a probe that are held in memory, oldest first; only the newest is whole.
func (a *Agent) Recent(probe string) []probes.Result {
	if j := a.set.Load().byID[probe]; j != nil {
		return j.recent.results(probe)
	}
	return nil
}

// Info describes a configured probe. Interval is 0 for one with a cron schedule.
func (a *Agent) Info(probe string) (web.ProbeInfo, bool) {
	s := a.set.Load()
	j, p := s.byID[probe], s.written[probe]
	if j == nil || p == nil {
		return web.ProbeInfo{}, false
	}
	return web.ProbeInfo{ID: j.id, Kind: j.kind, Interval: j.interval, Timeout: j.timeout, Limits: p.Limits, Thresholds: p.Thresholds}, true
}

// Act performs an operator's action on a case of the built-in desk.
func (a *Agent) Act(ctx context.Context, number string, action desk.Action, actor, reason string) error {
	s := a.set.Load()
	var names []string
	for _, d := range s.desks {
		if operable, ok := d.Desk.(desk.Operable); ok {
			if err := a.refused(); err != nil {
				return err
			}
			err := operable.Act(ctx, number, action, actor, reason)
			a.kick()
			return err
		}
		names = append(names, d.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("this agent runs in alert-only mode: it has no cases to work on")
	}
	return fmt.Errorf("no case is kept here: work on it at %s", strings.Join(names, ", "))
}

// DeskChanged says that something changed at a desk: its cases are read at once.
func (a *Agent) DeskChanged(name string) {
	if d := a.desks.Load(); d != nil {
		d.Changed(name)
	}
}

// Accept takes the latency that a probe measures now as normal. It returns false where too little is measured to say what that is.
func (a *Agent) Accept(probe, actor, reason string) bool { return a.judge.accept(probe, actor, reason) }

// Health returns how the agent itself fares.
func (a *Agent) Health() web.Health {
	s, fares := a.set.Load(), a.desks.Load()
	h := web.Health{
		Started: a.started, Ready: a.isReady(s), Alive: a.judge.alive(), AlertOnly: a.o.AlertOnly,
		ConfigFile: a.o.ConfigFile, ConfigDigest: s.config.Digest, ConfigLoaded: s.loaded,
	}
	a.mu.Lock()
	h.ConfigError, h.ConfigRead = a.configError, a.configRead
	a.mu.Unlock()
	h.Lagging, h.LagReason, h.Delay = a.lag.state()
	h.Stuck = a.schedule.stuckRuns()
	h.StoreError, _ = a.writer.failure()
	steps, results := a.writer.waiting()
	h.StorePending, h.StoreBytes, h.StoreWritten = steps+results, a.store.size(), a.writer.written()
	if fares != nil {
		status := fares.Status()
		h.DeskErrors, h.NoticeErrors, h.CasePending, h.OldestPending = status.DeskErrors, status.NoticeErrors, status.Pending, status.Oldest
		h.DeskQueue, h.NoticeQueue = queues(status.Desks), queues(status.Notifiers)
	}
	h.Heartbeat, h.HeartbeatError = a.heartbeat.state()
	if a.member != nil {
		a.member.health(&h)
	}
	return h
}

func queues(all map[string]reconcile.Backlog) map[string]web.Queue {
	shown := map[string]web.Queue{}
	for name, b := range all {
		shown[name] = web.Queue{Pending: b.Pending, Oldest: b.Oldest, Failures: b.Failures}
	}
	return shown
}

// Maintenance returns the maintenance between two instants, configured and ordered, by its start.
func (a *Agent) Maintenance(from, to time.Time) []policy.Span {
	const most = 200 // of each configured window
	c := a.set.Load().config
	var all []policy.Span
	for _, w := range c.Windows() {
		all = append(all, w.Spans(from, to, c.Tenant.Zone, most)...)
	}
	for _, o := range a.orders.list() {
		if o.Kind == incident.OrderMaintenance && o.From.Before(to) && o.End().After(from) {
			all = append(all, policy.Span{Name: o.Reason, From: o.From, To: o.End(), Components: o.Components})
		}
	}
	slices.SortStableFunc(all, func(a, b policy.Span) int { return a.From.Compare(b.From) })
	return all
}

// readyWithin is the longest interval of a probe that the start waits for: who waits for the agent gives up after ten minutes, as Helm and Deployments do.
const readyWithin = 5 * time.Minute

// isReady reports whether every probe with an interval of at most readyWithin ran once since the start; a reload does not make an agent unready.
func (a *Agent) isReady(s *set) bool {
	if a.ready.Load() {
		return true
	}
	for _, j := range s.jobs {
		if j.cron == nil && j.interval <= readyWithin && !j.recent.any() {
			return false
		}
	}
	a.ready.Store(true)
	return true
}

// snapshot is what the metrics read at a scrape.
func (a *Agent) snapshot() metrics.Snapshot {
	s, h, view := a.set.Load(), a.Health(), a.View()
	lagging, _, delay := a.lag.state()
	steps, results := a.writer.waiting()
	var cases reconcile.Status
	if r := a.desks.Load(); r != nil {
		cases = r.Status()
	}
	role, vantages := leader.String(), 1
	if a.member != nil {
		role, vantages = h.Role, a.member.living()
	}
	return metrics.Snapshot{
		Role: role, Vantages: vantages, Epoch: h.Epoch, AloneSince: h.AloneSince,
		Cases:  cases,
		Tenant: s.config.Tenant.ID, Vantage: s.config.Vantage, AlertOnly: a.o.AlertOnly,
		Incidents: view.Incidents, Blind: view.Blind, Lagging: lagging, Lag: delay,
		StoreSteps: steps, StoreResults: results, StoreFailing: h.StoreError != "",
		CasePending: h.CasePending, OldestPending: h.OldestPending, Stuck: a.schedule.stuckRuns(), Heartbeat: h.Heartbeat,
		Ready: h.Ready, Beats: s.config.Heartbeat != nil, BeatFails: h.HeartbeatError != "", Components: view.Components, Kind: s.kind,
		Digest: s.config.Digest, ReloadOK: h.ConfigError == "", Loaded: s.loaded,
		Baselines: baselines(view), Accounts: accounts(view),
	}
}

// kind returns the kind of a configured probe; "" when there is no such probe (any more).
func (s *set) kind(probe string) string {
	if j := s.byID[probe]; j != nil {
		return j.kind
	}
	return ""
}

// accounts returns the probes that use an account of their own, and whether it is refused.
func accounts(view engine.View) map[string]bool {
	all := map[string]bool{}
	for _, c := range view.Components {
		for _, i := range c.Instances {
			for _, p := range i.Probes {
				if p.Account != nil {
					all[p.ID] = p.Account.Off
				}
			}
		}
	}
	return all
}

// baselines yields what is known of the latency of every probe of a component.
func baselines(view engine.View) iter.Seq[metrics.Baseline] {
	return func(yield func(metrics.Baseline) bool) {
		for _, c := range view.Components {
			for _, i := range c.Instances {
				for _, p := range i.Probes {
					if b := p.Baseline; b != nil && !yield(metrics.Baseline{Probe: p.ID, Days: b.Days, Expected: b.Expected, Limit: b.Limit}) {
						return
					}
				}
			}
		}
	}
}

// webTLS reports whether a web configuration file turns TLS on.
func webTLS(file string) bool {
	if file == "" {
		return false
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	var c struct {
		TLS map[string]any `yaml:"tls_server_config"`
	}
	return yaml.Unmarshal(data, &c) == nil && len(c.TLS) > 0
}
