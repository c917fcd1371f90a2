package webtest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

func learning(f *Fake) {
	f.State.Ready, f.State.Started, f.Seen.Outcome = false, At(4*time.Second), probes.Unknown
	f.Newest = map[string][]probes.Result{}
	for i := range f.Seen.Components {
		c := &f.Seen.Components[i]
		c.Outcome = probes.Unknown
		for j := range c.Instances {
			c.Instances[j].Outcome = probes.Unknown
			for k := range c.Instances[j].Probes {
				if i > 0 {
					c.Instances[j].Probes[k] = engine.ProbeView{ID: c.Instances[j].Probes[k].ID, Deciding: true}
				}
			}
		}
	}
	f.Seen.Witnesses = nil
}

func suspect(f *Fake) {
	p := &f.Seen.Components[2].Instances[0].Probes[0]
	p.Suspect = true
	all := f.Newest[p.ID]
	last := &all[len(all)-1]
	last.Outcome, last.Reason, last.Detail, last.Duration, last.Phases = probes.Down, probes.Protocol, "the listener accepted the connection and stayed silent for 5 s", 5*time.Second, nil
	p.Last = last
}

// p1 is the whole solution down, with a case that somebody took.
func p1(f *Fake) {
	const detail = "no answer within 5 s while connecting to 203.0.113.7:443"
	for i := range f.Seen.Components {
		f.fail(i, 12-i, probes.Down, probes.Timeout, detail)
	}
	i := f.open(incident.Incident{
		Class: incident.Availability, Root: incident.Solution, Components: []string{"backend", "web-client", "remote-desktop", "virtual-desktop"}, Priority: incident.P1,
		Judged: policy.JudgeFailure("http", probes.Down, probes.Timeout, nil),
		Reason: "timeout", Title: "the entire customer solution is inaccessible", Why: "3 of 3 essential components are down (priority 1: the entire customer solution is inaccessible).",
		Detail:  []string{"backend/app01/perfion: 4 of 4 results failed since 10:42:20, last: " + detail, "web-client/http: 4 of 4 results failed since 10:42:50", "remote-desktop/rdp: 4 of 4 results failed since 10:43:20"},
		Started: At(6 * time.Minute), Opened: At(5*time.Minute + 51*time.Second),
	})
	f.Desk = append(f.Desk,
		incident.Case{
			Incident: i.ID, Desk: "soc", Ref: "4711", Number: "SOC-4711", URL: "https://soc.service-now.example/case/4711", State: incident.CaseAcknowledged, Created: At(5*time.Minute + 49*time.Second),
			Priority: incident.P1, Acknowledged: At(2*time.Minute + 40*time.Second), AcknowledgedBy: "Jonas Holm",
		},
		incident.Case{Incident: i.ID, Desk: "builtin", Ref: "201", Number: "FC-2026-000201", State: incident.CaseNew, Created: At(5*time.Minute + 50*time.Second), Priority: incident.P1})
	f.tell(i.ID, 5*time.Minute+51*time.Second, incident.EventOpened, "firstcall", "web-client is inaccessible: 4 of 4 results failed within 4.1 s", incident.P2)
	f.gathered(i.ID, At(5*time.Minute+50*time.Second))
	f.tell(i.ID, 5*time.Minute+50*time.Second, incident.EventJoined, "firstcall", "backend, remote-desktop and virtual-desktop do not answer either", 0)
	f.tell(i.ID, 5*time.Minute+50*time.Second, incident.EventRaised, "firstcall", "raised from P2 to P1: 3 of 3 essential components are down", incident.P1)
	f.tell(i.ID, 5*time.Minute+49*time.Second, incident.EventCaseOpened, "soc", "case SOC-4711 read back with priority 1", incident.P1)
	f.tell(i.ID, 5*time.Minute+47*time.Second, incident.EventNoticeSent, "firstcall", "customer told: 250 2.0.0 Ok: queued as 4XYZ", 0)
	f.tell(i.ID, 2*time.Minute+40*time.Second, incident.EventAcknowledged, "Jonas Holm", "on it, calling the hosting provider", 0)
	f.Messages = append(f.Messages,
		incident.Notice{ID: "n1", Incident: i.ID, Notifier: "customer", Kind: incident.NoticeOpened, Due: At(5*time.Minute + 49*time.Second), State: incident.NoticeSent, Sent: At(5*time.Minute + 47*time.Second), Proof: "250 2.0.0 Ok: queued as 4XYZ"},
		incident.Notice{ID: "n2", Incident: i.ID, Notifier: "on-call", Kind: incident.NoticeOpened, Due: At(5*time.Minute + 49*time.Second), Failures: 2, LastError: `notifier "on-call": the chat service answered 503`, NextTry: At(-10 * time.Second)},
		incident.Notice{ID: "n3", Incident: i.ID, Notifier: "customer", Kind: incident.NoticeStatus, Seq: 1, Due: At(-24 * time.Minute)})
}

