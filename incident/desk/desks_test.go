package desk_test

import (
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// fromYAML returns the desk of a configuration: the keys beside kind and name, a line each.
func fromYAML(t testing.TB, kind, keys string) desk.Desk {
	t.Helper()
	d, err := parseDesk(kind, keys).Build(desk.Env{Name: "desk-under-test", Tenant: "acme", ExternalURL: "https://acme.firstcall.example"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type unbuildable struct {
	desk.Builder
	err error
}

func (u unbuildable) Build(desk.Env) (desk.Desk, error) { return nil, u.err }

// parseDesk returns the configuration of a desk, or one whose Build says what is wrong with it.
func parseDesk(kind, keys string) desk.Builder {
	file := "tenant: { id: acme }\ncomponents:\n  - name: web\n    probes: [{ kind: tcp, address: 'acme.example:443' }]\ndesks:\n" +
		"  - kind: " + kind + "\n    name: desk-under-test\n    " + strings.ReplaceAll(keys, "\n", "\n    ") + "\n"
	c, err := config.Parse("test.yaml", []byte(file), func(string) (string, bool) { return "", false })
	if err != nil {
		return unbuildable{err: err}
	}
	return c.Desks[0].Builder
}

// whatIsSaid returns what a case shall say.
func whatIsSaid(key string) desk.Fields {
	return desk.Fields{
		Key: key, Title: "P2 acme: backend is inaccessible", Body: "Since 12:00\n<b>Ærø</b>", Priority: incident.P2,
		Customer:  incident.Contact{Name: "ACME IT", Email: "it@acme.example", Phone: "+45 00 00 00 00"},
		Published: []string{"tcp acme-app01.example:443: connection refused"},
	}
}
