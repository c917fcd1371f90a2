package desk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// Lengths of ServiceNow's fields, in characters.
const (
	maxSnowTitle = 160
	maxSnowBody  = 4000
)

// snowWithdrawn begins the close notes of a withdrawn case.
const snowWithdrawn = "Withdrawn by firstcall: "

// snowFindLimit bounds the cases of a key: doubles are few.
const snowFindLimit = 50

// snowCode is markup that makes a journal show text as HTML.
var snowCode = regexp.MustCompile(`(?i)\[(/?)code\]`)

func (d *servicenow) Find(ctx context.Context, key string) ([]Case, error) {
	if key == "" || len(key) > incident.MaxKey {
		return nil, d.fail("find", key, errEmptyKey)
	}
	if strings.ContainsAny(key, "^\r\n") {
		return nil, d.fail("find", key, errors.New("no key has a ^, which divides the terms of a query"))
	}
	rows, err := d.rows(ctx, d.config.Table, url.Values{
		"sysparm_query": {d.config.KeyField + "=" + key + "^ORDERBYsys_created_on"}, "sysparm_fields": {d.fields()}, "sysparm_limit": {strconv.Itoa(snowFindLimit)},
	})
	if err != nil {
		return nil, d.fail("find", key, err)
	}
	var cases []Case
	for _, row := range rows {
		// A term with an unknown field is left out of a query: it then matches every record.
		if !strings.EqualFold(string(row[d.config.KeyField]), key) {
			err := d.link.failure(nil, "ServiceNow answered with records of other keys: check that %s has the field %s and that the account may read it", d.config.Table, d.config.KeyField)
			return nil, d.fail("find", key, err)
		}
		c, err := d.found(row)
		if err != nil {
			return nil, d.fail("find", key, err)
		}
		if c.Key == key && c.State != incident.CaseWithdrawn {
			cases = append(cases, c)
		}
	}
	slices.SortStableFunc(cases, Older)
	return cases, nil
}

func (d *servicenow) Open(ctx context.Context, f Fields) (Case, error) {
	if f.Key == "" || len(f.Key) > incident.MaxKey || strings.ContainsAny(f.Key, "^\r\n") {
		return Case{}, d.fail("open", f.Key, errEmptyKey)
	}
	values, err := d.wanted(ctx, f)
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	row, err := d.write(ctx, http.MethodPost, "", values)
	if errors.Is(err, errSnowTaken) {
		return d.winner(ctx, f.Key, err)
	}
	if err != nil {
		return Case{}, d.fail("open", f.Key, err)
	}
	c, err := d.found(row)
	if err == nil && c.Key != "" && c.Key != f.Key {
		err = d.link.failure(nil, "it answered with another record, of key %q", c.Key)
	}
	if err != nil {
		return Case{}, d.fail("open", f.Key, fmt.Errorf("%w (%w)", err, ErrUnknownOutcome))
	}
	return c, nil
}

// winner returns the case that holds the unique key.
func (d *servicenow) winner(ctx context.Context, key string, refused error) (Case, error) {
	cases, err := d.Find(ctx, key)
	if err != nil {
		return Case{}, err
	}
	if len(cases) == 0 {
		return Case{}, d.fail("open", key, fmt.Errorf("a withdrawn record, or one that the account may not read, holds the key: %w", refused))
	}
	return cases[0], nil
}

// wanted returns what a new record shall hold.
func (d *servicenow) wanted(ctx context.Context, f Fields) (map[string]string, error) {
	values := maps.Clone(f.Extra)
	if values == nil {
		values = map[string]string{}
	}
	story := body(f)
	maps.Copy(values, d.about(f))
	values[d.config.KeyField] = f.Key
	values["description"] = cut(story, maxSnowBody)
	if d.config.KeyField == "correlation_id" {
		values["correlation_display"] = "firstcall"
	}
	var notes []string
	if values["description"] != story {
		notes = append(notes, story)
	}
	if f.Follows != "" { // no child of it: closing a parent closes its children
		notes = append(notes, "This follows "+secret.Plain(f.Follows, maxActor)+", which was resolved while the fault lasted.")
	}
	caller := d.config.Caller
	if caller == "customer" {
		caller = f.Customer.Email
	}
	for _, reference := range []struct {
		field, name, table string
		by                 []string
	}{
		{"caller_id", caller, "sys_user", []string{"user_name", "email"}},
		{"assignment_group", d.config.AssignmentGroup, "sys_user_group", []string{"name"}},
	} {
		if reference.name == "" {
			continue
		}
		id, err := d.lookup(ctx, reference.table, reference.name, reference.by...)
		if err != nil {
			return nil, err
		}
		if id != "" {
			values[reference.field] = id
		} else { // better a case without it than none
			notes = append(notes, fmt.Sprintf("%s is not set: %q is not one record of %s.", reference.field, secret.Plain(reference.name, maxActor), reference.table))
		}
	}
	if len(notes) > 0 {
		values["work_notes"] = journal(strings.Join(notes, "\n\n"))
	}
	return values, nil
}

