package systems

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// ZammadOptions say how a Zammad is set up. The zero value has no attributes of its own, and a search that misses nothing.
type ZammadOptions struct {
	Attributes bool          // tickets have the attributes firstcall_key and firstcall_priority
	Lag        time.Duration // how long after a create the search misses the ticket
	Mails      bool          // a trigger mails public articles of agents to the customer
	Now        func() time.Time
}

// What the Zammad is set up with.
const (
	ZammadToken         = "zmd+t0k3n/4711_Q=="
	ZammadGroup         = "Operations Centre"
	ZammadKeyField      = "firstcall_key"
	ZammadPriorityField = "firstcall_priority"
)

// The users: 1 is the system, as in every Zammad.
const (
	zammadAgent = 3
	zammadSOC   = 4
)

// Zammad is a Zammad as its REST API shows it: tickets with articles, tags, links and history, and an index that lags behind.
// Unknown attributes are dropped without a word, as the real one does. It is safe for concurrent use.
type Zammad struct {
	options ZammadOptions

	mu        sync.Mutex
	tickets   []*zammadTicket
	users     []zammadUser
	last      int64
	ignored   []string
	mails     []string
	links     []string
	mandatory string // an attribute that a core workflow wants
	limited   bool
	contents  map[string]string // of files, by id, in base64
	people    time.Duration     // by which the clock runs ahead: a millisecond for everything that a person did
}

type zammadUser struct {
	ID        int64  `json:"id"`
	Login     string `json:"login"`
	Firstname string `json:"firstname"`
	Lastname  string `json:"lastname"`
	Email     string `json:"email"`
}

type zammadTicket struct {
	id, customer, updatedBy      int64
	title, group, priority       string
	state                        string
	pending                      string
	own                          map[string]any
	tags                         []string
	articles                     []map[string]any
	history                      []map[string]any
	created, updated, searchable time.Time
}

var (
	zammadStates     = map[string]int{"new": 1, "open": 2, "pending reminder": 3, "closed": 4, "merged": 5, "pending close": 6}
	zammadPriorities = []string{"1 low", "2 normal", "3 high"}
)

// NewZammad returns a Zammad without tickets.
func NewZammad(options ZammadOptions) *Zammad {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Zammad{options: options, last: 100, users: []zammadUser{
		{1, "-", "-", "", ""},
		{zammadAgent, "firstcall@acme.example", "firstcall", "agent", "firstcall@acme.example"},
		{zammadSOC, "op@soc.example", "Olga", "Operator", "op@soc.example"},
	}}
}

// Limit makes a proxy before Zammad refuse requests, or not.
func (z *Zammad) Limit(on bool) { z.with(func() { z.limited = on }) }

// Mandatory makes a core workflow want the attribute; "": none.
func (z *Zammad) Mandatory(attribute string) { z.with(func() { z.mandatory = attribute }) }

// Ignored returns the attributes that were written and that tickets or articles do not have.
func (z *Zammad) Ignored() (all []string) {
	z.with(func() { all = slices.Clone(z.ignored) })
	return all
}

// Mails returns the bodies of the articles that went to customers by mail.
func (z *Zammad) Mails() (all []string) {
	z.with(func() { all = slices.Clone(z.mails) })
	return all
}

// Links returns the links that were made, as "number - id".
func (z *Zammad) Links() (all []string) {
	z.with(func() { all = slices.Clone(z.links) })
	return all
}

// Articles returns the bodies of a ticket's articles, oldest first, those that the customer cannot see in brackets.
func (z *Zammad) Articles(ref string) (all []string) {
	z.with(func() {
		if t := z.ticket(ref); t != nil {
			for _, a := range t.articles {
				body := a["body"].(string)
				if a["internal"].(bool) {
					body = "[" + body + "]"
				}
				all = append(all, body)
			}
		}
	})
	return all
}

func (z *Zammad) with(fn func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	fn()
}

// YAML implements desktest.System.
func (z *Zammad) YAML(address string) string {
	keys := fmt.Sprintf("url: %q\ntoken: %q\ngroup: %q\nlag: %s", address, ZammadToken, ZammadGroup, z.options.Lag)
	if z.options.Attributes {
		keys += "\nkey_field: " + ZammadKeyField + "\npriority_field: " + ZammadPriorityField
	}
	return keys
}

