package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/firstcall-agent/firstcall/agent/evidence"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/path"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a source and a store in memory.
type world struct {
	mu     sync.Mutex
	view   engine.View
	aims   map[string]probes.Aim
	files  map[string][]probes.Attachment
	open   []incident.Incident
	good   map[string][]probes.Result
	kept   map[string]incident.Evidence
	events []incident.Event
	fails  int // SaveEvidence calls that fail
}

func (w *world) View() engine.View                      { w.mu.Lock(); defer w.mu.Unlock(); return w.view }
func (w *world) Aim(probe string) probes.Aim            { return w.aims[probe] }
func (w *world) Files(probe string) []probes.Attachment { return w.files[probe] }
func (w *world) Lag() string                            { return "the agent itself was not late" }

func (w *world) Incidents(context.Context, store.IncidentFilter) ([]incident.Incident, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.open), nil
}

func (w *world) Evidence(_ context.Context, id string) (incident.Evidence, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e, ok := w.kept[id]; ok {
		return e, nil
	}
	return incident.Evidence{}, incident.ErrNotFound
}

func (w *world) SaveEvidence(_ context.Context, e incident.Evidence, events ...incident.Event) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails > 0 {
		w.fails--
		return false, errors.New("store: the disk is full")
	}
	if err := e.Check(); err != nil {
		return false, err
	}
	if _, there := w.kept[e.Incident]; there {
		return false, nil
	}
	if w.kept == nil {
		w.kept = map[string]incident.Evidence{}
	}
	w.kept[e.Incident] = e
	w.events = append(w.events, events...)
	return true, nil
}

func (w *world) Results(_ context.Context, probe string, from, to time.Time, _ int) (found []probes.Result, _ error) {
	for _, r := range w.good[probe] {
		if !r.Start.Before(from) && r.Start.Before(to) {
			found = append(found, r)
		}
	}
	return found, nil
}

var began = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// outage is a world in which the backend fails and the web client works.
func outage() (*world, incident.Incident) {
	id := "backend/app01/tcp"
	last := probes.Result{
		Probe: id, Start: began.Add(-10 * time.Second), Duration: 5 * time.Second, Outcome: probes.Down, Reason: probes.Timeout, Detail: "no answer within 5s",
		Phases: []probes.Phase{{Name: probes.PhaseDNS, Duration: 2 * time.Millisecond}, {Name: probes.PhaseConnect, Duration: 4998 * time.Millisecond}},
		Facts:  []probes.Fact{{Name: "proxy", Value: "none"}},
	}
	good := probes.Result{
		Probe: id, Start: began.Add(-40 * time.Second), Duration: 12 * time.Millisecond, Outcome: probes.Up,
		Phases: []probes.Phase{{Name: probes.PhaseConnect, Duration: 10 * time.Millisecond}},
	}
	w := &world{
		aims: map[string]probes.Aim{id: {Host: "192.0.2.7", Port: 443}}, good: map[string][]probes.Result{id: {good}},
		files: map[string][]probes.Attachment{id: {{Name: "screenshot.png", Type: "image/png", Content: []byte("\x89PNG")}}},
	}
	w.view = engine.View{
		At: began,
		Components: []engine.ComponentView{
			{Name: "backend", Outcome: probes.Down, Instances: []engine.InstanceView{{Name: "app01", Probes: []engine.ProbeView{
				{ID: id, Deciding: true, Outcome: probes.Down, Last: &last, LastGood: good.End()},
				{ID: "backend/app01/icmp", Outcome: probes.Up},
			}}}},
			{Name: "web-client", Outcome: probes.Up},
			{Name: "remote-desktop", Outcome: probes.Degraded, Reason: probes.Slow, Since: began.Add(-time.Hour), Maintenance: "patching"},
		},
		Witnesses: []engine.ProbeView{{ID: "witness/one", Outcome: probes.Up}, {ID: "witness/two", Outcome: probes.Down}},
	}
	i := incident.Incident{ID: "fc-acme-backend", Class: incident.Availability, Components: []string{"backend"}, Priority: incident.P2, Opened: began}
	w.open = []incident.Incident{i}
	return w, i
}

