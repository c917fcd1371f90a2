package desktest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Fault is a way in which a ticket system fails.
type Fault int

// The faults. Refusing ones do not hand the request to the system.
const (
	None        Fault = iota
	DropReply         // the system works, and the connection is closed before its answer
	Hang              // the system works not, and says nothing for as long as the client waits
	Endless           // an answer without an end
	ErrorInside       // status 200 with an error in its body
	TooMany           // status 429 with Retry-After: 3600
	Unavailable       // status 503
	HTML              // status 200 with a page of a proxy
	CutShort          // the system works, and its answer breaks off in the middle
	Echo              // status 400 that repeats the request with its headers
	Redirect          // status 302 to an address that takes everything
)

// elsewhere is where Redirect points.
const elsewhere = "/elsewhere"

// Faulty stands between a desk and its ticket system, which is a stand-in or a reverse proxy to the real one, counts requests
// and fails as told. It is safe for concurrent use.
type Faulty struct {
	System http.Handler
	Inside string // the body of ErrorInside; {"error": "..."} unless set

	mu       sync.Mutex
	fault    Fault
	requests int
	written  int64
}

// Set makes every request from now on fail in this way.
func (f *Faulty) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Requests returns how many requests have arrived.
func (f *Faulty) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// Written returns how many bytes of endless answers were taken off by clients.
func (f *Faulty) Written() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written
}

// ServeHTTP implements http.Handler.
func (f *Faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests++
	fault := f.fault
	f.mu.Unlock()
	if r.URL.Path == elsewhere {
		_, _ = io.WriteString(w, "{}")
		return
	}
	switch fault {
	case DropReply:
		f.System.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case CutShort:
		f.cutShort(w, r)
	case Hang:
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the client went away
		<-r.Context().Done()
	case Endless:
		f.endless(w)
	case ErrorInside:
		body := f.Inside
		if body == "" {
			body = `{"error": "the rules of this queue do not allow it"}`
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	case TooMany:
		w.Header().Set("Retry-After", "3600")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	case Unavailable:
		http.Error(w, "back soon", http.StatusServiceUnavailable)
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Sign in to the Internet</title>")
	case Echo:
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, "%v %s %s", r.Header, r.URL, body)
	case Redirect:
		w.Header().Set("Location", elsewhere)
		w.WriteHeader(http.StatusFound) // which would turn a POST into a GET
	case None:
		f.System.ServeHTTP(w, r)
	}
}

func (f *Faulty) cutShort(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	f.System.ServeHTTP(answer, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()+10))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func (f *Faulty) endless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `["`)
	chunk := bytes.Repeat([]byte("a"), 1<<16)
	for {
		n, err := w.Write(chunk)
		f.mu.Lock()
		f.written += int64(n)
		over := f.written > 1<<30
		f.mu.Unlock()
		if err != nil || over {
			return
		}
	}
}
