package desk_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest/systems"
)

// standIn is the webhook desk with a receiver in this process behind it that can fail.
func standIn(t *testing.T, system *systems.Webhook, find bool) desktest.Rig {
	faulty := &desktest.Faulty{System: system}
	front := httptest.NewServer(faulty)
	t.Cleanup(front.Close)
	w := &desk.Webhook{
		URL: front.URL + "/cases", Secret: secret.New(systems.WebhookSecret), Timeout: 10 * time.Second,
		Headers: map[string]secret.Value{"Authorization": secret.New(systems.WebhookToken)},
	}
	if find {
		w.FindURL = front.URL + "/cases?key={key}"
	}
	d, err := w.Build(desk.Env{Name: "desk-under-test", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return desktest.Rig{
		Desk: d, Name: "desk-under-test", Secrets: []string{systems.WebhookSecret, systems.WebhookToken}, Faulty: faulty, Down: front.Close,
		Live: func(key string) int { return desktest.Live(system, key) },
	}
}

func TestWebhookStandInWithSearch(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig { return standIn(t, systems.NewWebhook(0), true) })
}

func TestWebhookStandInWithoutSearch(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig { return standIn(t, systems.NewWebhookWithoutSearch(), false) })
}
