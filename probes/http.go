package probes

import (
	"crypto/tls"
	"encoding/base64"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// HTTP makes a request and judges the answer: status, headers, content.
type HTTP struct {
	URL         string                  `yaml:"url" required:"true" doc:"Address, http:// or https://, without credentials."`
	Method      string                  `yaml:"method" default:"GET" doc:"Request method."`
	Headers     map[string]secret.Value `yaml:"headers" doc:"Request headers; their values are kept secret and, but for Accept, Accept-Language and User-Agent, go to no other host."`
	User        string                  `yaml:"user" doc:"User name for basic authentication."`
	Password    secret.Value            `yaml:"password" doc:"Password for basic authentication; once refused, it is not sent again until the configuration is loaded anew, so that no account is locked."`
	BearerToken secret.Value            `yaml:"bearer_token" doc:"Token that is sent as Authorization: Bearer."`
	Body        secret.Value            `yaml:"body" doc:"Request body; it may hold a credential and is kept secret."`

	Redirects      int  `yaml:"redirects" default:"10" doc:"How many redirects are followed, each with its own connection, to http and https only; 0 judges the redirect itself."`
	AllowDowngrade bool `yaml:"allow_downgrade" doc:"Follow redirects from https to http."`

	Expect        HTTPExpect     `yaml:"expect" doc:"What the answer must be."`
	RejectBody    string         `yaml:"reject_body" doc:"Text that must not be in the answer."`
	Functional    HTTPFunctional `yaml:"functional" doc:"Answers that are the application's matter and open no case."`
	ExpiresWithin time.Duration  `yaml:"expires_within" default:"0s" doc:"Less time left than this on the certificate is a passed threshold (priority 4), as with limits: { certificate_days: 21 }; 0 turns it off."`

	Proxy              secret.Value `yaml:"proxy" doc:"Address of an HTTP or HTTPS proxy, with its credentials; none is taken from the environment."`
	CAFile             string       `yaml:"ca_file" doc:"PEM file with the authorities that are trusted instead of the system's; read when the configuration is loaded."`
	CertFile           string       `yaml:"cert_file" doc:"PEM file with the client certificate, read at each handshake, so that a renewed one is used at once."`
	KeyFile            string       `yaml:"key_file" doc:"PEM file with the client certificate's key."`
	ServerName         string       `yaml:"server_name" doc:"Name that the certificate must be for; the host of url unless given."`
	InsecureSkipVerify bool         `yaml:"insecure_skip_verify" doc:"Accept any certificate: whoever answers is believed to be the target. Prefer ca_file or server_name."`
	MaxBody            int64        `yaml:"max_body" default:"1048576" doc:"Bytes of the answer, decompressed, after which reading stops; what was read is judged. At most 64 MiB."`
	Version            string       `yaml:"version" default:"auto" enum:"auto,http1,http2" doc:"HTTP version: HTTP/2 where an https server offers it (auto), HTTP/1.1 only, or HTTP/2 and nothing else."`

	Describe bool `yaml:"-"` // keep the evidence of a good answer too, its title among it

	target    *url.URL
	header    http.Header // for the configured host, with its credential
	anonymous http.Header // for the configured host, once it refused user and password
	foreign   http.Header // for any other host
	refused   *atomic.Bool
	masked    []secret.Value
	pattern   *regexp.Regexp
	here      *http.Transport
	elsewhere *http.Transport // for other hosts: neither server_name nor client certificate
}

// HTTPExpect is what an answer must be. All that is given must hold.
type HTTPExpect struct {
	Status     []int             `yaml:"status" doc:"Accepted statuses; any 2xx unless given."`
	Body       string            `yaml:"body" doc:"Text that must be in the answer, as it stands."`
	BodyRegexp string            `yaml:"body_regexp" doc:"Regular expression (RE2) that must match somewhere in the answer."`
	Headers    map[string]string `yaml:"headers" doc:"Headers that must be there, each holding the given text; an empty text asks for presence only."`
}

// HTTPFunctional says which answers come from the application and mean that the request, the log-in or the licence is wrong.
// An answer is functional when all that is given here holds.
type HTTPFunctional struct {
	Status []int  `yaml:"status" doc:"Statuses; 401 and 403 count as a refused credential."`
	Body   string `yaml:"body" doc:"Text in the answer."`
}

func init() {
	Register(Kind{
		Name:    "http",
		Doc:     "Makes an HTTP request over a new connection and judges status, headers and content of the answer.",
		New:     func() Probe { return new(HTTP) },
		Phases:  []string{PhaseDNS, PhaseConnect, PhaseTLS, PhaseFirstByte, PhaseTransfer},
		Numbers: []NumberKind{certificateDays},
	})
}

const (
	maxBodyLimit   = 64 << 20
	maxHeaderBytes = 64 << 10 // of an answer, all of its 1xx answers included
	maxRedirects   = 50
	userAgent      = "firstcall (synthetic monitoring)"
)

// Validate checks everything, reads ca_file and prepares the request and the transport, so that a run allocates little.
func (p *HTTP) Validate() field.Errors {
	var faults field.Errors
	p.checkTarget(&faults)
	p.checkRequest(&faults)
	p.checkAnswers(&faults)
	proxy := checkProxy(&faults, p.Proxy)
	pool := loadPool(&faults, "ca_file", p.CAFile)
	if (p.CertFile == "") != (p.KeyFile == "") {
		faults.Add("key_file", "cert_file and key_file go together")
	} else if p.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile); err != nil {
			faults.Add("cert_file", "cannot be used with key_file: %s", clause(err))
		}
	}
	if len(faults) > 0 {
		return faults
	}
	p.prepareHeaders(proxy)
	config := &tls.Config{RootCAs: pool, InsecureSkipVerify: p.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	p.here = p.transport(config, proxy)
	p.elsewhere = p.here
	if p.ServerName != "" || p.CertFile != "" {
		p.elsewhere = p.transport(config, proxy)
		own := config.Clone()
		own.ServerName = p.ServerName
		if p.CertFile != "" {
			own.GetClientCertificate = p.clientCertificate
		}
		p.here = p.transport(own, proxy)
	}
	return nil
}

