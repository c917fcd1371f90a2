package probes

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/chromium"
)

const (
	// pollEvery is how often the page is asked whether it shows what is waited for.
	pollEvery = 50 * time.Millisecond
	// maxReserve is how much of a run is kept for its evidence, a fifth of it at most.
	maxReserve = 2 * time.Second
)

// errorPage begins the address of the page that Chromium shows for a document that did not come.
const errorPage = "chrome-error:"

// visit is one run: a page, and what is known of it.
type visit struct {
	p     *Browser
	rec   *Recorder
	page  *chromium.Page
	ctx   context.Context // of the run
	until context.Context // of the page: it ends a little before, so that there is time for the evidence
	began time.Time
	seen  time.Duration // since began: what was waited for was visible; 0: it was not
	title string
	typed bool // the account was given to the page
}

// Probe opens the page once, in a browser context of its own. Waiting for the browser is not the target's time.
func (p *Browser) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if p.target == nil {
		return rec.Finish(Unknown, Internal, "the browser probe was not validated")
	}
	options, err := p.options()
	if err != nil {
		return rec.Finish(Unknown, Local, "%s", clause(err))
	}
	asked := time.Now()
	page, err := chromium.For(options).Open(ctx)
	if err != nil {
		return noPage(ctx, rec, err)
	}
	defer page.Close()
	v := &visit{p: p, rec: NewRecorder(ctx), page: page, ctx: ctx, until: ctx, began: time.Now()}
	v.rec.Mask(p.masked...)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if waited := v.began.Sub(asked); left < waited {
			return rec.Finish(Unknown, Local, "the browser was ready after %s only, which leaves too little time to judge the page: is this host overloaded?", waited.Round(time.Millisecond))
		}
		until, cancel := context.WithTimeout(ctx, left-min(maxReserve, left/5))
		defer cancel()
		v.until = until
	}
	return v.run()
}

// noPage ends a run for which there was no page: the agent's own matter.
func noPage(ctx context.Context, rec *Recorder, err error) Result {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return rec.Fail(ctx, ctx.Err(), Protocol)
	case errors.Is(err, chromium.ErrBusy):
		return rec.Finish(Unknown, Local, "%s: give the browser probes longer intervals", chromium.ErrBusy)
	case ctx.Err() != nil:
		return rec.Finish(Unknown, Local, "chromium was not ready in time: is this host overloaded?")
	}
	return rec.Finish(Unknown, Local, "%s", clause(err))
}

// run opens the page, waits, logs in, and judges.
func (v *visit) run() Result {
	err := v.page.Navigate(v.until, v.p.URL)
	if err == nil {
		err = v.await()
	}
	if err == nil {
		v.seen = max(1, time.Since(v.began))
	}
	record := v.page.Record()
	for _, phase := range v.milestones(record, err).phases() {
		v.rec.Add(phase.Name, phase.Duration)
	}
	if err != nil {
		return v.failed(record, err)
	}
	v.measure(record)
	if v.p.Login.User != "" {
		return v.login()
	}
	return v.up()
}

// up ends a run that is as it should be.
func (v *visit) up() Result {
	v.facts(v.page.Record())
	return v.rec.Up()
}

// finish ends a run that is not up, with its evidence.
func (v *visit) finish(outcome Outcome, reason Reason, format string, args ...any) Result {
	v.rec.End()
	v.evidence()
	return v.rec.Finish(outcome, reason, format, args...)
}

// statusError is a document with the status of an error.
type statusError chromium.Request

func (e statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", e.Status, Printable(e.StatusText, 60)))
}

// foreignError is a page that ended on another host than it may.
type foreignError string

func (e foreignError) Error() string { return string(e) }

// selectorError is a selector of the configuration that Chromium does not understand.
type selectorError string

func (e selectorError) Error() string { return string(e) }

// await waits until the page shows what it should, or never will.
func (v *visit) await() error {
	return v.poll(func(record chromium.Record) (bool, error) {
		if document, ok := record.Document(); ok && document.Loader == record.Loader && document.Status >= 400 {
			return false, statusError(document)
		}
		if !v.p.mayEnd(record.URL) {
			if record.URL != "" && record.Marks.Idle > 0 { // not on its way any more
				return false, foreignError(record.URL)
			}
			return false, nil
		}
		if v.p.Visible == "" && v.p.Text == "" {
			return record.Marks.Loaded > 0, nil
		}
		return v.shows(v.p.Visible, v.p.Text)
	})
}

// poll asks done again and again until it says yes or fails; context errors are those of v.until.
func (v *visit) poll(done func(record chromium.Record) (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := v.page.Err(); err != nil {
			return err
		}
		ok, err := done(v.page.Record())
		if ok || err != nil {
			return err
		}
		select {
		case <-v.until.Done():
			return v.until.Err()
		case <-tick.C:
		}
	}
}

// shows reports whether an element and a text are visible; empty ones are.
func (v *visit) shows(selector, text string) (bool, error) {
	var shown string
	err := v.page.Eval(v.until, scriptShows, &shown, v.p.ends(), selector, text)
	switch {
	case err != nil && (v.until.Err() != nil || v.page.Err() != nil):
		return false, err
	case shown == "selector":
		return false, selectorError(selector)
	}
	return shown == "yes", nil // a document that just changed is asked again
}

