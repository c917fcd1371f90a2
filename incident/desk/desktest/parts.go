package desktest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

func (s *suite) life() {
	f := fields("backend", incident.P3)
	can := s.Desk.Capabilities()
	if !can.Find && !can.DedupeOnCreate {
		s.Fatal("capabilities: a desk that cannot find must dedupe on create")
	}
	if can.Find {
		s.find(f.Key, 0)
	}
	c := s.open(f)
	s.live(f.Key, 1)
	if can.Find {
		for _, found := range s.find(f.Key, 1) {
			if found.Ref != c.Ref || found.Number != c.Number || found.Key != f.Key {
				s.Errorf("find: %+v, want the case that was opened, %+v", found, c)
			}
		}
	}
	s.reads("get", c.Ref, f.Key, incident.CaseNew, incident.P3)

	raised := fields("backend", incident.P1)
	notes := []desk.Note{
		{Seq: 7, At: started.Add(time.Minute), Text: "raised from P3 to P1: both instances are down", Public: true},
		{Seq: 9, At: started.Add(2 * time.Minute), Text: "measured: app01 refused, app02 timeout\x1b[31m"},
	}
	for range 2 { // repeated, an update changes nothing
		s.ok("update", s.Desk.Update(s.within(), c.Ref, raised, notes))
		s.reads("get after update", c.Ref, f.Key, incident.CaseNew, incident.P1)
	}
	s.ok("resolve", s.Desk.Resolve(s.within(), c.Ref, raised, "answers again since 10:02"))
	s.reads("get after resolve", c.Ref, f.Key, incident.CaseResolved, incident.P1)
	s.live(f.Key, 0)
	if can.Find { // a resolved case is found, or it would be opened again
		s.find(f.Key, 1)
	}
	if can.Transitions {
		people, err := s.Desk.Transitions(s.within(), c.Ref, time.Time{})
		s.ok("transitions", err)
		if len(people) != 0 {
			s.Errorf("transitions: the agent's own steps are shown as people's: %+v", people)
		}
	}
}

// reads reads the case back, where the desk can.
func (s *suite) reads(what, ref, key string, state incident.CaseState, p incident.Priority) {
	s.Helper()
	if !s.Desk.Capabilities().ReadBack {
		return
	}
	c, err := s.Desk.Get(s.within(), ref)
	s.ok(what, err)
	if c.Ref != ref {
		s.Errorf("%s: ref %q, want %q", what, c.Ref, ref)
	}
	s.shows(what, c, key, state, p)
}

func (s *suite) twice() {
	f := fields("web-client", incident.P2)
	var cases [2]desk.Case
	var errs [2]error
	both(func(i int) { cases[i], errs[i] = s.Desk.Open(s.within(), f) })
	s.ok("open", errors.Join(errs[:]...))
	if s.Desk.Capabilities().DedupeOnCreate {
		if cases[0].Ref != cases[1].Ref {
			s.Errorf("the second open must return the first case: %+v and %+v", cases[0], cases[1])
		}
		s.live(f.Key, 1)
		return
	}
	// The reconciler's way out: all are found, the oldest wins, the others are withdrawn.
	found := s.find(f.Key, 2)
	for _, double := range found[min(1, len(found)):] {
		s.ok("withdraw", s.Desk.Withdraw(s.within(), double.Ref, found[0].Number))
	}
	s.find(f.Key, 1)
	s.live(f.Key, 1)
}

func (s *suite) strangers() {
	if !s.Desk.Capabilities().Find {
		return
	}
	f := fields("backend", incident.P2)
	s.open(f)
	for _, other := range []string{f.Key[:len(f.Key)-1], f.Key + "0", "*", "%", "' OR 1=1 --", "fc"} {
		s.find(other, 0)
	}
}