func (w *world) gatherer(walk func(context.Context, netip.Addr, uint16) path.Walk) *evidence.Gatherer {
	return evidence.New(evidence.Options{Source: w, Store: w, Walk: walk, Settings: func() evidence.Settings {
		return evidence.Settings{Enabled: true, Path: true, Vantage: "aks-westeurope", ExternalURL: "https://firstcall.acme.example"}
	}})
}

func shortWalk(_ context.Context, to netip.Addr, port uint16) path.Walk {
	return path.Walk{
		Target: to, Port: port, Method: path.TCP, Local: netip.MustParseAddr("10.0.0.5"), Via: "eth0", Asked: 11, End: path.Silent,
		Hops: []path.Hop{{TTL: 1, Addr: netip.MustParseAddr("10.0.0.1"), RTT: 400 * time.Microsecond}},
	}
}

// run runs the gatherer for so long.
func run(t *testing.T, g *evidence.Gatherer, d time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	<-time.After(d) // the bubble's clock
	cancel()
	<-done
}

func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := outage()
		run(t, w.gatherer(shortWalk), time.Minute)
		e, ok := w.kept[i.ID]
		if !ok || len(w.events) != 1 || w.events[0].Kind != incident.EventEvidence || w.events[0].Text != e.Text {
			t.Fatalf("kept %t, events %+v", ok, w.events)
		}
		first, _, _ := strings.Cut(e.Text, "\n")
		if want := "192.0.2.7:443 is not reached: the last hop that answers is 1, 10.0.0.1, none of the 10 after it does; 1 of 2 other components answer normally; 1 of 2 witnesses answer"; first != want {
			t.Errorf("%s\nwant %s", first, want)
		}
		for _, part := range []string{
			"\nFailing\n- backend/app01/tcp at 2026-03-02 09:29:50 UTC: down, timeout, after 5s (dns 2ms, connect 5s): no answer within 5s; proxy=none\n",
			"  last good at 2026-03-02 09:29:20 UTC: up, after 12ms (connect 10ms)\n",
			"\nPaths\n  path to 192.0.2.7:443 by tcp from 10.0.0.5 (eth0)\n", "\n   1  10.0.0.1         0.4 ms\n",
			"- web-client: up\n", "- remote-desktop: degraded, slow, since 2026-03-02 08:30:00 UTC, in the maintenance window patching\n",
			"- witness/two: down\n", "- looked from aks-westeurope, address 10.0.0.5 on eth0, at ", "- the agent itself was not late\n",
			"- backend-app01-tcp-screenshot.png (image/png, 4 bytes)\nat https://firstcall.acme.example/incidents/fc-acme-backend",
		} {
			if !strings.Contains(e.Text, part) {
				t.Errorf("the text lacks %q:\n%s", part, e.Text)
			}
		}
		if len(e.Files) != 1 || e.Files[0].Name != "backend-app01-tcp-screenshot.png" || !bytes.Equal(e.Files[0].Content, []byte("\x89PNG")) {
			t.Errorf("files %+v", e.Files)
		}
	})
}

