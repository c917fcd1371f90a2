package reconcile

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; go test -update writes it):\n%s", file, d)
	}
}

var noon = time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)

// exampleWriter writes for a Danish customer.
func exampleWriter(t *testing.T, language string) *writer {
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	return newWriter(Options{
		Tenant: Tenant{ID: "acme", Name: "ACME A/S", Zone: zone, Language: language, Customer: incident.Contact{Name: "ACME IT service desk", Email: "it@acme.example", Phone: "+45 00 00 00 00"}},
		Centre: Centre{"Operations Centre", "+45 33 36 63 00"}, StatusEvery: 30 * time.Minute, StatusFor: []incident.Priority{incident.P1, incident.P2},
		ExternalURL: "https://acme.firstcall.example", Version: "1.0.0", Vantage: "aks-westeurope",
	})
}

func exampleIncident() incident.Incident {
	return incident.Incident{
		ID: "fc-acme-web-client-20261123T105954.000Z", Tenant: "acme", Class: incident.Availability, Root: "web-client", Components: []string{"web-client"},
		Priority: incident.P2, Highest: incident.P2, Reason: "timeout", Title: "web-client is inaccessible",
		Why:     "a non-redundant server application or functionality is inaccessible: web-client, with one instance, down since 2026-11-23 10:59:54 UTC",
		Detail:  []string{"web-client/http: outage since 2026-11-23 10:59:54 UTC: timeout in 4 of 4 runs: no answer within 5 s"},
		Judged:  judgedAs("http", probes.Down, probes.Timeout),
		Started: noon.Add(-6 * time.Second), Opened: noon, Commencement: noon, ReactionDue: noon.Add(time.Hour), Updated: noon,
	}
}

func judgedAs(kind string, o probes.Outcome, r probes.Reason) incident.Judgement {
	return policy.JudgeFailure(kind, o, r, map[probes.Reason]incident.Matter{probes.Content: incident.MatterFunctional})
}

func exampleView() engine.View {
	last := &probes.Result{
		Probe: "web-client/http", Start: noon.Add(30 * time.Second), Duration: 5 * time.Second, Outcome: probes.Down, Reason: probes.Timeout,
		Detail: "no answer within 5 s after the request was sent", Facts: []probes.Fact{{Name: "address", Value: "192.0.2.10:443"}, {Name: "sent", Value: "GET / <b>\x1b[31m"}},
	}
	return engine.View{
		At: noon.Add(31 * time.Second), Tenant: "acme", Outcome: probes.Down,
		Components: []engine.ComponentView{
			{Name: "backend", Outcome: probes.Up, Instances: []engine.InstanceView{{Name: "app01", Outcome: probes.Up}, {Name: "app02", Outcome: probes.Up}}},
			{Name: "web-client", Outcome: probes.Down, Reason: probes.Timeout, Since: noon.Add(-6 * time.Second), Instances: []engine.InstanceView{
				{Name: "web-client", Outcome: probes.Down, Probes: []engine.ProbeView{{ID: "web-client/http", Deciding: true, Outcome: probes.Down, Last: last, LastGood: noon.Add(-36 * time.Second)}}},
			}},
			{Name: "remote-desktop", Outcome: probes.Unknown},
		},
	}
}

