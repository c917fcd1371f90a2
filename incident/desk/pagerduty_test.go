package desk_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// pagerdutyDesk returns a desk with a PagerDuty behind it; more is added to its configuration.
func pagerdutyDesk(t *testing.T, system *systems.PagerDuty, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return fromYAML(t, "pagerduty", system.YAML(front.URL)+more), faulty, front.Close
}

func TestPagerDuty(t *testing.T) {
	for name, o := range map[string]systems.PagerDutyOptions{
		"events alone": {Delay: 150 * time.Millisecond}, "read back": {REST: true, Delay: 150 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			desktest.Run(t, func(t *testing.T) desktest.Rig {
				system := systems.NewPagerDuty(o)
				d, faulty, down := pagerdutyDesk(t, system, "")
				t.Cleanup(func() {
					if ignored := system.Ignored(); len(ignored) > 0 {
						t.Errorf("fields that events do not have: %q", ignored)
					}
				})
				return desktest.Rig{
					Desk: d, Name: "desk-under-test", Secrets: []string{systems.PagerDutyKey, systems.PagerDutyToken}, Faulty: faulty, Down: down,
					Live:   func(key string) int { return desktest.Live(system, key) },
					People: system, Cannot: []desktest.Ability{desktest.Holding, desktest.Answering, desktest.Withdrawing},
				}
			})
		})
	}
}
