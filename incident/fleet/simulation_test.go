package fleet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// long makes the simulations as long as those in docs/fleet.md.
var long = flag.Bool("long", false, "simulate as much as docs/fleet.md says")

// simulated returns tenants of six regions and forty suppliers, as uneven as tenants are.
func simulated(n int, random *rand.Rand) (all []Tenant) {
	for k := range n {
		region := []string{"westeurope", "westeurope", "westeurope", "northeurope", "northeurope", "denmark", "germany", "sweden", "norway"}[random.IntN(9)]
		all = append(all, Tenant{
			ID: fmt.Sprint("t", k), Labels: map[string]string{"region": region, "supplier": fmt.Sprint("s", random.IntN(40))},
			Components: []string{"backend", "web-client", "remote-desktop", "virtual-desktop"},
		})
	}
	return all
}

// noise returns independent faults: each component of each tenant fails once in so many days, as often by night as by day unless swing is
// above 0; some tenants, one in twenty, fail twenty times as often.
func noise(tenants []Tenant, from time.Time, days, every, swing float64, random *rand.Rand) (all []Fault) {
	for k, t := range tenants {
		for _, component := range t.Components {
			rate := 1 / every
			if k%20 == 0 {
				rate *= 20
			}
			for at := random.ExpFloat64() / rate; at < days; at += random.ExpFloat64() / rate {
				hour := at*24 - float64(int(at))*24
				if swing > 0 && (hour < 8 || hour >= 10) && random.Float64() < swing { // moved to the morning
					at = float64(int(at)) + (8+2*random.Float64())/24
				}
				f := Fault{
					Tenant: t.ID, Incident: fmt.Sprint(t.ID, component, at), Class: incident.Availability, Components: []string{component}, Reason: "timeout",
					Priority: incident.P2, Started: from.Add(time.Duration(at * 24 * float64(time.Hour))),
				}
				f.Opened = f.Started.Add(time.Duration(30+random.IntN(60)) * time.Second)
				f.Ended = f.Opened.Add(time.Duration(random.ExpFloat64() * float64(30*time.Minute)))
				all = append(all, f)
			}
		}
	}
	return all
}

// TestFalseCorrelations measures how often independent faults are taken for one cause: docs/fleet.md has what it prints.
func TestFalseCorrelations(t *testing.T) {
	weeks := 1 // that are judged, each with the week before it as its history
	if *long {
		weeks = 12
	}
	for _, c := range []struct {
		name         string
		every, swing float64
		most         int
	}{
		{"each component once in 90 days", 90, 0, 1},
		{"once in 30 days", 30, 0, 1},
		{"once in 10 days", 10, 0, 1},
		{"once in 30 days, half of it from 8 to 10", 30, 0.5, 1},
	} {
		random := rand.New(rand.NewPCG(7, 11))
		tenants := simulated(1000, random)
		found, faults := 0, 0
		for range weeks {
			all := noise(tenants, start, 14, c.every, c.swing, random)
			faults += len(all)
			var first, list []Incident
			list = Rules{}.Correlate(start.Add(14*24*time.Hour), time.Time{}, tenants, all, nil)
			for _, i := range list {
				if !i.Found.Before(start.Add(7 * 24 * time.Hour)) {
					first = append(first, i)
					t.Logf("%s: %s (%s)", c.name, i.Title(), i.Why(Rules{}))
				}
			}
			found += len(first)
		}
		t.Logf("| %s | %d | %d in %d weeks |", c.name, faults/weeks/14, found, weeks)
		if found > c.most {
			t.Errorf("%s: %d false correlations in %d weeks, want at most %d", c.name, found, weeks, c.most)
		}
	}
}

// TestDetectionDelay measures how long a common cause takes to be seen, and how many tenants it needs: docs/fleet.md has what it prints.
func TestDetectionDelay(t *testing.T) {
	for _, c := range []struct {
		name  string
		hit   int // tenants
		of    string
		every float64
		most  time.Duration // of the median
		least int           // found of 40
	}{
		{"31 of a region", 31, "region", 30, 75 * time.Second, 40},
		{"10 of a region", 10, "region", 30, 2 * time.Minute, 40},
		{"5 of a supplier's 25", 5, "supplier", 30, 3 * time.Minute, 36},
		{"200 of a region", 200, "region", 10, 60 * time.Second, 40},
	} {
		random := rand.New(rand.NewPCG(3, 5))
		var delays []time.Duration
		var needed []int
		runs := 4
		if *long {
			runs = 40
		}
		for range runs {
			tenants := simulated(1000, random)
			all := noise(tenants, start.Add(-8*24*time.Hour), 8, c.every, 0, random)
			label, value := c.of, map[string]string{"region": "westeurope", "supplier": "s1"}[c.of]
			hit := 0
			for _, tenant := range tenants {
				if tenant.Labels[label] != value || hit == c.hit {
					continue
				}
				hit++
				f := fault(tenant.ID, "virtual-desktop", random.IntN(30)) // probes run every 30 s
				f.Incident = "real-" + tenant.ID
				f.Opened = f.Started.Add(time.Duration(20+random.IntN(40)) * time.Second) // confirmed by re-probes
				all = append(all, f)
			}
			for _, i := range (Rules{}).Correlate(start.Add(time.Hour), time.Time{}, tenants, all, nil) {
				real := slices.ContainsFunc(i.Members, func(m Member) bool { return slices.Contains(m.Incidents, "real-"+m.Tenant) })
				if real && slices.Equal(i.Scope.Components, []string{"virtual-desktop"}) && i.Scope.Label == label {
					delays, needed = append(delays, i.Found.Sub(start)), append(needed, i.First)
					break
				}
				if real {
					t.Logf("%s: %s", c.name, i.Title())
				}
			}
		}
		slices.Sort(delays)
		slices.Sort(needed)
		if len(delays) < c.least*runs/40 {
			t.Errorf("%s: found %d of %d", c.name, len(delays), runs)
			continue
		}
		t.Logf("| %s, noise of once in %.0f days | %d of %d | %s | %s | %d |", c.name, c.every, len(delays), runs, delays[len(delays)/2], delays[len(delays)*95/100], needed[len(needed)/2])
		if median := delays[len(delays)/2]; median > c.most {
			t.Errorf("%s: found after %s, want %s", c.name, median, c.most)
		}
	}
}
