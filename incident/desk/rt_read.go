package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// rtPage is how many entries are asked for at once; Request Tracker gives no more.
const rtPage = 100

// loose is a JSON string or number; anything else is "".
type loose string

// UnmarshalJSON never fails on well-formed JSON.
func (l *loose) UnmarshalJSON(raw []byte) error {
	var t text
	if err := t.UnmarshalJSON(raw); err != nil {
		t = ""
	}
	*l = loose(t)
	return nil
}

// rtUser names a user.
type rtUser struct {
	ID loose `json:"id"`
}

// UnmarshalJSON never fails on well-formed JSON: where no user is, Request Tracker may write null or "".
func (u *rtUser) UnmarshalJSON(raw []byte) error {
	type plain rtUser
	_ = json.Unmarshal(raw, (*plain)(u))
	return nil
}

func (u rtUser) name() string { return secret.Plain(string(u.ID), maxActor) }

// rtTicket is a ticket as GET /ticket/N and the items of GET /tickets show it.
type rtTicket struct {
	ID           text     `json:"id"`
	Subject      loose    `json:"Subject"`
	Status       loose    `json:"Status"`
	Created      string   `json:"Created"`
	Owner        rtUser   `json:"Owner"`
	Creator      rtUser   `json:"Creator"`
	Requestor    []rtUser `json:"Requestor"`
	Cc           []rtUser `json:"Cc"`
	CustomFields []struct {
		ID     loose             `json:"id"`
		Name   loose             `json:"name"`
		Values []json.RawMessage `json:"values"`
	} `json:"CustomFields"`
	Links []struct {
		Ref loose `json:"ref"`
		URL loose `json:"_url"`
	} `json:"_hyperlinks"`

	created time.Time
}

// rtFields are the fields of tickets that a search asks for.
const rtFields = "Subject,Status,Created,Owner,Creator,Requestor,Cc,CustomFields,_hyperlinks"

// check reports why the ticket cannot be used, and reads its time.
func (t *rtTicket) check() error {
	if !rtNumber.MatchString(string(t.ID)) {
		return fmt.Errorf("the number %q of a ticket is none", secret.Plain(string(t.ID), 40))
	}
	if t.Status == "" {
		return fmt.Errorf("ticket %s shows no status: check the account's right ShowTicket", t.ID)
	}
	at, err := time.Parse(time.RFC3339, t.Created)
	if err != nil {
		return fmt.Errorf("ticket %s says that it was created %q: want a time such as 2026-01-31T08:00:00Z", t.ID, secret.Plain(t.Created, 40))
	}
	t.created = at.UTC()
	return nil
}

func (t rtTicket) id() string { return string(t.ID) }

// value returns the first value of a custom field, "" where there is none.
func (t rtTicket) value(name string) string {
	for _, f := range t.CustomFields {
		if name != "" && string(f.Name) == name && len(f.Values) > 0 {
			var v loose
			_ = v.UnmarshalJSON(f.Values[0])
			return secret.Plain(string(v), maxReason)
		}
	}
	return ""
}

// fieldID returns the number of a custom field, which the history knows it by; "" where the ticket has no such field.
func (t rtTicket) fieldID(name string) string {
	for _, f := range t.CustomFields {
		if name != "" && string(f.Name) == name {
			return string(f.ID)
		}
	}
	return ""
}

// refersTo reports whether the ticket links to that address.
func (t rtTicket) refersTo(address string) bool {
	for _, l := range t.Links {
		if l.Ref == "refers-to" && string(l.URL) == address {
			return true
		}
	}
	return false
}

// address is where the ticket is read and changed.
func (d *rt) address(ref string) string { return d.api + "/ticket/" + ref }

// ticket reads a ticket and its entity tag. A ticket that was merged is shown as the one that it was merged into.
func (d *rt) ticket(ctx context.Context, ref string) (rtTicket, string, error) {
	if !rtNumber.MatchString(ref) {
		return rtTicket{}, "", fmt.Errorf("%q is no ticket's number", secret.Plain(ref, 40))
	}
	r, err := d.link.fetch(ctx, d.address(ref))
	if status(err) == http.StatusNotFound {
		if _, wrong := d.link.get(ctx, d.api+"/rt"); wrong != nil { // a wrong address knows no ticket either
			return rtTicket{}, "", err
		}
		return rtTicket{}, "", fmt.Errorf("request tracker has no such ticket: %w", incident.ErrNotFound)
	}
	if err != nil {
		return rtTicket{}, "", err
	}
	var t rtTicket
	if err := json.Unmarshal(r.body, &t); err != nil {
		return rtTicket{}, "", d.unreadable(d.address(ref), r.body)
	}
	if err := t.check(); err != nil {
		return rtTicket{}, "", d.link.failure(nil, "%v", err)
	}
	return t, entityTag(r.header), nil
}