// exampleStory is a story for every kind of notice.
func exampleStory(kind incident.NoticeKind) story {
	s := story{
		notice:   incident.Notice{ID: "fc-acme-web-client.mail.customer." + string(kind) + ".0", Kind: kind, Due: noon, Incident: exampleIncident().ID},
		incident: exampleIncident(), view: exampleView(), now: noon.Add(2 * time.Second),
		theCase: incident.Case{Desk: "soc", Number: "FC-2026-000123", Ref: "1", State: incident.CaseNew, URL: "https://soc.example/FC-2026-000123"},
	}
	acked := func() { s.theCase.Acknowledged, s.theCase.AcknowledgedBy = noon.Add(9*time.Minute), "Jens Hansen" }
	switch kind {
	case incident.NoticeStatus:
		acked()
		s.notice.Seq, s.notice.Due, s.now = 1, noon.Add(30*time.Minute), noon.Add(30*time.Minute)
	case incident.NoticeRaised:
		s.incident.Priority, s.incident.Highest, s.incident.Title = incident.P1, incident.P1, "the entire customer solution is inaccessible"
		s.notice.Text = "P2 to P1: the entire customer solution is inaccessible: all 3 essential components down"
	case incident.NoticeLowered:
		s.incident.Priority, s.incident.Title = incident.P3, "backend has lost redundancy"
		s.notice.Text = "P1 to P3: reading of the contract: redundancy is lost, the function is still served: 1 of 2 instances of backend down"
	case incident.NoticeAcknowledged:
		acked()
	case incident.NoticeHeld:
		s.theCase.Holds = []incident.Hold{{From: noon, Reason: "Which server may be restarted?", Actor: "Jens Hansen"}}
	case incident.NoticeMoved:
		s.theCase.Number, s.notice.Text = "SOC-4711", "case FC-2026-000123 at mailbox goes on as case SOC-4711 at soc, which answers again"
	case incident.NoticeReaction:
		s.notice.Text = "80 % of the reaction time has passed and nobody has taken case FC-2026-000123 at soc: the reaction is due 2026-11-23 13:00:00 CET " +
			"(2026-11-23 12:00:00 UTC), in 12 min; call the Operations Centre, +45 33 36 63 00"
	case incident.NoticeResolved:
		s.theCase.Holds = []incident.Hold{{From: noon.Add(20 * time.Minute), To: noon.Add(40 * time.Minute), Reason: "Which server may be restarted?", Actor: "Jens Hansen"}}
		s.incident.Ended, s.incident.Closed, s.incident.Resolution = noon.Add(72*time.Minute), noon.Add(73*time.Minute), incident.Recovered
		s.view.Components[1].Outcome, s.view.Components[2].Outcome = probes.Up, probes.Up
	default:
	}
	return s
}

// slowStory is a story of a speed problem, with all that a detector says of it.
func slowStory(kind incident.NoticeKind) story {
	const said = "total: median of the last 7 runs (3m30s) 412ms, normal for this hour (Tue 14 h) 118ms by 6 days like it, 3.49 x; " +
		"limit 1.22 x for the median of 20 runs (its own worst hours); since about 14:02:10 UTC; 19 of the last 20 runs over it; " +
		"of the 294ms more: tls 280ms more (301ms, normally 21ms)"
	s := exampleStory(kind)
	i := &s.incident
	i.ID, i.Class, i.Reason, i.Title = "fc-acme-web-client-performance-20261123T105954.000Z", incident.Performance, "slow", "web-client is slow"
	i.Judged = judgedAs("http", probes.Degraded, probes.Slow)
	i.Why = "sustained speed problems: web-client slow since 2026-11-23 10:59:54 UTC, longer than 15m"
	i.Detail = []string{"web-client/http: " + said}
	c := &s.view.Components[1]
	p := &c.Instances[0].Probes[0]
	p.Last = &probes.Result{
		Probe: p.ID, Start: noon.Add(30 * time.Second), Duration: 412 * time.Millisecond, Outcome: probes.Up, Facts: []probes.Fact{{Name: "status", Value: "200 OK"}},
	}
	p.Findings = []incident.Finding{{Probe: p.ID, Kind: incident.Regression, Reason: probes.Slow, Explanation: said}}
	c.Outcome, c.Instances[0].Outcome, p.Outcome, c.Reason = probes.Degraded, probes.Degraded, probes.Degraded, probes.Slow
	if kind == incident.NoticeResolved {
		c.Outcome, c.Instances[0].Outcome, p.Outcome, p.Findings = probes.Up, probes.Up, probes.Up, nil
	}
	return s
}