func (s *suite) emptyKey() {
	before := s.requests()
	_, err := s.Desk.Open(s.within(), desk.Fields{Title: "no key", Priority: incident.P1})
	s.certain("open without a key", err)
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), "")
		s.bad("find without a key", err)
	}
	s.bad("update of no case", s.Desk.Update(s.within(), "", fields("backend", incident.P1), nil))
	s.bad("resolve of no case", s.Desk.Resolve(s.within(), "", fields("backend", incident.P1), "over"))
	s.bad("withdraw of no case", s.Desk.Withdraw(s.within(), "", "1"))
	if after := s.requests(); after != before {
		s.Errorf("%d requests were sent without a key", after-before)
	}
}

func (s *suite) requests() int {
	if s.Faulty == nil {
		return 0
	}
	return s.Faulty.Requests()
}

func (s *suite) withdraw() {
	f := fields("backend", incident.P2)
	c := s.open(f)
	for range 2 {
		s.ok("withdraw", s.Desk.Withdraw(s.within(), c.Ref, "FC-2026-000001"))
	}
	s.live(f.Key, 0)
	if can := s.Desk.Capabilities(); can.Find && (s.can(Withdrawing) || !can.DedupeOnCreate) {
		s.find(f.Key, 0)
	}
}

func (s *suite) resolveTwice() {
	f := fields("backend", incident.P2)
	c := s.open(f)
	for range 2 {
		s.ok("resolve", s.Desk.Resolve(s.within(), c.Ref, f, "answers again"))
	}
	s.live(f.Key, 0)
	s.reads("get", c.Ref, f.Key, incident.CaseResolved, incident.P2)
}

func (s *suite) unknown() {
	c := s.open(fields("backend", incident.P2))
	s.ok("withdraw", s.Desk.Withdraw(s.within(), c.Ref, "1"))
	if !s.Desk.Capabilities().ReadBack {
		return
	}
	_, err := s.Desk.Get(s.within(), c.Ref+"999999")
	s.bad("get of an unknown case", err)
	if !errors.Is(err, incident.ErrNotFound) {
		s.Errorf("get of an unknown case is not incident.ErrNotFound: %v", err)
	}
}

func (s *suite) cancelled() {
	f := fields("backend", incident.P2)
	c := s.open(f)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	before := s.requests()
	_, err := s.Desk.Open(ctx, fields("web-client", incident.P2))
	s.certain("open", err)
	s.bad("update", s.Desk.Update(ctx, c.Ref, f, nil))
	s.bad("resolve", s.Desk.Resolve(ctx, c.Ref, f, "over"))
	if after := s.requests(); after != before {
		s.Errorf("%d requests were sent after the context had ended", after-before)
	}
	s.live(f.Key, 1)
}

func (s *suite) lostReply() {
	f := fields("backend", incident.P1)
	s.Faulty.Set(DropReply)
	before := s.requests()
	_, err := s.Desk.Open(s.within(), f)
	s.uncertain("open", err)
	if n := s.requests() - before; n != 1 {
		s.Errorf("open sent %d requests, want exactly one", n)
	}
	s.Faulty.Set(None)
	s.live(f.Key, 1)
	if s.Desk.Capabilities().Find {
		s.find(f.Key, 1)
		return
	}
	_, err = s.Desk.Open(s.within(), f) // without a search, the repeated create itself must lead to the first case
	s.ok("open again", err)
	s.live(f.Key, 1)
}

func (s *suite) cutShort() {
	f := fields("backend", incident.P1)
	s.Faulty.Set(CutShort)
	_, err := s.Desk.Open(s.within(), f)
	s.uncertain("open", err)
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), f.Key)
		s.bad("find", err)
	}
}

