//go:build servers && linux

package desk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// rtWorld is one desk at one Request Tracker.
type rtWorld struct {
	*testing.T
	desktest.Rig
	system *requestTracker
	people rtPeople
}

func newRTWorld(t *testing.T, change func(*desk.RT)) *rtWorld {
	system := rtSystem(t).(*requestTracker)
	return &rtWorld{t, rtRig(t, system, change), system, rtPeople{system.RT}}
}

func (w *rtWorld) within() context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), rtSlow)
	w.Cleanup(cancel)
	return ctx
}

func (w *rtWorld) ok(what string, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
}

func (w *rtWorld) open(f desk.Fields) desk.Case {
	w.Helper()
	c, err := w.Desk.Open(w.within(), f)
	w.ok("open", err)
	return c
}

func (w *rtWorld) state(c desk.Case, want incident.CaseState) {
	w.Helper()
	got, err := w.Desk.Get(w.within(), c.Ref)
	w.ok("get", err)
	if got.State != want {
		w.Errorf("the case is %q, want %q", got.State, want)
	}
}

// steps returns what was done as "actor: to: text", and checks that the times rise.
func (w *rtWorld) steps(c desk.Case) []string {
	w.Helper()
	all, err := w.Desk.Transitions(w.within(), c.Ref, time.Time{})
	w.ok("transitions", err)
	var told []string
	for i, s := range all {
		if i > 0 && !s.At.After(all[i-1].At) {
			w.Errorf("%v does not rise", all)
		}
		who := s.Actor
		if s.Customer {
			who += " (customer)"
		}
		if s.Rectified {
			who += " (rectified)"
		}
		told = append(told, fmt.Sprintf("%s: %s: %s", who, s.To, s.Text))
	}
	return told
}

func (w *rtWorld) tells(c desk.Case, want ...string) {
	w.Helper()
	if got := w.steps(c); !slices.Equal(got, want) {
		w.Errorf("the history tells %q, want %q", got, want)
	}
}

// rtCase is what a case of that key says.
func rtCase(key string) desk.Fields {
	return desk.Fields{
		Key: key, Title: "P2 acme: " + key, Body: "Since 09:30 UTC.\nÆrø er nede.", Priority: incident.P2,
		Customer: incident.Contact{Name: "ACME IT", Email: "it@acme.example"}, Incident: incident.Incident{Started: noon},
	}
}

func TestRequestTrackerFourAgentsAtOnce(t *testing.T) {
	w := newRTWorld(t, nil)
	f := rtCase("fc-race")
	var wg sync.WaitGroup
	var cases [4]desk.Case
	var errs [4]error
	for i := range cases {
		wg.Go(func() { cases[i], errs[i] = w.Desk.Open(w.within(), f) })
	}
	wg.Wait()
	w.ok("open", errors.Join(errs[:]...))
	states := map[string]int{}
	for _, ticket := range w.system.Tickets("Subject = '" + f.Title + "'") {
		states[ticket.Status]++
	}
	if states["new"] != 1 || states["rejected"] != 3 || len(w.system.States(f.Key)) != 4 {
		t.Errorf("tickets %v, want one new and three rejected", states)
	}
	for _, c := range cases {
		if c.Ref != cases[0].Ref || c.Key != f.Key {
			t.Errorf("%+v and %+v: every agent must get the same case", c, cases[0])
		}
	}
}

// The double of a lost reply has no key of its own, since the field is unique: it must not stay unseen.
func TestRequestTrackerLostReplyOfADouble(t *testing.T) {
	w := newRTWorld(t, nil)
	f := rtCase("fc-lost")
	first := w.open(f)
	w.Faulty.Set(desktest.DropReply)
	if _, err := w.Desk.Open(w.within(), f); !errors.Is(err, desk.ErrUnknownOutcome) {
		t.Fatalf("open: %v, want an unknown outcome", err)
	}
	w.Faulty.Set(desktest.None)
	found, err := w.Desk.Find(w.within(), f.Key)
	w.ok("find", err)
	if len(found) != 2 || found[0].Ref != first.Ref {
		t.Fatalf("found %+v, want the case and its double", found)
	}
	w.ok("withdraw", w.Desk.Withdraw(w.within(), found[1].Ref, found[0].Number))
	if live := w.Live(f.Key); live != 1 {
		t.Errorf("%d live cases", live)
	}
	found, err = w.Desk.Find(w.within(), f.Key)
	w.ok("find", err)
	if len(found) != 1 {
		t.Errorf("found %+v, want the case alone", found)
	}
}

