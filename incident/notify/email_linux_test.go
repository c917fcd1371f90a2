//go:build servers

package notify_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/notify/notifytest"
	"github.com/firstcall-agent/firstcall/incident/smtp"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

var customer = []incident.Contact{{Name: "ACME IT, æøå", Email: "it@acme.example"}}

// mailer builds the notifier of a valid configuration.
func mailer(t *testing.T, e *notify.Email, now func() time.Time) notify.Notifier {
	t.Helper()
	if e.From == "" {
		e.From = "Operations <firstcall@operations.example>"
	}
	if faults := e.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	n, err := e.Build(notify.Env{Name: "customer", Tenant: "acme", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mailRig is the e-mail notifier with mailpit behind it.
func mailRig(t *testing.T, box *servers.Mailpit) notifytest.Rig {
	box.DeleteAll()
	config := notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP, User: box.User, Password: secret.New(box.Password), HELO: "agent.acme.example"}}
	rig := notifytest.Rig{Name: "customer", To: customer}
	if box.Cert == nil {
		rig.Hostile = mailHostile()
	} else {
		config.CAFile, config.STARTTLS = box.Cert.CertFile, "required"
		rig.Secrets = []string{box.Password}
	}
	whole := config
	rig.Notifier = mailer(t, &whole, time.Now)
	rig.At = func(t *testing.T, address string) notify.Notifier {
		other := config
		other.SMTP = "smtp://" + address
		return mailer(t, &other, time.Now)
	}
	rig.Arrived = func() []notifytest.Arrival {
		var all []notifytest.Arrival
		for _, m := range box.Messages() {
			all = append(all, notifytest.Arrival{ID: m.MessageID, Text: m.Subject + "\n" + box.Text(m)})
		}
		return all
	}
	return rig
}

func TestEmailContract(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{})
	notifytest.Run(t, func(t *testing.T) notifytest.Rig { return mailRig(t, box) })
}

func TestEmailContractWithSTARTTLSAndLogOn(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{STARTTLS: true})
	notifytest.Run(t, func(t *testing.T) notifytest.Rig { return mailRig(t, box) })
}

func TestEmailContractWithTLSFromTheStart(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{})
	cert := servers.SelfSigned(t, servers.CertOptions{})
	n := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtps://" + tlsFront(t, box.SMTP, cert), CAFile: cert.CertFile}}, time.Now)
	if _, err := n.Send(t.Context(), notice()); err != nil {
		t.Fatal(err)
	}
	if got := len(box.Messages()); got != 1 {
		t.Errorf("%d mails", got)
	}
}

func notice() notify.Message {
	return notify.Message{
		ID: "fc-acme-backend/customer/opened/0", Thread: "fc-acme-backend", To: customer, Kind: incident.NoticeOpened, Priority: incident.P1,
		Subject: "[FC-2026-000001] P1 acme: hele løsningen er utilgængelig siden klokken 10.30, og det er en lang emnelinje",
		Text:    "Sagsnummer FC-2026-000001\n\nÆrø, Øst og Ås er nede.\n.\nHilsen\n", HTML: "<p>Ærø, <b>Øst</b> og Ås er nede.</p>",
		Date: time.Date(2026, 3, 2, 10, 30, 0, 0, time.FixedZone("CET", 3600)),
	}
}

// parts parses a multipart/alternative mail into its parts by content type.
func parts(t *testing.T, raw string) (mail.Header, map[string]string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", kind, err)
	}
	found := map[string]string{}
	for reader := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := reader.NextRawPart()
		if err != nil {
			return m.Header, found
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		found[kind] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
}

