package webtest

import (
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// Now is the instant of every scene: 10:48:20 in Copenhagen.
var Now = time.Date(2026, 11, 23, 9, 48, 20, 0, time.UTC)

// Zone is the tenant's zone.
var Zone = time.FixedZone("Europe/Copenhagen", 3600)

// Scenes lists the named states.
var Scenes = []string{"empty", "learning", "well", "suspect", "p1", "pending", "held", "blind", "maintenance", "trouble", "functional", "account", "still", "hostile", "large", "alert-only", "young", "slow", "quiet", "late", "fallback", "follows", "ordered"}

// Scene returns a fresh Fake in the named state; an unknown name is "empty".
func Scene(name string) *Fake {
	f := base()
	build, ok := map[string]func(*Fake){
		"learning": learning, "well": func(*Fake) {}, "suspect": suspect, "p1": p1, "pending": pending, "held": held, "blind": blind,
		"maintenance": maintenance, "trouble": trouble, "functional": functional, "account": account, "still": func(f *Fake) { f.State.Alive = false },
		"hostile": hostile, "large": func(f *Fake) { large(f, 100) }, "alert-only": alertOnly,
		"young": young, "slow": slow, "quiet": quiet, "late": late, "fallback": fallback, "follows": follows, "ordered": ordered,
	}[name]
	if !ok {
		f.Seen.Components, f.Seen.Witnesses, f.Seen.Outcome, f.State.Ready = nil, nil, probes.Unknown, false
		return f
	}
	build(f)
	return f
}

// Level is the service level of every scene: 24x7, with a reaction within 15 min for priority 1, and an hour to a day for the others.
var Level = sla.Level{Reaction: [5]time.Duration{0, 15 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour}}

// At returns the instant so long before Now.
func At(before time.Duration) time.Time { return Now.Add(-before) }

func base() *Fake {
	f := &Fake{Now: Now, Newest: map[string][]probes.Result{}, Kinds: map[string]web.ProbeInfo{}, Events: map[string][]incident.Event{}, Hours: map[string][]store.Rollup{}, Past: map[string][]probes.Result{}}
	f.State = web.Health{
		Started: At(52 * time.Hour), Ready: true, Alive: true, ConfigFile: "/etc/firstcall/acme.yaml",
		ConfigRead: At(52 * time.Hour), Delay: 3 * time.Millisecond, StoreBytes: 41 << 20, StoreWritten: At(time.Second),
		DeskQueue: map[string]web.Queue{"soc": {}, "builtin": {}}, NoticeQueue: map[string]web.Queue{"customer": {}, "on-call": {}},
		ConfigDigest: "9f2c44e1b7a0d35566aa71c09d1f7be2a9d0c1e2f3a4b5c6d7e8f90123456789", ConfigLoaded: At(52 * time.Hour), Heartbeat: At(22 * time.Second),
	}
	f.Seen = engine.View{At: At(800 * time.Millisecond), Tenant: "acme", Outcome: probes.Up}
	f.component("backend", []string{"app01", "app02"}, "icmp", "perfion")
	f.component("web-client", nil, "http", "tls")
	f.component("remote-desktop", nil, "rdp")
	f.component("virtual-desktop", nil, "avd")
	f.Seen.Components[1].DependsOn = []string{"backend"}
	f.Seen.Components[3].Essential = false
	for _, id := range []string{"witness/tcp", "witness/dns"} {
		f.Seen.Witnesses = append(f.Seen.Witnesses, f.probe(id, id[8:], 12*time.Millisecond))
	}
	f.past()
	return f
}

// component adds one that answers, with a probe of each kind on every instance.
func (f *Fake) component(name string, instances []string, kinds ...string) {
	c := engine.ComponentView{Name: name, Outcome: probes.Up, Essential: true}
	single := len(instances) == 0
	if single {
		instances = []string{name}
	}
	for _, in := range instances {
		v := engine.InstanceView{Name: in, Outcome: probes.Up}
		for k, kind := range kinds {
			id := name + "/" + in + "/" + kind
			if single {
				id = name + "/" + kind
			}
			p := f.probe(id, kind, time.Duration(40+60*k)*time.Millisecond)
			p.Deciding, p.Baseline = kind != "icmp", whole(time.Duration(56+90*k)*time.Millisecond)
			v.Probes = append(v.Probes, p)
		}
		c.Instances = append(c.Instances, v)
	}
	f.Seen.Components = append(f.Seen.Components, c)
}

// probe adds forty good results.
func (f *Fake) probe(id, kind string, typical time.Duration) engine.ProbeView {
	f.Kinds[id] = web.ProbeInfo{ID: id, Kind: kind, Interval: 30 * time.Second, Timeout: 5 * time.Second}
	for n := range 40 {
		wobble := time.Duration((n*7919)%23) * typical / 40
		f.add(id, kind, probes.Up, probes.None, "", At(time.Duration(40-n)*30*time.Second-20*time.Second), typical+wobble)
	}
	last := f.Newest[id][39]
	return engine.ProbeView{ID: id, Deciding: true, Outcome: probes.Up, Last: &last, LastGood: last.Start}
}

func (f *Fake) add(id, kind string, o probes.Outcome, reason probes.Reason, detail string, at time.Time, d time.Duration) {
	r := probes.Result{Probe: id, Start: at, Duration: d, Outcome: o, Reason: reason, Detail: detail}
	if o == probes.Up && kind != "icmp" && kind != "dns" {
		r.Phases = []probes.Phase{{Name: "dns", Duration: d / 20}, {Name: "connect", Duration: d / 6}, {Name: "tls", Duration: d / 4}, {Name: "first_byte", Duration: d / 3}, {Name: "transfer", Duration: d / 8}}
		r.Certificate = &probes.Certificate{Subject: "CN=acme.perfioncloud.example", Issuer: "CN=Example CA", NotBefore: At(2000 * time.Hour), NotAfter: At(-73 * 24 * time.Hour), Fingerprint: "ab12"}
	}
	f.Newest[id] = append(f.Newest[id], r)
}

// fail makes the last so many results of every probe of a component bad.
func (f *Fake) fail(component int, last int, o probes.Outcome, reason probes.Reason, detail string) {
	c := &f.Seen.Components[component]
	c.Outcome, c.Reason, c.Since, c.Detail = o, reason, At(time.Duration(last)*30*time.Second), detail
	for i := range c.Instances {
		c.Instances[i].Outcome = o
		for j := range c.Instances[i].Probes {
			p := &c.Instances[i].Probes[j]
			p.Outcome = o
			all := f.Newest[p.ID]
			p.LastGood = all[len(all)-last-1].Start
			for n := len(all) - last; n < len(all); n++ {
				all[n].Outcome, all[n].Reason, all[n].Detail, all[n].Duration, all[n].Phases, all[n].Certificate = o, reason, detail, 5*time.Second, nil, nil
				all[n].Facts = []probes.Fact{{Name: "address", Value: "203.0.113.7:443"}, {Name: "attempt", Value: "3 of 3"}}
			}
			result := all[len(all)-1]
			p.Last = &result
		}
	}
	f.Seen.Outcome = max(f.Seen.Outcome, o)
}

// open adds an incident that lasts.
func (f *Fake) open(i incident.Incident) incident.Incident {
	i.Tenant, i.ID = "acme", incident.Key("acme", i.Class, i.Root, i.Started)
	if i.Class.OpensCase() {
		i.Commencement, i.ReactionDue = i.Opened, Level.ReactionDue(i.Priority, i.Opened)
	}
	i.Highest, i.Updated = i.Priority, i.Opened
	f.Seen.Incidents = append(f.Seen.Incidents, i)
	f.Told = append(f.Told, i)
	return i
}

func (f *Fake) tell(id string, before time.Duration, kind incident.EventKind, actor, text string, p incident.Priority) {
	f.Events[id] = append(f.Events[id], incident.Event{Seq: int64(1000 + len(f.Events[id])), Incident: id, At: At(before), Kind: kind, Actor: actor, Text: text, Priority: p})
}

// past adds what was there before, so that the history has pages.
func (f *Fake) past() {
	for n := range 120 {
		started := At(time.Duration(n+1)*37*time.Hour + time.Duration(n*13)*time.Minute)
		i := incident.Incident{
			Tenant: "acme", Class: incident.Availability, Root: "web-client", Components: []string{"web-client"}, Priority: incident.P2, Highest: incident.P2,
			Reason: "timeout", Title: "web-client is inaccessible", Why: "a non-redundant server application is inaccessible", Started: started,
			Opened: started.Add(8 * time.Second), Commencement: started.Add(8 * time.Second), ReactionDue: started.Add(time.Hour), Updated: started.Add(time.Hour),
			Ended: started.Add(time.Duration(4+n%50) * time.Minute), Closed: started.Add(time.Duration(5+n%50) * time.Minute), Resolution: incident.Recovered,
		}
		if n%4 == 0 {
			i.Resolution, i.Priority = incident.Momentary, incident.P3
		}
		i.ID = incident.Key("acme", i.Class, i.Root, i.Started)
		f.Told = append(f.Told, i)
		f.Desk = append(f.Desk, incident.Case{
			Incident: i.ID, Desk: "builtin", Ref: fmt.Sprint(n), Number: fmt.Sprintf("FC-2026-%06d", 200-n), State: incident.CaseResolved,
			Created: i.Opened, Priority: i.Priority, Acknowledged: i.Opened.Add(4 * time.Minute), AcknowledgedBy: "mette", Resolved: i.Closed, Settled: true,
		})
	}
}
