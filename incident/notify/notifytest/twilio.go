package notifytest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The account that a Twilio has.
const (
	TwilioAccount = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	TwilioToken   = "tw1l10-auth-t0ken-0123456789abcd"
	TwilioKey     = "SKbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	TwilioSecret  = "tw1l10-k3y-secret-0123456789"
	TwilioFrom    = "+4570000000"
)

// TwilioCall is a call that was made.
type TwilioCall struct {
	SID, To, TwiML, Timeout, SendDigits string

	created time.Time
	polls   int
	ends    string
}

// Twilio stands in for Twilio's calls (https://www.twilio.com/docs/voice/api/call-resource): it takes what that takes and
// refuses the rest with its errors. Each time that somebody asks for a call, the call has moved on by one status.
type Twilio struct {
	mu    sync.Mutex
	calls []*TwilioCall
	ends  map[string]string
	lost  int
	limit int
	wrong []string
	lag   int
	posts int
}

// NewTwilio returns a Twilio where everybody answers.
func NewTwilio() *Twilio { return &Twilio{ends: map[string]string{}} }

// Ends sets how calls to a number end: completed, busy, no-answer, failed or canceled; or "ringing", which never ends.
func (tw *Twilio) Ends(number, status string) { tw.set(func() { tw.ends[number] = status }) }

// LoseReplies lets the connection of the next n requests for a call break after it is made.
func (tw *Twilio) LoseReplies(n int) { tw.set(func() { tw.lost = n }) }

// Lag keeps calls out of the next n lists.
func (tw *Twilio) Lag(n int) { tw.set(func() { tw.lag = n }) }

// Limit answers the next n requests for a call with 429.
func (tw *Twilio) Limit(n int) { tw.set(func() { tw.limit = n }) }

func (tw *Twilio) set(change func()) {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	change()
}

// Calls returns the calls that were made, oldest first.
func (tw *Twilio) Calls() []TwilioCall {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	all := make([]TwilioCall, len(tw.calls))
	for i, c := range tw.calls {
		all[i] = *c
	}
	return all
}

// Posts returns how often a call was asked for, made or not.
func (tw *Twilio) Posts() int {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	return tw.posts
}

// Wrong returns what a client did that Twilio's documentation does not know.
func (tw *Twilio) Wrong() []string {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	return slices.Clone(tw.wrong)
}

var (
	twilioNumber = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	twilioForm   = []string{"From", "SendDigits", "Timeout", "To", "Twiml"}
	twilioQuery  = []string{"From", "PageSize", "To"}
)

// ServeHTTP implements http.Handler.
func (tw *Twilio) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	const calls = "/2010-04-01/Accounts/" + TwilioAccount + "/Calls"
	user, password, _ := r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	switch sid := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, calls+"/"), ".json"); {
	case (user != TwilioAccount || password != TwilioToken) && (user != TwilioKey || password != TwilioSecret):
		refuse(w, http.StatusUnauthorized, 20003, "Authenticate")
	case r.URL.Path == calls+".json" && r.Method == http.MethodPost:
		tw.post(w, r)
	case r.URL.Path == calls+".json" && r.Method == http.MethodGet:
		tw.list(w, r)
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, calls+"/") && strings.HasSuffix(r.URL.Path, ".json"):
		tw.fetch(w, sid)
	default:
		tw.wrong = append(tw.wrong, r.Method+" "+r.URL.Path)
		refuse(w, http.StatusNotFound, 20404, "The requested resource "+r.URL.Path+" was not found")
	}
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"code": code, "message": message, "more_info": fmt.Sprintf("https://www.twilio.com/docs/errors/%d", code), "status": status,
	})
}