// pending is a single outage whose desk does not answer.
func pending(f *Fake) {
	f.fail(1, 3, probes.Down, probes.Status, "answered 503 Service Unavailable, wanted 200")
	i := f.open(incident.Incident{
		Class: incident.Availability, Root: "web-client", Components: []string{"web-client"}, Priority: incident.P2, Reason: "status", Title: "web-client is inaccessible",
		Why: "its only instance is down (priority 2: a non-redundant server application is inaccessible).", Detail: []string{"web-client/http: answered 503 Service Unavailable, wanted 200"},
		Started: At(90 * time.Second), Opened: At(82 * time.Second),
	})
	f.Desk = append(f.Desk, incident.Case{
		Incident: i.ID, Desk: "soc", State: incident.CaseWanted, Attempted: At(80 * time.Second), Failures: 3, FailingSince: At(80 * time.Second),
		LastError: `desk "soc": open: the ticket system did not answer within 10 s`, NextTry: At(-7 * time.Second),
	})
	f.State.DeskErrors, f.State.CasePending, f.State.OldestPending = map[string]string{"soc": "the ticket system did not answer within 10 s"}, 1, 82*time.Second
	f.tell(i.ID, 82*time.Second, incident.EventOpened, "firstcall", "web-client is inaccessible", incident.P2)
	f.tell(i.ID, 70*time.Second, incident.EventCaseFailed, "soc", "the ticket system did not answer within 10 s", 0)
}

// held is a slow component whose case waits for the customer, and lost redundancy beside it.
func held(f *Fake) {
	f.fail(1, 30, probes.Degraded, probes.Slow, "")
	i := f.open(incident.Incident{
		Class: incident.Performance, Root: "web-client", Components: []string{"web-client"}, Priority: incident.P2, Reason: "slow", Title: "web-client is slow",
		Why:    "a speed problem has lasted 15 min (priority 2: sustained speed problems).",
		Detail: []string{"p50 of the last 10 min 412 ms, normal for this hour 118 ms, 3.5 x, since 10:12"}, Started: At(36 * time.Minute), Opened: At(21 * time.Minute),
	})
	f.Desk = append(f.Desk, incident.Case{
		Incident: i.ID, Desk: "builtin", Ref: "202", Number: "FC-2026-000202", State: incident.CaseHeld, Created: At(20 * time.Minute), Priority: incident.P2,
		Acknowledged: At(18 * time.Minute), AcknowledgedBy: "mette", Holds: []incident.Hold{{From: At(10 * time.Minute), Reason: "waits for the customer to stop the import", Actor: "mette"}},
	})
	f.tell(i.ID, 21*time.Minute, incident.EventOpened, "firstcall", "sustained: 15 min", incident.P2)
	f.tell(i.ID, 10*time.Minute, incident.EventHeld, "mette", "waits for the customer to stop the import", 0)
	b := &f.Seen.Components[0]
	b.Outcome, b.Instances[1].Outcome, b.Detail = probes.Degraded, probes.Down, "1 of 2 instances is down: app02"
	f.open(incident.Incident{
		Class: incident.Availability, Root: "backend", Components: []string{"backend"}, Priority: incident.P3, Reason: "refused", Title: "backend has lost its redundancy",
		Why: "1 of 2 instances is down.", Started: At(5 * time.Minute), Opened: At(5 * time.Minute),
	})
	f.open(incident.Incident{
		Class: incident.Capacity, Root: "web-client", Components: []string{"web-client"}, Priority: incident.P4, Reason: "capacity",
		Title: "certificate of web-client expires in 12 days", Why: "a threshold passed: 12 days, limit 21.", Started: At(50 * time.Hour), Opened: At(50 * time.Hour),
	})
}

