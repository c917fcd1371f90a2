package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds on what is read of PagerDuty's lists.
const (
	pagerdutyPage    = 100
	pagerdutyLogPage = 25 // entries of triggers may hold all that was sent
	pagerdutyLogs    = 40 // pages
)

// pagerdutyPatience is how long the effect of an event is waited for at most, so that what is read next shows it.
const pagerdutyPatience = 5 * time.Second

// pagerdutyIncident is an incident of the REST API.
type pagerdutyIncident struct {
	ID      string `json:"id"`
	Number  int64  `json:"incident_number"`
	Status  string `json:"status"` // triggered, acknowledged, resolved
	Key     string `json:"incident_key"`
	Created string `json:"created_at"`
	URL     string `json:"html_url"`

	created time.Time
}

// state returns what the status means; the reader has checked that it is one of the three.
func (i pagerdutyIncident) state() incident.CaseState {
	switch i.Status {
	case "triggered":
		return incident.CaseNew
	case "acknowledged":
		return incident.CaseAcknowledged
	}
	return incident.CaseResolved
}

// Find returns at most one case: alerts of a key that came after a resolved one are the same case to the agent, which can only
// name the key. A live incident stands for it, or else the newest.
func (d *pagerduty) Find(ctx context.Context, key string) ([]Case, error) {
	if !usableKey(key) {
		return nil, d.fail("find", key, errEmptyKey)
	}
	i, err := d.incident(ctx, key)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, d.fail("find", key, err)
	}
	return []Case{d.caseOf(key, i)}, nil
}

func (d *pagerduty) Get(ctx context.Context, ref string) (Case, error) {
	i, err := d.incident(ctx, ref)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	return d.caseOf(ref, i), nil
}

// caseOf returns the case of an incident. Its priority is not shown: PagerDuty keeps an alert's first severity.
func (d *pagerduty) caseOf(key string, i pagerdutyIncident) Case {
	c := Case{Ref: key, Number: "#" + strconv.FormatInt(i.Number, 10), URL: webAddress(i.URL), Key: key, State: i.state(), Created: i.created}
	if i.Number <= 0 {
		c.Number = pagerdutyNumber(key)
	}
	return c
}

// incident returns the incident that stands for the key; none is incident.ErrNotFound.
func (d *pagerduty) incident(ctx context.Context, key string) (pagerdutyIncident, error) {
	if d.rest == nil {
		return pagerdutyIncident{}, fmt.Errorf("incidents cannot be read: set api_token: %w", errors.ErrUnsupported)
	}
	if key == "" || len(key) > pagerdutyKey {
		return pagerdutyIncident{}, d.rest.failure([]error{incident.ErrNotFound}, "%q is no key of a case: no such case here", key)
	}
	values := url.Values{"incident_key": {key}, "date_range": {"all"}, "sort_by": {"created_at:desc"}, "limit": {strconv.Itoa(pagerdutyPage)}}
	var page struct {
		Incidents *[]pagerdutyIncident `json:"incidents"`
	}
	address := d.api + "/incidents?" + values.Encode()
	raw, err := d.rest.get(ctx, address)
	if err != nil {
		return pagerdutyIncident{}, err
	}
	if json.Unmarshal(raw, &page) != nil || page.Incidents == nil {
		return pagerdutyIncident{}, d.strange(address, raw)
	}
	found := pagerdutyIncident{}
	for _, i := range *page.Incidents {
		if i.created, err = time.Parse(time.RFC3339, i.Created); err != nil || i.ID == "" || !slices.Contains([]string{"triggered", "acknowledged", "resolved"}, i.Status) {
			return pagerdutyIncident{}, d.strange(address, raw)
		}
		i.created = i.created.UTC()
		if found.ID != "" && (found.state().Live() || !i.state().Live()) {
			continue
		}
		mine, err := d.mine(ctx, i, key)
		if err != nil {
			return pagerdutyIncident{}, err
		}
		if mine {
			found = i
		}
	}
	if found.ID == "" {
		return found, d.rest.failure([]error{incident.ErrNotFound}, "PagerDuty shows no incident with that key: may the api_token read the service?")
	}
	return found, nil
}

// mine reports whether the incident has exactly that key: itself, or, as incidents with alerts have none, one of its alerts.
func (d *pagerduty) mine(ctx context.Context, i pagerdutyIncident, key string) (bool, error) {
	if i.Key != "" {
		return i.Key == key, nil
	}
	var page struct {
		Alerts *[]struct {
			Key string `json:"alert_key"`
		} `json:"alerts"`
	}
	address := d.api + "/incidents/" + url.PathEscape(i.ID) + "/alerts?limit=" + strconv.Itoa(pagerdutyPage)
	raw, err := d.rest.get(ctx, address)
	if err != nil {
		return false, err
	}
	if json.Unmarshal(raw, &page) != nil || page.Alerts == nil {
		return false, d.strange(address, raw)
	}
	for _, a := range *page.Alerts {
		if a.Key == key {
			return true, nil
		}
	}
	return false, nil
}

