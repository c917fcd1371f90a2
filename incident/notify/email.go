package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/net/idna"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
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
	SMTP     string        `yaml:"smtp" required:"true" doc:"Mail server: smtp://host:587, or smtps://host:465 for TLS from the start."`
	User     string        `yaml:"user" doc:"User to log on as; no log-on unless given."`
	Password secret.Value  `yaml:"password" doc:"Password of the user."`
	From     string        `yaml:"from" required:"true" doc:"Sender, such as firstcall@operations.example or \"Operations <soc@operations.example>\"."`
	STARTTLS string        `yaml:"starttls" enum:"required,opportunistic,off" doc:"Whether an smtp:// connection must become TLS: required unless given, opportunistic where the server is on loopback."`
	CAFile   string        `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
	HELO     string        `yaml:"helo" doc:"Name that the agent gives itself; the host name unless given."`
	Timeout  time.Duration `yaml:"timeout" default:"15s" doc:"Longest exchange with the server."`
}

// The words of Email.STARTTLS.
const (
	tlsRequired      = "required"
	tlsOpportunistic = "opportunistic"
	tlsOff           = "off"
)

// Validate reports every fault of the configuration.
func (e *Email) Validate() field.Errors {
	var faults field.Errors
	if e.SMTP != "" {
		if _, err := e.server(); err != nil {
			faults.AddHint("smtp", "smtp://smtp.example:587 or smtps://smtp.example:465", "%v", err)
		}
	}
	if e.From != "" {
		if _, err := address(e.From); err != nil {
			faults.AddHint("from", "firstcall@operations.example", "%v", err)
		}
	}
	if (e.User == "") != e.Password.IsZero() {
		faults.Add("user", "and password belong together: give both, or neither")
	}
	if server, err := e.server(); err == nil && e.User != "" && e.STARTTLS == tlsOff && !server.implicit && !server.loopback() {
		faults.AddHint("starttls", tlsRequired, "off would send the password in the clear")
	}
	if strings.ContainsFunc(e.HELO, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults.Add("helo", "is no host name")
	}
	if e.Timeout < 0 || e.Timeout > 5*time.Minute {
		faults.Add("timeout", "must be at most 5m")
	}
	return faults
}

// server is the parsed SMTP address.
type server struct {
	host     string
	port     int
	implicit bool // TLS from the start
}

func (s server) String() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

func (s server) loopback() bool {
	ip := net.ParseIP(s.host)
	return s.host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e *Email) server() (server, error) {
	u, err := url.Parse(e.SMTP)
	if err != nil {
		return server{}, errors.New("is no address")
	}
	s := server{host: u.Hostname(), port: 587, implicit: u.Scheme == "smtps"}
	switch {
	case u.Scheme != "smtp" && u.Scheme != "smtps" || s.host == "":
		return server{}, errors.New("is no smtp or smtps address")
	case u.User != nil:
		return server{}, errors.New("holds a credential: it belongs into user and password")
	case u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return server{}, errors.New("has more than a host and a port")
	case s.implicit:
		s.port = 465
	}
	if port := u.Port(); port != "" {
		if s.port, err = strconv.Atoi(port); err != nil || s.port < 1 || s.port > 65535 {
			return server{}, errors.New("has no port between 1 and 65535")
		}
	}
	return s, nil
}

// address parses "a@b" or "Name <a@b>" (RFC 5322). The domain may be an international one and comes back in its ASCII form;
// what stands before the @ must be ASCII, since not every server on the way takes more (RFC 6531).
func address(text string) (*netmail.Address, error) {
	a, err := netmail.ParseAddress(text)
	if err != nil {
		return nil, errors.New("is no e-mail address")
	}
	at := strings.LastIndexByte(a.Address, '@')
	local, domain := a.Address[:at], a.Address[at+1:]
	if strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("is no e-mail address in ASCII")
	}
	if domain, err = idna.Lookup.ToASCII(domain); err != nil {
		return nil, errors.New("has no domain that exists in e-mail")
	}
	a.Address = local + "@" + domain
	return a, nil
}

// Build returns the notifier.
func (e *Email) Build(env Env) (Notifier, error) {
	to, err := e.server()
	if err != nil {
		return nil, fmt.Errorf("notifier %q: smtp %w", env.Name, err)
	}
	from, err := address(e.From)
	if err != nil {
		return nil, fmt.Errorf("notifier %q: from %w", env.Name, err)
	}
	config := &tls.Config{ServerName: to.host, MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		pem, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("notifier %q: ca_file cannot be read: %w", env.Name, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("notifier %q: ca_file %s holds no certificate in PEM form", env.Name, e.CAFile)
		}
	}
	now := env.Now
	if now == nil {
		now = time.Now
	}
	return &email{
		name: env.Name, tenant: env.Tenant, server: to, from: from, user: e.User, password: e.Password, helo: e.HELO,
		policy: e.policy(to), tls: config, timeout: cmp.Or(e.Timeout, 15*time.Second), now: now,
	}, nil
}

func (e *Email) policy(to server) mail.TLSPolicy {
	switch {
	case e.STARTTLS == tlsOff:
		return mail.NoTLS
	case e.STARTTLS == tlsOpportunistic, e.STARTTLS == "" && to.loopback():
		return mail.TLSOpportunistic
	}
	return mail.TLSMandatory
}

// logOnPause is how long a log-on is not repeated after the server refused it: a mailbox is locked after a few wrong ones.
const logOnPause = 15 * time.Minute

// email implements Notifier.
type email struct {
	name, tenant string
	server       server
	from         *netmail.Address
	user         string
	password     secret.Value
	helo         string
	policy       mail.TLSPolicy
	tls          *tls.Config
	timeout      time.Duration
	now          func() time.Time

	mu      sync.Mutex
	refused time.Time // when the log-on was refused; zero: it was not
}

// Send delivers the mail to the server in one session. A recipient that the server refuses for good does not keep the mail
// from the others: the proof names it. Any other refusal is an error, and then nothing was sent.
func (e *email) Send(ctx context.Context, m Message) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", e.fail(false, []error{err}, "nothing was sent: %v: it will be tried again", err)
	}
	message, err := e.compose(m)
	if err != nil {
		return "", err
	}
	if until := e.pausedUntil(); !until.IsZero() {
		return "", e.fail(true, nil, "%s refused the log-on of %s: check user and password and reload; the log-on is not repeated before %s",
			e.server, e.user, until.UTC().Format(time.RFC3339))
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	dialer := &boundedDialer{ctx: ctx, tls: e.tls, implicit: e.server.implicit}
	defer dialer.close()
	session, err := e.logOn(ctx, dialer)
	if err != nil {
		return "", err
	}
	answer, err := e.deliver(ctx, session, message)
	if err != nil {
		return "", err
	}
	// The mail is delivered: whatever happens to the farewell changes nothing, and is not waited for long.
	_ = dialer.hurry()
	_ = session.Quit()
	return answer, nil
}

func (e *email) pausedUntil() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused.IsZero() || e.now().Sub(e.refused) >= logOnPause {
		return time.Time{}
	}
	return e.refused.Add(logOnPause)
}

// logOn connects, secures the connection and logs on.
func (e *email) logOn(ctx context.Context, dialer *boundedDialer) (*smtp.Client, error) {
	options := []mail.Option{
		mail.WithPort(e.server.port), mail.WithTimeout(e.timeout), mail.WithTLSConfig(e.tls), mail.WithTLSPolicy(e.policy),
		mail.WithDialContextFunc(dialer.dial), mail.WithoutNoop(), mail.WithoutSMTPUTF8(),
	}
	if e.server.implicit {
		options = append(options, mail.WithSSL())
	}
	if e.helo != "" {
		options = append(options, mail.WithHELO(e.helo))
	}
	if e.user != "" {
		// go-mail sends PLAIN and LOGIN over TLS or to loopback only
		options = append(options, mail.WithUsername(e.user), mail.WithPassword(e.password.Reveal()),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	client, err := mail.NewClient(e.server.host, options...)
	if err != nil {
		return nil, e.fail(true, nil, "the mail client cannot be set up: %v: check helo, smtp and timeout", err)
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return nil, e.unconnected(ctx, dialer, err)
	}
	e.mu.Lock()
	e.refused = time.Time{}
	e.mu.Unlock()
	return session, nil
}

// deliver sends the message over the session and returns the server's answer.
func (e *email) deliver(ctx context.Context, session *smtp.Client, message *mail.Msg) (string, error) {
	sender, err := message.GetSender(false)
	if err != nil {
		return "", e.fail(true, nil, "the sender cannot be used: %v: check from", err)
	}
	recipients, err := message.GetRecipients()
	if err != nil {
		return "", e.fail(true, nil, "the recipients cannot be used: %v: check to", err)
	}
	if err := session.Mail(sender); err != nil {
		return "", e.answered(ctx, "the sender "+sender, "check from and what this user may send as", err)
	}
	var refused []string
	for _, recipient := range recipients {
		if err := session.Rcpt(recipient); err != nil {
			failed := e.answered(ctx, "the recipient "+recipient, "check the address", err)
			if !Permanent(failed) || len(recipients) == len(refused)+1 {
				return "", failed
			}
			refused = append(refused, recipient+": "+said(err))
		}
	}
	data, err := session.Data()
	if err != nil {
		return "", e.answered(ctx, "the mail", "see the server's log", err)
	}
	if _, err := message.WriteTo(data); err != nil {
		return "", e.answered(ctx, "the mail", "see the server's log", err) // not closed: an incomplete mail is not accepted
	}
	if err := data.Close(); err != nil {
		return "", e.answered(ctx, "the mail", "see the server's log", err)
	}
	proof := "250"
	if closed, ok := data.(*smtp.DataCloser); ok {
		proof = secret.Plain("250 "+closed.ServerResponse(), maxExcerpt)
	}
	for _, r := range refused {
		proof += "; refused for " + r
	}
	return secret.Plain(secret.Hide(proof, e.secrets()), maxError), nil
}

// answered is the error for a step that the server refused, or did not answer.
func (e *email) answered(ctx context.Context, what, hint string, err error) error {
	if late := overdue(ctx, err); late != nil {
		return e.fail(false, []error{late}, "%s did not take %s in time: %v: check the server", e.server, what, late)
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		permanent := reply.Code >= 500 && reply.Code < 600
		if !permanent {
			hint = "it may pass by itself, and is tried again"
		}
		return e.fail(permanent, nil, "%s refused %s: %s: %s", e.server, what, said(reply), hint)
	}
	return e.fail(false, []error{err}, "%s did not take %s: %v: check the network and the server", e.server, what, err)
}

// unconnected is the error for a session that did not come about.
func (e *email) unconnected(ctx context.Context, dialer *boundedDialer, err error) error {
	var reply *textproto.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case overdue(ctx, err) != nil:
		return e.fail(false, []error{overdue(ctx, err)}, "%s did not answer in time: %v: check smtp, the server and the network", e.server, overdue(ctx, err))
	case errors.As(err, &certificate):
		return e.fail(true, nil, "the certificate of %s is not trusted: %v: trust its authority with ca_file, or renew it", e.server, certificate)
	case errors.As(err, &reply) && strings.Contains(err.Error(), "SMTP AUTH failed"):
		// RFC 4954: 535 refuses the credential, 534 the mechanism, 454 is temporary
		permanent := reply.Code >= 500 && reply.Code < 600
		if permanent {
			e.mu.Lock()
			e.refused = e.now()
			e.mu.Unlock()
		}
		return e.fail(permanent, nil, "%s refused the log-on of %s: %s: check user and password", e.server, e.user, said(reply))
	case errors.As(err, &reply):
		return e.fail(reply.Code >= 500 && reply.Code < 600, nil, "%s refused the session: %s: see the server's log", e.server, said(reply))
	case dialer.connected() && (strings.Contains(err.Error(), "STARTTLS mode") || strings.Contains(err.Error(), "AUTH")):
		return e.fail(true, nil, "%s cannot be used: %v: check starttls, user and the server's settings", e.server, err)
	}
	return e.fail(false, nil, "%s cannot be reached: %v: check smtp and the network", e.server, err)
}

// overdue returns why the session's time is up, or nil. The connection's own deadline may pass an instant before the context's.
func overdue(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// said returns a server's refusal as it was said.
func said(err error) string {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return secret.Plain(fmt.Sprintf("%d %s", reply.Code, reply.Msg), maxExcerpt)
	}
	return secret.Plain(err.Error(), maxExcerpt)
}

func (e *email) fail(permanent bool, is []error, format string, args ...any) error {
	return fail(e.name, permanent, is, e.secrets(), format, args...)
}

// secrets returns what must not stand in an error: a server may repeat what it was told, also as AUTH PLAIN (RFC 4616).
func (e *email) secrets() []secret.Value {
	if e.password.IsZero() {
		return nil
	}
	return []secret.Value{secret.New("\x00" + e.user + "\x00" + e.password.Reveal()), e.password}
}

// compose builds the mail. The same Message gives the same bytes at every attempt.
func (e *email) compose(m Message) (*mail.Msg, error) {
	text := strings.ToValidUTF8(m.Text, "")
	sum := sha256.Sum256([]byte(m.ID + "\x00" + text + "\x00" + m.HTML))
	msg := mail.NewMsg(mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP), mail.WithNoDefaultUserAgent(),
		mail.WithBoundary("firstcall-"+hex.EncodeToString(sum[:16])))
	msg.FromMailAddress(e.from)
	var to []*netmail.Address
	for _, c := range m.To {
		a, err := address(c.Email)
		if err != nil {
			return nil, e.fail(true, nil, "the address %q of %q cannot be used: correct it in the contacts", secret.Plain(c.Email, 80), secret.Plain(c.Name, 80))
		}
		to = append(to, &netmail.Address{Name: cmp.Or(secret.Plain(c.Name, 80), a.Name), Address: a.Address})
	}
	if len(to) == 0 {
		return nil, e.fail(true, nil, "it has nobody to send to: set to, and the e-mail addresses of the tenant's contacts")
	}
	msg.ToMailAddress(to...)
	msg.Subject(secret.Plain(m.Subject, 250))
	msg.SetDateWithValue(m.Date)
	e.identify(msg, m)
	msg.SetBodyString(mail.TypeTextPlain, text)
	if m.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, strings.ToValidUTF8(m.HTML, ""))
	}
	return msg, nil
}

// identify sets the headers by which mail programs and people tell and sort the agent's mails.
func (e *email) identify(msg *mail.Msg, m Message) {
	msg.SetMessageIDWithValue(e.id("notice", m.ID))
	if m.Thread != "" {
		root := "<" + e.id("incident", m.Thread) + ">"
		msg.SetGenHeader(mail.HeaderReferences, root)
		msg.SetGenHeader(mail.HeaderInReplyTo, root)
		msg.SetGenHeader("X-Firstcall-Incident", secret.Plain(m.Thread, maxExcerpt))
	}
	msg.SetGenHeader("X-Firstcall-Notice", secret.Plain(m.ID, maxExcerpt))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	msg.SetGenHeader(mail.HeaderXMailer, "firstcall")
	msg.SetBulk() // Precedence and X-Auto-Response-Suppress: no out-of-office answers
	switch m.Priority {
	case incident.P1, incident.P2:
		msg.SetImportance(mail.ImportanceHigh)
	case incident.NoPriority, incident.P3, incident.P4:
	}
}

// id returns a deterministic Message-ID (RFC 5322, 3.6.4) without angle brackets.
func (e *email) id(kind, of string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + of))
	return hex.EncodeToString(sum[:]) + "@" + e.tenant + ".firstcall"
}
