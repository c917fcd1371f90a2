package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/incident"
)

var planned = planning{
	primary: "soc", statusEvery: 30 * time.Minute, statusFor: []incident.Priority{incident.P1, incident.P2, incident.P3},
	routes: []route{
		{notifier: "mail", audience: toCustomer},
		{notifier: "mail", audience: toOnCall},
		{notifier: "partner", audience: toFunctional},
		{notifier: "phone", audience: toOnCall, priorities: []incident.Priority{incident.P1}},
		{notifier: caseNotifier, audience: toCase},
	},
}

func kindsOf(notices []incident.Notice, r route) string {
	var list []string
	for _, n := range notices {
		if n.ID == r.id(n.Incident, n.Kind, int64(n.Seq)) {
			list = append(list, fmt.Sprintf("%s@%s", n.Kind, n.Due.Format("15:04")))
		}
	}
	return strings.Join(list, " ")
}

// A status is due every thirty minutes of real time, whatever the clocks on the wall do.
func TestStatusOverAChangeOfTheClocks(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	for _, night := range []time.Time{
		time.Date(2026, 3, 29, 1, 10, 0, 0, zone),  // 02:00 becomes 03:00
		time.Date(2026, 10, 25, 1, 40, 0, 0, zone), // 03:00 becomes 02:00
	} {
		s := situation{incident: incident.Incident{ID: "i", Class: incident.Availability, Priority: incident.P2, Opened: night, Commencement: night}}
		s.cases = []incident.Case{{Incident: "i", Desk: "soc", Number: "SOC-1", State: incident.CaseNew}}
		s.timeline = []incident.Event{{Kind: incident.EventCaseOpened, Actor: "soc", At: night}}
		for s.now = night; s.now.Sub(night) < 4*time.Hour; s.now = s.now.Add(time.Minute) {
			s.notices = append(s.notices, plan(s, planned)...)
		}
		want := night.Add(30 * time.Minute)
		count := 0
		for _, n := range s.notices {
			if n.Notifier != "mail" || n.Kind != incident.NoticeStatus {
				continue
			}
			count++
			if !n.Due.Equal(want) || n.Seq != count {
				t.Errorf("status %d is due %s, want %s", n.Seq, n.Due.In(zone), want)
			}
			want = want.Add(30 * time.Minute)
		}
		if count != 7 {
			t.Errorf("%d statuses in four hours", count)
		}
	}
}

// Holds and reactions are those of the primary desk, and holds are the customer's matter.
func TestPlanOfHolds(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 10, minute, 0, 0, time.UTC) }
	s := situation{now: at(29), incident: incident.Incident{ID: "i", Class: incident.Availability, Priority: incident.P2, Opened: at(0), Commencement: at(0)}}
	s.cases = []incident.Case{
		{Desk: "archive", Number: "A-1", State: incident.CaseHeld, Holds: []incident.Hold{{From: at(5)}}},
		{Desk: "soc", Number: "S-1", State: incident.CaseAcknowledged, Acknowledged: at(3), Holds: []incident.Hold{{From: at(10), To: at(15)}}},
	}
	for _, e := range []struct {
		minute int
		kind   incident.EventKind
	}{{1, incident.EventCaseOpened}, {3, incident.EventAcknowledged}, {4, incident.EventAcknowledged}, {5, incident.EventHeld}, {10, incident.EventHeld}, {15, incident.EventResumed}, {16, incident.EventRaised}} {
		s.timeline = append(s.timeline, incident.Event{Seq: int64(len(s.timeline) + 1), At: at(e.minute), Kind: e.kind, Actor: "soc", Priority: incident.P2})
	}
	got := plan(s, planned)
	if k := kindsOf(got, planned.routes[0]); k != "opened@10:01 held@10:10 resumed@10:15 raised@10:16" {
		t.Errorf("customer: %s", k)
	}
	if k := kindsOf(got, planned.routes[1]); k != "opened@10:00 acknowledged@10:03 raised@10:16" {
		t.Errorf("on-call: %s", k)
	}
}