// await reads the incident until it is as wanted, for as long as an event usually takes, and returns it. It only reads, and what
// it does not see the reconciler reads later.
func (d *pagerduty) await(ctx context.Context, key string, wanted func(pagerdutyIncident) bool) (pagerdutyIncident, bool) {
	if d.rest == nil {
		return pagerdutyIncident{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, min(cmp.Or(d.config.Lag, pagerdutyPatience), pagerdutyPatience))
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		i, err := d.incident(ctx, key)
		if err == nil && wanted(i) {
			return i, true
		}
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			return i, false
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return i, false
		case <-timer.C:
		}
	}
}

// pagerdutyEntry is a log entry.
type pagerdutyEntry struct {
	Type    string `json:"type"`
	At      string `json:"created_at"`
	Summary string `json:"summary"`
	Agent   struct {
		Type    string `json:"type"`
		Summary string `json:"summary"`
	} `json:"agent"`
	Channel struct {
		Type    string `json:"type"`
		Summary string `json:"summary"`
	} `json:"channel"`
}

// pagerdutySteps are the log entries that change a case's state, or say something.
var pagerdutySteps = map[string]incident.CaseState{
	"acknowledge_log_entry": incident.CaseAcknowledged, "unacknowledge_log_entry": incident.CaseNew, "resolve_log_entry": incident.CaseResolved,
	"annotate_log_entry": "",
}

// Transitions returns what people acknowledged, resolved and noted, and what PagerDuty did by itself when a time was over. Its
// times are whole seconds; what happened in the same one is told apart by its order.
func (d *pagerduty) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	if d.rest == nil {
		return nil, nil
	}
	i, err := d.incident(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	entries, err := d.log(ctx, i, since)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	all := []incident.Transition{}
	for _, e := range slices.Backward(entries) { // newest first
		to, ok := pagerdutySteps[e.Type]
		at, err := time.Parse(time.RFC3339, e.At)
		if !ok || err != nil {
			continue
		}
		t := incident.Transition{At: at.UTC(), To: to, Text: secret.Plain(cmp.Or(e.Channel.Summary, e.Summary), maxReason)}
		switch {
		case strings.HasPrefix(e.Agent.Type, "user"):
			t.Actor = cmp.Or(secret.Plain(e.Agent.Summary, maxActor), "a user of PagerDuty")
		case e.Channel.Type == "timeout", e.Channel.Type == "auto", to == incident.CaseNew:
			t.Actor = "PagerDuty"
		}
		all = append(all, t)
	}
	slices.SortStableFunc(all, func(a, b incident.Transition) int { return a.At.Compare(b.At) })
	risingSteps(all)
	return stepsAfter(all, since), nil
}

// log returns the log entries of an incident since the second in which since lies, and perhaps older ones, newest first.
func (d *pagerduty) log(ctx context.Context, i pagerdutyIncident, since time.Time) ([]pagerdutyEntry, error) {
	var all []pagerdutyEntry
	for n := range pagerdutyLogs {
		values := url.Values{"limit": {strconv.Itoa(pagerdutyLogPage)}, "offset": {strconv.Itoa(n * pagerdutyLogPage)}}
		address := d.api + "/incidents/" + url.PathEscape(i.ID) + "/log_entries?" + values.Encode()
		raw, err := d.rest.get(ctx, address)
		if err != nil {
			return nil, err
		}
		var page struct {
			Entries *[]pagerdutyEntry `json:"log_entries"`
			More    bool              `json:"more"`
		}
		if json.Unmarshal(raw, &page) != nil || page.Entries == nil {
			return nil, d.strange(address, raw)
		}
		all = append(all, *page.Entries...)
		if !page.More || len(*page.Entries) == 0 {
			break
		}
		oldest, err := time.Parse(time.RFC3339, all[len(all)-1].At)
		if err == nil && oldest.Before(since.Truncate(time.Second)) {
			break
		}
	}
	return all, nil
}

// strange is the error for an answer that is not as the documentation of the API says.
func (d *pagerduty) strange(address string, raw []byte) error {
	return d.rest.failure(nil, "%s answered %q, which is not what PagerDuty's API says: check api_url and a proxy before it",
		secret.RedactURL(address), secret.Plain(secret.Hide(string(raw), d.rest.secrets), maxExcerpt))
}
