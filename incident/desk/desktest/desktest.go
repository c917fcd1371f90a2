// Package desktest is what every desk must do, as code: Run for the desk of a kind, Storage for the built-in desk's cases, and
// Faulty to make a ticket system fail in the ways in which real ones do.
package desktest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// Rig is a desk with its ticket system behind it.
type Rig struct {
	Desk    desk.Desk
	Name    string                  // as in desk.Env; every error must name it
	Secrets []string                // no error may hold one
	Live    func(key string) int    // how many cases with that key are not over, as the system itself counts them
	Faulty  *Faulty                 // in front of the system; nil where there is none between (the built-in desk)
	Down    func()                  // stops the system, so that connections are refused; nil where it cannot be
	People  People                  // who work at the system; required where the desk has Transitions
	Cannot  []Ability               // what the system has no means for, so that nobody can be asked for it
	Files   func(ref string) []Kept // the files of a case, as the system itself holds them; required where the desk takes files
	Slow    time.Duration           // longest ordinary call; 0: 30 s
}

// Ability is something that not every ticket system has a means for.
type Ability string

// The abilities.
const (
	Holding     Ability = "hold"     // of People: a case waits for the customer, and goes on
	Answering   Ability = "answer"   // of People: the customer writes into the case
	Withdrawing Ability = "withdraw" // a withdrawn case is told from a resolved one; only where creates are deduped can it be absent
)

// People is what those who work at a ticket system do there, by the system's own means and never through the desk. Each returns
// when the system shows it, and fails the test when it cannot be done.
type People interface {
	Take(ref string)         // begin work
	Hold(ref, reason string) // wait for the customer
	Answer(ref, text string) // as the customer
	Resume(ref string)       // go on
	Resolve(ref, text string)
}

// System is a ticket system, or a stand-in for one, as a test sees it from its side.
type System interface {
	http.Handler
	// States returns the states of all cases with that key, oldest first, as the system itself holds them.
	States(key string) []incident.CaseState
	// YAML returns the keys, beside kind and name, of a desk's configuration for the system at that address, a line each.
	YAML(address string) string
}

// Live counts the cases with that key that are not over.
func Live(s System, key string) (live int) {
	for _, state := range s.States(key) {
		if state.Live() {
			live++
		}
	}
	return live
}

// Harness makes a rig with an empty system for each part of the suite. Run may call it many times.
type Harness func(t *testing.T) Rig

// Run checks that the desk of a harness does what every desk must.
func Run(t *testing.T, h Harness) {
	for _, part := range []struct {
		name string
		run  func(*suite)
	}{
		{"a case lives from open to resolved", (*suite).life},
		{"a key is opened twice at once", (*suite).twice},
		{"cases of other keys are never found", (*suite).strangers},
		{"an empty key is refused before anything is sent", (*suite).emptyKey},
		{"a double is withdrawn", (*suite).withdraw},
		{"a case is resolved twice", (*suite).resolveTwice},
		{"an unknown case is not found", (*suite).unknown},
		{"a cancelled context sends nothing", (*suite).cancelled},
		{"people work on a case", (*suite).people},
		{"a resolved case is opened again", (*suite).reopen},
		{"a case that follows another", (*suite).follows},
		{"files come to a case", (*suite).files},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(&suite{T: t, Rig: h(t)}) })
	}
	if h(t).Faulty == nil {
		return
	}
	for _, part := range []struct {
		name string
		run  func(*suite)
	}{
		{"a lost reply to open", (*suite).lostReply},
		{"an answer that breaks off", (*suite).cutShort},
		{"a silent system", (*suite).hang},
		{"an endless answer", (*suite).endless},
		{"an error inside a 200", (*suite).errorInside},
		{"429 with a long Retry-After", (*suite).tooMany},
		{"503", (*suite).unavailable},
		{"HTML instead of JSON", (*suite).html},
		{"a system that repeats the request in its refusal", (*suite).echo},
		{"a redirect", (*suite).redirect},
		{"a system that is down", (*suite).down},
		{"a system that fails to take files", (*suite).filesFail},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(&suite{T: t, Rig: h(t)}) })
	}
}

// suite is one part of Run on a rig of its own.
type suite struct {
	*testing.T
	Rig
}

