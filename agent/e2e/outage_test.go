//go:build servers && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

const notices = `
notices:
  - { name: customer, kind: email, to: [customer], smtp: "smtp://%s", starttls: "off", from: "firstcall@operations.example" }`

const tenant = `
tenant:
  id: acme
  name: ACME A/S
  time_zone: Europe/Copenhagen
  contacts: { customer: { name: ACME IT, email: it@acme.example, phone: "+45 00 00 00 00" } }
`

const quick = `
defaults: { interval: 1s, timeout: 1s }
detection: { rechecks: 3, recheck_within: 1s }
policy: { settle: 3s }
`

// TestFaultToCase kills nginx at 20 random phases of a 10 s interval: each time there is exactly one priority 2 case, and in the
// median it exists within half an interval and 5 s.
func TestFaultToCase(t *testing.T) {
	const runs = 20
	other := servers.StartNginx(t, servers.NginxOptions{})
	took := make([]time.Duration, runs)
	agents := make([]*process, runs)
	var all sync.WaitGroup
	for i := range runs {
		web := servers.StartNginx(t, servers.NginxOptions{})
		p := run(t, fmt.Sprintf(tenant+`
defaults: { interval: 10s, timeout: 5s }
components:
  - { name: web-client, probes: [{ kind: http, url: %q }] }
  - { name: backend, probes: [{ kind: http, url: %q }] }
`, web.URL(), other.URL()))
		agents[i] = p
		// one random phase in each twentieth of the interval, so that the median is the agent's and not the dice's
		phase := 10*time.Second + time.Duration((float64(i)+rand.Float64())/runs*float64(10*time.Second))
		all.Go(func() {
			pause(phase)
			killed := time.Now()
			web.Kill()
			c, ok := p.firstCase(40 * time.Second)
			if !ok {
				t.Errorf("run %d: no case\n%s", i, p.log.String())
				return
			}
			took[i] = c.Created.Sub(killed)
		})
	}
	all.Wait()
	pause(5 * time.Second)
	for i, p := range agents {
		if live := p.liveCases(); len(live) != 1 || live[0].Priority != incident.P2 || len(p.incidents()) != 1 {
			t.Errorf("run %d: want exactly one P2 case: %+v", i, live)
		}
	}
	slices.Sort(took)
	median := (took[runs/2-1] + took[runs/2]) / 2
	t.Logf("fault to case: median %s, least %s, most %s of %d", median.Round(time.Millisecond), took[0].Round(time.Millisecond), took[runs-1].Round(time.Millisecond), runs)
	if median > 10*time.Second {
		t.Errorf("fault to case takes %s in the median, want at most 10s (half the interval and 5s): %v", median, took)
	}
}

// TestEveryComponentKilled ends in one live priority 1 case; the earlier priority 2 is part of it, and the customer's mails have
// its number and commencement.
func TestEveryComponentKilled(t *testing.T) {
	web, backend := servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{})
	rdp := servers.StartXrdp(t, servers.XrdpOptions{})
	mail := servers.StartMailpit(t, servers.MailpitOptions{})
	p := run(t, fmt.Sprintf(tenant+quick+`
service_level: { status_every: 5s }
components:
  - { name: web-client, probes: [{ kind: http, url: %q }] }
  - { name: backend, probes: [{ kind: http, url: %q }] }
  - { name: remote-desktop, probes: [{ kind: rdp, address: %q }] }
`+notices, web.URL(), backend.URL(), rdp.Address, mail.SMTP))
	p.eventually(10*time.Second, "ready", func() bool { return p.status().Health.Ready })
	web.Kill()
	p.eventually(15*time.Second, "a P2 case", func() bool {
		live := p.liveCases()
		return len(live) == 1 && live[0].Priority == incident.P2
	})
	number := p.liveCases()[0].Number
	backend.Kill()
	rdp.Kill()
	p.eventually(20*time.Second, "one live P1 case", func() bool {
		live := p.liveCases()
		return len(live) == 1 && live[0].Priority == incident.P1 && len(p.open()) == 1
	})
	if got := p.liveCases()[0].Number; got != number {
		t.Errorf("the case that lives on is %s, want the earliest, %s", got, number)
	}
	p.eventually(20*time.Second, "mails: opened, raised, status", func() bool { return len(mail.Messages()) >= 3 })
	opened := p.open()[0]
	for _, m := range mail.Messages() {
		text := mail.Text(m)
		zone, _ := time.LoadLocation("Europe/Copenhagen")
		if at := opened.Commencement.In(zone).Format("15:04"); !strings.Contains(m.Subject+text, number) || !strings.Contains(text, at) {
			t.Errorf("mail %q lacks the number %s or the commencement %s:\n%s", m.Subject, number, at, text)
		}
	}
	web.Start()
	backend.Start()
	rdp.Start()
	p.eventually(20*time.Second, "every case is resolved", func() bool {
		return len(p.open()) == 0 && len(p.liveCases()) == 0
	})
	p.eventually(10*time.Second, "a closing mail", func() bool {
		return slices.ContainsFunc(mail.Messages(), func(m servers.Mail) bool { return strings.Contains(strings.ToLower(m.Subject), "resolved") })
	})
	ids := map[string]int{}
	for _, m := range mail.Messages() {
		ids[m.MessageID]++
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("mail %s came %d times", id, n)
		}
	}
	p.stop()
}

