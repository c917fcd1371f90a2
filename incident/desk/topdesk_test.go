package desk_test

import (
	"encoding/base64"
	"net/http/httptest"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// topdeskDesk returns a desk with a TOPdesk behind it; more is added to its configuration.
func topdeskDesk(t *testing.T, system *systems.TOPdesk, more string) (desk.Desk, *desktest.Faulty, func()) {
	t.Helper()
	faulty := &desktest.Faulty{System: system, Inside: `[{"message": "the rules of this desk do not allow it"}]`}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	return fromYAML(t, "topdesk", system.YAML(front.URL)+more), faulty, front.Close
}

func TestTOPdesk(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(systems.TOPdeskUser + ":" + systems.TOPdeskPassword))
	desktest.Run(t, func(t *testing.T) desktest.Rig {
		system := systems.NewTOPdesk(systems.TOPdeskOptions{})
		d, faulty, down := topdeskDesk(t, system, "")
		return desktest.Rig{
			Desk: d, Name: "desk-under-test", Secrets: []string{systems.TOPdeskPassword, encoded}, Faulty: faulty, Down: down, People: system,
			Live: func(key string) int { return desktest.Live(system, key) },
		}
	})
}
