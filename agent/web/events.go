package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// The stream of events.
const (
	maxStreams  = 64               // clients at once
	lookEvery   = time.Second      // how often it is looked whether anything changed
	resultsRest = 5 * time.Second  // between two events that say no more than that probes ran
	beatEvery   = 15 * time.Second // a comment, so that proxies and clients see that the connection lives
	streamWrite = 10 * time.Second // how long a client may take to accept what is written
)

// endingKey finds, in the context of a request, the context that ends when the server stops.
type endingKey struct{}

// pulse says what changed. It looks when somebody asks, at most once in lookEvery, however many ask; with nobody there nothing is
// looked at. It is safe for concurrent use.
type pulse struct {
	mu      sync.Mutex
	at      time.Time // of the newest look
	now     sight
	streams int
}

// sight is what a look saw.
type sight struct {
	State   string // a digest of all that people act on: components, incidents, cases, notices, the agent's trouble
	Results string // changes with each result
	Config  string // digest of the configuration in force
	body    []byte // of the event
}

// StateEvent is the data of the event "state".
type StateEvent struct {
	Headline  Headline            `json:"headline"`
	Outcome   probes.Outcome      `json:"outcome"`
	At        time.Time           `json:"at"`
	Incidents []incident.Incident `json:"incidents"` // open ones, most urgent first
}

// look returns what is seen now, or was a moment ago.
func (p *pulse) look(s *site) sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.at.IsZero() || now.Sub(p.at) >= lookEvery*9/10 {
		p.now, p.at = s.seen(), now
	}
	return p.now
}

// see takes a glance and makes digests of it.
func (s *site) see() sight {
	g := s.look(context.Background(), maxCards)
	event := StateEvent{Headline: g.headline(), Outcome: g.view.Outcome, At: g.view.At, Incidents: list(g.open)}
	state, results := sha256.New(), sha256.New()
	type part struct{ Name, State, Window string }
	var parts []part
	for _, c := range g.view.Components {
		parts = append(parts, part{c.Name, c.Outcome.String(), c.Maintenance})
	}
	for p := range probesOf(g.view) {
		parts = append(parts, part{p.ID, p.Outcome.String(), fmt.Sprint(p.Suspect, len(p.Findings))})
		if p.Last != nil {
			_, _ = fmt.Fprint(results, p.ID, p.Last.Start.UnixNano()) // to a hash
		}
	}
	tales := map[string]any{}
	for id, t := range g.tales {
		tales[id] = []any{t.cases, t.notices, len(t.timeline)}
	}
	encoder := json.NewEncoder(state)
	for _, v := range []any{event.Headline.Level, g.trouble(), parts, event.Incidents, tales, s.Agent.Orders()} {
		_ = encoder.Encode(v) // to a hash: it does not fail
	}
	body, err := json.Marshal(event)
	if err != nil {
		s.Log.Error("event cannot be encoded", "err", err)
	}
	return sight{hex.EncodeToString(state.Sum(nil)[:8]), hex.EncodeToString(results.Sum(nil)[:8]), g.health.ConfigDigest, body}
}

// enter takes a place for a stream; false when there is none.
func (p *pulse) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams >= maxStreams {
		return false
	}
	p.streams++
	return true
}

func (p *pulse) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams--
}

// count returns how many streams there are.
func (p *pulse) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.streams
}

// events streams what changes until the client goes, the server stops, or another configuration is in force; then the client connects
// again by itself.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	if !s.pulse.enter() {
		w.Header().Set("Retry-After", "30")
		s.refuse(w, r, &fault{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf("%d clients follow already", maxStreams), Hint: "ask for /api/v1/status instead"})
		return
	}
	defer s.pulse.leave()
	out := stream{w: w, control: http.NewResponseController(w)}
	_ = out.control.SetReadDeadline(time.Time{}) // the server's bound is for a request that is read
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	ending := context.Background()
	if c, ok := r.Context().Value(endingKey{}).(context.Context); ok {
		ending = c
	}
	last := sight{State: r.Header.Get("Last-Event-ID")}
	if !out.send("retry: 3000\n\n") {
		return
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for first := true; ; first = false {
		now := s.pulse.look(s)
		if !first && now.Config != last.Config {
			return
		}
		told, here := out.tell(last, now, first)
		if !here {
			return
		}
		if first || told {
			last = now
		}
		select {
		case <-r.Context().Done():
			return
		case <-ending.Done():
			return
		case <-ticker.C:
		}
	}
}

// stream is one client of the events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	sent    time.Time // last of anything
	results time.Time // last event "results"
}

// tell sends what changed; here is false when the client is gone.
func (o *stream) tell(last, now sight, first bool) (told, here bool) {
	at := time.Now()
	switch {
	case now.State != last.State:
		return true, o.send("event: state\nid: " + now.State + "\ndata: " + string(bytes.TrimSpace(now.body)) + "\n\n")
	case !first && now.Results != last.Results && at.Sub(o.results) >= resultsRest:
		o.results = at
		return true, o.send("event: results\ndata: {}\n\n")
	case at.Sub(o.sent) >= beatEvery:
		return false, o.send(": beat\n\n")
	}
	return false, true
}

func (o *stream) send(text string) bool {
	o.sent = time.Now()
	_ = o.control.SetWriteDeadline(o.sent.Add(streamWrite))
	if _, err := o.w.Write([]byte(text)); err != nil {
		return false
	}
	return o.control.Flush() == nil
}