// TestRedundancy loses one of two instances (P3), then both (P1, raised in place), and gets them back.
func TestRedundancy(t *testing.T) {
	app1, app2, web := servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{}), servers.StartNginx(t, servers.NginxOptions{})
	p := run(t, fmt.Sprintf(tenant+quick+`
components:
  - name: backend
    instances:
      - { name: app01, probes: [{ kind: http, url: %q }] }
      - { name: app02, probes: [{ kind: http, url: %q }] }
  - { name: web-client, probes: [{ kind: http, url: %q }] }
`, app1.URL(), app2.URL(), web.URL()))
	p.eventually(10*time.Second, "ready", func() bool { return p.status().Health.Ready })
	at := func(priority incident.Priority) func() bool {
		return func() bool {
			live := p.liveCases()
			return len(live) == 1 && live[0].Priority == priority
		}
	}
	app1.Kill()
	p.eventually(15*time.Second, "one P3 case", at(incident.P3))
	number := p.liveCases()[0].Number
	app2.Kill()
	p.eventually(15*time.Second, "one P1 case", at(incident.P1))
	if got := p.liveCases()[0].Number; got != number {
		t.Errorf("raised as %s, want in place: %s", got, number)
	}
	app1.Start()
	p.eventually(15*time.Second, "lowered to P3, with a reason", at(incident.P3))
	app2.Start()
	p.eventually(15*time.Second, "resolved", func() bool { return len(p.liveCases()) == 0 })
	if n := len(p.cases()); n != 1 {
		t.Errorf("%d cases, want 1 in all", n)
	}
}

