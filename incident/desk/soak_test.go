//go:build unix

package desk_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// soakOptions are one soak.
type soakOptions struct {
	Kind   string
	System desktest.System // nil: the desk inside the agent, whose faults are kills

	Incidents int           // 0: 100
	Faults    int           // kills among them; 0: 300, of a desk inside the agent 40
	Odds      int           // one of so many requests fails while faults are left; 0: 3
	Agents    int           // at once, with the same incidents in stores of their own; 0: 1
	Timeout   time.Duration // of the desk; 0: 1 s
	Inside    string        // the system's own form of an error inside a 200; "": {"error": "..."}
	Calm      time.Duration // no faults any more so long after the beginning; 0: 90 s
	Within    time.Duration // the whole, on the slowest machine; 0: 5 min
}

// soakRow is a ticket system that is soaked.
type soakRow struct {
	name   string
	system func(t *testing.T) desktest.System
	o      soakOptions
}

// soakRows are the systems that are soaked; those that need real servers join them where there are such.
var soakRows = []soakRow{
	{"webhook", func(*testing.T) desktest.System { return systems.NewWebhook(0) }, soakOptions{Kind: "webhook"}},
	{"webhook, a search that lags", func(*testing.T) desktest.System { return systems.NewWebhook(700 * time.Millisecond) }, soakOptions{Kind: "webhook"}},
	{"webhook without search", func(*testing.T) desktest.System { return systems.NewWebhookWithoutSearch() }, soakOptions{Kind: "webhook", Odds: 2}},
	{"builtin", nil, soakOptions{Kind: "builtin"}},
	{"servicenow", serviceNowSystem, soakOptions{Kind: "servicenow", Inside: `{"error":{"message":"Operation Failed"},"status":"failure"}`}},
	{"jira", jiraSystem, soakOptions{Kind: "jira", Inside: `{"errorMessages":["the rules do not allow it"],"errors":{}}`}},
	{"zammad", zammadSystem, soakOptions{Kind: "zammad"}},
	{"topdesk", topdeskSystem, soakOptions{Kind: "topdesk", Inside: `[{"message": "the rules of this desk do not allow it"}]`}},
	{"pagerduty", pagerDutySystem(false), soakOptions{Kind: "pagerduty"}},
	{"pagerduty, read back", pagerDutySystem(true), soakOptions{Kind: "pagerduty"}},
}

// soakDoubled are the systems to which two agents bring the same incidents at once.
var soakDoubled = []soakRow{
	{"webhook", func(*testing.T) desktest.System { return systems.NewWebhook(0) }, soakOptions{Kind: "webhook"}},
	{"webhook, a search that lags", func(*testing.T) desktest.System { return systems.NewWebhook(300 * time.Millisecond) }, soakOptions{Kind: "webhook"}},
	{"webhook without search", func(*testing.T) desktest.System { return systems.NewWebhookWithoutSearch() }, soakOptions{Kind: "webhook"}},
	{"servicenow", serviceNowSystem, soakOptions{Kind: "servicenow"}},
	{"jira", jiraSystem, soakOptions{Kind: "jira", Inside: `{"errorMessages":["the rules do not allow it"],"errors":{}}`}},
	{"zammad", zammadSystem, soakOptions{Kind: "zammad"}},
	{"topdesk", topdeskSystem, soakOptions{Kind: "topdesk", Inside: `[{"message": "the rules of this desk do not allow it"}]`}},
	// Without its REST API PagerDuty drops doubles of open incidents only: what an agent brings late, after the other's end, is another one.
	{"pagerduty", pagerDutySystem(true), soakOptions{Kind: "pagerduty"}},
}

func serviceNowSystem(*testing.T) desktest.System {
	return systems.NewServiceNow(systems.ServiceNowOptions{TokenLife: 10 * time.Second})
}

func jiraSystem(*testing.T) desktest.System {
	return systems.NewJira(systems.JiraOptions{Lag: 300 * time.Millisecond})
}

func zammadSystem(*testing.T) desktest.System {
	return systems.NewZammad(systems.ZammadOptions{Lag: 300 * time.Millisecond})
}

func topdeskSystem(*testing.T) desktest.System { return systems.NewTOPdesk(systems.TOPdeskOptions{}) }

func pagerDutySystem(rest bool) func(*testing.T) desktest.System {
	return func(*testing.T) desktest.System {
		return systems.NewPagerDuty(systems.PagerDutyOptions{REST: rest, Delay: 100 * time.Millisecond, Most: 100_000})
	}
}