func TestEmailIsWhatThePeopleAndTheirProgramsNeed(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{})
	n := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP}}, time.Now)
	proof, err := n.Send(t.Context(), notice())
	if err != nil || !strings.HasPrefix(proof, "250 ") || !strings.Contains(proof, "queued as") {
		t.Fatalf("proof %q, %v", proof, err)
	}
	status := notice()
	status.ID, status.Priority = "fc-acme-backend/customer/status/1", incident.P3
	if _, err := n.Send(t.Context(), status); err != nil {
		t.Fatal(err)
	}
	mails := box.Messages()
	if len(mails) != 2 {
		t.Fatalf("%d mails", len(mails))
	}
	header, body := parts(t, box.Raw(mails[0]))
	second, _ := parts(t, box.Raw(mails[1]))
	if got, want := body["text/plain"], notice().Text; strings.TrimRight(got, "\n") != strings.TrimRight(want, "\n") {
		t.Errorf("text %q, want %q", got, want)
	}
	if got, want := body["text/html"], notice().HTML; got != want {
		t.Errorf("HTML %q, want %q", got, want)
	}
	var words mime.WordDecoder
	if subject, err := words.DecodeHeader(header.Get("Subject")); err != nil || subject != notice().Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	for name, want := range map[string]string{
		"Date": "Mon, 02 Mar 2026 10:30:00 +0100", "From": `"Operations" <firstcall@operations.example>`, "Auto-Submitted": "auto-generated",
		"Precedence": "bulk", "X-Auto-Response-Suppress": "All", "X-Firstcall-Incident": "fc-acme-backend",
		"X-Firstcall-Notice": "fc-acme-backend/customer/opened/0", "Importance": "high", "X-Priority": "1", "X-Mailer": "firstcall",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	id, thread := header.Get("Message-Id"), header.Get("References")
	if !strings.HasSuffix(id, "@acme.firstcall>") || id == second.Get("Message-Id") {
		t.Errorf("Message-ID %q and %q", id, second.Get("Message-Id"))
	}
	if thread == "" || thread == id || thread != header.Get("In-Reply-To") || thread != second.Get("References") {
		t.Errorf("references %q and %q", thread, second.Get("References"))
	}
	if second.Get("Importance") != "" {
		t.Errorf("a P3 mail has importance %q", second.Get("Importance"))
	}
	for line := range strings.Lines(box.Raw(mails[0])) {
		if len(line) > 400 {
			t.Errorf("a line of %d bytes: %.80q", len(line), line)
		}
	}
}

func TestEmailHeadersCannotBeInjected(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{})
	n := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP}}, time.Now)
	m := notice()
	const evil = "x\r\nBcc: thief@evil.example\r\n\r\nbody"
	m.Subject, m.ID, m.Thread = evil, evil, evil
	m.To = []incident.Contact{{Name: "IT" + evil, Email: "it@acme.example"}}
	if _, err := n.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	mails := box.Messages()
	if len(mails) != 1 || len(mails[0].To) != 1 || mails[0].To[0].Address != "it@acme.example" {
		t.Fatalf("mails %+v", mails)
	}
	header := box.Headers(mails[0])
	if header.Get("Bcc") != "" || header.Get("Subject") != "x Bcc: thief@evil.example body" {
		t.Errorf("headers %v", header)
	}
	for _, bad := range []string{"it@acme.example\r\nRCPT TO:<thief@evil.example>", "it@acme.example, thief@evil.example", "it", "<>", "æ@acme.example", ""} {
		m.To[0].Email = bad
		if _, err := n.Send(t.Context(), m); err == nil || !notify.Permanent(err) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("address %q: %v", bad, err)
		}
	}
	m.To = nil
	if _, err := n.Send(t.Context(), m); err == nil || !notify.Permanent(err) {
		t.Errorf("no recipient: %v", err)
	}
	if got := len(box.Messages()); got != 1 {
		t.Errorf("%d mails", got)
	}
}

func TestEmailToAnInternationalDomain(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{})
	m := notice()
	m.To = []incident.Contact{{Name: "Ærø", Email: "it@ærø.example"}}
	if _, err := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP}}, time.Now).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if mails := box.Messages(); len(mails) != 1 || mails[0].To[0].Address != "it@xn--r-1fa3f.example" && !strings.HasPrefix(mails[0].To[0].Address, "it@xn--") {
		t.Errorf("mails %+v", mails)
	}
}

