package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// topdeskHits bounds the hits of one search; the agent's key has one, or a few while doubles are withdrawn.
const topdeskHits = 100

// topdeskWithdrawn begins the external number of closed doubles: nobody finds them by the key again.
const topdeskWithdrawn = "withdrawn: a double of "

// topdeskItem is an entry of a list or a person.
type topdeskItem struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// is reports whether the item is the one that the configuration names, by name or by id.
func (i *topdeskItem) is(want string) bool {
	return i != nil && want != "" && (strings.EqualFold(i.Name, want) || strings.EqualFold(i.ID, want))
}

// same reports whether both are the same person: not every list has the same ids.
func (i *topdeskItem) same(other *topdeskItem) bool {
	return i != nil && other != nil && (i.ID != "" && i.ID == other.ID || i.Name != "" && i.Name == other.Name)
}

// name returns the name, fit for a case; "" when there is none.
func (i *topdeskItem) name() string {
	if i == nil {
		return ""
	}
	return secret.Plain(i.Name, maxActor)
}

// topdeskIncident is an incident as TOPdesk shows it.
type topdeskIncident struct {
	ID        string       `json:"id"`
	Number    string       `json:"number"`
	Key       string       `json:"externalNumber"`
	Status    *topdeskItem `json:"processingStatus"`
	Priority  *topdeskItem `json:"priority"`
	OnHold    bool         `json:"onHold"`
	Responded bool         `json:"responded"`
	Completed bool         `json:"completed"`
	Closed    bool         `json:"closed"`

	Created       topdeskTime  `json:"creationDate"`
	OnHoldSince   topdeskTime  `json:"onHoldDate"`
	RespondedAt   topdeskTime  `json:"responseDate"`
	CompletedAt   topdeskTime  `json:"completedDate"`
	ClosedAt      topdeskTime  `json:"closedDate"`
	ModifiedAt    topdeskTime  `json:"modificationDate"`
	Creator       *topdeskItem `json:"creator"`
	Modifier      *topdeskItem `json:"modifier"`
	Operator      *topdeskItem `json:"operator"`
	OperatorGroup *topdeskItem `json:"operatorGroup"`
}

// topdeskTime is a time in one of the forms that TOPdesk's versions use, such as 2026-03-02T12:00:00.000+0000. Zero: none.
type topdeskTime struct{ time.Time }

// UnmarshalJSON reads a time or null.
func (t *topdeskTime) UnmarshalJSON(raw []byte) error {
	var words string
	if err := json.Unmarshal(raw, &words); err != nil || words == "" {
		return err
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, words); err == nil {
			t.Time = at.UTC()
			return nil
		}
	}
	return errors.New("no time")
}

func (d *topdesk) Find(ctx context.Context, key string) ([]Case, error) {
	if !usableKey(key) {
		return nil, d.fail("find", key, errEmptyKey)
	}
	fiql := "externalNumber=='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(key) + "'"
	address := d.url + "/tas/api/incidents?" + url.Values{"query": {fiql}, "pageSize": {strconv.Itoa(topdeskHits)}}.Encode()
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return nil, d.fail("find", key, err)
	}
	list := []json.RawMessage{}
	if len(bytes.TrimSpace(raw)) > 0 { // 204: none
		if err := json.Unmarshal(raw, &list); err != nil || list == nil {
			return nil, d.fail("find", key, d.strange(address, raw))
		}
	}
	if len(list) >= topdeskHits {
		return nil, d.fail("find", key, d.link.failure(nil, "the search has %d hits or more: this TOPdesk does not filter by externalNumber", topdeskHits))
	}
	cases := []Case{}
	for _, item := range list {
		i, err := d.read(address, item)
		if err != nil {
			return nil, d.fail("find", key, err)
		}
		c := d.caseOf(i)
		if c.Key == key && !slices.ContainsFunc(cases, func(other Case) bool { return other.Ref == c.Ref }) {
			cases = append(cases, c)
		}
	}
	slices.SortStableFunc(cases, Older)
	return cases, nil
}

