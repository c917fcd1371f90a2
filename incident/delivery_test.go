package incident

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDeliveries(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	open := Incident{ID: "fc-a", Class: Availability, Opened: at(0), Updated: at(2)}
	over := open
	over.Ended, over.Closed = at(8), at(9)
	live := Case{Incident: "fc-a", Desk: "soc", Ref: "1", Number: "SOC-1", State: CaseNew}
	failing := live
	failing.Failures, failing.FailingSince, failing.LastError, failing.NextTry = 3, at(4), "503", at(11)
	with := func(c Case, change func(*Case)) Case { change(&c); return c }
	for _, c := range []struct {
		name     string
		incident Incident
		cases    []Case
		notices  []Notice
		want     string // action, to whom, minute, attempts
	}{
		{"nothing", open, []Case{live}, nil, ""},
		{"a case that does not exist", open, []Case{{Desk: "soc"}}, nil, "create soc 0 0"},
		{"a short outage that has no case yet", over, []Case{{Desk: "soc"}}, nil, "create soc 0 0"},
		{"a case that follows another", open, []Case{{Desk: "soc", Earlier: []EarlierCase{{Resolved: at(3)}, {Resolved: at(5)}}}}, nil, "create soc 5 0"},
		{"an update fails", open, []Case{failing}, nil, "update soc 4 3"},
		{"an update fails, in an old row", open, []Case{with(failing, func(c *Case) { c.FailingSince = time.Time{} })}, nil, "update soc 2 3"},
		{"it cannot be opened again", open, []Case{with(failing, func(c *Case) { c.State = CaseResolved })}, nil, "reopen soc 4 3"},
		{"it is to be resolved", over, []Case{live}, nil, "resolve soc 9 0"},
		{"it cannot be resolved", over, []Case{failing}, nil, "resolve soc 9 3"},
		{"it is resolved and not verified", over, []Case{with(live, func(c *Case) { c.State = CaseResolved })}, nil, ""},
		{"it waits for the time to be resolved", over, []Case{with(live, func(c *Case) { c.GoodNoted = at(9) })}, nil, ""},
		{"it is settled", over, []Case{with(live, func(c *Case) { c.Settled = true })}, nil, ""},
		{"a fallback is used", open, []Case{with(failing, func(c *Case) { c.State, c.Number = CaseWanted, "" }), with(live, func(c *Case) { c.Desk = "mailbox" })}, nil, "create soc 0 3"},
		{
			"notices", open,
			[]Case{failing},
			[]Notice{
				{Notifier: "chat", Kind: NoticeOpened, Due: at(1), State: NoticeSent},
				{Notifier: "phone", Kind: NoticeOpened, Due: at(1), State: NoticeFailed, Failures: 3, NextTry: at(6)},
				{Notifier: "mail", Kind: NoticeStatus, Due: at(6), Failures: 1},
				{Notifier: "mail", Kind: NoticeStatus, Due: at(40)},
				{Notifier: "chat", Kind: NoticeStatus, Due: at(2), State: NoticeSuperseded},
			},
			"opened phone 1 3 given up, update soc 4 3, status mail 6 1",
		},
	} {
		var got []string
		for _, d := range Deliveries(c.incident, c.cases, c.notices, at(10)) {
			text := strings.Join([]string{d.Action, d.Desk + d.Notifier, strconv.Itoa(int(d.Since.Sub(start) / time.Minute)), strconv.Itoa(d.Attempts)}, " ")
			if d.GivenUp {
				text += " given up"
			}
			if d.GivenUp && !d.NextTry.IsZero() {
				t.Errorf("%s: given up, and tried again at %s", c.name, d.NextTry)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
	}
}