func TestEmailRefusals(t *testing.T) {
	tests := []struct {
		name      string
		chaos     servers.Chaos
		permanent bool
		want      string
	}{
		{"sender, for good", servers.Chaos{Sender: servers.ChaosTrigger{ErrorCode: 550, Probability: 100}}, true, "refused the sender <firstcall@operations.example>: 550"},
		{"sender, for now", servers.Chaos{Sender: servers.ChaosTrigger{ErrorCode: 451, Probability: 100}}, false, "451"},
		{"recipient, for good", servers.Chaos{Recipient: servers.ChaosTrigger{ErrorCode: 550, Probability: 100}}, true, "refused the recipient <it@acme.example>: 550"},
		{"recipient, for now", servers.Chaos{Recipient: servers.ChaosTrigger{ErrorCode: 451, Probability: 100}}, false, "tried again"},
		{"log-on, for now", servers.Chaos{Authentication: servers.ChaosTrigger{ErrorCode: 454, Probability: 100}}, false, "refused the log-on of agent: 454"},
		{"log-on, for good", servers.Chaos{Authentication: servers.ChaosTrigger{ErrorCode: 535, Probability: 100}}, true, "check user and password"},
	}
	box := servers.StartMailpit(t, servers.MailpitOptions{STARTTLS: true})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP, User: box.User, Password: secret.New(box.Password), CAFile: box.Cert.CertFile}}, time.Now)
			box.SetChaos(test.chaos)
			defer box.SetChaos(servers.Chaos{})
			_, err := n.Send(t.Context(), notice())
			if err == nil || notify.Permanent(err) != test.permanent || !strings.Contains(err.Error(), test.want) {
				t.Errorf("permanent %v, error %v; want permanent %v and %q", notify.Permanent(err), err, test.permanent, test.want)
			}
			if err != nil && strings.Contains(err.Error(), box.Password) {
				t.Error("the error holds the password")
			}
		})
	}
	if got := len(box.Messages()); got != 0 {
		t.Errorf("%d mails arrived", got)
	}
}

func TestARefusedLogOnIsNotRepeated(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{STARTTLS: true})
	relay := servers.StartRelay(t, box.SMTP, servers.Unlimited)
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	n := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + relay.Address, User: box.User, Password: secret.New("wrong-pass-word"), CAFile: box.Cert.CertFile}},
		func() time.Time { return now })
	send := func() string {
		_, err := n.Send(t.Context(), notice())
		if err == nil || !notify.Permanent(err) || strings.Contains(err.Error(), "wrong-pass-word") {
			t.Fatalf("error %v", err)
		}
		return err.Error()
	}
	if text := send(); !strings.Contains(text, "535") {
		t.Errorf("first: %s", text)
	}
	now = now.Add(14 * time.Minute)
	if text := send(); strings.Contains(text, "535") || !strings.Contains(text, "not repeated before 2026-03-02T12:15:00Z") {
		t.Errorf("within the pause: %s", text)
	}
	now = now.Add(2 * time.Minute)
	if text := send(); !strings.Contains(text, "535") {
		t.Errorf("after the pause: %s", text)
	}
}

func TestAServerThatRepeatsThePasswordDoesNotMakeItPublic(t *testing.T) {
	const user, password = "agent", "pass-word-4711"
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			address := listen(t, func(c net.Conn) {
				in := bufio.NewScanner(c)
				_, _ = io.WriteString(c, "220 mail.example\r\n")
				for heard := ""; in.Scan(); {
					heard += " " + in.Text()
					answer := "535 no:" + heard
					switch {
					case strings.HasPrefix(in.Text(), "EHLO"):
						answer = "250-mail.example\r\n250 AUTH " + mechanism
					case in.Text() == "AUTH LOGIN":
						answer = "334 VXNlcm5hbWU6"
					case in.Text() == base64.StdEncoding.EncodeToString([]byte(user)):
						answer = "334 UGFzc3dvcmQ6"
					case strings.Contains(heard, base64.StdEncoding.EncodeToString([]byte(password))):
						answer += " that is " + password
					}
					_, _ = io.WriteString(c, answer+"\r\n")
				}
			})
			_, err := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + address, User: user, Password: secret.New(password)}}, time.Now).Send(t.Context(), notice())
			if err == nil || !notify.Permanent(err) || !strings.Contains(err.Error(), "535 no:") || !strings.Contains(err.Error(), secret.Mask) {
				t.Fatalf("error %v", err)
			}
			for _, leak := range []string{password, base64.StdEncoding.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))} {
				if strings.Contains(err.Error(), leak) {
					t.Error("the error holds the password")
				}
			}
		})
	}
}