// accountStory is a story of a probe whose account is refused.
func accountStory(kind incident.NoticeKind) story {
	s := exampleStory(kind)
	i := &s.incident
	i.Class, i.Priority, i.Highest, i.Reason, i.Root, i.Components = incident.Account, incident.NoPriority, incident.NoPriority, "auth", "remote-desktop/rdp", []string{"remote-desktop/rdp"}
	i.Title, i.Why = "the account of the probe remote-desktop/rdp is off", "the probe's own account is refused: nothing is said against the customer's solution and no case is opened"
	i.Detail = []string{"log-on with ACME\\firstcall is off: refused at 2026-11-23 10:59 UTC: its password has expired (STATUS_PASSWORD_EXPIRED); it is not tried again until its secret changes or an operator resets it"}
	i.Judged, s.theCase = judgedAs("rdp", probes.Unknown, probes.Auth), incident.Case{}
	return s
}

// acceptedStory is the end of one whose latency an operator accepted, or that has lasted.
func acceptedStory(by string) story {
	s := slowStory(incident.NoticeResolved)
	s.incident.Resolution, s.incident.AcceptedBy = incident.Accepted, by
	return s
}

var everyKind = []incident.NoticeKind{
	incident.NoticeOpened, incident.NoticeRaised, incident.NoticeLowered, incident.NoticeStatus,
	incident.NoticeAcknowledged, incident.NoticeHeld, incident.NoticeResumed, incident.NoticeMoved, incident.NoticeResolved,
}

func TestMails(t *testing.T) {
	write := func(t *testing.T, name, language string, s story, to audience) {
		m, err := exampleWriter(t, language).message(s, route{notifier: "mail", audience: to, to: []incident.Contact{person}})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
		golden(t, name+".html", m.HTML)
	}
	for _, language := range []string{"en", "da"} {
		for _, kind := range everyKind {
			t.Run(language+" "+string(kind), func(t *testing.T) {
				write(t, language+"/"+string(kind), language, exampleStory(kind), toCustomer)
			})
		}
		t.Run(language+" absorbed", func(t *testing.T) {
			s := exampleStory(incident.NoticeResolved)
			s.incident.Resolution, s.incident.AbsorbedBy, s.into = incident.Absorbed, "fc-acme-solution", "FC-2026-000124"
			write(t, language+"/absorbed", language, s, toCustomer)
		})
		t.Run(language+" removed", func(t *testing.T) {
			s := exampleStory(incident.NoticeResolved)
			s.incident.Resolution = incident.Removed
			write(t, language+"/removed", language, s, toCustomer)
		})
		for _, by := range []string{"", "Jens Hansen"} {
			name := strings.TrimSpace("accepted " + strings.ToLower(strings.Split(by, " ")[0]))
			t.Run(language+" "+name, func(t *testing.T) {
				write(t, language+"/"+strings.ReplaceAll(name, " ", "-"), language, acceptedStory(by), toCustomer)
			})
		}
		t.Run(language+" functional", func(t *testing.T) {
			s := exampleStory(incident.NoticeOpened)
			s.incident.Class, s.incident.Priority, s.incident.Reason, s.theCase = incident.Function, incident.NoPriority, "auth", incident.Case{}
			s.incident.Title, s.incident.Why = "backend has a functional failure", "functional"
			s.incident.Judged = judgedAs("http", probes.Degraded, probes.Auth)
			write(t, language+"/functional", language, s, toFunctional)
		})
		t.Run(language+" functional by choice", func(t *testing.T) {
			s := exampleStory(incident.NoticeOpened)
			s.incident.Class, s.incident.Priority, s.incident.Reason, s.theCase = incident.Function, incident.NoPriority, "content", incident.Case{}
			s.incident.Title, s.incident.Judged = "backend has a functional failure", judgedAs("http", probes.Degraded, probes.Content)
			write(t, language+"/functional-by-choice", language, s, toFunctional)
		})
		for _, kind := range []incident.NoticeKind{incident.NoticeOpened, incident.NoticeResolved} {
			t.Run(language+" account "+string(kind), func(t *testing.T) {
				write(t, language+"/account-"+string(kind), language, accountStory(kind), toFunctional)
			})
		}
		t.Run(language+" rejudged", func(t *testing.T) {
			s := exampleStory(incident.NoticeResolved)
			s.incident.Resolution = incident.Rejudged
			write(t, language+"/rejudged", language, s, toCustomer)
		})
	}
	t.Run("on call", func(t *testing.T) {
		s := exampleStory(incident.NoticeOpened)
		s.theCase = incident.Case{}
		write(t, "en/on-call", "da", s, toOnCall)
	})
	for _, kind := range []incident.NoticeKind{incident.NoticeReaction, incident.NoticeMoved} {
		t.Run(string(kind)+", on call", func(t *testing.T) {
			write(t, "en/"+string(kind)+"-on-call", "da", exampleStory(kind), toOnCall)
		})
	}
	t.Run("slow, on call", func(t *testing.T) {
		s := slowStory(incident.NoticeOpened)
		s.theCase = incident.Case{}
		write(t, "en/slow-on-call", "da", s, toOnCall)
	})
	t.Run("agent", func(t *testing.T) {
		s := exampleStory(incident.NoticeOpened)
		s.incident.Class, s.incident.Priority, s.incident.Reason, s.theCase = incident.Agent, incident.NoPriority, "blind", incident.Case{}
		s.incident.Title, s.incident.Why = "the agent is blind", "none of 2 witnesses answers since 2026-11-23 10:59:54 UTC"
		write(t, "en/agent", "en", s, toOnCall)
	})
}

