package notify

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Bounds on the talk with Twilio. Its calls are those of https://www.twilio.com/docs/voice/api/call-resource.
const (
	twilioAPI    = "https://api.twilio.com"
	maxTwiML     = 4000    // characters that a call takes
	maxReply     = 1 << 20 // bytes of an answer
	firstPoll    = 250 * time.Millisecond
	slowestPoll  = 2 * time.Second
	lookAgain    = 2 * time.Second // a call may be listed a little later than it is made
	maxPollFails = 5
)

var callSID = regexp.MustCompile(`^CA[0-9a-fA-F]{32}$`)

// twilio calls by Twilio's API. It speaks by Twilio's own voice, so it needs no public address: the words go with the call, and
// how it ended is asked for.
type twilio struct {
	client  *http.Client
	base    string // of the account's calls, without .json
	user    string
	pass    secret.Value
	from    string
	digits  string
	config  Phone
	waiting func(ctx context.Context, d time.Duration) error
}

func newTwilio(v *Via, from string, p Phone, secure *tls.Config) *twilio {
	t := &twilio{user: v.Account, pass: v.AuthToken, from: from, digits: v.SendDigits, config: p, waiting: wait}
	if v.APIKey != "" {
		t.user, t.pass = v.APIKey, v.APISecret
	}
	api := strings.TrimRight(v.APIURL, "/")
	if api == "" {
		api = twilioAPI
	}
	t.base = api + "/2010-04-01/Accounts/" + v.Account + "/Calls"
	t.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true,
			TLSClientConfig: secure, MaxResponseHeaderBytes: 1 << 16,
		},
	}
	return t
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *twilio) secrets() []secret.Value { return []secret.Value{t.pass} }

// prepare writes the TwiML (https://www.twilio.com/docs/voice/twiml/say).
func (t *twilio) prepare(_ context.Context, words string) script {
	language := "en-GB"
	if t.config.Language == "da" {
		language = "da-DK"
	}
	twiml := func(words string, times int) string {
		var text strings.Builder
		_ = xml.EscapeText(&text, []byte(words)) // a Builder never fails
		say := `<Say language="` + language + `">` + text.String() + `</Say><Pause length="1"/>`
		return `<Response><Pause length="1"/>` + strings.Repeat(say, times) + `</Response>`
	}
	times := t.config.Repeat
	for times > 1 && len(twiml(words, times)) > maxTwiML {
		times--
	}
	limit := len(words)
	for len(twiml(secret.Plain(words, limit), times)) > maxTwiML {
		limit = limit * 3 / 4
	}
	return script{text: twiml(secret.Plain(words, limit), times)}
}

// twilioCall is a call as Twilio shows it.
type twilioCall struct {
	SID       string `json:"sid"`
	Status    string `json:"status"`
	To        string `json:"to"`
	From      string `json:"from"`
	Direction string `json:"direction"`
	Created   string `json:"date_created"` // RFC 2822, whole seconds
	Duration  string `json:"duration"`     // seconds, once it has ended
}

// over reports whether nothing more happens to the call.
func (c twilioCall) over() bool {
	switch c.Status {
	case "completed", "busy", "no-answer", "failed", "canceled":
		return true
	}
	return false
}

// call asks for one call, once, and follows it to its end. Where the answer is lost, what is listed since then is taken up: a
// second request could ring the same telephone twice.
func (t *twilio) call(ctx context.Context, number string, s script) called {
	form := url.Values{
		"To": {number}, "From": {t.from}, "Twiml": {s.text},
		"Timeout": {fmt.Sprint(int(t.config.Ring / time.Second))},
	}
	if t.digits != "" {
		form.Set("SendDigits", t.digits)
	}
	begin := time.Now()
	var c twilioCall
	err := t.ask(ctx, http.MethodPost, t.base+".json", form, &c)
	if err == nil && !callSID.MatchString(c.SID) {
		err = &twilioError{text: "its answer names no call", unknown: true}
	}
	if failed, ok := errors.AsType[*twilioError](err); ok {
		if !failed.unknown {
			return failed.called()
		}
		found, ok := t.find(ctx, number, begin)
		if !ok {
			return called{text: failed.text + ", and no such call is listed", last: true, err: failed.err, advice: "check that this host may reach Twilio, and see its call log"}
		}
		c = found
	}
	return t.follow(ctx, c)
}

// find returns the newest call to a number that was made since begin.
func (t *twilio) find(ctx context.Context, number string, begin time.Time) (twilioCall, bool) {
	query := url.Values{"To": {number}, "From": {t.from}, "PageSize": {"20"}}
	for again := range 2 {
		if again > 0 && t.waiting(ctx, lookAgain) != nil {
			break
		}
		var list struct {
			Calls []twilioCall `json:"calls"`
		}
		age := time.Since(begin) // by this host's clock; the calls' times are by Twilio's, which its answer tells
		var now time.Time
		if err := t.exchange(ctx, http.MethodGet, t.base+".json?"+query.Encode(), nil, &list, &now); err != nil {
			continue
		}
		since := now.Add(-age - 2*time.Second) // of both times, only whole seconds are told
		var best twilioCall
		newest := since
		for _, c := range list.Calls {
			made, err := time.Parse(time.RFC1123Z, c.Created)
			if err == nil && c.To == number && c.From == t.from && strings.HasPrefix(c.Direction, "outbound") && callSID.MatchString(c.SID) && !made.Before(newest) {
				best, newest = c, made
			}
		}
		if best.SID != "" {
			return best, true
		}
	}
	return twilioCall{}, false
}

