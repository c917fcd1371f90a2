//go:build servers

package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/firstcall-agent/firstcall/agent/fleet"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// browserWait bounds every wait for the browser: a loaded machine is slow, and what is waited for comes.
const browserWait = 2 * time.Minute

const webToken = "correct horse battery staple"

// browser is a running Chromium, shared by the tests of the binary.
var browser = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"), chromedp.WSURLReadTimeout(browserWait))
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	return ctx, chromedp.Do(ctx)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if ctx, err := browser(); err == nil {
			_ = chromedp.Cancel(ctx)
		}
	}
	os.Exit(code)
}

var started bool

// tab is a page of the browser, and what it complained about.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	scriptless bool // the pages' own scripts do not run

	mu       sync.Mutex
	faults   []string
	expected []string // parts of complaints that a test asks for
}

// newTab opens a tab on a site in a state.
func newTab(t *testing.T, f *webtest.Fake) *tab {
	t.Helper()
	o := options(f)
	o.Token = secret.New(webToken)
	return newTabOn(t, web.New(o))
}

// newTabOn opens a tab on a site.
func newTabOn(t *testing.T, h http.Handler) *tab {
	t.Helper()
	server := httptest.NewServer(h)
	started = true
	parent, err := browser()
	if err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	// A context of the browser of its own: no cookie of another test.
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(func() { cancel(); server.CloseClientConnections(); server.Close() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(ctx, browserWait)
	t.Cleanup(stop)
	b := &tab{t: t, ctx: ctx, url: server.URL + "/"}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.run(chromedp.EmulateViewport(1280, 900))
	return b
}

// hear keeps what the console says: errors, exceptions, and what the policy of the content forbade.
func (b *tab) hear(event any) {
	text := ""
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Source == "security" {
			text = string(e.Entry.Source) + ": " + e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventExceptionThrown:
		text = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" {
			text = "console.error"
		}
	}
	if text == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range b.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	b.faults = append(b.faults, text)
}

// quiet fails the test where the console was not.
func (b *tab) quiet(what string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.faults {
		b.t.Errorf("%s: the browser complains: %s", what, text)
	}
	b.faults = nil
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.url+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// until waits for a condition in JavaScript.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](condition, chromedp.WithPollingTimeout(browserWait))); err != nil {
		page, _ := chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
		b.t.Fatalf("still not: %s (%v); the page says\n%s", what, err, page)
	}
}

func (b *tab) says(text string) {
	b.t.Helper()
	quoted, _ := json.Marshal(text)
	b.until(text, "document.body && document.body.innerText.includes("+string(quoted)+")")
}

// submit presses a button or follows a link, and waits for the page that follows. With scripts it is one step in the page, between
// which and the look at where the button is no refresh can come.
func (b *tab) submit(selector string) {
	b.t.Helper()
	quoted, _ := json.Marshal(selector)
	press := chromedp.Evaluate[chromedp.Void]("document.querySelector(" + string(quoted) + ").click()")
	if b.scriptless {
		press = chromedp.Click(chromedp.CSS(selector))
	}
	if _, err := chromedp.RunResponse(b.ctx, press); err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
}

func (b *tab) signIn() {
	b.t.Helper()
	b.open("login?next=incidents")
	b.run(chromedp.SendKeys(chromedp.CSS("input[name=name]"), "mette"), chromedp.SendKeys(chromedp.CSS("input[name=token]"), webToken))
	b.submit("main form button")
	b.says("Sign out")
}

