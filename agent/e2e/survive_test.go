//go:build servers && linux

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// TestKilled kills the agent without warning at 200 random instants while incidents open and resolve, against a webhook desk that
// loses every third answer: in the end every incident has had exactly one live case, all are resolved, and every notice arrived,
// each under one Message-ID.
func TestKilled(t *testing.T) {
	const kills = 200
	target := servers.StartTarget(t)
	other := servers.StartNginx(t, servers.NginxOptions{})
	desk := servers.StartWebhook(t, servers.WebhookOptions{Secret: "hmac"})
	mail := servers.StartMailpit(t, servers.MailpitOptions{})
	p := prepare(t, fmt.Sprintf(tenant+`
defaults: { interval: 100ms, timeout: 100ms }
detection: { rechecks: 1, recheck_within: 100ms, recover: 2 }
policy: { settle: 100ms, momentary: 1s, momentary_count: 100, momentary_window: 1m }
components:
  - { name: web-client, probes: [{ kind: http, url: %q }] }
  - { name: backend, probes: [{ kind: http, url: %q }] }
desks:
  - { name: soc, kind: webhook, url: %q, find_url: %q, secret: hmac, timeout: 2s }
`+notices, target.URL, other.URL(), desk.URL(), desk.FindURL(), mail.SMTP))
	desk.LoseEvery(3)
	stopFlipping := make(chan struct{})
	flipped := make(chan struct{})
	go func() { // the fault comes and goes on its own, whatever becomes of the agent
		defer close(flipped)
		for {
			select {
			case <-stopFlipping:
				target.Broken.Store(false)
				return
			case <-time.After(700*time.Millisecond + time.Duration(rand.Int64N(int64(1200*time.Millisecond)))):
				target.Broken.Store(!target.Broken.Load())
			}
		}
	}()
	for range kills {
		p.start()
		pause(time.Duration(rand.Int64N(int64(600 * time.Millisecond))))
		p.kill()
	}
	close(stopFlipping)
	<-flipped
	p.start()
	p.eventually(90*time.Second, "every incident has a case, and everything is settled", func() bool {
		all := p.cases()
		return len(p.open()) == 0 && !slices.ContainsFunc(all, func(c incident.Case) bool { return !c.Settled }) &&
			!slices.ContainsFunc(p.incidents(), func(i incident.Incident) bool {
				return !slices.ContainsFunc(all, func(c incident.Case) bool { return c.Incident == i.ID })
			})
	})
	all := p.incidents()
	lost := 0
	for _, call := range desk.Calls() {
		if call.Lost {
			lost++
		}
	}
	t.Logf("%d kills, %d incidents, %d cases at the desk, %d requests, %d answers lost", kills, len(all), len(desk.Cases()), len(desk.Calls()), lost)
	desk.LoseEvery(0)
	if len(all) < 20 {
		t.Errorf("only %d incidents: the test proves little", len(all))
	}
	known := map[string]bool{}
	for _, i := range all {
		known[i.ID] = true
		live := slices.DeleteFunc(desk.ByKey(i.ID), func(c servers.WebhookCase) bool { return c.State == "withdrawn" })
		if len(live) != 1 || live[0].State != "resolved" {
			t.Errorf("%s has %d cases that were not withdrawn: %+v", i.ID, len(live), live)
		}
	}
	for _, c := range desk.Cases() {
		if !known[c.Key] {
			t.Errorf("case %s has a key that is no incident's: %q", c.Number, c.Key)
		}
	}
	checkNotices(t, p, mail, all)
}

// checkNotices wants every notice of the incidents sent, each in mails of one Message-ID that no other notice has.
func checkNotices(t *testing.T, p *process, mail *servers.Mailpit, all []incident.Incident) {
	t.Helper()
	due := 0
	p.eventually(60*time.Second, "every notice is sent", func() bool {
		due = 0
		waiting := 0
		for _, i := range all {
			for _, n := range p.story(i.ID).Notices {
				switch n.State {
				case incident.NoticeSent:
					due++
				case incident.NoticeDue:
					waiting++
				default:
				}
			}
		}
		return waiting == 0
	})
	ids := map[string]bool{}
	for _, m := range mail.Messages() {
		ids[m.MessageID] = true
	}
	t.Logf("%d notices, %d mails", due, len(mail.Messages()))
	if len(ids) != due || due < 2*len(all) {
		t.Errorf("%d Message-IDs for %d notices of %d incidents", len(ids), due, len(all))
	}
}

