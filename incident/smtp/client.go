package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	netmail "net/mail"
	"os"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// logOnPause is how long a log-on is not repeated after the server refused it: a mailbox is locked after a few wrong ones.
const logOnPause = 15 * time.Minute

// Client hands mails to one server. It is safe for concurrent use.
type Client struct {
	to       endpoint
	from     *netmail.Address
	user     string
	password secret.Value
	helo     string
	policy   mail.TLSPolicy
	tls      *tls.Config
	timeout  time.Duration
	now      func() time.Time

	mu      sync.Mutex
	refused time.Time // when the log-on was refused; zero: it was not
}

// New returns a client. now is for the pause after a refused log-on; nil: time.Now.
func New(s Server, now func() time.Time) (*Client, error) {
	to, err := s.endpoint()
	if err != nil {
		return nil, fmt.Errorf("smtp %w", err)
	}
	from, err := Address(s.From)
	if err != nil {
		return nil, fmt.Errorf("from %w", err)
	}
	config := &tls.Config{ServerName: to.host, MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file cannot be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", s.CAFile)
		}
	}
	if now == nil {
		now = time.Now
	}
	return &Client{
		to: to, from: from, user: s.User, password: s.Password, helo: s.HELO,
		policy: s.policy(to), tls: config, timeout: cmp.Or(s.Timeout, 15*time.Second), now: now,
	}, nil
}

// Send delivers the mail to the server in one session and returns the server's answer as proof. A recipient that the server refuses
// for good does not keep the mail from the others, as long as one of To is left: the proof names it. The error is an *Error, which
// says whether the server may have the mail.
func (c *Client) Send(ctx context.Context, m Mail) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", c.fail(false, []error{err}, "nothing was sent: %v: it will be tried again", err)
	}
	if until := c.pausedUntil(); !until.IsZero() {
		return "", c.fail(true, nil, "%s refused the log-on of %s: check user and password and reload; the log-on is not repeated before %s",
			c.to, c.user, until.UTC().Format(time.RFC3339))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	dialer := &boundedDialer{ctx: ctx, tls: c.tls, implicit: c.to.implicit}
	defer dialer.close()
	session, err := c.logOn(ctx, dialer)
	if err != nil {
		return "", err
	}
	answer, err := c.deliver(ctx, session, m)
	if err != nil {
		return "", err
	}
	// The mail is delivered: whatever happens to the farewell changes nothing, and is not waited for long.
	_ = dialer.hurry()
	_ = session.Quit()
	return answer, nil
}

func (c *Client) pausedUntil() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused.IsZero() || c.now().Sub(c.refused) >= logOnPause {
		return time.Time{}
	}
	return c.refused.Add(logOnPause)
}

// logOn connects, secures the connection and logs on.
func (c *Client) logOn(ctx context.Context, dialer *boundedDialer) (*smtp.Client, error) {
	options := []mail.Option{
		mail.WithPort(c.to.port), mail.WithTimeout(c.timeout), mail.WithTLSConfig(c.tls), mail.WithTLSPolicy(c.policy),
		mail.WithDialContextFunc(dialer.dial), mail.WithoutNoop(), mail.WithoutSMTPUTF8(),
	}
	if c.to.implicit {
		options = append(options, mail.WithSSL())
	}
	if c.helo != "" {
		options = append(options, mail.WithHELO(c.helo))
	}
	if c.user != "" {
		// go-mail sends PLAIN and LOGIN over TLS or to loopback only
		options = append(options, mail.WithUsername(c.user), mail.WithPassword(c.password.Reveal()),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	client, err := mail.NewClient(c.to.host, options...)
	if err != nil {
		return nil, c.fail(true, nil, "the mail client cannot be set up: %v: check helo, smtp and timeout", err)
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return nil, c.unconnected(ctx, dialer, err)
	}
	c.mu.Lock()
	c.refused = time.Time{}
	c.mu.Unlock()
	return session, nil
}

// deliver sends the mail over the session and returns the server's answer.
func (c *Client) deliver(ctx context.Context, session *smtp.Client, m Mail) (string, error) {
	message := c.compose(m)
	sender, err := message.GetSender(false)
	if err != nil {
		return "", c.fail(true, nil, "the sender cannot be used: %v: check from", err)
	}
	recipients, err := message.GetRecipients()
	if err != nil {
		return "", c.fail(true, nil, "the recipients cannot be used: %v: check to", err)
	}
	if err := session.Mail(sender); err != nil {
		return "", c.answered(ctx, "the sender "+sender, "check from and what this user may send as", err)
	}
	var refused []string
	for i, recipient := range recipients { // those of To first
		if err := session.Rcpt(recipient); err != nil {
			failed := c.answered(ctx, "the recipient "+recipient, "check the address", err)
			if !failed.permanent || i < len(m.To) && len(refused)+1 == len(m.To) {
				return "", failed
			}
			refused = append(refused, recipient+": "+said(err))
		}
	}
	data, err := session.Data()
	if err != nil {
		return "", c.answered(ctx, "the mail", "see the server's log", err)
	}
	if _, err := message.WriteTo(data); err != nil {
		return "", c.answered(ctx, "the mail", "see the server's log", err) // not closed: an incomplete mail is not accepted
	}
	if err := data.Close(); err != nil {
		return "", c.unconfirmed(ctx, err)
	}
	proof := "250"
	if closed, ok := data.(*smtp.DataCloser); ok {
		proof = secret.Plain("250 "+closed.ServerResponse(), maxExcerpt)
	}
	for _, r := range refused {
		proof += "; refused for " + r
	}
	return secret.Plain(secret.Hide(proof, c.secrets()), maxError), nil
}
