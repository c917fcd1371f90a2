package systems

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/desk/desktest"
)

// ServiceNowOptions say how an instance is set up. The zero value takes OAuth and has no unique field.
type ServiceNowOptions struct {
	Auth      string        // oauth (the zero value as well), basic or api_key
	Unique    bool          // the key field is Unique in the dictionary
	TokenLife time.Duration // 0: 30 min
	Now       func() time.Time
}

// What the instance is set up with.
const (
	SnowKeyField = "u_firstcall_key"
	SnowClient   = "c11ent-1d"
	SnowSecret   = `cl1ent "s3cret" Æ+/=`
	SnowUser     = "firstcall.agent"
	SnowPassword = "p4ss:w0rd/Æ=="
	SnowAPIKey   = "now_4p1-k3y+/=="
	SnowCaller   = "it.acme" // with the e-mail address it@acme.example
	SnowGroup    = "SOC"
)

const snowLayout = "2006-01-02 15:04:05"

// ServiceNow is an instance of ServiceNow as its Table API shows it: states with their rules, a priority that is computed, journal
// fields, sys_audit, access tokens. Unknown fields are ignored without a word, in a record and in a query, as the real one does.
// It is safe for concurrent use.
type ServiceNow struct {
	options ServiceNowOptions

	mu        sync.Mutex
	tables    map[string][]snowRow
	tokens    map[string]time.Time // until when
	last      int
	ignored   []string
	mandatory string // a field that a data policy wants on insert
	limited   bool
	noAudit   bool
	readOnly  string // a field that an ACL protects: what is written to it is dropped
	logins    int
	failLogin bool
	files     map[string][]desktest.Kept // by incident
}

type snowRow map[string]string

// snowIncident are the fields of the table incident that the instance has.
var snowIncident = []string{
	"sys_id", "number", "short_description", "description", "state", "hold_reason", "impact", "urgency", "priority", "caller_id", "assignment_group",
	"assigned_to", "close_code", "close_notes", "comments", "work_notes", "correlation_id", "correlation_display", "category", "contact_type",
	"sys_created_on", "sys_created_by", "sys_updated_on", "sys_mod_count", SnowKeyField,
}

// NewServiceNow returns an instance without incidents.
func NewServiceNow(options ServiceNowOptions) *ServiceNow {
	if options.Now == nil {
		options.Now = time.Now
	}
	s := &ServiceNow{options: options, tokens: map[string]time.Time{}, tables: map[string][]snowRow{}}
	s.tables["sys_user"] = []snowRow{
		{"sys_id": s.id(), "user_name": SnowUser, "email": "", "active": "true"},
		{"sys_id": s.id(), "user_name": SnowCaller, "email": "it@acme.example", "active": "true"},
		{"sys_id": s.id(), "user_name": "left.acme", "email": "left@acme.example", "active": "false"},
		{"sys_id": s.id(), "user_name": "soc.op", "email": "op@soc.example", "active": "true"},
	}
	s.tables["sys_user_group"] = []snowRow{{"sys_id": s.id(), "name": SnowGroup, "active": "true"}}
	s.tables["sys_audit"], s.tables["incident"] = []snowRow{}, []snowRow{}
	return s
}

// Mandatory makes a data policy want the field on insert; "": none.
func (s *ServiceNow) Mandatory(field string) { s.set(func() { s.mandatory = field }) }

// ReadOnly makes an ACL protect the field: what is written to it is dropped; "": none.
func (s *ServiceNow) ReadOnly(field string) { s.set(func() { s.readOnly = field }) }

// Limit makes the instance refuse requests beyond its rate limit, or not.
func (s *ServiceNow) Limit(on bool) { s.set(func() { s.limited = on }) }

// HideAudit takes the right to read sys_audit away, or gives it back.
func (s *ServiceNow) HideAudit(on bool) { s.set(func() { s.noAudit = on }) }

// Revoke makes every access token invalid.
func (s *ServiceNow) Revoke() { s.set(func() { clear(s.tokens) }) }

// RefuseLogin makes the instance refuse to give tokens, or not.
func (s *ServiceNow) RefuseLogin(on bool) { s.set(func() { s.failLogin = on }) }

// Logins returns how many access tokens were given.
func (s *ServiceNow) Logins() (n int) { s.set(func() { n = s.logins }); return n }

// Ignored returns the unknown fields that were written or asked for, which the instance ignored.
func (s *ServiceNow) Ignored() (all []string) {
	s.set(func() { all = slices.Clone(s.ignored) })
	return all
}

// Record returns the fields of an incident.
func (s *ServiceNow) Record(ref string) (row map[string]string) {
	s.set(func() { row = maps.Clone(s.incident(ref)) })
	return row
}

