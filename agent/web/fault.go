package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/firstcall-agent/firstcall/incident"
)

// maxBody bounds what a request may send, in bytes.
const maxBody = 16 << 10

// fault is an error as a client of the API sees it.
type fault struct {
	Status  int    `json:"-"`
	Message string `json:"error"`          // what failed
	Hint    string `json:"hint,omitempty"` // what to do
}

// Error returns "message (hint)".
func (f *fault) Error() string {
	if f.Hint == "" {
		return f.Message
	}
	return f.Message + " (" + f.Hint + ")"
}

// asFault says what err means to a client. What is not its own fault is the store's or the agent's, and is worth a log line.
func asFault(err error) *fault {
	var f *fault
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &tooBig):
		return &fault{Status: http.StatusRequestEntityTooLarge, Message: "the body is too large", Hint: "send less than 16 KiB"}
	case errors.Is(err, incident.ErrNotFound):
		return &fault{Status: http.StatusNotFound, Message: err.Error()}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &fault{Status: http.StatusServiceUnavailable, Message: "the agent did not answer in time", Hint: "its store may be busy; try again"}
	}
	return &fault{Status: http.StatusInternalServerError, Message: err.Error(), Hint: "the agent's log says more"}
}

// refuse answers with err in the form of the address: JSON under /api, a page where people read, text elsewhere.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, f *fault) {
	if f.Status >= http.StatusInternalServerError {
		s.Log.Error("request failed", "path", r.URL.Path, "err", f.Message)
	}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/api/") || path == "/api":
		s.writeJSON(w, f.Status, f)
	case strings.HasPrefix(path, "/-/"), strings.HasPrefix(path, "/static/"), path == "/metrics", path == "/badge.svg":
		writeText(w, f.Status, f.Error())
	default:
		s.render(w, f.Status, "error", errorPage{page: s.page(r, http.StatusText(f.Status), levelUnknown), Fault: f})
	}
}

type errorPage struct {
	page
	Fault *fault
}

// answer makes a handler of a function that returns what shall be sent as JSON.
func (s *site) answer(fn func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		body, err := fn(r.WithContext(ctx))
		if err != nil {
			s.refuse(w, r, asFault(err))
			return
		}
		s.writeJSON(w, http.StatusOK, body)
	}
}

func (s *site) writeJSON(w http.ResponseWriter, status int, body any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(body); err != nil {
		s.Log.Error("answer cannot be encoded", "err", err)
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error": "the answer cannot be encoded"}` + "\n")
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(strings.TrimRight(text, "\n") + "\n"))
}
