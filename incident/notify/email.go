package notify

import (
	"cmp"
	"context"
	"fmt"
	netmail "net/mail"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/smtp"
)

func init() {
	Register(Kind{
		Name: "email",
		Doc:  "Mails by SMTP; the server's answer is kept as proof.",
		New:  func() Builder { return &Email{} },
	})
}

// Email is the configuration of mails by SMTP (RFC 5321).
type Email struct {
	smtp.Server
}

// Build returns the notifier.
func (e *Email) Build(env Env) (Notifier, error) {
	client, err := smtp.New(e.Server, env.Now)
	if err != nil {
		return nil, fmt.Errorf("notifier %q: %w", env.Name, err)
	}
	return &email{name: env.Name, tenant: env.Tenant, client: client}, nil
}

// email implements Notifier.
type email struct {
	name, tenant string
	client       *smtp.Client
}

// Send delivers the mail to the server in one session. A recipient that the server refuses for good does not keep the mail
// from the others: the proof names it. After any other refusal nothing was sent.
func (e *email) Send(ctx context.Context, m Message) (string, error) {
	to, err := e.recipients(m)
	if err != nil {
		return "", err
	}
	proof, err := e.client.Send(ctx, e.mail(m, to))
	if err != nil {
		return "", fmt.Errorf("notifier %q: %w", e.name, err)
	}
	return proof, nil
}

func (e *email) recipients(m Message) ([]*netmail.Address, error) {
	var to []*netmail.Address
	for _, c := range m.To {
		a, err := smtp.Address(c.Email)
		if err != nil {
			return nil, fail(e.name, true, nil, nil, "the address %q of %q cannot be used: correct it in the contacts", secret.Plain(c.Email, 80), secret.Plain(c.Name, 80))
		}
		to = append(to, &netmail.Address{Name: cmp.Or(secret.Plain(c.Name, 80), a.Name), Address: a.Address})
	}
	if len(to) == 0 {
		return nil, fail(e.name, true, nil, nil, "it has nobody to send to: set to, and the e-mail addresses of the tenant's contacts")
	}
	return to, nil
}

// mail returns the message with the headers by which mail programs and people tell and sort the agent's mails.
func (e *email) mail(m Message, to []*netmail.Address) smtp.Mail {
	mail := smtp.Mail{
		ID: smtp.MessageID(e.tenant, "notice", m.ID), To: to, Subject: m.Subject, Text: m.Text, HTML: m.HTML,
		Date: m.Date, Priority: m.Priority, Bulk: true, Headers: map[string]string{"X-Firstcall-Notice": m.ID},
	}
	if m.Thread != "" {
		mail.Answers = smtp.MessageID(e.tenant, "incident", m.Thread)
		mail.Headers["X-Firstcall-Incident"] = m.Thread
	}
	return mail
}
