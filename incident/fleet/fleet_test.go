package fleet

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/incident"
)

var start = time.Date(2026, 11, 3, 9, 42, 0, 0, time.UTC)

// tenantsIn returns tenants of regions, so many each: name-1, name-2, ...
func tenantsIn(each int, regions ...string) (all []Tenant) {
	for _, region := range regions {
		for n := range each {
			all = append(all, Tenant{
				ID: fmt.Sprintf("%s-%d", region, n+1), Labels: map[string]string{"region": region, "ring": fmt.Sprint(n % 3)},
				Components: []string{"backend", "web-client", "virtual-desktop"},
			})
		}
	}
	return all
}

// fault returns a fault that began so many seconds after the start and was confirmed a minute later.
func fault(tenant, component string, after int) Fault {
	began := start.Add(time.Duration(after) * time.Second)
	return Fault{
		Tenant: tenant, Incident: fmt.Sprintf("fc-%s-%s-%d", tenant, component, after), Class: incident.Availability, Components: []string{component}, Reason: "timeout",
		Priority: incident.P2, Started: began, Opened: began.Add(time.Minute),
	}
}

// faults returns those of the first n tenants of a region, two seconds apart.
func faults(n int, region, component string, from int) (all []Fault) {
	for k := range n {
		all = append(all, fault(fmt.Sprintf("%s-%d", region, k+1), component, from+2*k))
	}
	return all
}

func titles(list []Incident) (all []string) {
	for _, i := range list {
		all = append(all, i.Title())
	}
	return all
}

func TestOneCause(t *testing.T) {
	solution := fault("weu-1", incident.Solution, 0)
	solution.Components = []string{incident.Solution, "virtual-desktop", "backend"}
	slow := faults(6, "weu", "backend", 0)
	for n := range slow {
		slow[n].Class = incident.Performance
	}
	for _, c := range []struct {
		name   string
		faults []Fault
		want   []string
	}{
		{"nothing", nil, nil},
		{"one tenant", faults(1, "weu", "backend", 0), nil},
		{"two tenants", faults(2, "weu", "backend", 0), nil},
		{"a region", faults(31, "weu", "virtual-desktop", 0), []string{"virtual-desktop inaccessible at 31 tenants in region weu"}},
		{"everywhere", slices.Concat(faults(20, "weu", "backend", 0), faults(20, "neu", "backend", 1), faults(20, "dk", "backend", 2)), []string{"backend inaccessible at 60 tenants"}},
		{"three unrelated ones", []Fault{fault("weu-1", "backend", 0), fault("neu-9", "web-client", 40), fault("dk-4", "virtual-desktop", 100)}, nil},
		{"hours apart", []Fault{fault("weu-1", "backend", 0), fault("weu-2", "backend", 3600), fault("weu-3", "backend", 7200), fault("weu-4", "backend", 10800)}, nil},
		{"one tenant again and again", []Fault{fault("weu-1", "backend", 0), fault("weu-1", "backend", 100), fault("weu-1", "backend", 200), fault("weu-1", "backend", 300)}, nil},
		{"the entire solution of some", slices.Concat([]Fault{solution}, faults(10, "weu", "virtual-desktop", 1)[1:]), []string{"virtual-desktop inaccessible at 10 tenants in region weu"}},
		{"slow", slow, []string{"backend slow at 6 tenants in region weu"}},
		{"a tenant that is not there", []Fault{fault("weu-1", "backend", 0), fault("weu-2", "backend", 1), fault("left", "backend", 3)}, nil},
		{"two causes", slices.Concat(faults(12, "weu", "virtual-desktop", 0), faults(12, "dk", "backend", 7200)), []string{
			"virtual-desktop inaccessible at 12 tenants in region weu", "backend inaccessible at 12 tenants in region dk",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Rules{}.Correlate(start.Add(4*time.Hour), time.Time{}, tenantsIn(40, "weu", "neu", "dk"), c.faults, nil)
			if diff := cmp.Diff(c.want, titles(got)); diff != "" {
				t.Error(diff)
			}
			for _, i := range got {
				if i.Key == "" || len(i.Key) > incident.MaxKey || !strings.HasPrefix(i.Key, "fc-fleet-") {
					t.Errorf("key %q", i.Key)
				}
			}
		})
	}
}