// Long paths come as a file; files over the bounds are named and left out; the text stays bounded whatever a target says.
func TestGatherBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := outage()
		big := make([]byte, 1<<20)
		in := &w.view.Components[0].Instances[0]
		for n := range 30 {
			id := fmt.Sprintf("backend/app%02d/browser-of-a-very-long-name-that-goes-on-and-on-for-ever-and-ever", n+2)
			in.Probes = append(in.Probes, engine.ProbeView{ID: id, Deciding: true, Outcome: probes.Down, Last: &probes.Result{
				Probe: id, Outcome: probes.Down, Detail: strings.Repeat("x", 400), Facts: []probes.Fact{{Name: "received", Value: "\x1b[31m" + strings.Repeat("é", 290)}},
			}})
			w.files[id] = []probes.Attachment{{Name: "screenshot.png", Type: "image/png", Content: big}, {Name: "requests.har", Type: "application/json", Content: []byte("{}")}}
			w.aims[id] = probes.Aim{Host: fmt.Sprintf("192.0.2.%d", n+10), Port: 443}
		}
		walks := 0
		long := func(_ context.Context, to netip.Addr, port uint16) path.Walk {
			w.mu.Lock()
			walks++
			w.mu.Unlock()
			k := path.Walk{Target: to, Port: port, Method: path.TCP, Asked: 20, End: path.Answers}
			for ttl := 1; ttl <= 20; ttl++ {
				k.Hops = append(k.Hops, path.Hop{TTL: ttl, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(ttl)}), RTT: time.Millisecond})
			}
			return k
		}
		run(t, w.gatherer(long), time.Minute)
		e, ok := w.kept[i.ID]
		if !ok {
			t.Fatal("nothing is kept")
		}
		total := 0
		for _, f := range e.Files {
			total += len(f.Content)
			if len(f.Name) > 60 {
				t.Errorf("the name %s is too long", f.Name)
			}
		}
		if walks != 4 || e.Files[0].Name != "path.txt" || len(e.Files) > incident.MaxEvidenceFiles || total > incident.MaxEvidenceBytes || len(e.Left) == 0 {
			t.Errorf("%d walks, %d files of %d bytes, the first %s, left %v", walks, len(e.Files), total, e.Files[0].Name, e.Left)
		}
		for text, most := range map[string]int{e.Text: 8_000, w.events[0].Text: 3_800} {
			if len(text) > most || len(text) < most/2 || strings.Contains(text, "\x1b") || !strings.HasSuffix(text, "... and more, with the incident on the agent's page") {
				t.Errorf("%d bytes of text, ending %q", len(text), text[max(0, len(text)-80):])
			}
		}
	})
}

// One package an incident, two at once, the most urgent first, none for what the agent itself has, all in the end.
func TestGatherOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := outage()
		w.open = nil
		for n := range 8 {
			i := incident.Incident{ID: fmt.Sprint("fc-", n), Class: incident.Availability, Components: []string{"backend"}, Priority: incident.P4}
			if n == 7 {
				i.Priority = incident.P1
			}
			w.open = append(w.open, i)
		}
		w.open = append(w.open, incident.Incident{ID: "fc-agent", Class: incident.Agent}, incident.Incident{ID: "fc-account", Class: incident.Account})
		now, most := 0, 0
		slow := func(ctx context.Context, to netip.Addr, port uint16) path.Walk {
			w.mu.Lock()
			now++
			most = max(most, now)
			w.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(time.Hour):
			}
			w.mu.Lock()
			now--
			w.mu.Unlock()
			return shortWalk(ctx, to, port)
		}
		g := w.gatherer(slow)
		run(t, g, 100*time.Second)
		if len(w.kept) != 8 || len(w.events) != 8 || most != 2 {
			t.Errorf("%d packages with %d events, %d at once", len(w.kept), len(w.events), most)
		}
		if w.events[0].Incident != "fc-7" && w.events[1].Incident != "fc-7" {
			t.Errorf("the first are %s and %s", w.events[0].Incident, w.events[1].Incident)
		}
		for id, e := range w.kept {
			if e.Took > 21*time.Second {
				t.Errorf("%s took %s", id, e.Took)
			}
		}
		run(t, w.gatherer(slow), 100*time.Second) // the next life
		if len(w.events) != 8 {
			t.Errorf("%d events after a restart", len(w.events))
		}
	})
}

