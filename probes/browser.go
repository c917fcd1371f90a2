package probes

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/chromium"
)

// Words of the browser kind's sandbox and login.form.
const (
	sandboxAuto    = "auto"
	sandboxRequire = "require"
	sandboxOff     = "off"
	formLocal      = "local"
	formEntra      = "entra"
)

// Numbers of the browser kind.
const (
	LargestPaint   = "lcp_seconds"
	LayoutShift    = "cls"
	FirstPaint     = "fcp_seconds"
	FirstByte      = "ttfb_seconds"
	Requests       = "requests"
	FailedRequests = "failed_requests"
	ScriptErrors   = "script_errors"
)

// Browser opens a page in Chromium, as a person does, and waits until what a person looks for is visible; with an account it
// also logs in. It needs a Chromium on the agent's host (see package chromium), which all browser probes share.
type Browser struct {
	URL     string       `yaml:"url" required:"true" doc:"Address of the page, http:// or https://, without credentials."`
	Visible string       `yaml:"visible" doc:"CSS selector of an element that must become visible, such as #login. With neither visible nor text, the page must have loaded."`
	Text    string       `yaml:"text" doc:"Text that must become visible somewhere on the page."`
	Hosts   []string     `yaml:"hosts" doc:"Other hosts on which the page may end after its redirects; none unless given. A page that ends anywhere else is down, content."`
	Login   BrowserLogin `yaml:"login" doc:"Log in, once the page is there, with an account that is for nothing else."`

	Screenshot bool   `yaml:"screenshot" default:"true" doc:"Keep a picture of the page when a run is not up. After a log-in it shows what the account sees."`
	Chromium   string `yaml:"chromium" doc:"Path or name of the browser: chromium-headless-shell, Chromium, Chrome or Edge; the first that is installed unless given."`
	Sandbox    string `yaml:"sandbox" default:"auto" enum:"auto,require,off" doc:"Chromium's own sandbox against hostile pages: auto is require, but off where the agent is root, for whom there is none. In a container it needs unprivileged user namespaces."`
	CAFile     string `yaml:"ca_file" doc:"PEM file with authorities that are trusted besides the system's; Linux only, and certutil must be installed (libnss3-tools). Read when the browser starts."`

	target *url.URL
	pool   *x509.CertPool // of ca_file; nil: the system's
	masked []secret.Value
	latch  Latch  // nil: the process'
	key    string // of the account's guard
}

// BrowserLogin is a log-in by a form. It is off without user.
type BrowserLogin struct {
	Form     string       `yaml:"form" enum:"local,entra" doc:"Which form it is: local is the application's own, entra is Microsoft Entra's, which the page leads to; local unless given."`
	User     string       `yaml:"user" doc:"Name to log in with."`
	Password secret.Value `yaml:"password" doc:"Its password. It is typed into a password field of an allowed host only; after one refusal the account is not tried again until the secret changes or an operator resets it."`

	Start         string   `yaml:"start" doc:"CSS selector of what is clicked first, as a button that leads to the form; nothing unless given."`
	UserField     string   `yaml:"user_field" doc:"CSS selector of the field for the name; the usual ones unless given."`
	PasswordField string   `yaml:"password_field" doc:"CSS selector of the field for the password, which must be of type password; the first one that is visible unless given."`
	Submit        string   `yaml:"submit" doc:"CSS selector of the button; the form's own unless given."`
	Expect        string   `yaml:"expect" doc:"CSS selector of an element that is visible only once the account is in. Required with user."`
	Refused       string   `yaml:"refused" doc:"CSS selector of an element that is visible only when the account is refused; a form that comes back counts as a refusal too."`
	Logout        string   `yaml:"logout" doc:"CSS selector of what is clicked at the end, so that no session and no licence stays taken; nothing unless given."`
	Hosts         []string `yaml:"hosts" doc:"Other hosts whose forms are given the account, such as a federation server's; the host of url is, and with form: entra those of Entra."`
}