func blind(f *Fake) {
	f.Seen.Blind, f.Seen.BlindSince, f.Seen.Outcome = true, At(3*time.Minute), probes.Unknown
	for i := range f.Seen.Components {
		f.fail(i, 6, probes.Unknown, probes.Blind, "no witness answers: the agent's own network is broken")
	}
	for i := range f.Seen.Witnesses {
		w := &f.Seen.Witnesses[i]
		w.Outcome, w.Last = probes.Down, &probes.Result{Probe: w.ID, Start: At(5 * time.Second), Duration: 2 * time.Second, Outcome: probes.Down, Reason: probes.Timeout, Detail: "no answer within 2 s"}
	}
	f.State.HeartbeatError = "stopped: the agent is blind"
	f.open(incident.Incident{Class: incident.Agent, Root: "agent", Reason: "blind", Title: "the agent is blind", Why: "2 of 2 witnesses do not answer.", Started: At(3 * time.Minute), Opened: At(3 * time.Minute)})
}

func maintenance(f *Fake) {
	f.fail(0, 8, probes.Down, probes.Refused, "connection refused by 203.0.113.9:443")
	f.Seen.Components[0].Maintenance, f.Seen.Components[1].Maintenance = "patching", "patching"
}

func trouble(f *Fake) {
	//nolint:misspell // a misspelt key is what it is about
	f.State.ConfigError = "acme.yaml:9:7: components[1].probes[0].adress: unknown key (did you mean \"address\"?)\n    9 |   adress: acme.example:443\n      |   ^\nacme.yaml:14:3: desks[0].kind: unknown kind \"servicenov\" (did you mean \"servicenow\"?)\n2 faults; the old configuration goes on"
	f.State.StoreError, f.State.StorePending = "store /var/lib/firstcall/firstcall.db: no space left on device", 212
	f.State.Lagging, f.State.LagReason = true, "the clock jumped 61 m back at 10:47:02"
	f.State.NoticeErrors = map[string]string{"customer": "smtp.example:587 refused the connection"}
	f.State.HeartbeatError = "the watchdog answered 410 Gone"
}

func functional(f *Fake) {
	f.fail(1, 9, probes.Degraded, probes.Auth, "the log-in of the probe was refused: 401")
	j := policy.JudgeFailure("http", probes.Degraded, probes.Auth, nil)
	f.Seen.Components[1].Instances[0].Probes[0].Judged = j
	f.open(incident.Incident{
		Judged: j,
		Class:  incident.Function, Root: "web-client", Components: []string{"web-client"}, Reason: "auth", Title: "web-client refuses the probe's credential",
		Why: "functional, not infrastructure, because " + j.Why + "; so no case is opened at the Operations Centre", Started: At(5 * time.Minute), Opened: At(5 * time.Minute),
	})
}

// account is a probe whose account is refused, while what can be measured without it is up.
func account(f *Fake) {
	const off = `log-on with ACME\firstcall is off: refused at 2026-11-23 09:41 UTC: its password has expired (STATUS_PASSWORD_EXPIRED); it is not tried again until its secret changes or an operator resets it`
	p := &f.Seen.Components[2].Instances[0].Probes[0]
	p.Account = &engine.AccountView{Off: true, Since: At(7 * time.Minute), Why: off}
	p.Last.Facts = append(p.Last.Facts, probes.Fact{Name: probes.FactAccount, Value: off})
	f.open(incident.Incident{
		Class: incident.Account, Root: p.ID, Components: []string{p.ID}, Reason: "auth", Title: "the account of the probe " + p.ID + " is off",
		Judged: policy.JudgeFailure("rdp", probes.Unknown, probes.Auth, nil),
		Why: "the probe's own account is refused: nothing is said against the customer's solution and no case is opened; mend the account, then run firstcall probe " +
			p.ID + " --try-account-again, or change the probe's secret and reload",
		Detail:  []string{off},
		Started: At(7 * time.Minute), Opened: At(7 * time.Minute),
	})
}

