//go:build servers && linux

package desk_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// rtSlow is how long Request Tracker may take for a call on a loaded machine.
const rtSlow = time.Minute

// requestTracker is a real Request Tracker as a ticket system of tests, and the people who work there.
type requestTracker struct {
	http.Handler
	*servers.RT
}

// rtSystem returns a Request Tracker without tickets.
func rtSystem(t *testing.T) desktest.System {
	return newRequestTracker(t, servers.StartRT(t, servers.RTOptions{}))
}

func newRequestTracker(t *testing.T, server *servers.RT) *requestTracker {
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	server.Clear()
	return &requestTracker{proxy, server}
}

// States implements desktest.System. A ticket whose unique key was refused is found by its link.
func (r *requestTracker) States(key string) []incident.CaseState {
	var states []incident.CaseState
	for _, ticket := range r.Tickets(fmt.Sprintf("'CF.{FC-Key}' = '%s' OR RefersTo = 'urn:firstcall:%s'", key, key)) {
		states = append(states, map[string]incident.CaseState{
			"new": incident.CaseNew, "open": incident.CaseAcknowledged, "stalled": incident.CaseHeld,
			"resolved": incident.CaseResolved, "rejected": incident.CaseWithdrawn,
		}[ticket.Status])
	}
	return states
}

// YAML implements desktest.System.
func (r *requestTracker) YAML(address string) string {
	return "url: " + address + "\ntoken: " + r.AgentToken + "\nqueue: SOC\ncustomer_requestor: true\n"
}

// rtPeople are desktest.People at a Request Tracker.
type rtPeople struct{ *servers.RT }

func (p rtPeople) Hold(ref, reason string) {
	p.Change(ref, map[string]any{"Status": "stalled", "CustomFields": map[string]string{"FC-Hold-Reason": reason}})
}

func (p rtPeople) Answer(ref, text string) {
	p.Mail("it@acme.example", ref, "answer-"+ref+"@acme.example", text)
}
func (p rtPeople) Resume(ref string) { p.Change(ref, map[string]any{"Status": "open"}) }

func (p rtPeople) Resolve(ref, text string) {
	p.Comment(ref, text)
	p.Change(ref, map[string]any{"Status": "resolved"})
}

// rtConfig is a configuration of the desk for a server, as its defaults are.
func rtConfig(address, token string) *desk.RT {
	return &desk.RT{
		URL: address, Token: secret.New(token), Queue: "SOC", KeyField: "FC-Key", PriorityField: "FC-Priority", HoldReasonField: "FC-Hold-Reason",
		BreakStartedField: "FC-Break-Started", RectifiedField: "FC-Rectified", CustomerRequestor: true, Timeout: rtSlow,
	}
}

// buildRT returns the desk of a configuration.
func buildRT(t testing.TB, c *desk.RT) desk.Desk {
	t.Helper()
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	d, err := c.Build(desk.Env{Name: "desk-under-test", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// rtRig is the desk with a Request Tracker behind it that can fail.
func rtRig(t *testing.T, system *requestTracker, change func(*desk.RT)) desktest.Rig {
	faulty := &desktest.Faulty{System: system, Inside: `["Status 'onhold' isn't a valid status for this ticket."]`}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	c := rtConfig(front.URL, system.AgentToken)
	if change != nil {
		change(c)
	}
	return desktest.Rig{
		Desk: buildRT(t, c), Name: "desk-under-test", Secrets: []string{system.AgentToken}, Faulty: faulty, Down: front.Close,
		Live: func(key string) int { return desktest.Live(system, key) }, People: rtPeople{system.RT}, Slow: rtSlow,
		Files: func(ref string) []desktest.Kept { return rtFiles(t, system.RT, ref) },
	}
}

func TestRequestTracker(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig { return rtRig(t, rtSystem(t).(*requestTracker), nil) })
}
