package config

import (
	"iter"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/probes"
)

// Solution returns what the policy judges: components, instances and probes, without how they are measured.
func (c *Config) Solution() policy.Solution {
	s := policy.Solution{Tenant: c.Tenant.ID}
	for _, m := range c.Components {
		component := policy.Component{Name: m.Name, Essential: m.Essential, DependsOn: slices.Clone(m.DependsOn)}
		for _, n := range m.Instances {
			instance := policy.Instance{Name: n.Name}
			for _, p := range n.Probes {
				instance.Probes = append(instance.Probes, policy.Probe{
					ID: p.ID, Kind: p.Kind, Deciding: p.Role == deciding, JudgeAs: p.JudgeAs, Account: probes.HasAccount(p.Probe),
				})
			}
			component.Instances = append(component.Instances, instance)
		}
		s.Components = append(s.Components, component)
	}
	for _, w := range c.Witnesses {
		s.Witnesses = append(s.Witnesses, w.ID)
	}
	return s
}

// Windows returns the maintenance windows; their schedules are in the tenant's zone.
func (c *Config) Windows() []policy.Window {
	windows := make([]policy.Window, len(c.Maintenance))
	for i, m := range c.Maintenance {
		windows[i] = policy.Window{Name: m.Name, Schedule: m.Cron, Duration: m.Duration, Components: slices.Clone(m.Components)}
	}
	return windows
}

// Untimed returns the probes whose run times say nothing of their targets, by id.
func (c *Config) Untimed() map[string]bool {
	all := map[string]bool{}
	for _, p := range c.AllProbes() {
		if k, ok := probes.Lookup(p.Kind); ok && k.Untimed {
			all[p.ID] = true
		}
	}
	return all
}

// StoreURL returns the address of the store with all that store.Open needs: it may hold a password.
func (c *Config) StoreURL() string { return c.address(c.Tenant.ID) }

// address returns the address of the store with its password, of that tenant; "": of none.
func (c *Config) address(tenant string) string {
	address := c.Store.URL.Reveal()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return address
	}
	if tenant != "" {
		q := u.Query()
		q.Set("tenant", tenant)
		u.RawQuery = q.Encode()
	}
	if !c.Store.Password.IsZero() {
		u.User = url.UserPassword(u.User.Username(), c.Store.Password.Reveal())
	}
	return u.String()
}

// Shares reports whether the store is one that several agents share.
func (c *Config) Shares() bool { return strings.HasPrefix(c.Store.URL.Reveal(), "postgres") }

// StateDirs returns the directories for what an agent on a shared store keeps for itself, the best first; none: memory, or the store is
// its own.
func (c *Config) StateDirs() []string { return slices.Clone(c.stateDirs) }

// KeepIn moves all state to a directory: the store is the SQLite file of that name in it.
func (c *Config) KeepIn(dir, name string) {
	c.Store.URL, c.Store.Password = secret.New("sqlite:"+filepath.Join(dir, name)), secret.Value{}
	c.latches = filepath.Join(dir, "latches")
}

// UseLatches gives every probe that logs on its memory of refused accounts: files in the directory latches beside the store, or
// beside the configuration where that is in PostgreSQL, so that no account is tried again after a restart.
func (c *Config) UseLatches() {
	for _, p := range c.AllProbes() {
		if u, ok := p.Probe.(probes.UsesLatch); ok {
			u.SetLatch(probes.FileLatch(c.latches))
		}
	}
}

// Missing yields what this host lacks for probes, by their ids: they are valid, but know nothing until it is there.
func (c *Config) Missing() iter.Seq2[string, string] {
	return func(yield func(id, missing string) bool) {
		for _, p := range c.AllProbes() {
			if n, ok := p.Probe.(probes.NeedsHost); ok {
				if missing := n.Missing(); missing != "" && !yield(p.ID, missing) {
					return
				}
			}
		}
	}
}

// Level returns the service level.
func (c *Config) Level() sla.Level {
	r := c.ServiceLevel.Reaction
	return sla.Level{Supported: c.ServiceLevel.Calendar, Reaction: [5]time.Duration{1: r.P1, 2: r.P2, 3: r.P3, 4: r.P4}}
}

// Limits returns the absolute latency limits by probe id, each probe's by phase; probes without any are not in it.
func (c *Config) Limits() map[string][]detect.Limit {
	all := map[string][]detect.Limit{}
	for _, p := range c.AllProbes() {
		for _, phase := range slices.Sorted(maps.Keys(p.Limits)) {
			all[p.ID] = append(all[p.ID], detect.Limit{Phase: phase, Max: p.Limits[phase]})
		}
	}
	return all
}

// Thresholds returns the limits of numbers by probe id, each probe's in the order of its kind; probes without any are not in it.
func (c *Config) Thresholds() map[string][]detect.Threshold {
	all := map[string][]detect.Threshold{}
	for _, p := range c.AllProbes() {
		kind, _ := probes.Lookup(p.Kind)
		for _, n := range kind.Numbers {
			if limit, ok := p.Thresholds[n.Name]; ok {
				all[p.ID] = append(all[p.ID], detect.Threshold{NumberKind: n, Limit: limit})
			}
		}
	}
	return all
}

// AllProbes returns every probe, those of the components in the order of the file and then the witnesses. They are the
// configuration's own and must not be changed.
func (c *Config) AllProbes() []*Probe {
	var all []*Probe
	for i := range c.Components {
		for j := range c.Components[i].Instances {
			for k := range c.Components[i].Instances[j].Probes {
				all = append(all, &c.Components[i].Instances[j].Probes[k])
			}
		}
	}
	for i := range c.Witnesses {
		all = append(all, &c.Witnesses[i])
	}
	return all
}