func (d *topdesk) Open(ctx context.Context, f Fields) (Case, error) {
	if !usableKey(f.Key) {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	payload := topdeskExtra(f.Extra)
	if err := d.caller(payload, f.Customer); err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	maps.Copy(payload, d.about(f))
	payload["status"], payload["externalNumber"], payload["request"] = d.config.Line, f.Key, topdeskHTML(body(f))
	payload["processingStatus"] = topdeskNamed(d.config.Statuses.New)
	for name, value := range map[string]string{
		"category": d.config.Category, "subcategory": d.config.Subcategory, "callType": d.config.CallType, "entryType": d.config.EntryType,
		"operatorGroup": d.config.OperatorGroup,
	} {
		if value != "" {
			payload[name] = topdeskNamed(value)
		}
	}
	i, err := d.write(ctx, http.MethodPost, d.url+"/tas/api/incidents", payload)
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	c := d.caseOf(i)
	if c.Key != f.Key {
		err := d.link.failure([]error{ErrUnknownOutcome}, "incident %s has the external number %q: may the operator set it?", c.Number, i.Key)
		return Case{}, d.fail("open", f.Key, err)
	}
	return c, nil
}

func (d *topdesk) Get(ctx context.Context, ref string) (Case, error) {
	i, err := d.incident(ctx, ref)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	return d.caseOf(i), nil
}

func (d *topdesk) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	internal, public := noteTexts(notes)
	payload := d.about(f)
	if first := cmp.Or(public, internal); first != "" {
		act(payload, first, public != "")
	}
	_, err := d.change(ctx, ref, payload)
	if err == nil && public != "" && internal != "" { // an incident takes one action at a time
		more := map[string]any{}
		act(more, internal, false)
		_, err = d.change(ctx, ref, more)
	}
	if err != nil {
		return d.fail("update", ref, err)
	}
	return nil
}

func (d *topdesk) Resolve(ctx context.Context, ref string, _ Fields, note string) error {
	return d.end(ctx, "resolve", ref, func(payload map[string]any) {
		act(payload, cleanText(note), true)
		if d.config.End == "closed" {
			payload["closed"] = true
		}
	})
}

// Withdraw closes the double under another external number.
func (d *topdesk) Withdraw(ctx context.Context, ref, winner string) error {
	return d.end(ctx, "withdraw", ref, func(payload map[string]any) {
		winner = secret.Plain(winner, maxActor)
		act(payload, "Withdrawn by firstcall: a double of "+winner+", which goes on.", false)
		payload["externalNumber"], payload["closed"] = shortened(topdeskWithdrawn+winner, topdeskKey), true
	})
}

// end ends a live incident.
func (d *topdesk) end(ctx context.Context, verb, ref string, more func(payload map[string]any)) error {
	i, err := d.incident(ctx, ref)
	if err != nil {
		return d.fail(verb, ref, unsettled(err))
	}
	if c := d.caseOf(i); !c.State.Live() && (verb != "withdraw" || c.State == incident.CaseWithdrawn) {
		return nil
	}
	payload := map[string]any{"processingStatus": topdeskNamed(d.config.Statuses.Closed), "completed": true}
	if d.config.ClosureCode != "" {
		payload["closureCode"] = topdeskNamed(d.config.ClosureCode)
	}
	if i.OnHold {
		payload["onHold"] = false
	}
	more(payload)
	i, err = d.change(ctx, ref, payload)
	if err == nil && d.caseOf(i).State.Live() {
		err = d.link.failure(nil, "TOPdesk took the change but left the incident open, with the status %q: may the operator end incidents?", i.Status.name())
	}
	if err != nil {
		return d.fail(verb, ref, err)
	}
	return nil
}

