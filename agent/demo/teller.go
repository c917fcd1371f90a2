package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
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

// teller writes the story to the terminal. It is safe for concurrent use.
type teller struct {
	mu     sync.Mutex
	out    io.Writer
	start  time.Time
	number string // of the newest case
}

// line writes one line with the seconds since the start.
func (t *teller) line(mark, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.out, "%3ds  %-5s %s\n", int(time.Since(t.start).Seconds()), mark, text)
}

func (t *teller) introduce() {
	t.line("", "a stand-in customer: two backends, the Web Client and Remote Desktop, all on loopback, probed every second")
}

func (t *teller) scene(text string) { t.line("STORY", text) }

// mail shows a mail as the customer's contact gets it.
func (t *teller) mail(l letter) {
	t.line("MAIL", "to "+l.to+": "+l.subject)
	t.mu.Lock()
	defer t.mu.Unlock()
	for row := range strings.Lines(strings.TrimSpace(l.text)) {
		_, _ = fmt.Fprintln(t.out, "            | "+strings.TrimRight(row, "\r\n"))
	}
}

// act plays the operator at the built-in desk.
func (t *teller) act(ctx context.Context, a *agent.Agent, action desk.Action, reason string) {
	t.mu.Lock()
	number := t.number
	t.mu.Unlock()
	if number == "" {
		return
	}
	if err := a.Act(ctx, number, action, "Ada (SOC)", reason); err != nil {
		t.line("CASE", err.Error())
	}
}

// follow shows every new step in the timeline of every incident, as the agent's own API tells it.
func (t *teller) follow(ctx context.Context, base string) {
	base = strings.TrimRight(base, "/")
	seen := map[int64]bool{}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var all web.Incidents
		if fetch(ctx, base+"/api/v1/incidents?limit=20", &all) != nil {
			continue
		}
		var events []incident.Event
		for _, i := range all.Incidents {
			var s web.Story
			if fetch(ctx, base+"/api/v1/incidents/"+url.PathEscape(i.ID), &s) != nil {
				continue
			}
			events = append(events, s.Timeline...)
			t.remember(s.Cases)
		}
		slices.SortFunc(events, func(a, b incident.Event) int { return int(a.Seq - b.Seq) })
		for _, e := range events {
			if !seen[e.Seq] {
				seen[e.Seq] = true
				t.event(e)
			}
		}
	}
}

// remember keeps the number of a case that lives, for the operator.
func (t *teller) remember(cases []incident.Case) {
	for _, c := range cases {
		if c.Number != "" && c.State.Live() {
			t.mu.Lock()
			t.number = c.Number
			t.mu.Unlock()
		}
	}
}

func (t *teller) event(e incident.Event) {
	text := string(e.Kind)
	if e.Priority != incident.NoPriority {
		text = e.Priority.String() + " " + text
	}
	if e.Actor != incident.ActorAgent {
		text += " by " + e.Actor
	}
	t.line("CASE", text+": "+e.Text)
}

// fetch reads one answer of the agent's API.
func fetch(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", address, resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(into)
}

// freeListen returns the usual address of the status page, or one that is free where that is taken.
func freeListen() string {
	const usual = "127.0.0.1:9797"
	l, err := net.Listen("tcp", usual)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return usual
}
