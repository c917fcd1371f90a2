package desktest

import (
	"bytes"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// Kept is a file as a system holds it.
type Kept struct {
	Name     string
	Content  []byte
	Internal bool // the customer does not see it
}

// evidence are files as they come with an incident.
func evidence() []desk.File {
	return []desk.File{
		{Name: "path.txt", Type: "text/plain", Content: []byte("path to 192.0.2.7:443\n 1  10.0.0.1  0.4 ms\n")},
		{Name: "web-client-browser-screenshot.png", Type: "image/png", Content: append([]byte("\x89PNG\r\n\x1a\n\x00\xff"), bytes.Repeat([]byte{0, 13, 10, 0xfe}, 40_000)...)},
	}
}

// files checks that files come to a case whole, each once, out of the customer's sight where the desk says so.
func (s *suite) files() {
	a, ok := s.Desk.(desk.Attacher)
	if !ok {
		return
	}
	if s.Files == nil {
		s.Fatal("the rig of a desk that takes files needs to show them")
	}
	f := fields("backend", incident.P2)
	c := s.open(f)
	other := s.open(fields("web-client", incident.P3))
	for _, file := range evidence() {
		for range 2 { // repeated, it changes nothing
			s.ok("attach", a.Attach(s.within(), c.Ref, f, file))
		}
	}
	s.holds(c.Ref, evidence())
	s.holds(other.Ref, nil)
	s.reads("get after attach", c.Ref, f.Key, incident.CaseNew, incident.P2)
	if s.Desk.Capabilities().Transitions {
		people, err := s.Desk.Transitions(s.within(), c.Ref, time.Time{})
		s.ok("transitions", err)
		if len(people) != 0 {
			s.Errorf("transitions: the agent's files are shown as people's steps: %+v", people)
		}
	}
	for _, unfit := range []desk.File{
		{Name: "../path.txt", Type: "text/plain", Content: []byte("x")},
		{Name: "a\r\nb", Type: "text/plain", Content: []byte("x")},
		{Type: "text/plain", Content: []byte("x")},
		{Name: "a.txt", Content: []byte("x")},
		{Name: "a.txt", Type: "text/plain"},
		{Name: "a.txt", Type: "text/plain", Content: make([]byte, 1<<20+1)},
	} {
		s.bad("attach of an unfit file", a.Attach(s.within(), c.Ref, f, unfit))
	}
	s.holds(c.Ref, evidence())
	s.bad("attach to no case", a.Attach(s.within(), "", f, evidence()[0]))
	if s.Desk.Capabilities().ReadBack {
		s.bad("attach to an unknown case", a.Attach(s.within(), "no-such-case", f, evidence()[0]))
	}
}

// filesFail checks that a system which fails is said to, and that a lost reply makes no second file where the desk can tell.
func (s *suite) filesFail() {
	a, ok := s.Desk.(desk.Attacher)
	if !ok {
		return
	}
	f := fields("backend", incident.P2)
	c := s.open(f)
	file := evidence()[0]
	for _, fault := range []Fault{ErrorInside, TooMany, Unavailable, HTML, CutShort, Echo, Redirect} {
		s.Faulty.Set(fault)
		s.bad("attach", a.Attach(s.within(), c.Ref, f, file))
	}
	s.Faulty.Set(DropReply)
	s.bad("attach with a lost reply", a.Attach(s.within(), c.Ref, f, file))
	s.Faulty.Set(None)
	s.ok("attach again", a.Attach(s.within(), c.Ref, f, file))
	s.holds(c.Ref, []desk.File{file})
	s.live(f.Key, 1)
}

// holds checks the files of a case as the system itself holds them.
func (s *suite) holds(ref string, want []desk.File) {
	s.Helper()
	kept := s.Files(ref)
	if len(kept) != len(want) {
		s.Errorf("the system holds %d files, want %d", len(kept), len(want))
	}
	for _, f := range want {
		n := slices.IndexFunc(kept, func(k Kept) bool { return k.Name == f.Name })
		if n < 0 {
			s.Errorf("the system has no file %s", f.Name)
			continue
		}
		if !bytes.Equal(kept[n].Content, f.Content) {
			s.Errorf("%s: %d bytes at the system, which are not the %d that were sent", f.Name, len(kept[n].Content), len(f.Content))
		}
		if s.Desk.Capabilities().InternalFiles && !kept[n].Internal {
			s.Errorf("%s: the customer sees it", f.Name)
		}
	}
}