func TestInABrowserPeopleWorkOnACase(t *testing.T) {
	f := webtest.Scene("p1")
	id := f.Seen.Incidents[0].ID
	b := newTab(t, f)
	b.open("incidents/" + id)
	b.says("Sign in to work on FC-2026-000201")
	b.submit("main a[href*=login]")
	b.expected = []string{"401"}
	b.run(chromedp.SendKeys(chromedp.CSS("input[name=name]"), "mette"), chromedp.SendKeys(chromedp.CSS("input[name=token]"), "wrong"))
	b.submit("main form button")
	b.says("the token is missing or wrong")
	b.run(chromedp.SendKeys(chromedp.CSS("input[name=token]"), webToken))
	b.submit("main form button")
	b.says("To FC-2026-000201, as mette") // and it is the incident again
	b.submit("button[value=ack]")
	b.says("Acknowledged.")
	b.run(chromedp.SendKeys(chromedp.CSS("textarea[name=reason]"), "waits for the customer's word"))
	b.submit("button[value=hold]")
	b.says("Put on hold")
	b.says("on hold since")
	b.submit("button[value=resume]")
	b.says("Resumed.")
	b.expected = append(b.expected, "400")
	b.submit("button[value=note]")
	b.says("reason is missing")
	b.open("incidents/" + id)
	b.run(chromedp.SendKeys(chromedp.CSS("textarea[name=reason]"), "the provider restarts"))
	b.submit("button[value=note]")
	b.says("Noted.")
	b.run(chromedp.SendKeys(chromedp.CSS("#silence-form input[name=reason]"), "known"))
	b.submit("#silence-form button")
	b.says("Silenced until")
	b.submit("button[value=resolve]")
	b.says("Resolved; measuring goes on.")
	var got []string
	for _, a := range f.Acts() {
		got = append(got, a.Actor+" "+string(a.Action)+" "+a.Reason)
	}
	want := []string{"mette ack ", "mette hold waits for the customer's word", "mette resume ", "mette note the provider restarts", "mette resolve "}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the agent was asked for %q, want %q", got, want)
	}
	if o := f.Orders(); len(o) != 1 || o[0].Incident != id || o[0].Until.Sub(o[0].From) != 2*time.Hour || o[0].Actor != "mette" || o[0].Priority != incident.P1 {
		t.Errorf("orders %+v", o)
	}
	b.submit(".who button")
	b.until("nobody is signed in", "document.querySelector('.who a') && !document.querySelector('main form')")
	b.quiet("the whole way")
}

func TestInABrowserMaintenanceNow(t *testing.T) {
	f := webtest.Scene("well")
	b := newTab(t, f)
	b.signIn()
	b.open("maintenance")
	b.run(chromedp.Click(chromedp.CSS("#maintenance-form input[value=backend]")), chromedp.SetValue(chromedp.CSS("#maintenance-form select"), "240"),
		chromedp.SendKeys(chromedp.CSS("#maintenance-form input[name=reason]"), "a new certificate"))
	b.submit("#maintenance-form > button")
	b.says("Maintenance has begun")
	b.says("a new certificate")
	b.open("")
	b.says("maintenance until 14:48")
	b.open("maintenance")
	b.submit("form.end button")
	b.says("ended by mette")
	b.run(chromedp.Click(chromedp.CSS("#silence-form input[name=all]")), chromedp.SendKeys(chromedp.CSS("#silence-form input[name=reason]"), "a drill"))
	b.submit("#silence-form > button")
	b.says("Silenced: people are told of the end")
	if o := f.Orders(); len(o) != 2 || o[0].Kind != incident.OrderSilence || len(o[0].Components) != 0 || o[1].Until.Sub(o[1].From) != 4*time.Hour || o[1].EndedBy != "mette" {
		t.Errorf("orders %+v", o)
	}
	b.quiet("the whole way")
}

