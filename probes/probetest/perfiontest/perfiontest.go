// Package perfiontest is a stand-in for a Perfion API service: the Data Web Service (SOAP 1.1 and 1.2) and the REST API, with
// their ways to log on, as Perfion's documentation describes them (Data Web Service, REST API service, Authentication). What the
// documentation leaves open, as the words of errors, is a guess.
package perfiontest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Options describe a service. The zero value has the newest form, wants no log-on and answers every query.
type Options struct {
	Users    map[string]string // passwords by user; none: no log-on is wanted
	Bearer   string            // a token that is accepted besides, as if Entra had issued it
	Old      bool              // before 5.0: SOAP takes the headers user and pwd only
	Lifetime any               // expires_in of tokens; nil: not told
	Took     string            // totalExecutionTime; "": 00:00:00.0011051
	SOAP12   bool              // answer in SOAP 1.2

	// Fault answers in place of the service where it returns a handler: to the nth request, from 1, of an operation: ExecuteQuery,
	// GetVersion, data or token. It runs before the log-on is looked at.
	Fault func(operation string, nth int) http.HandlerFunc
}

// Seen is what a service was asked.
type Seen struct {
	Queries, Versions, Data, Tokens int // requests of each operation
	Refused                         int // requests with a log-on that was refused, tokens included
	Anonymous                       int // requests without any log-on
	Query                           string
}

// Server is a running service.
type Server struct {
	URL string

	options Options
	mu      sync.Mutex
	seen    Seen
	tokens  map[string]bool
	issued  int
}

// Start starts a service that ends with t.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{options: o, tokens: map[string]bool{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Seen returns what was asked so far.
func (s *Server) Seen() Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Revoke makes every token that was issued invalid, as a restart with a new key does.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Hash is BASE64(SHA256(password)).
func Hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// envelope is what matters of a question.
type envelope struct {
	XMLName xml.Name
	Body    struct {
		ExecuteQuery *struct {
			Query string `xml:"http://perfion.com/ query"`
		} `xml:"http://perfion.com/ ExecuteQuery"`
		GetVersion *struct{} `xml:"http://perfion.com/ GetVersion"`
	} `xml:"Body"`
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	operation, query := operationOf(r, body)
	nth := s.count(operation, query)
	if s.options.Fault != nil {
		if fault := s.options.Fault(operation, nth); fault != nil {
			fault(w, r)
			return
		}
	}
	switch {
	case operation == "":
		Page(http.StatusNotFound, "404 - File or directory not found.")(w, r)
	case operation == "token":
		s.token(w, r, string(body))
	case !s.allowed(r, operation):
		w.Header().Set("WWW-Authenticate", "Bearer")
		Message(http.StatusUnauthorized, "No valid authentication token was supplied!")(w, r)
	case operation == "data":
		s.data(w, body)
	case operation == "GetVersion":
		s.soap(w, operation, "5.4.1.0")
	default:
		s.soap(w, operation, Data(s.options.Took))
	}
}

func operationOf(r *http.Request, body []byte) (operation, query string) {
	switch {
	case r.Method != http.MethodPost:
		return "", ""
	case r.URL.Path == "/data":
		return "data", string(body)
	case r.URL.Path == "/token":
		return "token", ""
	case r.URL.Path != "/Perfion/GetData.asmx":
		return "", ""
	}
	var e envelope
	if err := xml.Unmarshal(body, &e); err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/xml") {
		return "", ""
	}
	if e.Body.ExecuteQuery != nil && r.Header.Get("SOAPAction") == `"http://perfion.com/ExecuteQuery"` {
		return "ExecuteQuery", e.Body.ExecuteQuery.Query
	}
	if e.Body.GetVersion != nil && r.Header.Get("SOAPAction") == `"http://perfion.com/GetVersion"` {
		return "GetVersion", ""
	}
	return "", ""
}

func (s *Server) count(operation, query string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if query != "" {
		s.seen.Query = query
	}
	counters := map[string]*int{"ExecuteQuery": &s.seen.Queries, "GetVersion": &s.seen.Versions, "data": &s.seen.Data, "token": &s.seen.Tokens}
	if counter := counters[operation]; counter != nil {
		*counter++
		return *counter
	}
	return 0
}

// allowed checks the log-on of a request.
func (s *Server) allowed(r *http.Request, operation string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	authorization, user := r.Header.Get("Authorization"), r.Header.Get("user")
	if authorization == "" && user == "" {
		s.seen.Anonymous++
		return len(s.options.Users) == 0 && s.options.Bearer == ""
	}
	if s.accepts(r, operation, authorization, user) {
		return true
	}
	s.seen.Refused++
	return false
}

func (s *Server) accepts(r *http.Request, operation, authorization, user string) bool {
	if user != "" {
		password, known := s.options.Users[user]
		return operation != "data" && known && r.Header.Get("pwd") == Hash(password)
	}
	if s.options.Old {
		return false
	}
	if token, ok := strings.CutPrefix(authorization, "Bearer "); ok {
		return s.tokens[token] || s.options.Bearer != "" && token == s.options.Bearer
	}
	name, hash, _ := r.BasicAuth()
	password, known := s.options.Users[name]
	return operation != "data" && known && hash == Hash(password)
}

