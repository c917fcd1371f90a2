package systems

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// names of a value such as {"name": "High"} or {"id": "1"}.
func named(value any, key string) string {
	object, _ := value.(map[string]any)
	text, _ := object[key].(string)
	return text
}

// create answers POST /rest/api/3/issue.
func (j *Jira) create(object map[string]any) (int, any) {
	fields, _ := object["fields"].(map[string]any)
	if named(fields["project"], "key") != JiraProject {
		return jiraFault(http.StatusBadRequest, "project", "valid project is required")
	}
	if named(fields["issuetype"], "name") != "Incident" {
		return jiraFault(http.StatusBadRequest, "issuetype", "Specify a valid issue type")
	}
	i := &jiraIssue{reporter: JiraAgent}
	if id := named(fields["reporter"], "id"); id != "" {
		i.reporter = id
	}
	text, err := readADF(fields["description"])
	if err != nil {
		return jiraFault(http.StatusBadRequest, "description", "Operation value must be an Atlassian Document (see the Atlassian Document Format)")
	}
	i.story = text
	delete(fields, "project")
	delete(fields, "issuetype")
	delete(fields, "reporter")
	delete(fields, "description")
	if status, fault := j.add(i, fields); fault != nil {
		return status, fault
	}
	return http.StatusCreated, map[string]any{"id": strconv.Itoa(i.id), "key": i.name(), "self": "https://site.example/rest/api/3/issue/" + strconv.Itoa(i.id)}
}

// request answers POST /rest/servicedeskapi/request.
func (j *Jira) request(object map[string]any) (int, any) {
	fields, _ := object["requestFieldValues"].(map[string]any)
	fault := func(status int, message string) (int, any) {
		return status, map[string]any{"errorMessage": message, "i18nErrorMessage": map[string]any{"i18nKey": "sd.validation"}}
	}
	if object["serviceDeskId"] != "10" || object["requestTypeId"] != "25" {
		return fault(http.StatusNotFound, "The Service Desk with ID provided does not exist or you do not have permission to see it.")
	}
	i := &jiraIssue{reporter: JiraAgent}
	if on, _ := object["raiseOnBehalfOf"].(string); on != "" {
		i.reporter = on
	}
	text, ok := fields["description"].(string)
	if !ok {
		return fault(http.StatusBadRequest, "description: Operation value must be a string")
	}
	i.story = text
	delete(fields, "description")
	if status, wrong := j.add(i, fields); wrong != nil {
		raw, _ := json.Marshal(wrong)
		return fault(status, string(raw))
	}
	return http.StatusCreated, map[string]any{
		"issueId": strconv.Itoa(i.id), "issueKey": i.name(), "requestTypeId": "25", "serviceDeskId": "10",
		"createdDate":   map[string]any{"iso8601": i.created.Format("2006-01-02T15:04:05-0700"), "epochMillis": i.created.UnixMilli()},
		"currentStatus": map[string]any{"status": "Waiting for support", "statusCategory": "INDETERMINATE"},
	}
}

// add checks the fields of a new issue and keeps it.
func (j *Jira) add(i *jiraIssue, fields map[string]any) (int, any) {
	if j.required != "" && fields[j.required] == nil {
		return jiraFault(http.StatusBadRequest, j.required, j.required+" is required.")
	}
	i.extra, i.priority, i.status = map[string]any{}, "Medium", "10000"
	if status, fault := set(i, fields); fault != nil {
		return status, fault
	}
	if i.summary == "" {
		return jiraFault(http.StatusBadRequest, "summary", "You must specify a summary of the issue.")
	}
	i.id, i.key, i.created = j.next(), len(j.issues)+1, j.options.Now()
	i.indexed = i.created.Add(j.options.Lag)
	j.issues = append(j.issues, i)
	return 0, nil
}

