package notify_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/notify/notifytest"
	"github.com/firstcall-agent/firstcall/incident/smtp"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

func TestEmailConfigurationFaults(t *testing.T) {
	good := notify.Email{Server: smtp.Server{SMTP: "smtp://smtp.example:587", From: "firstcall@operations.example", User: "firstcall", Password: secret.New("pw-hidden")}}
	tests := []struct {
		name   string
		change func(*notify.Email)
		want   string
	}{
		{"good", func(*notify.Email) {}, ""},
		{"good, with a name", func(e *notify.Email) { e.From = "Operations <soc@operations.example>" }, ""},
		{"good, without a port", func(e *notify.Email) { e.SMTP = "smtps://smtp.example" }, ""},
		{"good, plain relay", func(e *notify.Email) { e.User, e.Password, e.STARTTLS = "", secret.Value{}, "off" }, ""},
		{"scheme", func(e *notify.Email) { e.SMTP = "smtp.example:587" }, "smtp: is no"},
		{"credential", func(e *notify.Email) { e.SMTP = "smtp://u:pw-hidden@smtp.example" }, "smtp: holds a credential"},
		{"path", func(e *notify.Email) { e.SMTP = "smtp://smtp.example/x" }, "smtp: has more than"},
		{"port", func(e *notify.Email) { e.SMTP = "smtp://smtp.example:99999" }, "smtp: has no port"},
		{"from", func(e *notify.Email) { e.From = "operations" }, "from: is no e-mail address"},
		{"from is a list", func(e *notify.Email) { e.From = "a@b.example, c@d.example" }, "from: is no e-mail address"},
		{"user alone", func(e *notify.Email) { e.Password = secret.Value{} }, "user: and password belong together"},
		{"password in the clear", func(e *notify.Email) { e.STARTTLS = "off" }, "starttls: off would send the password"},
		{"helo", func(e *notify.Email) { e.HELO = "a b\r\n" }, "helo: is no host name"},
		{"timeout", func(e *notify.Email) { e.Timeout = time.Hour }, "timeout: must be"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := good
			test.change(&e)
			faults := fmt.Sprint(e.Validate())
			if test.want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+test.want) || strings.Contains(faults, "hidden") {
				t.Errorf("faults %s, want %q", faults, test.want)
			}
		})
	}
}

// mailHostile are servers that speak SMTP before they fail.
func mailHostile() map[string]notifytest.Hostile {
	until := func(step string, then notifytest.Behaviour) notifytest.Hostile {
		return notifytest.Hostile{Serve: func(c net.Conn) {
			if smtpUntil(c, step, "") {
				then(c)
			}
		}}
	}
	endless := func(step, text string) notifytest.Hostile {
		h := until(step, func(c net.Conn) { notifytest.Forever(c, text) })
		h.Endless = true
		return h
	}
	hangUp := func(net.Conn) {}
	return map[string]notifytest.Hostile{
		"hangs up after EHLO":             until("EHLO", hangUp),
		"hangs up after RCPT":             until("RCPT", hangUp),
		"hangs up after the mail":         until(".", hangUp),
		"is silent after EHLO":            until("EHLO", notifytest.Silent),
		"is silent after DATA":            until("DATA", notifytest.Silent),
		"is silent after the mail":        until(".", notifytest.Silent),
		"never ends its answer to EHLO":   endless("EHLO", "250-X-EXTENSION\r\n"),
		"never ends its answer to RCPT":   endless("RCPT", "250-ok\r\n"),
		"never ends its word on the mail": endless(".", "250-queued "),
		"answers with no code":            until("MAIL", func(c net.Conn) { _, _ = io.WriteString(c, "yes\x1b[2J\r\n"); notifytest.Silent(c) }),
		"is busy":                         {Serve: func(c net.Conn) { _, _ = io.WriteString(c, "421 too busy\r\n") }},
	}
}

// smtpUntil speaks SMTP until the client has sent the step ("." is the end of the mail), which it leaves unanswered. It
// returns false when the client hung up first. last answers the end of the mail.
func smtpUntil(c net.Conn, step, last string) bool {
	in := bufio.NewScanner(c)
	_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
	for data := false; in.Scan(); {
		line := in.Text()
		word, _, _ := strings.Cut(line, " ")
		switch {
		case data && line != ".":
			continue
		case word == step:
			return true
		case data:
			data = false
			_, _ = io.WriteString(c, last)
		case word == "EHLO":
			_, _ = io.WriteString(c, "250-mail.example\r\n250 8BITMIME\r\n")
		case word == "DATA":
			data = true
			_, _ = io.WriteString(c, "354 go on\r\n")
		default:
			_, _ = io.WriteString(c, "250 ok\r\n")
		}
	}
	return false
}

// tlsFront takes TLS and hands what is inside to target.
func tlsFront(t *testing.T, target string, cert *servers.Cert) (address string) {
	return listen(t, func(c net.Conn) {
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert.TLS}, MinVersion: tls.VersionTLS12})
		inside, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		var back sync.WaitGroup
		back.Go(func() { _, _ = io.Copy(secure, inside); _ = c.Close() })
		_, _ = io.Copy(inside, secure)
		_ = inside.Close()
		back.Wait()
	})
}

// listen serves each connection with a behaviour.
func listen(t *testing.T, serve notifytest.Behaviour) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return listener.Addr().String()
}