// TestReasons runs one probe against each real fault and wants the right reason.
func TestReasons(t *testing.T) {
	rdp := servers.StartXrdp(t, servers.XrdpOptions{})
	shadow := servers.StartShadow(t, servers.ShadowOptions{})
	expired := servers.SelfSigned(t, servers.CertOptions{NotBefore: time.Now().AddDate(0, -2, 0), NotAfter: time.Now().AddDate(0, 0, -2)})
	oldRDP := servers.StartXrdp(t, servers.XrdpOptions{Cert: expired})
	web := servers.StartNginx(t, servers.NginxOptions{HTTP: []int{servers.FreePort(t)}, Locations: `
location / { return 200 "Perfion\n"; }
location /wrong { return 200 "It works!\n"; }
location /503 { return 503; }
location /401 { return 401; }`})
	tls := servers.StartNginx(t, servers.NginxOptions{HTTPS: []int{servers.FreePort(t)}, Cert: expired})
	silent := servers.StartSilent(t)
	closed := fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))
	p := prepare(t, fmt.Sprintf(`
tenant: { id: acme }
defaults: { interval: 10s, timeout: 2s }
components:
  - name: all
    probes:
      - { name: fine, kind: http, url: %[1]q, expect: { body: Perfion } }
      - { name: wrong-page, kind: http, url: "%[1]s/wrong", expect: { body: Perfion } }
      - { name: status-503, kind: http, url: "%[1]s/503" }
      - { name: login, kind: http, url: "%[1]s/401", functional: { status: [401] } }
      - { name: hang, kind: http, url: "http://%[2]s/" }
      - { name: closed, kind: tcp, address: %[3]q }
      - { name: expired, kind: tls, address: "127.0.0.1:%[4]d", ca_file: %[5]q }
      - { name: rdp, kind: rdp, address: %[6]q }
      - { name: rdp-nla, kind: rdp, address: %[7]q }
      - { name: rdp-expired, kind: rdp, address: %[8]q }
      - { name: rdp-silent, kind: rdp, address: %[2]q }
      - { name: rdp-silent-port, kind: tcp, address: %[2]q }
      - { kind: dns, name: nowhere.invalid, server: "127.0.0.1:1" }
`, web.URL(), silent.Address, closed, tls.HTTPS[0], expired.CertFile, rdp.Address, shadow.Address, oldRDP.Address))
	want := func(name string, outcome probes.Outcome, reason probes.Reason) {
		t.Helper()
		cmd := exec.Command(binary, "probe", name, "--config.file", p.file, "-o", "json")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		var r probes.Result
		if jsonErr := json.Unmarshal(out, &r); jsonErr != nil {
			t.Fatalf("%s: %v, %v: %s%s", name, err, jsonErr, out, stderr.String())
		}
		if r.Outcome != outcome || r.Reason != reason {
			t.Errorf("%s: %s %s (%s), want %s %s", name, r.Outcome, r.Reason, r.Detail, outcome, reason)
		}
		code := map[probes.Outcome]int{probes.Up: 0, probes.Degraded: 1, probes.Down: 2, probes.Unknown: 3}[outcome]
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%s: exit code %d, want %d", name, got, code)
		}
	}
	want("fine", probes.Up, probes.None)
	want("wrong-page", probes.Down, probes.Content)
	want("status-503", probes.Down, probes.Status)
	want("login", probes.Degraded, probes.Auth)
	want("hang", probes.Down, probes.Timeout)
	want("closed", probes.Down, probes.Refused)
	want("expired", probes.Down, probes.BadCertificate)
	want("nowhere.invalid", probes.Down, probes.Refused)
	want("rdp-nla", probes.Up, probes.None)
	want("rdp-expired", probes.Down, probes.BadCertificate)
	want("rdp-silent", probes.Down, probes.Timeout)
	want("rdp-silent-port", probes.Up, probes.None) // what every other tool sees of a hung listener
	want("rdp", probes.Up, probes.None)
	rdp.Freeze()
	want("rdp", probes.Down, probes.Timeout)
	rdp.Thaw()
	want("rdp", probes.Up, probes.None)
	rdp.Kill()
	want("rdp", probes.Down, probes.Refused)
}

// TestHungRDP states that a Remote Desktop service that hangs opens a case though its port connects.
func TestHungRDP(t *testing.T) {
	rdp, web := servers.StartXrdp(t, servers.XrdpOptions{}), servers.StartNginx(t, servers.NginxOptions{})
	p := run(t, fmt.Sprintf(tenant+quick+`
components:
  - { name: remote-desktop, probes: [{ kind: rdp, address: %q }] }
  - { name: web-client, probes: [{ kind: http, url: %q }] }
`, rdp.Address, web.URL()))
	p.eventually(10*time.Second, "ready", func() bool { return p.status().Health.Ready })
	rdp.Freeze()
	p.eventually(20*time.Second, "a P2 case", func() bool { return len(p.liveCases()) == 1 })
	if i := p.open()[0]; i.Priority != incident.P2 || i.Reason != string(probes.Timeout) {
		t.Errorf("%s %s %q", i.Priority, i.Reason, i.Detail)
	}
	rdp.Thaw()
	p.eventually(20*time.Second, "resolved", func() bool { return len(p.liveCases()) == 0 })
}
