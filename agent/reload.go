package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/engine"
)

// watchEvery is how often the content of the configuration is compared.
const watchEvery = 5 * time.Second

// Reload reads the configuration again. The whole new set is built and validated first, then it takes the old one's place:
// the judgement goes on with what it knows, and probes that did not change keep their place in the schedule. When anything is
// wrong, the old set goes on in full and the error says what. Reloads are made one at a time.
func (a *Agent) Reload(_ context.Context) error {
	a.reloads.Lock()
	defer a.reloads.Unlock()
	if a.stopped.Load() {
		return errors.New("the agent is stopping: the configuration is not read again")
	}
	a.o.Supervisor.reloading()
	changed, err := a.reload()
	a.o.Supervisor.ready(a.set.Load().config, err)
	a.mu.Lock()
	a.configError, a.configRead = "", a.clock.Now()
	if err != nil {
		a.configError = err.Error()
	}
	a.mu.Unlock()
	switch {
	case err != nil:
		a.log.Error("the new configuration is refused; the old one goes on", "file", a.o.ConfigFile, "err", err)
	case changed:
		s := a.set.Load()
		a.log.Info("the new configuration is in force", "file", a.o.ConfigFile, "digest", s.config.Digest, "probes", len(s.jobs))
		a.tellMissing(s.config)
	}
	return err
}

// reload reports whether another configuration is in force now.
func (a *Agent) reload() (changed bool, err error) {
	if a.o.ConfigFile == "" {
		return false, errors.New("this agent runs without a configuration file: there is nothing to read again")
	}
	c, err := config.Load(a.o.ConfigFile)
	if err != nil {
		return false, err
	}
	if a.o.Adapt != nil {
		if err := a.o.Adapt(c); err != nil {
			return false, err
		}
	}
	old := a.set.Load()
	if c.Digest == old.config.Digest {
		return false, nil
	}
	if err := a.needsRestart(old.config, c); err != nil {
		return false, err
	}
	fresh, err := a.build(c, old)
	if err != nil {
		return false, err
	}
	err = a.judge.swap(func(from remembered, now time.Time) (Engine, engine.Step, error) {
		return engine.New(from.setup(fresh.setup, a.orders.spans()), from.state, from.open, now)
	}, func() {
		a.install(fresh)
		if a.judge.moves != nil {
			a.judge.moves.witnesses = len(c.Witnesses)
		}
	})
	if err != nil {
		return false, err
	}
	a.restartDesks(fresh)
	a.seeds.begin(fresh.config) // nothing before the agent runs
	return true, nil
}

// needsRestart returns an error when the two configurations differ in what is fixed while the agent runs.
func (a *Agent) needsRestart(old, fresh *config.Config) error {
	fixed := []struct{ key, old, fresh string }{
		{"tenant.id", old.Tenant.ID, fresh.Tenant.ID},
		{"store.url", old.Store.URL.Fingerprint(), fresh.Store.URL.Fingerprint()},
		{"store.password", old.Store.Password.Fingerprint(), fresh.Store.Password.Fingerprint()},
		{"store.alone_after", old.Store.AloneAfter.String(), fresh.Store.AloneAfter.String()},
		{"store.state_dir", old.Store.StateDir, fresh.Store.StateDir},
		{"store.results_for", old.Store.ResultsFor.String(), fresh.Store.ResultsFor.String()},
		{"web.config_file", old.Web.ConfigFile, fresh.Web.ConfigFile},
	}
	if a.member != nil {
		fixed = append(fixed, struct{ key, old, fresh string }{"vantage", old.Vantage, fresh.Vantage})
	}
	if a.o.ListenOverride == "" && !a.o.NoPage {
		fixed = append(fixed, struct{ key, old, fresh string }{"web.listen", old.Web.Listen, fresh.Web.Listen})
	}
	for _, f := range fixed {
		if f.old != f.fresh {
			return fmt.Errorf("%s changed, which needs a restart of the agent: restart it, or set %s back", f.key, f.key)
		}
	}
	return nil
}

// watchConfig reloads when the configuration's content changes, and when the process is asked to by a signal.
func (a *Agent) watchConfig(ctx context.Context) {
	if a.o.ConfigFile == "" {
		return
	}
	asked := reloadSignal(ctx)
	changed := make(chan struct{}, 1)
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() {
		config.Watch(ctx, a.o.ConfigFile, a.o.Config.Digest, watchEvery, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		case <-changed:
		}
		_ = a.Reload(ctx) // it has said what is wrong
	}
}
