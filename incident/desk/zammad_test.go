package desk_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// zammadDesk returns a desk with a Zammad behind it; more is added to its configuration.
func zammadDesk(t *testing.T, system *systems.Zammad, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return fromYAML(t, "zammad", system.YAML(front.URL)+more), faulty, front.Close
}

func TestZammad(t *testing.T) {
	for _, o := range []systems.ZammadOptions{{Attributes: true, Lag: 300 * time.Millisecond}, {Lag: 300 * time.Millisecond}} {
		t.Run(fmt.Sprintf("attributes %t", o.Attributes), func(t *testing.T) {
			desktest.Run(t, func(t *testing.T) desktest.Rig {
				system := systems.NewZammad(o)
				d, faulty, down := zammadDesk(t, system, "")
				t.Cleanup(func() {
					if ignored := system.Ignored(); len(ignored) > 0 {
						t.Errorf("attributes that Zammad does not have: %q", ignored)
					}
				})
				return desktest.Rig{
					Desk: d, Name: "desk-under-test", Secrets: []string{systems.ZammadToken}, Faulty: faulty, Down: down, People: system,
					Live: func(key string) int { return desktest.Live(system, key) },
				}
			})
		})
	}
}
