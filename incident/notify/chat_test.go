package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/notify/notifytest"
)

const (
	pathToken  = "T0K3N-in-path"
	queryToken = "qu3ryt0k3n"
	headToken  = "h34dert0k3n"
)

// chatter builds the notifier of a valid URL.
func chatter(t *testing.T, url string) notify.Notifier {
	t.Helper()
	c := &notify.Chat{URL: secret.New(url)}
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	n, err := c.Build(notify.Env{Name: "on-call", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// genericURL is a URL of shoutrrr's generic service with a token in every place that can hold one.
func genericURL(address string) string {
	return fmt.Sprintf("generic://%s/hooks/%s?disabletls=yes&template=json&key=%s&@X-Token=%s", address, pathToken, queryToken, headToken)
}

func TestChatContract(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Rig {
		var mu sync.Mutex
		var arrived []notifytest.Arrival
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var body struct{ Message string }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			if r.URL.Path != "/hooks/"+pathToken || r.URL.Query().Get("key") != queryToken || r.Header.Get("X-Token") != headToken || !r.Close {
				t.Errorf("request %s %v", r.URL, r.Header)
			}
			mu.Lock()
			defer mu.Unlock()
			arrived = append(arrived, notifytest.Arrival{Text: body.Message})
		}))
		t.Cleanup(server.Close)
		return notifytest.Rig{
			Notifier: chatter(t, genericURL(server.Listener.Addr().String())), Name: "on-call",
			Secrets: []string{pathToken, queryToken, headToken, "hooks/"},
			At:      func(t *testing.T, address string) notify.Notifier { return chatter(t, genericURL(address)) },
			Arrived: func() []notifytest.Arrival {
				mu.Lock()
				defer mu.Unlock()
				return append([]notifytest.Arrival(nil), arrived...)
			},
		}
	})
}

func TestChatMessageIsShortAndCallsNobody(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	defer server.Close()
	m := notify.Message{Subject: "P1 acme: alt er nede", Text: "Siden 10.30\r\n\r\n@everyone <!channel> \x1b[31m" + strings.Repeat("ø", 500) + "\n" + strings.Repeat("linje\n", 50)}
	proof, err := chatter(t, "generic://"+server.Listener.Addr().String()+"/?disabletls=yes").Send(t.Context(), m)
	if err != nil || proof != "accepted by generic" {
		t.Fatalf("proof %q, %v", proof, err)
	}
	text := <-got
	lines := strings.Split(text, "\n")
	if len(lines) != 10 || lines[0] != m.Subject || lines[1] != "Siden 10.30" || lines[9] != "..." || len(text) > 600 {
		t.Errorf("message %q", text)
	}
	if strings.Contains(text, "@everyone") || strings.Contains(text, "<!") || strings.Contains(text, "\x1b") {
		t.Errorf("the message wakes everybody: %q", text)
	}
}

func TestChatErrorsSayWhatTheServiceAnswered(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no "+r.URL.String()+" "+r.Header.Get("X-Token"), http.StatusForbidden)
	}))
	defer server.Close()
	_, err := chatter(t, genericURL(server.Listener.Addr().String())).Send(t.Context(), notify.Message{Subject: "x"})
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("error %v", err)
	}
}

// Calls that outlive their message end, and never take more places than a notifier has.
func TestChatThatHangsIsContained(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	defer server.Close()
	n := chatter(t, genericURL(server.Listener.Addr().String()))
	send := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := n.Send(ctx, notify.Message{Subject: "x"})
		return err
	}
	for i := range 6 {
		err := send()
		if !errors.Is(err, context.DeadlineExceeded) || notify.Permanent(err) {
			t.Errorf("send %d: %v", i, err)
		}
		if hang := strings.Contains(fmt.Sprint(err), "still hang"); hang != (i >= 4) {
			t.Errorf("send %d: %v", i, err)
		}
	}
	if got := len(arrived); got != 4 {
		t.Errorf("%d calls arrived, want 4", got)
	}
	close(release)
	if _, err := n.Send(t.Context(), notify.Message{Subject: "x"}); err != nil {
		t.Errorf("after the hang: %v", err)
	}
}

