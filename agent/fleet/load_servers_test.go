//go:build servers && linux

package fleet_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/incident"
	wire "github.com/firstcall-agent/firstcall/incident/fleet"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

var (
	tenants = flag.Int("fleet.tenants", 20, "tenants of the load")
	lasts   = flag.Duration("fleet.for", 3*time.Second, "how long the load lasts, at each pace")
	days    = flag.Int("fleet.days", 0, "days of ten tenants that are written at once, to see how the database grows; 0: none")
)

const (
	probesOf = 10
	interval = 30 * time.Second
)

// agent is what one agent writes.
type agent struct {
	*store.Store
	id string
	n  int
}

// result returns what a probe of kind http leaves.
func result(probe int, at time.Time, random *rand.Rand) probes.Result {
	total := time.Duration(40+random.IntN(60)) * time.Millisecond
	return probes.Result{
		Probe: fmt.Sprint("component-", probe%4, "/http-", probe), Start: at, Duration: total, Outcome: probes.Up,
		Phases: []probes.Phase{{Name: probes.PhaseDNS, Duration: total / 10}, {Name: probes.PhaseConnect, Duration: total / 5}, {Name: probes.PhaseTLS, Duration: total / 4}, {Name: "ttfb", Duration: total / 3}},
	}
}

func opened(id string, n int, at time.Time) (incident.Incident, incident.Event) {
	i := incident.Incident{
		ID: fmt.Sprintf("fc-%s-backend-%d-%d", id, n, at.UnixNano()), Tenant: id, Class: incident.Availability, Root: "backend", Components: []string{"backend"}, Priority: incident.P2,
		Highest: incident.P2, Reason: "timeout", Title: "backend is inaccessible", Why: "2 of 2 runs failed", Detail: []string{"component-0/http-0: timeout after 5 s, 2 of 2 runs failed"},
		Started: at.Add(-time.Minute), Opened: at, Updated: at,
	}
	return i, incident.Event{Incident: i.ID, At: at, Kind: incident.EventOpened, Actor: incident.ActorAgent, Text: i.Title, Priority: incident.P2}
}

// TestLoad writes what many agents write, into one PostgreSQL that writes through to its disk, and prints what docs/fleet.md says:
//
//	go test -tags servers ./agent/fleet -run TestLoad -v -timeout 30m -fleet.tenants 1000 -fleet.for 2m -fleet.days 2
func TestLoad(t *testing.T) {
	server := servers.StartPostgres(t, "fsync=on", fmt.Sprint("max_connections=", 2*(*tenants)+100), "shared_buffers=1GB")
	database := server.Database(t, "firstcall")
	state := make([]byte, 8<<10)
	agents := make([]*agent, *tenants)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range state {
		state[n] = byte(random.IntN(256)) // as hard to compress as can be
	}
	began := time.Now()
	var begins errgroup.Group
	begins.SetLimit(8)
	for n := range agents {
		begins.Go(func() error {
			id := fmt.Sprintf("t%04d", n)
			s, err := store.Open(t.Context(), database+"?tenant="+id, store.Options{})
			if err != nil {
				return err
			}
			beats := make(chan struct{})
			go func() {
				defer close(beats)
				keepLead(t.Context(), s)
			}()
			t.Cleanup(func() {
				<-beats
				_ = s.Close()
			})
			agents[n] = &agent{s, id, n}
			facts, _ := json.Marshal(wire.Facts{
				Name: "Customer " + id, Labels: map[string]string{"region": []string{"westeurope", "northeurope", "denmark"}[n%3], "supplier": fmt.Sprint("s", n%40)},
				Components: []string{"backend", "web-client", "virtual-desktop"},
			})
			return s.TellFleet(t.Context(), facts, []byte(`{"outcome":"up"}`))
		})
	}
	if err := begins.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d agents began in %s", len(agents), time.Since(began).Round(time.Second))
	server.SQL(t, "firstcall", "CREATE ROLE reader LOGIN PASSWORD 'reader'")
	server.SQL(t, "firstcall", "SELECT let_fleet_read('reader')")
	reader, err := store.OpenFleet(t.Context(), strings.Replace(database, "firstcall:firstcall@", "reader:reader@", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	for _, pace := range []float64{1, 0} {
		load(t, agents, reader, state, pace)
	}
	if *days > 0 {
		grow(t, server, agents[:min(10, len(agents))], state)
	}
}

// keepLead beats each second, as an agent does, until ctx ends.
func keepLead(ctx context.Context, s *store.Store) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_, _ = s.Beat(ctx, store.Beat{Wants: true, Now: time.Now()}) // a lead that is lost shows in what it writes
		}
	}
}