// vitals are what a page tells of itself.
type vitals struct {
	Title         string
	FCP, LCP, CLS float64
}

// measure notes what the page measured of itself.
func (v *visit) measure(record chromium.Record) {
	ctx, cancel := context.WithTimeout(v.ctx, time.Second)
	defer cancel()
	var w vitals
	if v.page.Eval(ctx, scriptVitals, &w) != nil {
		return
	}
	v.title = w.Title
	v.rec.Fact("title", maskTokens(w.Title))
	for name, milliseconds := range map[string]float64{FirstPaint: w.FCP, LargestPaint: w.LCP} {
		if milliseconds > 0 {
			v.rec.Number(name, milliseconds/1000)
		}
	}
	v.rec.Number(LayoutShift, w.CLS)
	if document, ok := record.Document(); ok && document.Timing != nil {
		v.rec.Number(FirstByte, document.Timing.Base+document.Timing.HeadersEnd/1000-firstStart(record))
	}
	v.certificate(ctx, record)
}

// firstStart is when the first document was asked for.
func firstStart(record chromium.Record) float64 {
	for _, q := range record.Requests {
		if q.Document {
			return q.Start
		}
	}
	return 0
}

// certificate notes the certificate that the page's own server showed, and the days left of the chain.
func (v *visit) certificate(ctx context.Context, record chromium.Record) {
	u, err := url.Parse(record.URL)
	if err != nil || u.Scheme != "https" {
		return
	}
	chain, err := v.page.Chain(ctx, u.Scheme+"://"+u.Host)
	if err != nil {
		return
	}
	var first *x509.Certificate
	for i, der := range chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			continue
		}
		if i == 0 {
			v.rec.Certificate(certificate)
		}
		if first == nil || certificate.NotAfter.Before(first.NotAfter) {
			first = certificate
		}
	}
	if first != nil {
		v.rec.Number(CertificateDays, time.Until(first.NotAfter).Hours()/24)
	}
}

// facts notes what the page did.
func (v *visit) facts(record chromium.Record) {
	failed := slices.DeleteFunc(slices.Clone(record.Requests), func(q chromium.Request) bool { return !q.Failed() })
	v.rec.Number(Requests, float64(len(record.Requests)+record.Omitted))
	v.rec.Number(FailedRequests, float64(len(failed)))
	v.rec.Number(ScriptErrors, float64(len(record.Errors)))
	if record.URL != "" && !strings.HasPrefix(record.URL, errorPage) {
		v.rec.Fact("url", bareURL(record.URL))
	}
	if document, ok := record.Document(); ok && document.Answered {
		v.rec.Fact("status", strings.TrimSpace(strconv.Itoa(document.Status)+" "+document.StatusText))
		v.rec.Fact("address", document.Address)
		v.rec.Fact("protocol", document.Protocol)
	}
	v.rec.Fact("redirects", redirects(record))
	v.rec.Fact("failed_requests", list(failed, 5, func(q chromium.Request) string {
		why := q.Failure
		if why == "" {
			why = strconv.Itoa(q.Status)
		} else if q.Blocked != "" {
			why += " (" + q.Blocked + ")"
		}
		return bareURL(q.URL) + ": " + why
	}))
	v.rec.Fact("script_errors", list(record.Errors, 3, firstLine))
	v.rec.Fact("console_errors", list(record.Console, 3, firstLine))
}

// redirects lists the hosts that the document was asked of, when there was more than one request.
func redirects(record chromium.Record) string {
	var steps []string
	for _, q := range record.Requests {
		if q.Document {
			steps = append(steps, bareURL(q.URL))
		}
	}
	if len(steps) < 2 {
		return ""
	}
	return strings.Join(steps[:min(len(steps), 8)], " > ")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return Printable(maskTokens(line), 150)
}

// list writes the first items of a list, and how many more there are.
func list[T any](items []T, most int, text func(T) string) string {
	var all []string
	for _, item := range items[:min(len(items), most)] {
		all = append(all, text(item))
	}
	if more := len(items) - most; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, "; ")
}

// evidence keeps a picture and the requests. It is quick, and its failure is none of the run.
func (v *visit) evidence() {
	record := v.page.Record()
	v.facts(record)
	if text := har(record, v.title, func(text string) string { return secret.Hide(text, v.p.masked) }); text != nil {
		v.rec.Attach(Attachment{Name: "requests.har", Type: "application/json", Content: text})
	}
	if _, ok := record.Document(); !ok || strings.HasPrefix(record.URL, errorPage) {
		return // of Chromium's own page there is no need for a picture
	}
	if !v.p.Screenshot || v.ctx.Err() != nil || v.page.Err() != nil {
		return
	}
	if v.typed && v.page.Eval(v.ctx, scriptForget, nil) != nil {
		return // a picture without what was typed, or none
	}
	if picture, err := v.page.Screenshot(v.ctx); err == nil {
		v.rec.Attach(Attachment{Name: "screenshot.jpg", Type: "image/jpeg", Content: picture})
	}
}
