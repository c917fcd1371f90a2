package chromium

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// peer is a browser that the test plays: it reads commands and writes what it likes.
type peer struct {
	commands chan message
	out      *io.PipeWriter
	*conn
}

func startPeer(t *testing.T) *peer {
	t.Helper()
	commandsR, commandsW := io.Pipe()
	answersR, answersW := io.Pipe()
	p := &peer{commands: make(chan message, 16), out: answersW, conn: newConn(answersR, commandsW)}
	go func() {
		defer close(p.commands)
		var text []byte
		one := make([]byte, 1)
		for {
			if _, err := commandsR.Read(one); err != nil {
				return
			}
			if one[0] != 0 {
				text = append(text, one[0])
				continue
			}
			var m message
			_ = json.Unmarshal(text, &m)
			text = nil
			p.commands <- m
		}
	}()
	t.Cleanup(func() {
		_ = answersW.Close()
		_ = commandsW.Close()
		<-p.gone
	})
	return p
}

func (p *peer) say(text string) { _, _ = io.WriteString(p.out, text+"\x00") }

// TestCall states what a command may end in.
func TestCall(t *testing.T) {
	for name, c := range map[string]struct {
		answer string // %d is the command's number
		want   string
		err    string
	}{
		"answer":          {`{"id":%d,"result":{"value":"x"}}`, "x", ""},
		"refused":         {`{"id":%d,"error":{"code":-32000,"message":"no such frame"}}`, "", "chromium refuses Page.do: no such frame"},
		"too long":        {`{"id":%d,"result":{"value":"` + strings.Repeat("x", 3<<20) + `"}}`, "", "too long"},
		"not understood":  {`{"id":%d,"result":[]}`, "", "is not understood"},
		"noise before":    {"{]\x00\x00null\x00" + `{"id":99999,"result":{}}` + "\x00" + `{"id":%d,"result":{"value":"y"}}`, "y", ""},
		"an event before": {`{"method":"A.b","params":{"x":"` + strings.Repeat("x", 3<<20) + `"}}` + "\x00" + `{"id":%d,"result":{"value":"z"}}`, "z", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPeer(t)
			go func() {
				m := <-p.commands
				p.say(fmt.Sprintf(c.answer, m.ID))
			}()
			var got struct{ Value string }
			err := p.call(t.Context(), "s", "Page.do", object{"a": 1}, &got)
			if got.Value != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q, %v; want %q, %q", got.Value, err, c.want, c.err)
			}
		})
	}
}

func TestCallEnds(t *testing.T) {
	p := startPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-p.commands; cancel() }()
	if err := p.call(ctx, "", "Page.do", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled command ends in %v", err)
	}
	crash := make(chan struct{})
	go func() { <-p.commands; close(crash) }()
	if err := p.callUntil(t.Context(), crash, "", "Page.do", nil, nil); !errors.Is(err, ErrCrashed) {
		t.Errorf("a command of a crashed page ends in %v", err)
	}
	go func() { <-p.commands; _ = p.out.Close() }()
	if err := p.call(t.Context(), "", "Page.do", nil, nil); !errors.Is(err, ErrGone) {
		t.Errorf("a command of a browser that ends, ends in %v", err)
	}
	if p.mu.Lock(); len(p.calls) != 0 {
		t.Errorf("%d commands are remembered", len(p.calls))
	}
	p.mu.Unlock()
}

// TestReadMessageIsBounded states that what is kept of a message is bounded, whatever a page says.
func TestReadMessageIsBounded(t *testing.T) {
	long := startPeer(t)
	before := make(chan bool)
	long.listen("", func(_, method string, _ json.RawMessage) {
		if method == "Last.one" {
			close(before)
			return
		}
		t.Errorf("the event %s is passed on", method)
	})
	piece := bytes.Repeat([]byte("x"), 1<<20)
	_, _ = io.WriteString(long.out, `{"method":"Runtime.consoleAPICalled","params":{"x":"`)
	for range 64 {
		_, _ = long.out.Write(piece)
	}
	long.say(`"}}`)
	long.say(`{"method":"Last.one","params":{}}`)
	<-before
}

