package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident/smtp"
)

// Words of a scripted server that are no answers.
const (
	hangUp = "hang up"
	silent = "say nothing"
)

// scripted is a mail server that answers a command, by its beginning, as the script says, and any other with 250. "." is the end of
// a mail.
func scripted(t *testing.T, script map[string]string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
		in := bufio.NewScanner(c)
		for data := false; in.Scan(); {
			line := in.Text()
			if data && line != "." {
				continue
			}
			answer := "250 ok"
			data = line == "DATA"
			if data {
				answer = "354 go on"
			}
			for begin, other := range script {
				if strings.HasPrefix(line, begin) {
					answer = other
				}
			}
			switch answer {
			case hangUp:
				return
			case silent:
				_, _ = io.Copy(io.Discard, c)
				return
			}
			_, _ = io.WriteString(c, answer+"\r\n")
		}
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return listener.Addr().String()
}

func to(addresses ...string) (all []*netmail.Address) {
	for _, a := range addresses {
		all = append(all, &netmail.Address{Address: a})
	}
	return all
}

// send sends a mail through the scripted server.
func send(ctx context.Context, t *testing.T, m smtp.Mail, script map[string]string) (string, error) {
	t.Helper()
	server := smtp.Server{SMTP: "smtp://" + scripted(t, script), From: "firstcall@operations.example", Timeout: 10 * time.Second}
	if script["."] == silent || script["DATA"] == silent {
		server.Timeout = 300 * time.Millisecond
	}
	client, err := smtp.New(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.ID, m.Subject, m.Text = smtp.MessageID("acme", "test"), "subject", "text"
	return client.Send(ctx, m)
}

func TestAnErrorSaysWhetherTheServerMayHaveTheMail(t *testing.T) {
	tests := []struct {
		name                 string
		step, answer         string
		uncertain, permanent bool
	}{
		{"hangs up before the mail", "DATA", hangUp, false, false},
		{"is silent before the mail", "DATA", silent, false, false},
		{"refuses to take any for now", "DATA", "451 later", false, false},
		{"hangs up after the mail", ".", hangUp, true, false},
		{"is silent after the mail", ".", silent, true, false},
		{"answers the mail with no code", ".", "yes", true, false},
		{"answers the mail with another code", ".", "354 more", true, false},
		{"refuses the mail for now", ".", "452 full", false, false},
		{"closes down at the mail", ".", "421 closing", false, false},
		{"refuses the mail for good", ".", "554 spam", false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := send(t.Context(), t, smtp.Mail{To: to("soc@operations.example")}, map[string]string{test.step: test.answer})
			failed, ok := errors.AsType[*smtp.Error](err)
			if !ok || failed.Uncertain() != test.uncertain || failed.Permanent() != test.permanent {
				t.Errorf("error %v, want uncertain %v, permanent %v", err, test.uncertain, test.permanent)
			}
		})
	}
}

func TestACancelledMailIsNotSent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := send(ctx, t, smtp.Mail{To: to("soc@operations.example")}, nil)
	failed, ok := errors.AsType[*smtp.Error](err)
	if !ok || failed.Uncertain() || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAMailGoesOutWhileOneOfToIsLeft(t *testing.T) {
	tests := []struct {
		name     string
		to, copy []*netmail.Address
		proof    string // "": it must not go out
	}{
		{"all are taken", to("soc@a.example"), to("lead@a.example"), "250 ok"},
		{"one of two is gone", to("gone@a.example", "soc@a.example"), nil, "250 ok; refused for <gone@a.example>: 550 no such mailbox"},
		{"a copy is gone", to("soc@a.example"), to("gone@a.example"), "250 ok; refused for <gone@a.example>: 550 no such mailbox"},
		{"copies are left only", to("gone@a.example"), to("lead@a.example"), ""},
		{"nobody is left", to("gone@a.example", "gone@b.example"), nil, ""},
		{"nobody", nil, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proof, err := send(t.Context(), t, smtp.Mail{To: test.to, Copy: test.copy}, map[string]string{"RCPT TO:<gone@": "550 no such mailbox"})
			if failed, ok := errors.AsType[*smtp.Error](err); proof != test.proof || (test.proof == "") != ok || ok && !failed.Permanent() {
				t.Errorf("proof %q, %v, want %q", proof, err, test.proof)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct{ text, want, fault string }{
		{"", "", ""},
		{" ", "", ""},
		{"soc@a.example", "soc@a.example", ""},
		{`SOC <soc@a.example>, "Night, all" <night@ærø.example>`, "soc@a.example night@xn--r-3fa9c.example", ""},
		{"soc", "", "is no e-mail address"},
		{"soc@a.example night@a.example", "", "is no e-mail address"},
		{"æ@a.example", "", "in ASCII"},
		{"a@b.example\r\nRCPT TO:<c@d.example>", "", "is no e-mail address"},
	}
	for _, test := range tests {
		all, err := smtp.Addresses(test.text)
		var got []string
		for _, a := range all {
			got = append(got, a.Address)
		}
		if test.fault == "" && (err != nil || strings.Join(got, " ") != test.want) || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
			t.Errorf("%q: %q, %v; want %q %q", test.text, got, err, test.want, test.fault)
		}
	}
}

func TestAMessageIDFollowsFromWhatTheMailIs(t *testing.T) {
	one := smtp.MessageID("acme", "case", "a", "bc")
	if one != smtp.MessageID("acme", "case", "a", "bc") || one == smtp.MessageID("acme", "case", "ab", "c") || !strings.HasSuffix(one, "@acme.firstcall") {
		t.Errorf("Message-ID %q", one)
	}
}