var started = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// fields returns what a case of that root shall say.
func fields(root string, p incident.Priority) desk.Fields {
	key := incident.Key("acme", incident.Availability, root, started)
	return desk.Fields{
		Key: key, Title: p.String() + " acme: " + root + " is inaccessible", Priority: p,
		Body:      "Since 09:30 UTC " + root + " refuses connections.\nÆrø, Øst og Ås <b>er nede</b>.",
		Customer:  incident.Contact{Name: "ACME IT", Email: "it@acme.example", Phone: "+45 00 00 00 00"},
		Incident:  incident.Incident{ID: key, Tenant: "acme", Class: incident.Availability, Root: root, Priority: p, Started: started},
		Published: []string{"tcp acme-app01.example:443: connection refused"},
	}
}

// within returns a context for an ordinary call.
func (s *suite) within() context.Context {
	slow := s.Slow
	if slow == 0 {
		slow = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(s.Context(), slow)
	s.Cleanup(cancel)
	return ctx
}

// ok fails the test when err is not nil.
func (s *suite) ok(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// bad checks an error that must be there: it names the desk and holds no secret.
func (s *suite) bad(what string, err error) {
	s.Helper()
	if err == nil {
		s.Fatalf("%s: no error", what)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, secret := range s.Secrets {
			if strings.Contains(fmt.Sprintf("%v %+v", e, e), secret) {
				s.Errorf("%s: the error holds a secret", what) // and must not be printed here either
				return
			}
		}
	}
	if text := err.Error(); !strings.Contains(text, s.Name) {
		s.Errorf("%s: the error does not name the desk %q: %s", what, s.Name, text)
	} else if len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		s.Errorf("%s: the error is too long or not on one line: %.200q", what, text)
	}
}

// uncertain checks an error after which the reconciler must search before it writes again.
func (s *suite) uncertain(what string, err error) {
	s.Helper()
	s.bad(what, err)
	if !errors.Is(err, desk.ErrUnknownOutcome) {
		s.Errorf("%s: the case may exist, but the error is not ErrUnknownOutcome: %v", what, err)
	}
}

// certain checks an error after which nothing was created.
func (s *suite) certain(what string, err error) {
	s.Helper()
	s.bad(what, err)
	if errors.Is(err, desk.ErrUnknownOutcome) {
		s.Errorf("%s: nothing was created, but the error is ErrUnknownOutcome: %v", what, err)
	}
}

// open creates a case that must be new.
func (s *suite) open(f desk.Fields) desk.Case {
	s.Helper()
	c, err := s.Desk.Open(s.within(), f)
	s.ok("open", err)
	if c.Ref == "" || c.Number == "" || c.Created.IsZero() {
		s.Errorf("open: a case needs ref, number and time of creation: %+v", c)
	}
	s.shows("open", c, f.Key, incident.CaseNew, f.Priority)
	return c
}

// shows checks key, state and priority as far as the desk shows them.
func (s *suite) shows(what string, c desk.Case, key string, state incident.CaseState, p incident.Priority) {
	s.Helper()
	if c.Key != "" && c.Key != key {
		s.Errorf("%s: key %q, want %q", what, c.Key, key)
	}
	if c.State != state {
		s.Errorf("%s: state %q, want %q", what, c.State, state)
	}
	if c.Priority != incident.NoPriority && c.Priority != p {
		s.Errorf("%s: priority %s, want %s", what, c.Priority, p)
	}
}

// find returns the cases with that key, at the latest after the desk's lag.
func (s *suite) find(key string, want int) []desk.Case {
	s.Helper()
	for end := time.Now().Add(s.Desk.Capabilities().Lag + time.Second); ; {
		cases, err := s.Desk.Find(s.within(), key)
		s.ok("find", err)
		if len(cases) == want || time.Now().After(end) {
			if len(cases) != want {
				s.Errorf("find %s: %d cases, want %d", key, len(cases), want)
			}
			return cases
		}
		<-time.After(50 * time.Millisecond) // the other side is another process: no clock of ours to turn
	}
}

// live checks how many cases the system holds.
func (s *suite) live(key string, want int) {
	s.Helper()
	if got := s.Live(key); got != want {
		s.Errorf("the system holds %d live cases of %s, want %d", got, key, want)
	}
}

// quick checks that fn returns long before patience is over.
func (s *suite) quick(what string, patience time.Duration, fn func()) {
	s.Helper()
	begin := time.Now()
	fn()
	if took := time.Since(begin); took > patience {
		s.Errorf("%s took %s, want less than %s", what, took, patience)
	}
}

// both calls fn twice at once.
func both(fn func(i int)) {
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}
