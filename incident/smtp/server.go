// Package smtp hands mails to a mail server (RFC 5321): one session a mail, bounded in time and size, and errors that say whether
// the server may have the mail. The e-mail notifier and the e-mail desk share it. It never repeats a mail.
package smtp

import (
	"cmp"
	"errors"
	"net"
	netmail "net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// Server is the part of a configuration that says how mails leave.
type Server struct {
	SMTP     string        `yaml:"smtp" doc:"Mail server: smtp://host:587, or smtps://host:465 for TLS from the start. Unless given, the server, the log-on and the sender are those of the first notifier of kind email that has one."`
	User     string        `yaml:"user" doc:"User to log on as; no log-on unless given."`
	Password secret.Value  `yaml:"password" doc:"Password of the user."`
	From     string        `yaml:"from" doc:"Sender, such as firstcall@operations.example or \"Operations <soc@operations.example>\"; wanted beside smtp."`
	STARTTLS string        `yaml:"starttls" enum:"required,opportunistic,off" doc:"Whether an smtp:// connection must become TLS: required unless given, opportunistic where the server is on loopback."`
	CAFile   string        `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`
	HELO     string        `yaml:"helo" doc:"Name that the agent gives itself; the host name unless given."`
	Timeout  time.Duration `yaml:"timeout" default:"15s" doc:"Longest exchange with the server."`
}

// Mailer is a configuration that holds a Server.
type Mailer interface{ MailServer() *Server }

// MailServer returns the server itself, so that what embeds one is a Mailer.
func (s *Server) MailServer() *Server { return s }

// Shared returns the server as one that gives no SMTP of its own uses it: with its own sender where that has one.
func (s Server) Shared(from string) Server {
	s.From = cmp.Or(from, s.From)
	return s
}

// The words of Server.STARTTLS.
const (
	tlsRequired      = "required"
	tlsOpportunistic = "opportunistic"
	tlsOff           = "off"
)

// Validate reports every fault of the configuration.
func (s Server) Validate() field.Errors {
	var faults field.Errors
	if s.SMTP != "" {
		if _, err := s.endpoint(); err != nil {
			faults.AddHint("smtp", "smtp://smtp.example:587 or smtps://smtp.example:465", "%v", err)
		}
	}
	if s.From != "" {
		if _, err := Address(s.From); err != nil {
			faults.AddHint("from", "firstcall@operations.example", "%v", err)
		}
	}
	if (s.User == "") != s.Password.IsZero() {
		faults.Add("user", "and password belong together: give both, or neither")
	}
	if to, err := s.endpoint(); err == nil && s.User != "" && s.STARTTLS == tlsOff && !to.implicit && !to.loopback() {
		faults.AddHint("starttls", tlsRequired, "off would send the password in the clear")
	}
	if strings.ContainsFunc(s.HELO, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults.Add("helo", "is no host name")
	}
	if s.Timeout < 0 || s.Timeout > 5*time.Minute {
		faults.Add("timeout", "must be at most 5m")
	}
	return faults
}

// endpoint is the parsed SMTP address.
type endpoint struct {
	host     string
	port     int
	implicit bool // TLS from the start
}

func (e endpoint) String() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

func (e endpoint) loopback() bool {
	ip := net.ParseIP(e.host)
	return e.host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s Server) endpoint() (endpoint, error) {
	u, err := url.Parse(s.SMTP)
	if err != nil {
		return endpoint{}, errors.New("is no address")
	}
	to := endpoint{host: u.Hostname(), port: 587, implicit: u.Scheme == "smtps"}
	switch {
	case u.Scheme != "smtp" && u.Scheme != "smtps" || to.host == "":
		return endpoint{}, errors.New("is no smtp or smtps address")
	case u.User != nil:
		return endpoint{}, errors.New("holds a credential: it belongs into user and password")
	case u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return endpoint{}, errors.New("has more than a host and a port")
	case to.implicit:
		to.port = 465
	}
	if port := u.Port(); port != "" {
		if to.port, err = strconv.Atoi(port); err != nil || to.port < 1 || to.port > 65535 {
			return endpoint{}, errors.New("has no port between 1 and 65535")
		}
	}
	return to, nil
}

func (s Server) policy(to endpoint) mail.TLSPolicy {
	switch {
	case s.STARTTLS == tlsOff:
		return mail.NoTLS
	case s.STARTTLS == tlsOpportunistic, s.STARTTLS == "" && to.loopback():
		return mail.TLSOpportunistic
	}
	return mail.TLSMandatory
}

// Address parses "a@b" or "Name <a@b>" (RFC 5322). The domain may be an international one and comes back in its ASCII form;
// what stands before the @ must be ASCII, since not every server on the way takes more (RFC 6531). The error is a clause that
// follows the name of what holds the address.
func Address(text string) (*netmail.Address, error) {
	a, err := netmail.ParseAddress(text)
	if err != nil {
		return nil, errors.New("is no e-mail address")
	}
	return a, ascii(a)
}

// Addresses parses one address or several with commas between them, as Address does; "" holds none.
func Addresses(text string) ([]*netmail.Address, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	all, err := netmail.ParseAddressList(text)
	if err != nil {
		return nil, errors.New("is no e-mail address, nor several with commas between them")
	}
	for _, a := range all {
		if err := ascii(a); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ascii makes the address one that every server takes.
func ascii(a *netmail.Address) error {
	at := strings.LastIndexByte(a.Address, '@')
	local, domain := a.Address[:at], a.Address[at+1:]
	if strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("is no e-mail address in ASCII")
	}
	domain, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return errors.New("has no domain that exists in e-mail")
	}
	a.Address = local + "@" + domain
	return nil
}
