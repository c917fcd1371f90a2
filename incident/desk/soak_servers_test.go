//go:build servers

package desk_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// letters is a mailbox as a system to soak: it refuses one sender of four for now; all else that befalls it is kills.
type letters struct{ *mailbox }

func lettersSystem(t *testing.T) desktest.System {
	box := newMailbox(servers.StartMailpit(t, servers.MailpitOptions{}))
	box.SetChaos(servers.Chaos{Sender: servers.ChaosTrigger{ErrorCode: 451, Probability: 25}})
	return letters{box}
}

// ServeHTTP implements desktest.System: a mailbox is not reached by HTTP.
func (letters) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// YAML implements desktest.System.
func (l letters) YAML(string) string { return l.mailbox.YAML() }

func init() {
	alertmanager := func(t *testing.T) desktest.System { return startAlerting(t) }
	tracker := soakOptions{Kind: "rt", Incidents: 30, Faults: 90, Timeout: 10 * time.Second, Odds: 4, Calm: 4 * time.Minute, Within: 20 * time.Minute, Inside: `["Status 'onhold' isn't a valid status for this ticket."]`}
	soakRows = append([]soakRow{{"rt", rtSystem, tracker}}, soakRows...) // it takes longest
	soakRows = append(soakRows, soakRow{"alertmanager", alertmanager, soakOptions{Kind: "alertmanager"}},
		soakRow{"email", lettersSystem, soakOptions{Kind: "email", Faults: 40}})
	tracker.Incidents, tracker.Faults = 6, 18
	soakDoubled = append(soakDoubled, soakRow{"rt", rtSystem, tracker}, soakRow{"alertmanager", alertmanager, soakOptions{Kind: "alertmanager"}},
		soakRow{"email", lettersSystem, soakOptions{Kind: "email", Faults: 10}})
}
