package systems

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

func (z *Zammad) show(r *http.Request) (int, any) {
	query := r.URL.Query()
	at := func(prefix string) (*zammadTicket, bool) {
		id, ok := strings.CutPrefix(r.URL.Path, prefix)
		return z.ticket(id), ok
	}
	if r.URL.Path == "/api/v1/tickets/search" {
		return z.search(r, query)
	}
	if r.URL.Path == "/api/v1/tags" {
		if t := z.ticket(query.Get("o_id")); t != nil && query.Get("object") == "Ticket" {
			return http.StatusOK, map[string]any{"tags": append([]string{}, t.tags...)}
		}
		return zammadFault(http.StatusNotFound, "Couldn't find Ticket")
	}
	if t, ok := at("/api/v1/tickets/"); ok && t != nil {
		return http.StatusOK, z.expanded(r, t)
	}
	if t, ok := at("/api/v1/ticket_history/"); ok && t != nil {
		users := map[string]any{}
		for _, u := range z.users {
			users[strconv.FormatInt(u.ID, 10)] = u
		}
		return http.StatusOK, map[string]any{"history": append([]map[string]any{}, t.history...), "assets": map[string]any{"User": users}}
	}
	if t, ok := at("/api/v1/ticket_articles/by_ticket/"); ok && t != nil {
		return http.StatusOK, append([]map[string]any{}, t.articles...)
	}
	return zammadFault(http.StatusNotFound, "Couldn't find Ticket with 'id'=%s", r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
}

// search finds by words as Elasticsearch does: a phrase that stands in a longer value is a hit too.
func (z *Zammad) search(r *http.Request, query url.Values) (int, any) {
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || query.Get("query") == "" {
		return zammadFault(http.StatusUnprocessableEntity, "Invalid search")
	}
	hits := []map[string]any{}
	for _, t := range z.tickets {
		if z.now().Before(t.searchable) || len(hits) == min(limit, 200) {
			continue
		}
		for term := range strings.SplitSeq(query.Get("query"), " OR ") {
			field, phrase, ok := strings.Cut(term, ":")
			var text string
			if !ok || json.Unmarshal([]byte(phrase), &text) != nil { // Lucene quotes as JSON does
				return zammadFault(http.StatusInternalServerError, "parsing_exception: Failed to parse query")
			}
			values := t.tags
			if field != "tags" {
				own, _ := t.own[field].(string)
				values = []string{own}
			}
			if slices.ContainsFunc(values, func(value string) bool { return phraseIn(value, text) }) {
				hits = append(hits, z.expanded(r, t))
				break
			}
		}
	}
	if query.Get("expand") != "true" {
		return http.StatusOK, map[string]any{"tickets": []int{}, "tickets_count": len(hits), "assets": map[string]any{}}
	}
	return http.StatusOK, hits
}

// phraseIn reports whether the words of the phrase follow one another in the value.
func phraseIn(value, phrase string) bool {
	words := func(text string) []string {
		return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' })
	}
	in, want := words(value), words(phrase)
	for i := range in {
		if len(want) > 0 && len(in)-i >= len(want) && slices.Equal(in[i:i+len(want)], want) {
			return true
		}
	}
	return false
}

func (z *Zammad) create(r *http.Request, in map[string]any) (int, any) {
	t := &zammadTicket{state: "new", priority: "2 normal", own: map[string]any{}, updatedBy: zammadAgent, group: "-"}
	guess, _ := in["customer_id"].(string)
	mail, ok := strings.CutPrefix(guess, "guess:")
	delete(in, "customer_id")
	switch {
	case !ok:
		return zammadFault(http.StatusUnprocessableEntity, "Attribute 'customer_id' required!")
	case strings.Count(mail, "@") != 1:
		return zammadFault(http.StatusUnprocessableEntity, "Invalid email '%s' of customer", mail)
	case in["title"] == nil || in["group"] == nil:
		return zammadFault(http.StatusUnprocessableEntity, "Attribute 'title' required!")
	}
	article, _ := in["article"].(map[string]any)
	tags, _ := in["tags"].(string)
	delete(in, "article")
	delete(in, "tags")
	if fault := z.set(t, in, true); fault != "" {
		return zammadFault(http.StatusUnprocessableEntity, "%s", fault)
	}
	if article == nil || article["body"] == nil {
		return zammadFault(http.StatusUnprocessableEntity, `Need at least article: { body: "some text" }`)
	}
	for tag := range strings.SplitSeq(tags, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			t.tags = append(t.tags, tag)
		}
	}
	t.customer = z.guess(strings.ToLower(mail))
	t.id, t.created, t.updated = z.id(), z.now(), z.now()
	t.searchable = t.created.Add(z.options.Lag)
	z.tickets = append(z.tickets, t)
	z.note(t, zammadAgent, "Ticket", "created", map[string]any{})
	if fault := z.article(t, article); fault != "" {
		return zammadFault(http.StatusUnprocessableEntity, "%s", fault)
	}
	return http.StatusCreated, z.expanded(r, t)
}

