package systems

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// read answers a GET.
func (s *ServiceNow) read(r *http.Request, table, id string, single bool) (int, any) {
	query := r.URL.Query()
	if query.Get("sysparm_display_value") != "false" || query.Get("sysparm_exclude_reference_link") != "true" {
		return snowFault(http.StatusBadRequest, "This stand-in gives actual values only", "set sysparm_display_value and sysparm_exclude_reference_link")
	}
	if single {
		for _, row := range s.tables[table] {
			if row["sys_id"] == id {
				return http.StatusOK, map[string]any{"result": s.shown(r, table, row)}
			}
		}
		return snowFault(http.StatusNotFound, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
	}
	limit, err := strconv.Atoi(query.Get("sysparm_limit"))
	if err != nil || limit < 1 || limit > 1000 {
		return snowFault(http.StatusBadRequest, "This stand-in wants a sysparm_limit", query.Get("sysparm_limit"))
	}
	offset, _ := strconv.Atoi(query.Get("sysparm_offset"))
	rows := s.matching(table, query.Get("sysparm_query"))
	rows = rows[min(offset, len(rows)):]
	rows = rows[:min(limit, len(rows))]
	result := []snowRow{}
	for _, row := range rows {
		result = append(result, s.shown(r, table, row))
	}
	return http.StatusOK, map[string]any{"result": result}
}

// has reports whether the table has the field.
func (s *ServiceNow) has(table, field string) bool {
	switch table {
	case "incident":
		return slices.Contains(snowIncident, field)
	case "sys_audit":
		return slices.Contains([]string{
			"sys_id", "tablename", "documentkey", "fieldname", "oldvalue", "newvalue", "user", "sys_created_by", "sys_created_on", "record_checkpoint",
		}, field)
	}
	_, ok := s.tables[table][0][field]
	return ok
}

// matching returns the rows that an encoded query matches. As in a real instance, a term with an unknown field is left out: a
// query of such terms alone matches every row.
func (s *ServiceNow) matching(table, query string) []snowRow {
	rows := slices.Clone(s.tables[table])
	var terms [][]string // all of which, one of which
	var orders []func()
	for term := range strings.SplitSeq(query, "^") {
		field, descending := strings.CutPrefix(term, "ORDERBYDESC")
		ascending := false
		if !descending {
			field, ascending = strings.CutPrefix(term, "ORDERBY")
		}
		switch {
		case term == "":
		case ascending || descending:
			orders = append(orders, func() { order(rows, field, descending) })
		case strings.HasPrefix(term, "OR") && len(terms) > 0:
			terms[len(terms)-1] = append(terms[len(terms)-1], term[2:])
		default:
			terms = append(terms, []string{term})
		}
	}
	for _, either := range terms {
		if field, _ := split(either[0]); !s.has(table, field) {
			s.ignored = append(s.ignored, table+"."+field)
			continue
		}
		rows = slices.DeleteFunc(rows, func(row snowRow) bool {
			return !slices.ContainsFunc(either, func(term string) bool { return matches(row, term) })
		})
	}
	for _, sort := range slices.Backward(orders) { // the last one first: each is stable
		sort()
	}
	return rows
}

// split returns the field of a term and the values that it may have.
func split(term string) (string, []string) {
	name := strings.TrimLeft(term, "abcdefghijklmnopqrstuvwxyz0123456789_")
	field := term[:len(term)-len(name)]
	if values, ok := strings.CutPrefix(name, "IN"); ok {
		return field, strings.Split(values, ",")
	}
	return field, []string{strings.TrimPrefix(name, "=")}
}

// matches compares as MySQL does: without regard to case.
func matches(row snowRow, term string) bool {
	field, values := split(term)
	return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(row[field], v) })
}

func order(rows []snowRow, field string, descending bool) {
	slices.SortStableFunc(rows, func(a, b snowRow) int {
		n := strings.Compare(a[field], b[field])
		if x, err := strconv.Atoi(a[field]); err == nil {
			if y, err := strconv.Atoi(b[field]); err == nil {
				n = x - y
			}
		}
		if descending {
			return -n
		}
		return n
	})
}