func (s *suite) hang() {
	f := fields("backend", incident.P1)
	c := s.open(f)
	s.Faulty.Set(Hang)
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(s.Context(), 200*time.Millisecond)
		s.Cleanup(cancel)
		return ctx
	}
	s.quick("a silent system", 5*time.Second, func() {
		_, err := s.Desk.Open(short(), fields("web-client", incident.P2))
		s.uncertain("open", err)
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("open: the error is not the context's: %v", err)
		}
		s.uncertain("update", s.Desk.Update(short(), c.Ref, f, nil))
		s.uncertain("resolve", s.Desk.Resolve(short(), c.Ref, f, "over"))
		if s.Desk.Capabilities().Find {
			_, err = s.Desk.Find(short(), f.Key)
			s.bad("find", err)
		}
	})
}

func (s *suite) endless() {
	f := fields("backend", incident.P1)
	s.Faulty.Set(Endless)
	_, err := s.Desk.Open(s.within(), f)
	s.uncertain("open", err)
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), f.Key)
		s.bad("find", err)
	}
	if n := s.Faulty.Written(); n > 64<<20 {
		s.Errorf("%d bytes of an endless answer were read", n)
	}
}

func (s *suite) errorInside() {
	f := fields("backend", incident.P1)
	c := s.open(f)
	s.Faulty.Set(ErrorInside)
	_, err := s.Desk.Open(s.within(), fields("web-client", incident.P2))
	s.bad("open", err)
	s.bad("update", s.Desk.Update(s.within(), c.Ref, fields("backend", incident.P1), nil))
	s.bad("resolve", s.Desk.Resolve(s.within(), c.Ref, f, "over"))
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), f.Key)
		s.bad("find", err) // "none" would make the reconciler open a second case
	}
}

func (s *suite) tooMany() {
	f := fields("backend", incident.P1)
	s.Faulty.Set(TooMany)
	before := s.requests()
	s.quick("a Retry-After beyond the deadline", 4*time.Second, func() {
		_, err := s.Desk.Open(s.within(), f)
		s.uncertain("open", err)
		if n := s.requests() - before; n != 1 {
			s.Errorf("open sent %d requests, want exactly one", n)
		}
		if s.Desk.Capabilities().Find {
			_, err = s.Desk.Find(s.within(), f.Key)
			s.bad("find", err)
		}
	})
	s.live(f.Key, 0)
}

func (s *suite) unavailable() {
	f := fields("backend", incident.P1)
	s.Faulty.Set(Unavailable)
	before := s.requests()
	_, err := s.Desk.Open(s.within(), f)
	s.uncertain("open", err)
	if n := s.requests() - before; n != 1 {
		s.Errorf("open sent %d requests, want exactly one", n)
	}
}

func (s *suite) html() {
	f := fields("backend", incident.P1)
	s.Faulty.Set(HTML)
	_, err := s.Desk.Open(s.within(), f)
	s.uncertain("open", err)
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), f.Key)
		s.bad("find", err)
	}
}

func (s *suite) echo() {
	f := fields("backend", incident.P1)
	c := s.open(f)
	s.Faulty.Set(Echo)
	_, err := s.Desk.Open(s.within(), fields("web-client", incident.P2))
	s.certain("open", err)
	s.bad("update", s.Desk.Update(s.within(), c.Ref, f, nil))
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), f.Key)
		s.bad("find", err)
	}
}

func (s *suite) redirect() {
	s.Faulty.Set(Redirect)
	before := s.requests()
	_, err := s.Desk.Open(s.within(), fields("backend", incident.P1))
	s.certain("open", err)
	if n := s.requests() - before; n != 1 {
		s.Errorf("open followed a redirect: %d requests", n)
	}
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), fields("backend", incident.P1).Key)
		s.bad("find", err)
	}
}

func (s *suite) down() {
	if s.Down == nil {
		return
	}
	s.Down()
	f := fields("backend", incident.P1)
	_, err := s.Desk.Open(s.within(), f)
	s.certain("open", err)
	if s.Desk.Capabilities().Find {
		_, err = s.Desk.Find(s.within(), f.Key)
		s.bad("find", err)
		if strings.Contains(err.Error(), "unknown") {
			s.Errorf("find: %v", err)
		}
	}
}