func init() {
	Register(Kind{
		Name:     "browser",
		Doc:      "Opens a page in Chromium as a person does, waits until an element or a text is visible, and logs in where an account is given; keeps a screenshot and the page's requests (HAR) when it fails.",
		New:      func() Probe { return new(Browser) },
		Evidence: true,
		Phases:   []string{PhaseDNS, PhaseConnect, PhaseTLS, PhaseFirstByte, PhaseDOM, PhasePaint, PhaseVisible, PhaseLogon},
		Numbers: []NumberKind{
			certificateDays,
			{Name: FirstByte, Doc: "Seconds to the first byte of the document, redirects included (TTFB).", Unit: "s"},
			{Name: FirstPaint, Doc: "Seconds to the first text or picture (FCP).", Unit: "s"},
			{Name: LargestPaint, Doc: "Seconds to the largest text or picture so far (LCP).", Unit: "s"},
			{Name: LayoutShift, Doc: "How much the page moved while it was built (CLS); over 0.25 is poor."},
			{Name: Requests, Doc: "Requests that the page made."},
			{Name: FailedRequests, Doc: "Requests of the page that failed or were answered by a status from 400 on."},
			{Name: ScriptErrors, Doc: "Uncaught exceptions of the page's scripts."},
		},
	})
}

// Validate checks the keys and prepares the account's guard. That Chromium is missing is no fault: see Missing.
func (p *Browser) Validate() field.Errors {
	var faults field.Errors
	u, err := url.Parse(p.URL)
	switch {
	case p.URL == "":
	case err != nil || u.Hostname() == "":
		faults.AddHint("url", "write https://host/path", "is not an address")
	case u.Scheme != "http" && u.Scheme != "https":
		faults.AddHint("url", "write https://host/path", "does not begin with http:// or https://")
	case u.User != nil:
		faults.AddHint("url", "use login", "holds credentials")
	default:
		p.target = u
	}
	for key, text := range map[string]string{
		"visible": p.Visible, "text": p.Text, "login.start": p.Login.Start, "login.user_field": p.Login.UserField,
		"login.password_field": p.Login.PasswordField, "login.submit": p.Login.Submit, "login.expect": p.Login.Expect,
		"login.refused": p.Login.Refused, "login.logout": p.Login.Logout,
	} {
		if len(text) > 500 || !utf8.ValidString(text) {
			faults.Add(key, "is longer than 500 bytes or no UTF-8")
		}
	}
	switch p.Sandbox {
	case "", sandboxAuto, sandboxRequire, sandboxOff:
	default:
		faults.AddHint("sandbox", "auto, require or off", "is none of them")
	}
	checkHosts(&faults, "hosts", p.Hosts)
	checkHosts(&faults, "login.hosts", p.Login.Hosts)
	p.pool = loadPool(&faults, "ca_file", p.CAFile)
	if p.CAFile != "" && runtime.GOOS != "linux" {
		faults.AddHint("ca_file", "let the system trust the authority", "works on Linux only")
	}
	p.checkLogin(&faults)
	return faults
}

// checkHosts wants names, without scheme, port and path.
func checkHosts(faults *field.Errors, path string, hosts []string) {
	for _, host := range hosts {
		if u, err := url.Parse("https://" + host); err != nil || u.Hostname() != host || host == "" {
			faults.AddHint(path, "write the name only, such as login.example.com", "%s is no host", Printable(host, 60))
		}
	}
}