func TestRequestTrackerMisconfigured(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(*desk.RT)
		open   string // in the error of an open; "": not tried
		find   string
	}{
		{"token", func(c *desk.RT) { c.Token = rtConfig("", "1-2-wrong").Token }, "answered 401", "answered 401"},
		{"queue", func(c *desk.RT) { c.Queue = "NOC" }, "No permission to create tickets in the queue", `no queue "NOC"`},
		{"field", func(c *desk.RT) { c.KeyField = "FC-Kee" }, "", `no custom field "FC-Kee"`},
		{"url", func(c *desk.RT) { c.URL += "/elsewhere/rt" }, "answered 404", "answered 404"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newRTWorld(t, c.change)
			_, err := w.Desk.Find(w.within(), "fc-none")
			if err == nil || !strings.Contains(err.Error(), c.find) || strings.Contains(err.Error(), w.system.AgentToken) {
				t.Errorf("find: %v, want %q", err, c.find)
			}
			if c.open == "" {
				return
			}
			_, err = w.Desk.Open(w.within(), rtCase("fc-none"))
			if err == nil || !strings.Contains(err.Error(), c.open) || errors.Is(err, desk.ErrUnknownOutcome) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("open: %v, want %q", err, c.open)
			}
			if _, err := w.Desk.Get(w.within(), "1"); errors.Is(err, incident.ErrNotFound) {
				t.Errorf("get: %v: nobody said that there is no such case", err)
			}
			if n := len(w.system.Tickets("id > 0")); n != 0 {
				t.Errorf("%d tickets were created", n)
			}
		})
	}
}

// The customer's answer leaves a ticket stalled: when it came and when somebody went on are two times.
func TestRequestTrackerHoldAndAnswers(t *testing.T) {
	w := newRTWorld(t, nil)
	c := w.open(rtCase("fc-hold"))
	w.people.Hold(c.Ref, "which server?")
	w.people.Answer(c.Ref, "> which server?\n\nit is app01, Æ")
	w.state(c, incident.CaseHeld)
	w.people.Answer(c.Ref, "it is app01, Æ") // the same mail, delivered twice
	w.people.Resume(c.Ref)
	w.state(c, incident.CaseAcknowledged)
	w.people.Change(c.Ref, map[string]any{"Status": "stalled"})
	w.people.Mail("boss@acme.example", c.Ref, "boss@acme.example", "any news?") // a customer too, though no requestor
	w.people.Change(c.Ref, map[string]any{"CustomFields": map[string]string{"FC-Rectified": "2026-03-02 10:15:00"}})
	w.tells(c,
		"soc-op: held: which server?", "it@acme.example (customer): : it is app01, Æ", "it@acme.example (customer): : it is app01, Æ",
		"soc-op: acknowledged: ", "soc-op: held: which server?", "boss@acme.example (customer): : any news?",
		"soc-op (rectified): : temporarily rectified: FC-Rectified is 2026-03-02 10:15:00")
	all, err := w.Desk.Transitions(w.within(), c.Ref, time.Time{})
	w.ok("transitions", err)
	rest, err := w.Desk.Transitions(w.within(), c.Ref, all[1].At)
	w.ok("transitions", err)
	if len(rest) != len(all)-2 || rest[0] != all[2] {
		t.Errorf("since the second of %+v: %+v", all, rest)
	}
}

// Correspondence makes Request Tracker open a new ticket by itself. Only a colleague's is work.
func TestRequestTrackerWhoOpensATicket(t *testing.T) {
	w := newRTWorld(t, func(c *desk.RT) { c.MailsCustomer = true })
	f := rtCase("fc-opens")
	c := w.open(f)
	w.ok("update", w.Desk.Update(w.within(), c.Ref, f, []desk.Note{{Seq: 4, At: noon, Text: "still down", Public: true}}))
	if got := w.system.Tickets("Subject = '" + f.Title + "'"); len(got) != 1 || got[0].Status != "open" {
		t.Fatalf("tickets %+v: a public note is correspondence, which opens the ticket", got)
	}
	w.state(c, incident.CaseNew)
	w.people.Answer(c.Ref, "please hurry")
	w.state(c, incident.CaseNew)
	w.people.Comment(c.Ref, "who has access?")
	w.state(c, incident.CaseNew)
	w.people.Reply(c.Ref, "we are on it")
	w.state(c, incident.CaseAcknowledged)
	told := w.steps(c)
	mails := slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, "could not send a mail about this case") })
	told = slices.DeleteFunc(told, func(s string) bool { return strings.HasPrefix(s, "RT_System") })
	want := []string{"it@acme.example (customer): : please hurry", "soc-op: : who has access?", "soc-op: acknowledged: we are on it"}
	if !mails || !slices.Equal(told, want) {
		t.Errorf("the history tells %q, want %q and that no mail could be sent", told, want)
	}
}

func TestRequestTrackerPeopleEndAndCustomersOpen(t *testing.T) {
	w := newRTWorld(t, nil)
	f := rtCase("fc-ends")
	c := w.open(f)
	w.people.Change(c.Ref, map[string]any{"Status": "rejected"})
	w.state(c, incident.CaseResolved) // not withdrawn: the agent has no other case
	if found, err := w.Desk.Find(w.within(), f.Key); err != nil || len(found) != 1 {
		t.Errorf("found %+v, %v, want the rejected case", found, err)
	}
	w.ok("reopen", w.Desk.(desk.Reopener).Reopen(w.within(), c.Ref, f, "still measured"))
	w.state(c, incident.CaseAcknowledged) // whoever rejected it had seen it
	w.people.Resolve(c.Ref, "restarted")
	w.people.Answer(c.Ref, "it is still down")
	w.state(c, incident.CaseAcknowledged)
	w.tells(c, "soc-op: resolved: ", "soc-op: : restarted", "soc-op: resolved: ", "it@acme.example (customer): : it is still down", "it@acme.example: acknowledged: it is still down")
	w.people.Change(c.Ref, map[string]any{"Status": "deleted"})
	w.state(c, incident.CaseResolved)
}

