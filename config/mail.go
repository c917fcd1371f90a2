package config

import (
	"fmt"

	"github.com/firstcall-agent/firstcall/incident/smtp"
)

// mailKeys are the keys of a mail server that say nothing where there is no smtp beside them.
var mailKeys = []string{"user", "password", "starttls", "ca_file", "helo", "timeout"}

// mailer is an entry that sends mails, and where it stands.
type mailer struct {
	path   string
	server *smtp.Server
}

// mail gives every e-mail desk and notifier without a server of its own the one of the first e-mail notifier that has one.
func (d *decoder) mail(c *Config) {
	var all []mailer
	add := func(path string, builder any) {
		if m, ok := builder.(smtp.Mailer); ok {
			all = append(all, mailer{path, m.MailServer()})
		}
	}
	for i, n := range c.Notices {
		add(fmt.Sprintf("notices[%d]", i), n.Builder)
	}
	notifiers := len(all)
	for i, k := range c.Desks {
		add(fmt.Sprintf("desks[%d]", i), k.Builder)
	}
	var shared *smtp.Server
	for _, m := range all[:notifiers] {
		if d.given(m.path + ".smtp") {
			shared = m.server
			break
		}
	}
	for _, m := range all {
		d.mailServer(m, shared)
	}
}

// mailServer completes one entry.
func (d *decoder) mailServer(m mailer, shared *smtp.Server) {
	if d.given(m.path + ".smtp") {
		d.check(m.server.From != "", m.path+".from", "the sender, such as firstcall@operations.example", "is missing")
		return
	}
	own := false
	for _, key := range mailKeys {
		if at := m.path + "." + key; d.given(at) || d.given(at+fileSuffix) {
			own = true
			d.check(shared == nil, at, "give smtp as well, or leave it out", "has no effect without smtp: the first e-mail notifier's server is used, with its log-on")
		}
	}
	if shared == nil || own {
		d.check(shared != nil, m.path+".smtp", "smtp://smtp.example:587; or give it to a notifier of kind email, whose server the others use", "is missing")
		return
	}
	*m.server = shared.Shared(m.server.From)
}
