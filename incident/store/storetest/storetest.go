// Package storetest is the contract of a store, as code: what every store must do, whatever it keeps its rows in.
package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// Run checks the store that open makes. open returns an empty store with default options and closes it when its test ends.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for name, check := range map[string]func(*testing.T, *store.Store){
		"incidents":          incidents,
		"incident filter":    incidentFilter,
		"unsettled":          unsettled,
		"commit is atomic":   commitIsAtomic,
		"engine state":       engineState,
		"baselines":          baselines,
		"baseline retention": baselineRetention,
		"timeline":           timeline,
		"odd texts":          oddTexts,
		"orders":             orders,
		"cases":              cases,
		"notices":            notices,
		"evidence":           gathered,
		"evidence bounds":    gatheredBounds,
		"evidence retention": gatheredRetention,
		"not found":          notFound,
		"desk cases":         deskCases,
		"desk case numbers":  deskNumbers,
		"desk case updates":  deskUpdates,
		"results":            results,
		"results limit":      resultsLimit,
		"each result":        eachResult,
		"each result stops":  eachResultStops,
		"results refused":    resultsRefused,
		"roll-ups":           rollups,
		"raw retention":      rawRetention,
		"roll-up retention":  rollupRetention,
		"incident retention": incidentRetention,
		"one agent":          oneAgent,
		"vantage state":      vantageState,
		"snapshot":           snapshot,
		"handovers":          handovers,
		"handover bounds":    handoverBounds,
		"writers at once":    writersAtOnce,
		"cancelled":          cancelled,
		"closed":             closed,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

var day = time.Date(2026, 2, 4, 0, 0, 0, 0, time.UTC)

// at returns an instant of the test's day, with nanoseconds that must survive.
func at(hour, minute int) time.Time {
	return day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + 123456789)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// anIncident returns one with every field set.
func anIncident(id string, opened time.Time) incident.Incident {
	return incident.Incident{
		ID: id, Tenant: "acme", Class: incident.Availability, Root: "backend", Components: []string{"backend", "web-client"},
		Priority: incident.P1, Highest: incident.P1, Reason: "refused", Title: "backend is inaccessible", Why: "2 of 2 instances <down> & out",
		Detail:  []string{"app01: tcp 443 refused", "app02: tcp 443 refused\t“æøå”"},
		Started: opened.Add(-30 * time.Second), Opened: opened, Commencement: opened, ReactionDue: opened.Add(15 * time.Minute), Updated: opened.Add(time.Minute),
		Ended: opened.Add(10 * time.Minute), Closed: opened.Add(11 * time.Minute), Resolution: incident.Absorbed, AbsorbedBy: "fc-other",
	}
}

func openIncident(id string, opened time.Time) incident.Incident {
	i := anIncident(id, opened)
	i.Ended, i.Closed, i.Resolution, i.AbsorbedBy = time.Time{}, time.Time{}, "", ""
	return i
}

func anEvent(id string, when time.Time, text string) incident.Event {
	return incident.Event{Incident: id, At: when, Kind: incident.EventRaised, Actor: incident.ActorAgent, Text: text, Priority: incident.P2}
}

func aCase(id, desk string) incident.Case {
	return incident.Case{
		Incident: id, Desk: desk, Ref: "ref-" + id, Number: "INC-" + id, URL: "https://desk.example/" + id, State: incident.CaseHeld,
		Attempted: at(10, 1), Created: at(10, 2), Priority: incident.P2, Noted: 7,
		Acknowledged: at(10, 3), AcknowledgedBy: "Ada", Holds: []incident.Hold{{From: at(10, 4), To: at(10, 5), Reason: "no answer", Actor: "Ada"}, {From: at(10, 6), Reason: "again", Actor: "Bo"}},
		Resolved: at(10, 7), ResolvedBy: "Bo", Seen: at(10, 8), Failures: 3, LastError: "desk soc: 503", NextTry: at(10, 9), Settled: true,
	}
}

func aNotice(id, of string, due time.Time) incident.Notice {
	return incident.Notice{
		ID: id, Incident: of, Notifier: "customer", Kind: incident.NoticeStatus, Seq: 2, Due: due, State: incident.NoticeSent, Text: "still down",
		Sent: due.Add(time.Second), Proof: "250 2.0.0 queued", Failures: 1, LastError: "421 try later", NextTry: due.Add(time.Minute),
	}
}

func ids(all []incident.Incident) []string {
	var list []string
	for _, i := range all {
		list = append(list, i.ID)
	}
	return list
}