// Reopen implements Reopener.
func (d *topdesk) Reopen(ctx context.Context, ref string, _ Fields, note string) error {
	i, err := d.incident(ctx, ref)
	if err != nil {
		return d.fail("reopen", ref, unsettled(err))
	}
	if d.caseOf(i).State.Live() {
		return nil
	}
	payload := map[string]any{"processingStatus": topdeskNamed(d.config.Statuses.InProgress), "completed": false, "closed": false}
	act(payload, cleanText(note), false)
	i, err = d.change(ctx, ref, payload)
	if err == nil && !d.caseOf(i).State.Live() {
		err = d.link.failure(nil, "TOPdesk took the change but left the incident ended, with the status %q: may the operator reopen incidents?", i.Status.name())
	}
	if err != nil {
		return d.fail("reopen", ref, err)
	}
	return nil
}

// caller puts the caller into the payload.
func (d *topdesk) caller(payload map[string]any, customer incident.Contact) error {
	caller := cmp.Or(d.config.Caller, customer.Email)
	switch {
	case uuid.MatchString(caller):
		payload["callerLookup"] = map[string]any{"id": caller}
	case mailAddress.MatchString(caller):
		payload["callerLookup"] = map[string]any{"email": caller}
	case d.config.Caller != "":
		unknown := map[string]any{"dynamicName": shortened(caller, 109), "branch": topdeskNamed(d.config.Branch)}
		if customer.Email != "" {
			unknown["email"] = shortened(customer.Email, 100)
		}
		if customer.Phone != "" {
			unknown["phoneNumber"] = shortened(customer.Phone, 25)
		}
		payload["caller"] = unknown
	default:
		return errors.New("an incident needs a caller, and the contact has no e-mail address: set caller")
	}
	return nil
}

// about returns title and priority.
func (d *topdesk) about(f Fields) map[string]any {
	return map[string]any{
		"briefDescription": cmp.Or(shortened(f.Title, topdeskTitle), f.Key),
		"priority":         topdeskNamed(d.config.Priorities.of(f.Priority)),
	}
}

// act adds an action to the payload.
func act(payload map[string]any, words string, public bool) {
	payload["action"], payload["actionInvisibleForCaller"] = topdeskHTML(words), !public
}

// topdeskNamed refers to an item of a list.
func topdeskNamed(value string) map[string]any {
	if uuid.MatchString(value) {
		return map[string]any{"id": value}
	}
	return map[string]any{"name": value}
}

// topdeskLists are fields that refer to items of lists.
var topdeskLists = []string{
	"callType", "category", "subcategory", "entryType", "impact", "urgency", "duration", "supplier", "object", "location", "branch",
	"operator", "operatorGroup", "processingStatus", "priority", "closureCode", "sla",
}

// topdeskExtra returns the operator's own fields; a dot leads into an object, as in optionalFields1.text1.
func topdeskExtra(extra map[string]string) map[string]any {
	payload := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		value := secret.Plain(extra[name], maxReason)
		group, leaf, nested := strings.Cut(name, ".")
		switch {
		case nested:
			inner, ok := payload[group].(map[string]any)
			if !ok {
				inner = map[string]any{}
				payload[group] = inner
			}
			inner[leaf] = value
		case slices.Contains(topdeskLists, name):
			payload[name] = topdeskNamed(value)
		default:
			payload[name] = value
		}
	}
	return payload
}

// topdeskHTML returns text as TOPdesk takes it: it reads a few tags, and shows no line breaks without them.
func topdeskHTML(words string) string {
	return strings.ReplaceAll(html.EscapeString(words), "\n", "<br>")
}

// change writes fields of an incident once and returns it as it is then.
func (d *topdesk) change(ctx context.Context, ref string, payload map[string]any) (topdeskIncident, error) {
	if !uuid.MatchString(ref) {
		return topdeskIncident{}, d.unknown(ref)
	}
	i, err := d.write(ctx, http.MethodPatch, d.url+"/tas/api/incidents/id/"+ref, payload)
	switch {
	case status(err) == http.StatusNotFound:
		err = &failure{text: err.Error(), is: []error{err, incident.ErrNotFound}}
	case err == nil && !strings.EqualFold(i.ID, ref):
		err = d.link.failure([]error{ErrUnknownOutcome}, "TOPdesk answered with incident %s", i.ID)
	}
	return i, err
}

