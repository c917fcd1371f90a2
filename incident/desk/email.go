package desk

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	netmail "net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/smtp"
)

func init() {
	Register(Kind{
		Name: "email",
		Doc:  "Cases as threads of mails, for an Operations Centre that takes nothing else; docs/desk-email.md says what to expect.",
		New:  func() Builder { return &Email{} },
	})
}

// Email is the configuration of cases by mail.
type Email struct {
	To field.Words `yaml:"to" required:"true" doc:"Mailbox of the Operations Centre: one address, several with commas between them, or a list."`
	CC field.Words `yaml:"cc" doc:"Addresses that get a copy, as to."`
	smtp.Server
}

// maxMailboxes is how many addresses a case may go to.
const maxMailboxes = 20

// Validate reports every fault of the configuration.
func (e *Email) Validate() field.Errors {
	var faults field.Errors
	for _, list := range []struct {
		key   string
		words field.Words
	}{{"to", e.To}, {"cc", e.CC}} {
		switch all, err := addresses(list.words); {
		case err != nil:
			faults.AddHint(list.key, "soc@operations.example", "%v", err)
		case len(all) > maxMailboxes:
			faults.Add(list.key, "has %d addresses: at most %d are allowed", len(all), maxMailboxes)
		case len(all) == 0 && len(list.words) > 0: // none is for required to report
			faults.AddHint(list.key, "soc@operations.example", "holds no address")
		}
	}
	return append(faults, e.Server.Validate()...)
}