// OwnLimit returns what expires_within sets.
func (p *HTTP) OwnLimit(number string) (float64, string) {
	return expiresWithin(number, p.ExpiresWithin)
}

func (p *HTTP) checkTarget(faults *field.Errors) {
	u, err := url.Parse(p.URL)
	switch {
	case p.URL == "":
		return // the required tag says it
	case err != nil:
		faults.AddHint("url", "write https://host/path", "is not an address")
		return
	case u.Scheme != "http" && u.Scheme != "https":
		faults.AddHint("url", "write https://host/path", "does not begin with http:// or https://")
	case u.Hostname() == "":
		faults.Add("url", "has no host")
	}
	if u.User != nil {
		faults.AddHint("url", "write them as user and password", "holds credentials")
	}
	if u.Scheme == "http" && p.Version == "http2" {
		faults.AddHint("version", "use https, or auto", "http2 needs https")
	}
	u.Fragment, u.RawFragment = "", ""
	p.target = u
}

func (p *HTTP) checkRequest(faults *field.Errors) {
	if p.Method == "" {
		p.Method = http.MethodGet
	}
	if !httpguts.ValidHeaderFieldName(p.Method) { // both are tokens (RFC 9110 section 9.1)
		faults.Add("method", "is not a request method")
	}
	authorised := 0
	for name, value := range p.Headers {
		switch canonical := textproto.CanonicalMIMEHeaderKey(name); {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value.Reveal()):
			faults.Add("headers", "%s is not a header", Printable(name, 60))
		case canonical == "Content-Length" || canonical == "Transfer-Encoding" || canonical == "Connection":
			faults.Add("headers", "%s is set by the probe itself", canonical)
		case canonical == "Authorization":
			authorised++
		}
	}
	if p.User != "" {
		authorised++
	} else if !p.Password.IsZero() {
		faults.AddHint("password", "add user", "has no user")
	}
	if !p.BearerToken.IsZero() {
		authorised++
		if !httpguts.ValidHeaderFieldValue(p.BearerToken.Reveal()) {
			faults.Add("bearer_token", "holds a line break or another control character")
		}
	}
	if authorised > 1 {
		faults.AddHint("", "keep one of user, bearer_token and the header Authorization", "has more than one credential")
	}
	if p.Redirects < 0 || p.Redirects > maxRedirects {
		faults.Add("redirects", "is not between 0 and %d", maxRedirects)
	}
}

