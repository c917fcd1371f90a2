//go:build servers && linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// world is a tenant: its agents, the solution that they watch, and the desk.
type world struct {
	t      testing.TB
	rand   *rand.Rand
	began  time.Time
	agents []*agent
	target *servers.Target
	desk   *servers.Webhook
	store  string // its address
	slower int    // a factor: faults last so much longer than in an ordinary run

	mu       sync.Mutex
	story    []string
	outages  []outage            // all there were, oldest first
	spells   map[*agent][]outage // in which the solution did not answer one vantage, by it, oldest first
	doubles  map[[2]string]int   // numbers of two cases that seem to be of one outage and were live at once, and in how many looks
	late     time.Duration       // how long a case of an outage that was over was live beside another's
	lone     []string            // what was told too gravely on one vantage's word
	one      bool                // one vantage alone is cut off from what it watches, and nothing else is wrong
	covering time.Duration       // from the first failing probe of the last outage to its case
}

// newWorld starts the solution, the desk and three agents of a new tenant.
func newWorld(t testing.TB, database *servers.Postgres, url string, seed uint64) *world {
	t.Helper()
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 0)), began: time.Now(), slower: 1, spells: map[*agent][]outage{}, doubles: map[[2]string]int{}}
	if w.rand.IntN(6) == 0 { // long enough for a second and a third agent to judge alone
		w.slower = 4
	}
	w.target = servers.StartTarget(t)
	witness := servers.StartTarget(t)
	w.desk = servers.StartWebhook(t, servers.WebhookOptions{Secret: "hmac"})
	address := func(s *servers.Target) string { return strings.TrimPrefix(s.URL, "http://") }
	reach := map[int]string{
		portStore: database.Address, portDesk: w.desk.Address, portTarget: address(w.target), portWitness: address(witness),
	}
	w.store = fmt.Sprintf("%s?tenant=chaos%d", url, seed)
	text := fmt.Sprintf(configuration, fmt.Sprintf("chaos%d", seed), strings.Replace(url, database.Address, fmt.Sprintf("127.0.0.1:%d", portStore), 1),
		portWitness, portTarget, portDesk, portDesk, portPage)
	for _, name := range []string{"aarhus", "berlin", "cork"} {
		a := newAgent(t, name, text, 0, reach)
		wrong := func() time.Duration {
			skew := []time.Duration{0, 0, 2 * time.Second, 40 * time.Second, 10 * time.Minute}[w.rand.IntN(5)]
			if w.rand.IntN(2) == 0 {
				skew = -skew
			}
			w.say("%s has a clock that is wrong by %s", name, skew)
			return skew
		}
		a.skew = wrong()
		a.skewed = func() time.Duration {
			if w.rand.IntN(4) > 0 {
				return a.skew
			}
			return wrong()
		}
		w.agents = append(w.agents, a)
	}
	return w
}

const configuration = `
tenant: { id: %s }
vantage: VANTAGE
store: { url: %q, alone_after: 5s }
witnesses: [{ name: other, kind: http, url: "http://127.0.0.1:%d/" }]
defaults: { interval: 1s, timeout: 900ms }
detection: { rechecks: 2, recheck_within: 500ms, recover: 2 }
policy: { settle: 2s, momentary: 1s, momentary_count: 100, momentary_window: 1m }
components:
  - { name: web-client, probes: [{ kind: http, url: "http://127.0.0.1:%d/" }] }
desks:
  - { name: soc, kind: webhook, url: "http://127.0.0.1:%d/cases", find_url: "http://127.0.0.1:%d/cases?key={key}", secret: hmac, timeout: 2s }
web: { listen: "127.0.0.1:%d" }
`

// outage is a time in which the solution did not answer all vantages.
type outage struct{ from, to time.Time } // to is zero while it lasts

// joins is how short a time without a failure no agent can tell from none: less than what lies between two good runs.
const joins = 500 * time.Millisecond

// troubled notes, after whatever may have changed it, whether the solution answers all vantages, and each.
func (w *world) troubled() {
	now, broken := time.Now(), w.target.Broken.Load()
	any := broken
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.agents {
		cut := a.cut[portTarget] > 0
		any = any || cut
		w.spells[a] = note(w.spells[a], broken || cut, now)
	}
	w.outages = note(w.outages, any, now)
}

// note adds to a list of times in which something was wrong whether it is now.
func note(list []outage, wrong bool, now time.Time) []outage {
	last := len(list) - 1
	lasts := last >= 0 && list[last].to.IsZero()
	switch {
	case wrong == lasts:
	case lasts:
		list[last].to = now
	case last >= 0 && now.Sub(list[last].to) < joins:
		list[last].to = time.Time{}
	default:
		list = append(list, outage{from: now})
	}
	return list
}

// unknown is how long the solution does not answer a vantage before any agent can know it: the first failure, and what is measured to confirm it.
const unknown = 2 * time.Second

// apart returns how many outages that agents can tell apart had begun at an instant: between two of them no vantage knew of anything that was wrong. They are
// the outages, but that one vantage's may end when another's has just begun, of which nobody knows yet. The caller holds mu.
func (w *world) apart(at time.Time) (n int) {
	var all []outage
	for _, list := range w.spells {
		for _, o := range list {
			if o.to.IsZero() {
				o.to = at.Add(time.Hour)
			}
			if o.from.Before(at) {
				known := o.from.Add(unknown)
				if known.After(o.to) {
					known = o.to
				}
				all = append(all, outage{known, o.to})
			}
		}
	}
	slices.SortFunc(all, func(a, b outage) int { return a.from.Compare(b.from) })
	var end time.Time
	for _, o := range all {
		if o.from.After(end) {
			n++
		}
		if o.to.After(end) {
			end = o.to
		}
	}
	return n
}