// shown returns the fields that were asked for; unknown ones are left out.
func (s *ServiceNow) shown(r *http.Request, table string, row snowRow) snowRow {
	shown := snowRow{}
	for field := range strings.SplitSeq(r.URL.Query().Get("sysparm_fields"), ",") {
		switch {
		case field == "caller_id.user_name":
			for _, user := range s.tables["sys_user"] {
				if user["sys_id"] == row["caller_id"] {
					shown[field] = user["user_name"]
				}
			}
		case s.has(table, field):
			shown[field] = row[field]
		default:
			s.ignored = append(s.ignored, table+"."+field)
		}
	}
	return shown
}

// insert answers a POST.
func (s *ServiceNow) insert(r *http.Request, values map[string]string) (int, any) {
	if s.mandatory != "" && values[s.mandatory] == "" {
		return snowFault(http.StatusForbidden, "Operation Failed", "Data Policy Exception: The following fields are mandatory: "+s.mandatory)
	}
	key := values[SnowKeyField]
	if s.options.Unique && key != "" && slices.ContainsFunc(s.tables["incident"], func(row snowRow) bool { return row[SnowKeyField] == key }) {
		return snowFault(http.StatusForbidden, "Operation Failed",
			fmt.Sprintf("Error: Unique Key violation detected by database (Duplicate entry '%s' for key '%s')", key, SnowKeyField))
	}
	row := snowRow{
		"sys_id": s.id(), "state": "1", "impact": "3", "urgency": "3", "sys_created_by": SnowUser,
		"sys_created_on": s.options.Now().UTC().Format(snowLayout), "sys_mod_count": "0",
	}
	row["number"] = fmt.Sprintf("INC%07d", 10000+len(s.tables["incident"]))
	s.tables["incident"] = append(s.tables["incident"], row)
	if status, fault := s.change(row, SnowUser, values); fault != nil {
		s.tables["incident"] = s.tables["incident"][:len(s.tables["incident"])-1]
		return status, fault
	}
	return http.StatusCreated, map[string]any{"result": s.shown(r, "incident", row)}
}

