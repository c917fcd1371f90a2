package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// listed are a case that does not exist yet, one that is held and stands in for it, one that nobody took in time, and one that was taken.
func listed() web.Cases {
	at := time.Date(2026, 11, 23, 10, 42, 0, 0, time.UTC)
	before := func(minutes int) time.Time { return at.Add(-time.Duration(minutes) * time.Minute) }
	fails := func(d incident.Delivery) web.Delivery { return web.Delivery{Delivery: d, Age: at.Sub(d.Since)} }
	due := sla.Clock{Commencement: before(3), Due: before(-12), Margin: 12 * time.Minute}
	return web.Cases{At: at, Cases: []web.Case{
		{
			Case: incident.Case{Incident: "fc-b", Desk: "soc"}, Title: "web-client is inaccessible", Asked: incident.P2, Clock: due,
			Deliveries: []web.Delivery{
				fails(incident.Delivery{Notifier: "customer", Action: "status", Seq: 2, Since: before(4), Attempts: 3, Error: "smtp.example:587 refused the connection"}),
				fails(incident.Delivery{Desk: "soc", Action: incident.DeliverCreate, Since: before(3), Attempts: 9, Error: `desk "soc": open: the ticket system did not answer within 10 s; check its address and the way to it`}),
			},
		},
		{
			Case:  incident.Case{Incident: "fc-b", Desk: "builtin", Number: "FC-2026-000001", State: incident.CaseHeld, Priority: incident.P1, Holds: []incident.Hold{{From: before(2)}}},
			Title: "hostile\x1b[2J\ttitle\nof two lines and more than forty bytes", Clock: due,
		},
		{Case: incident.Case{Incident: "fc-c", Desk: "soc", Number: "SOC-4", State: incident.CaseNew, Priority: incident.P3}, Title: "backend is down", Clock: sla.Clock{Due: before(5), Margin: -5 * time.Minute}},
		{
			Case:  incident.Case{Incident: "fc-d", Desk: "soc", Number: "SOC-5", State: incident.CaseAcknowledged, Priority: incident.P2},
			Title: "backend is slow", Clock: sla.Clock{Commencement: before(9), Reacted: before(6), Due: before(-51), Margin: 57 * time.Minute},
			Deliveries: []web.Delivery{fails(incident.Delivery{Desk: "soc", Action: incident.DeliverResolve, Since: at.Add(-3 * time.Second)})},
		},
	}}
}

func TestPrintedCases(t *testing.T) {
	for _, c := range []struct {
		name  string
		width int
		want  string
	}{
		{"into a file", 0, `
NUMBER          PRIORITY  STATE         INCIDENT                                  DESK     REACTION           ON HOLD    PENDING
-               P2        wanted        web-client is inaccessible                soc      due in 12 min      -          create fails for 3 min (and 1 more): open: the ticket system did not answer within 10 s; check it...
FC-2026-000001  P1        held          hostile [2J title of two lines and mo...  builtin  due in 12 min      for 2 min  -
SOC-4           P3        new           backend is down                           soc      LATE by 5 min      -          -
SOC-5           P2        acknowledged  backend is slow                           soc      taken after 3 min  -          resolve waits for 3 s
`},
		{"on a narrow terminal", 60, `
-  P2  wanted  at soc
  web-client is inaccessible
  reaction due in 12 min
  pending: create fails for 3 min (and 1 more): open: the...
FC-2026-000001  P1  held  at builtin
  hostile [2J title of two lines and mo...
  reaction due in 12 min
  on hold for 2 min
SOC-4  P3  new  at soc
  backend is down
  reaction LATE by 5 min
SOC-5  P2  acknowledged  at soc
  backend is slow
  reaction taken after 3 min
  pending: resolve waits for 3 s
`},
	} {
		var out strings.Builder
		if err := printCases(&out, listed(), c.width); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), out.String()); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.name, diff)
		}
	}
}

// TestTableFitsTheTerminal states that no line of the list is longer than the terminal is wide.
func TestTableFitsTheTerminal(t *testing.T) {
	for _, width := range []int{40, 60, 80, 99, 140, 200} {
		var out strings.Builder
		if err := printCases(&out, listed(), width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if len(line)-1 > width {
				t.Errorf("%d columns: %q", width, line)
			}
		}
	}
}

