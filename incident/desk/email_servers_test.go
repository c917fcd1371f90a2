//go:build servers && linux

package desk_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/smtp"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// mailbox is the mailbox of an Operations Centre as people who sort it by thread see it. It is safe for concurrent use.
type mailbox struct {
	*servers.Mailpit

	mu   sync.Mutex
	read map[string]mail.Header // by mailpit's own id
}

func newMailbox(box *servers.Mailpit) *mailbox {
	return &mailbox{Mailpit: box, read: map[string]mail.Header{}}
}

// mails returns the headers of every mail about the key, as often as it was delivered, oldest first.
func (b *mailbox) mails(key string) []mail.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []mail.Header
	for _, m := range b.Messages() {
		header, ok := b.read[m.ID]
		if !ok {
			header = b.Headers(m)
			b.read[m.ID] = header
		}
		if header.Get("X-Firstcall-Key") == key {
			all = append(all, header)
		}
	}
	return all
}

// States returns the state of each thread about the key, oldest first. A mail that opens a thread that is there already is the
// same mail once more, and an answer belongs to the thread whose first mail it names.
func (b *mailbox) States(key string) []incident.CaseState {
	var threads []string
	states := map[string]incident.CaseState{}
	for _, m := range b.mails(key) {
		thread := m.Get("In-Reply-To")
		switch m.Get("X-Firstcall-Action") {
		case "open":
			thread = m.Get("Message-Id")
			if !slices.Contains(threads, thread) {
				threads = append(threads, thread)
				states[thread] = incident.CaseNew
			}
		case "reopen":
			states[thread] = incident.CaseNew
		case "resolve":
			states[thread] = incident.CaseResolved
		case "withdraw":
			states[thread] = incident.CaseWithdrawn
		}
	}
	var all []incident.CaseState
	for _, thread := range threads {
		all = append(all, states[thread])
	}
	return all
}

// Live counts the threads about the key that no mail has closed.
func (b *mailbox) Live(key string) (live int) {
	for _, state := range b.States(key) {
		if state.Live() {
			live++
		}
	}
	return live
}

// YAML returns the keys, beside kind and name, of a desk's configuration for the mailbox, a line each.
func (b *mailbox) YAML() string {
	lines := "to: soc@operations.example\nfrom: firstcall@operations.example\nsmtp: smtp://" + b.SMTP + "\n"
	if b.Cert != nil {
		lines += "user: " + b.User + "\npassword: " + b.Password + "\nstarttls: required\nca_file: " + b.Cert.CertFile + "\n"
	}
	return lines
}

// at is the configuration of YAML for a server at that address.
func (b *mailbox) at(address string) *desk.Email {
	e := &desk.Email{To: field.Words{"soc@operations.example"}, Server: smtp.Server{From: "firstcall@operations.example", SMTP: "smtp://" + address}}
	if b.Cert != nil {
		e.User, e.Password, e.STARTTLS, e.CAFile = b.User, secret.New(b.Password), "required", b.Cert.CertFile
	}
	return e
}