// set sets fields of an issue.
func set(i *jiraIssue, fields map[string]any) (int, any) {
	for name, value := range fields {
		switch {
		case name == "summary":
			text, _ := value.(string)
			if text == "" || len([]rune(text)) > 255 || strings.ContainsAny(text, "\r\n") {
				return jiraFault(http.StatusBadRequest, "summary", "Summary must be less than 255 characters, on one line.")
			}
			i.summary = text
		case name == "priority":
			if !slices.Contains(jiraPriorities, named(value, "name")) {
				return jiraFault(http.StatusBadRequest, "priority", "Specify the Priority (id or name) in the string format")
			}
			i.priority = named(value, "name")
		case name == "labels":
			list, _ := value.([]any)
			for _, label := range list {
				text, _ := label.(string)
				if text == "" || strings.Contains(text, " ") || len(text) > 255 {
					return jiraFault(http.StatusBadRequest, "labels", "The label '"+text+"' contains spaces which is invalid.")
				}
				i.labels = append(i.labels, text)
			}
		case strings.HasPrefix(name, "customfield_1"):
			i.extra[name] = value
		default:
			return jiraFault(http.StatusBadRequest, name, fmt.Sprintf("Field '%s' cannot be set. It is not on the appropriate screen, or unknown.", name))
		}
	}
	return 0, nil
}

// edit answers PUT /rest/api/3/issue/N.
func (j *Jira) edit(i *jiraIssue, object map[string]any) (int, any) {
	fields, _ := object["fields"].(map[string]any)
	was := i.priority
	if status, fault := set(i, fields); fault != nil {
		return status, fault
	}
	if was != i.priority {
		j.log(JiraAgent, i, "priority", was, i.priority, was, i.priority)
	}
	update, _ := object["update"].(map[string]any)
	for name, value := range update {
		operations, _ := value.([]any)
		for _, operation := range operations {
			label := named(operation, "add")
			if name != "labels" || label == "" {
				return jiraFault(http.StatusBadRequest, name, "Field '"+name+"' cannot be set. It is not on the appropriate screen, or unknown.")
			}
			if !slices.Contains(i.labels, label) {
				i.before, i.indexed, i.shown = slices.Clone(i.labels), j.options.Now().Add(j.options.Lag), true
				i.labels = append(i.labels, label)
			}
		}
	}
	return http.StatusNoContent, nil
}

// log writes a change of one field.
func (j *Jira) log(by string, i *jiraIssue, field, from, to, was, is string) {
	i.changes = append(i.changes, map[string]any{
		"id": strconv.Itoa(j.next()), "author": user(by), "created": j.options.Now().UTC().Format(jiraLayout),
		"items": []any{map[string]any{"field": field, "fieldtype": "jira", "fieldId": field, "from": from, "fromString": was, "to": to, "toString": is}},
	})
}

var jiraQuery = regexp.MustCompile(`^project = "((?:[^"\\]|\\.)*)" AND labels = "((?:[^"\\]|\\.)*)" ORDER BY created ASC$`)

// search answers from the index, which shows what was written only after the lag.
func (j *Jira) search(r *http.Request) (int, any) {
	query := r.URL.Query()
	parts := jiraQuery.FindStringSubmatch(query.Get("jql"))
	if parts == nil {
		return jiraFault(http.StatusBadRequest, "", "Error in the JQL Query: this stand-in reads one form of query only: "+query.Get("jql"))
	}
	if parts[1] != JiraProject {
		return jiraFault(http.StatusBadRequest, "", fmt.Sprintf("The value '%s' does not exist for the field 'project'.", parts[1]))
	}
	label := strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(parts[2])
	now, hits := j.options.Now(), []any{}
	for _, i := range j.issues {
		labels := i.labels
		if now.Before(i.indexed) {
			if !i.shown {
				continue
			}
			labels = i.before
		}
		if slices.ContainsFunc(labels, func(l string) bool { return strings.EqualFold(l, label) }) {
			hits = append(hits, map[string]any{"id": strconv.Itoa(i.id), "key": i.name(), "fields": map[string]any{"labels": labels}})
		}
	}
	return http.StatusOK, map[string]any{"issues": hits, "isLast": true}
}