// recording returns a recorder of the frame F, whose commands nobody reads.
func recording() *recorder {
	r := newRecorder(newConn(io.NopCloser(strings.NewReader("")), discard{}))
	r.frame = "F"
	r.attach("S")
	return r
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// TestRecord states what is taken down of a page that redirects, fails, prints and crashes.
func TestRecord(t *testing.T) {
	r := recording()
	for _, e := range []struct{ method, params string }{
		{"Network.requestWillBeSent", `{"requestId":"L","loaderId":"L","frameId":"F","type":"Document","timestamp":10,"wallTime":1e9,"request":{"url":"http://a/","method":"GET","headers":{"Accept":"x","Cookie":"secret","X-Auth-Token":"secret"}}}`},
		{"Network.requestWillBeSent", `{"requestId":"L","loaderId":"L","frameId":"F","type":"Document","timestamp":10.5,"request":{"url":"http://a/login","method":"GET"},"redirectResponse":{"status":302,"headers":{"Location":"/login","Set-Cookie":"secret"},"timing":{"requestTime":10,"receiveHeadersEnd":400}}}`},
		{"Network.responseReceived", `{"requestId":"L","response":{"status":200,"statusText":"OK","mimeType":"text/html","protocol":"h2","remoteIPAddress":"192.0.2.1"}}`},
		{"Page.frameNavigated", `{"frame":{"id":"F","loaderId":"L","url":"http://a/login"}}`},
		{"Page.lifecycleEvent", `{"frameId":"F","loaderId":"L","name":"DOMContentLoaded","timestamp":11}`},
		{"Page.lifecycleEvent", `{"frameId":"G","loaderId":"L","name":"load","timestamp":12}`},
		{"Network.requestWillBeSent", `{"requestId":"2","loaderId":"L","frameId":"F","type":"Image","timestamp":11,"request":{"url":"http://a/x.png","method":"GET"}}`},
		{"Network.loadingFailed", `{"requestId":"2","timestamp":12,"errorText":"net::ERR_FAILED"}`},
		{"Network.requestWillBeSent", `{"requestId":"3","loaderId":"L","frameId":"F","type":"Image","timestamp":11,"request":{"url":"data:image/png;base64,AA","method":"GET"}}`},
		{"Runtime.consoleAPICalled", `{"type":"error","args":[{"value":"no"},{"value":7},{"description":"Object"}]}`},
		{"Runtime.consoleAPICalled", `{"type":"log","args":[{"value":"fine"}]}`},
		{"Runtime.exceptionThrown", `{"exceptionDetails":{"text":"Uncaught","exception":{"description":"Error: boom\n at x"}}}`},
		{"Log.entryAdded", `{"entry":{"source":"security","level":"error","text":"blocked"}}`},
		{"Log.entryAdded", `{"entry":{"source":"network","level":"error","text":"404"}}`},
		{"Inspector.targetCrashed", `{}`},
		{"Inspector.targetCrashed", `{}`},
	} {
		r.handle("S", e.method, json.RawMessage(e.params))
	}
	got := r.copy()
	if len(got.Requests) != 3 || got.Requests[0].Status != 302 || got.Requests[0].End != 10.5 || got.Requests[1].URL != "http://a/login" || !got.Requests[2].Failed() {
		t.Errorf("requests are %+v", got.Requests)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, "secret") {
		t.Errorf("a secret is kept: %s", text)
	}
	if document, ok := got.Document(); !ok || document.Status != 200 || document.Loader != got.Loader {
		t.Errorf("the document is %+v", document)
	}
	if got.Marks != (Marks{Parsed: 11}) || got.URL != "http://a/login" {
		t.Errorf("marks are %+v of %s", got.Marks, got.URL)
	}
	if fmt.Sprint(got.Console) != "[no 7 Object blocked]" || len(got.Errors) != 1 || !r.crashed() {
		t.Errorf("console %q, errors %q, crashed %v", got.Console, got.Errors, r.crashed())
	}
}

// FuzzRecorder states that no event makes a recorder fail or keep more than its bounds.
func FuzzRecorder(f *testing.F) {
	f.Add("Network.requestWillBeSent", `{"requestId":"L","loaderId":"L","frameId":"F","type":"Document","request":{"url":"http://a/","headers":{"a":"b"}}}`)
	f.Add("Network.responseReceived", `{"requestId":"L","response":{"status":1,"timing":{"requestTime":-1}}}`)
	f.Add("Runtime.consoleAPICalled", `{"type":"error","args":[{"value":{}}]}`)
	f.Add("Target.attachedToTarget", `{"sessionId":"T"}`)
	f.Fuzz(func(t *testing.T, method, params string) {
		r := recording()
		for range 3 {
			r.handle("S", method, json.RawMessage(params))
		}
		got := r.copy()
		for _, q := range got.Requests {
			if len(q.URL) > maxURL || len(q.Headers) > maxHeaders || len(q.StatusText) > 60 {
				t.Errorf("a request is not bounded: %.200v", q)
			}
		}
		for _, text := range append(got.Console, got.Errors...) {
			if len(text) > maxText {
				t.Errorf("a message has %d bytes", len(text))
			}
		}
	})
}

func TestRecordIsBounded(t *testing.T) {
	r := recording()
	headers := object{}
	for i := range 100 {
		headers[fmt.Sprint("h", i)] = strings.Repeat("x", 1000)
	}
	for i := range 300 {
		params, _ := json.Marshal(object{
			"requestId": fmt.Sprint(i), "request": object{"url": "http://a/" + strings.Repeat("x", 5000), "headers": headers},
		})
		r.handle("S", "Network.requestWillBeSent", params)
		r.handle("S", "Runtime.consoleAPICalled", json.RawMessage(`{"type":"error","args":[{"value":"`+strings.Repeat("x", 1000)+`"}]}`))
	}
	got := r.copy()
	if r.kept > maxKept+maxHeaders*2*maxHeader+maxURL || len(got.Requests)+got.Omitted != 300 || got.Omitted == 0 || len(got.Console) != maxMessages {
		t.Errorf("%d bytes kept of %d requests, %d omitted, %d messages", r.kept, len(got.Requests), got.Omitted, len(got.Console))
	}
}
