package webtest

import (
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// down is one component that does not answer, with its incident.
func (f *Fake) down(component int, since time.Duration, p incident.Priority) incident.Incident {
	const detail = "answered 503 Service Unavailable, wanted 200"
	f.fail(component, int(since/(30*time.Second)), probes.Down, probes.Status, detail)
	name := f.Seen.Components[component].Name
	i := f.open(incident.Incident{
		Class: incident.Availability, Root: name, Components: []string{name}, Priority: p, Reason: "status", Title: name + " is inaccessible",
		Why: "its only instance is down.", Detail: []string{detail}, Started: At(since), Opened: At(since - 8*time.Second),
	})
	f.tell(i.ID, since-8*time.Second, incident.EventOpened, "firstcall", i.Title, p)
	return i
}

// late is a case that nobody has taken in time, an update that its desk refuses, and notices that do not arrive; and a case that is to
// be resolved while its desk is away.
func late(f *Fake) {
	i := f.down(1, 15*time.Minute+8*time.Second, incident.P2)
	for n := range f.Told { // it began earlier than its forty results show
		if f.Told[n].ID == i.ID {
			f.Told[n].Started, f.Told[n].Opened, f.Told[n].Commencement = At(65*time.Minute+8*time.Second), At(65*time.Minute), At(65*time.Minute)
			f.Told[n].ReactionDue = Level.ReactionDue(incident.P2, f.Told[n].Commencement)
			f.Seen.Incidents[0], f.Events[i.ID][0].At = f.Told[n], At(65*time.Minute)
		}
	}
	f.Desk = append(f.Desk, incident.Case{
		Incident: i.ID, Desk: "soc", Ref: "4712", Number: "SOC-4712", URL: "https://soc.service-now.example/case/4712", State: incident.CaseNew, Created: At(64 * time.Minute), Priority: incident.P2,
		Failures: 17, FailingSince: At(4 * time.Minute), LastError: `desk "soc": update of case SOC-4712: answered 403: Operation failed by data policy: Assignment group is mandatory`, NextTry: At(-9 * time.Second),
	})
	f.Messages = append(f.Messages,
		incident.Notice{ID: "l1", Incident: i.ID, Notifier: "on-call", Kind: incident.NoticeOpened, Due: At(65 * time.Minute), State: incident.NoticeFailed, Failures: 3, LastError: `notifier "on-call": +45 00 00 00 01: not answered within 40 s`},
		incident.Notice{ID: "l2", Incident: i.ID, Notifier: "customer", Kind: incident.NoticeStatus, Seq: 2, Due: At(3 * time.Minute), Failures: 5, LastError: `notifier "customer": smtp.example:587 refused the connection`, NextTry: At(-3 * time.Second)},
		incident.Notice{ID: "l3", Incident: i.ID, Notifier: "chat", Kind: incident.NoticeReaction, Seq: 2100, Due: At(2 * time.Second)})
	f.tell(i.ID, 4*time.Minute, incident.EventReaction, "firstcall", "100 % of the reaction time has passed and nobody has taken case SOC-4712", 0)
	over := f.Told[0]
	over.Opened, over.Started, over.Ended, over.Closed = At(40*time.Minute), At(41*time.Minute), At(4*time.Minute), At(3*time.Minute)
	over.Root, over.Title, over.Components = "backend", "backend is inaccessible", []string{"backend"}
	over.Commencement, over.ReactionDue = over.Opened, Level.ReactionDue(over.Highest, over.Opened)
	over.ID = incident.Key("acme", over.Class, over.Root, over.Started)
	f.Told = append(f.Told, over)
	f.Desk = append(f.Desk, incident.Case{
		Incident: over.ID, Desk: "soc", Ref: "4713", Number: "SOC-4713", URL: "https://soc.service-now.example/case/4713", State: incident.CaseAcknowledged, Created: At(39 * time.Minute), Priority: incident.P2,
		Acknowledged: At(30 * time.Minute), AcknowledgedBy: "Jonas Holm", Failures: 12, FailingSince: At(3 * time.Minute), LastError: `desk "soc": resolve of case SOC-4713: answered 503`, NextTry: At(-5 * time.Second),
	})
	f.State.DeskErrors = map[string]string{"soc": "update of case SOC-4712: answered 403: Operation failed by data policy: Assignment group is mandatory"}
	f.State.NoticeErrors = map[string]string{"customer": "smtp.example:587 refused the connection"}
	f.State.CasePending, f.State.OldestPending = 2, 4*time.Minute
}

// fallback is an outage whose case stands at the second desk while the first is away; somebody took it there.
func fallback(f *Fake) {
	i := f.down(1, 9*time.Minute, incident.P2)
	f.Desk = append(f.Desk,
		incident.Case{
			Incident: i.ID, Desk: "soc", State: incident.CaseWanted, Attempted: At(8 * time.Minute), Failures: 36, FailingSince: At(8 * time.Minute),
			LastError: `desk "soc": open: dial tcp 203.0.113.20:443: connection refused`, NextTry: At(-12 * time.Second),
		},
		incident.Case{
			Incident: i.ID, Desk: "mailbox", Ref: "m1", Number: "M-20261123-1", State: incident.CaseAcknowledged, Created: At(4 * time.Minute), Priority: incident.P2,
			Acknowledged: At(2 * time.Minute), AcknowledgedBy: "duty officer",
		})
	f.tell(i.ID, 4*time.Minute, incident.EventCaseOpened, "mailbox", "case M-20261123-1 is open at mailbox", incident.P2)
	f.State.DeskErrors = map[string]string{"soc": "open: dial tcp 203.0.113.20:443: connection refused"}
	f.State.CasePending, f.State.OldestPending = 1, 9*time.Minute
}

// follows is an outage whose first case was resolved too early: another one follows it, was on hold, and is temporarily rectified.
func follows(f *Fake) {
	i := f.down(2, 18*time.Minute, incident.P3)
	f.Desk = append(f.Desk, incident.Case{
		Incident: i.ID, Desk: "soc", Ref: "4715", Number: "SOC-4715", URL: "https://soc.service-now.example/case/4715", State: incident.CaseAcknowledged, Created: At(12 * time.Minute), Priority: incident.P3, Round: 1,
		Earlier:      []incident.EarlierCase{{Ref: "4714", Number: "SOC-4714", URL: "https://soc.service-now.example/case/4714", Resolved: At(13 * time.Minute), ResolvedBy: "Jonas Holm"}},
		Acknowledged: At(14 * time.Minute), AcknowledgedBy: "Jonas Holm", Rectified: At(90 * time.Second), RectifiedBy: "Jonas Holm",
		Holds: []incident.Hold{
			{From: At(10 * time.Minute), To: At(7 * time.Minute), Answered: At(7 * time.Minute), Left: At(5 * time.Minute), Reason: "waits for the customer to name a user who is concerned", Actor: "Jonas Holm"},
			{From: At(3 * time.Minute), To: At(2 * time.Minute), Left: At(2 * time.Minute), Reason: "waits for a restart", Actor: "Jonas Holm"},
		},
	})
	f.tell(i.ID, 12*time.Minute, incident.EventMoved, "firstcall", "case SOC-4715 goes on where case SOC-4714 was resolved by Jonas Holm while the fault was measured", 0)
}
