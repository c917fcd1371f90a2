//go:build servers && linux

package servers

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sendMail delivers one mail, in clear or with STARTTLS and authentication, as m wants it.
func sendMail(m *Mailpit, id string) error {
	client, err := smtp.Dial(m.SMTP)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if m.Cert != nil {
		roots := x509.NewCertPool()
		roots.AddCert(m.Cert.Leaf)
		if err := client.StartTLS(&tls.Config{ServerName: "127.0.0.1", RootCAs: roots}); err != nil {
			return err
		}
		if err := client.Auth(smtp.PlainAuth("", m.User, m.Password, "127.0.0.1")); err != nil {
			return err
		}
	}
	if err := client.Mail("agent@firstcall.example"); err != nil {
		return err
	}
	if err := client.Rcpt("it@acme.example"); err != nil {
		return err
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	mail := fmt.Sprintf("From: agent@firstcall.example\r\nTo: it@acme.example\r\nSubject: s %s\r\nMessage-ID: <%s>\r\nX-Case: FC-1\r\n\r\nhello %s\r\n", id, id, id)
	if _, err := io.WriteString(body, mail); err != nil {
		return err
	}
	return body.Close()
}

func TestMailpitKeepsWhatItIsSentAndRefusesWhenTold(t *testing.T) {
	for name, o := range map[string]MailpitOptions{"plain": {}, "starttls and auth": {STARTTLS: true}} {
		t.Run(name, func(t *testing.T) {
			m := StartMailpit(t, o)
			for _, id := range []string{"one@x", "two@x", "one@x"} {
				if err := sendMail(m, id); err != nil {
					t.Fatal(err)
				}
			}
			m.SetChaos(Chaos{Recipient: ChaosTrigger{ErrorCode: 452, Probability: 100}})
			refusal := &textproto.Error{}
			if err := sendMail(m, "three@x"); !errors.As(err, &refusal) || refusal.Code != 452 {
				t.Errorf("with chaos: %v, want 452", err)
			}
			m.SetChaos(Chaos{})
			m.Stop()
			if err := sendMail(m, "four@x"); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("stopped: %v, want connection refused", err)
			}
			m.Start()
			if all := m.Messages(); len(all) != 3 || all[0].MessageID != "one@x" || all[1].MessageID != "two@x" {
				t.Fatalf("got %+v, want three mails, oldest first", all)
			}
			twice := m.ByMessageID("<one@x>")
			if len(twice) != 2 || twice[0].To[0].Address != "it@acme.example" {
				t.Fatalf("got %+v, want both deliveries", twice)
			}
			if got := m.Headers(twice[0]).Get("X-Case"); got != "FC-1" {
				t.Errorf("header %q, want FC-1", got)
			}
			if got := m.Text(twice[0]); strings.TrimSpace(got) != "hello one@x" {
				t.Errorf("text %q", got)
			}
			m.DeleteAll()
			if all := m.Messages(); len(all) != 0 {
				t.Errorf("%d mails are left", len(all))
			}
		})
	}
}

const hookSecret = "s3cret"