// Hostile is what a target, a desk or a person may try to put into the page.
const Hostile = `<script>alert(1)</script><img src=x onerror=alert(2)>" onmouseover="alert(3)" style="position:fixed" ` + "\u202egnp.exe\u202c\x1b[31m\x00 javascript:alert(4)"

// hostile carries Hostile wherever remote text may stand.
func hostile(f *Fake) {
	f.fail(1, 5, probes.Down, probes.Content, Hostile)
	p := f.Seen.Components[1].Instances[0].Probes[0]
	p.Last.Facts = []probes.Fact{{Name: Hostile, Value: Hostile + strings.Repeat("A", 400)}}
	p.Last.Phases = []probes.Phase{{Name: Hostile, Duration: time.Second}}
	f.Seen.Components[1].Instances[0].Probes[0].Findings = []incident.Finding{{Probe: p.ID, Kind: incident.Outage, Reason: probes.Content, Explanation: Hostile}}
	i := f.open(incident.Incident{
		Class: incident.Availability, Root: "web-client", Components: []string{"web-client"}, Priority: incident.P2, Reason: "content", Title: Hostile, Why: Hostile, Detail: []string{Hostile},
		Started: At(3 * time.Minute), Opened: At(3 * time.Minute),
	})
	f.Desk = append(f.Desk, incident.Case{
		Incident: i.ID, Desk: "soc", Number: Hostile, URL: "javascript:alert(4)", State: incident.CaseHeld, LastError: Hostile, Acknowledged: At(time.Minute), AcknowledgedBy: Hostile,
		Holds: []incident.Hold{{From: At(time.Minute), Reason: Hostile, Actor: Hostile}}, Failures: 2, FailingSince: At(time.Minute), Rectified: At(time.Minute), RectifiedBy: Hostile,
		Earlier: []incident.EarlierCase{{Number: Hostile, URL: "javascript:alert(4)", Resolved: At(2 * time.Minute), ResolvedBy: Hostile}},
	})
	f.tell(i.ID, 2*time.Minute, incident.EventNote, Hostile, Hostile, 0)
	f.Evidences = append(f.Evidences, incident.Evidence{
		Incident: i.ID, At: At(2 * time.Minute), Text: Hostile + "\n" + Hostile, Left: []string{Hostile},
		Files: []incident.EvidenceFile{{Name: Hostile, Type: "image/png"}, {Name: "a.png", Type: Hostile}},
	})
	f.Messages = append(f.Messages, incident.Notice{ID: "h", Incident: i.ID, Notifier: "customer", Kind: incident.NoticeOpened, Due: At(time.Minute), Proof: Hostile, LastError: Hostile})
	f.State.DeskErrors = map[string]string{"soc": Hostile}
	f.State.ConfigError = Hostile
	f.StoreErr = nil
}

// large is so many components with two probes each, a few of them in trouble.
func large(f *Fake, n int) {
	f.Seen.Components = nil
	for i := range n {
		f.component(fmt.Sprintf("shop-%03d", i), nil, "http", "tls")
	}
	f.fail(17%n, 20, probes.Degraded, probes.Slow, "")
	f.fail(42%n, 4, probes.Down, probes.Refused, "connection refused by 203.0.113.42:443")
	f.fail(71%n, 40-1, probes.Unknown, probes.Local, "no route to host: the agent's own host has no route to 203.0.113.71")
	f.Seen.Components[3%n].Maintenance = "patching"
}

func alertOnly(f *Fake) {
	f.State.AlertOnly = true
	pending(f)
	f.Desk, f.State.DeskErrors, f.State.CasePending = nil, nil, 0
}

// ErrStore is what a store says that does not answer.
var ErrStore = errors.New("store firstcall.db: database is locked")