func buildEmail(t *testing.T, e *desk.Email) desk.Reopener {
	t.Helper()
	if faults := e.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	d, err := e.Build(desk.Env{Name: "desk-under-test", Tenant: "acme", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return d.(desk.Reopener)
}

func TestEmail(t *testing.T) {
	for name, options := range map[string]servers.MailpitOptions{"plain": {}, "STARTTLS and log-on": {STARTTLS: true}} {
		t.Run(name, func(t *testing.T) {
			box := servers.StartMailpit(t, options)
			desktest.Run(t, func(t *testing.T) desktest.Rig {
				box.DeleteAll()
				b := newMailbox(box)
				rig := desktest.Rig{Desk: buildEmail(t, b.at(box.SMTP)), Name: "desk-under-test", Live: b.Live, Files: b.files}
				if box.Password != "" {
					rig.Secrets = []string{box.Password}
				}
				return rig
			})
		})
	}
}

var mailStarted = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

func mailFields(p incident.Priority) desk.Fields {
	return desk.Fields{
		Key: incident.Key("acme", incident.Availability, "backend", mailStarted), Title: p.String() + " acme: backend is inaccessible",
		Body: "Siden 10.30 er backend nede: Ærø, Øst og Ås.\n.\nHilsen", Priority: p,
	}
}

func TestEmailIsOneThread(t *testing.T) {
	b := newMailbox(servers.StartMailpit(t, servers.MailpitOptions{}))
	config := b.at(b.SMTP)
	config.To, config.CC = field.Words{"SOC <soc@operations.example>, night@operations.example"}, field.Words{"lead@operations.example"}
	d, f := buildEmail(t, config), mailFields(incident.P3)
	c, err := d.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^FC-[0-9A-HJKMNP-TV-Z]{8}$`).MatchString(c.Number) || c.Ref != f.Key {
		t.Errorf("case %+v", c)
	}
	raised := mailFields(incident.P1)
	notes := []desk.Note{{Seq: 7, At: mailStarted, Text: "10:31 raised: both are down"}, {Seq: 9, At: mailStarted, Text: "10:32 measured\r\nX-Evil: 1"}}
	if err := errors.Join(d.Update(t.Context(), c.Ref, raised, notes), d.Resolve(t.Context(), c.Ref, raised, "answers again"),
		d.Reopen(t.Context(), c.Ref, raised, "still measured"), d.Withdraw(t.Context(), c.Ref, "FC-2026-000001")); err != nil {
		t.Fatal(err)
	}
	first := "[" + c.Number + "] P3 acme: backend is inaccessible"
	reply := "Re: [" + c.Number + "] P1 acme: backend is inaccessible"
	want := []struct{ action, subject, priority, importance, text string }{
		{"open", first, "P3", "", "Ærø, Øst og Ås.\n.\nHilsen"},
		{"update", reply, "P1", "high", "Priority: P1\n10:31 raised: both are down\n10:32 measured\n  X-Evil: 1"},
		{"resolve", reply, "P1", "high", "please close it.\nanswers again"},
		{"reopen", reply, "P1", "high", "opened again.\nstill measured"},
		{"withdraw", "Re: [" + c.Number + "] withdrawn, goes on as FC-2026-000001", "", "", "it goes on as FC-2026-000001"},
	}
	mails, headers := b.Messages(), b.mails(f.Key)
	if len(mails) != len(want) || len(headers) != len(want) {
		t.Fatalf("%d mails, %d about the case", len(mails), len(headers))
	}
	root, seen := headers[0].Get("Message-Id"), map[string]bool{}
	for i, w := range want {
		h := headers[i]
		for name, value := range map[string]string{
			"X-Firstcall-Action": w.action, "X-Firstcall-Priority": w.priority, "Importance": w.importance, "Auto-Submitted": "auto-generated",
			"X-Auto-Response-Suppress": "All", "X-Evil": "", "Cc": "<lead@operations.example>", "Precedence": "",
		} {
			if got := h.Get(name); got != value {
				t.Errorf("%s: %s: %q, want %q", w.action, name, got, value)
			}
		}
		if mails[i].Subject != w.subject || len(mails[i].To) != 2 || mails[i].From.Address != "firstcall@operations.example" {
			t.Errorf("%s: %+v, want the subject %q", w.action, mails[i], w.subject)
		}
		text := strings.ReplaceAll(b.Text(mails[i]), "\r\n", "\n")
		if !strings.Contains(text, w.text) || !strings.Contains(text, "case "+c.Number+", key "+f.Key) {
			t.Errorf("%s: text %q, want %q in it", w.action, text, w.text)
		}
		thread := root
		if i == 0 {
			thread = ""
		}
		if h.Get("In-Reply-To") != thread || h.Get("References") != thread {
			t.Errorf("%s: in the thread %q, want %q", w.action, h.Get("In-Reply-To"), thread)
		}
		if id := h.Get("Message-Id"); seen[id] || !strings.HasSuffix(id, "@acme.firstcall>") {
			t.Errorf("%s: Message-ID %q", w.action, id)
		}
		seen[h.Get("Message-Id")] = true
	}
}

func TestARepeatedEmailCarriesTheSameMessageID(t *testing.T) {
	b := newMailbox(servers.StartMailpit(t, servers.MailpitOptions{}))
	f := mailFields(incident.P2)
	notes := []desk.Note{{Seq: 7, At: mailStarted, Text: "raised"}}
	for range 2 { // two agents
		d := buildEmail(t, b.at(b.SMTP))
		_, err := d.Open(t.Context(), f)
		if err := errors.Join(err, d.Update(t.Context(), f.Key, f, notes), d.Resolve(t.Context(), f.Key, f, "good"),
			d.Withdraw(t.Context(), f.Key, "1")); err != nil {
			t.Fatal(err)
		}
	}
	all := b.mails(f.Key)
	if len(all) != 8 {
		t.Fatalf("%d mails", len(all))
	}
	for i := range 4 {
		if one, two := all[i].Get("Message-Id"), all[i+4].Get("Message-Id"); one != two {
			t.Errorf("%s: Message-ID %q, then %q", all[i].Get("X-Firstcall-Action"), one, two)
		}
	}
	d := buildEmail(t, b.at(b.SMTP))
	notes[0].Seq = 8
	if err := d.Update(t.Context(), f.Key, f, notes); err != nil {
		t.Fatal(err)
	}
	if fresh := b.mails(f.Key)[8]; fresh.Get("Message-Id") == all[1].Get("Message-Id") {
		t.Error("another note has the Message-ID of the one before")
	}
}

func TestEmailThatIsRefusedIsCertain(t *testing.T) {
	b := newMailbox(servers.StartMailpit(t, servers.MailpitOptions{STARTTLS: true}))
	tests := []struct {
		name  string
		chaos servers.Chaos
		want  string
	}{
		{"sender, for now", servers.Chaos{Sender: servers.ChaosTrigger{ErrorCode: 451, Probability: 100}}, "refused the sender <firstcall@operations.example>: 451"},
		{"recipient, for good", servers.Chaos{Recipient: servers.ChaosTrigger{ErrorCode: 550, Probability: 100}}, "refused the recipient <soc@operations.example>: 550"},
		{"log-on, for now", servers.Chaos{Authentication: servers.ChaosTrigger{ErrorCode: 454, Probability: 100}}, "refused the log-on of agent: 454"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b.SetChaos(test.chaos)
			defer b.SetChaos(servers.Chaos{})
			d, f := buildEmail(t, b.at(b.SMTP)), mailFields(incident.P1)
			_, err := d.Open(t.Context(), f)
			for _, err := range []error{err, d.Resolve(t.Context(), f.Key, f, "over")} {
				if err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.Contains(err.Error(), test.want) ||
					!strings.HasPrefix(err.Error(), `desk "desk-under-test": `) || strings.Contains(err.Error(), b.Password) {
					t.Errorf("error %v, want %q", err, test.want)
				}
			}
		})
	}
	if all := b.Messages(); len(all) > 0 {
		t.Errorf("%d mails arrived", len(all))
	}
}

func TestEmailServerThatIsDownIsCertain(t *testing.T) {
	b := newMailbox(servers.StartMailpit(t, servers.MailpitOptions{}))
	d, f := buildEmail(t, b.at(b.SMTP)), mailFields(incident.P1)
	b.Stop()
	if _, err := d.Open(t.Context(), f); err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("error %v", err)
	}
	b.Start()
	if _, err := d.Open(t.Context(), f); err != nil || b.Live(f.Key) != 1 {
		t.Errorf("%d live, %v", b.Live(f.Key), err)
	}
}

// cutting forwards to target and hangs up in place of the server's line that holds the words.
func cutting(t *testing.T, target, words string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(client net.Conn) {
		server, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			return
		}
		var up sync.WaitGroup
		up.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
		for in := bufio.NewReader(server); ; {
			line, err := in.ReadString('\n')
			if err != nil || strings.Contains(line, words) {
				break
			}
			_, _ = io.WriteString(client, line)
		}
		_ = client.Close()
		up.Wait()
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return listener.Addr().String()
}

func TestEmailWhoseAnswerIsLostMayHaveBeenTaken(t *testing.T) {
	b := newMailbox(servers.StartMailpit(t, servers.MailpitOptions{}))
	f := mailFields(incident.P1)
	for _, test := range []struct {
		words     string
		arrives   bool
		uncertain bool
	}{
		{"queued as", true, true}, // the answer to the end of the mail
		{"354", false, false},     // the answer to DATA
	} {
		b.DeleteAll()
		lossy := buildEmail(t, b.at(cutting(t, b.SMTP, test.words)))
		_, err := lossy.Open(t.Context(), f)
		if err == nil || errors.Is(err, desk.ErrUnknownOutcome) != test.uncertain {
			t.Errorf("without %q: %v", test.words, err)
		}
		if arrived := len(b.mails(f.Key)) == 1; arrived != test.arrives {
			t.Errorf("without %q: arrived %v", test.words, arrived)
		}
		if _, err := buildEmail(t, b.at(b.SMTP)).Open(t.Context(), f); err != nil || b.Live(f.Key) != 1 {
			t.Errorf("without %q, opened again: %d live cases, %v", test.words, b.Live(f.Key), err)
		}
	}
}

func TestThePasswordOfTheMailServerIsNowhere(t *testing.T) {
	b := newMailbox(servers.StartMailpit(t, servers.MailpitOptions{STARTTLS: true}))
	f := mailFields(incident.P1)
	if _, err := buildEmail(t, b.at(b.SMTP)).Open(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	for _, m := range b.Messages() {
		if strings.Contains(b.Raw(m), b.Password) {
			t.Error("a mail holds the password")
		}
	}
	wrong := b.at(b.SMTP)
	wrong.Password = secret.New("wrong-pass-word")
	d := buildEmail(t, wrong)
	for _, want := range []string{"refused the log-on of agent: 535", "the log-on is not repeated before"} {
		_, err := d.Open(t.Context(), f)
		if err == nil || errors.Is(err, desk.ErrUnknownOutcome) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong-pass-word") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