func TestTheDefaultClientIsBounded(t *testing.T) {
	if http.DefaultClient.Timeout != time.Minute {
		t.Errorf("time-out %s", http.DefaultClient.Timeout)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for chunk := make([]byte, 1<<20); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	response, err := http.DefaultClient.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if n, err := io.Copy(io.Discard, response.Body); n != 16<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// fixed answers every request of http.DefaultClient, and counts.
type fixed struct {
	status   int // 0: no connection
	requests int
}

func (f *fixed) RoundTrip(r *http.Request) (*http.Response, error) {
	f.requests++
	if f.status == 0 {
		return nil, errors.New("dial tcp: connection refused")
	}
	return &http.Response{
		StatusCode: f.status, Status: http.StatusText(f.status), Header: http.Header{"Retry-After": {"300"}}, Request: r,
		Body: io.NopCloser(strings.NewReader("<html>" + r.URL.String())),
	}, nil
}

// What shoutrrr's services do when they are refused, as far as they let themselves be reached here.
func TestChatServicesMakeOneAttemptAndTellNoSecret(t *testing.T) {
	before := http.DefaultClient.Transport
	t.Cleanup(func() { http.DefaultClient.Transport = before })
	urls := map[string][]string{
		"bark://devicekey12345@bark.example":                                                    {"devicekey12345"},
		"discord://tokentokentoken@123456789":                                                   {"tokentokentoken", "123456789"},
		"googlechat://chat.googleapis.com/v1/spaces/FOOBAR/messages?key=bar4711&token=baz4711":  {"bar4711", "baz4711"},
		"ifttt://keykeykey/?events=event1":                                                      {"keykeykey"},
		"pushbullet://o.AbcdefghijklmnopqrstuvwxyZ012345":                                       {"bcdefghijklmnop"},
		"rocketchat://rc.example/tokenA4711/tokenB4711/chan":                                    {"tokenA4711", "tokenB4711"},
		"slack://xoxb:123456789012-1234567890123-4mt0t4l1YL3g1T5L4cK70k3N@C0123":                {"123456789012", "4mt0t4l1YL3g1T5L4cK70k3N"},
		"zulip://bot-mail@zulip.example:bot4711key@zulip.example/?stream=s&topic=t":             {"bot4711key"},
		"generic+https://prod.westeurope.logic.azure.com/workflows/4711?sig=s3cr3tsig&sv=1%2E0": {"s3cr3tsig"},
	}
	for url, secrets := range urls {
		for _, status := range []int{0, http.StatusInternalServerError, http.StatusTooManyRequests} {
			name, _, _ := strings.Cut(url, ":")
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				service := &fixed{status: status}
				http.DefaultClient.Transport = service
				begin := time.Now()
				_, err := chatter(t, url).Send(t.Context(), notify.Message{Subject: "x", Text: "y"})
				if err == nil {
					t.Fatal("no error")
				}
				for _, s := range secrets {
					if strings.Contains(err.Error(), s) {
						t.Errorf("the error holds a secret: %v", err)
					}
				}
				if service.requests != 1 || time.Since(begin) > 5*time.Second {
					t.Errorf("%d requests in %s, want one at once", service.requests, time.Since(begin))
				}
			})
		}
	}
}

func TestChatConfigurationFaults(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"good", "generic+https://desk.example/hook", ""},
		{"good slack", "slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook", ""},
		{"good matrix, which must not log on here", "matrix://user:hidden-pw@matrix.example/?rooms=!r", ""},
		{"absent is the decoder's", "", ""},
		{"no URL", "hidden-token", "url: is no shoutrrr URL"},
		{"broken", "slack://%zz-hidden", "url: is no shoutrrr URL"},
		{"unknown", "skype://hidden-token@x", "url: names no service that shoutrrr knows (one of bark, "},
		{"mail", "smtp://u:hidden@smtp.example", "url: names the service smtp, which is not used here (use kind email)"},
		{"logger", "logger://", "url: names the service logger"},
		{"telegram", "telegram://1:hidden@telegram?channels=1", "url: names the service telegram"},
		{"one that breaks the library", "teams+https://x", "url: is no URL for teams"},
		{"not the service's form", "slack://hidden-token", "url: is no URL for slack"},
		{"unknown key", "slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook?hidden=hidden-value", "url: is no URL for slack"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			faults := fmt.Sprint((&notify.Chat{URL: secret.New(test.url)}).Validate())
			if test.want == "" && faults != "[]" || !strings.HasPrefix(faults, "["+test.want) {
				t.Errorf("faults %s, want %q", faults, test.want)
			}
			if strings.Contains(faults, "hidden-") {
				t.Errorf("the fault holds a secret: %s", faults)
			}
		})
	}
	if faults := (&notify.Chat{URL: secret.New("generic://x"), Timeout: time.Hour}).Validate(); len(faults) != 1 {
		t.Errorf("timeout: %v", faults)
	}
}

func FuzzChatURL(f *testing.F) {
	for _, seed := range []string{"generic://h/p?template=json", "slack://hook:a-b-c@webhook", "zulip://a:b@c/?topic=t", "discord://t@1", "teams+https://x", "ntfy://h/t", "gotify://h/t", "+://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c := &notify.Chat{URL: secret.New(url)}
		if text := fmt.Sprint(c.Validate()); len(text) > 3000 || strings.ContainsAny(text, "\n\x00\x1b") {
			t.Errorf("faults %q", text)
		}
		_, _ = c.Build(notify.Env{Name: "on-call"})
	})
}