// pool gives the virtual desktop the numbers of a host pool, and its probe a limit of latency.
func (f *Fake) pool() {
	const id = "virtual-desktop/avd-pool"
	c := &f.Seen.Components[3]
	p := f.probe(id, "avd-pool", 300*time.Millisecond)
	for n := range f.Newest[id] {
		r := &f.Newest[id][n]
		r.Phases, r.Certificate = nil, nil
		r.Numbers = []probes.Number{{Name: "sessions", Value: 40 + float64(n)}, {Name: "sessions_free", Value: 60 - float64(n)}, {Name: "hosts_unhealthy", Value: 0}}
	}
	last := f.Newest[id][39]
	p.Last, p.Deciding, p.Baseline = &last, false, whole(420*time.Millisecond)
	f.Kinds[id] = web.ProbeInfo{ID: id, Kind: "avd-pool", Interval: 30 * time.Second, Timeout: 5 * time.Second, Thresholds: map[string]float64{"sessions": 85, "sessions_free": 10}}
	c.Instances[0].Probes = append(c.Instances[0].Probes, p)
	http := f.Kinds["web-client/http"]
	http.Limits = map[string]time.Duration{probes.PhaseTotal: 120 * time.Millisecond}
	f.Kinds["web-client/http"] = http
	for n := range 2840 { // the rest of a day
		d := time.Duration(46+n*7919%17) * time.Millisecond
		if n > 2000 && n < 2120 {
			d += 40 * time.Millisecond
		}
		r := probes.Result{Probe: "web-client/http", Start: At(time.Duration(2880-n)*30*time.Second - 20*time.Second), Duration: d, Outcome: probes.Up}
		r.Phases = []probes.Phase{{Name: "dns", Duration: d / 20}, {Name: "connect", Duration: d / 6}, {Name: "tls", Duration: d / 4}, {Name: "first_byte", Duration: d / 3}, {Name: "transfer", Duration: d / 8}}
		switch {
		case n%700 == 333:
			r.Outcome, r.Reason, r.Phases = probes.Degraded, probes.Slow, nil
		case n > 2700 && n < 2720:
			r.Outcome, r.Reason, r.Phases = probes.Down, probes.Status, nil
		case n > 2560 && n < 2600:
			r.Outcome, r.Reason, r.Phases = probes.Unknown, probes.Blind, nil
		}
		f.Past["web-client/http"] = append(f.Past["web-client/http"], r)
	}
	for n := range 30 * 24 {
		hour := At(time.Duration(n) * time.Hour).Truncate(time.Hour)
		r := store.Rollup{Probe: "web-client/http", Hour: hour, Counts: [4]int64{probes.Up: 118, probes.Degraded: 2}, Min: 30 * time.Millisecond, Max: time.Duration(90+n%37) * time.Millisecond}
		r.Sum = 120 * time.Duration(50+n*13%11) * time.Millisecond
		if n%97 == 5 {
			r.Counts[probes.Down], r.Counts[probes.Up] = 40, 78
		}
		f.Hours["web-client/http"] = append([]store.Rollup{r}, f.Hours["web-client/http"]...)
	}
}

// ordered is an outage that is silenced, beside a component that people put in maintenance and a configured window.
func ordered(f *Fake) {
	f.pool()
	i := f.down(1, 9*time.Minute, incident.P2)
	f.fail(0, 8, probes.Down, probes.Refused, "connection refused by 203.0.113.9:443")
	f.Desk = append(f.Desk, incident.Case{Incident: i.ID, Desk: "builtin", Ref: "204", Number: "FC-2026-000204", State: incident.CaseNew, Created: At(8 * time.Minute), Priority: incident.P2})
	f.Ordered = []incident.Order{
		{ID: 3, Kind: incident.OrderSilence, Incident: i.ID, Priority: incident.P2, From: At(5 * time.Minute), Until: At(-55 * time.Minute), Actor: "mette", Reason: "the hosting provider works on it"},
		{ID: 2, Kind: incident.OrderMaintenance, Components: []string{"backend"}, From: At(12 * time.Minute), Until: At(-108 * time.Minute), Actor: "jonas", Reason: "a new certificate"},
		{ID: 1, Kind: incident.OrderMaintenance, From: At(50 * time.Hour), Until: At(46 * time.Hour), Ended: At(48 * time.Hour), EndedBy: "mette", Actor: "mette", Reason: "patching by hand"},
	}
	f.Windows = []policy.Span{{Name: "patch-sunday", From: At(-100 * time.Hour), To: At(-104 * time.Hour)}}
	f.tell(i.ID, 5*time.Minute, incident.EventSilenced, "mette", "people are not told until 2026-11-23 10:43 UTC: the hosting provider works on it", 0)
	f.maintain()
}
