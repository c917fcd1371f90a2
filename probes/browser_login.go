package probes

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes/chromium"
)

// Selectors that stand for those which are not given.
const (
	usualUser = "input[autocomplete=username], input[type=email], input[name*=user i], input[id*=user i], input[name*=login i], input[type=text], input:not([type])"
	usualPass = "input[type=password]:not([aria-hidden=true])"
	usualWhy  = "[role=alert], .alert-danger, .validation-summary-errors, .login-error"

	// Of Entra's pages, as they are served to everybody.
	entraUser = "input[name=loginfmt], input[type=email]"
	entraWhy  = "#usernameError, #passwordError, #idTD_Error, #service_exception_message, #exceptionMessageContainer"
	entraStay = "#KmsiDescription, #KmsiCheckboxField"
	entraNo   = "#idBtn_Back"
	entraMore = "#idDiv_SAOTCAS_Title, #idDiv_SAOTCC_Title, #idDiv_SAOTCS_Title, #idRichContext_DisplaySign, #ProofUpDescription, input[name=otc], #ChangePasswordDescription, input[name=newPassword]"
)

// loginState is what a page that logs in shows, see scriptState.
type loginState struct {
	Allowed, Ready, Complete, Expect, Refused, User, Password, Other, Start, Stay, More bool
	Document, Why, Title, Bad                                                           string
}

// attempt is a log-in under way.
type attempt struct {
	*visit
	g         guard
	tries     int
	hosts     []string
	selectors map[string]string

	started, named bool
	userAt         string // document in which the name was sent
	sent           bool   // the password was: from here on it counts
	sentAt         string // document
	before         int    // requests before
	noise          string // what looked like a refusal before
	state          loginState
}

// loginError ends a log-in.
type loginError struct {
	outcome Outcome
	reason  Reason
	detail  string
	refused bool // the account is, and must not be tried again
}

func (e *loginError) Error() string { return e.detail }

// login gives the account to the form, unless it was refused before, and waits for what only it sees.
func (v *visit) login() Result {
	g := v.p.guard().aside(v.rec)
	end, ok := g.turn(v.until)
	if !ok {
		if errors.Is(v.ctx.Err(), context.Canceled) {
			return v.rec.Fail(v.ctx, v.ctx.Err(), Protocol)
		}
		return v.rec.Finish(Unknown, Local, "other probes log in with %s all the time: give them longer intervals", v.p.Login.User)
	}
	defer end()
	tries, held := g.begin(time.Now())
	if held != nil {
		held.note(v.rec, "log-in with "+v.p.Login.User+" is off: "+held.why)
		if held.silent {
			return v.finish(Unknown, Auth, "log-in with %s is off: %s", v.p.Login.User, held.why)
		}
		return v.up()
	}
	a := v.attempt(g, tries)
	v.rec.Begin(PhaseLogon)
	err := v.poll(a.step)
	v.rec.End()
	return a.judge(err)
}

func (v *visit) attempt(g guard, tries int) *attempt {
	l := v.p.Login
	a := &attempt{visit: v, g: g, tries: tries, hosts: v.p.with(l.Hosts)}
	or := func(given, usual string) string {
		if given != "" {
			return given
		}
		return usual
	}
	a.selectors = map[string]string{
		"start": l.Start, "expect": l.Expect, "refused": or(l.Refused, usualWhy), "user": or(l.UserField, usualUser), "password": or(l.PasswordField, usualPass), "other": usualPass,
	}
	if l.Form == formEntra {
		a.hosts = append(a.hosts, entraHosts...)
		a.selectors["user"], a.selectors["refused"] = or(l.UserField, entraUser), or(l.Refused, entraWhy)
		a.selectors["stay"], a.selectors["more"] = entraStay, entraMore
	}
	return a
}

// clear reports whether the account may travel without TLS: on loopback only, see Validate.
func (a *attempt) clear() bool { return a.p.target.Scheme == "http" }