// about returns title and priority.
func (d *servicenow) about(f Fields) map[string]string {
	impact, urgency := d.config.ImpactUrgency.of(f.Priority)
	return map[string]string{"short_description": cut(secret.Plain(f.Title, maxReason), maxSnowTitle), "impact": impact, "urgency": urgency}
}

func (d *servicenow) Get(ctx context.Context, ref string) (Case, error) {
	row, err := d.row(ctx, ref)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	c, err := d.found(row)
	if err != nil {
		return Case{}, d.fail("read", ref, err)
	}
	return c, nil
}

func (d *servicenow) Update(ctx context.Context, ref string, f Fields, notes []Note) error {
	values := d.about(f)
	for _, n := range notes {
		name := "work_notes"
		if n.Public {
			name = "comments"
		}
		values[name] = strings.TrimPrefix(values[name]+"\n\n"+journal(n.Text), "\n\n")
	}
	if _, err := d.change(ctx, ref, values); err != nil {
		return d.fail("update", ref, err)
	}
	return nil
}

func (d *servicenow) Resolve(ctx context.Context, ref string, _ Fields, note string) error {
	return d.end(ctx, "resolve", ref, d.config.States.Resolved, note)
}

func (d *servicenow) Withdraw(ctx context.Context, ref, winner string) error {
	note := snowWithdrawn + "a double of " + secret.Plain(winner, maxActor) + ", which goes on."
	return d.end(ctx, "withdraw", ref, d.config.States.Canceled, note)
}

// end brings a live case to state.
func (d *servicenow) end(ctx context.Context, verb, ref string, state int, note string) error {
	row, err := d.row(ctx, ref)
	if err != nil {
		return d.fail(verb, ref, unsure(err))
	}
	if !d.state(row).Live() {
		return nil
	}
	row, err = d.change(ctx, ref, map[string]string{
		"state": strconv.Itoa(state), "close_code": d.config.CloseCode, "close_notes": cut(journal(note), maxSnowBody),
	})
	if err == nil && d.state(row).Live() {
		err = d.link.failure(nil, "ServiceNow left it in state %q: check states.* and the rules of the table", string(row["state"]))
	}
	if err != nil {
		return d.fail(verb, ref, err)
	}
	return nil
}

// Reopen puts a resolved case in progress again.
func (d *servicenow) Reopen(ctx context.Context, ref string, _ Fields, note string) error {
	row, err := d.row(ctx, ref)
	if err != nil {
		return d.fail("reopen", ref, unsure(err))
	}
	values := map[string]string{"work_notes": journal(note)}
	if d.config.MailsCustomer {
		values = map[string]string{"comments": journal(note)}
	}
	if !d.state(row).Live() {
		values["state"] = strconv.Itoa(d.config.States.InProgress)
	}
	row, err = d.change(ctx, ref, values)
	if err == nil && !d.state(row).Live() {
		err = d.link.failure(nil, "ServiceNow left it in state %q: a closed case may be closed for good", string(row["state"]))
	}
	if err != nil {
		return d.fail("reopen", ref, err)
	}
	return nil
}

// unsure makes the error of a change whose time ran out one of unknown outcome: an earlier request of it may have worked.
func unsure(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnknownOutcome) {
		return fmt.Errorf("%w (%w)", err, ErrUnknownOutcome)
	}
	return err
}

// journal returns text, several lines, that no journal takes for markup.
func journal(text string) string {
	return snowCode.ReplaceAllString(body(Fields{Body: text}), "[ ${1}code ]")
}

// cut returns at most limit characters of text, with an ellipsis where there was more.
func cut(text string, limit int) string {
	characters := []rune(text)
	if len(characters) <= limit {
		return text
	}
	return string(characters[:limit-3]) + "..."
}
