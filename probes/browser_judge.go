package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes/chromium"
)

// netError is what an error of Chromium's network stack means (net/base/net_error_list.h).
type netError struct {
	outcome Outcome
	reason  Reason
	phase   string // in which it happens
	words   string
}

// netErrors are those that have a meaning of their own; see judgeNet for families and for the rest.
var netErrors = map[string]netError{
	"ERR_NAME_NOT_RESOLVED":           {Down, DNS, PhaseDNS, "the name cannot be resolved"},
	"ERR_NAME_RESOLUTION_FAILED":      {Down, DNS, PhaseDNS, "the name cannot be resolved"},
	"ERR_DNS_TIMED_OUT":               {Unknown, Local, PhaseDNS, "the resolver does not answer in time"},
	"ERR_INTERNET_DISCONNECTED":       {Unknown, Local, PhaseConnect, "this host has no network"},
	"ERR_NETWORK_CHANGED":             {Unknown, Local, PhaseConnect, "this host's network changed meanwhile"},
	"ERR_NETWORK_IO_SUSPENDED":        {Unknown, Local, PhaseConnect, "this host was asleep"},
	"ERR_NETWORK_ACCESS_DENIED":       {Unknown, Local, PhaseConnect, "this host's firewall does not let the connection out"},
	"ERR_ADDRESS_UNREACHABLE":         {Down, Unreachable, PhaseConnect, "the address cannot be reached"},
	"ERR_CONNECTION_REFUSED":          {Down, Refused, PhaseConnect, "the server refuses the connection"},
	"ERR_CONNECTION_FAILED":           {Down, Refused, PhaseConnect, "no connection can be made"},
	"ERR_CONNECTION_TIMED_OUT":        {Down, Timeout, PhaseConnect, "no connection in time"},
	"ERR_TIMED_OUT":                   {Down, Timeout, PhaseFirstByte, "no answer in time"},
	"ERR_CONNECTION_RESET":            {Down, Reset, PhaseFirstByte, "the server reset the connection"},
	"ERR_CONNECTION_CLOSED":           {Down, Reset, PhaseFirstByte, "the server closed the connection before it had answered"},
	"ERR_CONNECTION_ABORTED":          {Down, Reset, PhaseFirstByte, "the connection was aborted"},
	"ERR_EMPTY_RESPONSE":              {Down, Reset, PhaseFirstByte, "the server closed the connection without an answer"},
	"ERR_SOCKET_NOT_CONNECTED":        {Down, Reset, PhaseFirstByte, "the connection was lost"},
	"ERR_TOO_MANY_REDIRECTS":          {Down, Status, PhaseFirstByte, "the page redirects without end"},
	"ERR_HTTP_RESPONSE_CODE_FAILURE":  {Down, Status, PhaseFirstByte, "the answer is an error without a page"},
	"ERR_ABORTED":                     {Down, Content, PhaseFirstByte, "the answer is no page: a download, or none (status 204)"},
	"ERR_CONTENT_DECODING_FAILED":     {Down, Content, PhaseFirstByte, "the page's compression is broken"},
	"ERR_UNSAFE_REDIRECT":             {Down, Content, PhaseFirstByte, "the page redirects to what is no web address"},
	"ERR_UNKNOWN_URL_SCHEME":          {Down, Content, PhaseFirstByte, "the page redirects to what is no web address"},
	"ERR_INVALID_REDIRECT":            {Down, Content, PhaseFirstByte, "the page redirects to what is no address"},
	"ERR_UNSAFE_PORT":                 {Unknown, Internal, PhaseConnect, "chromium opens no page on this port"},
	"ERR_INSUFFICIENT_RESOURCES":      {Unknown, Local, PhaseConnect, "this host has not enough resources for chromium"},
	"ERR_OUT_OF_MEMORY":               {Unknown, Local, PhaseConnect, "this host has not enough memory for chromium"},
	"ERR_FILE_NO_SPACE":               {Unknown, Local, PhaseConnect, "this host's disk is full"},
	"ERR_CACHE_WRITE_FAILURE":         {Unknown, Local, PhaseFirstByte, "chromium cannot write its cache: is this host's disk full?"},
	"ERR_SSL_PROTOCOL_ERROR":          {Down, TLS, PhaseTLS, "the server does not speak tls properly"},
	"ERR_BAD_SSL_CLIENT_AUTH_CERT":    {Down, TLS, PhaseTLS, "the server wants a client certificate"},
	"ERR_SSL_CLIENT_AUTH_CERT_NEEDED": {Down, TLS, PhaseTLS, "the server wants a client certificate"},
	"ERR_CERT_DATE_INVALID":           {Down, BadCertificate, PhaseTLS, "the certificate is expired, or not yet valid"},
	"ERR_CERT_COMMON_NAME_INVALID":    {Down, BadCertificate, PhaseTLS, "the certificate is for another name"},
	"ERR_CERT_AUTHORITY_INVALID":      {Down, BadCertificate, PhaseTLS, "the certificate is signed by an authority that is not trusted: if it is the customer's own, set ca_file"},
	"ERR_CERT_REVOKED":                {Down, BadCertificate, PhaseTLS, "the certificate is revoked"},
}