// TestDeskAndMailDown takes the desk, and in another agent the mail server, away for a minute: no probe is missed meanwhile, and
// everything is delivered within the capped back-off and 3 s of their return.
func TestDeskAndMailDown(t *testing.T) {
	const away, within = 60 * time.Second, 18 * time.Second
	for _, what := range []string{"desk", "mail"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			web, other := servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{})
			desk := servers.StartWebhook(t, servers.WebhookOptions{})
			mail := servers.StartMailpit(t, servers.MailpitOptions{})
			p := run(t, fmt.Sprintf(tenant+quick+`
components:
  - { name: web-client, probes: [{ kind: http, url: %q }] }
  - { name: backend, probes: [{ kind: http, url: %q }] }
desks:
  - { name: soc, kind: webhook, url: %q, find_url: %q }
`+notices, web.URL(), other.URL(), desk.URL(), desk.FindURL(), mail.SMTP))
			p.eventually(10*time.Second, "ready", func() bool { return p.status().Health.Ready })
			if what == "desk" {
				desk.Down()
			} else {
				mail.Kill()
			}
			web.Kill()
			p.eventually(15*time.Second, "an incident", func() bool { return len(p.open()) == 1 })
			pause(away)
			h := p.status().Health
			if what == "desk" && h.DeskErrors["soc"] == "" || what == "mail" && h.NoticeErrors["customer"] == "" {
				t.Errorf("the page does not say what is down: %+v", h)
			}
			back := time.Now()
			if what == "desk" {
				desk.Up()
			} else {
				mail.Start()
			}
			p.eventually(within, "the case and its mail are delivered", func() bool {
				return len(desk.Cases()) == 1 && len(mail.Messages()) >= 1
			})
			t.Logf("%s back to delivery: %s", what, time.Since(back).Round(10*time.Millisecond))
			if missed := p.metric(`firstcall_probe_missed_total`); missed != "0" && missed != "" {
				t.Errorf("%s runs of probes were missed", missed)
			}
		})
	}
}

// TestOwnNetworkCut takes the agent's network away, once by routes that are gone and once by packets that vanish: no case, it is
// shown as blind, the heartbeat stops, and it goes on cleanly when the network is back.
func TestOwnNetworkCut(t *testing.T) {
	for _, how := range []string{"cut", "drop"} {
		t.Run(how, func(t *testing.T) {
			ns := servers.StartNetNS(t)
			web := servers.StartNginx(t, servers.NginxOptions{NetNS: ns})
			rdp := servers.StartXrdp(t, servers.XrdpOptions{NetNS: ns})
			witness := servers.StartNginx(t, servers.NginxOptions{NetNS: ns})
			var beats atomic.Int64
			l, err := ns.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			watchdog := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats.Add(1) })}}
			watchdog.Start()
			t.Cleanup(watchdog.Close)
			p := prepare(t, fmt.Sprintf(tenant+quick+`
witnesses: [{ kind: tcp, address: "127.0.0.1:%d" }]
heartbeat: { url: %q, every: 1s }
components:
  - { name: web-client, probes: [{ kind: http, url: %q }] }
  - { name: remote-desktop, probes: [{ kind: rdp, address: %q }] }
`, witness.HTTP[0], watchdog.URL, web.URL(), rdp.Address))
			p.ns = ns
			p.start()
			p.eventually(10*time.Second, "ready, with a heartbeat", func() bool { return p.status().Health.Ready && beats.Load() > 0 })
			ports := []int{web.HTTP[0], rdp.Port, witness.HTTP[0]}
			if how == "cut" {
				ns.Cut(ports...)
			} else {
				ns.Drop(ports...)
			}
			p.eventually(30*time.Second, "shown as blind", func() bool { return p.status().Blind })
			before := beats.Load()
			pause(10 * time.Second)
			if n := len(p.cases()); n != 0 {
				t.Errorf("%d cases were opened while blind", n)
			}
			if after := beats.Load(); after > before+1 {
				t.Errorf("%d heartbeats while blind", after-before)
			}
			if s := p.status(); s.Outcome != probes.Unknown || !strings.Contains(strings.ToLower(s.Headline.Sentence), "blind") {
				t.Errorf("shown: %s, %q", s.Outcome, s.Headline.Sentence)
			}
			ns.Restore()
			p.eventually(30*time.Second, "sees again", func() bool { return !p.status().Blind && p.status().Outcome == probes.Up })
			again := beats.Load()
			p.eventually(10*time.Second, "the heartbeat goes on", func() bool { return beats.Load() > again })
			if n := len(p.cases()); n != 0 {
				t.Errorf("%d cases after the recovery", n)
			}
			web.Kill()
			p.eventually(20*time.Second, "a real outage after that is told", func() bool { return len(p.liveCases()) == 1 })
			p.stop()
		})
	}
}
