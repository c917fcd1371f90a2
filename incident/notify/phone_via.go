package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/notify/sipcall"
	"github.com/firstcall-agent/firstcall/incident/notify/speech"
)

// The kinds of Via.
const (
	viaTwilio = "twilio"
	viaSIP    = "sip"
)

// Via says how calls are made: the keys of the kind that it names.
type Via struct {
	Kind   string `yaml:"kind" required:"true" enum:"twilio,sip" doc:"twilio, or sip for a SIP trunk."`
	From   string `yaml:"from" doc:"Number that calls, as it is shown. Required with twilio; with sip it is the user unless given."`
	CAFile string `yaml:"ca_file" doc:"PEM file with the authorities to trust instead of the system's."`

	Account    string       `yaml:"account" doc:"twilio: the account's SID, AC and 32 hexadecimal digits."`
	AuthToken  secret.Value `yaml:"auth_token" doc:"twilio: auth token of the account; or give api_key and api_secret."`
	APIKey     string       `yaml:"api_key" doc:"twilio: SID of an API key, SK and 32 hexadecimal digits."`
	APISecret  secret.Value `yaml:"api_secret" doc:"twilio: secret of the API key."`
	APIURL     string       `yaml:"api_url" doc:"twilio: address of the API, https://api.twilio.com unless given."`
	SendDigits string       `yaml:"send_digits" doc:"twilio: keys pressed once somebody answers, such as ww1 for an extension or a menu (w waits half a second)."`

	Trunk         string       `yaml:"trunk" doc:"sip: the trunk, such as sip:trunk.example, sip:trunk.example:5070;transport=tcp, or sips:trunk.example for TLS."`
	Proxy         string       `yaml:"proxy" doc:"sip: outbound proxy, in the form of trunk, that everything is sent to instead."`
	User          string       `yaml:"user" doc:"sip: user that the trunk knows."`
	Password      secret.Value `yaml:"password" doc:"sip: password of the user (digest authentication)."`
	PublicAddress string       `yaml:"public_address" doc:"sip: IP address under which the trunk reaches this host, behind address translation."`
	LocalPort     int          `yaml:"local_port" doc:"sip: UDP port of the signalling; any unless given."`
	MediaPorts    string       `yaml:"media_ports" doc:"sip: range of UDP ports for the sound, such as 40000-40019; any unless given."`
}

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	keySID     = regexp.MustCompile(`^SK[0-9a-fA-F]{32}$`)
	digits     = regexp.MustCompile(`^[0-9#*wW]{1,32}$`)
	sipUser    = regexp.MustCompile(`^[A-Za-z0-9+._~!*'-]{1,64}$`)
)

// Validate reports every fault of the configuration.
func (v *Via) Validate() field.Errors {
	var faults field.Errors
	switch v.Kind {
	case viaTwilio:
		v.validateTwilio(&faults)
	case viaSIP:
		v.validateSIP(&faults)
	}
	return faults
}

// foreign reports keys that belong to the other kind, in the order given.
func (v *Via) foreign(faults *field.Errors, keys []string, given ...bool) {
	for i, key := range keys {
		if given[i] {
			faults.Add(key, "is no key of kind %s", v.Kind)
		}
	}
}

