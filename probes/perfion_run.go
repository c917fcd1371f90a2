package probes

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// perfionRun is one run.
type perfionRun struct {
	probe   *Perfion
	rec     *Recorder
	secrets []secret.Value
	guard   guard
	token   string // the bearer token that is shown
	shown   bool   // an account is shown
	renewed bool   // the token was refused once
	aloud   string // why none is shown, for its owner
	quiet   string // why none is shown, where that says nothing about it
}

// Probe asks once; what is doubtful it asks again.
func (p *Perfion) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if p.client == nil {
		return rec.Finish(Unknown, Internal, "the perfion probe was not validated")
	}
	s := &perfionRun{probe: p, rec: rec, secrets: p.secrets()}
	rec.Mask(s.secrets...)
	rec.Fact("interface", map[bool]string{true: perfionSOAP, false: perfionREST}[p.soap])
	leave, v := s.enter(ctx)
	defer leave()
	switch {
	case v.refused && v.outcome != Up:
		return s.refusal(v)
	case v.outcome != Up:
		return rec.Finish(v.outcome, v.reason, "%s", v.text)
	case s.aloud != "" || s.quiet != "":
		return s.withoutAccount(ctx)
	}
	return s.ask(ctx)
}

// enter finds out whether and how the account is shown in this run. Until it has been accepted once, one run at a time shows it, so
// that a wrong secret is tried once. What it returns must be called when the run is over.
func (s *perfionRun) enter(ctx context.Context) (leave func(), v perfionVerdict) {
	leave, v = func() {}, perfionVerdict{outcome: Up}
	p := s.probe
	switch p.account.mode {
	case "":
		return leave, v
	case authFile:
		token, err := p.account.fileToken(p.TokenFile)
		if err != nil {
			return leave, perfionVerdict{outcome: Unknown, reason: Local, text: "token_file cannot be read: " + clause(err)}
		}
		s.token = token
		s.mask(token)
	}
	s.guard = guard{p.latchOrProcess(), p.account.guardKey()}.aside(s.rec)
	if !s.guard.known() {
		wait, cancel := halfTime(ctx)
		defer cancel()
		end, ok := s.guard.turn(wait)
		if !ok {
			s.quiet = "another run logs on for the first time"
			return leave, v
		}
		leave = end
	}
	for _, l := range []Latch{s.guard.latch, processLatch} {
		reason, latched, err := l.Latched(s.guard.key)
		switch {
		case latched:
			s.aloud = fmt.Sprintf("log-on with %s is off: %s; it is not tried again until its secret changes or an operator resets it", p.account.who(), reason)
			return leave, v
		case err != nil && !s.guard.known():
			s.quiet = "whether another agent was refused cannot be asked: " + clause(err)
			return leave, v
		}
	}
	s.shown = true
	if p.account.mode == authToken {
		s.token, v = s.fetchToken(ctx)
	}
	return leave, v
}

// halfTime returns a context for half of the time that is left.
func halfTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(deadline)/2)
	}
	return context.WithCancel(ctx)
}

// mask makes the run hide one more secret.
func (s *perfionRun) mask(text string) {
	s.secrets = append(s.secrets, secret.New(text))
	s.rec.Mask(secret.New(text))
}

// headers returns those of a question, with the account where it is shown.
func (s *perfionRun) headers(q question) http.Header {
	header := q.header.Clone()
	if !s.shown {
		return header
	}
	switch a := &s.probe.account; a.mode {
	case authBasic:
		header.Set("Authorization", "Basic "+a.basic())
	case authHeaders:
		header["user"], header["pwd"] = []string{a.user}, []string{a.hash}
	default:
		header.Set("Authorization", "Bearer "+s.token)
	}
	return header
}

// ask puts the question and concludes from its answer.
func (s *perfionRun) ask(ctx context.Context) Result {
	answer, v, ended := s.put(ctx, s.rec)
	if ended != nil {
		return *ended
	}
	if v.doubt != certain {
		answer, v = s.confirm(ctx, answer, v)
	}
	return s.conclude(answer, v)
}

