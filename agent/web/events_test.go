package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// following is a client of the events.
type following struct {
	t     *testing.T
	lines chan string
	resp  *http.Response
}

func follow(t *testing.T, url, last string) *following {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r) //nolint:bodyclose // close does so
	if err != nil {
		t.Fatal(err)
	}
	f := &following{t: t, lines: make(chan string, 1000), resp: resp}
	go func() {
		defer close(f.lines)
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			f.lines <- s.Text()
		}
	}()
	t.Cleanup(f.close)
	return f
}

func (f *following) close() {
	_ = f.resp.Body.Close()
	for range f.lines { // until its reader has ended
	}
}

// line returns what follows the prefix on the next line that has it.
func (f *following) line(prefix string) string {
	f.t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		select {
		case text, open := <-f.lines:
			if !open {
				f.t.Fatalf("the stream ended before a line with %q", prefix)
			}
			if rest, ok := strings.CutPrefix(text, prefix); ok {
				return rest
			}
		case <-timeout:
			f.t.Fatalf("no line with %q", prefix)
		}
	}
}

func TestEvents(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := webtest.Scene("p1")
	server := httptest.NewServer(web.New(options(f)))
	defer server.Close()
	c := follow(t, server.URL, "")
	defer c.close()
	if kind := c.resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		t.Errorf("content type %q", kind)
	}
	c.line("retry: ")
	id := ""
	for _, change := range []func(){
		nil,
		func() {
			f.Seen.Incidents[0].Priority = incident.P2
		},
		func() { f.Desk[len(f.Desk)-1].State = incident.CaseHeld },
		func() {
			f.Ordered = []incident.Order{{ID: 1, Kind: incident.OrderSilence, From: f.Now, Until: f.Now.Add(time.Hour)}}
		},
		func() { f.Seen.Components[0].Outcome = probes.Degraded },
		func() { f.State.StoreError = "no space left on device" },
	} {
		if change != nil {
			f.Change(change)
		}
		if kind := c.line("event: "); kind != "state" {
			t.Errorf("event %q, want state", kind)
		}
		next := c.line("id: ")
		var data web.StateEvent
		if err := json.Unmarshal([]byte(c.line("data: ")), &data); err != nil || len(data.Incidents) != 1 || data.Headline.Sentence == "" {
			t.Errorf("%v: %+v", err, data)
		}
		if next == id {
			t.Error("two states have one id")
		}
		id = next
	}
	f.Change(func() {
		last := *f.Seen.Witnesses[0].Last
		last.Start = last.Start.Add(time.Second)
		f.Seen.Witnesses = slices.Clone(f.Seen.Witnesses) // events that are being made have the others
		f.Seen.Witnesses[0].Last = &last
	})
	if kind := c.line("event: "); kind != "results" {
		t.Errorf("event %q, want results", kind)
	}
	again := follow(t, server.URL, id) // nothing changed meanwhile
	defer again.close()
	f.Change(func() { f.State.StoreError = "" })
	again.line("event: ")
	if got := again.line("id: "); got == id {
		t.Error("who comes back is told again what it knows")
	}
	f.Change(func() { f.State.ConfigDigest = "another" })
	for range c.lines { // it ends by itself, so that the client meets the new configuration
	}
}

func TestEventsAreBounded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := httptest.NewServer(web.New(options(webtest.Scene("well"))))
	defer server.Close()
	var all []*following
	for range 64 {
		all = append(all, follow(t, server.URL, ""))
	}
	for _, c := range all {
		c.line("event: ")
	}
	over := follow(t, server.URL, "")
	over.close()
	if over.resp.StatusCode != 503 || over.resp.Header.Get("Retry-After") == "" {
		t.Errorf("the 65th client got %d", over.resp.StatusCode)
	}
	for _, c := range all {
		c.close()
	}
	for attempt := 0; ; attempt++ { // the places are free again, soon
		c := follow(t, server.URL, "")
		c.close()
		if c.resp.StatusCode == 200 {
			return
		}
		if attempt == 10_000 {
			t.Fatal("the places are never free again")
		}
	}
}

// A server that stops does not wait for those who follow.
func TestEventsEndWithTheServer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server, err := web.Bind("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, web.New(options(webtest.Scene("well"))), quiet) }()
	c := follow(t, "http://"+server.Addr().String(), "")
	c.line("event: ")
	cancel()
	for range c.lines {
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