func (tw *Twilio) post(w http.ResponseWriter, r *http.Request) {
	tw.posts++
	if tw.limit > 0 {
		tw.limit--
		refuse(w, http.StatusTooManyRequests, 20429, "Too Many Requests")
		return
	}
	if err := r.ParseForm(); err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(r.URL.RawQuery) > 0 {
		tw.wrong = append(tw.wrong, "a request for a call that is no form")
	}
	for _, key := range slices.Sorted(maps.Keys(r.PostForm)) {
		if !slices.Contains(twilioForm, key) || len(r.PostForm[key]) != 1 {
			tw.wrong = append(tw.wrong, "form field "+key)
		}
	}
	to, from, twiml := r.PostForm.Get("To"), r.PostForm.Get("From"), r.PostForm.Get("Twiml")
	timeout, err := strconv.Atoi(r.PostForm.Get("Timeout"))
	switch {
	case to == "":
		refuse(w, http.StatusBadRequest, 21201, "No 'To' number is specified")
	case !twilioNumber.MatchString(to):
		refuse(w, http.StatusBadRequest, 21211, "The phone number you are attempting to call, "+to+", is not valid.")
	case from != TwilioFrom:
		refuse(w, http.StatusBadRequest, 21212, "Invalid 'From' Phone Number: "+from)
	case err != nil || timeout < 1 || timeout > 600:
		refuse(w, http.StatusBadRequest, 21208, "Timeout is not valid")
	case twiml == "":
		refuse(w, http.StatusBadRequest, 21205, "Url parameter is required.")
	case utf8.RuneCountInString(twiml) > 4000:
		refuse(w, http.StatusBadRequest, 21220, "Twiml exceeds the limit of 4000 characters")
	default:
		tw.open(w, r)
	}
}

// open makes the call.
func (tw *Twilio) open(w http.ResponseWriter, r *http.Request) {
	c := &TwilioCall{
		SID: fmt.Sprintf("CA%032x", len(tw.calls)+1), To: r.PostForm.Get("To"), TwiML: r.PostForm.Get("Twiml"),
		Timeout: r.PostForm.Get("Timeout"), SendDigits: r.PostForm.Get("SendDigits"), created: time.Now(), ends: "completed",
	}
	if end := tw.ends[c.To]; end != "" {
		c.ends = end
	}
	if err := sayable(c.TwiML); err != nil {
		tw.wrong = append(tw.wrong, "TwiML "+err.Error())
	}
	tw.calls = append(tw.calls, c)
	if tw.lost > 0 {
		tw.lost--
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(c.shown())
}

// sayable checks TwiML that speaks and waits only.
func sayable(twiml string) error {
	var response struct {
		XMLName xml.Name `xml:"Response"`
		Verbs   []struct {
			XMLName  xml.Name
			Language string `xml:"language,attr"`
			Text     string `xml:",chardata"`
		} `xml:",any"`
	}
	if err := xml.Unmarshal([]byte(twiml), &response); err != nil {
		return err
	}
	for _, v := range response.Verbs {
		switch {
		case v.XMLName.Local == "Say" && v.Language != "" && v.Text != "":
		case v.XMLName.Local == "Pause" && v.Text == "":
		default:
			return fmt.Errorf("has a verb %s with language %q", v.XMLName.Local, v.Language)
		}
	}
	return nil
}

func (tw *Twilio) fetch(w http.ResponseWriter, sid string) {
	for _, c := range tw.calls {
		if c.SID == sid {
			c.polls++
			_ = json.NewEncoder(w).Encode(c.shown())
			return
		}
	}
	refuse(w, http.StatusNotFound, 20404, "The requested resource was not found")
}

func (tw *Twilio) list(w http.ResponseWriter, r *http.Request) {
	for key := range r.URL.Query() {
		if !slices.Contains(twilioQuery, key) {
			tw.wrong = append(tw.wrong, "query "+key)
		}
	}
	found := []map[string]any{}
	for i := len(tw.calls) - 1; i >= 0 && tw.lag == 0; i-- {
		if tw.calls[i].To == r.URL.Query().Get("To") {
			found = append(found, tw.calls[i].shown())
		}
	}
	tw.lag = max(tw.lag-1, 0)
	_ = json.NewEncoder(w).Encode(map[string]any{"calls": found, "page": 0, "page_size": 20, "next_page_uri": nil})
}

// shown is the call as the API shows it.
func (c *TwilioCall) shown() map[string]any {
	course := []string{"queued", "ringing", "in-progress", "completed"}
	switch c.ends {
	case "completed":
	case "ringing":
		course = course[:2]
	default:
		course = []string{"queued", "ringing", c.ends}
	}
	status := course[min(c.polls, len(course)-1)]
	shown := map[string]any{
		"sid": c.SID, "account_sid": TwilioAccount, "to": c.To, "from": TwilioFrom, "status": status, "direction": "outbound-api",
		"date_created": c.created.UTC().Format(time.RFC1123Z), "duration": nil, "price": nil,
	}
	if status == c.ends {
		shown["duration"] = "0"
		if status == "completed" {
			shown["duration"] = "18"
		}
	}
	return shown
}