// guess returns the customer with that address, a new one when there is none.
func (z *Zammad) guess(mail string) int64 {
	for _, u := range z.users {
		if u.Email == mail {
			return u.ID
		}
	}
	id := z.id()
	z.users = append(z.users, zammadUser{ID: id, Login: mail, Email: mail})
	return id
}

func (z *Zammad) update(r *http.Request, t *zammadTicket, in map[string]any) (int, any) {
	article, _ := in["article"].(map[string]any)
	delete(in, "article")
	if fault := z.set(t, in, false); fault != "" {
		return zammadFault(http.StatusUnprocessableEntity, "%s", fault)
	}
	if article != nil {
		if fault := z.article(t, article); fault != "" {
			return zammadFault(http.StatusUnprocessableEntity, "%s", fault)
		}
	}
	return http.StatusOK, z.expanded(r, t)
}

// set writes attributes, and returns why it does not.
func (z *Zammad) set(t *zammadTicket, in map[string]any, create bool) string {
	if z.mandatory != "" && create && in[z.mandatory] == nil {
		return "Missing required value for field '" + z.mandatory + "'!"
	}
	state := t.state
	for name, value := range in {
		text, ok := value.(string)
		switch {
		case name == ZammadKeyField || name == ZammadPriorityField || name == z.mandatory:
			if !z.options.Attributes && name != z.mandatory {
				z.ignored = append(z.ignored, name)
				continue
			}
			t.own[name] = value
		case !ok:
			return "Invalid value for '" + name + "'"
		case name == "title":
			if text == "" || utf8.RuneCountInString(text) > 250 {
				return "Value too long for column 'title'"
			}
			t.title = text
		case name == "group":
			if text != ZammadGroup {
				return "No lookup value found for 'group': \"" + text + "\""
			}
			t.group = text
		case name == "priority":
			if !slices.Contains(zammadPriorities, text) {
				return "No lookup value found for 'priority': \"" + text + "\""
			}
			t.priority = text
		case name == "state":
			if _, known := zammadStates[text]; !known {
				return "No lookup value found for 'state': \"" + text + "\""
			}
			state = text
		case name == "pending_time":
			t.pending = text
		default:
			z.ignored = append(z.ignored, name)
		}
	}
	switch {
	case state == t.state:
	case state == "merged", state == "new": // not offered when a ticket is edited
		return "Invalid value '" + strconv.Itoa(zammadStates[state]) + "' for field 'state_id'!"
	case strings.HasPrefix(state, "pending") && t.pending == "":
		return "Missing required value for field 'pending_time'!"
	case create:
		t.state = state
	default:
		z.move(t, zammadAgent, state)
	}
	return ""
}

// article adds an article of the agent, and returns why it does not.
func (z *Zammad) article(t *zammadTicket, in map[string]any) string {
	out := map[string]any{"type": "note", "internal": false, "sender": "Agent", "content_type": "text/plain", "subject": ""}
	for name, value := range in {
		switch name {
		case "body", "type", "content_type", "subject":
			text, ok := value.(string)
			if !ok || text == "" && name == "body" {
				return `Need at least article: { body: "some text" }`
			}
			out[name] = text
		case "attachments":
			z.keep(in)
			out[name] = value
		case "internal":
			flag, ok := value.(bool)
			if !ok {
				return "Invalid value for 'internal'"
			}
			out[name] = flag
		default:
			z.ignored = append(z.ignored, "article."+name)
		}
	}
	z.add(t, zammadAgent, out)
	return ""
}