// follow asks until the call is over.
func (t *twilio) follow(ctx context.Context, c twilioCall) called {
	ctx, cancel := context.WithTimeout(ctx, t.config.Ring+longestTalk+t.config.Timeout)
	defer cancel()
	begin, pause, fails := time.Now(), firstPoll, 0
	answered := time.Duration(-1)
	for !c.over() {
		if c.Status == "in-progress" && answered < 0 {
			answered = time.Since(begin)
		}
		if t.waiting(ctx, pause) != nil {
			return t.unfinished(ctx, c, answered)
		}
		pause = min(pause*3/2, slowestPoll)
		var next twilioCall
		err := t.ask(ctx, http.MethodGet, t.base+"/"+c.SID+".json", nil, &next)
		if err != nil || next.SID != c.SID {
			if fails++; fails >= maxPollFails {
				return t.unfinished(ctx, c, answered)
			}
			continue
		}
		c, fails = next, 0
	}
	return ended(c, answered)
}

// unfinished is what is known of a call whose end was not seen.
func (t *twilio) unfinished(ctx context.Context, c twilioCall, answered time.Duration) called {
	if answered >= 0 {
		return called{answered: true, text: fmt.Sprintf("answered after %.0f s, still talking when last seen (Twilio call %s)", answered.Seconds(), c.SID)}
	}
	return called{
		text: fmt.Sprintf("called, but how it ended is not known: it was %s when last seen (Twilio call %s)", secret.Plain(c.Status, 20), c.SID),
		err:  ctx.Err(), advice: "see Twilio's call log",
	}
}

// ended is the outcome of a call that is over.
func ended(c twilioCall, answered time.Duration) called {
	switch c.Status {
	case "completed":
		after := "answered"
		if answered >= 0 {
			after = fmt.Sprintf("answered after %.0f s", answered.Seconds())
		}
		return called{answered: true, text: fmt.Sprintf("%s, %s s long (Twilio call %s)", after, secret.Plain(c.Duration, 8), c.SID)}
	case "no-answer":
		return called{text: "no answer"}
	}
	return called{text: c.Status}
}

// twilioError is a request that was not fulfilled.
type twilioError struct {
	text      string
	status    int
	code      int
	unknown   bool // it may have been done all the same
	unreached bool
	err       error
}

func (e *twilioError) Error() string { return e.text }

// called is what a refused request means for the call, and for those after it (https://www.twilio.com/docs/api/errors).
func (e *twilioError) called() called {
	c := called{text: e.text, err: e.err}
	switch {
	case e.unreached:
		c.last, c.advice = true, "check via.api_url, and that this host may reach Twilio"
	case e.status == http.StatusUnauthorized || e.code == 20003:
		c.last, c.permanent, c.advice = true, true, "check via.account and via.auth_token, or via.api_key and via.api_secret"
	case e.status == http.StatusTooManyRequests:
		c.last, c.advice = true, "it asks for less at a time, and is tried again"
	case e.status == http.StatusForbidden || e.code == 21210 || e.code == 21212 || e.code == 21606:
		c.last, c.permanent, c.advice = true, true, "check via.from, and what the Twilio account may call"
	case e.status == http.StatusNotFound:
		c.last, c.permanent, c.advice = true, true, "check via.account and via.api_url"
	default: // such as 21211, 21214, 21215, 21217: the number
		c.permanent, c.advice = true, "correct the number, and check what the Twilio account may call"
	}
	return c
}

func (t *twilio) ask(ctx context.Context, method, address string, form url.Values, into any) error {
	return t.exchange(ctx, method, address, form, into, nil)
}

// exchange makes one request, exactly once, and reads its answer. Its error is a twilioError. now, where given, is set to the
// other side's time.
func (t *twilio) exchange(ctx context.Context, method, address string, form url.Values, into any, now *time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, t.config.Timeout)
	defer cancel()
	var left atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { left.Store(true) }})
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return &twilioError{text: "via.api_url is no address that can be called", unreached: true}
	}
	request.GetBody = nil // with it, net/http might send the request a second time
	request.SetBasicAuth(t.user, t.pass.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "firstcall")
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := t.client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the address
		}
		return &twilioError{text: "Twilio gave no answer: " + secret.Plain(err.Error(), maxExcerpt), unknown: left.Load(), unreached: !left.Load(), err: ctx.Err()}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 500:
		return refusal(response.StatusCode, body)
	case response.StatusCode >= 300:
		return &twilioError{text: fmt.Sprintf("Twilio answered %d", response.StatusCode), status: response.StatusCode, unknown: true}
	case err != nil:
		return &twilioError{text: "Twilio's answer broke off: " + secret.Plain(err.Error(), maxExcerpt), unknown: true, err: ctx.Err()}
	case json.Unmarshal(body, into) != nil:
		return &twilioError{text: "Twilio's answer is not understood", unknown: true}
	}
	if now != nil {
		*now = time.Now()
		if told, err := http.ParseTime(response.Header.Get("Date")); err == nil {
			*now = told
		}
	}
	return nil
}

// refusal reads the error that Twilio answered with.
func refusal(status int, body []byte) error {
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &said) // what is no JSON has no code
	text := fmt.Sprintf("Twilio answered %d", status)
	if said.Code != 0 {
		text += fmt.Sprintf(", error %d: %s", said.Code, strings.TrimRight(secret.Plain(said.Message, maxExcerpt), ". "))
	}
	return &twilioError{text: text, status: status, code: said.Code}
}

var _ caller = (*twilio)(nil)
