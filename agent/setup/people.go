package setup

import (
	"fmt"
	"strings"

	"github.com/firstcall-agent/firstcall/incident/desk"
)

// secretsNote says how a file of a secret is made.
const secretsNote = "Each ..._file is a file beside this one that holds the secret and nothing else, readable for the agent only: " +
	"install -d -m 700 secrets, then put it into a file of mode 600. docs/configuration.md#secrets-and-variables"

func (p *page) desks(a Answers) {
	if a.Desk == Builtin {
		p.say(0, "Where cases are opened. Nothing stands here, so the built-in desk has them: with numbers, acknowledgement and history, on the "+
			"agent's own page and in 'firstcall cases'. A ticket system of the Operations Centre goes here, and nothing else changes: docs/configuration.md#desks")
		p.line(0, `# desks: [{ name: soc, kind: servicenow, ... }]`, "")
		p.blank()
		return
	}
	p.say(0, "Where cases are opened. Try it before you rely on it: 'firstcall desk test soc' opens, reads, updates and resolves one case.")
	kind, _ := desk.Lookup(a.Desk)
	keys := []key{{name: "name", value: "soc"}, {name: "kind", value: a.Desk, note: "docs/configuration.md#desk-" + a.Desk}}
	for _, s := range specs(kind) {
		value := a.deskValue(s.Key)
		switch wanted := isWanted(a, s.Key); {
		case isSecret(s) && (value != "" || wanted):
			if value == "" {
				value = "secrets/soc-" + strings.ReplaceAll(s.Key, "_", "-")
			}
			if s.Key == "password" && a.Desk == "email" {
				value = smtpSecret
			}
			keys = append(keys, hidden(s.Key, value, s.Key+" of the desk soc"))
		case value != "":
			keys = append(keys, text(s.Key, value))
		}
	}
	p.line(0, "desks:", "")
	p.entry(2, entry{keys: keys})
	p.blank()
}

// isWanted reports whether a desk needs the secret although nobody said anything of it.
func isWanted(a Answers, key string) bool {
	switch a.Desk {
	case "email", "alertmanager":
		return key == "password" && a.deskValue("user") != ""
	case "servicenow":
		return key == "client_secret" && a.deskValue("client_id") != "" || key == "password" && a.deskValue("user") != ""
	}
	for _, k := range a.DeskQuestions() {
		if k.Key == key && !k.Optional {
			return true
		}
	}
	return false
}

// smtpSecret is the file with the password for the mail server.
const smtpSecret = "secrets/smtp"

func (p *page) notices(a Answers) {
	to := a.mails()
	if len(to) == 0 {
		p.say(0, "Who is told, and how. Nobody is: give a mail server for the customer's mails, a chat or a telephone for the engineer on call. "+
			"docs/configuration.md#notices")
		p.line(0, `# notices: [{ name: customer, kind: email, to: [customer], smtp: "smtp://HOST:587", from: "firstcall@HOST" }]`, "")
		p.blank()
		return
	}
	p.say(0, "Who is told, and how: docs/configuration.md#notices has chat, telephone and desktop too.")
	p.line(0, "notices:", "")
	for _, role := range to {
		keys := []key{{name: "name", value: strings.ReplaceAll(role, "_", "-")}, {name: "kind", value: "email"}, {name: "to", value: "[" + role + "]"}}
		say := "The contract's mails: when the case exists, a status every 30 minutes, and when it is over."
		if role == "on_call" {
			say = "What cannot wait."
			keys = append(keys, key{name: "priorities", value: "[p1, p2]"})
		}
		keys = append(keys, text("smtp", a.SMTP), text("from", a.MailFrom))
		if a.SMTPUser != "" {
			keys = append(keys, text("user", a.SMTPUser), hidden("password", smtpSecret, fmt.Sprintf("password of %s at the mail server", a.SMTPUser)))
		}
		p.entry(2, entry{say: []string{say}, keys: keys})
	}
	p.blank()
}

// rest is what has a default and is often changed.
func (p *page) rest() {
	p.say(0, "Everything else has a default. What is often added:")
	p.blank()
	p.line(0, `# maintenance: [{ name: patching, schedule: "0 22 * * SUN", duration: 4h }]`, "weekly windows in which no case is opened, in the customer's zone")
	p.line(0, `# heartbeat: { url_file: secrets/heartbeat, every: 1m }`, "an outside watchdog that notices when this agent falls silent")
	p.line(0, `# web: { listen: "127.0.0.1:9797" }`, "the status page; config_file brings TLS and log-in")
	p.line(0, `# store: { url: "sqlite:firstcall.db" }`, "beside this file; docs/operations.md runs it as a service")
}