func (s *Server) token(w http.ResponseWriter, r *http.Request, body string) {
	r.Body = io.NopCloser(strings.NewReader(body))
	s.mu.Lock()
	password, known := s.options.Users[r.PostFormValue("username")]
	good := known && r.PostFormValue("password") == Hash(password) && strings.EqualFold(r.PostFormValue("grant_type"), "password")
	if !good {
		s.seen.Refused++
		s.mu.Unlock()
		Message(http.StatusBadRequest, "The user name or password is incorrect.")(w, r)
		return
	}
	s.issued++
	token := fmt.Sprintf("eyJhbGciOiJIUzI1NiJ9.token-%06d-0123456789abcdef.c2lnbmF0dXJl", s.issued)
	s.tokens[token] = true
	s.mu.Unlock()
	answer := map[string]any{"access_token": token, "token_type": "bearer"}
	if s.options.Lifetime != nil {
		answer["expires_in"] = s.options.Lifetime
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) data(w http.ResponseWriter, body []byte) {
	var asked struct{ Query json.RawMessage }
	if json.Unmarshal(body, &asked) != nil || len(asked.Query) == 0 {
		Message(http.StatusBadRequest, "The query is not valid.")(w, nil)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = fmt.Fprintf(w, `{"Data":{"totalExecutionTime":%q,"totalCount":853,"Features":[{"id":105,"caption":"Image"}],"Items":[{"id":853,"Values":[{"featureId":100,"value":"TE717"}]}]}}`, took(s.options.Took))
}

func took(span string) string {
	if span == "" {
		return "00:00:00.0011051"
	}
	return span
}

// Data is the XML of an answer with one item and the definitions of two features.
func Data(span string) string {
	return `<?xml version="1.0" encoding="utf-16"?><Data totalExecutionTime="` + took(span) + `" totalCount="853"><Features>` +
		`<Image id="105" language="EN" caption="Image" /><Description id="148" language="EN" /></Features>` +
		`<Product id="853" parentId="0" brand="Normal" order="0"><Value seq="0">TE717 &amp; more</Value></Product></Data>`
}

func (s *Server) soap(w http.ResponseWriter, operation, result string) {
	kind := "text/xml; charset=utf-8"
	if s.options.SOAP12 {
		kind = "application/soap+xml; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = io.WriteString(w, Envelope(s.options.SOAP12, operation, result))
}

// Envelope is the answer to an operation, in SOAP 1.1 or 1.2.
func Envelope(soap12 bool, operation, result string) string {
	namespace := "http://schemas.xmlsoap.org/soap/envelope/"
	if soap12 {
		namespace = "http://www.w3.org/2003/05/soap-envelope"
	}
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(result))
	return `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="` + namespace + `" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soap:Body><` +
		operation + `Response xmlns="http://perfion.com/"><` + operation + `Result>` + escaped.String() + `</` + operation + `Result></` + operation + `Response></soap:Body></soap:Envelope>`
}

// Page answers with a page, as a log-in, a proxy or IIS does.
func Page(status int, heading string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!DOCTYPE html>\r\n<html><head><title>"+heading+"</title></head><body><h1>"+heading+"</h1></body></html>")
	}
}

// Text answers with a text of a type.
func Text(status int, kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// Message answers with the JSON of an error.
func Message(status int, text string) http.HandlerFunc {
	body, _ := json.Marshal(map[string]any{"message": []string{text}})
	return Text(status, "application/json; charset=utf-8", string(body))
}

// Fault answers with a SOAP 1.1 fault, as ASP.NET does: status 500.
func Fault(code, text string) http.HandlerFunc {
	return Text(http.StatusInternalServerError, "text/xml; charset=utf-8", `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault><faultcode>soap:`+
		code+`</faultcode><faultstring>`+text+`</faultstring><detail /></soap:Fault></soap:Body></soap:Envelope>`)
}

// Fault12 answers with a SOAP 1.2 fault.
func Fault12(code, text string) http.HandlerFunc {
	return Text(http.StatusInternalServerError, "application/soap+xml; charset=utf-8", `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"><soap:Body><soap:Fault><soap:Code><soap:Value>soap:`+
		code+`</soap:Value></soap:Code><soap:Reason><soap:Text xml:lang="en">`+text+`</soap:Text></soap:Reason><detail /></soap:Fault></soap:Body></soap:Envelope>`)
}

// Hang answers nothing until the client gives up.
func Hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Always makes an operation fail every time; Once only the first time.
func Always(operation string, fault http.HandlerFunc) func(string, int) http.HandlerFunc {
	return func(asked string, _ int) http.HandlerFunc {
		if asked == operation {
			return fault
		}
		return nil
	}
}

// Once makes an operation fail the first time.
func Once(operation string, fault http.HandlerFunc) func(string, int) http.HandlerFunc {
	return func(asked string, nth int) http.HandlerFunc {
		if asked == operation && nth == 1 {
			return fault
		}
		return nil
	}
}