// step does the next thing that the page asks for; true when the account is in.
func (a *attempt) step(record chromium.Record) (bool, error) {
	var now loginState
	if err := a.page.Eval(a.until, scriptState, &now, a.hosts, a.clear(), a.p.ends(), a.selectors); err != nil {
		if a.until.Err() != nil || a.page.Err() != nil {
			return false, err
		}
		return false, nil // the document is changing
	}
	a.state = now // what was seen last stays where a page answers no more
	s := &a.state
	switch {
	case s.Bad != "":
		return false, selectorError(s.Bad)
	case s.Expect:
		return true, nil
	case a.sent:
		return false, a.answer(record)
	case !s.Allowed || !a.p.mayType(record.URL):
		if record.Marks.Idle > 0 {
			return false, &loginError{outcome: Down, reason: Content, detail: fmt.Sprintf("the log-in leads to %s, which is not given the account: if that is right, name it in login.hosts", hostIn(record.URL))}
		}
		return false, nil
	case !s.Ready:
		return false, nil
	case s.Start && !a.started && !s.Password:
		a.started = true
		return false, a.page.Eval(a.until, scriptClick, nil, a.selectors["start"])
	case s.Password:
		return false, a.givePassword(record)
	case s.Refused && a.userAt != "":
		return false, a.refusal(s.Why)
	case s.User && !s.Other && a.userAt != s.Document:
		return false, a.giveUser()
	}
	return false, nil
}

// giveUser types the name on a page that asks for it alone.
func (a *attempt) giveUser() error {
	if err := a.fill("user", a.p.Login.User, false); err != nil {
		return err
	}
	a.userAt, a.named = a.state.Document, true
	return a.send("user")
}

// givePassword types name and password, and sends them. From the moment that they are sent the attempt counts.
func (a *attempt) givePassword(record chromium.Record) error {
	if a.state.User && !a.named {
		if err := a.fill("user", a.p.Login.User, false); err != nil {
			return err
		}
		a.named = true
	}
	a.typed = true
	if err := a.fill("password", a.p.Login.Password.Reveal(), true); err != nil {
		return err
	}
	a.sent, a.sentAt, a.before, a.noise = true, a.state.Document, len(record.Requests), a.state.Why
	return a.send("password")
}

func (a *attempt) fill(field, value string, password bool) error {
	var said string
	err := a.page.Eval(a.until, scriptType, &said, a.hosts, a.clear(), a.selectors[field], value, password)
	return a.said(field, said, err)
}

func (a *attempt) send(field string) error {
	var said string
	err := a.page.Eval(a.until, scriptSubmit, &said, a.hosts, a.clear(), a.selectors[field], a.p.Login.Submit)
	if a.sent && err == nil && said == "" {
		return nil // the document went away with the click
	}
	return a.said(field, said, err)
}

// said turns the answer of a script into an error.
func (a *attempt) said(field, said string, err error) error {
	switch {
	case err != nil && (a.until.Err() != nil || a.page.Err() != nil):
		return err
	case said == "foreign":
		return &loginError{outcome: Down, reason: Content, detail: "the form would send the account to a host that is not given it: if that is right, name it in login.hosts"}
	case said == "clear":
		return &loginError{outcome: Down, reason: Content, detail: "the field " + field + " would show what is typed: it is no password field"}
	}
	return nil // done; or gone, then the next step looks again
}

// answer looks for what came of the password; nil while nothing did.
func (a *attempt) answer(record chromium.Record) error {
	s := &a.state
	document, _ := record.Document()
	switch {
	case s.More:
		return &loginError{outcome: Unknown, reason: Auth, refused: true, detail: "it is asked for more than a password (" + Printable(s.Title, 80) + "): give it an exception, or another account"}
	case s.Refused && s.Why != a.noise && (s.Password || a.p.Login.Refused != "" || a.p.Login.Form == formEntra):
		return a.refusal(s.Why)
	case document.Loader == record.Loader && document.Status >= 500:
		return &loginError{outcome: Down, reason: Status, detail: "the log-in is answered by " + statusError(document).Error()}
	case s.Stay:
		return a.page.Eval(a.until, scriptClick, nil, entraNo)
	case s.Password && s.Document != a.sentAt && s.Complete:
		return a.refusal("the form came back")
	case s.Password && slices.ContainsFunc(record.Requests[min(a.before, len(record.Requests)):], refusing):
		return a.refusal("the form stays, and the server answered 400, 401 or 403")
	}
	return nil
}

// refusing reports whether a request was answered as a wrong password is.
func refusing(q chromium.Request) bool {
	return (q.Kind == "XHR" || q.Kind == "Fetch" || q.Kind == "Document") && (q.Status == 400 || q.Status == 401 || q.Status == 403)
}

// passing are the error codes of Entra that say that it has troubles of its own.
var passing = regexp.MustCompile(`AADSTS(90006|90012|90013|90020|90025|90033|90036|90051|50196|700229)\b`)

