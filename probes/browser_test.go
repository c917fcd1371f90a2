package probes

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/chromium"
)

// TestNetErrors states what Chromium's words for a failure mean.
func TestNetErrors(t *testing.T) {
	for text, want := range map[chromium.NetError]struct {
		outcome Outcome
		reason  Reason
		phase   string
	}{
		"net::ERR_NAME_NOT_RESOLVED":                 {Down, DNS, PhaseDNS},
		"net::ERR_DNS_MALFORMED_RESPONSE":            {Down, DNS, PhaseDNS},
		"net::ERR_DNS_TIMED_OUT":                     {Unknown, Local, PhaseDNS},
		"net::ERR_INTERNET_DISCONNECTED":             {Unknown, Local, PhaseConnect},
		"net::ERR_NETWORK_CHANGED":                   {Unknown, Local, PhaseConnect},
		"net::ERR_CONNECTION_REFUSED":                {Down, Refused, PhaseConnect},
		"net::ERR_ADDRESS_UNREACHABLE":               {Down, Unreachable, PhaseConnect},
		"net::ERR_ADDRESS_INVALID":                   {Down, Unreachable, PhaseConnect},
		"net::ERR_CONNECTION_TIMED_OUT":              {Down, Timeout, PhaseConnect},
		"net::ERR_CONNECTION_RESET":                  {Down, Reset, PhaseFirstByte},
		"net::ERR_EMPTY_RESPONSE":                    {Down, Reset, PhaseFirstByte},
		"net::ERR_SSL_VERSION_OR_CIPHER_MISMATCH":    {Down, TLS, PhaseTLS},
		"net::ERR_SSL_PROTOCOL_ERROR":                {Down, TLS, PhaseTLS},
		"net::ERR_CERT_DATE_INVALID":                 {Down, BadCertificate, PhaseTLS},
		"net::ERR_CERT_WEAK_SIGNATURE_ALGORITHM":     {Down, BadCertificate, PhaseTLS},
		"net::ERR_CERTIFICATE_TRANSPARENCY_REQUIRED": {Down, BadCertificate, PhaseTLS},
		"net::ERR_INVALID_HTTP_RESPONSE":             {Down, Protocol, PhaseFirstByte},
		"net::ERR_HTTP2_PROTOCOL_ERROR":              {Down, Protocol, PhaseFirstByte},
		"net::ERR_TOO_MANY_REDIRECTS":                {Down, Status, PhaseFirstByte},
		"net::ERR_BLOCKED_BY_RESPONSE":               {Down, Content, PhaseFirstByte},
		"net::ERR_ABORTED":                           {Down, Content, PhaseFirstByte},
		"net::ERR_OUT_OF_MEMORY":                     {Unknown, Local, PhaseConnect},
		"net::ERR_UNSAFE_PORT":                       {Unknown, Internal, PhaseConnect},
		"net::ERR_SOMETHING_OF_A_LATER_VERSION":      {Down, Protocol, PhaseFirstByte},
	} {
		got := judgeNet(text)
		if got.outcome != want.outcome || got.reason != want.reason || got.phase != want.phase || got.words == "" {
			t.Errorf("%s is %s, %s in %s (%q), want %v", text, got.outcome, got.reason, got.phase, got.words, want)
		}
	}
}