// addresses parses the entries of a list, each of which may hold several.
func addresses(list field.Words) ([]*netmail.Address, error) {
	var all []*netmail.Address
	for _, text := range list {
		some, err := smtp.Addresses(text)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Build returns the desk.
func (e *Email) Build(env Env) (Desk, error) {
	d := &email{name: env.Name, tenant: env.Tenant, now: env.Now}
	if d.now == nil {
		d.now = time.Now
	}
	var err error
	if d.to, err = addresses(e.To); err != nil {
		return nil, fmt.Errorf("desk %q: to %w", env.Name, err)
	}
	if d.copy, err = addresses(e.CC); err != nil {
		return nil, fmt.Errorf("desk %q: cc %w", env.Name, err)
	}
	if len(d.to) == 0 {
		return nil, fmt.Errorf("desk %q: to holds no address: give the mailbox of the Operations Centre", env.Name)
	}
	if d.client, err = smtp.New(e.Server, env.Now); err != nil {
		return nil, fmt.Errorf("desk %q: %w", env.Name, err)
	}
	return d, nil
}

// email implements Reopener. A case is a thread of mails: its Ref is the case key, its Number follows from the key and stands in
// every subject. Nothing is read: what people do with the mails stays in their mailbox.
type email struct {
	name, tenant string
	to, copy     []*netmail.Address
	client       *smtp.Client
	now          func() time.Time
}

// The actions, as X-Firstcall-Action says them.
const (
	mailOpen     = "open"
	mailUpdate   = "update"
	mailResolve  = "resolve"
	mailReopen   = "reopen"
	mailWithdraw = "withdraw"
	mailAttach   = "attach"
)

// Capabilities says that a repeated create leads to the first case: SMTP has no exactly-once, but the repeated mail carries the
// Message-ID and the number of the first one, so that mailboxes drop it or show it in the same thread, and it is no second case.
func (d *email) Capabilities() Capabilities { return Capabilities{DedupeOnCreate: true} }

// Find is not possible: mail cannot be searched from here.
func (d *email) Find(_ context.Context, key string) ([]Case, error) {
	return nil, d.fail("find", key, fmt.Errorf("mails cannot be looked up: %w", errors.ErrUnsupported))
}

// Get is not possible, as Find.
func (d *email) Get(_ context.Context, ref string) (Case, error) {
	return Case{}, d.fail("read", ref, fmt.Errorf("mails cannot be looked up: %w", errors.ErrUnsupported))
}

// Transitions returns nothing: people's work stays in their mailbox.
func (d *email) Transitions(context.Context, string, time.Time) ([]incident.Transition, error) {
	return nil, nil
}

// Open sends the mail that begins the case's thread.
func (d *email) Open(ctx context.Context, f Fields) (Case, error) {
	c := Case{Ref: f.Key, Number: mailNumber(f.Key), Key: f.Key, State: incident.CaseNew, Priority: f.Priority, Created: d.now().UTC()}
	if err := d.send(ctx, mailOpen, f.Key, f, body(f), nil); err != nil {
		return Case{}, err
	}
	return c, nil
}

// Update answers in the thread with what is new. Every reader of a mail is at the Operations Centre, so that public notes stand
// beside the others.
func (d *email) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	lines := []string{"Priority: " + f.Priority.String()}
	what := []string{f.Title, f.Priority.String()}
	for _, n := range notes {
		lines = append(lines, strings.ReplaceAll(strings.TrimSpace(paragraphs(n.Text)), "\n", "\n  ")) // the lines of one note stand out from the next
		what = append(what, strconv.FormatInt(n.Seq, 10), n.Text)
	}
	return d.send(ctx, mailUpdate, ref, f, strings.Join(lines, "\n"), nil, what...)
}

// Resolve answers in the thread that the case is over.
func (d *email) Resolve(ctx context.Context, ref string, f Fields, note string) error {
	text := "This case is resolved: please close it.\n" + paragraphs(note)
	return d.send(ctx, mailResolve, ref, f, text, nil, note, f.Incident.Closed.UTC().Format(time.RFC3339Nano))
}

// Reopen implements Reopener: it answers in the thread that the case is opened again.
func (d *email) Reopen(ctx context.Context, ref string, f Fields, note string) error {
	return d.send(ctx, mailReopen, ref, f, "This case is opened again.\n"+paragraphs(note)+"\n\n"+body(f), nil, note)
}

// Attach implements Attacher: it answers in the thread with the file. Mailboxes cannot be asked what they hold; a repeated mail has
// the Message-ID of the first one.
func (d *email) Attach(ctx context.Context, ref string, f Fields, file File) error {
	if err := file.check(); err != nil {
		return d.fail(mailAttach, ref, err)
	}
	text := "Evidence that the agent gathered when the incident opened: " + file.Name
	return d.send(ctx, mailAttach, ref, f, text, []smtp.File{{Name: file.Name, Type: file.Type, Content: file.Content}}, file.Name)
}

// Withdraw answers in the thread that another case goes on.
func (d *email) Withdraw(ctx context.Context, ref, winner string) error {
	winner = secret.Plain(winner, maxActor)
	f := Fields{Title: "withdrawn, goes on as " + winner}
	return d.send(ctx, mailWithdraw, ref, f, "This case is withdrawn: it goes on as "+winner+". Please close it as a double.", nil, winner)
}

// send sends one mail of the case's thread, once. what tells this mail from others of the same action: the same one has the same
// Message-ID at every attempt.
func (d *email) send(ctx context.Context, action, key string, f Fields, text string, files []smtp.File, what ...string) error {
	switch {
	case key == "" || len(key) > incident.MaxKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return d.fail(action, key, errEmptyKey)
	case f.Key != "" && f.Key != key:
		return d.fail(action, key, fmt.Errorf("it is no reference to the case %q", secret.Plain(f.Key, maxActor)))
	}
	number := mailNumber(key)
	m := smtp.Mail{
		ID: d.messageID(key, action, what...), To: d.to, Copy: d.copy, Date: d.now(), Priority: f.Priority, Files: files,
		Subject: fmt.Sprintf("[%s] %s", number, secret.Plain(f.Title, maxReason)),
		Text:    text + "\n\n-- \nfirstcall: case " + number + ", key " + key + "\nAnswers to this mail are not read by the agent.\n",
		Headers: map[string]string{"X-Firstcall-Key": key, "X-Firstcall-Action": action},
	}
	if f.Priority != incident.NoPriority {
		m.Headers["X-Firstcall-Priority"] = f.Priority.String()
	}
	if action != mailOpen {
		m.Answers = d.messageID(key, mailOpen)
		m.Subject = "Re: " + m.Subject
	}
	_, err := d.client.Send(ctx, m)
	if failed, ok := errors.AsType[*smtp.Error](err); ok && failed.Uncertain() {
		err = fmt.Errorf("%w: a repeated mail carries the same Message-ID: %w", err, ErrUnknownOutcome)
	}
	if err != nil {
		return d.fail(action, key, err)
	}
	return nil
}

// messageID returns the Message-ID of a mail about the case; what is nothing for the one that begins the thread.
func (d *email) messageID(key, action string, what ...string) string {
	return smtp.MessageID(d.tenant, slices.Concat([]string{"case", key, action}, what)...)
}

func (d *email) fail(verb, what string, err error) error {
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, cmp.Or(secret.Plain(what, maxActor), "no case"), err)
}

// mailDigits has no letter that is taken for a digit, on paper or on the telephone.
var mailDigits = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// mailNumber returns the number of the case for people: eight characters that follow from the key.
func mailNumber(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "FC-" + mailDigits.EncodeToString(sum[:5])
}

// paragraphs is a text of several lines without what could disturb a screen, bounded.
func paragraphs(text string) string { return body(Fields{Body: text}) }
