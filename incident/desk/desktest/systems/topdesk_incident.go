package systems

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// search takes FIQL of one comparison, and compares as a database of Microsoft's does: without regard to case.
func (s *TOPdesk) search(query url.Values) (int, any) {
	quoted, ok := strings.CutPrefix(query.Get("query"), "externalNumber=='")
	key, closed := unquoteFIQL(quoted)
	if !ok || !closed {
		return topdeskFault(http.StatusBadRequest, "The query %q is invalid", query.Get("query"))
	}
	var hits []map[string]any
	for _, i := range s.incidents {
		if strings.EqualFold(i.key, key) {
			hits = append(hits, s.shown(i))
		}
	}
	return topdeskPage(hits, query, "pageStart", "pageSize")
}

// unquoteFIQL reads up to the closing quote, which must be the end.
func unquoteFIQL(raw string) (value string, closed bool) {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch {
		case raw[i] == '\\' && i+1 < len(raw):
			i++
			b.WriteByte(raw[i])
		case raw[i] == '\'':
			return b.String(), i == len(raw)-1
		default:
			b.WriteByte(raw[i])
		}
	}
	return "", false
}

func (s *TOPdesk) create(in map[string]any) (int, any) {
	i := &topdeskIncident{status: "", priority: "P5", fields: map[string]any{}, modifier: topdeskAgent}
	i.id, i.created, i.modified = s.uuid(), s.now(), s.now()
	i.number = fmt.Sprintf("I %s %03d", i.created.Format("0601"), len(s.incidents)+1)
	if line := in["status"]; line != "firstLine" && line != "secondLine" {
		return topdeskFault(http.StatusBadRequest, "The value for the field 'status' is invalid")
	}
	delete(in, "status")
	fault := s.caller(in)
	if fault == "" {
		fault = s.write(i, in, true)
	}
	if fault != "" {
		return topdeskFault(http.StatusBadRequest, "%s", fault)
	}
	s.incidents = append(s.incidents, i)
	return http.StatusCreated, s.shown(i)
}

// caller returns why the caller cannot be taken.
func (s *TOPdesk) caller(in map[string]any) string {
	lookup, _ := in["callerLookup"].(map[string]any)
	unknown, _ := in["caller"].(map[string]any)
	delete(in, "callerLookup")
	delete(in, "caller")
	switch {
	case lookup == nil && unknown == nil:
		return "A caller is required: 'caller' or 'callerLookup'"
	case lookup != nil && unknown != nil:
		return "Only one of 'caller' and 'callerLookup' can be provided"
	case lookup != nil && lookup["email"] != "it@acme.example":
		return "No caller found for the field 'callerLookup'"
	case lookup == nil && fmt.Sprint(unknown["branch"]) != "map[name:ACME]":
		return "The value for the field 'caller.branch' cannot be found"
	case lookup == nil && (unknown["dynamicName"] == nil || unknown["dynamicName"] == ""):
		return "The field 'caller.dynamicName' is required"
	}
	return ""
}

// write writes fields of the agent's, all or none, and returns why it does not.
func (s *TOPdesk) write(i *topdeskIncident, in map[string]any, create bool) string {
	changed := *i
	action, hidden, request := "", false, ""
	for name, value := range in {
		text, isText := value.(string)
		flag, isFlag := value.(bool)
		list, isList := topdeskLists[name]
		nested, isObject := value.(map[string]any)
		most := map[string]int{"externalNumber": 60, "briefDescription": 80}[name]
		switch {
		case most > 0 && (!isText || utf8.RuneCountInString(text) > most):
			return fmt.Sprintf("The value for the field '%s' is too long: it has a maximum of %d characters", name, most)
		case name == "externalNumber":
			changed.key = text
		case name == "briefDescription":
			changed.title = text
		case name == "request" && create && isText:
			request = text
		case name == "action" && isText:
			action = text
		case name == "actionInvisibleForCaller" && isFlag:
			hidden = flag
		case name == "onHold" && isFlag, name == "completed" && isFlag, name == "closed" && isFlag:
			s.flag(&changed, name, flag)
		case isList && isObject:
			item, _ := nested["name"].(string)
			if !slices.Contains(list, item) {
				return fmt.Sprintf("The value for the field '%s.name' cannot be found", name)
			}
			s.item(&changed, name, item)
		case name == "operatorGroup" && isObject:
			if nested["id"] != TOPdeskGroup {
				return "The value for the field 'operatorGroup.id' cannot be found"
			}
		case strings.HasPrefix(name, "optionalFields") && isObject:
			i.fields[name] = nested
		default:
			return fmt.Sprintf("Unrecognized field '%s'", name)
		}
	}
	changed.modifier, changed.modified = topdeskAgent, s.now()
	*i = changed
	if request != "" {
		s.enter(i, "operator", topdeskAgent, request, false)
	}
	if action != "" {
		s.enter(i, "operator", topdeskAgent, action, hidden)
	}
	return ""
}

func (s *TOPdesk) flag(i *topdeskIncident, name string, on bool) {
	switch {
	case name == "onHold":
		i.onHold, i.held = on, s.now()
		if !on {
			i.held = time.Time{}
		}
		return
	case s.protected:
		return
	case name == "completed":
		i.completed = on
	case name == "closed":
		i.closed = on
	}
	i.ended = time.Time{}
	if i.completed || i.closed {
		i.ended = s.now()
	}
}

func (s *TOPdesk) item(i *topdeskIncident, name, item string) {
	switch {
	case name == "processingStatus" && item == "Closed" && s.protected:
	case name == "processingStatus":
		i.status = item
	case name == "priority":
		i.priority = item
	case name == "closureCode":
		i.closureCode = item
	default:
		i.fields[name] = item
	}
}

// shown returns an incident as the API does.
func (s *TOPdesk) shown(i *topdeskIncident) map[string]any {
	named := func(name string) any {
		if name == "" {
			return nil
		}
		return map[string]string{"id": fmt.Sprintf("ffffffff-0000-4000-8000-%012x", len(name)), "name": name}
	}
	return map[string]any{
		"id": i.id, "number": i.number, "briefDescription": i.title, "externalNumber": i.key, "status": "firstLine",
		"processingStatus": named(i.status), "priority": named(i.priority), "onHold": i.onHold, "onHoldDate": topdeskTime(i.held),
		"responded": i.responded, "responseDate": topdeskTime(i.answered), "completed": i.completed, "completedDate": topdeskTime(i.ended),
		"closed": i.closed, "closedDate": nil, "closureCode": named(i.closureCode), "creationDate": topdeskTime(i.created),
		"modificationDate": topdeskTime(i.modified), "creator": named(topdeskAgent), "modifier": named(i.modifier), "operator": named(i.operator),
		"action": "/tas/api/incidents/id/" + i.id + "/actions", "requests": "/tas/api/incidents/id/" + i.id + "/requests", "request": "",
	}
}
