package desk

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds on what is read of a case's history at once.
const (
	snowPage  = 50 // rows: each may hold a long comment
	snowPages = 20
)

// journalMark stands in an audit row of a journal field in place of a value before.
const journalMark = "JOURNAL FIELD ADDITION"

// snowHoldReasons are those of an instance as it is delivered.
var snowHoldReasons = map[string]string{"1": "Awaiting Caller", "3": "Awaiting Problem", "4": "Awaiting Vendor", "5": "Awaiting Change"}

// snowStep is one update of a record by one user: all audit rows with one checkpoint.
type snowStep struct {
	at         time.Time // whole seconds
	checkpoint int       // rises with every update of the record
	user       string
	now, was   map[string]string // by field
}

// Transitions returns what people did, from sys_audit. ServiceNow's times are whole seconds: the number of the update, which
// rises, makes the nanoseconds.
func (d *servicenow) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	row, err := d.row(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	steps, err := d.steps(ctx, ref, since)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	agents := []string{string(row["sys_created_by"]), d.config.User}
	caller := string(row["caller_id.user_name"])
	state, reason := before(steps, "state", string(row["state"])), before(steps, "hold_reason", string(row["hold_reason"]))
	var all []incident.Transition
	for _, s := range steps {
		was := d.stateOf(state, reason)
		moved := s.sets("state", &state)
		rehold := s.sets("hold_reason", &reason)
		if s.user == "" || slices.Contains(agents, s.user) {
			continue
		}
		held := state == strconv.Itoa(d.config.States.OnHold)
		for i, t := range d.told(s, was, d.stateOf(state, reason), moved || held && rehold, holdText(held, reason)) {
			t.At = s.at.Add(time.Duration(s.checkpoint*8 + i + 1))
			t.Actor, t.Customer = secret.Plain(s.user, maxActor), s.user == caller && caller != ""
			if t.At.After(since) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// told returns what a step of a person means, without who and when.
func (d *servicenow) told(s snowStep, was, is incident.CaseState, moved bool, hold string) []incident.Transition {
	var all []incident.Transition
	notes := []string{s.now["comments"], s.now["work_notes"]}
	switch {
	case moved && is == incident.CaseHeld:
		words := slices.DeleteFunc([]string{hold, keepLine(notes[0]), keepLine(notes[1])}, func(w string) bool { return w == "" })
		return append(all, incident.Transition{To: is, Text: strings.Join(words, ": ")})
	case moved && hold != "": // for what is not the customer's the clock runs on
		to := is
		if was == is {
			to = ""
		}
		all = append(all, incident.Transition{To: to, Text: "on hold, but not for the customer: " + hold})
	case moved && was != is:
		all = append(all, incident.Transition{To: is, Text: keepLine(s.now["close_notes"])})
	case s.now["assigned_to"] != "" && is == incident.CaseNew:
		all = append(all, incident.Transition{To: incident.CaseAcknowledged, Text: "assigned to a person"})
	}
	for _, note := range notes {
		if note != "" {
			all = append(all, incident.Transition{Text: keepLine(note)})
		}
	}
	return all
}

// holdText names the reason of a hold; "" when there is none.
func holdText(held bool, reason string) string {
	if !held {
		return ""
	}
	return cmp.Or(snowHoldReasons[reason], "hold reason "+secret.Plain(cmp.Or(reason, "unknown"), 40))
}

// keepLine returns a foreign text on one line, bounded.
func keepLine(text string) string { return secret.Plain(text, maxReason) }

// sets takes over the field's value of after the step, and reports whether the step changed it.
func (s snowStep) sets(name string, value *string) bool {
	now, ok := s.now[name]
	if ok {
		*value = now
	}
	return ok && now != s.was[name]
}

// before returns the field's value before the first step that changed it.
func before(steps []snowStep, name, now string) string {
	for _, s := range steps {
		if was, ok := s.was[name]; ok {
			return was
		}
	}
	return now
}

// steps reads the updates of a record since the second in which since lies, oldest first.
func (d *servicenow) steps(ctx context.Context, ref string, since time.Time) ([]snowStep, error) {
	query := "tablename=" + d.config.Table + "^documentkey=" + ref +
		"^fieldnameINstate,hold_reason,assigned_to,comments,work_notes,close_notes^ORDERBYDESCsys_created_on^ORDERBYDESCrecord_checkpoint"
	var steps []snowStep
	for page := range snowPages {
		rows, err := d.rows(ctx, "sys_audit", url.Values{
			"sysparm_query": {query}, "sysparm_limit": {strconv.Itoa(snowPage)}, "sysparm_offset": {strconv.Itoa(page * snowPage)},
			"sysparm_fields": {"documentkey,fieldname,oldvalue,newvalue,user,sys_created_by,sys_created_on,record_checkpoint"},
		})
		if err != nil {
			if status(err) == http.StatusForbidden {
				err = d.link.failure([]error{err}, "the account may not read sys_audit: give it the right, or say history: false: %v", err)
			}
			return nil, err
		}
		older := false
		for _, row := range rows {
			at, err := time.Parse(snowTime, string(row["sys_created_on"]))
			if err != nil || string(row["documentkey"]) != ref {
				continue
			}
			if older = at.Before(since.Truncate(time.Second)); older {
				break
			}
			steps = addRow(steps, row, at.UTC())
		}
		if older || len(rows) < snowPage {
			break
		}
	}
	slices.SortStableFunc(steps, func(a, b snowStep) int { return cmp.Or(a.at.Compare(b.at), a.checkpoint-b.checkpoint) })
	return steps, nil
}

// addRow adds an audit row to the step that it is part of.
func addRow(steps []snowStep, row snowRecord, at time.Time) []snowStep {
	checkpoint, err := strconv.Atoi(string(row["record_checkpoint"]))
	if err != nil || checkpoint < 0 || checkpoint > 1e8 { // nanoseconds of a second, at 8 for each step
		checkpoint = 0
	}
	user := cmp.Or(string(row["user"]), string(row["sys_created_by"]))
	n := slices.IndexFunc(steps, func(s snowStep) bool { return s.at.Equal(at) && s.checkpoint == checkpoint && s.user == user })
	if n < 0 {
		n = len(steps)
		steps = append(steps, snowStep{at: at, checkpoint: checkpoint, user: user, now: map[string]string{}, was: map[string]string{}})
	}
	name, was, now := string(row["fieldname"]), string(row["oldvalue"]), string(row["newvalue"])
	if now == journalMark { // some releases keep the text on the other side
		was, now = now, was
	}
	steps[n].was[name], steps[n].now[name] = was, now
	return steps
}
