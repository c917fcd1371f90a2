package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// Sample is a made-up incident with its case, for trying texts. It shares nothing with any other.
type Sample struct {
	Incident incident.Incident
	Case     incident.Case
	Events   []incident.Event
	View     engine.View

	name string // in faults: "a P2 performance incident that is open"
	into string // number of the case that goes on
	bare bool   // of a configuration with nothing in it that may be left out
}

// NewSample returns an incident of that class at that priority: open, with its case taken, where ended is ""; else over.
func NewSample(class incident.Class, p incident.Priority, ended incident.Resolution) Sample {
	noon := time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC)
	s := Sample{Incident: sampleIncident(class, p, noon), View: sampleView(class, noon), name: fmt.Sprintf("a %s %s incident that is open", p, class)}
	i := &s.Incident
	s.Case = incident.Case{
		Incident: i.ID, Desk: "soc", Ref: "4711", Number: "SOC-4711", State: incident.CaseAcknowledged, Priority: p,
		Created: noon.Add(2 * time.Second), Acknowledged: noon.Add(6 * time.Minute), AcknowledgedBy: "Jens Hansen",
	}
	event := func(after time.Duration, kind incident.EventKind, actor, text string) {
		s.Events = append(s.Events, incident.Event{
			Seq: int64(len(s.Events) + 1), Incident: i.ID, At: noon.Add(after), Kind: kind, Actor: actor, Text: text, Priority: p,
		})
	}
	event(0, incident.EventOpened, incident.ActorAgent, i.Title+": "+i.Why)
	event(2*time.Second, incident.EventCaseOpened, "soc", "case SOC-4711 is open at soc")
	event(6*time.Minute, incident.EventAcknowledged, "Jens Hansen", "case SOC-4711 is taken")
	event(30*time.Minute, incident.EventMeasured, incident.ActorAgent, "status 1: "+i.Title)
	if ended == "" {
		return s
	}
	s.name = fmt.Sprintf("a %s %s incident that is over: %s", p, class, ended)
	i.Resolution, i.Ended, i.Closed = ended, noon.Add(72*time.Minute), noon.Add(73*time.Minute)
	s.Case.Holds = []incident.Hold{{From: noon.Add(20 * time.Minute), To: noon.Add(40 * time.Minute), Reason: "Which server may be restarted?", Actor: "Jens Hansen"}}
	switch ended {
	case incident.Absorbed:
		i.AbsorbedBy, s.into = "fc-acme-solution-20260302T110100.000Z", "SOC-4712"
	case incident.Accepted:
		i.AcceptedBy = "Jens Hansen"
	case incident.Recovered, incident.Momentary, incident.Removed, incident.Rejudged:
	}
	event(73*time.Minute, incident.EventResolved, incident.ActorAgent, "measured good again")
	return s
}

func sampleIncident(class incident.Class, p incident.Priority, noon time.Time) incident.Incident {
	started := noon.Add(-6 * time.Second)
	i := incident.Incident{
		ID: incident.Key("acme", class, "web-client", started), Tenant: "acme", Class: class, Root: "web-client", Components: []string{"web-client"},
		Priority: p, Highest: p, Reason: "timeout", Title: "web-client is inaccessible",
		Why:     "a non-redundant server application or functionality is inaccessible: web-client, with one instance, down since 2026-03-02 10:59:54 UTC",
		Detail:  []string{"web-client/http: outage since 2026-03-02 10:59:54 UTC: timeout in 4 of 4 runs: no answer within 5 s"},
		Started: started, Opened: noon, Commencement: noon, ReactionDue: noon.Add(time.Hour), Updated: noon,
	}
	switch class {
	case incident.Performance:
		i.Reason, i.Title, i.Why = "slow", "web-client is slow", "sustained speed problems: web-client slow since 2026-03-02 10:59:54 UTC, longer than 15m"
		i.Detail = []string{"web-client/http: total: median of the last 7 runs (3m30s) 412ms, normal for this hour (Mon 11 h) 118ms by 6 days like it, 3.49 x"}
	case incident.Capacity:
		i.Reason, i.Title, i.Why = "capacity", "web-client passed a resource limit", "a resource has passed its limit: web-client"
		i.Detail = []string{"web-client/http: disk_used_percent is 93 %, limit 90 %, in 3 of 3 runs"}
	case incident.Availability, incident.Function, incident.Account, incident.Agent:
	}
	i.Judged = incident.Judgement{Matter: incident.MatterInfrastructure, Rule: "no-answer", Why: "no answer came: a server or client that is completely irresponsive, or cannot be reached entirely, is infrastructure"}
	switch class {
	case incident.Performance:
		i.Judged.Rule, i.Judged.Why = "speed", "severe performance issues that occur unexpectedly are infrastructure"
	case incident.Capacity:
		i.Judged.Rule, i.Judged.Why = "limit", "a progression limit for resources that is exceeded is infrastructure"
	case incident.Availability, incident.Function, incident.Account, incident.Agent:
	}
	return i
}