func (s *ServiceNow) set(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// States implements desktest.System.
func (s *ServiceNow) States(key string) (states []incident.CaseState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.tables["incident"] {
		if row[SnowKeyField] == key {
			states = append(states, map[string]incident.CaseState{
				"1": incident.CaseNew, "2": incident.CaseAcknowledged, "3": incident.CaseHeld, "6": incident.CaseResolved,
				"7": incident.CaseResolved, "8": incident.CaseWithdrawn,
			}[row["state"]])
		}
	}
	return states
}

// YAML implements desktest.System.
func (s *ServiceNow) YAML(address string) string {
	credentials := fmt.Sprintf("client_id: %s\nclient_secret: %q", SnowClient, SnowSecret)
	switch s.options.Auth {
	case "basic":
		credentials = fmt.Sprintf("user: %s\npassword: %q", SnowUser, SnowPassword)
	case "api_key":
		credentials = fmt.Sprintf("api_key: %q", SnowAPIKey)
	}
	return fmt.Sprintf("url: %s\n%s\nkey_field: %s\nunique_key: %t\ncaller: %s\nassignment_group: %s",
		address, credentials, SnowKeyField, s.options.Unique, s.tables["sys_user"][1]["sys_id"], s.tables["sys_user_group"][0]["sys_id"])
}

// id returns a new sys_id. It does not rise, as the real ones do not.
func (s *ServiceNow) id() string {
	s.last++
	return fmt.Sprintf("%08x%024x", uint32(s.last)*2654435761, s.last)
}

// ServeHTTP implements http.Handler.
func (s *ServiceNow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 10<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	status, answer := s.serve(w.Header(), r, body)
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// snowFault is an error as the Table API says it.
func snowFault(status int, message, detail string) (int, any) {
	return status, map[string]any{"error": map[string]any{"message": message, "detail": detail}, "status": "failure"}
}

func (s *ServiceNow) serve(header http.Header, r *http.Request, body []byte) (int, any) {
	if r.URL.Path == "/oauth_token.do" {
		return s.login(r, body)
	}
	if !s.known(r) {
		header.Set("WWW-Authenticate", `BASIC realm="Service-now"`)
		return snowFault(http.StatusUnauthorized, "User Not Authenticated", "Required to provide Auth information")
	}
	if s.limited {
		header.Set("X-RateLimit-Limit", "1000")
		header.Set("X-RateLimit-Reset", strconv.FormatInt(s.options.Now().Add(time.Hour).Unix(), 10))
		header.Set("X-RateLimit-Rule", "0b2a0e1f0f1a0010d5f1a0b2c3d4e5f6")
		header.Set("Retry-After", "3600")
		return snowFault(http.StatusTooManyRequests, "Rate limit exceeded", "Rate limit of 1000 requests per hour for Table API exceeded")
	}
	if strings.HasPrefix(r.URL.Path, "/api/now/attachment") {
		return s.attach(r, body)
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/api/now/table/")
	if !ok {
		return snowFault(http.StatusBadRequest, "Requested URI does not represent any resource", r.URL.Path)
	}
	if accept, _, _ := mime.ParseMediaType(r.Header.Get("Accept")); accept != "application/json" {
		return snowFault(http.StatusNotAcceptable, "Unsupported Accept header", "")
	}
	table, id, single := strings.Cut(path, "/")
	if _, ok := s.tables[table]; !ok {
		return snowFault(http.StatusBadRequest, "Invalid table "+table, "")
	}
	if r.Method == http.MethodGet {
		if s.noAudit && table == "sys_audit" {
			return snowFault(http.StatusForbidden, "User Not Authorized", "Failed API level ACL Validation")
		}
		return s.read(r, table, id, single)
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return snowFault(http.StatusUnsupportedMediaType, "Unsupported media type", "")
	}
	var values map[string]string
	if err := json.Unmarshal(body, &values); err != nil {
		return snowFault(http.StatusBadRequest, "Exception while reading request", "The payload is not valid JSON.")
	}
	switch {
	case table != "incident":
		return snowFault(http.StatusForbidden, "User Not Authorized", "Failed API level ACL Validation")
	case r.Method == http.MethodPost && !single:
		return s.insert(r, values)
	case (r.Method == http.MethodPatch || r.Method == http.MethodPut) && single:
		return s.update(r, id, values)
	}
	return snowFault(http.StatusMethodNotAllowed, "Method not supported", r.Method)
}

// login gives a token: RFC 6749.
func (s *ServiceNow) login(r *http.Request, body []byte) (int, any) {
	form := parseForm(string(body))
	switch {
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		return http.StatusBadRequest, map[string]any{"error": "invalid_request"}
	case form.Get("grant_type") != "client_credentials" || s.options.Auth != "" && s.options.Auth != "oauth":
		return http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type", "error_description": "grant type not supported"}
	case form.Get("client_id") != SnowClient || form.Get("client_secret") != SnowSecret || s.failLogin:
		return http.StatusUnauthorized, map[string]any{"error": "server_error", "error_description": "access_denied"}
	}
	s.logins++
	life := cmp.Or(s.options.TokenLife, 30*time.Minute)
	token := fmt.Sprintf("t0k3n-%d-%s", s.logins, s.id())
	s.tokens[token] = s.options.Now().Add(life)
	return http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "scope": "useraccount", "expires_in": int(life / time.Second)}
}

func (s *ServiceNow) known(r *http.Request) bool {
	switch s.options.Auth {
	case "basic":
		user, password, ok := r.BasicAuth()
		return ok && user == SnowUser && password == SnowPassword
	case "api_key":
		return r.Header.Get("x-sn-apikey") == SnowAPIKey
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && s.options.Now().Before(s.tokens[token])
}
