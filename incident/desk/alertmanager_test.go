package desk_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

func TestAlertmanagerConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		a    desk.Alertmanager
		want string
	}{
		{"the API's address", desk.Alertmanager{URL: "http://am.example:9093/api/v2/alerts"}, "address of the API"},
		{"user without password", desk.Alertmanager{URL: "http://am.example", User: "a"}, "belong together"},
		{"two ways to log on", desk.Alertmanager{URL: "http://am.example", User: "a", Password: secret.New("b"), Token: secret.New("c")}, "one of them"},
		{"no label's name", desk.Alertmanager{URL: "http://am.example", Labels: map[string]string{"team-a": "x"}}, "no name of a label"},
		{"own label", desk.Alertmanager{URL: "http://am.example", Labels: map[string]string{"severity": "x"}}, "set by the agent"},
		{"empty label", desk.Alertmanager{URL: "http://am.example", Labels: map[string]string{"team": ""}}, "is empty"},
		{"no life", desk.Alertmanager{URL: "http://am.example", KeepAlive: 1}, "between 10s and 1h"},
	} {
		if faults := c.a.Validate(); len(faults) != 1 || !strings.Contains(faults[0].Error(), c.want) {
			t.Errorf("%s: %v", c.name, faults)
		}
	}
}

// What another sender's alerts say, and what an Alertmanager cannot say, is never taken for a case.
func TestAlertmanagerBelievesItsOwnAlertsOnly(t *testing.T) {
	own := map[string]any{"labels": map[string]string{"alertname": "FirstcallIncident", "tenant": "acme", "firstcall_key": "fc-k", "priority": "p2"}, "endsAt": "2999-01-01T00:00:00Z"}
	for name, c := range map[string]struct {
		change map[string]string
		ends   string
		want   int
	}{
		"own":            {nil, "2999-01-01T00:00:00Z", 1},
		"ended":          {nil, "2020-01-01T00:00:00Z", 0},
		"another key":    {map[string]string{"firstcall_key": "fc-k2"}, "2999-01-01T00:00:00Z", 0},
		"another tenant": {map[string]string{"tenant": "other"}, "2999-01-01T00:00:00Z", 0},
		"another alert":  {map[string]string{"alertname": "Watchdog"}, "2999-01-01T00:00:00Z", 0},
	} {
		labels := map[string]string{}
		for k, v := range own["labels"].(map[string]string) {
			labels[k] = v
		}
		for k, v := range c.change {
			labels[k] = v
		}
		body, err := json.Marshal([]any{map[string]any{"labels": labels, "endsAt": c.ends}})
		if err != nil {
			t.Fatal(err)
		}
		address, asked := answering(t, http.StatusOK, string(body))
		d := configured(t, "alertmanager", "url: "+address+"\n")
		found, err := d.Find(t.Context(), "fc-k")
		if err != nil || len(found) != c.want || c.want == 1 && found[0].Priority != incident.P2 {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		if got := (*asked)[0].url; got != `/api/v2/alerts?filter=firstcall_key%3D%22fc-k%22` {
			t.Errorf("asked for %s", got)
		}
	}
}