// Whatever happens, and however often it is planned: no two notices have one id, planning twice plans nothing new, nothing is
// told before opened or after resolved, no status is due after the end, and who was told of the beginning is told of the end.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC)
		pass := func() { now = now.Add(time.Duration(rapid.IntRange(0, 5400).Draw(t, "seconds")) * time.Second) }
		priority := func() incident.Priority { return incident.Priority(rapid.IntRange(1, 4).Draw(t, "priority")) }
		i := incident.Incident{
			ID: "fc-acme-x", Opened: now, Started: now, Commencement: now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "commencement")) * time.Minute),
			Class: rapid.SampledFrom([]incident.Class{incident.Availability, incident.Performance, incident.Capacity, incident.Function, incident.Account, incident.Agent}).Draw(t, "class"),
		}
		if i.Class.OpensCase() {
			i.Priority = priority()
			i.Highest = i.Priority
		}
		s := situation{incident: i}
		c := incident.Case{Incident: i.ID, Desk: "soc"}
		event := func(kind incident.EventKind, actor string) {
			s.timeline = append(s.timeline, incident.Event{Seq: int64(len(s.timeline) + 1), Incident: i.ID, At: now, Kind: kind, Actor: actor, Priority: s.incident.Priority})
		}
		event(incident.EventOpened, incident.ActorAgent)
		look := func() {
			s.now, s.cases = now, []incident.Case{c}
			fresh := plan(s, planned)
			for _, n := range fresh {
				if n.Due.After(now) {
					t.Fatalf("%s is planned at %s for %s", n.ID, now, n.Due)
				}
			}
			s.notices = append(s.notices, fresh...)
			if again := plan(s, planned); len(again) > 0 {
				t.Fatalf("planned twice: %v", again)
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			pass()
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				look()
			case 1:
				if c.Number == "" {
					c.Number, c.State = "S-1", incident.CaseNew
					event(incident.EventCaseOpened, "soc")
				}
			case 2:
				if i.Class.OpensCase() {
					was := s.incident.Priority
					s.incident.Priority = priority()
					if s.incident.Priority.Above(was) {
						event(incident.EventRaised, incident.ActorAgent)
					} else if was.Above(s.incident.Priority) {
						event(incident.EventLowered, incident.ActorAgent)
					}
				}
			case 3:
				c.Holds = append(c.Holds, incident.Hold{From: now})
				event(incident.EventHeld, "jens")
			case 4:
				if n := len(c.Holds); n > 0 && c.Holds[n-1].To.IsZero() {
					c.Holds[n-1].To = now
					event(incident.EventResumed, "jens")
				}
			case 5:
				c.Acknowledged = now
				event(incident.EventAcknowledged, "jens")
			}
		}
		if rapid.Bool().Draw(t, "looked before the end") {
			look()
		}
		s.incident.Ended, s.incident.Closed, s.incident.Resolution = now, now, incident.Recovered
		event(incident.EventResolved, incident.ActorAgent)
		pass()
		look()
		pass()
		look()
		checkPlanned(t, s)
	})
}

func checkPlanned(t *rapid.T, s situation) {
	ids := map[string]bool{}
	byRoute := map[string][]incident.Notice{}
	for _, n := range s.notices {
		if ids[n.ID] {
			t.Fatalf("id %s twice", n.ID)
		}
		ids[n.ID] = true
		r, ok := audienceOf(n, planned.routes)
		if !ok {
			t.Fatalf("no route for %s", n.ID)
		}
		if n.Kind == incident.NoticeStatus && n.Due.After(s.incident.Closed) {
			t.Fatalf("%s is due %s, closed %s", n.ID, n.Due, s.incident.Closed)
		}
		key := r.notifier + " " + string(r.audience)
		byRoute[key] = append(byRoute[key], n)
	}
	for key, list := range byRoute {
		if key == caseNotifier+" case" {
			continue
		}
		opened, resolved := 0, 0
		for _, n := range list {
			switch n.Kind {
			case incident.NoticeOpened:
				opened++
			case incident.NoticeResolved:
				resolved++
			default:
			}
			if inOrder(list[0], n) > 0 {
				t.Fatalf("%s: %s comes before %s", key, n.ID, list[0].ID)
			}
		}
		if opened != 1 || resolved != 1 {
			t.Fatalf("%s: %d opened, %d resolved of %v", key, opened, resolved, list)
		}
	}
	// delivered one by one, in the order of pick: opened first, resolved last, never a status with a newer one waiting
	due := append([]incident.Notice(nil), s.notices...)
	last := map[string]incident.Notice{}
	for len(due) > 0 {
		next, pointless := pick(due, planned.routes)
		if len(next) == 0 {
			t.Fatalf("nothing to send of %v", due)
		}
		for _, n := range next {
			if n.Kind == incident.NoticeStatus && slices.ContainsFunc(due, func(o incident.Notice) bool {
				a, _ := audienceOf(n, planned.routes)
				b, _ := audienceOf(o, planned.routes)
				return o.Kind == incident.NoticeResolved && a.notifier == b.notifier && a.audience == b.audience
			}) {
				t.Fatalf("%s is sent though the end is known", n.ID)
			}
			r, _ := audienceOf(n, planned.routes)
			key := r.notifier + string(r.audience)
			if was, ok := last[key]; ok && (was.Kind == incident.NoticeResolved || inOrder(was, n) > 0) {
				t.Fatalf("%s is sent after %s", n.ID, was.ID)
			} else if !ok && n.Kind != incident.NoticeOpened && r.audience != toCase {
				t.Fatalf("%s is sent first", n.ID)
			}
			last[key] = n
		}
		due = without(due, append(next, pointless...))
	}
}

func without(all, gone []incident.Notice) []incident.Notice {
	ids := map[string]bool{}
	for _, n := range gone {
		ids[n.ID] = true
	}
	var left []incident.Notice
	for _, n := range all {
		if !ids[n.ID] {
			left = append(left, n)
		}
	}
	return left
}

func TestRoutesOfANotifier(t *testing.T) {
	c, o := incident.Contact{Email: "c@x"}, incident.Contact{Email: "o@x"}
	for _, tt := range []struct {
		to   []Recipient
		want string
	}{
		{nil, "on-call[]"},
		{[]Recipient{{RoleCustomer, c}}, "customer[{ c@x }]"},
		{[]Recipient{{RoleCustomer, c}, {RoleOnCall, o}, {RoleAddresses, incident.Contact{}}}, "customer[{ c@x }] on-call[{ o@x }]"},
		{[]Recipient{{RoleAddresses, incident.Contact{}}}, "on-call[]"},
	} {
		var got []string
		for _, r := range routesOf(Notifier{Name: "n", To: tt.to}) {
			got = append(got, fmt.Sprintf("%s%v", r.audience, r.to))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%v: %s, want %s", tt.to, s, tt.want)
		}
	}
}
