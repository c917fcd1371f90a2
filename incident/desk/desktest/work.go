package desktest

import (
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// people checks that what people do at the desk is told, each step once, in order, with who did it and when.
func (s *suite) people() {
	if !s.Desk.Capabilities().Transitions {
		return
	}
	if s.People == nil {
		s.Fatal("the rig of a desk with transitions needs people")
	}
	f := fields("backend", incident.P2)
	c := s.open(f)
	var seen time.Time
	step := func(what string, want incident.CaseState, customer bool) {
		s.Helper()
		all, err := s.Desk.Transitions(s.within(), c.Ref, seen)
		s.ok("transitions", err)
		n := slices.IndexFunc(all, func(t incident.Transition) bool { return t.To == want && t.Customer == customer })
		if n < 0 {
			s.Errorf("%s: no transition to %q (customer %t) among %+v", what, want, customer, all)
			return
		}
		if t := all[n]; t.Actor == "" || t.Actor == incident.ActorAgent || t.At.IsZero() || time.Since(t.At).Abs() > time.Hour {
			s.Errorf("%s: a transition says who and when: %+v", what, t)
		}
		for k, t := range all {
			if !t.At.After(seen) {
				s.Errorf("%s: %+v is not after %s, which was seen", what, t, seen)
			}
			if k > 0 && t.At.Before(all[k-1].At) {
				s.Errorf("%s: the oldest comes first: %+v", what, all)
			}
		}
		seen = all[len(all)-1].At
	}
	s.People.Take(c.Ref)
	step("take", incident.CaseAcknowledged, false)
	s.shown("take", c.Ref, incident.CaseAcknowledged)
	taken := incident.CaseAcknowledged
	if s.can(Holding) {
		s.People.Hold(c.Ref, "which server is it?")
		step("hold", incident.CaseHeld, false)
		taken = incident.CaseHeld
		s.shown("hold", c.Ref, taken)
	}
	s.ok("update", s.Desk.Update(s.within(), c.Ref, f, []desk.Note{{Seq: 3, At: started, Text: "measured: refused"}}))
	s.shown("update", c.Ref, taken) // the agent's notes end no hold
	if s.can(Answering) {
		s.People.Answer(c.Ref, "it is app01")
		step("answer", "", true)
	}
	if s.can(Holding) {
		s.People.Resume(c.Ref)
	}
	if all, err := s.Desk.Transitions(s.within(), c.Ref, seen); err != nil {
		s.Errorf("transitions: %v", err)
	} else if len(all) > 0 { // a system may go on by itself when the customer answers
		seen = all[len(all)-1].At
	}
	s.shown("resume", c.Ref, incident.CaseAcknowledged)
	s.People.Resolve(c.Ref, "restarted")
	step("resolve", incident.CaseResolved, false)
	s.shown("resolve", c.Ref, incident.CaseResolved)
	all, err := s.Desk.Transitions(s.within(), c.Ref, seen)
	s.ok("transitions", err)
	if len(all) > 0 {
		s.Errorf("what was seen is told again: %+v", all)
	}
}

// can reports whether the system has a means for it.
func (s *suite) can(a Ability) bool { return !slices.Contains(s.Cannot, a) }

// shown checks the state that the desk shows, where it shows one.
func (s *suite) shown(what, ref string, want incident.CaseState) {
	s.Helper()
	if !s.Desk.Capabilities().ReadBack {
		return
	}
	c, err := s.Desk.Get(s.within(), ref)
	s.ok("get after "+what, err)
	if c.State != want {
		s.Errorf("%s: the case is %q, want %q", what, c.State, want)
	}
}

// reopen checks that a resolved case comes to life again, and is not a second case.
func (s *suite) reopen() {
	r, ok := s.Desk.(desk.Reopener)
	if !ok {
		return
	}
	f := fields("backend", incident.P2)
	c := s.open(f)
	s.ok("resolve", s.Desk.Resolve(s.within(), c.Ref, f, "good again"))
	s.live(f.Key, 0)
	for range 2 {
		s.ok("reopen", r.Reopen(s.within(), c.Ref, f, "still measured: refused"))
		s.live(f.Key, 1)
	}
	if s.Desk.Capabilities().ReadBack {
		got, err := s.Desk.Get(s.within(), c.Ref)
		s.ok("get", err)
		if !got.State.Live() {
			s.Errorf("the case that was opened again is %q", got.State)
		}
	}
	if s.Desk.Capabilities().Find {
		s.find(f.Key, 1)
	}
	s.ok("resolve", s.Desk.Resolve(s.within(), c.Ref, f, "good again"))
	s.live(f.Key, 0)
	s.bad("reopen of no case", r.Reopen(s.within(), "", f, "still measured"))
}

// follows checks that a case whose predecessor was resolved too early is one of its own.
func (s *suite) follows() {
	f := fields("backend", incident.P2)
	c := s.open(f)
	s.ok("resolve", s.Desk.Resolve(s.within(), c.Ref, f, "good again"))
	next := f
	next.Key, next.Follows = incident.Case{Incident: f.Key, Round: 1}.Key(), c.Number
	d := s.open(next)
	if d.Ref == c.Ref || d.Number == c.Number {
		s.Errorf("the case that follows is the one before: %+v and %+v", c, d)
	}
	s.live(f.Key, 0)
	s.live(next.Key, 1)
	if s.Desk.Capabilities().Find {
		s.find(f.Key, 1)
		s.find(next.Key, 1)
	}
}