// judgeNet says what an error of Chromium's network stack means.
func judgeNet(err chromium.NetError) netError {
	name := strings.TrimPrefix(string(err), "net::")
	if known, ok := netErrors[name]; ok {
		return known
	}
	words := "chromium says " + name
	for _, family := range []struct {
		prefix string
		meant  netError
	}{
		{"ERR_CERT", netError{Down, BadCertificate, PhaseTLS, words}},
		{"ERR_SSL", netError{Down, TLS, PhaseTLS, words}},
		{"ERR_TLS", netError{Down, TLS, PhaseTLS, words}},
		{"ERR_ECH", netError{Down, TLS, PhaseTLS, words}},
		{"ERR_DNS", netError{Down, DNS, PhaseDNS, words}},
		{"ERR_ICANN", netError{Down, DNS, PhaseDNS, words}},
		{"ERR_ADDRESS", netError{Down, Unreachable, PhaseConnect, words}},
		{"ERR_BLOCKED", netError{Down, Content, PhaseFirstByte, words}},
		{"ERR_PROXY", netError{Unknown, Local, PhaseConnect, words}},
		{"ERR_TUNNEL", netError{Unknown, Local, PhaseConnect, words}},
		{"ERR_FILE", netError{Unknown, Local, PhaseConnect, words}},
		{"ERR_CACHE", netError{Unknown, Local, PhaseFirstByte, words}},
	} {
		if strings.HasPrefix(name, family.prefix) {
			return family.meant
		}
	}
	return netError{Down, Protocol, PhaseFirstByte, words}
}

// failed ends a run whose page did not come to show what it should.
func (v *visit) failed(record chromium.Record, err error) Result {
	var (
		network  chromium.NetError
		status   statusError
		foreign  foreignError
		selector selectorError
	)
	switch {
	case errors.Is(v.ctx.Err(), context.Canceled):
		return v.rec.Fail(v.ctx, v.ctx.Err(), Protocol)
	case errors.As(err, &network):
		return v.noDocument(network)
	case errors.As(err, &status):
		return v.finish(Down, Status, "%s instead of the page", status)
	case errors.As(err, &foreign):
		return v.finish(Down, Content, "the page ends at %s, not at %s%s", hostIn(string(foreign)), v.p.target.Host, v.titled())
	case errors.As(err, &selector):
		return v.finish(Unknown, Internal, "%q is no css selector: mend the configuration", string(selector))
	case v.until.Err() != nil:
		return v.late(record)
	}
	return v.finish(Unknown, Local, "%s", clause(err))
}

// noDocument ends a run whose document did not come. About names, routes and certificates Go's own network stack is asked for a
// second opinion: it tells this host's faults from the target's, and says what is wrong with a certificate.
func (v *visit) noDocument(err chromium.NetError) Result {
	meant := judgeNet(err)
	v.rec.Fact("error", string(err))
	if gone := v.page.Err(); gone != nil {
		return v.finish(Unknown, Local, "%s", clause(gone))
	}
	if meant.reason == DNS || meant.reason == Unreachable || meant.reason == BadCertificate {
		if other := v.secondOpinion(meant.reason == BadCertificate); other != nil && v.ctx.Err() == nil {
			v.facts(v.page.Record())
			return v.rec.Fail(v.ctx, other, meant.reason)
		}
	}
	return v.finish(meant.outcome, meant.reason, "%s", meant.words)
}

func (v *visit) secondOpinion(handshake bool) error {
	conn, err := v.rec.Dial(v.ctx, "tcp", v.p.address())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if !handshake {
		return nil
	}
	v.rec.Begin(PhaseTLS)
	defer v.rec.End()
	return tls.Client(conn, &tls.Config{ServerName: v.p.target.Hostname(), RootCAs: v.p.pool}).HandshakeContext(v.ctx)
}

