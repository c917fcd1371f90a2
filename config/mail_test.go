package config

import (
	"path/filepath"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/smtp"
)

// An entry without a server of its own has that of the first e-mail notifier that has one, with its log-on; a sender of its own stays.
func TestMailsWithoutAServerShareTheFirst(t *testing.T) {
	c := parsed(t, filepath.Join(t.TempDir(), "firstcall.yaml"), head+`components: [{ name: web, probes: [{ kind: hint }] }]
desks:
  - { name: soc, kind: builtin }
  - { name: mailbox, kind: email, to: soc@operations.example, fallback_after: 5m }
  - { name: own, kind: email, to: [soc@operations.example, night@operations.example], from: own@operations.example }
  - { name: apart, kind: email, to: soc@operations.example, smtp: "smtp://apart.example:25", from: apart@operations.example }
notices:
  - { name: late, kind: email, to: [a@b.example] }
  - { name: first, kind: email, to: [a@b.example], smtp: "smtp://first.example:587", user: firstcall, password: hidden, from: first@operations.example, timeout: 7s }
  - { name: second, kind: email, to: [a@b.example], smtp: "smtp://second.example:587", from: second@operations.example }
`)
	server := func(builder any) smtp.Server {
		m, ok := builder.(smtp.Mailer)
		if !ok {
			t.Fatalf("%T sends no mails", builder)
		}
		return *m.MailServer()
	}
	for name, got := range map[string]struct {
		server     smtp.Server
		smtp, from string
		logsOn     bool
	}{
		"mailbox": {server(c.Desks[1].Builder), "smtp://first.example:587", "first@operations.example", true},
		"own":     {server(c.Desks[2].Builder), "smtp://first.example:587", "own@operations.example", true},
		"apart":   {server(c.Desks[3].Builder), "smtp://apart.example:25", "apart@operations.example", false},
		"late":    {server(c.Notices[0].Builder), "smtp://first.example:587", "first@operations.example", true},
		"second":  {server(c.Notices[2].Builder), "smtp://second.example:587", "second@operations.example", false},
	} {
		s := got.server
		if s.SMTP != got.smtp || s.From != got.from || got.logsOn != (s.User == "firstcall" && s.Password.Reveal() == "hidden" && s.Timeout.Seconds() == 7) {
			t.Errorf("%s: %s from %s as %q", name, s.SMTP, s.From, s.User)
		}
	}
}