func (v *Via) validateTwilio(faults *field.Errors) {
	v.foreign(faults, []string{"trunk", "proxy", "user", "password", "public_address", "local_port", "media_ports"},
		v.Trunk != "", v.Proxy != "", v.User != "", !v.Password.IsZero(), v.PublicAddress != "", v.LocalPort != 0, v.MediaPorts != "")
	if _, err := PhoneNumber(v.From); err != nil {
		faults.AddHint("from", "a number of the Twilio account, such as +4500000000", "is missing or is no telephone number")
	}
	if !accountSID.MatchString(v.Account) {
		faults.AddHint("account", "AC and 32 hexadecimal digits, from the Twilio console", "is missing or is no account SID")
	}
	switch byToken, byKey := !v.AuthToken.IsZero(), v.APIKey != "" || !v.APISecret.IsZero(); {
	case byToken == byKey:
		faults.Add("auth_token", "is wanted, or api_key with api_secret, but not both")
	case byKey && (v.APISecret.IsZero() || !keySID.MatchString(v.APIKey)):
		faults.AddHint("api_key", "SK and 32 hexadecimal digits, with api_secret", "is no API key")
	}
	if v.SendDigits != "" && !digits.MatchString(v.SendDigits) {
		faults.Add("send_digits", "must be at most 32 of 0-9, #, * and w")
	}
	if u, err := url.Parse(v.APIURL); v.APIURL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "") {
		faults.AddHint("api_url", "https://api.twilio.com", "is no address")
	} else if v.APIURL != "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		faults.AddHint("api_url", "https://...", "would send the credentials in the clear")
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (v *Via) validateSIP(faults *field.Errors) {
	v.foreign(faults, []string{"account", "auth_token", "api_key", "api_secret", "api_url", "send_digits"},
		v.Account != "", !v.AuthToken.IsZero(), v.APIKey != "", !v.APISecret.IsZero(), v.APIURL != "", v.SendDigits != "")
	const hint = "sip:trunk.example, or sips:trunk.example for TLS"
	if v.Trunk == "" {
		faults.AddHint("trunk", hint, "is missing")
	} else if _, err := sipcall.ParseServer(v.Trunk); err != nil {
		faults.AddHint("trunk", hint, "%v", err)
	}
	if v.Proxy != "" {
		if _, err := sipcall.ParseServer(v.Proxy); err != nil {
			faults.AddHint("proxy", hint, "%v", err)
		}
	}
	if v.User != "" && !sipUser.MatchString(v.User) {
		faults.Add("user", "is no user of SIP: letters, digits and + . _ ~ ! * ' - only")
	}
	if v.From != "" && !sipUser.MatchString(unwritten.Replace(v.From)) {
		faults.Add("from", "is neither a telephone number nor a user of SIP")
	}
	if !v.Password.IsZero() && v.User == "" {
		faults.Add("user", "is missing: password is its password")
	}
	if ip, err := netip.ParseAddr(v.PublicAddress); v.PublicAddress != "" && (err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast()) {
		faults.AddHint("public_address", "203.0.113.5", "is no IP address")
	}
	if v.LocalPort < 0 || v.LocalPort > 65535 {
		faults.Add("local_port", "must be between 1 and 65535")
	}
	if _, err := sipcall.ParsePorts(v.MediaPorts); err != nil {
		faults.AddHint("media_ports", "40000-40019", "%v", err)
	}
}

// build returns the caller of the kind.
func (v *Via) build(p Phone, speaker speech.Speaker) (caller, error) {
	var roots *x509.CertPool
	if v.CAFile != "" {
		pem, err := os.ReadFile(v.CAFile)
		if err != nil {
			return nil, errors.New("ca_file cannot be read: " + plainPath(err))
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", v.CAFile)
		}
	}
	secure := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if v.Kind == viaTwilio {
		from, err := PhoneNumber(v.From)
		if err != nil {
			return nil, fmt.Errorf("from %w", err)
		}
		return newTwilio(v, from, p, secure), nil
	}
	trunk, err := sipcall.ParseServer(v.Trunk)
	if err != nil {
		return nil, fmt.Errorf("trunk %w", err)
	}
	line := &sipcall.Line{
		Trunk: trunk, User: v.User, Password: v.Password, From: unwritten.Replace(v.From), TLS: secure,
		LocalPort: v.LocalPort, First: p.Timeout,
	}
	if v.Proxy != "" {
		if line.Proxy, err = sipcall.ParseServer(v.Proxy); err != nil {
			return nil, fmt.Errorf("proxy %w", err)
		}
	}
	if v.PublicAddress != "" {
		if line.Public, err = netip.ParseAddr(v.PublicAddress); err != nil {
			return nil, errors.New("public_address is no IP address")
		}
	}
	if line.Media, err = sipcall.ParsePorts(v.MediaPorts); err != nil {
		return nil, fmt.Errorf("media_ports %w", err)
	}
	return &trunkCaller{line: line, speaker: speaker, config: p}, nil
}

// trunkCaller calls over a SIP trunk.
type trunkCaller struct {
	line    *sipcall.Line
	speaker speech.Speaker
	config  Phone
}

func (t *trunkCaller) secrets() []secret.Value { return []secret.Value{t.line.Password} }

// prepare gives the words a sound, once for all numbers.
func (t *trunkCaller) prepare(ctx context.Context, words string) script {
	audio, voice := t.speaker.Say(ctx, words)
	s := script{text: words, audio: speech.Repeat(audio, t.config.Repeat)}
	if strings.HasPrefix(voice, "bundled") {
		s.note = "said by the " + voice
	}
	return s
}

func (t *trunkCaller) call(ctx context.Context, number string, s script) called {
	r := t.line.Call(ctx, number, s.audio, t.config.Ring)
	c := called{answered: r.Outcome == sipcall.Answered && r.Err == nil, text: r.String(), err: r.Err}
	trunk := cmp.Or(t.line.Proxy, t.line.Trunk).String()
	switch r.Outcome {
	case sipcall.Unreachable:
		c.last, c.advice = true, "check via.trunk and via.proxy, and that this host may reach "+trunk
	case sipcall.Refused:
		c.permanent, c.advice = true, "correct the number"
		if r.Status == 401 || r.Status == 407 {
			c.last, c.advice = true, "check via.user and via.password with "+trunk
		}
	case sipcall.Rejected:
		if r.Status == 403 {
			c.advice = "check via.user, via.password and via.from, and what the trunk allows"
		}
	default: // about people, not the trunk
	}
	return c
}
