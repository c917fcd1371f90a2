package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// Bounds on what is read of an incident's progress trail.
const (
	topdeskPage  = 100
	topdeskPages = 10
)

// topdeskMoment is how far the times of one change's action and state may lie apart.
const topdeskMoment = 2 * time.Second

// topdeskEntry is an entry of a progress trail: a request or an action. Files and mails stand there as well, without a text.
type topdeskEntry struct {
	ID       string       `json:"id"`
	Memo     string       `json:"memoText"`
	Plain    string       `json:"plainText"`
	At       topdeskTime  `json:"entryDate"`
	Operator *topdeskItem `json:"operator"`
	Person   *topdeskItem `json:"person"`
}

func (e topdeskEntry) text() string {
	return cmp.Or(secret.Plain(e.Plain, maxReason), unmarked(e.Memo))
}

// Transitions returns the entries of the progress trail, and the steps that an incident dates: the reaction, the hold that lasts,
// the end. TOPdesk shows no history of its statuses, so where a step has no date of its own it is the last change's.
// The agent is whoever created the incident.
func (d *topdesk) Transitions(ctx context.Context, ref string, since time.Time) ([]incident.Transition, error) {
	i, err := d.incident(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	trail, err := d.trail(ctx, ref)
	if err != nil {
		return nil, d.fail("history", ref, err)
	}
	var all []incident.Transition
	for _, e := range trail {
		t := incident.Transition{At: e.At.Time, Text: e.text()}
		switch {
		case e.Person != nil:
			t.Actor, t.Customer = cmp.Or(e.Person.name(), "the caller"), true
		case e.Operator != nil && !e.Operator.same(i.Creator):
			t.Actor = cmp.Or(e.Operator.name(), topdeskSomebody)
		}
		all = append(all, t)
	}
	all = append(all, d.steps(i, trail)...)
	slices.SortStableFunc(all, func(a, b incident.Transition) int { return a.At.Compare(b.At) })
	risingSteps(all)
	return stepsAfter(all, since), nil
}

const topdeskSomebody = "an operator"

// steps returns what the incident itself says of its state, oldest first. The agent never reacts and never holds; it may end.
func (d *topdesk) steps(i topdeskIncident, trail []topdeskEntry) []incident.Transition {
	var all []incident.Transition
	who := cmp.Or(i.Operator.name(), topdeskSomebody)
	if !i.Modifier.same(i.Creator) {
		who = cmp.Or(i.Modifier.name(), who)
	}
	if i.Responded && !i.RespondedAt.IsZero() {
		all = append(all, incident.Transition{To: incident.CaseAcknowledged, At: i.RespondedAt.Time, Actor: cmp.Or(i.Operator.name(), who), Text: "responded"})
	}
	t := incident.Transition{To: d.stateOf(i), At: i.ModifiedAt.Time, Actor: who, Text: i.Status.name()}
	dated := false
	switch {
	case t.To == incident.CaseNew:
		return all
	case t.To == incident.CaseHeld && i.OnHold && !i.OnHoldSince.IsZero():
		t.At, dated = i.OnHoldSince.Time, true
	case !t.To.Live():
		for _, end := range []topdeskTime{i.CompletedAt, i.ClosedAt} {
			if !end.IsZero() && !dated {
				t.At, dated = end.Time, true
			}
		}
		if i.endedByAgent(t.At, trail) {
			return all
		}
	}
	if t.At.IsZero() || !dated && i.Modifier.same(i.Creator) {
		return all // the last change is the agent's: when the state came about is not known, and reading it back shows it
	}
	for _, e := range trail { // written with the change
		if e.Person == nil && !e.Operator.same(i.Creator) && near(e.At.Time, t.At) {
			t.Text += ": " + e.text()
			break
		}
	}
	return append(all, t)
}

// endedByAgent reports whether the agent ended the incident at that time: it says so in an action with the same change.
func (i topdeskIncident) endedByAgent(at time.Time, trail []topdeskEntry) bool {
	if near(i.ModifiedAt.Time, at) && !i.Modifier.same(i.Creator) {
		return false
	}
	return slices.ContainsFunc(trail, func(e topdeskEntry) bool {
		return e.Person == nil && e.Operator.same(i.Creator) && near(e.At.Time, at)
	})
}

func near(a, b time.Time) bool { return a.Sub(b).Abs() < topdeskMoment }

// trail reads the progress trail.
func (d *topdesk) trail(ctx context.Context, ref string) ([]topdeskEntry, error) {
	var all []topdeskEntry
	for page := range topdeskPages {
		address := fmt.Sprintf("%s/tas/api/incidents/id/%s/progresstrail?start=%d&page_size=%d", d.url, ref, page*topdeskPage, topdeskPage)
		raw, err := d.link.get(ctx, address)
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			break
		}
		var list []topdeskEntry
		if json.Unmarshal(raw, &list) != nil || list == nil {
			return nil, d.strange(address, raw)
		}
		for _, e := range list {
			if !e.At.IsZero() && e.text() != "" && (e.Operator != nil || e.Person != nil) {
				all = append(all, e)
			}
		}
		if len(list) < topdeskPage {
			break
		}
	}
	return all, nil
}