// load writes for a time: at pace 1 as fast as agents do, at 0 as fast as it goes. Beside it incidents open, and the fleet is read.
func load(t *testing.T, agents []*agent, reader *store.Fleet, state []byte, pace float64) {
	ctx, cancel := context.WithTimeout(t.Context(), *lasts)
	defer cancel()
	var results, late, failed atomic.Int64
	var mu sync.Mutex
	var commits, reads, appends []time.Duration
	note := func(list *[]time.Duration, began time.Time) {
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, time.Since(began))
	}
	began := time.Now()
	var all sync.WaitGroup
	for _, a := range agents {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(a.n), 9))
			step := interval / probesOf // a probe is due: ten probes are spread over the interval
			next := began.Add(time.Duration(random.Int64N(int64(interval))) % step)
			for n := 0; ctx.Err() == nil; n++ {
				if pace > 0 {
					select {
					case <-ctx.Done():
						return
					case <-time.After(time.Until(next)):
					}
					if time.Since(next) > time.Second {
						late.Add(1)
					}
					next = next.Add(step)
				}
				at := time.Now()
				if err := a.AppendResults(context.WithoutCancel(ctx), []probes.Result{result(n%probesOf, at, random)}); err != nil {
					failed.Add(1)
					t.Log(err)
				}
				note(&appends, at)
				results.Add(1)
				if n%probesOf == a.n%probesOf { // every 30 s
					if err := a.Commit(context.WithoutCancel(ctx), store.Commit{At: at, State: state}); err != nil {
						failed.Add(1)
					}
				}
				if n%(probesOf/2) == 0 { // every 15 s
					if err := a.TellFleet(context.WithoutCancel(ctx), nil, []byte(`{"outcome":"up","components":{"web-client":"degraded"}}`)); err != nil {
						failed.Add(1)
					}
				}
			}
		})
	}
	all.Go(func() { // two incidents a second, somewhere
		random := rand.New(rand.NewPCG(5, 9))
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			a := agents[random.IntN(len(agents))]
			at := time.Now()
			i, e := opened(a.id, n, at)
			if err := a.Commit(context.WithoutCancel(ctx), store.Commit{At: at, Incidents: []incident.Incident{i}, Events: []incident.Event{e}, State: state}); err != nil {
				failed.Add(1)
			}
			note(&commits, at)
			if n%10 > 0 { // a tenth lasts
				i.Ended, i.Closed, i.Resolution = at, at, incident.Recovered
				if err := a.Commit(context.WithoutCancel(ctx), store.Commit{At: at, Incidents: []incident.Incident{i}}); err != nil {
					failed.Add(1)
				}
			}
		}
	})
	all.Go(func() {
		f, err := fleet.New(ctx, fleet.Options{Reader: reader})
		if err != nil {
			t.Error(err)
			return
		}
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			at := time.Now()
			if err := f.Round(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
			note(&reads, at)
			if w := f.Wall(); len(w.Rows) != len(agents) {
				t.Errorf("%d tenants on the wall of %d", len(w.Rows), len(agents))
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	all.Wait()
	took := time.Since(began)
	t.Logf("pace %g: %d tenants, %s: %.0f results/s, %d began over 1 s late, %d failed; append p50 %s p99 %s; incident stored p50 %s p99 %s max %s (%d); wall read and judged p50 %s p99 %s", pace, len(agents), took.Round(time.Second),
		float64(results.Load())/took.Seconds(), late.Load(), failed.Load(), quantile(appends, .5), quantile(appends, .99), quantile(commits, .5), quantile(commits, .99), quantile(commits, 1), len(commits), quantile(reads, .5), quantile(reads, .99))
	if failed.Load() > 0 {
		t.Errorf("%d writes failed", failed.Load())
	}
}

func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[int(q*float64(len(list)-1))].Round(10 * time.Microsecond)
}

// grow writes days at once, in the agents' own portions but for the pace, and prints how the database grew.
func grow(t *testing.T, server *servers.Postgres, agents []*agent, state []byte) {
	size := func() int64 {
		server.SQL(t, "firstcall", "VACUUM")
		n, err := strconv.ParseInt(server.SQL(t, "firstcall", "SELECT pg_database_size('firstcall')"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := time.Now().Add(-time.Duration(*days) * 24 * time.Hour)
	before := size()
	for day := range *days {
		var all sync.WaitGroup
		for _, a := range agents {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(a.n), uint64(day)))
				for n := range int(24 * time.Hour / interval) {
					round := at.Add(time.Duration(n) * interval)
					var list []probes.Result
					for p := range probesOf {
						list = append(list, result(p, round.Add(time.Duration(p)*interval/probesOf), random))
					}
					if err := a.AppendResults(t.Context(), list); err != nil {
						t.Error(err)
						return
					}
					if n%20 == 0 {
						if err := a.Commit(t.Context(), store.Commit{At: round, State: state}); err != nil {
							t.Error(err)
						}
					}
				}
				for n := range 2 { // incidents a day
					i, e := opened(a.id, n, at.Add(time.Duration(n)*time.Hour))
					i.Closed = i.Opened.Add(time.Hour)
					if err := a.Commit(t.Context(), store.Commit{At: at, Incidents: []incident.Incident{i}, Events: []incident.Event{e}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		at = at.Add(24 * time.Hour)
		now := size()
		t.Logf("day %d of %d tenants: %+.1f MB, so %.2f MB a tenant and day, %.1f GB a day at 1,000 tenants; %.1f bytes a result", day+1, len(agents), float64(now-before)/1e6,
			float64(now-before)/1e6/float64(len(agents)), float64(now-before)/1e9/float64(len(agents))*1000, float64(now-before)/float64(len(agents)*28800))
		before = now
	}
}
