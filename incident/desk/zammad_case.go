package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds of Zammad's.
const (
	zammadTitle = 250 // characters
	zammadHits  = 100 // of one search; the agent's key has one, or a few while doubles are withdrawn
)

// zammadWithdrawn tags tickets that are closed doubles, since a closed state alone says nothing of why.
const zammadWithdrawn = "firstcall-withdrawn"

var zammadRef = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)

// zammadTicket is a ticket as Zammad shows it with expand=true.
type zammadTicket struct {
	ID        int64  `json:"id"`
	Number    text   `json:"number"`
	State     string `json:"state"`
	Priority  string `json:"priority"`
	Customer  int64  `json:"customer_id"`
	CreatedBy int64  `json:"created_by_id"`
	Created   string `json:"created_at"`

	created time.Time
	own     map[string]json.RawMessage // every attribute, those of the operator's own among them
}

// attribute returns the text of an attribute of the operator's own; "" when it has none.
func (t zammadTicket) attribute(name string) string {
	var value string
	if name == "" || json.Unmarshal(t.own[name], &value) != nil {
		return ""
	}
	return value
}

func (d *zammad) Find(ctx context.Context, key string) ([]Case, error) {
	if !usableKey(key) {
		return nil, d.fail("find", key, errEmptyKey)
	}
	phrase := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
	query := "tags:" + phrase
	if d.config.KeyField != "" {
		query += " OR " + d.config.KeyField + ":" + phrase
	}
	values := url.Values{"query": {query}, "expand": {"true"}, "limit": {strconv.Itoa(zammadHits)}, "sort_by": {"created_at"}, "order_by": {"asc"}}
	address := d.url + "/api/v1/tickets/search?" + values.Encode()
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return nil, d.fail("find", key, err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return nil, d.fail("find", key, d.strange(address, raw, nil))
	}
	if len(list) >= zammadHits {
		return nil, d.fail("find", key, d.link.failure(nil, "the search has %d hits or more: see whether Zammad's Elasticsearch works", zammadHits))
	}
	cases := []Case{}
	for _, item := range list {
		t, err := d.read(address, item)
		if err != nil {
			return nil, d.fail("find", key, err)
		}
		c, tags, err := d.shown(ctx, t, true)
		if err != nil {
			return nil, d.fail("find", key, err)
		}
		if own := t.attribute(d.config.KeyField); own != key && (own != "" || !slices.Contains(tags, key)) {
			continue // a search finds by words: an entry that does not say so is not the agent's
		}
		c.Key = key
		if c.State != incident.CaseWithdrawn && !slices.ContainsFunc(cases, func(other Case) bool { return other.Ref == c.Ref }) {
			cases = append(cases, c)
		}
	}
	slices.SortStableFunc(cases, Older)
	return cases, nil
}

func (d *zammad) Open(ctx context.Context, f Fields) (Case, error) {
	if !usableKey(f.Key) || strings.Contains(f.Key, ",") {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	customer := cmp.Or(d.config.Customer, f.Customer.Email)
	if !mailAddress.MatchString(customer) {
		return Case{}, d.fail("open", f.Key, fmt.Errorf("a ticket needs a customer, and the contact has no e-mail address: set customer"))
	}
	payload := map[string]any{}
	for name, value := range f.Extra {
		payload[name] = secret.Plain(value, maxReason)
	}
	maps.Copy(payload, d.about(f))
	payload["group"], payload["state"], payload["customer_id"], payload["tags"] = d.config.Group, d.config.States.New, "guess:"+customer, f.Key
	payload["article"] = article(payload["title"].(string), body(f), true)
	if d.config.KeyField != "" {
		payload[d.config.KeyField] = f.Key
	}
	address := d.url + "/api/v1/tickets?expand=true"
	t, err := d.write(ctx, http.MethodPost, address, payload)
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	c := d.caseOf(t)
	c.Key = t.attribute(d.config.KeyField) // the tag is not in the answer; without an attribute the key is read by the next Find
	if c.Key != "" && c.Key != f.Key {
		err := d.link.failure([]error{ErrUnknownOutcome}, "Zammad answered with ticket %s, which has the key %q: see its log", c.Number, c.Key)
		return Case{}, d.fail("open", f.Key, err)
	}
	if f.Follows != "" { // the story names it as well, so a link that cannot be made is no failure
		_, _ = d.send(ctx, http.MethodPost, d.url+"/api/v1/links/add", map[string]any{
			"link_type": "normal", "link_object_target": "Ticket", "link_object_target_value": t.ID,
			"link_object_source": "Ticket", "link_object_source_number": f.Follows,
		})
	}
	return c, nil
}

func (d *zammad) Get(ctx context.Context, ref string) (Case, error) {
	t, err := d.ticket(ctx, ref)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	c, _, err := d.shown(ctx, t, false)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	return c, nil
}

// Update writes the notes as articles of type note, since one of a type that Zammad sends, such as email, would open a new
// ticket as if somebody had taken it.
func (d *zammad) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	internal, public := noteTexts(notes)
	payload := d.about(f)
	title := payload["title"].(string)
	if first := cmp.Or(public, internal); first != "" {
		payload["article"] = article(title, first, public != "")
	}
	if err := d.change(ctx, ref, payload, ""); err != nil {
		return d.fail("update", ref, err)
	}
	if public == "" || internal == "" {
		return nil
	}
	more := article(title, internal, false)
	id, _ := strconv.ParseInt(ref, 10, 64)
	more["ticket_id"] = id
	if _, err := d.send(ctx, http.MethodPost, d.url+"/api/v1/ticket_articles", more); err != nil {
		return d.fail("update", ref, err)
	}
	return nil
}