func (p *HTTP) checkAnswers(faults *field.Errors) {
	for path, list := range map[string][]int{"expect.status": p.Expect.Status, "functional.status": p.Functional.Status} {
		for _, status := range list {
			if status < 200 || status > 599 {
				faults.Add(path, "%d is not a final HTTP status (200 to 599)", status)
			}
		}
	}
	if p.Expect.BodyRegexp != "" {
		pattern, err := regexp.Compile(p.Expect.BodyRegexp)
		if err != nil {
			faults.Add("expect.body_regexp", "%s", err)
		}
		p.pattern = pattern
	}
	for name := range p.Expect.Headers {
		if !httpguts.ValidHeaderFieldName(name) {
			faults.Add("expect.headers", "%s is not a header", Printable(name, 60))
		}
	}
	if p.MaxBody < 1 || p.MaxBody > maxBodyLimit {
		faults.Add("max_body", "is not between 1 and %d", maxBodyLimit)
	}
	if p.ExpiresWithin < 0 {
		faults.Add("expires_within", "is negative")
	}
}

// checkProxy returns the address of a proxy; nil when none is given, or a faulty one.
func checkProxy(faults *field.Errors, proxy secret.Value) *url.URL {
	if proxy.IsZero() {
		return nil
	}
	u, err := url.Parse(proxy.Reveal())
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		faults.AddHint("proxy", "write http://host:port or https://host:port", "is not the address of a proxy")
		return nil
	}
	return u
}

// publicHeaders are request headers whose values are no secret; those that are true go to other hosts too.
var publicHeaders = map[string]bool{
	"Accept": true, "Accept-Language": true, "User-Agent": true,
	"Accept-Encoding": false, "Cache-Control": false, "Content-Type": false, "Host": false, "Origin": false, "Pragma": false, "Soapaction": false,
}

// PublicHeaders returns the names of the request headers whose values are no secret.
func PublicHeaders() []string { return slices.Sorted(maps.Keys(publicHeaders)) }

// prepareHeaders builds the headers for the configured host and those for any other, and gathers what no result may show.
func (p *HTTP) prepareHeaders(proxy *url.URL) {
	p.header, p.foreign = http.Header{"User-Agent": {userAgent}}, http.Header{"User-Agent": {userAgent}}
	for name, value := range p.Headers {
		p.header.Set(name, value.Reveal())
		everywhere, public := publicHeaders[textproto.CanonicalMIMEHeaderKey(name)]
		if everywhere {
			p.foreign.Set(name, value.Reveal())
		}
		if !public {
			p.masked = append(p.masked, value)
		}
	}
	if p.User != "" {
		pair := base64.StdEncoding.EncodeToString([]byte(p.User + ":" + p.Password.Reveal()))
		p.header.Set("Authorization", "Basic "+pair)
		p.masked = append(p.masked, secret.New(pair))
	}
	if !p.BearerToken.IsZero() {
		p.header.Set("Authorization", "Bearer "+p.BearerToken.Reveal())
	}
	p.anonymous, p.refused = p.header.Clone(), new(atomic.Bool)
	p.anonymous.Del("Authorization")
	p.masked = append(p.masked, p.Password, p.BearerToken, p.Body)
	if proxy != nil {
		password, _ := proxy.User.Password()
		p.masked = append(p.masked, secret.New(password))
	}
	for _, values := range p.target.Query() {
		for _, value := range values {
			if len(value) >= 12 { // a key; anything shorter is a word that the answer may hold as well
				p.masked = append(p.masked, secret.New(value))
			}
		}
	}
}

func (p *HTTP) transport(config *tls.Config, proxy *url.URL) *http.Transport {
	t := &http.Transport{
		DialContext:            dialForRun,
		TLSClientConfig:        config,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		OnProxyConnectResponse: proxyAnswer,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true) // offered with http2 too, so that its absence is seen in an answer, with the certificate
	t.Protocols.SetHTTP2(p.Version != "http1")
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	return t
}

func (p *HTTP) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	if err != nil {
		return nil, localError{err}
	}
	return &pair, nil
}
