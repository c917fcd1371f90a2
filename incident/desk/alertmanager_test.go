package desk_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
		labels := maps.Clone(own["labels"].(map[string]string))
		maps.Copy(labels, c.change)
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

// A post lasts for three times keep_alive, and an end has passed, by whichever clock is asked.
func TestAlertmanagerPostsTimesThatHoldByBothClocks(t *testing.T) {
	agent := time.Date(2026, 3, 2, 12, 0, 0, 500e6, time.UTC)
	for _, c := range []struct{ name, date, ends, ended string }{
		{"no clock", "", "2026-03-02T12:03:00.5Z", "2026-03-02T12:00:00.5Z"},
		{"no date", "noon", "2026-03-02T12:03:00.5Z", "2026-03-02T12:00:00.5Z"},
		{"same time", "Mon, 02 Mar 2026 12:00:00 GMT", "2026-03-02T12:03:00.5Z", "2026-03-02T12:00:00Z"},
		{"agent is ahead", "Mon, 02 Mar 2026 11:50:00 GMT", "2026-03-02T12:03:00.5Z", "2026-03-02T11:50:00Z"},
		{"agent is behind", "Mon, 02 Mar 2026 12:10:00 GMT", "2026-03-02T12:13:00Z", "2026-03-02T12:00:00.5Z"},
		{"years apart", "Wed, 02 Mar 2050 12:10:00 GMT", "2026-03-02T12:03:00.5Z", "2026-03-02T12:00:00.5Z"},
	} {
		var posted []struct{ StartsAt, EndsAt string }
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil
			if c.date != "" {
				w.Header().Set("Date", c.date)
			}
			if r.Method == http.MethodGet {
				_, _ = w.Write([]byte("[]"))
				return
			}
			posted = nil
			if err := json.NewDecoder(r.Body).Decode(&posted); err != nil || len(posted) != 1 {
				t.Errorf("%s: posted %+v, %v", c.name, posted, err)
			}
		}))
		d, err := (&desk.Alertmanager{URL: server.URL, KeepAlive: time.Minute}).Build(desk.Env{Name: "alerts", Tenant: "acme", Now: func() time.Time { return agent }})
		if err != nil {
			t.Fatal(err)
		}
		f := desk.Fields{Key: "fc-k", Incident: incident.Incident{Started: agent.Add(-time.Hour)}}
		_, err = d.Open(t.Context(), f)
		if err != nil || len(posted) != 1 || posted[0].EndsAt != c.ends || posted[0].StartsAt != "2026-03-02T11:00:00.5Z" {
			t.Errorf("%s: opened with %+v, want the end %s, %v", c.name, posted, c.ends, err)
		}
		if err := d.Update(t.Context(), f.Key, f, nil); err != nil || len(posted) != 1 || posted[0].EndsAt != c.ends {
			t.Errorf("%s: kept alive with %+v, want the end %s, %v", c.name, posted, c.ends, err)
		}
		if err := d.Resolve(t.Context(), f.Key, f, ""); err != nil || len(posted) != 1 || posted[0].EndsAt != c.ended {
			t.Errorf("%s: ended with %+v, want the end %s, %v", c.name, posted, c.ended, err)
		}
		server.Close()
	}
}

// Alertmanager takes the alerts of a request one by one: the one of another priority ends before the new one begins, so that nobody sees two.
func TestAlertmanagerEndsBeforeItBegins(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	var posted []struct {
		Labels map[string]string
		EndsAt time.Time
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`[{"labels": {"alertname": "FirstcallIncident", "tenant": "acme", "firstcall_key": "fc-k", "priority": "p3", "severity": "warning"},
				"startsAt": "2026-03-02T11:00:00Z", "endsAt": "2026-03-02T12:05:00Z"}]`))
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&posted); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	d, err := (&desk.Alertmanager{URL: server.URL}).Build(desk.Env{Name: "alerts", Tenant: "acme", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	f := desk.Fields{Key: "fc-k", Priority: incident.P1, Incident: incident.Incident{Started: now.Add(-time.Hour)}}
	if err := d.Update(t.Context(), f.Key, f, nil); err != nil {
		t.Fatal(err)
	}
	if len(posted) != 2 || posted[0].Labels["priority"] != "p3" || posted[0].EndsAt.After(now) || posted[1].Labels["priority"] != "p1" || !posted[1].EndsAt.After(now) {
		t.Errorf("posted %+v", posted)
	}
}