// States implements desktest.System: the tickets with that tag.
func (z *Zammad) States(key string) (states []incident.CaseState) {
	z.with(func() {
		for _, t := range z.tickets {
			if !slices.Contains(t.tags, key) {
				continue
			}
			state := map[string]incident.CaseState{
				"new": incident.CaseNew, "open": incident.CaseAcknowledged, "pending reminder": incident.CaseHeld,
				"pending close": incident.CaseAcknowledged, "closed": incident.CaseResolved, "merged": incident.CaseResolved,
			}[t.state]
			if state == incident.CaseResolved && slices.Contains(t.tags, "firstcall-withdrawn") {
				state = incident.CaseWithdrawn
			}
			states = append(states, state)
		}
	})
	return states
}

// Take is People's: an operator opens the ticket.
func (z *Zammad) Take(ref string) { z.by(zammadSOC, ref, "open", "", "") }

// Hold is People's.
func (z *Zammad) Hold(ref, reason string) { z.by(zammadSOC, ref, "pending reminder", reason, "Agent") }

// Answer is People's: the customer's mail arrives, which opens a ticket that is not new.
func (z *Zammad) Answer(ref, text string) {
	z.with(func() {
		t := z.ticket(ref)
		if t.state != "new" {
			z.move(t, t.customer, "open")
		}
		z.add(t, t.customer, map[string]any{"body": text, "type": "email", "internal": false, "sender": "Customer", "content_type": "text/plain"})
	})
}

// Resume is People's.
func (z *Zammad) Resume(ref string) { z.by(zammadSOC, ref, "open", "", "") }

// Resolve is People's.
func (z *Zammad) Resolve(ref, text string) { z.by(zammadSOC, ref, "closed", text, "Agent") }

// Merge makes the ticket part of another one, as people do.
func (z *Zammad) Merge(ref string) { z.by(zammadSOC, ref, "merged", "", "") }

// Retitle lets people write another title and priority.
func (z *Zammad) Retitle(ref, title, priority string) {
	z.with(func() { t := z.ticket(ref); t.title, t.priority = title, priority })
}

func (z *Zammad) by(user int64, ref, state, text, sender string) {
	z.with(func() {
		z.people += time.Millisecond // nobody does two things in one
		t := z.ticket(ref)
		z.move(t, user, state)
		if text != "" {
			z.add(t, user, map[string]any{"body": text, "type": "note", "internal": true, "sender": sender, "content_type": "text/plain"})
		}
	})
}

// now returns the time as Zammad stores it: milliseconds.
func (z *Zammad) now() time.Time {
	return z.options.Now().Add(z.people).UTC().Truncate(time.Millisecond)
}

func zammadTime(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z") }

func (z *Zammad) id() int64 { z.last++; return z.last }

func (z *Zammad) ticket(ref string) *zammadTicket {
	for _, t := range z.tickets {
		if strconv.FormatInt(t.id, 10) == ref {
			return t
		}
	}
	return nil
}

// move changes the state and writes history.
func (z *Zammad) move(t *zammadTicket, user int64, state string) {
	if t.state != state {
		z.note(t, user, "Ticket", "updated", map[string]any{
			"attribute": "state", "value_from": t.state, "value_to": state, "id_from": zammadStates[t.state], "id_to": zammadStates[state],
		})
	}
	t.state, t.updated, t.updatedBy = state, z.now(), user
}

func (z *Zammad) note(t *zammadTicket, user int64, object, kind string, more map[string]any) {
	more["id"], more["object"], more["type"], more["o_id"] = z.id(), object, kind, t.id
	more["created_by_id"], more["created_at"] = user, zammadTime(z.now())
	t.history = append(t.history, more)
}

// add adds an article: a public one of a type that is sent makes a new ticket an open one.
func (z *Zammad) add(t *zammadTicket, user int64, a map[string]any) {
	a["id"], a["ticket_id"], a["created_by_id"], a["created_at"] = z.id(), t.id, user, zammadTime(z.now())
	a["created_by"] = z.user(user).Login
	t.articles = append(t.articles, a)
	z.note(t, user, "Ticket::Article", "created", map[string]any{"related_o_id": t.id})
	if a["internal"] == false && a["sender"] == "Agent" {
		if slices.Contains([]string{"email", "phone", "web", "sms"}, a["type"].(string)) && t.state == "new" {
			z.move(t, user, "open")
		}
		if z.options.Mails {
			z.mails = append(z.mails, a["body"].(string))
		}
	}
}

func (z *Zammad) user(id int64) zammadUser {
	for _, u := range z.users {
		if u.ID == id {
			return u
		}
	}
	return zammadUser{}
}

// ServeHTTP implements http.Handler.
func (z *Zammad) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	z.mu.Lock()
	defer z.mu.Unlock()
	status, answer := z.serve(r, body)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "3600")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func zammadFault(status int, format string, args ...any) (int, any) {
	text := fmt.Sprintf(format, args...)
	return status, map[string]string{"error": text, "error_human": text}
}

