package probes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// judge reads the answer and ends the run; redirect is why a redirect was not followed.
func (p *HTTP) judge(ctx context.Context, rec *Recorder, step hop, response *http.Response, redirect error) Result {
	buffer := buffers.Get().(*[]byte)
	body, more, err := readBody(response.Body, (*buffer)[:0], int(p.MaxBody))
	rec.End()
	defer func() {
		if cap(body) <= keptBuffer {
			*buffer = body
			buffers.Put(buffer)
		}
	}()
	rec.Fact("status", response.Status)
	rec.Fact("server", response.Header.Get("Server"))
	rec.Fact("content_type", response.Header.Get("Content-Type"))
	if step.count > 0 {
		rec.Fact("url", secret.RedactURL(step.url.String()))
	}
	if more {
		rec.Fact("read", "the first "+strconv.FormatInt(p.MaxBody, 10)+" bytes")
	}
	if err != nil {
		rec.evidence(response, body)
		return p.cutShort(ctx, rec, response, len(body), err)
	}
	if response.TLS != nil {
		rec.expiry(*response.TLS, time.Now())
	}
	outcome, reason, detail := p.verdict(response, body, redirect)
	if response.StatusCode == http.StatusUnauthorized && step.trusted && outcome != Up {
		outcome, reason, detail = p.unauthorised(outcome, reason, detail)
	}
	if outcome != Up {
		rec.evidence(response, body)
		return rec.Finish(outcome, reason, "%s", detail)
	}
	if p.Describe {
		rec.evidence(response, body)
	}
	return rec.Up()
}

// cutShort judges an answer whose head came and whose body did not come whole.
func (p *HTTP) cutShort(ctx context.Context, rec *Recorder, response *http.Response, read int, err error) Result {
	if ctx.Err() == nil && errors.Is(err, io.ErrUnexpectedEOF) {
		of := ""
		if response.ContentLength >= 0 {
			of = fmt.Sprintf(" of %d", response.ContentLength)
		}
		return rec.Finish(Down, Content, "the answer (status %d) ended after %d%s bytes", response.StatusCode, read, of)
	}
	return rec.Fail(ctx, err, Content)
}

// verdict judges an answer that came whole.
func (p *HTTP) verdict(response *http.Response, body []byte, redirect error) (Outcome, Reason, string) {
	status := response.StatusCode
	switch {
	case redirect != nil:
		return Down, Status, fmt.Sprintf("status %d: %s", status, redirect)
	case p.Version == "http2" && response.ProtoMajor != 2:
		return Down, Protocol, "the server does not offer http/2"
	case p.isFunctional(status, body):
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			return Degraded, Auth, fmt.Sprintf("status %d, declared functional: the application refuses the probe's credential", status)
		}
		return Degraded, Functional, fmt.Sprintf("status %d, declared functional: the application answers that the request is wrong", status)
	case !p.accepts(status):
		return Down, Status, fmt.Sprintf("status %s, expected %s", statusText(response), p.accepted())
	}
	for name, text := range p.Expect.Headers {
		if values := response.Header.Values(name); !slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, text) }) {
			return Down, Content, fmt.Sprintf("answers %d, but without the header %s holding %q", status, name, text)
		}
	}
	return p.content(status, body)
}

// unauthorised judges a 401 of the configured host: that the probe's own credential is refused is the application's matter
// (contract: functional failures), whether that was declared or not. No log-on is repeated after a refusal.
func (p *HTTP) unauthorised(outcome Outcome, reason Reason, detail string) (Outcome, Reason, string) {
	switch {
	case p.User != "":
		p.refused.Store(true)
		return Degraded, Auth, "status 401: the application refuses the probe's user and password; they are not sent again until the configuration is loaded anew"
	case p.header["Authorization"] != nil:
		return Degraded, Auth, "status 401: the application refuses the probe's credential"
	}
	return outcome, reason, detail
}

// content judges the body of an answer with an accepted status.
func (p *HTTP) content(status int, body []byte) (Outcome, Reason, string) {
	const wrong = "answers %d, but is not the expected page: "
	switch {
	case p.Expect.Body != "" && !bytes.Contains(body, []byte(p.Expect.Body)):
		return Down, Content, fmt.Sprintf(wrong+"%q is not in it%s", status, p.Expect.Body, titled(body))
	case p.pattern != nil && !p.pattern.Match(body):
		return Down, Content, fmt.Sprintf(wrong+"nothing in it matches %q%s", status, p.Expect.BodyRegexp, titled(body))
	case p.RejectBody != "" && bytes.Contains(body, []byte(p.RejectBody)):
		return Down, Content, fmt.Sprintf(wrong+"%q is in it%s", status, p.RejectBody, titled(body))
	}
	return Up, None, ""
}

func (p *HTTP) isFunctional(status int, body []byte) bool {
	f := p.Functional
	if len(f.Status) == 0 && f.Body == "" {
		return false
	}
	return (len(f.Status) == 0 || slices.Contains(f.Status, status)) && (f.Body == "" || bytes.Contains(body, []byte(f.Body)))
}

func (p *HTTP) accepts(status int) bool {
	if len(p.Expect.Status) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(p.Expect.Status, status)
}

func (p *HTTP) accepted() string {
	if len(p.Expect.Status) == 0 {
		return "2xx"
	}
	return strings.Trim(fmt.Sprint(p.Expect.Status), "[]")
}

// statusText returns the status with the standard's words, not the server's.
func statusText(response *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", response.StatusCode, http.StatusText(response.StatusCode)))
}

// evidence keeps what a person needs to recognise a wrong answer.
func (r *Recorder) evidence(response *http.Response, body []byte) {
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
		r.Fact("content_encoding", encoding)
		return
	}
	r.Fact("title", title(body))
	r.Fact("body", maskTokens(string(body[:min(len(body), MaxFact/2)])))
}

// titled returns the page's title for a detail.
func titled(body []byte) string {
	if t := title(body); t != "" {
		return fmt.Sprintf(" (its title is %q)", t)
	}
	return ""
}

// title returns what stands between <title> and </title> in the first 16 KiB, at most 80 bytes of it.
func title(body []byte) string {
	head := body[:min(len(body), 16<<10)]
	lower := bytes.ToLower(head)
	from := bytes.Index(lower, []byte("<title"))
	if from < 0 || len(lower) != len(head) {
		return ""
	}
	open := bytes.IndexByte(lower[from:], '>')
	if open < 0 {
		return ""
	}
	from += open + 1
	to := bytes.Index(lower[from:], []byte("</title"))
	if to < 0 {
		return ""
	}
	return Printable(strings.Join(strings.Fields(maskTokens(string(head[from:from+to]))), " "), 80)
}

// tokenLength is the length from which an unbroken run of letters and digits is taken for a session, a key or a token.
const tokenLength = 32

// maskTokens hides long runs of the characters of base64, hexadecimal and JSON Web Tokens that hold a digit: what a failing
// page prints is not ours to spread.
func maskTokens(text string) string {
	var b strings.Builder
	start, digit := 0, false
	flush := func(end int) {
		if end-start >= tokenLength && digit {
			b.WriteString(secret.Mask)
		} else {
			b.WriteString(text[start:end])
		}
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= '0' && c <= '9':
			digit = true
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '+', c == '/', c == '_', c == '-', c == '=', c == '.':
		default:
			flush(i)
			b.WriteByte(c)
			start, digit = i+1, false
		}
	}
	flush(len(text))
	return b.String()
}