func TestCaseTexts(t *testing.T) {
	w, i := exampleWriter(t, "da"), exampleIncident()
	events := []incident.Event{
		{Seq: 1, At: noon, Kind: incident.EventOpened, Actor: incident.ActorAgent, Text: i.Title + ": " + i.Why},
		{Seq: 2, At: noon.Add(time.Second), Kind: incident.EventNoticeSent, Actor: "chat", Text: "not the SOC's business"},
	}
	f := w.fields(i, incident.Case{}, i.Priority, events, exampleView())
	golden(t, "case/opened.txt", f.Title+"\n\n"+f.Body)
	slow := slowStory(incident.NoticeOpened)
	f = w.fields(slow.incident, incident.Case{}, slow.incident.Priority, nil, slow.view)
	golden(t, "case/slow.txt", f.Title+"\n\n"+f.Body)
	for _, by := range []string{"", "Jens Hansen"} {
		s := acceptedStory(by)
		name := strings.TrimSuffix("case/accepted-"+strings.ToLower(strings.Split(by, " ")[0]), "-")
		text := w.closing(s.incident, s.theCase, "", s.view)
		golden(t, name+".txt", text)
		f := w.fields(s.incident, incident.Case{}, s.incident.Priority, nil, s.view)
		for _, said := range []string{text, f.Body} {
			if strings.Contains(strings.ToLower(said), "good again") || !strings.Contains(said, "is taken as normal from now on") || !strings.Contains(said, by) {
				t.Errorf("by %q: %s", by, said)
			}
		}
	}
	s := exampleStory(incident.NoticeResolved)
	golden(t, "case/closing.txt", w.closing(s.incident, s.theCase, "", s.view))
	s.incident.Resolution = incident.Absorbed
	golden(t, "case/absorbed.txt", w.closing(s.incident, s.theCase, "FC-2026-000124", s.view))
	s.incident.Resolution = incident.Removed
	golden(t, "case/removed.txt", w.closing(s.incident, s.theCase, "", s.view))
	s.incident.Resolution = incident.Rejudged
	golden(t, "case/rejudged.txt", w.closing(s.incident, s.theCase, "", s.view))
}

