//go:build servers

package desk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// alerting is a real Alertmanager with a receiver of its notifications. It knows which keys were ever posted. It takes one request
// after the other, and each to its end: what a client that went away had asked for never comes after what it asked next.
type alerting struct {
	*servers.Alertmanager
	t     *testing.T
	proxy http.Handler
	turn  sync.Mutex

	mu      sync.Mutex
	posted  map[string]bool
	notices []notification
}

// notification is what Alertmanager tells its receivers of one group.
type notification struct {
	Status string `json:"status"`
	Alerts []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
}

func startAlerting(t *testing.T) *alerting {
	a := &alerting{t: t, posted: map[string]bool{}}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n notification
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Errorf("notification: %v", err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.notices = append(a.notices, n)
	}))
	t.Cleanup(hook.Close)
	a.Alertmanager = servers.StartAlertmanager(t, hook.URL)
	target, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	a.proxy = proxy
	return a
}

// ServeHTTP implements desktest.System.
func (a *alerting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var alerts []struct{ Labels map[string]string }
	if r.Method == http.MethodPost && json.Unmarshal(body, &alerts) == nil {
		a.mu.Lock()
		for _, one := range alerts {
			a.posted[one.Labels["firstcall_key"]] = true
		}
		a.mu.Unlock()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context())) // one that never ends would let the proxy look by itself whether the client is there
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.turn.Lock()
	defer a.turn.Unlock()
	a.proxy.ServeHTTP(w, r)
}

// active returns the labels of the alerts with that key that have not ended.
func (a *alerting) active(key string) []map[string]string {
	a.t.Helper()
	return a.list(url.Values{"filter": {`firstcall_key="` + key + `"`}})
}

// Live returns how many alerts are active, by key.
func (a *alerting) Live() map[string]int {
	live := map[string]int{}
	for _, labels := range a.list(nil) {
		live[labels["firstcall_key"]]++
	}
	return live
}

// list returns the labels of the alerts that have not ended.
func (a *alerting) list(query url.Values) (list []map[string]string) {
	a.t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(a.URL + "/api/v2/alerts?" + query.Encode())
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var alerts []struct {
		Labels map[string]string
		EndsAt time.Time
	}
	if err := json.NewDecoder(response.Body).Decode(&alerts); err != nil {
		a.t.Fatal(err)
	}
	for _, one := range alerts {
		if one.EndsAt.After(time.Now()) {
			list = append(list, one.Labels)
		}
	}
	return list
}