// TestMilestones states how the time of a page is divided: the phases add up to when it was seen, or to the end.
func TestMilestones(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		m    milestones
		want []Phase
	}{
		"seen last": {
			milestones{dns: 5 * ms, connect: 10 * ms, tls: 20 * ms, first: 50 * ms, answered: true, parsed: 200 * ms, painted: 250 * ms, seen: 400 * ms, ending: 450 * ms},
			[]Phase{{PhaseDNS, 5 * ms}, {PhaseConnect, 10 * ms}, {PhaseTLS, 20 * ms}, {PhaseFirstByte, 50 * ms}, {PhaseDOM, 115 * ms}, {PhasePaint, 50 * ms}, {PhaseVisible, 150 * ms}},
		},
		"seen before it is parsed": {
			milestones{first: 50 * ms, answered: true, seen: 100 * ms, ending: 120 * ms}, []Phase{{PhaseFirstByte, 50 * ms}, {PhaseDOM, 50 * ms}},
		},
		"painted before it is parsed": {
			milestones{first: 50 * ms, answered: true, parsed: 300 * ms, painted: 100 * ms, seen: 350 * ms, ending: 350 * ms},
			[]Phase{{PhaseFirstByte, 50 * ms}, {PhaseDOM, 250 * ms}, {PhaseVisible, 50 * ms}},
		},
		"never seen": {
			milestones{first: 50 * ms, answered: true, parsed: 100 * ms, painted: 120 * ms, ending: 900 * ms},
			[]Phase{{PhaseFirstByte, 50 * ms}, {PhaseDOM, 50 * ms}, {PhasePaint, 20 * ms}, {PhaseVisible, 780 * ms}},
		},
		"no answer":    {milestones{ending: 900 * ms}, []Phase{{PhaseFirstByte, 900 * ms}}},
		"refused":      {milestones{ending: 9 * ms, failed: PhaseConnect}, []Phase{{PhaseConnect, 9 * ms}}},
		"absurd times": {milestones{dns: time.Hour, first: time.Hour, answered: true, parsed: time.Hour, seen: 10 * ms, ending: 5 * ms}, []Phase{{PhaseDNS, 5 * ms}}},
	} {
		if got := c.m.phases(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestPageURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://acme.example/a/b":                               "https://acme.example/a/b",
		"https://u:p@acme.example/?code=abc&state=x#id_token=1":  "https://acme.example/?code=" + secret.Mask + "&state=" + secret.Mask,
		"https://a.example/s/0123456789abcdef0123456789abcdef/x": "https://a.example/s/" + secret.Mask + "/x",
		"https://a.example/x;jsessionid=12345":                   "https://a.example/x;" + secret.Mask,
		"mailto:someone@acme.example":                            "mailto:" + secret.Mask,
		"https://a.example/%zz":                                  secret.Mask,
	} {
		if got := pageURL(raw); got != want {
			t.Errorf("%s is kept as %s, want %s", raw, got, want)
		}
	}
}

// TestHAR states that an archive is one, bounded, and holds none of what is secret.
func TestHAR(t *testing.T) {
	record := chromium.Record{Marks: chromium.Marks{Parsed: 10.5, Loaded: 11}, Requests: []chromium.Request{{
		Method: "GET", URL: "https://acme.example/in?password=hunter22&code=topsecretcode#x", Document: true, Kind: "Document", Start: 10, End: 10.4,
		Wall: time.Unix(1e9, 0).UTC(), Answered: true, Status: 302, StatusText: "Found", Protocol: "h2", Address: "192.0.2.1",
		Headers:       []chromium.Header{{Name: "Referer", Value: "https://acme.example/?token=topsecretcode"}},
		AnswerHeaders: []chromium.Header{{Name: "Location", Value: "https://login.example/?state=topsecretcode"}, {Name: "X-Note", Value: "for hunter22"}},
		Timing:        &chromium.Timing{Base: 10, DNSStart: 0, DNSEnd: 5, ConnectStart: 5, ConnectEnd: 30, TLSStart: 10, TLSEnd: 30, SendStart: 30, SendEnd: 31, HeadersEnd: 100},
	}, {Method: "GET", URL: "https://acme.example/logo.png", Start: 10.1, Failure: "net::ERR_FAILED"}}}
	masked := []secret.Value{secret.New("hunter22")}
	text := har(record, "the title of hunter22, session 0123456789abcdef0123456789abcdef", func(text string) string { return secret.Hide(text, masked) })
	for _, word := range []string{"hunter22", "topsecretcode", "0123456789abcdef"} {
		if strings.Contains(string(text), word) {
			t.Errorf("%s is in the archive: %s", word, text)
		}
	}
	var file harFile
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	first := file.Log.Entries[0]
	if want := (harTimings{-1, 5, 25, 1, 69, 300, 20}); first.Timings != want || first.Time != 400 {
		t.Errorf("timings are %v in %v ms, want %v in 400 ms", first.Timings, first.Time, want)
	}
	if first.Response.Redirect != "https://login.example/?state="+secret.Mask || len(first.Request.Query) != 2 {
		t.Errorf("redirect is %s, query %v", first.Response.Redirect, first.Request.Query)
	}
	if got := file.Log.Pages[0].Timings; got != (harPageTimings{500, 1000}) {
		t.Errorf("page timings are %v", got)
	}
	many := chromium.Record{Omitted: 1}
	for range 400 {
		q := record.Requests[0]
		q.URL = "https://acme.example/" + strings.Repeat("<&>", 300)
		many.Requests = append(many.Requests, q)
	}
	if text := har(many, "", func(text string) string { return text }); len(text) > MaxAttachment || !json.Valid(text) {
		t.Errorf("a large archive has %d bytes", len(text))
	}
	if har(chromium.Record{}, "", nil) != nil {
		t.Error("no requests, and yet an archive")
	}
}

