package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
)

func TestPrintedCases(t *testing.T) {
	created := time.Date(2026, 11, 23, 10, 42, 0, 0, time.UTC)
	cases := []incident.Case{
		{Incident: "fc-b", Desk: "soc", Priority: incident.P2},
		{Incident: "fc-a", Desk: "builtin", Number: "FC-2026-000001", State: incident.CaseHeld, Priority: incident.P1, Created: created},
	}
	var out strings.Builder
	if err := printCases(&out, cases, []incident.Incident{{ID: "fc-a", Title: "hostile\x1b[2J\ttitle\nof two lines"}}); err != nil {
		t.Fatal(err)
	}
	want := "NUMBER          PRIORITY  STATE   CREATED                  DESK     WHAT\n" +
		"-               P2        wanted  -                        soc      fc-b\n" +
		"FC-2026-000001  P1        held    2026-11-23 10:42:00 UTC  builtin  hostile [2J title of two lines\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestPrintedStory(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 10, minute, 0, 0, time.UTC) }
	k := incident.Case{Desk: "builtin", Number: "FC-2026-000001", State: incident.CaseResolved, Acknowledged: at(5), AcknowledgedBy: "ada"}
	s := web.Story{
		Incident: incident.Incident{
			Tenant: "acme", Priority: incident.P2, Title: "web-client is inaccessible", Why: "a component with one instance is down", Detail: []string{"web-client/http: 503"},
			Started: at(0), Opened: at(1), Commencement: at(1), ReactionDue: at(59), Ended: at(30), Closed: at(31), Resolution: incident.Recovered,
		},
		Downtime: web.Downtime{Gross: 30 * time.Minute, Net: 20 * time.Minute}, Earlier: 7,
		Timeline: []incident.Event{{At: at(1), Kind: incident.EventOpened, Actor: incident.ActorAgent, Text: "opened"}, {At: at(5), Kind: incident.EventAcknowledged, Actor: "ada", Text: "taken"}},
	}
	var out strings.Builder
	if err := printStory(&out, k, s); err != nil {
		t.Fatal(err)
	}
	want := `case          FC-2026-000001 at builtin
title         P2 acme: web-client is inaccessible
why           a component with one instance is down
state         resolved
since         2026-11-23 10:00:00 UTC
commencement  2026-11-23 10:01:00 UTC
reaction due  2026-11-23 10:59:00 UTC
acknowledged  2026-11-23 10:05:00 UTC by ada
rectified     2026-11-23 10:30:00 UTC, recovered
downtime      30m0s, net of holds 20m0s
measured      web-client/http: 503

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