// put puts the question once, or twice when the kept token is refused: it may be over, or the service may have new keys.
func (s *perfionRun) put(ctx context.Context, rec *Recorder) (*perfionAnswer, perfionVerdict, *Result) {
	q := s.probe.question
	answer, ended := s.exchange(ctx, rec, q, s.headers(q))
	if ended != nil {
		return nil, perfionVerdict{}, ended
	}
	if answer.status != http.StatusUnauthorized || s.probe.account.mode != authToken || !s.shown || s.renewed {
		return answer, answer.verdict(), nil
	}
	s.renewed = true
	s.probe.account.tokens.drop(s.token)
	s.rec.Fact("token", "the kept one was refused, another was asked for")
	token, v := s.fetchToken(ctx)
	if v.outcome != Up {
		return answer, v, nil
	}
	s.token = token
	rec.Mask(secret.New(token))
	if answer, ended = s.exchange(ctx, rec, q, s.headers(q)); ended != nil {
		return nil, perfionVerdict{}, ended
	}
	return answer, answer.verdict(), nil
}

// confirm asks GetVersion and then the same question again.
func (s *perfionRun) confirm(ctx context.Context, first *perfionAnswer, v perfionVerdict) (*perfionAnswer, perfionVerdict) {
	s.rec.Fact("first_answer", v.text)
	var version *perfionAnswer
	if s.probe.question.method != s.probe.version.method {
		answer, verdict := s.aside(ctx, s.probe.version)
		if answer == nil {
			return first, perfionVerdict{outcome: verdict.outcome, reason: verdict.reason, text: v.text + "; getversion: " + verdict.text}
		}
		version = answer
		s.rec.Fact("getversion", shortVerdict(verdict))
		s.rec.Fact("version", answer.version)
	}
	rec := NewRecorder(ctx)
	rec.Mask(s.secrets...)
	again, verdict, ended := s.put(ctx, rec)
	if ended != nil {
		return first, perfionVerdict{outcome: ended.Outcome, reason: ended.Reason, text: v.text + "; the same question again: " + ended.Detail}
	}
	return again, v.settle(version, verdict)
}

// conclude ends the run with a verdict.
func (s *perfionRun) conclude(answer *perfionAnswer, v perfionVerdict) Result {
	switch {
	case v.refused && s.shown:
		return s.refusal(v)
	case v.refused:
		return s.rec.Finish(Degraded, Auth, "%s: the application wants a log-on; give the probe a user, or token_file", v.text)
	case s.shown && answer.alive() && !answer.verdict().refused:
		if _, good := proven.Load(s.guard.key); !good {
			s.guard.accepted()
		}
		s.rec.Fact("logon", s.probe.account.who()+" is accepted ("+s.probe.account.mode+")")
	}
	if v.outcome == Up {
		return s.rec.Up()
	}
	return s.rec.Finish(v.outcome, v.reason, "%s", v.text)
}

// refusal ends the run whose account was refused: that says nothing about the target, and must not be repeated.
func (s *perfionRun) refusal(v perfionVerdict) Result {
	why := fmt.Sprintf("refused at %s: %s", clockText(time.Now()), v.text)
	if err := s.guard.latch.Latch(s.guard.key, Printable(s.rec.hidden(why), MaxDetail/2)); err != nil {
		_ = processLatch.Latch(s.guard.key, why) // for the life of the process at least; a MemoryLatch does not fail
	}
	proven.Delete(s.guard.key)
	detail := fmt.Sprintf("the monitoring account %s is refused: %s; it is not tried again until its secret changes or an operator resets it", s.probe.account.who(), v.text)
	s.rec.Fact(FactAccount, detail)
	return s.rec.Finish(Unknown, Auth, "%s", detail)
}

// withoutAccount measures what can be measured without: that the application answers, be it to say that it wants a log-on.
func (s *perfionRun) withoutAccount(ctx context.Context) Result {
	q := s.probe.version
	if !s.probe.soap {
		q = s.probe.question
	}
	s.rec.Fact(FactAccount, s.aloud)
	s.rec.Fact("logon", s.quiet)
	answer, ended := s.exchange(ctx, s.rec, q, q.header)
	if ended != nil {
		return *ended
	}
	v := answer.verdict()
	if v.doubt == ofServer {
		again, verdict := s.aside(ctx, q)
		if again == nil {
			return s.rec.Finish(verdict.outcome, verdict.reason, "%s; the same question again: %s", v.text, verdict.text)
		}
		answer, v = again, v.settle(nil, verdict)
	}
	if v.outcome == Down || v.outcome == Unknown {
		return s.rec.Finish(v.outcome, v.reason, "%s", v.text)
	}
	s.rec.Fact("ladder", "ends where the account is wanted: the application answers ("+answer.line+"), the query is not proven")
	return s.rec.Up()
}