// offered returns the transitions that the workflow has for the status.
func (j *Jira) offered(i *jiraIssue, withFields bool) []any {
	all := []any{}
	for _, t := range jiraTransitions {
		if !slices.Contains(t.from, i.status) {
			continue
		}
		shown := map[string]any{"id": t.id, "name": t.name, "to": status(t.to), "hasScreen": t.screen, "isAvailable": true}
		if withFields {
			fields := map[string]any{}
			if t.screen {
				var allowed []any
				for _, name := range jiraResolutions {
					allowed = append(allowed, map[string]any{"name": name})
				}
				fields["resolution"] = map[string]any{"required": true, "name": "Resolution", "allowedValues": allowed}
			}
			shown["fields"] = fields
		}
		all = append(all, shown)
	}
	return all
}

// transition answers POST /rest/api/3/issue/N/transitions.
func (j *Jira) transition(by string, i *jiraIssue, object map[string]any) (int, any) {
	id := named(object["transition"], "id")
	n := slices.IndexFunc(jiraTransitions, func(t jiraTransition) bool { return t.id == id && slices.Contains(t.from, i.status) })
	if n < 0 {
		return jiraFault(http.StatusBadRequest, "", "It seems that you have tried to perform an invalid workflow operation.")
	}
	fields, _ := object["fields"].(map[string]any)
	resolution := named(fields["resolution"], "name")
	switch t := jiraTransitions[n]; {
	case t.screen && !slices.Contains(jiraResolutions, resolution):
		return jiraFault(http.StatusBadRequest, "resolution", "Resolution is required.")
	case !t.screen && len(fields) > 0:
		return jiraFault(http.StatusBadRequest, "resolution", "Field 'resolution' cannot be set. It is not on the appropriate screen, or unknown.")
	default:
		j.log(by, i, "status", i.status, t.to, jiraStatuses[i.status][0], jiraStatuses[t.to][0])
		i.status, i.resolution = t.to, resolution
	}
	return http.StatusNoContent, nil
}

func (j *Jira) readComments(r *http.Request, i *jiraIssue) (int, any) {
	if r.URL.Query().Get("orderBy") != "-created" {
		return jiraFault(http.StatusBadRequest, "", "this stand-in shows the newest comments first")
	}
	all := []any{}
	for _, c := range slices.Backward(i.comments) {
		all = append(all, map[string]any{
			"id": strconv.Itoa(c.id), "author": user(c.author), "body": c.body, "created": c.at.UTC().Format(jiraLayout), "jsdPublic": !c.internal,
		})
	}
	return http.StatusOK, page(r, "comments", 100, all)
}

// comment answers POST /rest/api/3/issue/N/comment.
func (j *Jira) comment(i *jiraIssue, object map[string]any) (int, any) {
	text, err := readADF(object["body"])
	if err != nil || text == "" {
		return jiraFault(http.StatusBadRequest, "comment", "Comment body is not valid!")
	}
	internal := false
	properties, _ := object["properties"].([]any)
	for _, p := range properties {
		property, _ := p.(map[string]any)
		value, _ := property["value"].(map[string]any)
		if property["key"] == "sd.public.comment" {
			internal = value["internal"] == true
		}
	}
	c := j.say(i, JiraAgent, text, internal)
	c.body = object["body"]
	return http.StatusCreated, map[string]any{"id": strconv.Itoa(c.id), "author": user(JiraAgent), "body": c.body, "jsdPublic": !internal}
}

// say adds a comment. A customer's answer brings an issue that waits for the customer back, as the rule of a new project does.
func (j *Jira) say(i *jiraIssue, by, text string, internal bool) *jiraComment {
	body := map[string]any{"type": "doc", "version": 1, "content": []any{
		map[string]any{"type": "paragraph", "content": []any{map[string]any{"type": "text", "text": text}}},
	}}
	i.comments = append(i.comments, jiraComment{id: j.next(), author: by, body: body, text: text, internal: internal, at: j.options.Now()})
	c := &i.comments[len(i.comments)-1]
	if by == JiraCustomer && i.status == "10002" {
		j.transition(JiraRobot, i, map[string]any{"transition": map[string]any{"id": "31"}})
	}
	return c
}

