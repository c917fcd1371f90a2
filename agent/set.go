package agent

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/firstcall-agent/firstcall/agent/metrics"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/reconcile"
	"github.com/firstcall-agent/firstcall/probes"
)

// set is everything that is made of one configuration. It is immutable.
type set struct {
	config    *config.Config
	jobs      []*job
	probes    []probes.Probe // of the jobs, by index
	byID      map[string]*job
	written   map[string]*config.Probe // as configured, by id
	series    []*metrics.Series
	setup     engine.Setup
	desks     []reconcile.Desk // none in alert-only mode
	notifiers []reconcile.Notifier
	handler   http.Handler
	loaded    time.Time
}

// build makes everything of a configuration, and starts nothing. A probe that is configured as in old, which may be nil, keeps
// its job, and so its place in the schedule and its recent results.
func (a *Agent) build(c *config.Config, old *set) (*set, error) {
	s := &set{config: c, byID: map[string]*job{}, written: map[string]*config.Probe{}, loaded: a.clock.Now()}
	c.UseLatches(a.latches)
	// Witnesses, which come last in the configuration, run first: whether the agent sees should be known before a target fails.
	all := c.AllProbes()
	targets := len(all) - len(c.Witnesses)
	for i, p := range slices.Concat(all[targets:], all[:targets]) {
		j := a.job(p, c, old, i < len(c.Witnesses))
		s.probes = append(s.probes, p.Probe)
		s.written[j.id] = p
		s.jobs, s.series, s.byID[j.id] = append(s.jobs, j), append(s.series, j.series), j
	}
	s.setup = engine.Setup{
		Solution: c.Solution(), Readings: c.Policy, Windows: c.Windows(), Level: c.Level(),
		Detection: c.Detection, Limits: c.Limits(), Thresholds: c.Thresholds(), Zone: c.Tenant.Zone, Holiday: c.Tenant.Holiday, Untimed: c.Untimed(),
		Vantage: a.voter(c), Quorum: c.Quorum,
	}
	if err := a.buildDesks(s); err != nil {
		return nil, err
	}
	for _, n := range c.Notices {
		built, err := n.Builder.Build(notify.Env{Name: n.Name, Tenant: c.Tenant.ID, Now: a.clock.Now})
		if err != nil {
			return nil, fmt.Errorf("notices: %s: %w", n.Name, err)
		}
		s.notifiers = append(s.notifiers, reconcile.Notifier{Name: n.Name, Notifier: built, To: recipients(n.Recipients), Priorities: n.Priorities, Quiet: n.QuietHours, Loud: n.Loud})
	}
	s.handler = web.New(web.Options{
		Agent: a, Store: a.store, Metrics: promhttp.HandlerFor(a.metrics.Gatherer(), promhttp.HandlerOpts{MaxRequestsInFlight: 4}),
		Tenant: c.Tenant.Name, Zone: c.Tenant.Zone, ExternalURL: c.Web.ExternalURL, Token: c.Web.Token,
		Version: a.o.Version, Now: a.clock.Now, Log: a.log, AlertOnly: a.o.AlertOnly, Changed: hooks(s),
		Level: c.Level(), Silent: s.silent,
	})
	return s, nil
}

// buildDesks builds the configured desks, or none at all in alert-only mode: such an agent has nothing with which it could
// open a case.
func (a *Agent) buildDesks(s *set) error {
	if a.o.AlertOnly {
		return nil
	}
	for _, d := range s.config.Desks {
		built, err := d.Builder.Build(desk.Env{
			Name: d.Name, Tenant: s.config.Tenant.ID, ExternalURL: s.config.Web.ExternalURL, Storage: a.store, Now: a.clock.Now,
		})
		if err != nil {
			return fmt.Errorf("desks: %s: %w", d.Name, err)
		}
		s.desks = append(s.desks, reconcile.Desk{Name: d.Name, Desk: built, Rules: rules(d), Templates: d.Templates, Fields: d.Fields})
	}
	return nil
}

// silent reports whether a notifier tells nobody of incidents of that priority at that instant.
func (s *set) silent(notifier string, p incident.Priority, at time.Time) bool {
	return slices.ContainsFunc(s.notifiers, func(n reconcile.Notifier) bool { return n.Name == notifier && n.Silent(p, at) })
}

// hooks returns the keys of the desks whose systems say that something changed, by name.
func hooks(s *set) map[string]secret.Value {
	keys := map[string]secret.Value{}
	for _, d := range s.config.Desks {
		if !d.WebhookSecret.IsZero() && len(s.desks) > 0 {
			keys[d.Name] = d.WebhookSecret
		}
	}
	return keys
}

