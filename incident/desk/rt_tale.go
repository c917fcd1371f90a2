package desk

import (
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// rtTeller goes through a ticket's history once, oldest first.
type rtTeller struct {
	d     *rt
	t     rtTicket
	rows  []rtRow
	roles []rtRole

	state incident.CaseState
	last  time.Time
	rtTale
}

// tell returns what the rows, whose creators have those roles, mean.
func (d *rt) tell(t rtTicket, rows []rtRow, roles []rtRole) rtTale {
	h := rtTeller{d: d, t: t, rows: rows, roles: roles, state: incident.CaseNew}
	for i, r := range rows {
		switch {
		case r.Type == "Status":
			h.status(i)
		case r.Field == "Owner":
			h.owner(i)
		case r.said():
			h.message(i)
		case r.Type == "CustomField" && roles[i] == rtPerson && r.New != "" && string(r.Field) == t.fieldID(d.RectifiedField):
			h.step(i, i, incident.Transition{Text: "temporarily rectified: " + d.RectifiedField + " is " + string(r.New), Rectified: true})
		case r.Type == "SystemError" && d.MailsCustomer:
			h.step(i, i, incident.Transition{Text: "Request Tracker could not send a mail about this case, see its log: " + string(r.Data)})
		}
	}
	return h.rtTale
}

// step tells that row i, which row by explains, is a step.
func (h *rtTeller) step(i, by int, t incident.Transition) {
	id := int64(0)
	for _, digit := range h.rows[i].ID {
		id = id*10 + int64(digit-'0')
	}
	t.At = h.rows[i].at.Add(time.Duration(id % 1e9))
	if !t.At.After(h.last) { // a clock that was set back hides nothing
		t.At = h.last.Add(1)
	}
	h.last = t.At
	t.Actor, t.Text = h.rows[by].Creator.name(), secret.Plain(t.Text, maxReason)
	if t.Actor == "" || strings.EqualFold(t.Actor, incident.ActorAgent) {
		t.Actor = rtSystem
	}
	s := rtStep{Transition: t}
	if h.rows[by].said() && t.Text == "" {
		s.message, s.Text = h.rows[by].ID, secret.Plain(strings.TrimSpace(string(h.rows[by].Data)), maxReason)
	}
	h.steps = append(h.steps, s)
}

// cause returns the row that made Request Tracker itself write row i: the message just before it. i when nobody did.
func (h *rtTeller) cause(i int) int {
	if h.roles[i] != rtItself {
		return i
	}
	for j, r := range slices.Backward(h.rows[:i]) {
		if !r.beside(h.rows[i]) {
			break
		}
		if r.said() {
			return j
		}
	}
	return i
}

// status follows a change of status. Work that begins because the customer or the agent wrote acknowledges nothing.
func (h *rtTeller) status(i int) {
	by := h.cause(i)
	to, was := h.d.class(h.rows[i].New), h.state
	if h.roles[by] == rtPerson && to != incident.CaseNew {
		h.taken = true
	}
	if to == incident.CaseAcknowledged && !h.taken {
		to = incident.CaseNew
	}
	h.state = to
	if to == was || h.roles[by] == rtAgent {
		return
	}
	t := incident.Transition{To: to}
	if to == incident.CaseHeld {
		var said int
		if t.Text, said = h.reason(i); t.Text == "" && said >= 0 {
			by = said
		}
	}
	h.step(i, by, t)
}

// reason returns why row i put the ticket on hold: what the field for it was filled with at that moment, or the row of the
// message that came with it, -1 where there is none.
func (h *rtTeller) reason(i int) (text string, said int) {
	said = -1
	id := h.t.fieldID(h.d.HoldReasonField)
	for j, r := range h.rows {
		switch {
		case r.Creator.name() != h.rows[i].Creator.name() || !r.beside(h.rows[i]):
		case id != "" && r.Type == "CustomField" && string(r.Field) == id && r.New != "":
			text = string(r.New)
		case r.said() && j < i:
			said = j
		}
	}
	if text == "" && h.d.class(h.t.Status) == incident.CaseHeld && !slices.ContainsFunc(h.rows[i+1:], func(r rtRow) bool { return r.Type == "Status" }) {
		text = h.t.value(h.d.HoldReasonField) // filled in before or since
	}
	return text, said
}

// owner follows a change of the owner: somebody who takes a ticket, or gives it to a colleague, has seen it.
func (h *rtTeller) owner(i int) {
	if h.rows[i].Type == "SetWatcher" || h.roles[i] != rtPerson || h.rows[i].New == h.rows[i].Old || h.freed(i) {
		return
	}
	h.taken = true
	if h.state == incident.CaseNew {
		h.state = incident.CaseAcknowledged
		h.step(i, i, incident.Transition{To: h.state})
	}
}

// freed reports whether row i, the newest change of an owner that nobody is now, gave the ticket back.
func (h *rtTeller) freed(i int) bool {
	return h.t.Owner.name() == rtNobody && !slices.ContainsFunc(h.rows[i+1:], func(r rtRow) bool { return r.Field == "Owner" })
}

// message follows a comment or correspondence. Whoever answers the customer has begun to work.
func (h *rtTeller) message(i int) {
	switch h.roles[i] {
	case rtAgent, rtItself:
	case rtCustomer:
		h.step(i, i, incident.Transition{Customer: true})
	case rtPerson:
		var t incident.Transition
		if h.rows[i].Type == "Correspond" {
			h.taken = true
			if h.state == incident.CaseNew {
				h.state = incident.CaseAcknowledged
				t.To = h.state
			}
		}
		h.step(i, i, t)
	}
}
