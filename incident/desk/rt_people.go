package desk

import (
	"context"
	"encoding/base64"
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

// Users that every Request Tracker has.
const (
	rtSystem = "RT_System"
	rtNobody = "Nobody"
)

// Bounds on what is read of a ticket's history.
const (
	rtPages  = 20              // of the newest entries
	rtTexts  = 20              // texts of notes and answers, the newest
	rtUsers  = 50              // people who are looked up
	rtText   = 256 << 10       // bytes of such a text; a longer one is not fetched
	rtBeside = 5 * time.Second // between entries that one form or mail made
)

// rtTypes are the types of history entries that are read; all the mail records are not.
var rtTypes = []string{"Status", "Set", "Take", "Steal", "Give", "Force", "Comment", "Correspond", "CustomField", "SystemError"}

// rtRow is an entry of a ticket's history, a transaction.
type rtRow struct {
	ID       string
	Type     string
	Field    loose
	Old, New loose
	Data     loose // of a message: its subject
	Created  string
	Creator  rtUser

	at time.Time
}

// UnmarshalJSON reads the keys exactly as they are written: an entry has a Type and a type, in any order, and encoding/json
// would take either.
func (r *rtRow) UnmarshalJSON(raw []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	var id, kind, created loose
	for key, into := range map[string]json.Unmarshaler{
		"id": &id, "Type": &kind, "Field": &r.Field, "OldValue": &r.Old, "NewValue": &r.New, "Data": &r.Data, "Created": &created, "Creator": &r.Creator,
	} {
		if value, ok := object[key]; ok {
			if err := into.UnmarshalJSON(value); err != nil {
				return err
			}
		}
	}
	r.ID, r.Type, r.Created = string(id), string(kind), string(created)
	return nil
}

// said reports whether the entry is a message.
func (r rtRow) said() bool { return r.Type == "Comment" || r.Type == "Correspond" }

// beside reports whether both entries may be of one form or mail.
func (r rtRow) beside(o rtRow) bool { return r.at.Sub(o.at).Abs() <= rtBeside }

// history returns the newest entries of the ticket's history, oldest first.
func (d *rt) history(ctx context.Context, ref string) ([]rtRow, error) {
	var limits []map[string]string
	for _, t := range rtTypes {
		limits = append(limits, map[string]string{"field": "Type", "value": t})
	}
	query, err := json.Marshal(limits)
	if err != nil {
		return nil, err
	}
	var all []rtRow
	for page := 1; page <= rtPages; page++ {
		address := d.address(ref) + "/history?" + url.Values{
			"query": {string(query)}, "fields": {"Type,Field,OldValue,NewValue,Data,Created,Creator"},
			"orderby": {"id"}, "order": {"DESC"}, "per_page": {fmt.Sprint(rtPage)}, "page": {fmt.Sprint(page)},
		}.Encode()
		raw, err := d.link.get(ctx, address)
		if err != nil {
			return nil, err
		}
		rows, err := d.rows(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(rows) < rtPage {
			break
		}
	}
	slices.SortFunc(all, func(a, b rtRow) int { // what came in meanwhile moved the pages
		if n := len(a.ID) - len(b.ID); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return slices.CompactFunc(all, func(a, b rtRow) bool { return a.ID == b.ID }), nil
}

// rows reads a page of a history.
func (d *rt) rows(raw []byte) ([]rtRow, error) {
	var answer struct {
		Items *[]rtRow `json:"items"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Items == nil {
		return nil, d.unreadable(d.api+"/ticket/history", raw)
	}
	for i, r := range *answer.Items {
		at, err := time.Parse(time.RFC3339, r.Created)
		if err != nil || !rtNumber.MatchString(r.ID) {
			return nil, d.link.failure(nil, "entry %q of the ticket's history, of %q, cannot be used", secret.Plain(r.ID, 40), secret.Plain(r.Created, 40))
		}
		(*answer.Items)[i].at = at.UTC()
	}
	return *answer.Items, nil
}

// rtRole is who somebody is to a ticket.
type rtRole int

const (
	rtPerson rtRole = iota
	rtAgent
	rtCustomer
	rtItself // Request Tracker, by its scrips
)

// own reports whether that is the agent's account.
func (d *rt) own(t rtTicket, name string) bool {
	if d.Account != "" {
		return strings.EqualFold(name, d.Account)
	}
	return name == t.Creator.name()
}

// role tells people from customers: a customer is a requestor, or a user without privileges, as the senders of mails are.
func (d *rt) role(ctx context.Context, t rtTicket, name string, known map[string]rtRole) (rtRole, error) {
	is := func(u rtUser) bool { return u.name() == name }
	switch {
	case name == rtSystem:
		return rtItself, nil
	case d.own(t, name):
		return rtAgent, nil
	case slices.ContainsFunc(t.Requestor, is), slices.ContainsFunc(t.Cc, is):
		return rtCustomer, nil
	}
	if role, ok := known[name]; ok || len(known) >= rtUsers {
		return role, nil
	}
	raw, err := d.link.get(ctx, d.api+"/user/"+url.PathEscape(name))
	if s := status(err); s == http.StatusNotFound || s == http.StatusForbidden {
		known[name] = rtPerson
		return rtPerson, nil
	}
	if err != nil {
		return 0, err
	}
	var user struct {
		Privileged loose `json:"Privileged"`
	}
	if err := json.Unmarshal(raw, &user); err != nil {
		return 0, d.unreadable(d.api+"/user", raw)
	}
	known[name] = rtPerson
	if user.Privileged == "0" {
		known[name] = rtCustomer
	}
	return known[name], nil
}

// rtTale is what a ticket's history tells.
type rtTale struct {
	taken bool // somebody acknowledged it
	steps []rtStep
}

// rtStep is a step of somebody else than the agent.
type rtStep struct {
	incident.Transition

	message string // number of the entry whose text is the step's; "": it has its text
}

// read reads the history of the ticket and tells it.
func (d *rt) read(ctx context.Context, t rtTicket) (rtTale, error) {
	rows, err := d.history(ctx, t.id())
	if err != nil {
		return rtTale{}, err
	}
	known := map[string]rtRole{}
	roles := make([]rtRole, len(rows))
	for i, r := range rows {
		if roles[i], err = d.role(ctx, t, r.Creator.name(), known); err != nil {
			return rtTale{}, err
		}
	}
	return d.tell(t, rows, roles), nil
}

// Transitions returns what people and the customer did. Request Tracker's times have whole seconds: the number of the history
// entry stands in their nanoseconds, so that they rise.
func (d *rt) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	t, _, err := d.ticket(ctx, ref)
	if err != nil {
		return nil, d.fail("read the history of", ref, err)
	}
	tale, err := d.read(ctx, t)
	if err != nil {
		return nil, d.fail("read the history of", ref, err)
	}
	steps := slices.DeleteFunc(tale.steps, func(s rtStep) bool { return !s.At.After(since) })
	var all []incident.Transition
	fetched := 0
	for _, s := range slices.Backward(steps) {
		if s.message != "" && fetched < rtTexts {
			fetched++
			if s.Text, err = d.text(ctx, s.message, s.Text); err != nil {
				return nil, d.fail("read the history of", ref, err)
			}
		}
		all = append(all, s.Transition)
	}
	slices.Reverse(all)
	return all, nil
}

// text returns the plain text of a message; otherwise where it has none, or the account may not see it.
func (d *rt) text(ctx context.Context, entry, otherwise string) (string, error) {
	raw, err := d.link.get(ctx, d.api+"/transaction/"+entry+"/attachments?fields=ContentType,ContentLength,Filename&per_page=20")
	if hidden(err) {
		return otherwise, nil
	}
	if err != nil {
		return "", err
	}
	var parts struct {
		Items []struct {
			ID       text   `json:"id"`
			Type     loose  `json:"ContentType"`
			Length   text   `json:"ContentLength"`
			Filename string `json:"Filename"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", d.unreadable(d.api+"/transaction/attachments", raw)
	}
	for _, p := range parts.Items {
		var length int
		if _, err := fmt.Sscan(string(p.Length), &length); err != nil || length > rtText || p.Filename != "" ||
			!strings.HasPrefix(string(p.Type), "text/plain") || !rtNumber.MatchString(string(p.ID)) {
			continue
		}
		raw, err := d.link.get(ctx, d.api+"/attachment/"+string(p.ID))
		if hidden(err) {
			break
		}
		if err != nil {
			return "", err
		}
		return rtPlain(raw, otherwise), nil
	}
	return otherwise, nil
}

// hidden reports whether err says that something is not there for this account.
func hidden(err error) bool {
	s := status(err)
	return s == http.StatusForbidden || s == http.StatusNotFound
}

// rtPlain returns the text of an attachment, without the lines that it quotes.
func rtPlain(raw []byte, otherwise string) string {
	var part struct {
		Content string `json:"Content"`
	}
	if json.Unmarshal(raw, &part) != nil {
		return otherwise
	}
	content, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(part.Content), ""))
	if err != nil {
		return otherwise
	}
	lines := strings.Split(strings.ToValidUTF8(string(content), "?"), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, ">") || strings.TrimSpace(line) == "" })
	if text := secret.Plain(strings.TrimSpace(strings.Join(lines, "\n")), maxReason); text != "" {
		return text
	}
	return otherwise
}
