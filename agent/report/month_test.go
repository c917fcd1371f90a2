package report_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/agent/report"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/sla"
	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

// The golden month is October 2026 in Copenhagen, in which the clocks go back on the 25th: 745 h, from 2026-09-30T22:00Z to
// 2026-10-31T23:00Z. The report is made on 2026-11-01T06:00Z.
//
// Every probe but remote-desktop/rdp runs once a minute, on the minute; that one every five minutes, by cron. Single results are kept
// from 4 October on; of before there are roll-ups, those of backend/app01/http without a histogram.
//
// The agent did not run on 17 October from 10:00Z to 13:00Z, and told nothing on the 18th from 04:00Z to 04:10Z.
// On Sundays from 22:00 to 02:00 the web client and the backend are in maintenance: the 4th, 11th, 18th and 25th.
var (
	octoberFrom = utc("2026-09-30T22:00:00Z")
	octoberTo   = utc("2026-10-31T23:00:00Z")
	octoberMade = utc("2026-11-01T06:00:00Z")
	rawFrom     = utc("2026-10-04T00:00:00Z")
)

func utc(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// oct returns an instant of October 2026 in UTC: day, hour, minute.
func oct(day, hour, minute int) time.Time {
	return time.Date(2026, 10, day, hour, minute, 0, 0, time.UTC)
}

func copenhagen(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func schedule(t testing.TB, spec string) cron.Schedule {
	t.Helper()
	s, err := cron.ParseStandard(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// october returns the golden month's input for a report of from..to.
func october(t testing.TB, from, to time.Time) report.Input {
	t.Helper()
	zone := copenhagen(t)
	in := report.Input{
		Agent: "v1.0.0", Tenant: "acme", Name: "ACME A/S", Language: "en", Zone: zone, From: from, To: to, Made: octoberMade, Centre: "Operations Centre",
		Level:    sla.Level{Reaction: [5]time.Duration{0, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour}},
		HoldEnds: sla.EndsAtAnswer, StatusEvery: 30 * time.Minute, StatusFor: []incident.Priority{incident.P1, incident.P2, incident.P3},
		Momentary: 5 * time.Minute, Primary: "soc",
		Windows: []policy.Window{{Name: "patching", Schedule: schedule(t, "0 22 * * SUN"), Duration: 4 * time.Hour, Components: []string{"web-client", "backend"}}},
		Components: []report.InputComponent{
			{Name: "backend", Essential: true, Instances: 2}, {Name: "web-client", Essential: true, Instances: 1}, {Name: "remote-desktop", Instances: 1},
		},
		Probes: []report.Probe{
			{ID: "backend/app01/http", Component: "backend", Deciding: true, Interval: time.Minute},
			{ID: "backend/app02/http", Component: "backend", Deciding: true, Interval: time.Minute},
			{ID: "web-client/http", Component: "web-client", Deciding: true, Interval: time.Minute},
			{ID: "remote-desktop/rdp", Component: "remote-desktop", Deciding: true, Schedule: schedule(t, "*/5 * * * *")},
			{ID: "witness/tcp", Interval: time.Minute},
		},
		Tales: tales(),
	}
	key := [2]time.Time{from, to}
	if fed[key] == nil {
		fed[key] = report.NewMeasured(in.Probes, from, earlier(to, octoberMade), zone)
		first, end := fed[key].Bounds()
		for _, p := range in.Probes {
			feed(fed[key], p, first, end)
		}
	}
	in.Measured = fed[key] // a report only reads it
	return in
}

// fed is what was measured in the times that were asked for.
var fed = map[[2]time.Time]*report.Measured{}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// feed plays one probe.
func feed(m *report.Measured, p report.Probe, from, to time.Time) {
	step := p.Interval
	if p.Schedule != nil {
		step = 5 * time.Minute
	}
	hour := store.Rollup{}
	flush := func() {
		if hour.Probe != "" {
			m.AddHour(hour)
		}
	}
	for at := from.Truncate(step); at.Before(to); at = at.Add(step) {
		r, ran := run(p, at)
		if !ran {
			continue
		}
		if h := at.Truncate(time.Hour); hour.Probe == "" || !hour.Hour.Equal(h) {
			flush()
			hour = store.Rollup{Probe: p.ID, Hour: h}
		}
		roll(&hour, r)
		if !at.Before(rawFrom) {
			m.Add(r)
		}
	}
	flush()
}

func roll(h *store.Rollup, r probes.Result) {
	h.Counts[r.Outcome]++
	if r.Outcome != probes.Up {
		return
	}
	if h.Sum == 0 || r.Duration < h.Min {
		h.Min = r.Duration
	}
	h.Sum, h.Max = h.Sum+r.Duration, max(h.Max, r.Duration)
	if r.Probe != "backend/app01/http" || !r.Start.Before(rawFrom) { // an earlier version kept none
		h.Latency.Add(r.Duration)
	}
}

var told = tales()

// run returns what a run at that instant shows: 10 ms, 20 ms ... 600 ms by the minute of the hour.
func run(p report.Probe, at time.Time) (probes.Result, bool) {
	r := probes.Result{Probe: p.ID, Start: at, Duration: time.Duration(at.Minute()+1) * 10 * time.Millisecond, Outcome: probes.Up}
	if !at.Before(oct(17, 10, 0)) && at.Before(oct(17, 13, 0)) {
		return r, false
	}
	if !at.Before(oct(18, 4, 0)) && at.Before(oct(18, 4, 10)) {
		r.Outcome, r.Reason = probes.Unknown, probes.Blind
		return r, true
	}
	for _, t := range told {
		for _, o := range t.Incident.Outages {
			if o.Component == p.Component && !at.Before(o.From) && (o.To.IsZero() || at.Before(o.To)) {
				r.Outcome, r.Reason = probes.Down, probes.Refused
			}
		}
	}
	return r, true
}

// teller makes up tales.
type teller struct {
	seq  int64
	list []report.Tale
}

func (t *teller) incident(class incident.Class, root string, p incident.Priority, started, ended time.Time, outages ...incident.ComponentOutage) *report.Tale {
	i := incident.Incident{
		ID: incident.Key("acme", class, root, started), Tenant: "acme", Class: class, Root: root, Components: []string{root}, Priority: p, Highest: p,
		Title: root + " is inaccessible", Widest: root + " is inaccessible", Started: started, Opened: started.Add(time.Minute), Updated: started,
		Outages: append([]incident.ComponentOutage{}, outages...),
	}
	if class.OpensCase() {
		i.Commencement = i.Opened
		i.ReactionDue = i.Opened.Add([]time.Duration{0, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour}[p])
	}
	for _, o := range outages {
		if o.Component != root {
			i.Components = append(i.Components, o.Component)
		}
	}
	if !ended.IsZero() {
		i.Ended, i.Closed, i.Resolution = ended, ended.Add(time.Minute), incident.Recovered
	}
	t.list = append(t.list, report.Tale{Incident: i})
	one := &t.list[len(t.list)-1]
	t.event(one, i.Opened, incident.EventOpened, incident.ActorAgent, "")
	return one
}

func (t *teller) event(one *report.Tale, at time.Time, kind incident.EventKind, actor, text string) {
	t.seq++
	one.Timeline = append(one.Timeline, incident.Event{Seq: t.seq, Incident: one.Incident.ID, At: at, Kind: kind, Actor: actor, Text: text, Priority: one.Incident.Priority})
}

// filed gives an incident a case that existed ten seconds after it was opened, acknowledged then, if at all.
func (t *teller) filed(one *report.Tale, number string, acknowledged time.Time, holds ...incident.Hold) {
	i := one.Incident
	c := incident.Case{Incident: i.ID, Desk: "soc", Ref: number, Number: number, State: incident.CaseResolved, Acknowledged: acknowledged, Holds: holds}
	t.event(one, i.Opened.Add(10*time.Second), incident.EventCaseOpened, "soc", "")
	if !acknowledged.IsZero() {
		c.AcknowledgedBy = "ada"
		t.event(one, acknowledged, incident.EventAcknowledged, "ada", "")
	}
	for _, h := range holds {
		t.event(one, h.From, incident.EventHeld, "ada", h.Reason)
	}
	one.Cases = []incident.Case{c}
}

// mailed notes what the customer was sent: the first mail with the case, status mails 1 to n that late, and the last.
func (t *teller) mailed(one *report.Tale, lates ...time.Duration) {
	told := one.Incident.Opened.Add(10 * time.Second)
	notice := func(kind incident.NoticeKind, seq int, due time.Time, late time.Duration) {
		n := incident.Notice{
			ID: fmt.Sprintf("%s.mail.customer.%s.%d", one.Incident.ID, kind, seq), Incident: one.Incident.ID, Notifier: "mail", Kind: kind, Seq: seq,
			Due: due, State: incident.NoticeSent, Sent: due.Add(late),
		}
		one.Notices = append(one.Notices, n)
	}
	notice(incident.NoticeOpened, 0, told, 0)
	for k, late := range lates {
		if late >= 0 {
			notice(incident.NoticeStatus, k+1, told.Add(time.Duration(k+1)*30*time.Minute), late)
		}
	}
	if !one.Incident.Open() {
		notice(incident.NoticeResolved, 0, one.Incident.Closed, 0)
	}
}

func down(component string, from, to time.Time) incident.ComponentOutage {
	return incident.ComponentOutage{Component: component, From: from, To: to}
}

// tales are the golden month's incidents.
func tales() []report.Tale {
	t := &teller{}
	open := time.Time{}
	before := utc("2026-09-30T21:30:00Z")

	// FC-1 was opened before the month and ends in it.
	a := t.incident(incident.Availability, "web-client", incident.P2, before, utc("2026-09-30T22:45:00Z"), down("web-client", before, utc("2026-09-30T22:45:00Z")))
	t.filed(a, "FC-1", before.Add(10*time.Minute))
	t.mailed(a, 0, 0) // due 22:01:10 (in the month) and 22:31:10

	// FC-2: both instances down for two hours, two holds that overlap: 08:30-09:10 and 09:00-09:20, 50 min. Taken 6 min 30 s before due.
	b := t.incident(incident.Availability, "backend", incident.P1, oct(5, 8, 0), oct(5, 10, 0), down("backend", oct(5, 8, 0), oct(5, 10, 0)))
	t.filed(b, "FC-2", oct(5, 8, 9).Add(30*time.Second), incident.Hold{From: oct(5, 8, 30), To: oct(5, 9, 10), Reason: "which server?", Actor: "ada"},
		incident.Hold{From: oct(5, 9, 0), To: oct(5, 9, 20), Reason: "again", Actor: "ada"})
	t.mailed(b, time.Second, 4*time.Minute, -1) // due 08:31:10, 09:01:10, 09:31:10: on time, late, missing

	// FC-3: momentary, and a person calls it a false alarm.
	c := t.incident(incident.Availability, "backend", incident.P1, oct(8, 3, 0), oct(8, 3, 2), down("backend", oct(8, 3, 0), oct(8, 3, 2)))
	c.Incident.Resolution = incident.Momentary
	t.filed(c, "FC-3", open)
	t.event(c, oct(8, 3, 5), incident.EventNote, "ada", "False alarm: the load balancer was moved")
	t.mailed(c)

	// FC-4 lasts into the maintenance window, which begins at 20:00Z.
	d := t.incident(incident.Availability, "web-client", incident.P2, oct(11, 19, 50), oct(11, 20, 30), down("web-client", oct(11, 19, 50), oct(11, 20, 30)))
	t.filed(d, "FC-4", open)

	// FC-5 is absorbed by FC-6: each instant of the web client's outage is in one of the two.
	e := t.incident(incident.Availability, "web-client", incident.P2, oct(14, 12, 0), oct(14, 12, 5), down("web-client", oct(14, 12, 0), oct(14, 12, 5)))
	t.filed(e, "FC-5", open)
	f := t.incident(incident.Availability, "backend", incident.P1, oct(14, 12, 2), oct(14, 12, 32), down("backend", oct(14, 12, 2), oct(14, 12, 32)), down("web-client", oct(14, 12, 5), oct(14, 12, 32)))
	t.filed(f, "FC-6", oct(14, 12, 4))
	e = &t.list[len(t.list)-2]
	e.Incident.Resolution, e.Incident.AbsorbedBy = incident.Absorbed, f.Incident.ID

	// FC-7: nobody ever reacts.
	g := t.incident(incident.Availability, "remote-desktop", incident.P2, oct(20, 6, 0), oct(20, 9, 0), down("remote-desktop", oct(20, 6, 0), oct(20, 9, 0)))
	t.filed(g, "FC-7", open)

	// FC-8 lasts over the change of the clocks: 02:30 CEST to 03:00 CET is one hour and a half. Taken 14 min too late.
	h := t.incident(incident.Availability, "web-client", incident.P2, oct(25, 0, 30), oct(25, 2, 0), down("web-client", oct(25, 0, 30), oct(25, 2, 0)))
	t.filed(h, "FC-8", oct(25, 1, 45))

	// FC-9: a latency that an operator took as normal.
	i := t.incident(incident.Performance, "web-client", incident.P2, oct(28, 8, 0), oct(28, 12, 0))
	i.Incident.Title, i.Incident.Widest, i.Incident.Resolution = "web-client is slow", "web-client is slow", incident.Accepted
	t.filed(i, "FC-9", oct(28, 8, 31))

	// FC-10 is open when the report is made, and on hold since half an hour after it began.
	j := t.incident(incident.Availability, "web-client", incident.P2, oct(31, 22, 0), open, down("web-client", oct(31, 22, 0), open))
	t.filed(j, "FC-10", open, incident.Hold{From: oct(31, 22, 30), Reason: "waits for a log-on", Actor: "ada"})

	// The agent's own trouble, and what is the application's matter.
	k := t.incident(incident.Agent, "sight-agent", incident.NoPriority, oct(18, 4, 0), oct(18, 4, 10))
	k.Incident.Title, k.Incident.Widest = "the agent is blind", "the agent is blind"
	t.incident(incident.Function, "web-client", incident.NoPriority, oct(19, 4, 0), oct(19, 5, 0))
	return t.list
}