// link answers POST /rest/api/3/issueLink.
func (j *Jira) link(object map[string]any) (int, any) {
	in, out := j.issue(named(object["inwardIssue"], "key")), j.issue(named(object["outwardIssue"], "key"))
	switch {
	case j.noLinks:
		return jiraFault(http.StatusUnauthorized, "", "No Link Issue Permission for issue")
	case in == nil || out == nil:
		return jiraFault(http.StatusNotFound, "", "Issue does not exist or you do not have permission to see it.")
	case named(object["type"], "name") != "Relates":
		return jiraFault(http.StatusNotFound, "", "No issue link type with name found.")
	}
	j.links = append(j.links, "Relates: "+in.name()+" to "+out.name())
	return http.StatusCreated, nil
}

// readADF returns the text of a document; an error when it is none.
func readADF(value any) (string, error) {
	object, _ := value.(map[string]any)
	version, _ := object["version"].(float64)
	if object["type"] != "doc" || version != 1 {
		return "", errors.New("no document")
	}
	var b strings.Builder
	if err := readNode(object, &b); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

func readNode(node map[string]any, b *strings.Builder) error {
	switch kind := node["type"]; kind {
	case "text":
		text, _ := node["text"].(string)
		if text == "" {
			return errors.New("an empty text node")
		}
		b.WriteString(text)
	case "hardBreak":
		b.WriteString("\n")
	case "doc", "paragraph":
	default:
		return fmt.Errorf("a node %v", kind)
	}
	content, _ := node["content"].([]any)
	for _, child := range content {
		object, _ := child.(map[string]any)
		if err := readNode(object, b); err != nil {
			return err
		}
	}
	if node["type"] == "paragraph" {
		b.WriteString("\n\n")
	}
	return nil
}

// By takes a transition, as that account; it panics when the workflow does not offer it.
func (j *Jira) By(account, ref, transition string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := slices.IndexFunc(jiraTransitions, func(t jiraTransition) bool { return t.name == transition })
	object := map[string]any{"transition": map[string]any{"id": jiraTransitions[n].id}}
	if jiraTransitions[n].screen {
		object["fields"] = map[string]any{"resolution": map[string]any{"name": "Done"}}
	}
	if _, fault := j.transition(account, j.issue(ref), object); fault != nil {
		panic(fmt.Sprint(fault))
	}
}

// Say adds a public comment, as that account.
func (j *Jira) Say(account, ref, text string) {
	j.set(func() { j.say(j.issue(ref), account, text, false) })
}

// Assign gives an issue to an account, as the operator.
func (j *Jira) Assign(ref, account string) {
	j.set(func() {
		i := j.issue(ref)
		name, _ := user(account)["displayName"].(string)
		j.log(JiraOperator, i, "assignee", i.assignee, account, "", name)
		i.assignee = account
	})
}

// Take implements desktest.People.
func (j *Jira) Take(ref string) { j.By(JiraOperator, ref, "In progress") }

// Hold implements desktest.People.
func (j *Jira) Hold(ref, reason string) {
	j.Say(JiraOperator, ref, reason)
	j.By(JiraOperator, ref, "Respond to customer")
}

// Answer implements desktest.People.
func (j *Jira) Answer(ref, text string) { j.Say(JiraCustomer, ref, text) }

// Resume implements desktest.People.
func (j *Jira) Resume(ref string) { j.By(JiraOperator, ref, "In progress") }

// Resolve implements desktest.People.
func (j *Jira) Resolve(ref, text string) {
	j.Say(JiraOperator, ref, text)
	j.By(JiraOperator, ref, "Resolve this issue")
}