func TestEmailIsNotSentOverAnUntrustedOrPlainConnection(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{STARTTLS: true})
	plain := servers.StartMailpit(t, servers.MailpitOptions{})
	other := servers.SelfSigned(t, servers.CertOptions{})
	tests := []struct {
		name   string
		config notify.Email
		want   string
	}{
		{"another authority", notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP, CAFile: other.CertFile}}, "is not trusted"},
		{"the system's authorities", notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP}}, "ca_file"},
		{"STARTTLS is required and not offered", notify.Email{Server: smtp.Server{SMTP: "smtp://" + plain.SMTP, STARTTLS: "required"}}, "check starttls"},
		{"a log-on that the server does not know", notify.Email{Server: smtp.Server{SMTP: "smtp://" + plain.SMTP, User: "agent", Password: secret.New("pass-word")}}, "AUTH"},
		{"TLS from the start against a plain server", notify.Email{Server: smtp.Server{SMTP: "smtps://" + plain.SMTP}}, "cannot be reached"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := mailer(t, &test.config, time.Now).Send(t.Context(), notice())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "pass-word") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	if n := len(box.Messages()) + len(plain.Messages()); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}

func TestOneBadRecipientDoesNotKeepTheMailFromTheOthers(t *testing.T) {
	var mu sync.Mutex
	var envelope []string
	address := listen(t, func(c net.Conn) {
		in := bufio.NewScanner(c)
		_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
		for data := false; in.Scan(); {
			line := in.Text()
			answer := "250 2.0.0 ok: queued as 4711\r\n"
			switch {
			case data:
				if line != "." {
					continue
				}
				data = false
			case line == "DATA":
				data, answer = true, "354 go on\r\n"
			case strings.HasPrefix(line, "RCPT") && strings.Contains(line, "gone@"):
				answer = "550 5.1.1 no such mailbox\r\n"
			case strings.HasPrefix(line, "RCPT"):
				mu.Lock()
				envelope = append(envelope, line)
				mu.Unlock()
			case line == "QUIT":
				return // no farewell: the mail is delivered all the same
			}
			_, _ = io.WriteString(c, answer)
		}
	})
	m := notice()
	m.To = []incident.Contact{{Email: "gone@acme.example"}, {Email: "it@acme.example"}}
	proof, err := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + address}}, time.Now).Send(t.Context(), m)
	if want := "250 2.0.0 ok: queued as 4711; refused for <gone@acme.example>: 550 5.1.1 no such mailbox"; err != nil || proof != want {
		t.Errorf("proof %q, %v, want %q", proof, err, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(envelope) != 1 {
		t.Errorf("recipients %q", envelope)
	}
}

func TestTheFarewellIsNotWaitedFor(t *testing.T) {
	address := listen(t, func(c net.Conn) {
		if smtpUntil(c, "QUIT", "250 queued\r\n") {
			notifytest.Silent(c)
		}
	})
	begin := time.Now()
	proof, err := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + address, Timeout: 30 * time.Second}}, time.Now).Send(t.Context(), notice())
	if err != nil || proof != "250 queued" {
		t.Errorf("proof %q, %v", proof, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestTheTimeoutHoldsWithoutADeadline(t *testing.T) {
	silent := servers.StartSilent(t)
	_, err := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + silent.Address, Timeout: 200 * time.Millisecond}}, time.Now).Send(context.WithoutCancel(t.Context()), notice())
	if err == nil || notify.Permanent(err) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("error %v", err)
	}
}

func TestTheSameMessageIsTheSameBytes(t *testing.T) {
	box := servers.StartMailpit(t, servers.MailpitOptions{})
	n := mailer(t, &notify.Email{Server: smtp.Server{SMTP: "smtp://" + box.SMTP}}, time.Now)
	var raws []string
	for i := range 2 {
		if _, err := n.Send(t.Context(), notice()); err != nil {
			t.Fatal(err)
		}
		raw := box.Raw(box.Messages()[i])
		_, own, _ := strings.Cut(raw, "Auto-Submitted:") // what the server adds stands before it
		raws = append(raws, own)
	}
	if raws[0] != raws[1] || raws[0] == "" {
		t.Errorf("two attempts differ:\n%s\n%s", raws[0], raws[1])
	}
}