// A life that ends in the middle keeps nothing, and the next one gathers it whole; a store that fails is tried again, not for ever.
func TestGatherAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := outage()
		slow := func(ctx context.Context, to netip.Addr, port uint16) path.Walk {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
			}
			return shortWalk(ctx, to, port)
		}
		run(t, w.gatherer(slow), 5*time.Second)
		if len(w.kept) != 0 {
			t.Error("half a package was kept")
		}
		w.fails = 2
		run(t, w.gatherer(slow), 2*time.Minute)
		if _, ok := w.kept[i.ID]; !ok || len(w.events) != 1 {
			t.Errorf("kept %t, %d events", ok, len(w.events))
		}
		other, _ := outage()
		other.fails = 1000
		walks := 0
		run(t, other.gatherer(func(ctx context.Context, to netip.Addr, port uint16) path.Walk {
			walks++
			return shortWalk(ctx, to, port)
		}), time.Hour)
		if walks != 3 {
			t.Errorf("%d attempts, want 3", walks)
		}
	})
}

// A walk that panics ends neither the gatherer nor the agent.
func TestGatherPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := outage()
		calls := 0
		run(t, w.gatherer(func(context.Context, netip.Addr, uint16) path.Walk { calls++; panic("boo") }), 2*time.Minute)
		if e := w.kept[i.ID]; calls != 1 || !strings.HasPrefix(e.Text, "1 of 2 other components") {
			t.Errorf("%d calls; after a panic it holds %q", calls, e.Text)
		}
	})
}

// Off is off, and a class that the network does not concern asks it nothing.
func TestGatherWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := outage()
		run(t, evidence.New(evidence.Options{Source: w, Store: w, Settings: func() evidence.Settings { return evidence.Settings{} }}), time.Minute)
		if len(w.kept) != 0 {
			t.Error("it was gathered though it is off")
		}
		w.open[0].Class = incident.Capacity
		run(t, w.gatherer(func(context.Context, netip.Addr, uint16) path.Walk { t.Error("walked"); return path.Walk{} }), time.Minute)
		if len(w.kept) != 1 {
			t.Error("nothing was gathered")
		}
	})
}

// answering serves DNS at a port of the loopback; answer makes the reply.
func answering(t *testing.T, answer func(q *dns.Msg) *dns.Msg) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if m := answer(q); m != nil {
			_ = w.WriteMsg(m)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = socket.Close(); <-done })
	return socket.LocalAddr().String()
}

func reply(q *dns.Msg, records ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err == nil && rr.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

// Resolvers that agree, differ, refuse, stay silent or send rubbish: each is told of in one bounded line.
func TestGatherNames(t *testing.T) {
	honest := answering(t, func(q *dns.Msg) *dns.Msg {
		return reply(q, "localhost. 60 IN A 127.0.0.1", "localhost. 60 IN AAAA ::1")
	})
	other := answering(t, func(q *dns.Msg) *dns.Msg {
		var many []string
		for n := range 20 {
			many = append(many, fmt.Sprintf("localhost. 60 IN A 203.0.113.%d", n))
		}
		return reply(q, many...)
	})
	hostile := answering(t, func(q *dns.Msg) *dns.Msg {
		m := reply(q)
		m.Rcode = dns.RcodeServerFailure
		m.Question[0].Name = "\x1b[31m."
		return m
	})
	w, i := outage()
	w.aims["backend/app01/tcp"] = probes.Aim{Host: "localhost", Port: 443}
	g := evidence.New(evidence.Options{Source: w, Store: w, Walk: shortWalk, Settings: func() evidence.Settings {
		return evidence.Settings{Enabled: true, Resolvers: []string{honest, other, hostile}}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	for {
		if _, err := w.Evidence(ctx, i.ID); err == nil {
			break
		}
		<-time.After(5 * time.Millisecond) // sockets: no clock of ours to turn
	}
	cancel()
	<-done
	text := w.kept[i.ID].Text
	for _, part := range []string{
		"2 resolvers agree on localhost, to other addresses at " + other + ", not at " + hostile + ";", "- localhost at system: 127.0.0.1", "- localhost at " + honest + ": 127.0.0.1, ::1 (", "- localhost at " + other + ": 203.0.113.", "- localhost at " + hostile + ": ",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the text lacks %q:\n%s", part, text)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 620 || strings.ContainsAny(line, "\x1b") {
			t.Errorf("a line of %d bytes: %q", len(line), line)
		}
	}
}