// Every row of the table has a sentence in every language.
func TestJudgementsInEveryLanguage(t *testing.T) {
	for _, r := range policy.Rules() {
		if danish.judgements[r.Name] == "" || danish.matters[r.Matter] == "" || english.matters[r.Matter] == "" {
			t.Errorf("%s has no Danish sentence", r.Name)
		}
	}
	if n := len(danish.judgements); n != len(policy.Rules()) {
		t.Errorf("%d Danish sentences for %d rows", n, len(policy.Rules()))
	}
}

// What nobody knows yet is left out or said, and never a hole in a sentence.
func TestTextsWithoutAnything(t *testing.T) {
	w := newWriter(Options{Tenant: Tenant{ID: "acme", Name: "acme", Zone: time.UTC}})
	for _, kind := range everyKind {
		for _, to := range []audience{toCustomer, toFunctional, toOnCall} {
			m, err := w.message(story{notice: incident.Notice{Kind: kind}, incident: incident.Incident{Class: incident.Availability, Priority: incident.P2, Title: "x is inaccessible"}}, route{audience: to})
			if err != nil || m.Subject == "" || m.Text == "" || strings.Contains(m.Text+m.Subject, "<no value>") {
				t.Errorf("%s to %s: %v, %q", kind, to, err, m.Subject)
			}
		}
	}
	if f := w.fields(incident.Incident{ID: "k", Title: "x"}, incident.Case{}, incident.P4, nil, engine.View{}); strings.Contains(f.Body, "still works") {
		t.Errorf("body %s", f.Body)
	}
	if f := w.fields(incident.Incident{ID: "k", Title: "x"}, incident.Case{}, incident.P4, nil, engine.View{Components: make([]engine.ComponentView, 1)}); !strings.Contains(f.Body, "nothing that is measured") {
		t.Errorf("body %s", f.Body)
	}
}

func TestEveryUrgentMessageHasTheTelephoneAndTheContact(t *testing.T) {
	for _, language := range []string{"en", "da"} {
		for _, kind := range everyKind {
			for _, to := range []audience{toCustomer, toOnCall} {
				m, err := exampleWriter(t, language).message(exampleStory(kind), route{audience: to})
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"+45 33 36 63 00", "ACME IT service desk", "+45 00 00 00 00", "it@acme.example"} {
					if !strings.Contains(m.Text, want) || !strings.Contains(strings.ReplaceAll(m.HTML, "&#43;", "+"), want) {
						t.Errorf("%s %s to %s does not say %s", language, kind, to, want)
					}
				}
			}
		}
	}
}

func TestHostileTextStaysText(t *testing.T) {
	s := exampleStory(incident.NoticeHeld)
	s.theCase.Holds[0].Reason = tidy("<script>alert(1)</script>\r\nBcc: x@evil.example\x1b]0;t\x07 \u202e", maxText)
	s.incident.Title = "x\r\nBcc: everybody is inaccessible"
	for _, language := range []string{"en", "da"} {
		m, err := exampleWriter(t, language).message(s, route{audience: toCustomer})
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(m.Subject, "\r\n") || strings.Contains(m.HTML, "<script>alert") || strings.ContainsAny(m.Text, "\x1b\x07\r\u202e") {
			t.Errorf("subject %q\n%s", m.Subject, m.Text)
		}
	}
}

func TestLongStoriesAreBounded(t *testing.T) {
	i := exampleIncident()
	var events []incident.Event
	for n := range 500 {
		i.Detail = append(i.Detail, strings.Repeat("æ", 900))
		events = append(events, incident.Event{Seq: int64(n), At: noon, Kind: incident.EventMeasured, Text: strings.Repeat("x ", 3000)})
	}
	f := exampleWriter(t, "en").fields(i, incident.Case{}, i.Priority, events, exampleView())
	if len(f.Body) > maxBody || !utf8.ValidString(f.Body) {
		t.Errorf("%d bytes", len(f.Body))
	}
}