// update answers a PATCH.
func (s *ServiceNow) update(r *http.Request, id string, values map[string]string) (int, any) {
	row := s.incident(id)
	if row == nil {
		return snowFault(http.StatusNotFound, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
	}
	if status, fault := s.change(row, SnowUser, values); fault != nil {
		return status, fault
	}
	return http.StatusOK, map[string]any{"result": s.shown(r, "incident", row)}
}

func (s *ServiceNow) incident(id string) snowRow {
	for _, row := range s.tables["incident"] {
		if row["sys_id"] == id {
			return row
		}
	}
	return nil
}

// change updates a row as that user, by the rules of the table, and audits it.
func (s *ServiceNow) change(row snowRow, user string, values map[string]string) (int, any) {
	next := maps.Clone(row)
	for field, value := range values {
		switch {
		case !s.has("incident", field):
			s.ignored = append(s.ignored, "incident."+field)
		case strings.HasPrefix(field, "sys_") || field == "number" || field == "priority" || field == s.readOnly: // read-only: dropped
		default:
			next[field] = value
		}
	}
	if user == SnowCaller && values["comments"] != "" && row["state"] == "3" {
		next["state"], next["hold_reason"] = "2", ""
	}
	if next["state"] != "3" {
		next["hold_reason"] = ""
	}
	var missing []string
	if next["state"] == "3" && next["hold_reason"] == "" {
		missing = append(missing, "On hold reason")
	}
	if next["state"] == "6" || next["state"] == "7" {
		for field, label := range map[string]string{"close_code": "Resolution code", "close_notes": "Resolution notes"} {
			if next[field] == "" {
				missing = append(missing, label)
			}
		}
	}
	switch {
	case len(missing) > 0:
		slices.Sort(missing)
		return snowFault(http.StatusForbidden, "Operation Failed", "Data Policy Exception: The following fields are mandatory: "+strings.Join(missing, ", "))
	case row["state"] == "7":
		return snowFault(http.StatusForbidden, "Operation Failed", "ACL Exception Update Failed due to security constraints")
	case !slices.Contains([]string{"1", "2", "3", "6", "7", "8"}, next["state"]):
		return snowFault(http.StatusBadRequest, "Operation Failed", "Invalid state")
	}
	next["priority"] = priorityOf(next["impact"], next["urgency"])
	count, _ := strconv.Atoi(row["sys_mod_count"])
	s.audit(row, next, user, values, count)
	next["sys_mod_count"] = strconv.Itoa(count + 1)
	maps.Copy(row, next)
	row["comments"], row["work_notes"] = "", "" // journals are not shown in the record
	return 0, nil
}

// priorityOf is the matrix of ServiceNow's priority look-up rules as they are delivered.
func priorityOf(impact, urgency string) string {
	i, _ := strconv.Atoi(impact)
	u, _ := strconv.Atoi(urgency)
	return strconv.Itoa(min(max(i+u-1, 1), 5))
}

// audit writes what an update changes, but for the insert itself.
func (s *ServiceNow) audit(row, next snowRow, user string, values map[string]string, count int) {
	now := s.options.Now().UTC().Format(snowLayout)
	add := func(field, was, is string) {
		s.tables["sys_audit"] = append(s.tables["sys_audit"], snowRow{
			"sys_id": s.id(), "tablename": "incident", "documentkey": row["sys_id"], "fieldname": field, "oldvalue": was, "newvalue": is,
			"user": user, "sys_created_by": user, "sys_created_on": now, "record_checkpoint": strconv.Itoa(count),
		})
	}
	for _, field := range snowIncident {
		switch journal := field == "comments" || field == "work_notes"; {
		case journal && values[field] != "":
			add(field, "JOURNAL FIELD ADDITION", values[field])
		case !journal && row["priority"] != "" && row[field] != next[field]:
			add(field, row[field], next[field])
		}
	}
}

// Journal returns what was written into the journals of an incident, oldest first, as "field: text".
func (s *ServiceNow) Journal(ref string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.tables["sys_audit"] {
		if row["documentkey"] == ref && row["oldvalue"] == "JOURNAL FIELD ADDITION" {
			all = append(all, row["fieldname"]+": "+row["newvalue"])
		}
	}
	return all
}

// By changes an incident as that user; it panics when the instance refuses that.
func (s *ServiceNow) By(user, ref string, values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, fault := s.change(s.incident(ref), user, values); fault != nil {
		panic(fmt.Sprint(fault))
	}
}

// Take implements desktest.People.
func (s *ServiceNow) Take(ref string) {
	s.By("soc.op", ref, map[string]string{"state": "2", "assigned_to": s.tables["sys_user"][3]["sys_id"]})
}

// Hold implements desktest.People.
func (s *ServiceNow) Hold(ref, reason string) {
	s.By("soc.op", ref, map[string]string{"state": "3", "hold_reason": "1", "comments": reason})
}

// Answer implements desktest.People.
func (s *ServiceNow) Answer(ref, text string) {
	s.By(SnowCaller, ref, map[string]string{"comments": text})
}

// Resume implements desktest.People.
func (s *ServiceNow) Resume(ref string) { s.By("soc.op", ref, map[string]string{"state": "2"}) }

// Resolve implements desktest.People.
func (s *ServiceNow) Resolve(ref, text string) {
	s.By("soc.op", ref, map[string]string{"state": "6", "close_code": "Solution provided", "close_notes": text})
}

func parseForm(body string) url.Values {
	form, err := url.ParseQuery(body)
	if err != nil {
		return url.Values{}
	}
	return form
}