func sampleView(class incident.Class, noon time.Time) engine.View {
	last := &probes.Result{
		Probe: "web-client/http", Start: noon.Add(30 * time.Second), Duration: 5 * time.Second, Outcome: probes.Down, Reason: probes.Timeout,
		Detail: "no answer within 5 s after the request was sent", Facts: []probes.Fact{{Name: "address", Value: "192.0.2.10:443"}},
	}
	if class != incident.Availability {
		last.Outcome, last.Reason, last.Duration, last.Detail = probes.Degraded, probes.Slow, 412*time.Millisecond, ""
	}
	if class == incident.Capacity {
		last.Reason = probes.Capacity
	}
	probe := engine.ProbeView{ID: last.Probe, Deciding: true, Outcome: last.Outcome, Last: last, LastGood: noon.Add(-36 * time.Second)}
	return engine.View{
		At: noon.Add(31 * time.Second), Tenant: "acme", Outcome: last.Outcome,
		Components: []engine.ComponentView{
			{Name: "backend", Outcome: probes.Up},
			{Name: "web-client", Outcome: last.Outcome, Reason: last.Reason, Since: noon.Add(-6 * time.Second), Instances: []engine.InstanceView{
				{Name: "web-client", Outcome: last.Outcome, Probes: []engine.ProbeView{probe}},
			}},
			{Name: "remote-desktop", Outcome: probes.Down, Reason: probes.Refused},
		},
	}
}

// samples returns cases of every class and priority, open and over in every way, one that follows another, and ones of which as
// little as possible is known.
func samples() []Sample {
	var all []Sample
	for _, class := range []incident.Class{incident.Availability, incident.Performance, incident.Capacity} {
		for p := incident.P1; p <= incident.P4; p++ {
			for _, ended := range []incident.Resolution{"", incident.Recovered, incident.Momentary, incident.Absorbed, incident.Removed, incident.Rejudged, incident.Accepted} {
				all = append(all, NewSample(class, p, ended))
			}
		}
	}
	follows := NewSample(incident.Availability, incident.P2, "")
	follows.Case.Round, follows.Case.Earlier = 1, []incident.EarlierCase{{Ref: "4700", Number: "SOC-4700"}}
	follows.name += " and follows another case"
	all = append(all, follows)
	for _, ended := range []incident.Resolution{"", incident.Recovered} {
		bare := NewSample(incident.Availability, incident.P2, ended)
		bare.Case, bare.View, bare.Incident.Detail, bare.Events = incident.Case{}, engine.View{}, nil, bare.Events[:1]
		bare.Incident.Reason, bare.bare = "", true
		bare.name += ", of which little is known"
		all = append(all, bare)
	}
	return slices.Clip(all)
}

// data returns what a template sees of the sample; false where it is not filled at that moment.
func (s Sample) data(key partKey) (CaseText, bool) {
	w := newWriter(sampleOptions)
	if s.bare {
		w = newWriter(Options{Tenant: Tenant{ID: "acme", Name: "acme", Zone: time.UTC}})
	}
	switch key {
	case partKey{name: partClosing}:
		return w.closingText(s.Incident, s.Case, s.into, s.View), !s.Incident.Open()
	case partKey{name: partNote}:
		return w.noteText(s.Incident, s.Case, s.Events[len(s.Events)-1], s.View), true
	}
	return w.bodyText(s.Incident, s.Case, s.Incident.Priority, s.Events, s.View), true
}

var sampleOptions = Options{
	Tenant:  Tenant{ID: "acme", Name: "ACME A/S", Zone: time.UTC, Customer: incident.Contact{Name: "ACME IT service desk", Email: "it@acme.example", Phone: "+45 00 00 00 00"}},
	Centre:  Centre{"Operations Centre", "+45 33 36 63 00"},
	Version: "1.0.0", Vantage: "probe-host", ExternalURL: "https://acme.firstcall.example",
}

// CaseTexts are the texts of a case as they are sent to its desk.
type CaseTexts struct {
	Title   string            `json:"title"`
	Body    string            `json:"body"`
	Note    string            `json:"note"` // for the newest step that the desk is told of
	Closing string            `json:"closing,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"` // of the desk's own
}

// Render writes the texts of a sample as the reconciler would for that desk. into is the number of the case that goes on, where the
// incident is absorbed; "" where it is not known. It needs of the options what stands in texts only.
func Render(o Options, d Desk, s Sample, into string) CaseTexts {
	w := newWriter(o).at(d)
	f := w.fields(s.Incident, s.Case, s.Incident.Priority, s.Events, s.View)
	t := CaseTexts{Title: f.Title, Body: f.Body, Fields: f.Extra}
	for _, e := range slices.Backward(s.Events) {
		if worthNoting(s.Incident, e) {
			t.Note = w.note(s.Incident, s.Case, e, s.View)
			break
		}
	}
	if !s.Incident.Open() {
		t.Closing = w.closing(s.Incident, s.Case, into, s.View)
	}
	return t
}