// Every word that a language may need is there.
func TestLanguagesAreComplete(t *testing.T) {
	for _, l := range []*language{english, danish} {
		for _, r := range probes.Reasons {
			if l.reasons[r] == "" {
				t.Errorf("%s: no words for reason %s", l.code(), r)
			}
		}
		for o := probes.Unknown; o <= probes.Down; o++ {
			if l.outcomes[o] == "" {
				t.Errorf("%s: no words for outcome %s", l.code(), o)
			}
		}
		for _, class := range []incident.Class{incident.Availability, incident.Performance, incident.Capacity} {
			for p := incident.P1; p <= incident.P4; p++ {
				if l.rule(incident.Incident{Class: class, Priority: p}) == "" {
					t.Errorf("%s: no rule for %s %s", l.code(), class, p)
				}
			}
		}
	}
	titles := []string{"backend has a functional failure", policy.EntireSolution(3, noon).Title}
	for status := policy.Inaccessible; status <= policy.LimitPassed; status++ {
		titles = append(titles, policy.Judge(policy.Situation{Component: "backend", Status: status, Instances: 1}, policy.Readings{}).Title)
	}
	for _, title := range titles {
		own := danish.problem(title)
		more := danish.problem(title + " (with a, b)")
		if own == title || !strings.HasPrefix(more, own) || !strings.HasSuffix(more, "(sammen med a, b)") {
			t.Errorf("%q is %q, and with others %q", title, own, more)
		}
	}
}

func TestSpans(t *testing.T) {
	for _, tt := range []struct {
		d      time.Duration
		en, da string
	}{
		{0, "0 s", "0 sek."},
		{-time.Second, "0 s", "0 sek."},
		{59*time.Second + 600*time.Millisecond, "1 min", "1 min."},
		{90 * time.Second, "1 min 30 s", "1 min. 30 sek."},
		{72 * time.Minute, "1 h 12 min", "1 t. 12 min."},
		{24*time.Hour + 5*time.Minute, "1 d", "1 d."},
		{50 * time.Hour, "2 d 2 h", "2 d. 2 t."},
	} {
		if en, da := english.span(tt.d), danish.span(tt.d); en != tt.en || da != tt.da {
			t.Errorf("%s: %q, %q", tt.d, en, da)
		}
	}
	got := fmt.Sprint(english.interval(30*time.Minute), danish.interval(30*time.Minute), danish.interval(90*time.Second))
	if got != "every 30 minuteshvert 30. minuthver 1 min. 30 sek." {
		t.Errorf("intervals %s", got)
	}
}

func FuzzTidy(f *testing.F) {
	f.Add("a\x00b\n\tc \u202e\xff", 10)
	f.Add(strings.Repeat("ø", 400), 80)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 8 + max(limit, -limit)%1000
		got := tidy(text, max(limit, 8))
		if !utf8.ValidString(got) || len(got) > max(limit, 8) || slices.ContainsFunc([]rune(got), unicode.IsControl) || got != strings.TrimSpace(got) {
			t.Errorf("%q becomes %q", text, got)
		}
		if again := tidy(got, max(limit, 8)); again != got {
			t.Errorf("%q, tidied again, becomes %q", got, again)
		}
	})
}

func TestErrorsThatSayTheSame(t *testing.T) {
	if !sameError("dial tcp 10.0.0.1:443: timeout after 1.2s", "dial tcp 10.0.0.1:444:  Timeout after 9.9s") {
		t.Error("only the numbers differ")
	}
	if sameError("dial: refused", "dial: timeout") {
		t.Error("the words differ")
	}
}

func TestBackoffIsBounded(t *testing.T) {
	for failures := range 100 {
		for _, jitter := range []float64{0, 0.5, 0.999} {
			if d := backoff(failures, jitter); d < firstBackoff/2 || d > maxBackoff {
				t.Errorf("after %d failures %s", failures, d)
			}
		}
	}
}