func (p *Browser) checkLogin(faults *field.Errors) {
	l := &p.Login
	if l.User == "" {
		if !l.Password.IsZero() || l.Form != "" || l.Expect != "" {
			faults.AddHint("login.user", "write the account's name", "is required for a log-in")
		}
		return
	}
	switch l.Form {
	case "", formLocal, formEntra:
	default:
		faults.AddHint("login.form", "local or entra", "is no form")
	}
	if l.Password.IsZero() {
		faults.AddHint("login.password", "write password_file: and the path of a file", "is required for a log-in")
	}
	if l.Expect == "" {
		faults.AddHint("login.expect", "write a CSS selector, such as #logout", "is required: without it nobody knows that the account is in")
	}
	if p.target == nil || len(*faults) > 0 {
		return
	}
	if p.target.Scheme != "https" && !isLoopback(p.target.Hostname()) {
		faults.AddHint("url", "use https", "a password is not sent in clear")
		return
	}
	p.masked = []secret.Value{l.Password}
	scope := p.target.Host
	if l.Form == formEntra {
		scope = "" // an account of Entra is the same whatever the page
	}
	var err error
	if p.key, err = guardKey("browser", l.User, "", scope, []byte(l.Password.Reveal())); err != nil {
		faults.Add("login.password", "cannot be guarded against a lock-out: %s", clause(err))
	}
}

func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost"
}

// Missing says what this host lacks for the probe, and what to do about it; "" when it lacks nothing.
func (p *Browser) Missing() string {
	if _, err := chromium.Find(p.Chromium); err != nil {
		return err.Error()
	}
	return ""
}

// UsesAccount reports whether the probe logs in.
func (p *Browser) UsesAccount() bool { return p.Login.User != "" }

// SetLatch makes the probe remember refusals in l. It is called before the first run.
func (p *Browser) SetLatch(l Latch) { p.latch = l }

// ResetLatch forgets that the account was refused; the next run tries it again.
func (p *Browser) ResetLatch() error {
	if p.Login.User == "" {
		return nil
	}
	return p.guard().reset()
}

func (p *Browser) guard() guard {
	if p.latch == nil {
		return guard{processLatch, p.key}
	}
	return guard{p.latch, p.key}
}

// options say which browser the probe shares.
func (p *Browser) options() (chromium.Options, error) {
	path, err := chromium.Find(p.Chromium)
	root := runtime.GOOS == "linux" && os.Geteuid() == 0
	return chromium.Options{Path: path, Sandbox: p.Sandbox == sandboxRequire || p.Sandbox != sandboxOff && !root, CAFile: p.CAFile}, err
}

// entraHosts are the sign-in hosts of Entra: public, US Gov, China (see docs of the clouds' endpoints).
var entraHosts = []string{
	"login.microsoftonline.com", "login.microsoft.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
}

// ends are the hosts on which the page may end, as a document names its own.
func (p *Browser) ends() []string { return p.with(p.Hosts) }

// with returns the page's own host and others, as a document names its own.
func (p *Browser) with(hosts []string) []string {
	all := []string{strings.ToLower(p.target.Hostname())}
	if strings.Contains(all[0], ":") {
		all[0] = "[" + all[0] + "]"
	}
	for _, host := range hosts {
		all = append(all, strings.ToLower(host))
	}
	return all
}

// mayEnd reports whether the page may end at an address.
func (p *Browser) mayEnd(address string) bool { return p.allows(address, p.Hosts) }

// mayType reports whether the account may be given to a form at an address: never in clear, unless the page itself is so.
func (p *Browser) mayType(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && (u.Scheme != p.target.Scheme || !isLoopback(u.Hostname())) {
		return false
	}
	if p.Login.Form == formEntra && slices.Contains(entraHosts, strings.ToLower(u.Hostname())) {
		return true
	}
	return p.allows(address, p.Login.Hosts)
}

func (p *Browser) allows(address string, hosts []string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	same := func(other string) bool { return strings.EqualFold(other, host) }
	return same(p.target.Hostname()) || slices.ContainsFunc(hosts, same)
}

// address returns host and port of the page, to be dialled.
func (p *Browser) address() string {
	port := p.target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[p.target.Scheme]
	}
	return net.JoinHostPort(p.target.Hostname(), port)
}

// CloseBrowsers ends the browsers of all browser probes; a later run starts another. It is called when the agent ends.
func CloseBrowsers() { chromium.Close() }