func (d *zammad) Resolve(ctx context.Context, ref string, f Fields, note string) error {
	t, err := d.ticket(ctx, ref)
	if err != nil {
		return d.fail("resolve", ref, unsettled(err))
	}
	if !d.config.States.read(t.State).Live() {
		return nil
	}
	payload := map[string]any{"state": d.config.States.Closed, "article": article(shortened(f.Title, zammadTitle), cleanText(note), true)}
	if err := d.change(ctx, ref, payload, d.config.States.Closed); err != nil {
		return d.fail("resolve", ref, err)
	}
	return nil
}

// Withdraw tags the double and closes it.
func (d *zammad) Withdraw(ctx context.Context, ref, winner string) error {
	t, err := d.ticket(ctx, ref)
	if err != nil {
		return d.fail("withdraw", ref, unsettled(err))
	}
	tags, err := d.tags(ctx, t.ID)
	if err != nil {
		return d.fail("withdraw", ref, unsettled(err))
	}
	if !slices.Contains(tags, zammadWithdrawn) {
		tag := map[string]any{"object": "Ticket", "o_id": t.ID, "item": zammadWithdrawn}
		raw, err := d.send(ctx, http.MethodPost, d.url+"/api/v1/tags/add", tag)
		if err == nil && string(bytes.TrimSpace(raw)) != "true" {
			err = d.strange(d.url+"/api/v1/tags/add", raw, ErrUnknownOutcome)
		}
		if err != nil {
			return d.fail("withdraw", ref, err)
		}
	}
	if !d.config.States.read(t.State).Live() {
		return nil
	}
	note := "Withdrawn by firstcall: a double of " + secret.Plain(winner, maxActor) + ", which goes on."
	payload := map[string]any{"state": d.config.States.Closed, "article": article("Withdrawn", note, false)}
	if err := d.change(ctx, ref, payload, d.config.States.Closed); err != nil {
		return d.fail("withdraw", ref, err)
	}
	return nil
}

// Reopen implements Reopener: the ticket is open, as it is after a customer's answer.
func (d *zammad) Reopen(ctx context.Context, ref string, f Fields, note string) error {
	t, err := d.ticket(ctx, ref)
	if err != nil {
		return d.fail("reopen", ref, unsettled(err))
	}
	if d.config.States.read(t.State).Live() {
		return nil
	}
	payload := map[string]any{"state": d.config.States.Open, "article": article(shortened(f.Title, zammadTitle), cleanText(note), false)}
	if err := d.change(ctx, ref, payload, d.config.States.Open); err != nil {
		return d.fail("reopen", ref, err)
	}
	return nil
}

// about returns title and priority as attributes.
func (d *zammad) about(f Fields) map[string]any {
	payload := map[string]any{"title": cmp.Or(shortened(f.Title, zammadTitle), f.Key), "priority": d.config.Priorities.of(f.Priority)}
	if d.config.PriorityField != "" {
		payload[d.config.PriorityField] = strings.ToLower(f.Priority.String())
	}
	return payload
}

// article returns an article. Plain text is what it is; Zammad escapes it.
func article(subject, text string, public bool) map[string]any {
	return map[string]any{
		"subject": subject, "body": cmp.Or(text, subject, "-"), "type": "note", "internal": !public, "content_type": "text/plain",
	}
}

// change writes attributes of a ticket once and checks, unless state is "", that it is in that state then.
func (d *zammad) change(ctx context.Context, ref string, payload map[string]any, state string) error {
	if !zammadRef.MatchString(ref) {
		return d.unknown(ref)
	}
	t, err := d.write(ctx, http.MethodPut, d.url+"/api/v1/tickets/"+ref+"?expand=true", payload)
	switch {
	case status(err) == http.StatusNotFound:
		return &failure{text: err.Error(), is: []error{err, incident.ErrNotFound}}
	case err != nil:
		return err
	case strconv.FormatInt(t.ID, 10) != ref:
		return d.link.failure([]error{ErrUnknownOutcome}, "Zammad answered with ticket %d", t.ID)
	case state != "" && !strings.EqualFold(t.State, state):
		return d.link.failure(nil, "Zammad took the change but left the ticket in the state %q: see its core workflows and triggers", t.State)
	}
	return nil
}

