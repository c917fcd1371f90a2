package desk_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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

// sentTo returns the requests as "METHOD path JSON", one a line, with the keys of the JSON in order.
func sentTo(t *testing.T, asked []request) string {
	t.Helper()
	var b strings.Builder
	for _, r := range asked {
		var body any
		if len(r.body) > 0 {
			if err := json.Unmarshal(r.body, &body); err != nil {
				t.Fatal(err)
			}
		}
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		b.WriteString(r.method + " " + r.url + " ")
		if err := encoder.Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// checkFaults checks what is wrong with a configuration: each wanted text, or nothing at all.
func checkFaults(t *testing.T, kind, keys string, want ...string) {
	t.Helper()
	broken, ok := parseDesk(kind, keys).(unbuildable)
	if !ok {
		if len(want) > 0 {
			t.Errorf("no faults, want %q", want)
		}
		return
	}
	if len(want) == 0 {
		t.Errorf("faults: %v", broken.err)
	}
	for _, text := range want {
		if !strings.Contains(broken.err.Error(), text) {
			t.Errorf("faults do not say %q: %v", text, broken.err)
		}
	}
	if strings.Contains(broken.err.Error(), "h1dden") {
		t.Error("the faults hold a secret")
	}
}

// checkFuzzedCase checks what a desk made of an answer that nobody vouches for.
func checkFuzzedCase(t *testing.T, c desk.Case, err error, key string) {
	t.Helper()
	switch {
	case err != nil && (len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\n\x1b\x00") || !strings.Contains(err.Error(), "desk-under-test")):
		t.Errorf("error %q", err)
	case err == nil && (c.Ref == "" || c.Number == "" || len(c.Ref) > 300 || len(c.Number) > 300 || c.State == incident.CaseWanted || c.Priority > incident.P4):
		t.Errorf("case %+v", c)
	case err == nil && key != "" && c.Key != key:
		t.Errorf("key %q", c.Key)
	}
}

// checkFuzzedSteps checks that steps rise and say who.
func checkFuzzedSteps(t *testing.T, steps []incident.Transition) {
	t.Helper()
	for i, s := range steps {
		if s.Actor == "" || len(s.Actor) > 200 || len(s.Text) > 5000 || i > 0 && !s.At.After(steps[i-1].At) {
			t.Errorf("step %d: %+v", i, s)
		}
	}
}

// must returns what a call returned with its error, which fails the test.
func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// What an administrator copies from a desk's page is a valid configuration.
func TestDeskPagesShowValidConfigurations(t *testing.T) {
	for _, kind := range []string{"zammad", "topdesk", "pagerduty"} {
		page, err := os.ReadFile("../../docs/desk-" + kind + ".md")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(page), "```yaml\n")
		block, _, ok := strings.Cut(rest, "```")
		file := "tenant: { id: acme }\ncomponents:\n  - name: web\n    probes: [{ kind: tcp, address: 'acme.example:443' }]\n" + block
		if _, err := config.Parse(kind+".yaml", []byte(file), func(string) (string, bool) { return "s3cret", true }); err != nil || !ok {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestCasesOfOneSecondAreOrderedAsTheyWereMade(t *testing.T) {
	at := time.Unix(1_764_000_000, 0)
	want := []desk.Case{ // identities fall
		{Ref: "e", Number: "INC0099", Created: at},
		{Ref: "d", Number: "SOC-99", Created: at.Add(time.Second)},
		{Ref: "c", Number: "SOC-100", Created: at.Add(time.Second)},
		{Ref: "b", Number: "SOC-101", Created: at.Add(time.Second)},
		{Ref: "9", Created: at.Add(2 * time.Second)},
		{Ref: "10", Created: at.Add(2 * time.Second)},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, desk.Older)
	if !slices.Equal(got, want) {
		t.Errorf("ordered as %v, want %v", got, want)
	}
}
