package chromium

import (
	"slices"
	"strings"
	"time"
)

// Bounds on what is recorded of a page.
const (
	maxRequests = 400     // that are kept
	maxOmitted  = 2000    // requests that are counted only; then the counting stops
	maxURL      = 2 << 10 // bytes
	maxHeaders  = 40      // of a request or a response
	maxHeader   = 300     // bytes of a value
	maxMessages = 40      // of each kind
	maxText     = 500     // bytes of a message
	maxSessions = 50
	maxKept     = 512 << 10 // bytes of all addresses and headers
)

// Record is what a page did. Its texts are the page's own: bounded, neither escaped nor redacted.
type Record struct {
	URL      string    // of the document that the page shows; "" before the first
	Loader   string    // its id, which Request.Loader repeats
	Requests []Request // in the order of their beginning, each redirect one of its own
	Omitted  int       // requests that are counted only
	Console  []string  // error messages
	Errors   []string  // uncaught exceptions
	Marks    Marks     // of the document that the page shows
}

// Marks are when a document reached what it is named after, on the clock of Request.Start; 0 when it has not.
type Marks struct{ Parsed, Loaded, Painted, Idle float64 }

// Header is a header.
type Header struct{ Name, Value string }

// Request is a request and what came of it.
type Request struct {
	id, Loader       string
	Document         bool // asks for the document of the page itself, no frame's
	Kind             string
	Method, URL      string
	Start            float64   // seconds, on Chromium's own clock
	Wall             time.Time // the same instant
	Headers          []Header
	Answered         bool
	Status           int
	StatusText       string
	Protocol, MIME   string
	Address          string // of the server
	AnswerHeaders    []Header
	Timing           *Timing
	Certificate      *CertificateDates
	End              float64 // 0: under way
	Size             int64   // bytes on the wire
	Failure, Blocked string  // net::ERR_..., and why Chromium or the server forbade it
	Cancelled        bool    // by the page itself, or because it was left
}

// CertificateDates are those of the server's certificate, in seconds since 1970.
type CertificateDates struct {
	ValidTo float64 `json:"validTo"`
}

// Timing is when a request reached its stages: Base in seconds on the clock of Request.Start, the rest in milliseconds after
// it, negative for what was not needed.
type Timing struct {
	Base         float64 `json:"requestTime"`
	DNSStart     float64 `json:"dnsStart"`
	DNSEnd       float64 `json:"dnsEnd"`
	ConnectStart float64 `json:"connectStart"`
	ConnectEnd   float64 `json:"connectEnd"`
	TLSStart     float64 `json:"sslStart"`
	TLSEnd       float64 `json:"sslEnd"`
	SendStart    float64 `json:"sendStart"`
	SendEnd      float64 `json:"sendEnd"`
	HeadersEnd   float64 `json:"receiveHeadersEnd"`
}

// Document returns the last request for the page's document, and whether there was one.
func (r Record) Document() (Request, bool) {
	for _, q := range slices.Backward(r.Requests) {
		if q.Document {
			return q, true
		}
	}
	return Request{}, false
}

// Failed reports whether the request failed: no answer, or a status from 400 on.
func (q Request) Failed() bool { return !q.Cancelled && (q.Failure != "" || q.Status >= 400) }

// private reports whether a header may hold what is nobody's business: it is never kept.
func private(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"cookie", "auth", "token", "secret", "key", "session", "csrf", "xsrf", "password", "credential", "signature"},
		func(word string) bool { return strings.Contains(name, word) })
}