// The page follows the agent without being loaded again, and keeps what somebody is writing.
func TestInABrowserThePageIsLive(t *testing.T) {
	f := webtest.Scene("p1")
	id := f.Seen.Incidents[0].ID
	b := newTab(t, f)
	b.signIn()
	b.open("incidents/" + id)
	b.run(chromedp.Evaluate[chromedp.Void]("window.sameDocument = true"), chromedp.SendKeys(chromedp.CSS("textarea[name=reason]"), "half a sent"))
	f.Change(func() {
		f.Events[id] = append(f.Events[id], incident.Event{Seq: 5000, Incident: id, At: f.Now, Kind: incident.EventNote, Actor: "jonas", Text: "the provider has found it"})
	})
	b.says("the provider has found it")
	b.run(chromedp.SendKeys(chromedp.CSS("textarea[name=reason]"), "ence"))
	b.until("what was written is kept", "window.sameDocument && document.querySelector('textarea[name=reason]').value === 'half a sentence'")
	b.open("")
	b.run(chromedp.Evaluate[chromedp.Void]("window.sameDocument = true"))
	f.Change(func() { f.Seen.Incidents, f.Seen.Components = nil, webtest.Scene("well").Seen.Components })
	b.until("the first sentence is new", "window.sameDocument && document.querySelector('h1').innerText.startsWith('All well') && document.title.startsWith('all well')")
	b.quiet("the whole way")
}

func TestInABrowserFilters(t *testing.T) {
	f := webtest.Scene("p1")
	b := newTab(t, f)
	b.open("incidents")
	b.says("121 incidents.")
	b.run(chromedp.SetValue(chromedp.CSS("select[name=state]"), "momentary"), chromedp.SetValue(chromedp.CSS("select[name=component]"), "web-client"))
	b.submit("form.filter button")
	b.says("30 incidents that match.")
	b.until("the filter is in the address", "location.search.includes('state=momentary') && document.querySelector('select[name=state]').value === 'momentary'")
	b.open("incidents?q=fc-2026-000199")
	b.says("1 incident that matches.")
	b.submit(".history tbody a")
	b.says("Timeline")
	b.open("components/web-client")
	b.submit("nav.ranges a")
	b.until("the range is in the address", "location.search === '?range=24h' && document.querySelectorAll('svg.chart').length > 1")
	b.quiet("the whole way")
}

func TestInABrowserWithoutJavaScript(t *testing.T) {
	f := webtest.Scene("p1")
	b := newTab(t, f)
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.scriptless = true
	read := func() string {
		text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	id := f.Seen.Incidents[0].ID
	b.open("login?next=incidents/" + id)
	b.run(chromedp.SendKeys(chromedp.CSS("input[name=name]"), "mette"), chromedp.SendKeys(chromedp.CSS("input[name=token]"), webToken))
	b.submit("main form button")
	b.submit("button[value=ack]")
	if text := read(); !strings.Contains(text, "Acknowledged.") || !strings.Contains(text, "Sign out") {
		t.Errorf("the page says %s", text)
	}
	if acts := f.Acts(); len(acts) != 1 || acts[0].Action != desk.Acknowledge {
		t.Errorf("the agent was asked for %+v", acts)
	}
	b.open("components/web-client?range=7d")
	if text := read(); !strings.Contains(text, "web-client/http") {
		t.Errorf("the page says %s", text)
	}
	b.quiet("the whole way")
}

// axe returns the source of axe-core.
var axe = sync.OnceValues(func() (string, error) {
	packed, err := os.ReadFile("testdata/axe/axe.min.js.gz")
	if err != nil {
		return "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	source, err := io.ReadAll(z)
	return string(source), err
})

// Every page, for readers and for who is signed in, in light and dark, wide and narrow: no rule of axe-core is broken, the console is
// quiet, nothing is wider than the window.
func TestInABrowserEveryPageIsAccessible(t *testing.T) {
	source, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	f := webtest.Scene("ordered")
	id := f.Seen.Incidents[0].ID
	b := newTab(t, f)
	all := []string{"", "incidents", "incidents/" + id, "components/web-client", "components/virtual-desktop?range=24h", "maintenance", "agent", "login", "incidents/none"}
	check := func(scheme string, width int64, paths ...string) { b.accessible(source, scheme, width, paths...) }
	check("light", 1280, all...)
	check("dark", 1280, all...)
	b.expected = nil
	b.signIn()
	check("light", 360, "", "incidents", "incidents/"+id, "maintenance", "components/virtual-desktop")
	check("dark", 360, "incidents/"+id, "maintenance")
}

// accessible checks pages in a colour scheme and a width.
func (b *tab) accessible(source, scheme string, width int64, paths ...string) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.t.Fatal(err)
	}
	b.run(chromedp.EmulateViewport(width, 900))
	for _, path := range paths {
		what := fmt.Sprintf("/%s, %s, %d px", path, scheme, width)
		b.expected = nil
		if strings.HasSuffix(path, "none") {
			b.expected = []string{"404"}
		}
		b.open(path)
		b.quiet(what)
		wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
		if wide || err != nil {
			b.t.Errorf("%s is wider than the window", what)
		}
		covered, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("[...document.querySelectorAll('td[data-label]')].some(e => getComputedStyle(e, '::before').content !== 'none' && parseFloat(getComputedStyle(e).paddingLeft) < 64)"))
		if covered || err != nil {
			b.t.Errorf("%s: the label of a cell lies under its content", what)
		}
		b.expected = []string{"Content Security Policy"} // axe's own styles
		b.violations(what, source, scheme == "dark")
	}
}

