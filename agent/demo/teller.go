package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/agent"
	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// told are the steps of an incident that the story is about. The others (what was measured, what was sent) would only repeat
// the mails.
var told = map[incident.EventKind]bool{
	incident.EventOpened: true, incident.EventJoined: true, incident.EventRaised: true, incident.EventLowered: true,
	incident.EventCaseOpened: true, incident.EventAcknowledged: true, incident.EventHeld: true, incident.EventResumed: true,
	incident.EventResolved: true, incident.EventCaseResolved: true, incident.EventCaseFailed: true, incident.EventNoticeFailed: true,
}

// teller follows the agent through its own API and writes what happens to the terminal. It is safe for concurrent use.
type teller struct {
	screen *screen
	client *http.Client
	base   string // of the agent's page

	mu      sync.Mutex
	number  string                     // of the first case that lives
	live    int                        // cases
	steps   map[incident.EventKind]int // how often each was seen
	mails   []letter                   // arrived, not yet shown
	shown   int                        // mails
	changed chan struct{}              // closed, and made anew, at every look
}

func newTeller(s *screen) *teller {
	return &teller{screen: s, client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}, steps: map[incident.EventKind]int{}, changed: make(chan struct{})}
}

// arrived takes a mail that the customer's contact got. It is shown after the steps that led to it.
func (t *teller) arrived(l letter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mails = append(t.mails, l)
}

// act plays the operator at the built-in desk.
func (t *teller) act(ctx context.Context, a *agent.Agent, action desk.Action, reason string) {
	t.mu.Lock()
	number := t.number
	t.mu.Unlock()
	if err := a.Act(ctx, number, action, "Ada (SOC)", reason); err != nil {
		t.screen.line("CASE", err.Error())
	}
}

// seen says, with the teller's lock held, whether a step of that kind was seen.
func (t *teller) seen(kind incident.EventKind) func() bool {
	return func() bool { return t.steps[kind] > 0 }
}

// over says, with the teller's lock held, whether no case lives.
func (t *teller) over() bool { return t.live == 0 }

// until waits for a condition; it returns false when that did not hold within limit, or ctx ended.
func (t *teller) until(ctx context.Context, holds func() bool, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		t.mu.Lock()
		held, changed := holds(), t.changed
		t.mu.Unlock()
		if held {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// follow shows every new step of every incident, and every mail, until ctx ends; then what is there already, once more.
func (t *teller) follow(ctx context.Context) {
	defer t.client.CloseIdleConnections()
	var last int64
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		last = t.look(ctx, last)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look shows what is new after the step with number last, and returns the newest number. The mails are taken first: the steps
// that led to them are then there to be read, and are shown before them.
func (t *teller) look(ctx context.Context, last int64) int64 {
	t.mu.Lock()
	mails := t.mails
	t.mails = nil
	t.mu.Unlock()
	events, cases, err := t.stories(ctx)
	if err == nil {
		for _, e := range events {
			if e.Seq > last {
				last = e.Seq
				t.event(e)
			}
		}
		t.remember(cases)
	} // otherwise the agent stops, or is busy: the next look sees it
	for _, l := range mails {
		t.shown++
		t.screen.letter(l, t.shown == 1)
	}
	return last
}

// stories returns the timelines of every incident, in order, and the cases.
func (t *teller) stories(ctx context.Context) (events []incident.Event, cases []incident.Case, err error) {
	var all web.Incidents
	if err := t.fetch(ctx, "api/v1/incidents?limit=20", &all); err != nil {
		return nil, nil, err
	}
	for _, i := range all.Incidents {
		var s web.Story
		if err := t.fetch(ctx, "api/v1/incidents/"+url.PathEscape(i.ID), &s); err != nil {
			return nil, nil, err
		}
		events, cases = append(events, s.Timeline...), append(cases, s.Cases...)
	}
	slices.SortFunc(events, func(a, b incident.Event) int { return int(a.Seq - b.Seq) })
	return events, cases, nil
}

// remember keeps the first case that lives, for the operator, and how many there are, and wakes who waits.
func (t *teller) remember(cases []incident.Case) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = 0
	for _, c := range cases { // the newest incident's first
		if c.Number != "" && c.State.Live() {
			t.number = c.Number
			t.live++
		}
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *teller) event(e incident.Event) {
	t.mu.Lock()
	t.steps[e.Kind]++
	t.mu.Unlock()
	if !told[e.Kind] {
		return
	}
	text := string(e.Kind)
	if e.Priority != incident.NoPriority {
		text = e.Priority.String() + " " + text
	}
	if e.Actor != incident.ActorAgent && !strings.Contains(e.Text, e.Actor) {
		text += " by " + e.Actor
	}
	t.screen.line("CASE", text+": "+e.Text)
}

// fetch reads one answer of the agent's API.
func (t *teller) fetch(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", path, resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(into)
}
