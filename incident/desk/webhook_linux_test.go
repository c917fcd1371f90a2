//go:build servers

package desk_test

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

const signingKey, apiToken = "hmac-key \"Æ\" 4711", "Bearer tok-en+/1234=="

// receiver is the webhook desk with a receiver behind it that can fail.
func receiver(t *testing.T, find bool) desktest.Rig {
	system := servers.StartWebhook(t, servers.WebhookOptions{Secret: signingKey, Dedupe: !find})
	target, err := url.Parse("http://" + system.Address)
	if err != nil {
		t.Fatal(err)
	}
	faulty := &desktest.Faulty{System: httputil.NewSingleHostReverseProxy(target)}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)

	w := &desk.Webhook{
		URL: front.URL + "/cases", Secret: secret.New(signingKey), Timeout: 10 * time.Second,
		Headers: map[string]secret.Value{"Authorization": secret.New(apiToken)},
	}
	if find {
		w.FindURL = front.URL + "/cases?key={key}"
	}
	if faults := w.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	d, err := w.Build(desk.Env{Name: "desk-under-test", Tenant: "acme", ExternalURL: "https://acme.firstcall.example/"})
	if err != nil {
		t.Fatal(err)
	}
	return desktest.Rig{
		Desk: d, Name: "desk-under-test", Secrets: []string{signingKey, apiToken, "tok-en+/1234=="}, Faulty: faulty, Down: front.Close,
		Live: func(key string) int {
			live := 0
			for _, c := range system.ByKey(key) {
				if c.State == "new" || c.State == "acknowledged" || c.State == "held" {
					live++
				}
			}
			return live
		},
	}
}

func TestWebhookWithSearch(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig { return receiver(t, true) })
}

func TestWebhookWithoutSearch(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig { return receiver(t, false) })
}
