package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// errSnowTaken is what a create is refused with where the key field is Unique and another record holds the key.
var errSnowTaken = errors.New("another record holds the key")

// snowTime is how ServiceNow writes times: whole seconds, UTC.
const snowTime = "2006-01-02 15:04:05"

// snowRecord is a record, or as many fields of it as were asked for.
type snowRecord map[string]snowValue

// snowValue is a field's actual value. ServiceNow writes all of them as strings, but references as objects unless asked not to.
type snowValue string

// UnmarshalJSON reads a string, number, switch, null, or the value of an object.
func (v *snowValue) UnmarshalJSON(raw []byte) error {
	var reference struct {
		Value *string `json:"value"`
	}
	switch {
	case string(raw) == "null":
		*v = ""
		return nil
	case raw[0] == '"':
		return json.Unmarshal(raw, (*string)(v))
	case raw[0] == '{':
		err := json.Unmarshal(raw, &reference)
		if err == nil && reference.Value != nil {
			*v = snowValue(*reference.Value)
		}
		return err
	case raw[0] == '[':
		return errors.New("a list is no value of a field")
	}
	*v = snowValue(raw)
	return nil
}

// snowExplain reads a refusal: {"error": {"message": ..., "detail": ...}, "status": "failure"}.
func snowExplain(status int, header http.Header, body []byte) (hint string, is error) {
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Detail  string `json:"detail"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // a proxy's page: nothing more is known
	said := strings.TrimSpace(answer.Error.Message + " " + answer.Error.Detail)
	switch {
	case strings.Contains(said, "Unique Key violation"):
		return "a record with this key exists already", errSnowTaken
	case status == http.StatusForbidden:
		return fmt.Sprintf("ServiceNow refuses by its access rules (ACL), or by a business rule or data policy such as a mandatory field; it says %q",
			secret.Plain(said, 2*maxExcerpt)), nil
	case status == http.StatusTooManyRequests:
		hint = "the rate limit of " + secret.Plain(cmp.Or(header.Get("X-RateLimit-Limit"), "the instance"), 40) + " is used up"
		if wait := header.Get("Retry-After"); wait != "" {
			hint += ", it asks to wait: " + secret.Plain(wait, 40)
		}
		if reset, err := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64); err == nil {
			hint += ", until " + time.Unix(reset, 0).UTC().Format(time.RFC3339)
		}
		return hint + ": raise its rate limit rule", nil
	case status == http.StatusNotFound:
		return "no such record or table, or the account may not read it (ACL)", nil
	}
	return "", nil
}

// fields returns what is read of a record.
func (d *servicenow) fields() string {
	return strings.Join([]string{
		"sys_id", "number", d.config.KeyField, "state", "hold_reason", "priority", "close_notes", "sys_created_on", "sys_created_by", "caller_id.user_name",
	}, ",")
}

// address returns that of a table, or of a record of it, with a query and those that every request has.
func (d *servicenow) address(table, id string, query url.Values) string {
	path := d.url + "/api/now/table/" + url.PathEscape(table)
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	query.Set("sysparm_display_value", "false")
	query.Set("sysparm_exclude_reference_link", "true")
	return path + "?" + query.Encode()
}

// authorized calls again, once, with a new token when the one that it carried was refused: such a call has changed nothing.
func authorized[T any](ctx context.Context, d *servicenow, call func() (T, error)) (T, error) {
	if d.tokens == nil {
		return call()
	}
	_, version, err := d.tokens.current(ctx)
	if err != nil {
		var none T
		return none, err
	}
	answer, err := call()
	if status(err) == http.StatusUnauthorized {
		d.tokens.drop(version)
		return call()
	}
	return answer, err
}

// rows reads records of a table.
func (d *servicenow) rows(ctx context.Context, table string, query url.Values) ([]snowRecord, error) {
	address := d.address(table, "", query)
	raw, err := authorized(ctx, d, func() ([]byte, error) { return d.link.get(ctx, address) })
	if err != nil {
		return nil, err
	}
	var rows []snowRecord
	return rows, d.result(raw, '[', &rows)
}

// row reads the case with that sys_id.
func (d *servicenow) row(ctx context.Context, ref string) (snowRecord, error) {
	if !snowID.MatchString(ref) {
		return nil, fmt.Errorf("it is no sys_id: %w", incident.ErrNotFound)
	}
	address := d.address(d.config.Table, ref, url.Values{"sysparm_fields": {d.fields()}})
	raw, err := authorized(ctx, d, func() ([]byte, error) { return d.link.get(ctx, address) })
	if status(err) == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", incident.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	var row snowRecord
	return row, d.result(raw, '{', &row)
}

// change changes a record, in one attempt, and returns it as it is afterwards.
func (d *servicenow) change(ctx context.Context, ref string, values map[string]string) (snowRecord, error) {
	if !snowID.MatchString(ref) {
		return nil, fmt.Errorf("it is no sys_id: %w", incident.ErrNotFound)
	}
	return d.write(ctx, http.MethodPatch, ref, values)
}

// write creates a record (POST, ref "") or changes one (PATCH).
func (d *servicenow) write(ctx context.Context, method, ref string, values map[string]string) (snowRecord, error) {
	body, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	address := d.address(d.config.Table, ref, url.Values{"sysparm_fields": {d.fields()}})
	answer, err := authorized(ctx, d, func() (reply, error) {
		return d.link.write(ctx, method, address, body, http.Header{"Content-Type": {"application/json"}})
	})
	if err != nil {
		return nil, err
	}
	var row snowRecord
	return row, d.result(answer.body, '{', &row, ErrUnknownOutcome)
}

// result reads the result of an answer, which begins with open. Its error is each of is.
func (d *servicenow) result(raw []byte, open byte, into any, is ...error) error {
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	err := json.Unmarshal(raw, &answer)
	if said := string(answer.Error); err == nil && said != "" && said != "null" {
		return d.link.failure(is, "ServiceNow took the request but says: %s", d.link.excerpt([]byte(said)))
	}
	if err != nil || len(answer.Result) == 0 || answer.Result[0] != open || json.Unmarshal(answer.Result, into) != nil {
		return d.link.failure(is, "%s answered no result but %q: check that url is that of the instance",
			secret.RedactURL(d.url), d.link.excerpt(raw))
	}
	return nil
}

// found returns the case that the record is.
func (d *servicenow) found(row snowRecord) (Case, error) {
	id := string(row["sys_id"])
	if !snowID.MatchString(id) {
		return Case{}, d.link.failure(nil, "the record %q has no sys_id", secret.Plain(string(row["number"]), maxActor))
	}
	c := Case{
		Ref: id, Number: cmp.Or(secret.Plain(string(row["number"]), maxActor), id), Key: secret.Plain(string(row[d.config.KeyField]), 2*maxActor),
		URL:   d.url + "/nav_to.do?uri=" + url.QueryEscape(d.config.Table+".do?sys_id="+id),
		State: d.state(row),
	}
	if n, err := strconv.Atoi(string(row["priority"])); err == nil && n >= 1 && n <= 5 {
		c.Priority = incident.Priority(min(n, 4)) // 5 is Planning
	}
	at, err := time.Parse(snowTime, string(row["sys_created_on"]))
	if err != nil {
		return Case{}, d.link.failure(nil, "the record %s has no sys_created_on: the account may not read it", c.Number)
	}
	c.Created = at.UTC()
	return c, nil
}

// state returns where a record stands.
func (d *servicenow) state(row snowRecord) incident.CaseState {
	state := d.stateOf(string(row["state"]), string(row["hold_reason"]))
	if string(row["state"]) == strconv.Itoa(d.config.States.Canceled) && strings.HasPrefix(string(row["close_notes"]), snowWithdrawn) {
		return incident.CaseWithdrawn
	}
	return state
}

// stateOf returns what a state and hold reason mean. A state of the instance's own is one in which somebody works.
func (d *servicenow) stateOf(state, holdReason string) incident.CaseState {
	n, err := strconv.Atoi(state)
	reason, _ := strconv.Atoi(holdReason)
	states := d.config.States
	switch {
	case err != nil || n == states.New:
		return incident.CaseNew
	case n == states.OnHold && slices.Contains(d.config.HoldReasons, reason):
		return incident.CaseHeld
	case n == states.Resolved || n == states.Closed || n == states.Canceled:
		return incident.CaseResolved
	}
	return incident.CaseAcknowledged
}

// lookup returns the sys_id of the only record of table of which one of the fields is exactly name; "" when there is none, or
// more than one. What was found is kept, as a token is.
func (d *servicenow) lookup(ctx context.Context, table, name string, fields ...string) (string, error) {
	if snowID.MatchString(name) {
		return name, nil
	}
	if name == "" || strings.ContainsAny(name, "^\r\n") {
		return "", nil
	}
	query := strings.Join(fields, "="+name+"^OR") + "=" + name + "^active=true"
	d.mu.Lock()
	id := d.known[table+"?"+query]
	d.mu.Unlock()
	if id != "" {
		return id, nil
	}
	rows, err := d.rows(ctx, table, url.Values{
		"sysparm_query": {query}, "sysparm_fields": {"sys_id," + strings.Join(fields, ",")}, "sysparm_limit": {"10"},
	})
	if err != nil { // nothing was written: whatever it is, its outcome is known
		return "", d.link.failure([]error{ctx.Err()}, "look up %q in %s: %v", name, table, err)
	}
	rows = slices.DeleteFunc(rows, func(row snowRecord) bool {
		return !snowID.MatchString(string(row["sys_id"])) ||
			!slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(string(row[f]), name) })
	})
	if len(rows) != 1 {
		return "", nil
	}
	id = string(rows[0]["sys_id"])
	d.mu.Lock()
	d.known[table+"?"+query] = id
	d.mu.Unlock()
	return id, nil
}

func (d *servicenow) fail(verb, what string, err error) error {
	return fmt.Errorf("desk %q: %s %s: %w", d.name, verb, secret.Plain(what, 2*maxActor), err)
}