// refusal is the page's word that the account is refused.
func (a *attempt) refusal(why string) error {
	why = Printable(strings.Join(strings.Fields(maskTokens(why)), " "), 150)
	why = strings.TrimRight(why, ".: ")
	if passing.MatchString(why) {
		return &loginError{outcome: Down, reason: Status, detail: "entra cannot log anybody in at the moment: " + why}
	}
	if why == "" {
		why = "the page says so"
	}
	return &loginError{outcome: Unknown, reason: Auth, refused: true, detail: why}
}

// judge turns what came of the log-in into a result, and tells the guard.
func (a *attempt) judge(err error) Result {
	now := time.Now()
	who := a.p.Login.User
	var ended *loginError
	var selector selectorError
	switch {
	case err == nil:
		a.g.accepted()
		a.rec.Fact("logon", who+" is in")
		a.logout()
		return a.up()
	case errors.As(err, &ended) && ended.refused:
		a.g.refused(fmt.Sprintf("refused at %s: %s", clockText(now), ended.detail))
		detail := fmt.Sprintf("the monitoring account %s is refused: %s; it is not tried again until its secret changes or an operator resets it", who, ended.detail)
		a.rec.Fact(FactAccount, detail)
		return a.finish(Unknown, Auth, "%s", detail)
	case errors.Is(a.ctx.Err(), context.Canceled):
		if a.sent {
			a.g.interrupted()
		} else {
			a.g.clear()
		}
		return a.rec.Fail(a.ctx, a.ctx.Err(), Protocol)
	case errors.As(err, &ended):
		a.g.clear()
		return a.finish(ended.outcome, ended.reason, "%s", ended.detail)
	case errors.As(err, &selector):
		a.g.clear()
		return a.finish(Unknown, Internal, "%q is no css selector: mend the configuration", string(selector))
	case !a.sent:
		a.g.clear()
		return a.notSent(err)
	}
	return a.unanswered(now, err)
}

// notSent ends a log-in that did not come as far as the password.
func (a *attempt) notSent(err error) Result {
	if a.until.Err() == nil {
		return a.finish(Unknown, Local, "%s", clause(err))
	}
	step := "no field for a password is visible"
	if a.p.Login.Start != "" && !a.started {
		step = a.p.Login.Start + " is not visible"
	}
	return a.finish(Down, Content, "the log-in cannot begin: %s%s", step, a.titled())
}

// unanswered ends a log-in of which nobody knows how it was judged.
func (a *attempt) unanswered(now time.Time, err error) Result {
	if a.until.Err() == nil { // the browser ended
		a.g.doubtful(a.tries, true, now)
		return a.finish(Unknown, Local, "%s", clause(err))
	}
	record := a.page.Record()
	waits := slices.ContainsFunc(record.Requests[min(a.before, len(record.Requests)):], func(q chromium.Request) bool {
		return q.End == 0 && !q.Cancelled
	})
	switch {
	case waits:
		a.g.doubtful(a.tries, true, now)
		return a.finish(Down, Timeout, "the log-in was sent and is not answered in time")
	case !a.state.Password && a.g.known():
		a.g.clear()
		return a.finish(Down, Content, "the log-in is done, but %s is not visible%s", a.p.Login.Expect, a.titled())
	}
	why := "its form stays and does not say why: set login.refused"
	if !a.state.Password { // a page that refuses in words of its own looks the same, as long as the account was never in
		why = "the page that follows shows neither the form nor " + a.p.Login.Expect + a.titled() + ": check login.expect, or set login.refused"
	}
	if a.g.doubtful(a.tries, false, now) {
		detail := fmt.Sprintf("log-in with %s is off: %s; it is not tried again until its secret changes or an operator resets it", a.p.Login.User, why)
		a.rec.Fact(FactAccount, detail)
		return a.finish(Unknown, Auth, "%s", detail)
	}
	return a.finish(Unknown, Auth, "the log-in of %s was sent, but %s; it is tried once more, after an hour", a.p.Login.User, why)
}

// logout ends the session, so that no licence stays taken. What comes of it is none of the run.
func (a *attempt) logout() {
	if a.p.Login.Logout == "" {
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, maxReserve)
	defer cancel()
	var clicked bool
	before := len(a.page.Record().Requests)
	if a.page.Eval(ctx, scriptClick, &clicked, a.p.Login.Logout) != nil || !clicked {
		a.rec.Fact("logout", a.p.Login.Logout+" is not visible: the session stays open")
		return
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for { // closing the page would take the request back
		record := a.page.Record()
		asked := record.Requests[min(before, len(record.Requests)):]
		if len(asked) > 0 && !slices.ContainsFunc(asked, func(q chromium.Request) bool { return !q.Answered && q.Failure == "" }) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
