package probes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	maxDoor    = 64 << 10 // bytes of an answer that are read
	maxRDPFile = 1 << 20
)

// door is one of Microsoft's front doors.
type door struct {
	name  string
	url   string
	judge func(status int, body []byte) doorVerdict
	http  *HTTP
}

// doorVerdict is what an answer of a front door means.
type doorVerdict struct {
	outcome Outcome
	reason  Reason
	text    string // for a fact, or for the detail where the outcome is not Up
	mute    bool   // the answer says nothing about the service
}

// doorAnswer is one front door's part of a run.
type doorAnswer struct {
	Result
	name, host string
	said       string
	mute       bool
}

func (a *doorAnswer) text() string {
	return fmt.Sprintf("%s (%s): %s", a.name, a.host, Printable(a.Detail, 160))
}

func (a *doorAnswer) fact() string {
	text := a.said
	if a.Outcome != Up {
		text = a.Outcome.String() + ", " + a.Detail
	}
	return fmt.Sprintf("%s: %s, %s", a.host, Printable(text, 300), a.Duration.Round(time.Millisecond))
}

// ask makes one request and judges its answer. A redirect is an answer.
func (d *door) ask(ctx context.Context) doorAnswer {
	rec := NewRecorder(ctx)
	answer := doorAnswer{name: d.name, host: d.http.target.Host}
	rec.Mask(d.http.masked...)
	ctx = rec.traced(ctx)
	response, err := d.http.roundTrip(ctx, hop{url: d.http.target, method: http.MethodGet, trusted: true})
	if err != nil {
		answer.Result = d.http.fail(ctx, rec, err)
		return answer
	}
	defer func() { _ = response.Body.Close() }()
	if response.TLS != nil {
		rec.Certificate(response.TLS.PeerCertificates[0])
	}
	body, _, err := readBody(response.Body, make([]byte, 0, 1<<10), maxDoor)
	rec.End()
	if err != nil {
		answer.Result = d.http.cutShort(ctx, rec, response, len(body), err)
		return answer
	}
	v := d.verdict(response, body)
	answer.said, answer.mute = v.text, v.mute
	if v.outcome == Up {
		answer.Result = rec.Up()
		return answer
	}
	answer.Result = rec.Finish(v.outcome, v.reason, "%s", v.text)
	return answer
}

// verdict judges what is the same at every front door, and leaves the rest to the door's own judge.
func (d *door) verdict(response *http.Response, body []byte) doorVerdict {
	switch status := response.StatusCode; {
	case status >= 500:
		return doorVerdict{outcome: Down, reason: Status, text: "status " + statusText(response)}
	case status == http.StatusTooManyRequests: // it answers, and not to be asked so often is no outage
		return doorVerdict{outcome: Up, text: "answers, and asks to be asked less often (429)"}
	case status == http.StatusProxyAuthRequired:
		return doorVerdict{outcome: Unknown, reason: Local, text: "a proxy wants to be authenticated to (407)", mute: true}
	default:
		return d.judge(status, body)
	}
}

// judgeHealth judges /api/health: JSON with a property Health, or the same sentence for browsers, such as "RDBroker is Healthy".
func judgeHealth(status int, body []byte) doorVerdict {
	if status != http.StatusOK {
		return doorVerdict{outcome: Unknown, reason: Local, mute: true, text: fmt.Sprintf("status %d where the health of the service is expected: a proxy may answer in its place", status)}
	}
	var said struct{ Health, ClusterURL, RegionURL string }
	isJSON := json.Unmarshal(body, &said) == nil
	health := said.Health
	if !isJSON && len(body) <= 4096 && !bytes.Contains(body, []byte("<html")) {
		health = strings.TrimSpace(string(body))
	}
	text := strings.ToLower(health)
	switch {
	case strings.HasSuffix(strings.TrimRight(text, ". "), "is healthy"):
		where := said.RegionURL
		if where == "" {
			where = said.ClusterURL
		}
		if where != "" {
			where = " (" + Printable(where, 80) + ")"
		}
		return doorVerdict{outcome: Up, text: Printable(health, 80) + where}
	case isJSON && health != "" || strings.Contains(text, "unhealthy") || strings.Contains(text, "not healthy"):
		return doorVerdict{outcome: Down, reason: Content, text: fmt.Sprintf("the service itself says %q", Printable(health, 100))}
	}
	return doorVerdict{outcome: Unknown, reason: Local, mute: true, text: "what answers is not the health of the service" + titled(body) + ": a proxy may answer in its place"}
}

// judgeFeed judges feed discovery, which wants a token: any answer but a server's own failure shows that it is there.
func judgeFeed(status int, _ []byte) doorVerdict {
	return doorVerdict{outcome: Up, text: fmt.Sprintf("answers %d without a token", status)}
}

// judgeSignIn judges the tenant's OpenID configuration (OpenID Connect Discovery 1.0 section 4).
func judgeSignIn(status int, body []byte) doorVerdict {
	var said struct {
		Endpoint string `json:"token_endpoint"`
		Error    string `json:"error"`
	}
	isJSON := json.Unmarshal(body, &said) == nil
	switch {
	case status == http.StatusOK && isJSON && said.Endpoint != "":
		return doorVerdict{outcome: Up, text: "sign-in is there"}
	case status < 500 && status >= 400 && isJSON && said.Error != "":
		return doorVerdict{outcome: Degraded, reason: Functional, text: fmt.Sprintf("microsoft entra knows no such tenant (%d %s): check tenant_id", status, Printable(said.Error, 40))}
	}
	return doorVerdict{outcome: Unknown, reason: Local, mute: true, text: fmt.Sprintf("status %d, and what answers is not microsoft's sign-in%s: a proxy may answer in its place", status, titled(body))}
}

// noteCertificate takes over what another Recorder noted.
func (r *Recorder) noteCertificate(c *Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		r.result.Certificate = c
	}
}

// hostPattern is what a host name may be made of, as it is put into an address.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?$`)

// gatewayIn returns what gatewayhostname says in an .rdp file.
func gatewayIn(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxRDPFile+1))
	switch {
	case err != nil:
		return "", err
	case len(content) > maxRDPFile:
		return "", fmt.Errorf("%s is longer than an .rdp file", name)
	}
	gateway := parseGateway(content)
	if gateway == "" {
		return "", fmt.Errorf("%s names no gateway (gatewayhostname:s:)", name)
	}
	return gateway, nil
}

// parseGateway finds gatewayhostname:s:host in the text of an .rdp file (name:type:value in each line; UTF-8, or UTF-16 with a
// byte order mark, as Windows saves it); "" when it is not there.
func parseGateway(content []byte) string {
	for line := range strings.Lines(rdpText(content)) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || !strings.EqualFold(name, "gatewayhostname") {
			continue
		}
		if kind, value, ok := strings.Cut(rest, ":"); ok && strings.EqualFold(kind, "s") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func rdpText(content []byte) string {
	big := bytes.HasPrefix(content, []byte{0xfe, 0xff})
	if !big && !bytes.HasPrefix(content, []byte{0xff, 0xfe}) {
		return string(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")))
	}
	units := make([]uint16, 0, len(content)/2)
	for i := 2; i+1 < len(content); i += 2 {
		low, high := content[i], content[i+1]
		if big {
			low, high = high, low
		}
		units = append(units, uint16(high)<<8|uint16(low))
	}
	return string(utf16.Decode(units))
}