// States implements desktest.System: an alert that is no longer active is resolved.
func (a *alerting) States(key string) []incident.CaseState {
	var states []incident.CaseState
	for range a.active(key) {
		states = append(states, incident.CaseNew)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(states) == 0 && a.posted[key] {
		states = append(states, incident.CaseResolved)
	}
	return states
}

// YAML implements desktest.System.
func (a *alerting) YAML(address string) string { return "url: " + address + "\nkeep_alive: 30s\n" }

// told returns what receivers heard of the alert with that key at that priority: "firing", "resolved", in order, repetitions left out.
func (a *alerting) told(key, priority string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for _, n := range a.notices {
		for _, one := range n.Alerts {
			if one.Labels["firstcall_key"] == key && one.Labels["priority"] == priority && (len(list) == 0 || list[len(list)-1] != one.Status) {
				list = append(list, one.Status)
			}
		}
	}
	return strings.Join(list, " ")
}

// firing returns how many notifications receivers got in which an alert with that key fires.
func (a *alerting) firing(key string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, notice := range a.notices {
		for _, one := range notice.Alerts {
			if one.Labels["firstcall_key"] == key && one.Status == "firing" {
				n++
			}
		}
	}
	return n
}

// await fails the test unless receivers hear that in time.
func (a *alerting) await(key, priority, want string) {
	a.t.Helper()
	deadline := time.After(20 * time.Second)
	for a.told(key, priority) != want {
		select {
		case <-deadline:
			a.t.Fatalf("receivers heard %q of %s at %s, want %q", a.told(key, priority), key, priority, want)
		case <-time.After(50 * time.Millisecond): // another process: no clock of ours to turn
		}
	}
}

func TestAlertmanager(t *testing.T) {
	desktest.Run(t, func(t *testing.T) desktest.Rig {
		system := startAlerting(t)
		faulty := &desktest.Faulty{System: system}
		front := httptest.NewServer(faulty)
		t.Cleanup(front.Close)
		d := configured(t, "alertmanager", system.YAML(front.URL)+"user: agent\npassword: s3cret-word\n")
		return desktest.Rig{
			Desk: d, Name: "desk-under-test", Secrets: []string{"s3cret-word", "YWdlbnQ6czNj"}, Faulty: faulty, Down: front.Close,
			Live: func(key string) int { return desktest.Live(system, key) },
		}
	})
}

func alertFields(p incident.Priority) desk.Fields {
	started := time.Now().Add(-time.Minute)
	key := incident.Key("acme", incident.Availability, "backend", started)
	return desk.Fields{
		Key: key, Title: p.String() + " acme: backend is inaccessible", Body: "since 10:42", Priority: p,
		Incident: incident.Incident{ID: key, Root: "backend", Class: incident.Availability, Started: started},
	}
}

// Receivers hear of the start, of a raise and of the end, each once, and two agents make one alert.
func TestAlertmanagerTellsItsReceivers(t *testing.T) {
	system := startAlerting(t)
	d := configured(t, "alertmanager", system.YAML(system.URL)+"labels: { team: operations }\n")
	other := configured(t, "alertmanager", system.YAML(system.URL)+"labels: { team: operations }\n")
	f := alertFields(incident.P3)
	for _, agent := range []desk.Desk{d, other} {
		if _, err := agent.Open(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if list := system.active(f.Key); len(list) != 1 || list[0]["severity"] != "warning" || list[0]["team"] != "operations" || list[0]["component"] != "backend" {
		t.Fatalf("active: %v", list)
	}
	system.await(f.Key, "p3", "firing")
	raised := f
	raised.Priority = incident.P1
	if err := d.Update(t.Context(), f.Key, raised, []desk.Note{{Seq: 7, Text: "raised from P3 to P1"}}); err != nil {
		t.Fatal(err)
	}
	if list := system.active(f.Key); len(list) != 1 || list[0]["severity"] != "critical" {
		t.Fatalf("after the raise: %v", list)
	}
	system.await(f.Key, "p1", "firing")
	system.await(f.Key, "p3", "firing resolved")
	c, err := d.Get(t.Context(), f.Key)
	if err != nil || c.Priority != incident.P1 || !c.State.Live() {
		t.Errorf("read back: %+v, %v", c, err)
	}
	if err := d.Resolve(t.Context(), f.Key, raised, "answers again since 11:02"); err != nil {
		t.Fatal(err)
	}
	system.await(f.Key, "p1", "firing resolved")
}

// Alertmanager forgets its alerts when it dies; the next post brings them back.
func TestAlertmanagerIsKilledMeanwhile(t *testing.T) {
	system := startAlerting(t)
	d := configured(t, "alertmanager", system.YAML(system.URL))
	f := alertFields(incident.P2)
	if _, err := d.Open(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	system.await(f.Key, "p2", "firing")
	system.Kill()
	if err := d.Update(t.Context(), f.Key, f, nil); err == nil {
		t.Error("a dead Alertmanager takes an alert")
	}
	system.Start()
	if list := system.active(f.Key); len(list) != 0 {
		t.Fatalf("it remembers: %v", list)
	}
	if err := d.Update(t.Context(), f.Key, f, nil); err != nil { // as the reconciler repeats it
		t.Fatal(err)
	}
	if list := system.active(f.Key); len(list) != 1 {
		t.Fatalf("active: %v", list)
	}
	if err := d.Resolve(t.Context(), f.Key, f, "good again"); err != nil {
		t.Fatal(err)
	}
	system.await(f.Key, "p2", "firing resolved")
	if n := system.firing(f.Key); n > 2 {
		t.Errorf("receivers heard %d times that it fires, with one restart", n)
	}
	if err := d.Update(t.Context(), f.Key, f, nil); err != nil {
		t.Fatal(err)
	}
	system.Kill()
	system.Start()
	if err := d.Resolve(t.Context(), f.Key, f, "good again"); err != nil { // of an alert that it does not know
		t.Fatal(err)
	}
	if list := system.active(f.Key); len(list) != 0 {
		t.Errorf("active in the end: %v", list)
	}
}

// Alertmanager judges by its own clock whether an alert has ended, and the agent's may be another.
func TestAlertmanagerWithAnotherClock(t *testing.T) {
	for _, ahead := range []time.Duration{300 * time.Millisecond, 5 * time.Second, -5 * time.Second, 10 * time.Minute, -10 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			system := startAlerting(t)
			a := &desk.Alertmanager{URL: system.URL, KeepAlive: 30 * time.Second}
			d, err := a.Build(desk.Env{Name: "alerts", Tenant: "acme", Now: func() time.Time { return time.Now().Add(ahead) }})
			if err != nil {
				t.Fatal(err)
			}
			f := alertFields(incident.P3)
			f.Incident.Started = f.Incident.Started.Add(ahead)
			if _, err := d.Open(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			system.await(f.Key, "p3", "firing")
			f.Priority = incident.P1
			if err := d.Update(t.Context(), f.Key, f, nil); err != nil {
				t.Fatal(err)
			}
			if list := system.active(f.Key); len(list) != 1 || list[0]["priority"] != "p1" {
				t.Fatalf("after the raise: %v", list)
			}
			system.await(f.Key, "p3", "firing resolved")
			system.await(f.Key, "p1", "firing")
			if c, err := d.Get(t.Context(), f.Key); err != nil || c.Priority != incident.P1 {
				t.Errorf("read back: %+v, %v", c, err)
			}
			if err := d.Resolve(t.Context(), f.Key, f, "answers again"); err != nil {
				t.Fatal(err)
			}
			if list := system.active(f.Key); len(list) != 0 {
				t.Errorf("after the end: %v", list)
			}
			system.await(f.Key, "p1", "firing resolved")
		})
	}
}

// Two agents that judge an incident differently leave one alert as soon as one of them keeps it alive.
func TestAlertmanagerOpenedAtTwoPriorities(t *testing.T) {
	system := startAlerting(t)
	f := alertFields(incident.P3)
	var d desk.Desk
	for _, p := range []incident.Priority{incident.P3, incident.P1} {
		d, f.Priority = configured(t, "alertmanager", system.YAML(system.URL)), p
		if _, err := d.Open(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Update(t.Context(), f.Key, f, nil); err != nil {
		t.Fatal(err)
	}
	if list := system.active(f.Key); len(list) != 1 || list[0]["priority"] != "p1" {
		t.Errorf("active: %v", list)
	}
}