// rules says the same in the reconciler's words.
func rules(d config.Desk) reconcile.Rules {
	return reconcile.Rules{
		FallbackAfter: d.FallbackAfter, Early: reconcile.EarlyRule(d.ResolvedEarly), EarlyAfter: d.ResolvedEarlyAfter,
		ResolveAfter: d.ResolveAfter, Leave: d.ResolvedBy == "people",
	}
}

// job returns the job of a configured probe: the old one where its definition is the same.
func (a *Agent) job(p *config.Probe, c *config.Config, old *set, witness bool) *job {
	j := &job{
		id: p.ID, kind: p.Kind, witness: witness, interval: p.Interval, timeout: p.Timeout, cron: p.Cron,
		late: fmt.Errorf("no answer within %s", p.Timeout),
	}
	j.probe.Store(&p.Probe)
	if j.cron != nil {
		j.interval, j.spec = 0, p.Schedule+" "+c.Tenant.TimeZone
	}
	if old != nil {
		if before := old.byID[p.ID]; before != nil {
			if before.same(j) {
				return before
			}
			if before.kind == j.kind {
				j.series = before.series
			}
		}
	}
	if j.series == nil {
		j.series = metrics.NewSeries(j.id, j.kind, a.clock.Now())
	}
	return j
}

// same reports whether two jobs measure the same thing at the same times.
func (j *job) same(o *job) bool {
	return j.kind == o.kind && j.witness == o.witness && j.interval == o.interval && j.timeout == o.timeout && j.spec == o.spec &&
		sameConfig(reflect.ValueOf(*j.probe.Load()), reflect.ValueOf(*o.probe.Load()))
}

// sameConfig reports whether two values are configured alike: only exported fields count, since a kind may keep what it
// prepared, or learns as it runs, in the others.
func sameConfig(a, b reflect.Value) bool {
	if a.IsValid() != b.IsValid() || a.IsValid() && a.Type() != b.Type() {
		return false
	}
	if !a.IsValid() {
		return true
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return sameConfig(a.Elem(), b.Elem())
	case reflect.Struct:
		opaque := true
		for i := range a.NumField() {
			if a.Type().Field(i).IsExported() {
				opaque = false
				if !sameConfig(a.Field(i), b.Field(i)) {
					return false
				}
			}
		}
		return !opaque || a.Comparable() && a.Equal(b) // a secret has no exported field
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameConfig(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, k := range a.MapKeys() {
			if !sameConfig(a.MapIndex(k), b.MapIndex(k)) {
				return false
			}
		}
		return true
	default:
	}
	return a.Comparable() && a.Equal(b)
}

// perSecond returns how many results come in a second, at the least.
func (s *set) perSecond() (rate float64) {
	for _, j := range s.jobs {
		if j.interval > 0 {
			rate += 1 / j.interval.Seconds()
		}
	}
	return rate
}

// recipients says the same in the reconciler's words.
func recipients(list []config.Recipient) []reconcile.Recipient {
	var all []reconcile.Recipient
	for _, r := range list {
		if r.Role == "" {
			r.Role = reconcile.RoleAddresses
		}
		all = append(all, reconcile.Recipient{Role: r.Role, Contact: r.Contact})
	}
	return all
}

// reconciler returns a reconciler for the set on a store; it is not running.
func (a *Agent) reconciler(s *set, from reconcile.Store, may func() error) *reconcile.Reconciler {
	c := s.config
	var offset func() time.Duration
	if a.member != nil {
		offset = a.member.refuge.clock
	}
	return reconcile.New(reconcile.Options{
		Store: from, May: may, Peers: a.member != nil, Alone: a.member != nil && from == reconcile.Store(a.store.own.Load()), Offset: offset, Desks: s.desks, Notifiers: s.notifiers,
		Tenant: reconcile.Tenant{
			ID: c.Tenant.ID, Name: c.Tenant.Name, Zone: c.Tenant.Zone, Language: c.Tenant.Language,
			Customer: c.Tenant.Contacts.Customer, Functional: c.Tenant.Contacts.Functional, OnCall: c.Tenant.Contacts.OnCall,
		},
		Centre:      reconcile.Centre{Name: c.OperationsCentre.Name, Phone: c.OperationsCentre.Phone},
		StatusEvery: c.ServiceLevel.StatusEvery, StatusFor: c.ServiceLevel.StatusFor,
		Level: c.Level(), WarnAt: c.ServiceLevel.WarnAt, HoldEnds: c.ServiceLevel.HoldEnds, Silenced: a.orders.silenced,
		ExternalURL: c.Web.ExternalURL, Version: a.o.Version, Vantage: c.Vantage,
		View: a.View, Now: a.clock.Now, Log: a.log,
		Observe: func(o reconcile.Observation) {
			if o.Kind == "desk" {
				a.metrics.Case(o.Name, o.Action, o.Result)
			} else {
				a.metrics.Notice(o.Name, o.Result)
			}
		},
	})
}