// TestBrowserHosts states where a page may end and whose forms are given the account.
func TestBrowserHosts(t *testing.T) {
	p := &Browser{URL: "https://acme.example/", Hosts: []string{"www.acme.example"}, Login: BrowserLogin{
		Form: formEntra, User: "probe@acme.example", Password: secret.New("password"), Expect: "#in", Hosts: []string{"adfs.acme.example"},
	}}
	if faults := p.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	for address, want := range map[string][2]bool{
		"https://acme.example/x":                         {true, true},
		"https://ACME.example":                           {true, true},
		"http://acme.example/":                           {true, false},
		"https://www.acme.example":                       {true, false},
		"https://adfs.acme.example/adfs/ls":              {false, true},
		"https://login.microsoftonline.com/x/oauth2":     {false, true},
		"http://login.microsoftonline.com/":              {false, false},
		"https://login.microsoftonline.com.evil.example": {false, false},
		"https://evil.example/acme.example":              {false, false},
		"data:text/html,acme.example":                    {false, false},
		"":                                               {false, false},
	} {
		if got := [2]bool{p.mayEnd(address), p.mayType(address)}; got != want {
			t.Errorf("%q: may end and may type are %v, want %v", address, got, want)
		}
	}
}

func TestBrowserValidate(t *testing.T) {
	login := BrowserLogin{User: "probe", Password: secret.New("password"), Expect: "#in"}
	for name, c := range map[string]struct {
		probe Browser
		want  string
	}{
		"no address":        {Browser{URL: "acme.example"}, "is not an address"},
		"other scheme":      {Browser{URL: "ftp://acme.example"}, "does not begin with http"},
		"credentials":       {Browser{URL: "https://u:p@acme.example"}, "holds credentials"},
		"password in clear": {Browser{URL: "http://acme.example", Login: login}, "a password is not sent in clear"},
		"no password":       {Browser{URL: "https://acme.example", Login: BrowserLogin{User: "probe", Expect: "#in"}}, "is required for a log-in"},
		"no expectation":    {Browser{URL: "https://acme.example", Login: BrowserLogin{User: "probe", Password: secret.New("password")}}, "nobody knows that the account is in"},
		"no user":           {Browser{URL: "https://acme.example", Login: BrowserLogin{Password: secret.New("password")}}, "is required for a log-in"},
		"host with a port":  {Browser{URL: "https://acme.example", Hosts: []string{"a.example:443"}}, "is no host"},
		"no form":           {Browser{URL: "https://acme.example", Login: BrowserLogin{User: "probe", Form: "saml"}}, "is no form"},
		"sandbox":           {Browser{URL: "https://acme.example", Sandbox: "yes"}, "is none of them"},
		"fine":              {Browser{URL: "https://acme.example", Login: login}, ""},
		"loopback":          {Browser{URL: "http://127.0.0.1:80", Login: login}, ""},
	} {
		var texts []string
		for _, f := range c.probe.Validate() {
			texts = append(texts, f.Path+" "+f.Message)
		}
		if all := strings.Join(texts, "; "); !strings.Contains(all, c.want) || c.want == "" && all != "" {
			t.Errorf("%s: faults are %q, want %q", name, all, c.want)
		}
	}
}
