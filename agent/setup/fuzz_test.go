package setup_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/setup"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/probes"
)

// FuzzAnswers states that any answers, whatever the targets show, become a configuration that passes the check and says what was
// answered, or a fault.
func FuzzAnswers(f *testing.F) {
	f.Add("acme", "ACME A/S", "Europe/Copenhagen", "https://acme.example/", "acme-app01.example", "IT <it@acme.example>", "probe", "a title", "HOST")
	f.Add("a", "${HOME}", "UTC", "acme.example", "[::1]:3389", "\"a, b\" <a@b.example>", "$${X}", "true", "0x10")
	f.Add("acme", "# no comment: really", "UTC", "http://a/#x", "h", "a: b <a@b.example>", "'", "- {a: [b]}", "~")
	f.Add("1", "\u2028\\\"", "UTC", "https://a/?b={c}", "1.2.3.4", "<a@b.example>", "null", "\x85\xa0", "\ufeff")
	f.Fuzz(func(t *testing.T, tenant, name, zone, address, host, contact, user, title, told string) {
		a := setup.Answers{
			Tenant: tenant, Name: name, TimeZone: zone, URLs: []string{address, "https://a.example/"}, PerfionAPIs: []string{"https://b.example"}, RDP: []string{host},
			PerfionUser: user, Customer: contact, SMTP: "smtp.example", MailFrom: "a@b.example", SMTPUser: user,
		}.Normal()
		if len(a.Missing()) > 0 || len(a.Check()) > 0 {
			return
		}
		var found setup.Findings
		if title != "" {
			found = setup.Findings{
				"http " + a.URLs[0]:      up(time.Second, "status", "200 OK", "title", title, "url", title),
				"http-body " + a.URLs[0]: up(0),
				"icmp a.example":         down(probes.Timeout, told),
			}
			if len(a.RDP) > 0 {
				found["rdp "+a.RDP[0]] = up(time.Second, "security", title, "host", told)
			}
		}
		plan, err := setup.Propose("firstcall.yaml", a, found)
		if faults, ok := errors.AsType[config.Faults](err); ok {
			// What a target says of itself never makes a fault; what was answered may, where no check of it alone can tell.
			if _, err := setup.Propose("firstcall.yaml", a, nil); err == nil {
				t.Fatalf("%v\nfor %+v, %q, %q", faults, a, title, told)
			}
			return
		}
		c := sound(t, plan.Text, plan.Secrets)
		if strings.TrimSpace(name) != "" && c.Tenant.Name != a.Name {
			t.Errorf("the name %q became %q", a.Name, c.Tenant.Name)
		}
		for _, p := range c.AllProbes() {
			if h, ok := p.Probe.(*probes.HTTP); ok && p.ID == "web-client/http" && h.URL != a.URLs[0] {
				t.Errorf("the address %q became %q", a.URLs[0], h.URL)
			}
			if h, ok := p.Probe.(*probes.Perfion); ok && h.User != user && user != "" {
				t.Errorf("the user %q became %q", user, h.User)
			}
		}
	})
}

// FuzzQuote states that a text is read as that text.
func FuzzQuote(f *testing.F) {
	for _, text := range []string{"", "a", "true", "a: b", "a #b", "${A}", "$${A}", "$$${A}", `\`, `"`, "'", "\t\n\r\x00\x7f", "æ", "- a", "1e3", "0x1", "2026-11-02", "a\u2028b", "=", "<<"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || strings.ToValidUTF8(text, "") != text || len(text) > 1000 {
			return
		}
		body := "tenant: { id: a }\ncomponents: [{ name: a, probes: [{ kind: http, url: \"http://a/\", reject_body: " + setup.Quote(text) + " }] }]\n"
		c, err := config.Parse("a.yaml", []byte(body), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if got := c.AllProbes()[0].Probe.(*probes.HTTP).RejectBody; got != text {
			t.Errorf("%q became %q, written as %s", text, got, setup.Quote(text))
		}
	})
}