func (z *Zammad) serve(r *http.Request, body []byte) (int, any) {
	switch {
	case z.limited:
		return zammadFault(http.StatusTooManyRequests, "Too many requests")
	case r.Header.Get("Authorization") != "Token token="+ZammadToken:
		return zammadFault(http.StatusUnauthorized, "Authentication required")
	case r.Method == http.MethodGet:
		return z.show(r)
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return zammadFault(http.StatusUnprocessableEntity, "param is missing or the value is empty: title")
	}
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		return zammadFault(http.StatusBadRequest, "Error occurred while parsing request parameters")
	}
	id, isTicket := strings.CutPrefix(r.URL.Path, "/api/v1/tickets/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/tickets":
		return z.create(r, in)
	case r.Method == http.MethodPut && isTicket:
		t := z.ticket(id)
		if t == nil {
			return zammadFault(http.StatusNotFound, "Couldn't find Ticket with 'id'=%s", id)
		}
		return z.update(r, t, in)
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/ticket_articles":
		t := z.ticket(fmt.Sprint(in["ticket_id"]))
		if t == nil {
			return zammadFault(http.StatusNotFound, "Couldn't find Ticket")
		}
		delete(in, "ticket_id")
		if fault := z.article(t, in); fault != "" {
			return zammadFault(http.StatusUnprocessableEntity, "%s", fault)
		}
		return http.StatusCreated, t.articles[len(t.articles)-1]
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/tags/add":
		return z.tag(in)
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/links/add":
		number, target := fmt.Sprint(in["link_object_source_number"]), fmt.Sprint(in["link_object_target_value"])
		if z.ticket(strings.TrimPrefix(number, "31")) == nil || z.ticket(target) == nil || in["link_type"] != "normal" ||
			in["link_object_source"] != "Ticket" || in["link_object_target"] != "Ticket" {
			return zammadFault(http.StatusUnprocessableEntity, "The provided source or target was not found")
		}
		z.links = append(z.links, number+" - "+target)
		return http.StatusCreated, map[string]any{"id": z.id()}
	}
	return zammadFault(http.StatusNotFound, "No route matches [%s] %s", r.Method, r.URL.Path)
}

func (z *Zammad) tag(in map[string]any) (int, any) {
	t, item := z.ticket(fmt.Sprint(in["o_id"])), fmt.Sprint(in["item"])
	if t == nil || in["object"] != "Ticket" || item == "" {
		return zammadFault(http.StatusNotFound, "Couldn't find Ticket")
	}
	if !slices.Contains(t.tags, item) {
		t.tags = append(t.tags, item)
	}
	return http.StatusCreated, true
}

func (z *Zammad) expanded(r *http.Request, t *zammadTicket) map[string]any {
	out := map[string]any{
		"id": t.id, "number": "31" + strconv.FormatInt(t.id, 10), "title": t.title, "customer_id": t.customer, "created_by_id": zammadAgent,
		"updated_by_id": t.updatedBy, "owner_id": 1, "state_id": zammadStates[t.state], "created_at": zammadTime(t.created),
		"updated_at": zammadTime(t.updated), "pending_time": nil, "article_count": len(t.articles),
		"priority_id": slices.Index(zammadPriorities, t.priority) + 1,
	}
	if t.pending != "" {
		out["pending_time"] = t.pending
	}
	if z.options.Attributes {
		for _, name := range []string{ZammadKeyField, ZammadPriorityField} {
			out[name] = t.own[name]
		}
	}
	if r.URL.Query().Get("expand") == "true" {
		out["state"], out["priority"], out["group"], out["customer"] = t.state, t.priority, t.group, z.user(t.customer).Login
	}
	return out
}
