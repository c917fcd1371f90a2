package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// CaseNotes is the channel of status notes in the case, from where a desk that mails the customer itself does so.
const CaseNotes = "case notes"

// mails counts what was due to the customer in the time, by channel.
func (b *builder) mails() []Mails {
	channels := map[string]*Mails{}
	for _, t := range b.tales {
		if !t.Incident.Class.OpensCase() {
			continue
		}
		for channel, list := range t.channels() {
			m := channels[channel]
			if m == nil {
				m = &Mails{Channel: channel}
				channels[channel] = m
			}
			b.countMails(m, t, list)
		}
	}
	all := []Mails{}
	for _, m := range channels {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(x, y Mails) int { return cmp.Compare(x.Channel, y.Channel) })
	return slices.DeleteFunc(all, func(m Mails) bool { return m.Due+m.First+m.Closing == 0 })
}

// channels returns the notices to the customer by channel. The id of a notice names its incident, its notifier and its audience.
func (t *Tale) channels() map[string][]incident.Notice {
	all := map[string][]incident.Notice{}
	for _, n := range t.Notices {
		rest, ours := strings.CutPrefix(n.ID, t.Incident.ID+"."+n.Notifier+".")
		if ours && (strings.HasPrefix(rest, "customer.") || n.Notifier == CaseNotes) {
			all[n.Notifier] = append(all[n.Notifier], n)
		}
	}
	return all
}

// countMails adds one incident's. A status is due every so often from when the customer was told or, where that is later, break/fix
// commenced, for as long as the incident is open at a priority that gets them.
func (b *builder) countMails(m *Mails, t *Tale, list []incident.Notice) {
	in := func(at time.Time) bool { return !at.Before(b.in.From) && at.Before(b.until) }
	var told time.Time
	sent := map[int]incident.Notice{}
	for _, n := range list {
		switch n.Kind {
		case incident.NoticeStatus:
			sent[n.Seq] = n
		case incident.NoticeOpened, incident.NoticeResolved:
			if n.Kind == incident.NoticeOpened {
				told = n.Due
			}
			if !in(n.Due) {
				continue
			}
			if n.Kind == incident.NoticeOpened {
				m.First++
			} else {
				m.Closing++
			}
			if n.State != incident.NoticeSent {
				m.Unsent++
			}
		default:
		}
	}
	if told.IsZero() {
		told = t.caseOpened()
	}
	if told.IsZero() || b.in.StatusEvery <= 0 {
		return
	}
	end := earlier(b.until, b.in.Made)
	if !t.Incident.Open() {
		end = earlier(end, t.Incident.Closed)
	}
	from := later(told, t.Incident.Commencement)
	first := max(1, int(b.in.From.Sub(from)/b.in.StatusEvery))
	for k := first; ; k++ {
		due := from.Add(time.Duration(k) * b.in.StatusEvery)
		if !due.Before(end) {
			return
		}
		if in(due) && slices.Contains(b.in.StatusFor, t.priorityAt(due)) {
			m.status(sent[k], due, b.in.StatusEvery/graceShare)
		}
	}
}

// status counts a status mail that was due then.
func (m *Mails) status(n incident.Notice, due time.Time, grace time.Duration) {
	m.Due++
	if n.State != incident.NoticeSent || n.Sent.IsZero() {
		m.Missing++
		return
	}
	late := max(0, n.Sent.Sub(due))
	m.Latest = max(m.Latest, Seconds(late))
	if late > grace {
		m.Late++
		return
	}
	m.OnTime++
}

// caseOpened returns when the case was first known to exist.
func (t *Tale) caseOpened() time.Time {
	for _, e := range t.Timeline {
		if e.Kind == incident.EventCaseOpened {
			return e.At
		}
	}
	return time.Time{}
}

// priorityAt returns the priority that an incident had at an instant, by its timeline.
func (t *Tale) priorityAt(at time.Time) incident.Priority {
	p := t.Incident.Priority
	known := false
	for _, e := range t.Timeline {
		if e.Kind != incident.EventOpened && e.Kind != incident.EventRaised && e.Kind != incident.EventLowered {
			continue
		}
		if e.At.After(at) && known {
			break
		}
		p, known = e.Priority, true
	}
	return p
}