// search returns the tickets of the key that are not withdrawn, oldest first.
func (d *rt) search(ctx context.Context, key string) ([]rtTicket, error) {
	query := fmt.Sprintf("'CF.{%s}' = %s OR RefersTo = %s", d.KeyField, rtQuote(key), rtQuote(rtLink(key)))
	address := d.api + "/tickets?" + url.Values{
		"query": {query}, "fields": {rtFields}, "orderby": {"id"}, "order": {"ASC"}, "per_page": {fmt.Sprint(rtPage)},
	}.Encode()
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return nil, err
	}
	return d.parse(raw, key)
}

// parse reads the answer to a search for the key. Which ticket is the key's is decided here: a search may find more.
func (d *rt) parse(raw []byte, key string) ([]rtTicket, error) {
	var answer struct {
		Items *[]rtTicket `json:"items"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Items == nil {
		return nil, d.unreadable(d.api+"/tickets", raw)
	}
	var all []rtTicket
	for _, t := range *answer.Items {
		if has := t.value(d.KeyField); has != key && (has != "" || !t.refersTo(rtLink(key))) {
			continue
		}
		if err := t.check(); err != nil {
			return nil, d.link.failure(nil, "%v", err)
		}
		if d.state(t) != incident.CaseWithdrawn && !slices.ContainsFunc(all, func(other rtTicket) bool { return other.ID == t.ID }) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b rtTicket) int {
		return cmp.Or(a.created.Compare(b.created), len(a.ID)-len(b.ID), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// ready reports what is wrong with queue or key field, where nothing was found: nothing must be created then.
func (d *rt) ready(ctx context.Context) error {
	address := d.api + "/queue/" + url.PathEscape(d.Queue)
	raw, err := d.link.get(ctx, address)
	if s := status(err); s == http.StatusNotFound || s == http.StatusForbidden {
		return fmt.Errorf("there is no queue %q for this account: check queue, and its right SeeQueue: %w", d.Queue, err)
	}
	if err != nil {
		return err
	}
	type fieldOf struct {
		Name loose `json:"name"`
	}
	var queue struct {
		Name   loose     `json:"Name"`
		Fields []fieldOf `json:"TicketCustomFields"`
	}
	if err := json.Unmarshal(raw, &queue); err != nil || queue.Name == "" {
		return d.unreadable(address, raw)
	}
	for _, name := range []string{d.KeyField, d.PriorityField} {
		if name != "" && !slices.ContainsFunc(queue.Fields, func(f fieldOf) bool { return string(f.Name) == name }) {
			return d.link.failure(nil, "the tickets of queue %q have no custom field %q that this account sees: apply it to the queue, and check the right SeeCustomField", d.Queue, name)
		}
	}
	return nil
}

// unreadable is the error for an answer of another form.
func (d *rt) unreadable(address string, raw []byte) error {
	return d.link.failure(nil, "%s did not answer as Request Tracker 5 does: check url: it was %q", secret.RedactURL(address), secret.Plain(string(raw), maxExcerpt))
}

// rtQuote writes a text for a search in TicketSQL.
func rtQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// rtPriority reads a priority field: a digit 1 to 4, alone or with a P before it or words after it ("1 - Critical").
func rtPriority(s string) incident.Priority {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "p")
	if s == "" || s[0] < '1' || s[0] > '4' || len(s) > 1 && s[1] >= '0' && s[1] <= '9' {
		return incident.NoPriority
	}
	return incident.Priority(s[0] - '0')
}

// class returns what a status means. CaseAcknowledged is an active one: whether somebody acknowledged is another question.
func (d *rt) class(status loose) incident.CaseState {
	has := func(states []string) bool {
		return slices.ContainsFunc(states, func(s string) bool { return strings.EqualFold(s, string(status)) })
	}
	switch {
	case has(d.ResolvedStates), strings.EqualFold(string(status), d.WithdrawnState):
		return incident.CaseResolved
	case has(d.HoldStates):
		return incident.CaseHeld
	case has(d.NewStates):
		return incident.CaseNew
	}
	return incident.CaseAcknowledged
}

// state is class, with the withdrawn ones told from those that people gave the same status.
func (d *rt) state(t rtTicket) incident.CaseState {
	if strings.EqualFold(string(t.Status), d.WithdrawnState) && t.value(d.KeyField) == "" {
		return incident.CaseWithdrawn
	}
	return d.class(t.Status)
}

// show returns the ticket as a case with that ref and key. Who opened a live ticket, and whether anybody works on it, stands
// in its history only: correspondence, of the agent or the customer, makes Request Tracker open it as well.
func (d *rt) show(ctx context.Context, t rtTicket, ref, key string) (Case, error) {
	c := Case{
		Ref: ref, Number: t.id(), URL: d.page(t.id()), Key: key, State: d.state(t), Created: t.created,
		Priority: rtPriority(t.value(d.PriorityField)),
	}
	idle := c.State == incident.CaseNew && t.Owner.name() == rtNobody
	if idle || c.State != incident.CaseNew && c.State != incident.CaseAcknowledged {
		return c, nil
	}
	tale, err := d.read(ctx, t)
	if err != nil {
		return Case{}, err
	}
	c.State = incident.CaseNew
	if tale.taken {
		c.State = incident.CaseAcknowledged
	}
	return c, nil
}