// of returns the number of the outage that a case was opened for: the newest that had begun; -1: there was none. The caller holds mu.
func (w *world) of(c servers.WebhookCase) int {
	for n, o := range slices.Backward(w.outages) {
		if o.from.Before(c.Created) {
			return n
		}
	}
	return -1
}

// say adds a line to the story of a run, which is told when it fails.
func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, fmt.Sprintf("%6.2fs ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// live returns the cases at the desk that are neither over nor withdrawn.
func (w *world) live() []servers.WebhookCase {
	return slices.DeleteFunc(w.desk.Cases(), func(c servers.WebhookCase) bool { return c.State == "resolved" || c.State == "withdrawn" })
}

// watch looks at the desk again and again until done is closed: there must never be two live cases.
func (w *world) watch(done chan struct{}) {
	const every = 10 * time.Millisecond
	before := "-"
	for {
		select {
		case <-done:
			return
		case <-time.After(every):
		}
		live := w.live()
		if now := keys(live); now != before {
			before = now
			w.say("the desk has %d live cases %s", len(live), now)
		}
		w.look(live, every)
	}
}

// look judges what is live at the desk at one instant.
func (w *world) look(live []servers.WebhookCase, every time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[int]servers.WebhookCase{}
	for _, c := range live {
		n := w.of(c)
		if other, double := seen[n]; double {
			w.doubles[[2]string{other.Number, c.Number}]++
		}
		seen[n] = c
		if w.one && c.Priority != "p4" {
			w.lone = append(w.lone, keys([]servers.WebhookCase{c}))
		}
	}
	if len(live) > 1 {
		w.late += every
	}
}

// stale is how long the case of an outage that is over may be live while nothing is wrong with the desk. What is live for longer in another outage
// went on with it.
const stale = 25 * time.Second

// covered reports whether the outage that lasts has a live case, of that priority or, where it is "", of any.
func (w *world) covered(priority string) bool {
	live := w.live()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(live, func(c servers.WebhookCase) bool {
		last := len(w.outages) - 1
		return (w.of(c) == last || time.Since(w.outages[last].from) > stale) && (priority == "" || c.Priority == priority)
	})
}

// belated reports whether two cases are of two incidents of which one was over before the other began, as the store has them in order, and as there
// were two outages that could be told apart when the second case was opened: the desk could not be told of the first any sooner. The caller holds mu.
func (w *world) belated(numbers [2]string) bool {
	s, err := store.OpenReadOnly(w.t.Context(), w.store)
	if err != nil {
		return false
	}
	defer func() { _ = s.Close() }()
	var opened, closed [2]int64
	var second time.Time
	for _, c := range w.desk.Cases() {
		if slices.Contains(numbers[:], c.Number) && c.Created.After(second) {
			second = c.Created
		}
	}
	for n, number := range numbers {
		c, err := s.CaseByNumber(w.t.Context(), number)
		if err != nil {
			return false
		}
		events, err := s.Timeline(w.t.Context(), c.Incident, 0)
		if err != nil {
			return false
		}
		for _, e := range events {
			switch e.Kind {
			case incident.EventOpened:
				opened[n] = e.Seq
			case incident.EventResolved:
				if closed[n] == 0 { // what an agent that was alone hands over may say so again
					closed[n] = e.Seq
				}
			default:
			}
		}
	}
	return w.apart(second) > 1 && (closed[0] > 0 && closed[0] < opened[1] || closed[1] > 0 && closed[1] < opened[0])
}

// settled says what the agents have not ended yet, or "".
func (w *world) settled() string {
	if live := w.live(); len(live) > 0 {
		return "live: " + keys(live)
	}
	s, err := store.OpenReadOnly(w.t.Context(), w.store)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = s.Close() }()
	snap, err := s.Snapshot(w.t.Context())
	if err != nil {
		return err.Error()
	}
	var open []string
	for _, i := range snap.Incidents {
		open = append(open, fmt.Sprintf("%s open %t, cases %+v, notices %+v", i.ID, i.Open(), snap.Cases, snap.Notices))
	}
	waiting, err := s.Handovers(w.t.Context())
	if err != nil {
		return err.Error()
	}
	for _, h := range waiting {
		open = append(open, "handed over by "+h.Voter+": "+h.Incident.ID)
	}
	return strings.Join(open, "; ")
}

// stored tells every incident with its timeline and cases.
func (w *world) stored() string {
	s, err := store.OpenReadOnly(w.t.Context(), w.store)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = s.Close() }()
	list, err := s.Incidents(w.t.Context(), store.IncidentFilter{})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, i := range slices.Backward(list) {
		fmt.Fprintf(&b, "%s %s %s, started %s, opened %s, ended %s, closed %s, %s %s\n", i.ID, i.Root, i.Priority, clock(i.Started), clock(i.Opened), clock(i.Ended), clock(i.Closed), i.Resolution, i.AbsorbedBy)
		events, _ := s.Timeline(w.t.Context(), i.ID, 0)
		for _, e := range events {
			fmt.Fprintf(&b, "  %s %s %s %s: %s\n", clock(e.At), e.Kind, e.Actor, e.Priority, e.Text)
		}
		cases, _ := s.Cases(w.t.Context(), i.ID)
		for _, c := range cases {
			fmt.Fprintf(&b, "  case %+v\n", c)
		}
	}
	return b.String()
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func keys(all []servers.WebhookCase) string {
	var list []string
	for _, c := range all {
		list = append(list, c.Number+" "+c.Priority+" "+c.Key)
	}
	return strings.Join(list, ", ")
}