// write sends the payload once and reads the incident in the answer.
func (d *topdesk) write(ctx context.Context, method, address string, payload map[string]any) (topdeskIncident, error) {
	content, err := json.Marshal(payload)
	if err != nil {
		return topdeskIncident{}, err
	}
	r, err := d.link.write(ctx, method, address, content, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return topdeskIncident{}, err
	}
	i, err := d.read(address, r.body)
	if err != nil {
		return topdeskIncident{}, unsettled(err)
	}
	return i, nil
}

// read reads an incident.
func (d *topdesk) read(address string, raw []byte) (topdeskIncident, error) {
	var i topdeskIncident
	if json.Unmarshal(raw, &i) != nil || !uuid.MatchString(i.ID) || i.Created.IsZero() {
		return topdeskIncident{}, d.strange(address, raw)
	}
	i.ID = strings.ToLower(i.ID)
	return i, nil
}

// incident reads the incident with that id.
func (d *topdesk) incident(ctx context.Context, ref string) (topdeskIncident, error) {
	if !uuid.MatchString(ref) {
		return topdeskIncident{}, d.unknown(ref)
	}
	address := d.url + "/tas/api/incidents/id/" + ref
	raw, err := d.link.get(ctx, address)
	if status(err) == http.StatusNotFound {
		return topdeskIncident{}, &failure{text: err.Error(), is: []error{err, incident.ErrNotFound}}
	}
	if err != nil {
		return topdeskIncident{}, err
	}
	i, err := d.read(address, raw)
	if err == nil && !strings.EqualFold(i.ID, ref) {
		err = d.strange(address, raw)
	}
	return i, err
}

func (d *topdesk) unknown(ref string) error {
	return d.link.failure([]error{incident.ErrNotFound}, "%q is no id of an incident: no such case here", ref)
}

// strange is the error for an answer that is not as the documentation of the API says.
func (d *topdesk) strange(address string, raw []byte) error {
	return d.link.failure(nil, "%s answered %q, which is not what TOPdesk's API says: check the desk's url and a proxy before it",
		secret.RedactURL(address), secret.Plain(secret.Hide(string(raw), d.link.secrets), maxExcerpt))
}

// caseOf returns the case of an incident.
func (d *topdesk) caseOf(i topdeskIncident) Case {
	c := Case{
		Ref: i.ID, Number: cmp.Or(secret.Plain(i.Number, maxActor), i.ID), Key: secret.Plain(i.Key, topdeskKey), Created: i.Created.Time,
		URL:   webAddress(d.url + "/tas/secure/incident?unid=" + url.QueryEscape(strings.ReplaceAll(i.ID, "-", ""))),
		State: d.stateOf(i),
	}
	for n, item := range d.config.Priorities.list() {
		if i.Priority.is(item) {
			c.Priority = incident.Priority(n + 1)
		}
	}
	return c
}

// stateOf returns what status, hold and end of an incident mean together.
func (d *topdesk) stateOf(i topdeskIncident) incident.CaseState {
	s := d.config.Statuses
	switch over := i.Completed || i.Closed || i.Status.is(s.Closed); {
	case over && strings.HasPrefix(i.Key, topdeskWithdrawn):
		return incident.CaseWithdrawn
	case over:
		return incident.CaseResolved
	case i.OnHold, slices.ContainsFunc(s.Waiting, i.Status.is):
		return incident.CaseHeld
	case i.Responded, i.Status != nil && i.Status.ID+i.Status.Name != "" && !i.Status.is(s.New):
		return incident.CaseAcknowledged
	}
	return incident.CaseNew
}