// TestBaseRate states that what happens all the time is no sign of one cause, and that the same number where it never happens is.
func TestBaseRate(t *testing.T) {
	tenants := tenantsIn(40, "weu", "neu")
	burst := faults(5, "weu", "backend", 0)
	random := rand.New(rand.NewPCG(1, 2))
	var noisy []Fault
	for n := range 1500 { // every tenant, twice or three times a day
		f := fault(tenants[random.IntN(len(tenants))].ID, "backend", -60-random.IntN(int(History.Seconds())))
		f.Incident, f.Ended = fmt.Sprint("noise-", n), f.Started.Add(2*time.Minute)
		noisy = append(noisy, f)
	}
	now := start.Add(5 * time.Minute)
	open := func(list []Incident) (n int) {
		for _, i := range list {
			if i.Open() {
				n++
			}
		}
		return n
	}
	if n := open(Rules{}.Correlate(now, time.Time{}, tenants, burst, nil)); n != 1 {
		t.Errorf("five of forty where nothing ever fails: %d", n)
	}
	if n := open(Rules{}.Correlate(now, time.Time{}, tenants, slices.Concat(noisy, burst), nil)); n != 0 {
		t.Errorf("five of forty where something fails every seven minutes: %d", n)
	}
	nightly := []Fault{}
	for day := 1; day <= 6; day++ { // patched every night at this hour
		for _, f := range faults(30, "weu", "backend", -day*24*3600+random.IntN(1200)-600) {
			f.Started = f.Started.Add(time.Duration(random.IntN(1200)-600) * time.Second)
			f.Opened, f.Ended, f.Incident = f.Started.Add(time.Minute), f.Started.Add(5*time.Minute), fmt.Sprint(f.Incident, "-", day)
			nightly = append(nightly, f)
		}
	}
	before := []Incident{} // nothing of it was ever found
	if n := open(Rules{}.Correlate(now, time.Time{}, tenants, slices.Concat(nightly, burst), before)); n != 0 {
		t.Errorf("five of forty at the hour of patches: %d", n)
	}
}

// TestLife states that the key stays while members come and go, and that it is over when all are.
func TestLife(t *testing.T) {
	tenants := tenantsIn(40, "weu", "neu", "dk")
	all := faults(30, "weu", "virtual-desktop", 0)
	asked := start
	ask := func(after time.Duration, before []Incident, list []Fault) []Incident {
		last := asked
		asked = start.Add(after)
		return Rules{}.Correlate(asked, last, tenants, list, before)
	}
	first := ask(70*time.Second, []Incident{}, all)
	if len(first) != 1 || len(first[0].Members) >= 30 || !first[0].Open() {
		t.Fatalf("after 70 s: %v", titles(first))
	}
	key := first[0].Key
	late := fault("weu-31", "virtual-desktop", 600)
	late.Started = start.Add(-30 * time.Second) // it was noticed late, and dated back before the others
	elsewhere := faults(8, "neu", "virtual-desktop", 100)
	all = slices.Concat(all, []Fault{late}, elsewhere)
	second := ask(20*time.Minute, first, all)
	if len(second) != 1 || second[0].Key != key || len(second[0].Members) != 39 {
		t.Fatalf("after 20 min: %v", titles(second))
	}
	if got := second[0].Title(); got != "virtual-desktop inaccessible at 39 tenants in region neu, weu" {
		t.Error(got)
	}
	if steps := Steps(first[0], second[0], Rules{}, start); len(steps) == 0 || steps[0].Kind != incident.EventJoined {
		t.Errorf("steps %v", steps)
	}
	for n := range all {
		all[n].Ended = start.Add(30 * time.Minute)
	}
	all[0].Ended = time.Time{}
	third := ask(31*time.Minute, second, all)
	if !third[0].Open() || third[0].Failing() != 1 {
		t.Errorf("one still fails: %d", third[0].Failing())
	}
	all[0].Ended = start.Add(40 * time.Minute)
	again := fault("weu-7", "virtual-desktop", 41*60) // within the time that it lingers
	fourth := ask(43*time.Minute, third, append(all, again))
	if !fourth[0].Open() || fourth[0].Failing() != 1 {
		t.Errorf("one fails again: %d", fourth[0].Failing())
	}
	again.Ended = start.Add(50 * time.Minute)
	fifth := ask(54*time.Minute, fourth, append(all, again))
	if !fifth[0].Open() {
		t.Error("it is over before it lingered")
	}
	sixth := ask(56*time.Minute, fifth, append(all, again))
	if sixth[0].Open() || !sixth[0].Ended.Equal(again.Ended) {
		t.Errorf("all recovered: %s", sixth[0].Ended)
	}
	if steps := Steps(fifth[0], sixth[0], Rules{}, start); len(steps) != 1 || steps[0].Kind != incident.EventResolved {
		t.Errorf("steps %v", steps)
	}
	afterwards := faults(20, "weu", "virtual-desktop", 3*3600)
	seventh := ask(8*time.Hour, sixth, slices.Concat(all, []Fault{again}, afterwards))
	if len(seventh) != 2 || seventh[0].Key != key || seventh[0].Open() || seventh[1].Key == key {
		t.Errorf("another one, while nobody asked for hours: %v", titles(seventh))
	}
	fresh := ask(8*time.Hour, nil, slices.Concat(all, []Fault{again}, afterwards))
	for n := range fresh {
		if fresh[n].Key != seventh[n].Key || fresh[n].Open() != seventh[n].Open() || len(fresh[n].Members) != len(seventh[n].Members) {
			t.Errorf("found again without a memory: %s %d, not %s %d", fresh[n].Key, len(fresh[n].Members), seventh[n].Key, len(seventh[n].Members))
		}
	}
}