// TestSoak runs real agents against ticket systems that fail in every way, and kills them again and again: in the end there is
// exactly one case for each incident, and it is resolved. A row is one line. FIRSTCALL_SEED repeats the faults of a run, as far as
// processes can be repeated; FIRSTCALL_SOAK=1 gives slow systems the whole load too.
func TestSoak(t *testing.T) { soakAll(t, soakRows) }

// TestSoakTwoAgents does the same with two agents that bring the same incidents at once.
func TestSoakTwoAgents(t *testing.T) {
	var rows []soakRow
	for _, r := range soakDoubled {
		r.o.Agents, r.o.Incidents, r.o.Faults = 2, cmp.Or(r.o.Incidents, 20), cmp.Or(r.o.Faults, 60)
		rows = append(rows, r)
	}
	soakAll(t, rows)
}

// soakAll soaks several systems at once: what takes long is mostly waiting.
func soakAll(t *testing.T, rows []soakRow) {
	places := make(chan struct{}, 5)
	var all sync.WaitGroup
	for _, row := range rows {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(row.name, func(t *testing.T) {
				if row.system != nil {
					row.o.System = row.system(t)
				}
				soak(t, row.o)
			})
		})
	}
	all.Wait()
}

// soakSize returns the whole load for a stand-in, and a small one for a slow system unless FIRSTCALL_SOAK=1.
func soakSize(o soakOptions) soakOptions {
	switch {
	case testing.Short():
		o.Incidents, o.Faults, o.Calm = 10, 20, 20*time.Second
	case os.Getenv("FIRSTCALL_SOAK") == "1" && o.Incidents == 30: // a slow system's whole load
		o.Incidents, o.Faults, o.Calm, o.Within = 100, 300, 3*o.Calm, 3*o.Within
	}
	o.Incidents, o.Agents = cmp.Or(o.Incidents, 100), cmp.Or(o.Agents, 1)
	o.Odds = cmp.Or(o.Odds, 3)
	o.Timeout, o.Within = cmp.Or(o.Timeout, time.Second), cmp.Or(o.Within, 5*time.Minute)
	o.Calm = cmp.Or(o.Calm, 90*time.Second)
	if o.System == nil {
		o.Faults = cmp.Or(o.Faults, 40)
	}
	o.Faults = cmp.Or(o.Faults, 300)
	return o
}

// soak runs the agents of one soak and checks what must hold at its end.
func soak(t *testing.T, o soakOptions) {
	o = soakSize(o)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FIRSTCALL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FIRSTCALL_SEED: %v", err)
		}
	}
	began := time.Now()
	h := &soakRun{
		t: t, o: o, rand: rand.New(rand.NewPCG(seed, 0)), left: o.Faults, seen: map[string]int{},
		story: soakStory{Begin: began.Add(300 * time.Millisecond).UTC().Truncate(time.Millisecond), Incidents: o.Incidents, CallTimeout: 2 * o.Timeout},
	}
	t.Logf("FIRSTCALL_SEED=%d", seed)
	var all sync.WaitGroup
	for n := range o.Agents {
		a := h.agent(n)
		all.Go(a.live)
	}
	all.Wait()
	h.check()
	t.Logf("%d incidents, %d agents, %s: %d requests, faults %v", o.Incidents, o.Agents, time.Since(began).Round(time.Second/10), h.requests, h.seen)
}

// soakRun is one soak.
type soakRun struct {
	t      *testing.T
	o      soakOptions
	story  soakStory
	agents []*soakProcess

	mu       sync.Mutex
	rand     *rand.Rand
	left     int // faults that may still happen
	seen     map[string]int
	requests int
	doubles  map[string]bool // keys of which two cases were live at once
}

// soakFault is what befalls a request.
type soakFault string

// The faults, and how often each is chosen among them.
const (
	soakNone       soakFault = ""
	soakDrop       soakFault = "lost reply"         // the system works, and the connection is closed
	soakHang       soakFault = "hang"               // for as long as the client waits, without effect
	soakRefused    soakFault = "500"                // without effect
	soakFailed     soakFault = "500 after effect"   // with
	soakTooMany    soakFault = "429"                // with Retry-After: 1, without effect
	soakCut        soakFault = "cut short"          // the system works, and its answer breaks off
	soakInside     soakFault = "error inside"       // a 200 without effect
	soakKillBefore soakFault = "kill before effect" // the agent dies
	soakKillAfter  soakFault = "kill after effect"
	soakKill       soakFault = "kill" // at any moment
)

var soakFaults = []soakFault{
	soakDrop, soakDrop, soakDrop, soakDrop, soakFailed, soakFailed, soakFailed, soakFailed, soakCut, soakCut, soakCut, soakRefused, soakRefused, soakRefused,
	soakInside, soakInside, soakInside, soakTooMany, soakTooMany, soakKillBefore, soakKillAfter, soakHang,
}

