//go:build servers

package desk_test

import (
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
)

func init() {
	alertmanager := func(t *testing.T) desktest.System { return startAlerting(t) }
	tracker := soakOptions{Kind: "rt", Incidents: 30, Faults: 90, Timeout: 10 * time.Second, Odds: 4, Calm: 4 * time.Minute, Within: 12 * time.Minute, Inside: `["Status 'onhold' isn't a valid status for this ticket."]`}
	soakRows = append(soakRows, soakRow{"rt", rtSystem, tracker}, soakRow{"alertmanager", alertmanager, soakOptions{Kind: "alertmanager"}})
	tracker.Incidents, tracker.Faults = 6, 18
	// One Request Tracker serves all tests, so it comes in a test of its own.
	soakDoubled = append(soakDoubled, soakRow{"rt", rtSystem, tracker}, soakRow{"alertmanager", alertmanager, soakOptions{Kind: "alertmanager"}})
}
