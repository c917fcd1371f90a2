package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// parsed returns a configuration that must be without fault.
func parsed(t *testing.T, name, data string) *Config {
	t.Helper()
	c, err := Parse(name, []byte(data), environment)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const head = "tenant: { id: acme }\n"

// only returns the struct of the first probe of a configuration with nothing but these keys in it.
func only(t *testing.T, keys string) *testProbe {
	t.Helper()
	c := parsed(t, filepath.Join(t.TempDir(), "firstcall.yaml"), head+"components:\n  - name: web\n    probes:\n      - kind: test\n"+indent(keys))
	probe, ok := c.AllProbes()[0].Probe.(*testProbe)
	if !ok {
		t.Fatalf("the probe is a %T", c.AllProbes()[0].Probe)
	}
	return probe
}

func indent(keys string) string {
	return "        " + strings.ReplaceAll(strings.TrimSpace(keys), "\n", "\n        ") + "\n"
}

func TestDefaultsFillWhatIsNotGiven(t *testing.T) {
	dir := t.TempDir()
	c := parsed(t, filepath.Join(dir, "firstcall.yaml"), head+"components: [{ name: web, probes: [{ kind: hint }] }]\n")
	p := c.AllProbes()[0]
	host, _ := os.Hostname()
	for _, check := range []struct{ name, got, want any }{
		{"tenant.name", c.Tenant.Name, "acme"},
		{"time zone", c.Tenant.Zone, time.UTC},
		{"language", c.Tenant.Language, "en"},
		{"reaction", c.Level().Reaction, [5]time.Duration{0, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour}},
		{"status_for", fmt.Sprintf("%v", c.ServiceLevel.StatusFor), "[P1 P2 P3]"},
		{"phone", c.OperationsCentre.Phone, "+45 33 36 63 00"},
		{"essential", c.Components[0].Essential, true},
		{"interval", p.Interval, 30 * time.Second},
		{"timeout", p.Timeout, 5 * time.Second},
		{"id", p.ID, "web/hint"},
		{"role of the only probe", p.Role, "deciding"},
		{"desk", c.Desks[0].Name + c.Desks[0].Kind, "builtinbuiltin"},
		{"has a builder", c.Desks[0].Builder != nil, true},
		{"store", c.Store.URL.Reveal(), "sqlite:" + filepath.Join(dir, "firstcall.db")},
		{"listen", c.Web.Listen, "127.0.0.1:9797"},
		{"vantage", c.Vantage, host},
		{"heartbeat", c.Heartbeat, (*Heartbeat)(nil)},
		{"rechecks", c.Detection.Rechecks, 3},
		{"redundancy lost", c.Policy.RedundancyLost, incident.P3},
		{"quorum", c.Quorum, policy.Quorum{AloneFor: 15 * time.Minute}},
	} {
		if diff := cmp.Diff(check.want, check.got, cmp.Comparer(func(a, b *time.Location) bool { return a == b })); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", check.name, diff)
		}
	}
}