// post sends a request as the agent does; the status is 0 when there is no answer.
func post(t *testing.T, w *Webhook, secret, idempotency string, request map[string]any) (int, webhookAnswer) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	r, err := http.NewRequest(http.MethodPost, w.URL(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = nil // else net/http itself would repeat what was lost
	r.Header.Set("X-Firstcall-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("Idempotency-Key", idempotency)
	response, err := plain().Do(r)
	if err != nil {
		return 0, webhookAnswer{}
	}
	defer func() { _ = response.Body.Close() }()
	var answer webhookAnswer
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

func TestWebhookKeepsCasesAndFindsThemByKey(t *testing.T) {
	w := StartWebhook(t, WebhookOptions{Secret: hookSecret})
	status, first := post(t, w, hookSecret, "k1", map[string]any{"action": "open", "key": "k1", "priority": "p2", "title": "down"})
	if status != 201 || first.State != "new" || first.Priority != "p2" || first.Key != "k1" || first.Number == "" {
		t.Fatalf("open: %d %+v", status, first)
	}
	if status, _ := post(t, w, "wrong", "k2", map[string]any{"action": "open", "key": "k2"}); status != 401 {
		t.Errorf("a wrong signature gets %d, want 401", status)
	}
	if status, second := post(t, w, hookSecret, "k1", map[string]any{"action": "open", "key": "k1"}); status != 201 || second.Ref == first.Ref {
		t.Errorf("without dedupe a second open gives %d %+v, want a second case", status, second)
	}
	steps := []map[string]any{
		{"action": "update", "key": "k1", "ref": first.Ref, "priority": "p1", "title": "all down", "notes": []any{"plain", map[string]any{"seq": 7}}},
		{"action": "resolve", "key": "k1", "ref": first.Ref, "note": "good again"},
		{"action": "withdraw", "key": "k1", "ref": "ref-2", "winner": first.Number},
	}
	for _, step := range steps {
		if status, _ := post(t, w, hookSecret, "", step); status != 200 {
			t.Errorf("%v: %d, want 200", step["action"], status)
		}
	}
	response, err := plain().Get(strings.ReplaceAll(w.FindURL(), "{key}", url.QueryEscape("k1")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var found []webhookAnswer
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].State != "resolved" || found[0].Priority != "p1" || found[1].State != "withdrawn" {
		t.Errorf("found %+v", found)
	}
	if notes := strings.Join(w.ByKey("k1")[0].Notes, "|"); notes != `plain|{"seq":7}|good again` {
		t.Errorf("notes %s", notes)
	}
	if status, _ := post(t, w, hookSecret, "", map[string]any{"action": "update", "key": "nobody"}); status != 404 {
		t.Errorf("update of an unknown case gets %d, want 404", status)
	}
}

func TestWebhookThatDedupesOpensOneCasePerKey(t *testing.T) {
	w := StartWebhook(t, WebhookOptions{Dedupe: true})
	_, first := post(t, w, "", "k1", map[string]any{"action": "open", "key": "k1"})
	_, second := post(t, w, "", "another", map[string]any{"action": "open", "key": "k1"})
	if first.Ref != second.Ref || len(w.Cases()) != 1 {
		t.Errorf("got %+v and %+v, want one case", first, second)
	}
	for range 2 {
		post(t, w, "", "k1:update:1", map[string]any{"action": "update", "key": "k1", "notes": []string{"once"}})
	}
	if notes := w.Cases()[0].Notes; len(notes) != 1 {
		t.Errorf("notes %v, want one", notes)
	}
}

func TestWebhookLosesEveryNthAnswerAfterItWasProcessed(t *testing.T) {
	w := StartWebhook(t, WebhookOptions{})
	w.LoseEvery(3)
	for i := 1; i <= 6; i++ {
		status, _ := post(t, w, "", "", map[string]any{"action": "open", "key": fmt.Sprint("k", i)})
		if lost := i%3 == 0; lost != (status == 0) {
			t.Errorf("request %d: status %d", i, status)
		}
	}
	if len(w.Cases()) != 6 || len(w.Calls()) != 6 || !w.Calls()[2].Lost || w.Calls()[3].Lost {
		t.Errorf("%d cases, calls %+v", len(w.Cases()), w.Calls())
	}
}

func TestWebhookIsDownUpSlowAndRefusing(t *testing.T) {
	w := StartWebhook(t, WebhookOptions{})
	post(t, w, "", "", map[string]any{"action": "open", "key": "k1"})
	w.Down()
	if _, _, err := get(t, plain(), w.URL()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("down: %v, want connection refused", err)
	}
	w.Up()
	if len(w.ByKey("k1")) != 1 {
		t.Error("the case did not survive")
	}
	w.Refuse(503)
	if status, _ := post(t, w, "", "", map[string]any{"action": "open", "key": "k2"}); status != 503 || len(w.Cases()) != 1 {
		t.Errorf("refusing: %d with %d cases", status, len(w.Cases()))
	}
	w.Refuse(0)
	w.Delay(50 * time.Millisecond)
	began := time.Now()
	if status, _ := post(t, w, "", "", map[string]any{"action": "open", "key": "k3"}); status != 201 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("delayed: %d after %v", status, time.Since(began))
	}
	w.SetState("k3", "held")
	if state := w.ByKey("k3")[0].State; state != "held" {
		t.Errorf("state %q, want held", state)
	}
}
