//go:build servers && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// cable is a connection to a server that can be cut.
type cable struct {
	address, target string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newCable(t *testing.T, target string) *cable {
	c := &cable{target: target, conns: map[net.Conn]bool{}}
	c.address = probetest.Listen(t, c.carry)
	return c
}

func (c *cable) carry(in net.Conn) {
	c.mu.Lock()
	out, err := net.Dial("tcp", c.target)
	if c.cut || err != nil {
		c.mu.Unlock()
		return
	}
	c.conns[in], c.conns[out] = true, true
	c.mu.Unlock()
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.Close()
		_ = from.Close()
	}
	go pass(in, out)
	pass(out, in)
}

// set cuts the cable, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for conn := range c.conns {
		if cut {
			_ = conn.Close()
			delete(c.conns, conn)
		}
	}
}

// crowd is three agents of one tenant that share a database and a desk.
type crowd struct {
	t      *testing.T
	target *servers.Target
	desk   *servers.Webhook
	agents []*process
	cables []*cable
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t, target: servers.StartTarget(t)}
	other := servers.StartTarget(t)
	c.desk = servers.StartWebhook(t, servers.WebhookOptions{})
	database := servers.StartPostgres(t)
	url := database.Database(t, "firstcall")
	for n, vantage := range []string{"dk", "neu", "weu"} {
		wire := newCable(t, database.Address)
		c.cables = append(c.cables, wire)
		p := prepare(t, fmt.Sprintf(`
tenant: { id: acme }
vantage: %s
defaults: { interval: 1s, timeout: 900ms }
detection: { rechecks: 2, recheck_within: 200ms, recover: 2 }
policy: { settle: 500ms, momentary_count: 20 }
evidence: { enabled: false }
store: { url: %q, alone_after: 6s, state_dir: state }
components:
  - name: backend
    probes: [{ kind: http, url: %q }]
  - name: web-client
    probes: [{ kind: http, url: %q }]
desks:
  - { name: soc, kind: webhook, url: %q, find_url: %q, timeout: 3s }
`, vantage, strings.Replace(url, database.Address, wire.address, 1), c.target.URL, other.URL, c.desk.URL(), c.desk.FindURL()))
		c.agents = append(c.agents, p)
		p.start()
		if n == 0 {
			p.eventually(15*time.Second, "the first agent leads", func() bool { return c.role(p) == "leader" })
		}
	}
	for _, p := range c.agents {
		p.eventually(20*time.Second, "every agent sees all three", func() bool {
			h, ok := c.health(p)
			return ok && h.Ready && len(h.Vantages) == 3
		})
	}
	return c
}

func (c *crowd) health(p *process) (web.Health, bool) {
	var s web.Status
	data, err := p.get("/api/v1/status")
	ok := err == nil && json.Unmarshal(data, &s) == nil
	return s.Health, ok
}

func (c *crowd) role(p *process) string {
	h, _ := c.health(p)
	return h.Role
}

// leader returns the one that leads; nil: none, or more than one.
func (c *crowd) leader(among ...*process) *process {
	var found *process
	for _, p := range among {
		if c.role(p) == "leader" {
			if found != nil {
				return nil
			}
			found = p
		}
	}
	return found
}

func (c *crowd) others(p *process) []*process {
	return slices.DeleteFunc(slices.Clone(c.agents), func(o *process) bool { return o == p })
}

// live returns the cases at the desk that are not over.
func (c *crowd) live() (all []servers.WebhookCase) {
	for _, s := range c.desk.Cases() {
		if s.State != "resolved" && s.State != "withdrawn" {
			all = append(all, s)
		}
	}
	return all
}

func (c *crowd) eventually(within time.Duration, what string, holds func() bool) {
	c.t.Helper()
	if probetest.Eventually(within, holds) {
		return
	}
	for n, p := range c.agents {
		c.t.Logf("agent %d (%s):\n%s", n, c.role(p), p.log.String())
	}
	c.t.Fatalf("not within %s: %s; the desk has %+v", within, what, c.desk.Cases())
}

// recovered mends the target and waits until the desk agrees, with so many cases in all (0: as many as there are), which it returns.
func (c *crowd) recovered(cases int) int {
	c.t.Helper()
	c.target.Broken.Store(false)
	c.eventually(40*time.Second, "every case is resolved", func() bool { return len(c.live()) == 0 })
	all := c.desk.Cases()
	if cases > 0 && len(all) != cases {
		c.t.Errorf("the desk has %d cases, want %d: %+v", len(all), cases, all)
	}
	return len(all)
}

