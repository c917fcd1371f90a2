package agent

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/agent/history"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/probes"
)

const (
	seedMost = 250_000          // points of a probe: four weeks at ten seconds
	seedFor  = 15 * time.Minute // one record
)

// seeder teaches baselines what was measured before: in the background, each probe once, and what fails is said and left. It is
// safe for concurrent use.
type seeder struct {
	clock *clock
	judge *judge
	log   *slog.Logger

	one     sync.Mutex // one configuration's records at a time
	running sync.WaitGroup
	mu      sync.Mutex
	ctx     context.Context // of the agent's run; nil before it
	seeded  map[string]bool // probes
}

// newSeeder returns a seeder; seeded are the probes that were taught before.
func newSeeder(c *clock, j *judge, log *slog.Logger, seeded map[string]int) *seeder {
	s := &seeder{clock: c, judge: j, log: log, seeded: map[string]bool{}}
	for probe := range seeded {
		s.seeded[probe] = true
	}
	return s
}

// run lets begin work until ctx ends, and begins.
func (s *seeder) run(ctx context.Context, c *config.Config) {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	s.begin(c)
}

// begin reads the records of a configuration for the probes that need it, in the background. Before run it does nothing.
func (s *seeder) begin(c *config.Config) {
	s.mu.Lock()
	ctx := s.ctx
	s.mu.Unlock()
	if ctx == nil || ctx.Err() != nil || len(c.Seed) == 0 {
		return
	}
	s.running.Go(func() {
		s.one.Lock()
		defer s.one.Unlock()
		for i := range c.Seed {
			if ctx.Err() != nil {
				return
			}
			if err := s.seed(ctx, c, &c.Seed[i]); err != nil && ctx.Err() == nil {
				s.log.Warn("a seed is of no use; the baselines learn by themselves", "seed", fmt.Sprintf("seed[%d]", i), "kind", c.Seed[i].Kind, "err", err)
			}
		}
	})
}

// wait returns when nothing is read any more.
func (s *seeder) wait() { s.running.Wait() }

// wanted returns those of the probes that have learnt too little and were not taught yet.
func (s *seeder) wanted(ids []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(ids, func(id string) bool {
		days, of := s.judge.learning(id)
		return s.seeded[id] || days >= of
	})
}

// seed reads one entry.
func (s *seeder) seed(ctx context.Context, c *config.Config, e *config.Seed) error {
	ids := []string{e.Probe}
	if e.Probe == "" {
		ids = nil
		for _, p := range c.AllProbes()[:len(c.AllProbes())-len(c.Witnesses)] {
			if p.Deciding() {
				ids = append(ids, p.ID)
			}
		}
	}
	ids = s.wanted(ids)
	if len(ids) == 0 {
		return nil
	}
	if e.Kind == config.SeedCSV {
		return s.read(ctx, e, history.CSV{File: e.File, Probe: e.Probe}, ids)
	}
	var failed []error
	for _, id := range ids {
		if err := s.read(ctx, e, seedQuery(e, id), []string{id}); err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return failed[0]
	}
	return fmt.Errorf("%d of %d probes have none, the first because %w", len(failed), len(ids), failed[0])
}

// seedQuery returns the source of one probe.
func seedQuery(e *config.Seed, id string) history.Source {
	return history.Prometheus{
		URL: e.URL, Query: strings.ReplaceAll(e.Query, config.SeedProbe, id), Success: strings.ReplaceAll(e.SuccessQuery, config.SeedProbe, id),
		Probe: id, Step: e.Step, Bearer: e.BearerToken, User: e.User, Pass: e.Password, CAFile: e.CAFile,
	}
}

// read teaches the probes what a source has of them.
func (s *seeder) read(ctx context.Context, e *config.Seed, from history.Source, ids []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, seedFor, fmt.Errorf("%s took longer than %s", from, seedFor))
	defer cancel()
	now := s.clock.Now()
	points := map[string][]detect.Point{}
	var other string // a probe that is not asked for
	err := from.Each(ctx, now.AddDate(0, 0, -e.Days), now, func(r probes.Result) error {
		if !slices.Contains(ids, r.Probe) {
			other = r.Probe
			return nil
		}
		if r.Outcome != probes.Up && r.Outcome != probes.Degraded || r.Duration <= 0 {
			return nil
		}
		list := points[r.Probe]
		if len(list) >= 2*seedMost {
			list = slices.Delete(list, 0, seedMost)
		}
		took, _ := detect.Judged(&r)
		points[r.Probe] = append(list, detect.Point{At: r.Start, Value: took})
		return nil
	})
	if err != nil {
		return err
	}
	if len(points) == 0 {
		if other == "" && e.Probe == "" {
			return fmt.Errorf("%s has nothing of the last %d days that says of which probe it is: give the seed a probe, or the file a column probe", from, e.Days)
		}
		return fmt.Errorf("%s has nothing of %s in the last %d days (but of %q)", from, strings.Join(ids[:min(len(ids), 5)], ", "), e.Days, other)
	}
	for _, id := range ids {
		if list := points[id]; len(list) > 0 {
			s.teach(id, list[max(0, len(list)-seedMost):], from)
		}
	}
	return nil
}

func (s *seeder) teach(id string, list []detect.Point, from history.Source) {
	taken := s.judge.seed(id, list)
	if taken == 0 {
		s.log.Warn("a baseline took nothing of its seed", "probe", id, "points", len(list), "from", from.String())
		return
	}
	s.mu.Lock()
	s.seeded[id] = true
	s.mu.Unlock()
	days, of := s.judge.learning(id)
	s.log.Info("seeded", "probe", id, "points", taken, "from", from.String(), "since", list[0].At, "days", days, "of", of)
}
