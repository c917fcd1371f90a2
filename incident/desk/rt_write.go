package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// rtSubject is how long a subject may be, in bytes; Request Tracker keeps 200 characters.
const rtSubject = 180

// rtLink is where every ticket of a key refers to.
func rtLink(key string) string { return "urn:firstcall:" + key }

// rtNative are the ticket's own fields that a configuration may fill on create.
var rtNative = []string{"AdminCc", "Cc", "Due", "FinalPriority", "InitialPriority", "Owner", "Priority", "SLA", "Starts", "TimeEstimated"}

// create sends the one request that creates the ticket and returns its number.
func (d *rt) create(ctx context.Context, f Fields) (string, error) {
	custom := map[string]any{}
	ticket := map[string]any{}
	for name, text := range f.Extra {
		if inner, ok := strings.CutPrefix(name, "CF.{"); ok {
			custom[strings.TrimSuffix(inner, "}")] = text
		} else if slices.Contains(rtNative, name) {
			ticket[name] = text
		} else {
			custom[name] = text
		}
	}
	custom[d.KeyField] = f.Key
	if d.PriorityField != "" && f.Priority != incident.NoPriority {
		custom[d.PriorityField] = rtDigit(f.Priority)
	}
	if d.BreakStartedField != "" && !f.Incident.Started.IsZero() { // without a zone it would be the account's own time
		custom[d.BreakStartedField] = f.Incident.Started.UTC().Format("2006-01-02 15:04:05 +0000")
	}
	links := []string{rtLink(f.Key)}
	if rtNumber.MatchString(f.Follows) {
		links = append(links, f.Follows)
	}
	maps.Copy(ticket, map[string]any{
		"Queue": d.Queue, "Subject": secret.Plain(f.Title, rtSubject), "Content": body(f), "ContentType": "text/plain",
		"CustomFields": custom, "RefersTo": links,
	})
	if d.CustomerRequestor && f.Customer.Email != "" {
		ticket["Requestor"] = []string{secret.Plain(f.Customer.Email, maxActor)}
	}
	r, err := d.send(ctx, http.MethodPost, d.api+"/ticket", ticket, "")
	if err != nil {
		return "", err
	}
	var answer struct {
		ID text `json:"id"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil || r.status != http.StatusCreated || !rtNumber.MatchString(string(answer.ID)) {
		return "", d.link.failure([]error{ErrUnknownOutcome}, "the answer %d to a create names no ticket: it was %q", r.status, secret.Plain(string(r.body), maxExcerpt))
	}
	return string(answer.ID), nil
}

// changes returns what an update changes in the ticket itself.
func (d *rt) changes(t rtTicket, ref string, f Fields) map[string]any {
	change, custom := map[string]any{}, map[string]any{}
	if t.id() != ref { // merged into a ticket that speaks for itself
		return change
	}
	if title := secret.Plain(f.Title, rtSubject); string(t.Subject) != title {
		change["Subject"] = title
	}
	if d.PriorityField != "" && f.Priority != incident.NoPriority && rtPriority(t.value(d.PriorityField)) != f.Priority {
		custom[d.PriorityField] = rtDigit(f.Priority)
	}
	if f.Key != "" && t.value(d.KeyField) == "" && d.class(t.Status).Live() {
		custom[d.KeyField] = f.Key // left out when it was created, since a double had it
	}
	if len(custom) > 0 {
		change["CustomFields"] = custom
	}
	return change
}

// put changes the ticket unless somebody else did since it was read with that entity tag, and returns what Request Tracker
// says to it; nil when there is nothing to change. Refused changes are answered with 200 as well: read back.
func (d *rt) put(ctx context.Context, ref, tag string, change map[string]any) ([]string, error) {
	if len(change) == 0 {
		return nil, nil
	}
	r, err := d.send(ctx, http.MethodPut, d.address(ref), change, tag)
	if status(err) == http.StatusPreconditionFailed {
		return nil, fmt.Errorf("somebody changed the ticket at the same moment, so nothing was written: it is tried again: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return d.messages(r)
}

// rtMessage is what is added to a ticket's story, and what changes with it.
type rtMessage struct {
	Subject      string         `json:"Subject,omitempty"`
	Content      string         `json:"Content"`
	ContentType  string         `json:"ContentType"`
	Status       string         `json:"Status,omitempty"`
	CustomFields map[string]any `json:"CustomFields,omitempty"`
	Files        []rtFile       `json:"Attachments,omitempty"`

	public bool // correspondence, which is mailed to the requestor; otherwise a comment
}

// say adds the message and returns what Request Tracker says to it.
func (d *rt) say(ctx context.Context, ref string, m rtMessage) ([]string, error) {
	m.ContentType, m.Content = "text/plain", cmp.Or(m.Content, "-")
	way := "/comment"
	if m.public {
		way = "/correspond"
	}
	r, err := d.send(ctx, http.MethodPost, d.address(ref)+way, m, "")
	if err != nil {
		return nil, err
	}
	return d.messages(r)
}

// finish says the message and makes sure that its status is the ticket's.
func (d *rt) finish(ctx context.Context, ref string, m rtMessage) error {
	said, err := d.say(ctx, ref, m)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		t, _, err := d.ticket(ctx, ref)
		if err != nil {
			return fmt.Errorf("it cannot be read back: %w: %w", err, ErrUnknownOutcome)
		}
		_, cleared := m.CustomFields[d.KeyField]
		if strings.EqualFold(string(t.Status), m.Status) && (!cleared || t.value(d.KeyField) == "") {
			return nil
		}
		if try == 2 {
			return d.link.failure(nil, "the ticket is %q where %q was written: check its lifecycle and the account's right ModifyTicket: it said: %s",
				secret.Plain(string(t.Status), 40), m.Status, strings.Join(said, "; "))
		}
		change := map[string]any{"Status": m.Status} // the lifecycle or an older version may not take it with a message
		if cleared {
			change["CustomFields"] = m.CustomFields
		}
		if said, err = d.put(ctx, ref, "", change); err != nil {
			return err
		}
	}
}

// send writes a JSON object once.
func (d *rt) send(ctx context.Context, method, address string, object any, tag string) (reply, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return reply{}, d.link.failure(nil, "the request cannot be written: %v", err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if tag != "" {
		header.Set("If-Match", tag)
	}
	return d.link.write(ctx, method, address, raw, header)
}

// messages reads the answer to a change: a list of sentences.
func (d *rt) messages(r reply) ([]string, error) {
	said := []string{}
	var answer []loose
	if err := json.Unmarshal(r.body, &answer); err != nil {
		return nil, d.link.failure([]error{ErrUnknownOutcome}, "the answer to a change is no list of messages: it was %q", secret.Plain(string(r.body), maxExcerpt))
	}
	for _, s := range answer {
		if s != "" {
			said = append(said, secret.Plain(string(s), maxExcerpt))
		}
	}
	return said[:min(len(said), 10)], nil
}

var rtTag = regexp.MustCompile(`^(?:W/)?"([0-9]+)(?:-gzip|-br|-deflate)?"$`)

// entityTag returns the tag as Request Tracker gave it: proxies that compress write into it, and it would never match again.
func entityTag(header http.Header) string {
	if m := rtTag.FindStringSubmatch(header.Get("ETag")); m != nil {
		return `"` + m[1] + `"`
	}
	return ""
}

// rtDigit writes a priority as the field holds it.
func rtDigit(p incident.Priority) string { return strings.TrimPrefix(strings.ToLower(p.String()), "p") }