func TestEveryTypeIsDecoded(t *testing.T) {
	p := only(t, `
address: "${ADDRESS}"
password: |
  two
  lines
headers: { Authorization: Bearer x, X-Two: "${SECRET}" }
tags: { a: b, "c d": "é" }
status: [200, -1]
codes: [7]
words: [one, two]
depth: tcp
count: -0
size: "${PORT}"
ratio: 1e3
fast: "${YES}"
maybe: false
within: 1d12h30m
level: p1
expect: { body: '$${NOT_SET}' }
extra: {}
steps:
  - { run: "${TEXT}", token: x }
  - { run: "$$${TEXT}", token: y }
by_name: { first: { run: a, token: "${SECRET}" } }
proxy: before ${PORT} after`)
	no := false
	want := &testProbe{
		transport: transport{Proxy: "before ${PORT} after"},
		Address:   "app01.example:443",
		Password:  secret.New("two\nlines\n"),
		Headers:   map[string]secret.Value{"Authorization": secret.New("Bearer x"), "X-Two": secret.New("hunter2-from-env")},
		Tags:      map[string]string{"a": "b", "c d": "é"},
		Status:    []int{200, -1}, Codes: []uint8{7}, Words: Supported{"one", "two"}, Depth: "tcp",
		Size: 8443, Ratio: 1000, Fast: true, Maybe: &no, Within: 36*time.Hour + 30*time.Minute, Level: incident.P1,
		Expect: testExpect{Body: "${NOT_SET}", Count: 7}, Extra: &testExpect{Count: 7},
		Steps:  []testStep{{Run: "not a number", Token: secret.New("x")}, {Run: "$${TEXT}", Token: secret.New("y")}},
		ByName: map[string]testStep{"first": {Run: "a", Token: secret.New("hunter2-from-env")}},
	}
	if diff := cmp.Diff(want, p, revealed, cmp.AllowUnexported(testProbe{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

var revealed = cmp.Comparer(func(a, b secret.Value) bool { return a.Reveal() == b.Reveal() })

func TestDefaultsOfAKind(t *testing.T) {
	want := &testProbe{Address: "a:1", Codes: []uint8{1, 2}, Words: Supported{"all"}, Depth: "tls", Count: 3, Ratio: 0.5, Within: 21 * 24 * time.Hour, Level: incident.P3, Expect: testExpect{Count: 7}}
	if diff := cmp.Diff(want, only(t, "address: a:1"), revealed, cmp.AllowUnexported(testProbe{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := only(t, "address: a:1\nwords: single").Words; len(got) != 1 || got[0] != "single" {
		t.Errorf("a list that may be one word is %v", got)
	}
}

func TestSecretFilesLieBesideTheFileAndLoseTheirLastLineBreak(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secrets", "pw"), []byte("hunter2 \r\n\n"))
	write(t, filepath.Join(dir, "firstcall.yaml"), []byte(head+"components: [{ name: web, probes: [{ kind: test, address: a, password_file: secrets/pw, ca_file: ca.pem }] }]\nheartbeat: { url_file: hb }\nweb: { config_file: web.yaml }\n"))
	write(t, filepath.Join(dir, "hb"), []byte("https://hc.example/x\n"))
	c, err := Load(filepath.Join(dir, "firstcall.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p := c.AllProbes()[0].Probe.(*testProbe)
	if p.Password.Reveal() != "hunter2 " || c.Heartbeat.URL.Reveal() != "https://hc.example/x" {
		t.Errorf("secrets are %q and %q", p.Password.Reveal(), c.Heartbeat.URL.Reveal())
	}
	if p.CAFile != filepath.Join(dir, "ca.pem") || c.Web.ConfigFile != filepath.Join(dir, "web.yaml") {
		t.Errorf("paths are %s and %s", p.CAFile, c.Web.ConfigFile)
	}
	before := c.Digest
	write(t, filepath.Join(dir, "secrets", "pw"), []byte("hunter3\n"))
	if c, err = Load(filepath.Join(dir, "firstcall.yaml")); err != nil || c.Digest == before {
		t.Errorf("the digest does not see a changed secret: %v", err)
	}
	write(t, filepath.Join(dir, "secrets", "pw"), []byte("hunter2 \r\n\n"))
	if c, err = Load(filepath.Join(dir, "firstcall.yaml")); err != nil || c.Digest != before {
		t.Errorf("the digest of the same content differs: %v", err)
	}
}

const whole = `
tenant: { id: acme, name: ACME A/S, time_zone: Europe/Copenhagen, contacts: { customer: { email: it@acme.example }, on_call: { name: O } } }
service_level: { supported: ["Mon-Fri 08:00-16:00"], holidays: DK, reaction: { p1: 10m } }
witnesses:
  - { kind: named, name: Login.Example. }
  - { kind: named, name: login.example }
  - { kind: hint }
defaults: { interval: 2s }
components:
  - name: backend
    instances:
      - name: app01
        probes:
          - { kind: hint }
          - { kind: test, address: a, limits: { total: 1s, dns: 500ms } }
      - { name: app02, probes: [{ kind: hint }, { kind: hint, name: second }] }
  - name: web-client
    essential: false
    depends_on: [backend]
    probes: [{ kind: test, name: one, address: b, role: evidence }, { kind: hint, role: deciding, schedule: "*/5 * * * *", timeout: 5m }]
maintenance:
  - { name: patching, schedule: "0 22 * * SUN", duration: 4h, components: [backend] }
desks: [{ name: soc, kind: test, url: "https://soc.example/x" }]
notices:
  - { name: customer, kind: email, to: [customer, boss@acme.example], smtp: "smtp://localhost:25", from: "a@b.example" }
  - { name: room, kind: test, to: [on_call], priorities: [p1, p2] }
`

func TestViews(t *testing.T) {
	c := parsed(t, "firstcall.yaml", whole)
	want := policy.Solution{
		Tenant: "acme", Witnesses: []string{"witness/login.example", "witness/login.example-2", "witness/hint"},
		Components: []policy.Component{
			{Name: "backend", Essential: true, Instances: []policy.Instance{
				{Name: "app01", Probes: []policy.Probe{{ID: "backend/app01/hint", Kind: "hint"}, {ID: "backend/app01/test", Kind: "test", Deciding: true}}},
				{Name: "app02", Probes: []policy.Probe{{ID: "backend/app02/hint", Kind: "hint", Deciding: true}, {ID: "backend/app02/second", Kind: "hint", Deciding: true}}},
			}},
			{Name: "web-client", DependsOn: []string{"backend"}, Instances: []policy.Instance{
				{Name: "web-client", Probes: []policy.Probe{{ID: "web-client/one", Kind: "test"}, {ID: "web-client/hint", Kind: "hint", Deciding: true}}},
			}},
		},
	}
	if diff := cmp.Diff(want, c.Solution()); diff != "" {
		t.Errorf("Solution (-want +got)\n%s", diff)
	}
	limits := map[string][]detect.Limit{"backend/app01/test": {{Phase: "dns", Max: 500 * time.Millisecond}, {Phase: "total", Max: time.Second}}}
	if diff := cmp.Diff(limits, c.Limits()); diff != "" {
		t.Errorf("Limits (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]detect.Threshold{}, c.Thresholds()); diff != "" {
		t.Errorf("Thresholds (-want +got)\n%s", diff)
	}
	all := c.AllProbes()
	if len(all) != 9 || all[8].ID != "witness/hint" {
		t.Errorf("%d probes, the last is %s", len(all), all[len(all)-1].ID)
	}
	if p := all[0]; p.Interval != 2*time.Second || p.Timeout != 2*time.Second {
		t.Errorf("a default timeout longer than the interval became %s every %s", p.Timeout, p.Interval)
	}
	if p := all[5]; p.Cron == nil || p.Interval != 0 || p.Timeout != 5*time.Minute {
		t.Errorf("by the clock: %+v", p)
	}
	windows := c.Windows()
	sunday := time.Date(2024, 7, 7, 20, 30, 0, 0, time.UTC) // 22:30 in Copenhagen
	if _, _, open := windows[0].Active(sunday, c.Tenant.Zone); !open || !windows[0].Covers("backend") || windows[0].Covers("web-client") {
		t.Errorf("the window is not open on Sunday at 22:30 in the tenant's zone: %+v", windows)
	}
	level := c.Level()
	if got, want := level.Commencement(time.Date(2024, 7, 6, 12, 0, 0, 0, time.UTC)), time.Date(2024, 7, 8, 6, 0, 0, 0, time.UTC); !got.Equal(want) || level.Reaction[1] != 10*time.Minute {
		t.Errorf("a case of Saturday commences %s, want %s; reaction %v", got, want, level.Reaction)
	}
	recipients := []Recipient{{Role: "customer", Contact: incident.Contact{Email: "it@acme.example"}}, {Contact: incident.Contact{Email: "boss@acme.example"}}}
	if diff := cmp.Diff(recipients, c.Notices[0].Recipients); diff != "" {
		t.Errorf("Recipients (-want +got)\n%s", diff)
	}
}

// TestLimitsOfNumbers states how numbers are written, and that a key of the kind's own means the same as limits, which goes first.
func TestLimitsOfNumbers(t *testing.T) {
	for keys, want := range map[string]map[string]float64{
		"":                                      {"free": 5},
		"free_above: 7":                         {"free": 7},
		"free_above: 0":                         nil,
		"limits: { free: 2.5 }":                 {"free": 2.5},
		"limits: { sessions: 90%, dns: 1s }":    {"free": 5, "sessions": 90},
		"limits: { sessions: 90 }":              {"free": 5, "sessions": 90},
		`limits: { sessions: "99.5 %" }`:        {"free": 5, "sessions": 99.5},
		`limits: { sessions: "${FIVE}" }`:       {"free": 5, "sessions": 5},
		"free_above: 0\nlimits: { disks: 1e3 }": {"disks": 1000},
	} {
		c, err := Parse("firstcall.yaml", []byte(head+"components:\n  - name: web\n    probes:\n      - kind: pool\n"+indent(keys)), func(string) (string, bool) { return "5", true })
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, c.AllProbes()[0].Thresholds); diff != "" {
			t.Errorf("%s (-want +got)\n%s", keys, diff)
		}
		for _, l := range c.Thresholds()["web/pool"] {
			if l.Limit != want[l.Name] || l.Name == "sessions" && l.Full != 100 {
				t.Errorf("%s: %+v", keys, l)
			}
		}
	}
	c := parsed(t, "firstcall.yaml", head+"components: [{ name: web, probes: [{ kind: tls, address: \"a:1\" }] }]\n")
	if got := c.Thresholds()["web/tls"]; len(got) != 1 || got[0].Limit != 21 || got[0].Name != probes.CertificateDays {
		t.Errorf("the default of expires_within: %+v", got)
	}
}

func TestByteOrderMarkAndWindowsLineEndsAreRead(t *testing.T) {
	data := "\ufeff" + strings.ReplaceAll(whole, "\n", "\r\n")
	if c := parsed(t, "firstcall.yaml", data); c.Tenant.Name != "ACME A/S" {
		t.Errorf("tenant is %q", c.Tenant.Name)
	}
	_, err := Parse("firstcall.yaml", []byte("\ufefftenant: { idd: x }\r\n"), environment)
	if err == nil || !strings.Contains(err.Error(), "firstcall.yaml:1:11: tenant.idd: unknown key\n  1 | tenant: { idd: … }\n    |           ^\n") {
		t.Errorf("got %v", err)
	}
}

func TestHugeFilesAreRefused(t *testing.T) {
	for name, data := range map[string]string{
		"larger than":    strings.Repeat("# x\n", maxFile/4+1),
		"words and sign": head + "x: " + strings.Repeat("[a, b, c, d],\n", maxSymbols/8),
		"not UTF-8":      head + "x: \xff\n",
		"nested deeper":  strings.Repeat("- ", 200) + "x\n",
	} {
		_, err := Parse("firstcall.yaml", []byte(data), environment)
		var faults Faults
		if !errors.As(err, &faults) || !strings.Contains(faults[0].Message, name) {
			t.Errorf("want %q, got %.300v", name, err)
		}
	}
}

// TestNoSecretIsPrinted looks for secrets of every origin in every form that a configuration can be printed in.
func TestNoSecretIsPrinted(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pw"), []byte("hunter2-from-file\n"))
	c := parsed(t, filepath.Join(dir, "firstcall.yaml"), head+`
components:
  - name: web
    probes:
      - { kind: test, address: a, password: hunter2-literal, headers: { A: "hunter2\tescaped" }, steps: [{ run: x, token_file: pw }], by_name: { a: { run: x, token: "${SECRET}" } } }
desks: [{ name: d, kind: test, url: "https://x.example/hunter2" }]
heartbeat: { url: "https://x.example/hunter2" }
web: { token: hunter2 }
`)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c.Components)
	if err != nil {
		t.Fatal(err)
	}
	p := c.AllProbes()[0]
	all := fmt.Sprintf("%v\n%+v\n%#v\n%+v\n%#v\n%+v\n%s\n%s", c, c, c, p.Probe, p, c.Desks[0].Builder, asJSON, asYAML)
	if i := strings.Index(all, "hunter2"); i >= 0 {
		t.Errorf("…%s…", all[max(0, i-100):min(len(all), i+100)])
	}
	if !strings.Contains(all, secret.Mask) {
		t.Error("nothing was masked: the test looks in the wrong place")
	}
}

func TestShort(t *testing.T) {
	for _, text := range []string{"0s", "100ms", "1s", "1m", "1m30s", "1h", "1h30m", "1h0m5s", "1d", "7d", "25h"} {
		d, err := parseDuration(text)
		if err != nil || short(d) != text {
			t.Errorf("short(%q) = %q, %v", text, short(d), err)
		}
	}
}

// TestManyDependenciesAreQuick would not end if the search for circles went every way instead of to every component.
func TestManyDependenciesAreQuick(t *testing.T) {
	var data strings.Builder
	data.WriteString(head + "components:\n")
	for i := range 300 {
		fmt.Fprintf(&data, "  - { name: c%d, probes: [{ kind: hint }], depends_on: [", i)
		for j := i + 1; j < min(300, i+30); j++ {
			fmt.Fprintf(&data, "c%d, ", j)
		}
		data.WriteString("] }\n")
	}
	parsed(t, "firstcall.yaml", data.String())
}

// Danish public holidays are no supported time unless another country, or none, is given; 24x7 knows none.
func TestHolidaysOfTheServiceLevel(t *testing.T) {
	christmas := time.Date(2026, 12, 25, 10, 0, 0, 0, time.UTC) // a Friday; no holiday of its own in 24x7
	july := time.Date(2025, 7, 4, 16, 0, 0, 0, time.UTC)        // a Friday, a holiday in the United States
	for _, c := range []struct {
		level           string
		christmas, july bool
	}{
		{`{ supported: ["Mon-Fri 08:00-17:00"] }`, false, true},
		{`{ supported: ["Mon-Fri 08:00-17:00"], holidays: none }`, true, true},
		{`{ supported: ["Mon-Fri 08:00-17:00"], holidays: US }`, false, false},
		{`{ supported: 24x7 }`, true, true},
		{`{ supported: 24x7, holidays: none }`, true, true},
	} {
		config := parsed(t, "firstcall.yaml", "tenant: { id: acme }\nservice_level: "+c.level+"\ncomponents: [{ name: web, probes: [{ kind: test, address: \"a:1\" }] }]\n")
		calendar := config.ServiceLevel.Calendar
		if calendar.Contains(christmas) != c.christmas || calendar.Contains(july) != c.july {
			t.Errorf("%s: Christmas %t, the fourth of July %t", c.level, calendar.Contains(christmas), calendar.Contains(july))
		}
	}
}

// A text may be written out or lie in a file beside the configuration; a change of the file is a change of the configuration.
func TestTextFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "queries", "one.xml"), []byte("<Query/>\n"))
	load := func(text string) (string, string) {
		c, err := Parse(filepath.Join(dir, "firstcall.yaml"), []byte(head+"components: [{ name: web, probes: [{ kind: test, address: \"a:1\", text: "+text+" }] }]\n"), environment)
		if err != nil {
			t.Fatal(err)
		}
		return c.AllProbes()[0].Probe.(*testProbe).Text, c.Digest
	}
	for given, want := range map[string]string{`"<Query>a/b</Query>"`: "<Query>a/b</Query>", `" { }"`: " { }", "queries/one.xml": "<Query/>", filepath.Join(dir, "queries", "one.xml"): "<Query/>"} {
		if got, _ := load(given); got != want {
			t.Errorf("%s is %q, want %q", given, got, want)
		}
	}
	_, before := load("queries/one.xml")
	write(t, filepath.Join(dir, "queries", "one.xml"), []byte("<Query>2</Query>\n"))
	if text, after := load("queries/one.xml"); text != "<Query>2</Query>" || before == after {
		t.Errorf("after a change it is %q, digest %s and %s", text, before, after)
	}
}