// TestSeveralAsOne lets three agents lose their leader, in every way, and their database, in mid-incident: there is one case at any
// time, and it is resolved once.
func TestSeveralAsOne(t *testing.T) {
	c := newCrowd(t)
	first := c.agents[0]

	t.Log("a crash: another leads within 10 s, and goes on with the case")
	c.target.Broken.Store(true)
	c.eventually(30*time.Second, "a case", func() bool { return len(c.live()) == 1 })
	first.kill()
	began := time.Now()
	var second *process
	c.eventually(10*time.Second, "another leads", func() bool { second = c.leader(c.others(first)...); return second != nil })
	t.Logf("taken over %s after a crash", time.Since(began).Round(time.Millisecond))
	first.start()
	c.recovered(1)

	t.Log("an order at a follower is refused, and says who leads")
	if body := post(t, first, "/api/v1/silences", `{"actor": "ann", "reason": "test", "minutes": 5}`); !strings.Contains(body, "leads") {
		t.Errorf("a follower answers an order with %s", body)
	}

	t.Log("a clean stop: another leads within 2 s")
	second.stop()
	began = time.Now()
	var third *process
	c.eventually(5*time.Second, "another leads", func() bool { third = c.leader(c.others(second)...); return third != nil })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("another leads %s after a clean stop, want 2 s at most", took.Round(time.Millisecond))
	}
	second.start()

	t.Log("a leader that is frozen and thawed writes nothing: the case is another's by then")
	_ = third.cmd.Process.Signal(syscall.SIGSTOP)
	c.target.Broken.Store(true)
	var fourth *process
	c.eventually(10*time.Second, "another leads", func() bool { fourth = c.leader(c.others(third)...); return fourth != nil })
	c.eventually(30*time.Second, "a case", func() bool { return len(c.live()) == 1 })
	_ = third.cmd.Process.Signal(syscall.SIGCONT)
	pause(3 * time.Second)
	if c.leader(c.agents...) != fourth || len(c.live()) != 1 {
		t.Errorf("after the thaw: %d live cases, leader %v", len(c.live()), c.leader(c.agents...) == fourth)
	}
	c.recovered(2)

	t.Log("the leader alone is cut off from the database: another leads, both judge, and share a case")
	cutOff := slices.Index(c.agents, fourth)
	c.cables[cutOff].set(true)
	var fifth *process
	c.eventually(15*time.Second, "another leads, and the one that is cut off judges alone", func() bool {
		fifth = c.leader(c.others(fourth)...)
		return fifth != nil && c.role(fourth) == "alone"
	})
	c.target.Broken.Store(true)
	c.eventually(30*time.Second, "both have an incident and a case", func() bool {
		return len(fifth.liveCases()) == 1 && len(fourth.liveCases()) == 1
	})
	c.eventually(20*time.Second, "one case", func() bool { return len(c.live()) == 1 })
	c.cables[cutOff].set(false)
	c.eventually(20*time.Second, "it follows again", func() bool { return c.role(fourth) == "follower" })
	pause(3 * time.Second)
	if open, live := fifth.open(), c.live(); len(open) != 1 || len(live) != 1 {
		t.Errorf("after it is back there are %d open incidents and %d live cases, want 1 and 1", len(open), len(live))
	}
	cases := c.recovered(0)
	fourth = fifth

	t.Log("the database goes away: agents judge alone, find each other's case, and hand it over when it is back")
	for _, wire := range c.cables {
		wire.set(true)
	}
	c.eventually(20*time.Second, "the leader judges alone", func() bool { return c.role(fourth) == "alone" })
	c.target.Broken.Store(true)
	c.eventually(30*time.Second, "a case", func() bool { return len(c.live()) == 1 })
	c.eventually(90*time.Second, "all judge alone", func() bool {
		return !slices.ContainsFunc(c.agents, func(p *process) bool { return c.role(p) != "alone" })
	})
	pause(5 * time.Second)
	if n := len(c.live()); n != 1 {
		t.Errorf("%d live cases while all are alone, want 1: %+v", n, c.live())
	}
	for _, wire := range c.cables {
		wire.set(false)
	}
	c.eventually(30*time.Second, "one leads again", func() bool { return c.leader(c.agents...) != nil })
	leader := c.leader(c.agents...)
	c.eventually(20*time.Second, "one open incident with the case", func() bool {
		open := leader.open()
		return len(open) == 1 && len(leader.liveCases()) == 1
	})
	c.recovered(cases + 1)
	for _, p := range c.agents {
		p.stop()
	}
}

// post gives an order and returns the answer.
func post(t *testing.T, p *process, path, body string) string {
	t.Helper()
	resp, err := p.client.Post(p.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(data))
}