// choose returns what befalls the next request: one of Odds while faults are left.
func (h *soakRun) choose() soakFault {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests++
	if !h.stormy() || h.rand.IntN(h.o.Odds) > 0 {
		return soakNone
	}
	f := soakFaults[h.rand.IntN(len(soakFaults))]
	h.left--
	h.seen[string(f)]++
	return f
}

// stormy reports whether faults may still happen. The caller holds mu.
func (h *soakRun) stormy() bool { return h.left > 0 && time.Since(h.story.Begin) < h.o.Calm }

// moment returns when the next kill out of the blue comes; false when none is left.
func (h *soakRun) moment() (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	longest := 6 * time.Second
	if h.o.System == nil {
		longest = time.Second
	}
	return time.Duration(h.rand.Int64N(int64(longest))), h.stormy()
}

// spend takes a kill out of the blue from what is left.
func (h *soakRun) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stormy() {
		return false
	}
	h.left--
	h.seen[string(soakKill)]++
	return true
}

// watch looks for keys of which two cases are live at once. Two agents may open two for a moment.
func (h *soakRun) watch(r *http.Request) {
	if h.o.Agents > 1 || r.Method == http.MethodGet || h.o.Timeout > 2*time.Second { // a slow system would do nothing else
		return
	}
	live := func(key string) int { return desktest.Live(h.o.System, key) }
	if s, whole := h.o.System.(interface{ Live() map[string]int }); whole { // a real one is asked once, not a hundred times
		all := s.Live()
		live = func(key string) int { return all[key] }
	}
	for n := range h.story.Incidents {
		if key := h.story.id(n); live(key) > 1 {
			h.mu.Lock()
			if h.doubles == nil {
				h.doubles = map[string]bool{}
			}
			h.doubles[key] = true
			h.mu.Unlock()
		}
	}
}

// check says what must hold when every agent has settled everything.
func (h *soakRun) check() {
	if h.t.Failed() {
		return
	}
	for key := range h.doubles {
		h.t.Errorf("two cases of %s were live at once", key)
	}
	states := h.states()
	total := 0
	for n := range h.story.Incidents {
		key := h.story.id(n)
		kept := slices.DeleteFunc(slices.Clone(states(key)), func(s incident.CaseState) bool { return s == incident.CaseWithdrawn })
		total += len(kept)
		if len(kept) != 1 || kept[0] != incident.CaseResolved {
			h.t.Errorf("%s has the cases %v, want exactly one that is not withdrawn, and that resolved\n%s", key, states(key), h.tell(key))
		}
	}
	if total != h.story.Incidents {
		h.t.Errorf("%d cases that are not withdrawn, want %d", total, h.story.Incidents)
	}
	for _, a := range h.agents {
		a.check()
	}
}

// states returns what the ticket system holds by key.
func (h *soakRun) states() func(key string) []incident.CaseState {
	if h.o.System != nil {
		return h.o.System.States
	}
	kept := h.agents[0].open()
	return func(key string) []incident.CaseState {
		c, err := kept.DeskCaseByKey(h.t.Context(), key)
		if err != nil {
			h.t.Error(err)
			return nil
		}
		return []incident.CaseState{c.State}
	}
}

// secretsIn returns every secret of a configuration.
func secretsIn(v reflect.Value) (all []string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			all = secretsIn(v.Elem())
		}
	case reflect.Struct:
		if s, ok := reflect.TypeAssert[secret.Value](v); ok {
			if text := s.Reveal(); text != "" {
				all = append(all, text)
			}
			return all
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				all = append(all, secretsIn(v.Field(i))...)
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			all = append(all, secretsIn(v.MapIndex(key))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, secretsIn(v.Index(i))...)
		}
	default:
	}
	return all
}

// tell returns how one incident went in every agent: its timeline and its case.
func (h *soakRun) tell(key string) string {
	var b strings.Builder
	for _, a := range h.agents {
		kept := a.open()
		fmt.Fprintf(&b, "%s\n", filepath.Base(a.dir))
		events, _ := kept.Timeline(h.t.Context(), key, 0)
		for _, e := range events {
			fmt.Fprintf(&b, "  %s %s %s: %s\n", e.At.UTC().Format("15:04:05.000"), e.Kind, e.Actor, e.Text)
		}
		cases, _ := kept.Cases(h.t.Context(), key)
		fmt.Fprintf(&b, "  %+v\n", cases)
	}
	return b.String()
}