// write sends the payload once and reads the ticket in the answer.
func (d *zammad) write(ctx context.Context, method, address string, payload map[string]any) (zammadTicket, error) {
	raw, err := d.send(ctx, method, address, payload)
	if err != nil {
		return zammadTicket{}, err
	}
	t, err := d.read(address, raw)
	if err != nil {
		return zammadTicket{}, unsettled(err)
	}
	return t, nil
}

// send sends the payload once and returns the answer.
func (d *zammad) send(ctx context.Context, method, address string, payload map[string]any) ([]byte, error) {
	content, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	r, err := d.link.write(ctx, method, address, content, http.Header{"Content-Type": {"application/json"}})
	if err == nil {
		err = d.inside(address, r.body)
	}
	return r.body, err
}

// inside returns the error that an answer holds in spite of its status.
func (d *zammad) inside(address string, raw []byte) error {
	var object struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(raw, &object) != nil {
		return nil // whoever needs an object says so
	}
	if err := (answer{Error: object.Error}).failed(d.link); err != nil {
		return d.link.failure([]error{err, ErrUnknownOutcome}, "%s: %v", secret.RedactURL(address), err)
	}
	return nil
}

// read reads a ticket.
func (d *zammad) read(address string, raw []byte) (zammadTicket, error) {
	if err := d.inside(address, raw); err != nil {
		return zammadTicket{}, err
	}
	var t zammadTicket
	if json.Unmarshal(raw, &t) != nil || json.Unmarshal(raw, &t.own) != nil || t.ID <= 0 || t.State == "" {
		return zammadTicket{}, d.strange(address, raw, nil)
	}
	var err error
	if t.created, err = time.Parse(time.RFC3339, t.Created); err != nil {
		return zammadTicket{}, d.strange(address, raw, nil)
	}
	return t, nil
}

// strange is the error for an answer that is not as the documentation of the API says.
func (d *zammad) strange(address string, raw []byte, is error) error {
	return d.link.failure([]error{is}, "%s answered %q, which is not what Zammad's API says: check the desk's url and a proxy before it",
		secret.RedactURL(address), secret.Plain(secret.Hide(string(raw), d.link.secrets), maxExcerpt))
}

// ticket reads the ticket with that id.
func (d *zammad) ticket(ctx context.Context, ref string) (zammadTicket, error) {
	if !zammadRef.MatchString(ref) {
		return zammadTicket{}, d.unknown(ref)
	}
	address := d.url + "/api/v1/tickets/" + ref + "?expand=true"
	raw, err := d.link.get(ctx, address)
	if status(err) == http.StatusNotFound {
		return zammadTicket{}, &failure{text: err.Error(), is: []error{err, incident.ErrNotFound}}
	}
	if err != nil {
		return zammadTicket{}, err
	}
	t, err := d.read(address, raw)
	if err == nil && strconv.FormatInt(t.ID, 10) != ref {
		err = d.strange(address, raw, nil)
	}
	return t, err
}

func (d *zammad) unknown(ref string) error {
	return d.link.failure([]error{incident.ErrNotFound}, "%q is no id of a ticket: no such case here", ref)
}

// tags returns the tags of a ticket.
func (d *zammad) tags(ctx context.Context, id int64) ([]string, error) {
	address := fmt.Sprintf("%s/api/v1/tags?object=Ticket&o_id=%d", d.url, id)
	raw, err := d.link.get(ctx, address)
	if err != nil {
		return nil, err
	}
	var answer struct{ Tags *[]string }
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Tags == nil {
		return nil, d.strange(address, raw, nil)
	}
	return *answer.Tags, nil
}

// shown returns the case of a ticket, with its tags where they decide something: whether it is withdrawn, or, when key is true,
// which key it has.
func (d *zammad) shown(ctx context.Context, t zammadTicket, key bool) (Case, []string, error) {
	c := d.caseOf(t)
	c.Key = t.attribute(d.config.KeyField)
	if c.State.Live() && (c.Key != "" || !key) {
		return c, nil, nil
	}
	tags, err := d.tags(ctx, t.ID)
	if err == nil && !c.State.Live() && slices.Contains(tags, zammadWithdrawn) {
		c.State = incident.CaseWithdrawn
	}
	return c, tags, err
}

// caseOf returns the case of a ticket, without its key.
func (d *zammad) caseOf(t zammadTicket) Case {
	id := strconv.FormatInt(t.ID, 10)
	c := Case{
		Ref: id, Number: cmp.Or(secret.Plain(string(t.Number), maxActor), id), URL: webAddress(d.url + "/#ticket/zoom/" + id),
		State: d.config.States.read(t.State), Created: t.created.UTC(),
	}
	if c.Priority.UnmarshalText([]byte(t.attribute(d.config.PriorityField))) != nil {
		c.Priority = incident.NoPriority
	}
	// Where people change Zammad's own priority only, that counts.
	if !strings.EqualFold(t.Priority, d.config.Priorities.of(c.Priority)) || c.Priority == incident.NoPriority {
		c.Priority = d.config.Priorities.read(t.Priority)
	}
	return c
}