// aside asks beside the main question, over a connection and with a clock of its own. The answer is nil where there is none.
func (s *perfionRun) aside(ctx context.Context, q question) (*perfionAnswer, perfionVerdict) {
	rec := NewRecorder(ctx)
	rec.Mask(s.secrets...)
	header := q.header
	if q.url != s.probe.account.endpoint {
		header = s.headers(q)
	}
	answer, ended := s.exchange(ctx, rec, q, header)
	if ended != nil {
		if ended.Certificate != nil {
			s.rec.noteCertificate(ended.Certificate)
		}
		return nil, perfionVerdict{outcome: ended.Outcome, reason: ended.Reason, text: ended.Detail}
	}
	return answer, answer.verdict()
}

// exchange makes one request and takes its answer apart. Redirects are not followed, so that no credential goes astray. Where no
// answer comes, or not all of it, the result ends the run of rec.
func (s *perfionRun) exchange(ctx context.Context, rec *Recorder, q question, header http.Header) (*perfionAnswer, *Result) {
	client := s.probe.client
	traced := rec.traced(ctx)
	response, err := client.roundTrip(traced, hop{url: q.url, method: http.MethodPost, body: q.body, header: header, trusted: true})
	if err != nil {
		result := client.fail(traced, rec, err)
		return nil, &result
	}
	defer func() { _ = response.Body.Close() }()
	body, more, err := readBody(response.Body, make([]byte, 0, 4<<10), int(client.MaxBody))
	rec.End()
	rec.Fact("status", response.Status)
	rec.Fact("server", response.Header.Get("Server"))
	if response.TLS != nil {
		rec.Certificate(response.TLS.PeerCertificates[0])
	}
	if err != nil {
		rec.evidence(response, body)
		result := client.cutShort(traced, rec, response, len(body), err)
		return nil, &result
	}
	if response.TLS != nil {
		rec.expiry(*response.TLS, time.Now())
	}
	answer := read(response, body, more, q)
	if s.shown {
		answer.user = s.probe.account.user
	}
	answer.note(rec, client.MaxBody)
	if v := answer.verdict(); v.outcome == Down || v.outcome == Unknown {
		rec.evidence(response, body)
	}
	return answer, nil
}

// read takes an answer to q apart.
func read(response *http.Response, body []byte, more bool, q question) *perfionAnswer {
	kind := strings.ToLower(response.Header.Get("Content-Type"))
	a := &perfionAnswer{status: response.StatusCode, line: statusText(response), software: response.Header.Get("Server"), cut: more, html: isHTML(body)}
	if to := response.Header.Get("Location"); to != "" {
		a.location = "another place"
		if u, err := response.Request.URL.Parse(to); err == nil {
			a.location = Printable(secret.RedactURL(u.String()), MaxName)
		}
	}
	switch empty := len(strings.TrimSpace(string(body[:min(len(body), 512)]))) == 0; {
	case a.html || strings.HasPrefix(kind, "text/html") && !empty && body[0] != '{':
		a.html, a.title = true, title(body)
	case empty:
		a.wrong = "is empty"
	case q.method != "":
		a.readSOAP(body, q.method)
	default:
		a.readJSON(body)
	}
	return a
}

// note keeps what the answer says of the server, and of its own time the part of the wait.
func (a *perfionAnswer) note(rec *Recorder, limit int64) {
	rec.Split(PhaseFirstByte, PhaseServer, a.server)
	rec.Fact("version", a.version)
	rec.Fact("total_execution_time", a.took)
	rec.Fact("total_count", a.totalCount)
	if a.data {
		rec.Fact("rows", strconv.Itoa(a.rows))
	}
	if a.features > 0 {
		rec.Fact("features", strconv.Itoa(a.features))
	}
	rec.Fact("complaint", a.complaint)
	if a.cut {
		rec.Fact("read", "the first "+strconv.FormatInt(limit, 10)+" bytes: give the query maxCount 1")
	}
}