// late ends a run whose time is over, and says what was missing.
func (v *visit) late(record chromium.Record) Result {
	within := time.Since(v.began).Round(10 * time.Millisecond)
	document, ok := record.Document()
	if !ok || !document.Answered {
		return v.finish(Down, Timeout, "no answer within %s", within)
	}
	if !v.p.mayEnd(record.URL) && record.URL != "" {
		return v.finish(Down, Content, "the page ends at %s, not at %s", hostIn(record.URL), v.p.target.Host)
	}
	var pending []chromium.Request
	for _, q := range record.Requests {
		if q.End == 0 && !q.Cancelled {
			pending = append(pending, q)
		}
	}
	waiting := list(pending, 3, func(q chromium.Request) string { return bareURL(q.URL) })
	v.rec.Fact("still_loading", waiting)
	what := v.p.wanted()
	if waiting != "" {
		return v.finish(Down, Timeout, "%s within %s: still loading %s", what, within, waiting)
	}
	return v.finish(Down, Content, "%s within %s, though the page has loaded%s", what, within, v.titled())
}

// wanted says what the page does not show.
func (p *Browser) wanted() string {
	switch {
	case p.Visible == "" && p.Text == "":
		return "the page has not loaded"
	case p.Text == "":
		return p.Visible + " is not visible"
	case p.Visible == "":
		return fmt.Sprintf("%q is not visible", p.Text)
	}
	return fmt.Sprintf("%s or %q is not visible", p.Visible, p.Text)
}

// titled asks the page for its title, for a detail.
func (v *visit) titled() string {
	ctx, cancel := context.WithTimeout(v.ctx, time.Second/2)
	defer cancel()
	if v.page.Eval(ctx, "function() { return document.title }", &v.title) != nil || v.title == "" {
		return ""
	}
	v.rec.Fact("title", maskTokens(v.title))
	return " (its title is \"" + Printable(maskTokens(v.title), 80) + "\")"
}

func hostIn(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "an address without a host"
	}
	return Printable(u.Host, 100)
}

// milestones are when a page reached its stages, since its run began; 0 is never. The network's are sums over redirects.
type milestones struct {
	dns, connect, tls, first      time.Duration
	answered                      bool
	parsed, painted, seen, ending time.Duration
	failed                        string // the phase in which the document failed; "" when it came
}

// milestones reads them out of a record.
func (v *visit) milestones(record chromium.Record, err error) milestones {
	m := milestones{seen: v.seen, ending: time.Since(v.began)}
	if network, ok := errors.AsType[chromium.NetError](err); ok {
		m.failed = judgeNet(network).phase
	}
	start := firstStart(record)
	since := func(mark float64) time.Duration {
		if mark < start {
			return 0
		}
		return seconds(mark - start)
	}
	for _, q := range record.Requests {
		if !q.Document || q.Timing == nil {
			continue
		}
		t := q.Timing
		m.answered = true
		handshake := span(t.TLSStart, t.TLSEnd)
		m.dns += span(t.DNSStart, t.DNSEnd)
		m.connect += max(0, span(t.ConnectStart, t.ConnectEnd)-handshake)
		m.tls += handshake
		m.first += span(t.SendStart, t.HeadersEnd)
	}
	m.parsed, m.painted = since(record.Marks.Parsed), since(record.Marks.Painted)
	return m
}

// span is the time between two milliseconds; 0 when there is none.
func span(from, to float64) time.Duration {
	if from < 0 || to < from {
		return 0
	}
	return seconds((to - from) / 1000)
}

func seconds(s float64) time.Duration {
	return time.Duration(min(max(s, 0), 1e6) * float64(time.Second))
}

// phases divides the time until the page was seen, or until the run ended, so that they add up to it. The stage that was not
// reached has the rest.
func (m milestones) phases() []Phase {
	end := m.seen
	if end == 0 || end > m.ending {
		end = m.ending
	}
	var list []Phase
	spent := time.Duration(0)
	add := func(name string, d time.Duration) {
		if d = min(d, end-spent); d > 0 {
			list = append(list, Phase{name, d})
			spent += d
		}
	}
	add(PhaseDNS, m.dns)
	add(PhaseConnect, m.connect)
	add(PhaseTLS, m.tls)
	add(PhaseFirstByte, m.first)
	switch {
	case m.failed != "" || !m.answered:
		if m.failed == "" {
			m.failed = PhaseFirstByte
		}
		add(m.failed, end)
		return list
	case m.parsed == 0:
		add(PhaseDOM, end)
		return list
	}
	add(PhaseDOM, m.parsed-spent)
	if m.painted > 0 {
		add(PhasePaint, m.painted-spent)
	}
	add(PhaseVisible, end)
	return list
}