func TestParent(t *testing.T) {
	i := Rules{}.Correlate(start.Add(time.Hour), time.Time{}, tenantsIn(40, "weu", "neu"), faults(31, "weu", "virtual-desktop", 0), nil)[0]
	p := i.Parent("fleet", Rules{}, map[string]string{"fc-weu-1-virtual-desktop-0": "INC-1"}, start.Add(time.Hour))
	if p.ID != i.Key || p.Priority != incident.P2 || !p.Open() || !p.Class.OpensCase() || p.Reason != "timeout" {
		t.Errorf("%+v", p)
	}
	cet := time.FixedZone("CET", 3600)
	for want, now := range map[string]time.Time{
		"31 tenants lost virtual-desktop in region weu at 10:42 CET: one cause":              start.Add(time.Hour),
		"31 tenants lost virtual-desktop in region weu at 10:42 CET on Tue 3 Nov: one cause": start.Add(13*time.Hour + 18*time.Minute), // 00:00 CET
	} {
		if got := i.Sentence(cet, now); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	i.Scope.Class, i.Scope.Components = incident.Agent, []string{AgentComponent}
	if got := i.Sentence(cet, start); got != "Nobody watches 31 tenants in region weu since 10:42 CET, their agents are silent or blind: one cause" {
		t.Error(got)
	}
	i.Members[0].Ended = start
	if got := i.Sentence(cet, start); got != "31 agents in region weu fell silent or blind at 10:42 CET, 30 still are: one cause" {
		t.Error(got)
	}
	i.Scope.Class, i.Scope.Components = incident.Availability, []string{"virtual-desktop"}
	if got := i.Why(Rules{}); !strings.HasPrefix(got, "31 of 40 tenants in region weu, ") || !strings.HasSuffix(got, " years") {
		t.Error(got)
	}
	text := strings.Join(p.Detail, "\n")
	for _, want := range []string{"31 of 31 tenants fail now; reasons: timeout at 31", "weu-1: P2, timeout, case INC-1, since 09:42:00 UTC", "weu-2: P2, timeout, no case yet"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestProperties: whatever happens, and however often it is asked, keys are unique and stay, members only grow, each tenant is a member
// once, a fault belongs to one fleet incident, and asked at every step or only at the end gives the same keys.
func TestProperties(t *testing.T) {
	tenants := tenantsIn(12, "weu", "neu", "dk")
	rapid.Check(t, func(t *rapid.T) {
		var all []Fault
		for n := range rapid.IntRange(0, 60).Draw(t, "faults") {
			f := fault(tenants[rapid.IntRange(0, len(tenants)-1).Draw(t, "tenant")].ID, rapid.SampledFrom([]string{"backend", "web-client"}).Draw(t, "component"), rapid.IntRange(0, 7200).Draw(t, "start"))
			f.Incident = fmt.Sprint(n)
			f.Opened = f.Started.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "confirmed")) * time.Second)
			if rapid.Bool().Draw(t, "over") {
				f.Ended = f.Opened.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "lasted")) * time.Second)
			}
			all = append(all, f)
		}
		was, last := []Incident{}, start
		every := time.Duration(rapid.IntRange(300, 3*3600).Draw(t, "every")) * time.Second
		var keys []string
		for now := start; now.Before(start.Add(4 * time.Hour)); now = now.Add(every) {
			var seen []Fault
			for _, f := range all {
				if f.Opened.After(now) {
					continue
				}
				if f.Ended.After(now) {
					f.Ended = time.Time{}
				}
				seen = append(seen, f)
			}
			is := Rules{}.Correlate(now, last, tenants, seen, was)
			owner := map[string]string{}
			for _, i := range is {
				if !slices.Contains(keys, i.Key) {
					keys = append(keys, i.Key)
				}
				members := map[string]bool{}
				for _, m := range i.Members {
					if members[m.Tenant] {
						t.Fatalf("%s is a member of %s twice", m.Tenant, i.Key)
					}
					members[m.Tenant] = true
					for _, id := range m.Incidents {
						if other := owner[id]; other != "" {
							t.Fatalf("fault %s belongs to %s and %s", id, other, i.Key)
						}
						owner[id] = i.Key
					}
				}
				if i.Of < i.Within() || i.Open() != i.Closed.IsZero() || !i.Open() && i.Failing() > 0 {
					t.Fatalf("%+v", i)
				}
			}
			for _, before := range was {
				n := slices.IndexFunc(is, func(i Incident) bool { return i.Key == before.Key })
				if n < 0 || len(is[n].Members) < len(before.Members) || before.Priority().Above(is[n].Priority()) || !before.Open() && is[n].Open() {
					t.Fatalf("%+v became %+v", before, is)
				}
			}
			again := Rules{}.Correlate(now, last, tenants, backward(seen), is)
			if !reflect.DeepEqual(again, is) {
				t.Fatalf("asked again it says otherwise: %s", cmp.Diff(is, again))
			}
			was, last = is, now
		}
	})
}

func backward(list []Fault) []Fault {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