// violations reports which rules the page breaks; of a scheme alone, those of its colours.
func (b *tab) violations(what, source string, colours bool) {
	b.t.Helper()
	rules := ""
	if colours {
		rules = `runOnly: ["color-contrast", "link-in-text-block"], `
	}
	ask := `axe.run(document, {` + rules + `resultTypes: ["violations"]}).then(r => r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + " " + n.failureSummary).join(" | ")))`
	b.run(chromedp.Evaluate[chromedp.Void](source + "\n;0"))
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](ask, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Errorf("%s: %v", what, err)
	}
	for _, v := range found {
		b.t.Errorf("%s: %s", what, v)
	}
}

// A page of a hundred components is whole in the browser, and follows.
func TestInABrowserAHundredComponents(t *testing.T) {
	f := webtest.Scene("large")
	b := newTab(t, f)
	b.open("")
	b.until("all of them", "document.querySelectorAll('tbody.component').length === 100")
	f.Change(func() {
		f.Seen.Components = slices.Clone(f.Seen.Components) // pages that are being made have the others
		f.Seen.Components[17].Outcome = f.Seen.Components[0].Outcome
	})
	b.quiet("the page")
}

// The wall of a fleet, empty and with 1,000 tenants, is accessible, follows, and lets who is signed in ask for the parent case. With
// WALL_PICTURES set to a directory it leaves pictures there.
func TestInABrowserTheWall(t *testing.T) {
	source, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range webtest.Walls {
		f := webtest.NewFleet(name, time.Now())
		b := newTabOn(t, web.NewWall(web.Options{Tenant: "Fleet", Token: secret.New(webToken), Version: "1.2.3"}, f))
		for _, look := range []struct {
			scheme string
			width  int64
		}{{"light", 1920}, {"dark", 1920}, {"light", 360}, {"dark", 360}} {
			if name == "well" && look.width == 1920 {
				continue
			}
			b.accessible(source, look.scheme, look.width, "")
			if dir := os.Getenv("WALL_PICTURES"); dir != "" {
				picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(fmt.Sprintf("%s/%s-%s-%d.png", dir, name, look.scheme, look.width), picture, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if name != "full" {
			continue
		}
		b.expected = nil
		b.open("login")
		b.run(chromedp.SendKeys(chromedp.CSS("input[name=name]"), "mette"), chromedp.SendKeys(chromedp.CSS("input[name=token]"), webToken))
		b.submit("main form button")
		b.says("Open one parent case")
		b.submit("article.card form button")
		b.says("asked for by mette")
		b.run(chromedp.Evaluate[chromedp.Void]("window.sameDocument = true"))
		f.Change(func(w *fleet.Wall) {
			w.Rows, w.Shared, w.Counts = webtest.NewFleet("well", time.Now()).Wall().Rows, nil, nil
		})
		b.until("the wall follows", "window.sameDocument && document.querySelectorAll('.tiles li').length === 40")
		b.quiet("the wall")
	}
}