func TestRequestTrackerFieldsLinksAndNotes(t *testing.T) {
	w := newRTWorld(t, nil)
	before := w.open(rtCase("fc-before"))
	f := rtCase("fc-after")
	f.Follows, f.Extra = before.Number, map[string]string{"CF.{FC-Site}": "Ærø", "InitialPriority": "20"}
	c := w.open(f)
	notes := []desk.Note{{Seq: 1, At: noon, Text: "one"}, {Seq: 11, At: noon, Text: "two\nlines", Public: true}}
	for n := range notes {
		w.ok("update", w.Desk.Update(w.within(), c.Ref, f, notes[:n+1]))
	}
	shown := string(w.system.Call(http.MethodGet, "/ticket/"+c.Ref, nil))
	for _, want := range []string{"/REST/2.0/ticket/" + before.Ref + `"`, `"urn:firstcall:fc-after"`, `"Ærø"`, `"2026-03-02T12:00:00Z"`, `"InitialPriority" : "20"`, `"it@acme.example"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("the ticket does not hold %s:\n%s", want, shown)
		}
	}
	history := string(w.system.Call(http.MethodGet, "/ticket/"+c.Ref+"/history?fields=Type&per_page=100", nil))
	if comments, mails := strings.Count(history, `"Comment"`), strings.Count(history, `"Correspond"`); comments != 2 || mails != 0 {
		t.Errorf("%d comments and %d mails, want each note once, as a comment", comments, mails)
	}
	if !strings.HasSuffix(c.URL, "/Ticket/Display.html?id="+c.Number) {
		t.Errorf("the case's address is %s", c.URL)
	}
}

// Somebody changes the priority between the agent's read and its write.
func TestRequestTrackerLosesNoUpdateOfPeople(t *testing.T) {
	system := rtSystem(t).(*requestTracker)
	var once sync.Once
	meanwhile := func() {}
	front := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if in.Method == http.MethodPut {
			once.Do(meanwhile)
		}
		system.ServeHTTP(out, in)
	}))
	t.Cleanup(front.Close)
	d := buildRT(t, rtConfig(front.URL, system.AgentToken))
	f := rtCase("fc-lock")
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	meanwhile = func() { system.Change(c.Ref, map[string]any{"CustomFields": map[string]string{"FC-Priority": "4"}}) }
	f.Priority = incident.P1
	if err := d.Update(t.Context(), c.Ref, f, nil); err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.Contains(err.Error(), "at the same moment") {
		t.Errorf("update: %v, want that somebody was quicker", err)
	}
	if err := d.Update(t.Context(), c.Ref, f, nil); err != nil {
		t.Error(err)
	}
}

// The mails of a Request Tracker whose relay works: the public note, and nothing else of the agent's, reaches the customer.
func TestRequestTrackerMailsTheCustomer(t *testing.T) {
	mails := servers.StartMailpit(t, servers.MailpitOptions{})
	system := newRequestTracker(t, servers.StartRT(t, servers.RTOptions{SMTP: mails.SMTP}))
	d := rtRig(t, system, func(c *desk.RT) { c.MailsCustomer = true }).Desk
	f := rtCase("fc-mails")
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Update(t.Context(), c.Ref, f, []desk.Note{{Seq: 1, At: noon, Text: "internal matter"}, {Seq: 2, At: noon, Text: "for the customer", Public: true}})
	if err != nil {
		t.Fatal(err)
	}
	var customer []string
	for _, m := range mails.Messages() {
		if strings.Contains(fmt.Sprint(m.To), "it@acme.example") {
			customer = append(customer, m.Subject+": "+mails.Text(m))
		}
	}
	text := strings.Join(customer, "\n")
	if len(customer) != 2 || !strings.Contains(text, "for the customer") || strings.Contains(text, "internal matter") {
		t.Errorf("the customer got %q, want the automatic reply and the public note", customer)
	}
}

// What a case costs: a create with the search after it, and a search.
func BenchmarkRequestTracker(b *testing.B) {
	server := servers.StartRT(b, servers.RTOptions{})
	server.Clear()
	d := buildRT(b, rtConfig(server.URL, server.AgentToken))
	cases := 0
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			cases++
			if _, err := d.Open(b.Context(), rtCase(fmt.Sprintf("fc-bench-%d", cases))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if found, err := d.Find(b.Context(), "fc-bench-1"); err != nil || len(found) != 1 {
				b.Fatal(found, err)
			}
		}
	})
}