func TestPrintedStory(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 10, minute, 0, 0, time.UTC) }
	k := incident.Case{
		Desk: "builtin", Number: "FC-2026-000001", URL: "https://desk.example/1", State: incident.CaseResolved, Acknowledged: at(5), AcknowledgedBy: "ada",
		Earlier: []incident.EarlierCase{{Number: "FC-2026-000000", URL: "https://desk.example/0", Resolved: at(3), ResolvedBy: "bo"}},
		Holds:   []incident.Hold{{From: at(6), To: at(16), Answered: at(16), Left: at(17), Reason: "waits for a restart", Actor: "ada"}, {From: at(29), Reason: "once more", Actor: "ada"}},
	}
	s := web.Story{
		Incident: incident.Incident{
			Tenant: "acme", Priority: incident.P2, Title: "web-client is inaccessible", Why: "a component with one instance is down", Detail: []string{"web-client/http: 503"},
			Started: at(0), Opened: at(1), Commencement: at(1), ReactionDue: at(59), Ended: at(30), Closed: at(31), Resolution: incident.Recovered,
		},
		At: at(31), Cases: []incident.Case{k, {Desk: "soc"}},
		Clock:    sla.Clock{Commencement: at(1), Due: at(59), Reacted: at(5), Margin: 54 * time.Minute, Used: 0.069, Rectified: at(20)},
		Downtime: web.Downtime{Gross: 30 * time.Minute, Net: 20 * time.Minute}, Earlier: 7,
		Deliveries: []web.Delivery{
			{Delivery: incident.Delivery{Desk: "soc", Action: incident.DeliverCreate, Attempts: 9, Error: `desk "soc": open: answered 503`, NextTry: at(32)}, Age: 30 * time.Minute},
			{Delivery: incident.Delivery{Notifier: "phone", Action: "reaction", Seq: 2050, Attempts: 3, GivenUp: true, Error: "not answered"}},
		},
		Timeline: []incident.Event{{At: at(1), Kind: incident.EventOpened, Actor: incident.ActorAgent, Text: "opened"}, {At: at(5), Kind: incident.EventAcknowledged, Actor: "ada", Text: "taken"}},
	}
	var out strings.Builder
	if err := printStory(&out, k, s); err != nil {
		t.Fatal(err)
	}
	want := `case                   FC-2026-000001 at builtin
link                   https://desk.example/1
follows                FC-2026-000000, resolved 2026-11-23 10:03:00 UTC by bo https://desk.example/0
beside                 - at soc, wanted
title                  P2 acme: web-client is inaccessible
why                    a component with one instance is down
state                  resolved
since                  2026-11-23 10:00:00 UTC
acknowledged           2026-11-23 10:05:00 UTC by ada
commencement           2026-11-23 10:01:00 UTC
reaction due           2026-11-23 10:59:00 UTC
reaction               taken after 4 min, 7 % of the reaction time
hold                   2026-11-23 10:06:00 UTC to 2026-11-23 10:16:00 UTC, answered 2026-11-23 10:16:00 UTC, left 2026-11-23 10:17:00 UTC: waits for a restart (ada)
hold                   since 2026-11-23 10:29:00 UTC: once more (ada)
temporarily rectified  2026-11-23 10:20:00 UTC
rectified              2026-11-23 10:30:00 UTC, recovered
downtime               30m0s, net of holds 20m0s
measured               web-client/http: 503
to be delivered        create at soc fails for 30 min, attempt 10 at 2026-11-23 10:32:00 UTC: open: answered 503
to be delivered        reaction by phone given up after 3 attempts: not answered

7 earlier steps are left out
2026-11-23 10:01:00 UTC  opened        firstcall  opened
2026-11-23 10:05:00 UTC  acknowledged  ada        taken
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestActor keeps the agent's own name out of the timeline, where a person acts under an account that is called so.
func TestActor(t *testing.T) {
	t.Setenv("SUDO_USER", "ada")
	if got := me(); got != "ada" {
		t.Errorf("behind sudo the actor is %q, want ada", got)
	}
	t.Setenv("SUDO_USER", "FirstCall")
	if got := me(); got == "" || strings.EqualFold(got, incident.ActorAgent) {
		t.Errorf("the actor is %q", got)
	}
}

// The timeline has the essence of the evidence in its line, and the whole stands below, as lines, with where its files are.
func TestPrintedEvidence(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 1, 0, 0, time.UTC)
	text := "10.0.0.7:443 is not reached\n\nPaths\n   1  10.0.0.1  0.4 ms\n\x1b[31mred"
	s := web.Story{
		Incident: incident.Incident{ID: "fc-acme-backend", Tenant: "acme"}, At: at,
		Timeline: []incident.Event{{At: at, Kind: incident.EventEvidence, Actor: incident.ActorAgent, Text: text}},
		Evidence: &incident.Evidence{At: at, Text: text, Files: []incident.EvidenceFile{{Name: "path.txt"}, {Name: "shot.png"}}},
	}
	var out strings.Builder
	if err := printStory(&out, incident.Case{}, s); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(out.String(), "\n\n")
	want := `2026-11-23 10:01:00 UTC  evidence  firstcall  10.0.0.7:443 is not reached

evidence, gathered 2026-11-23 10:01:00 UTC:

10.0.0.7:443 is not reached

Paths
   1  10.0.0.1  0.4 ms
` + printable("\x1b[31mred") + `

GET /api/v1/incidents/fc-acme-backend/evidence/path.txt
GET /api/v1/incidents/fc-acme-backend/evidence/shot.png
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
