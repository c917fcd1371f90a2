package chromium

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// recorder takes down the events of a page and of the frames that have processes of their own.
type recorder struct {
	conn    *conn
	frame   string // of the page itself
	changed chan struct{}

	mu       sync.Mutex
	r        Record
	kept     int            // bytes of addresses and headers
	latest   map[string]int // id of a request to its place
	sessions []string
	crash    chan struct{} // closed when the page's process crashed
}

func newRecorder(c *conn) *recorder {
	return &recorder{conn: c, changed: make(chan struct{}, 1), latest: map[string]int{}, crash: make(chan struct{})}
}

func (r *recorder) attach(session string) {
	r.mu.Lock()
	r.sessions = append(r.sessions, session)
	r.mu.Unlock()
	r.conn.listen(session, r.handle)
}

func (r *recorder) attached() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sessions)
}

func (r *recorder) crashed() bool {
	select {
	case <-r.crash:
		return true
	default:
		return false
	}
}

func (r *recorder) copy() Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.r
	all.Requests = slices.Clone(all.Requests)
	all.Console, all.Errors = slices.Clone(all.Console), slices.Clone(all.Errors)
	return all
}

// handle is a handler.
func (r *recorder) handle(session, method string, params json.RawMessage) {
	take := r.taker(method)
	if take == nil {
		return
	}
	take(session, params)
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// taker returns what takes an event down, which locks by itself; nil for the events that are of no interest.
func (r *recorder) taker(method string) func(session string, params json.RawMessage) {
	switch method {
	case "Network.requestWillBeSent":
		return r.sent
	case "Network.responseReceived":
		return r.answered
	case "Network.loadingFinished":
		return r.finished
	case "Network.loadingFailed":
		return r.failed
	case "Runtime.consoleAPICalled":
		return r.printed
	case "Runtime.exceptionThrown":
		return r.thrown
	case "Log.entryAdded":
		return r.logged
	case "Page.lifecycleEvent":
		return r.reached
	case "Page.frameNavigated":
		return r.navigated
	case "Page.navigatedWithinDocument":
		return r.moved
	case "Page.javascriptDialogOpening":
		return r.asked
	case "Inspector.targetCrashed":
		return r.died
	case "Target.attachedToTarget":
		return r.child
	}
	return nil
}

type response struct {
	URL        string            `json:"url"`
	Status     int               `json:"status"`
	StatusText string            `json:"statusText"`
	Headers    map[string]string `json:"headers"`
	MIME       string            `json:"mimeType"`
	Protocol   string            `json:"protocol"`
	Address    string            `json:"remoteIPAddress"`
	Timing     *Timing           `json:"timing"`
	Security   *CertificateDates `json:"securityDetails"`
}

func (r *recorder) sent(session string, params json.RawMessage) {
	var e struct {
		ID      string `json:"requestId"`
		Loader  string `json:"loaderId"`
		Frame   string `json:"frameId"`
		Kind    string `json:"type"`
		Request struct {
			URL     string            `json:"url"`
			Method  string            `json:"method"`
			Headers map[string]string `json:"headers"`
		} `json:"request"`
		Time     float64   `json:"timestamp"`
		Wall     float64   `json:"wallTime"`
		Redirect *response `json:"redirectResponse"`
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.latest[e.ID]; ok && e.Redirect != nil {
		r.answer(&r.r.Requests[i], e.Redirect)
		r.r.Requests[i].End = e.Time
	}
	if strings.HasPrefix(e.Request.URL, "data:") || strings.HasPrefix(e.Request.URL, "blob:") {
		return
	}
	if len(r.r.Requests) >= maxRequests || r.kept >= maxKept {
		delete(r.latest, e.ID)
		if r.r.Omitted++; r.r.Omitted == maxOmitted {
			r.conn.post(session, "Network.disable", nil)
		}
		return
	}
	r.latest[e.ID] = len(r.r.Requests)
	r.r.Requests = append(r.r.Requests, Request{
		id: e.ID, Loader: e.Loader, Kind: cut(e.Kind, 40), Method: cut(e.Request.Method, 40), URL: r.keep(e.Request.URL, maxURL),
		Document: e.Kind == "Document" && e.Frame == r.frame && e.ID == e.Loader,
		Start:    e.Time, Wall: wall(e.Wall), Headers: r.headers(e.Request.Headers),
	})
}

// wall turns seconds since 1970 into a time; the zero time for what cannot be one.
func wall(seconds float64) time.Time {
	if seconds <= 0 || seconds > 1e11 {
		return time.Time{}
	}
	return time.UnixMicro(int64(seconds * 1e6)).UTC()
}

// keep cuts text and counts it. The caller holds mu.
func (r *recorder) keep(text string, limit int) string {
	text = cut(text, limit)
	r.kept += len(text)
	return text
}

// headers keeps the headers that are no secret, by name. The caller holds mu.
func (r *recorder) headers(all map[string]string) []Header {
	var list []Header
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(list) >= maxHeaders || r.kept >= maxKept {
			break
		}
		if !private(name) {
			list = append(list, Header{r.keep(name, maxHeader), r.keep(all[name], maxHeader)})
		}
	}
	return list
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.Clone(text[:limit])
}

func (r *recorder) answer(q *Request, a *response) {
	q.Answered, q.Status, q.StatusText, q.MIME = true, a.Status, cut(a.StatusText, 60), cut(a.MIME, 80)
	q.Protocol, q.Address, q.Timing, q.Certificate = cut(a.Protocol, 20), cut(a.Address, 60), a.Timing, a.Security
	q.AnswerHeaders = r.headers(a.Headers)
}

// find returns the newest request of an id; nil when it is not kept. The caller holds mu.
func (r *recorder) find(id string) *Request {
	if i, ok := r.latest[id]; ok {
		return &r.r.Requests[i]
	}
	return nil
}

func (r *recorder) answered(_ string, params json.RawMessage) {
	var e struct {
		ID       string   `json:"requestId"`
		Response response `json:"response"`
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.find(e.ID); q != nil {
		r.answer(q, &e.Response)
	}
}

func (r *recorder) finished(_ string, params json.RawMessage) {
	var e struct {
		ID   string  `json:"requestId"`
		Time float64 `json:"timestamp"`
		Size float64 `json:"encodedDataLength"`
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.find(e.ID); q != nil {
		q.End, q.Size = e.Time, int64(e.Size)
	}
}

func (r *recorder) failed(_ string, params json.RawMessage) {
	var e struct {
		ID        string  `json:"requestId"`
		Time      float64 `json:"timestamp"`
		Error     string  `json:"errorText"`
		Cancelled bool    `json:"canceled"`
		Blocked   string  `json:"blockedReason"`
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.find(e.ID); q != nil {
		q.End, q.Failure, q.Blocked, q.Cancelled = e.Time, cut(e.Error, 80), cut(e.Blocked, 40), e.Cancelled
	}
}

func (r *recorder) printed(session string, params json.RawMessage) {
	var e struct {
		Type string `json:"type"`
		Args []struct {
			Value       json.RawMessage `json:"value"`
			Description string          `json:"description"`
		} `json:"args"`
	}
	if json.Unmarshal(params, &e) != nil || (e.Type != "error" && e.Type != "assert") {
		return
	}
	var words []string
	for _, a := range e.Args {
		word := a.Description
		if json.Unmarshal(a.Value, &word) != nil && word == "" {
			word = string(a.Value)
		}
		words = append(words, cut(word, maxText))
	}
	r.note(session, &r.r.Console, strings.Join(words, " "))
}

// note appends a message to a list of the record. When the list is full the session's messages are switched off: a page that
// prints without end would keep browser and agent busy.
func (r *recorder) note(session string, list *[]string, text string) {
	r.mu.Lock()
	if text != "" && len(*list) < maxMessages {
		*list = append(*list, cut(text, maxText))
	}
	full := len(*list) >= maxMessages
	r.mu.Unlock()
	if full {
		r.conn.post(session, "Runtime.disable", nil)
		r.conn.post(session, "Log.disable", nil)
	}
}

func (r *recorder) thrown(session string, params json.RawMessage) {
	var e struct {
		Details struct {
			Text      string `json:"text"`
			Exception struct {
				Description string          `json:"description"`
				Value       json.RawMessage `json:"value"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	text := e.Details.Exception.Description
	if text == "" {
		text = strings.TrimSpace(e.Details.Text + " " + string(e.Details.Exception.Value))
	}
	r.note(session, &r.r.Errors, text)
}

func (r *recorder) logged(session string, params json.RawMessage) {
	var e struct {
		Entry struct {
			Source string `json:"source"`
			Level  string `json:"level"`
			Text   string `json:"text"`
		} `json:"entry"`
	}
	if json.Unmarshal(params, &e) == nil && e.Entry.Level == "error" && e.Entry.Source != "network" { // failed requests are noted as such
		r.note(session, &r.r.Console, e.Entry.Text)
	}
}

func (r *recorder) reached(_ string, params json.RawMessage) {
	var e struct {
		Frame  string  `json:"frameId"`
		Loader string  `json:"loaderId"`
		Name   string  `json:"name"`
		Time   float64 `json:"timestamp"`
	}
	if json.Unmarshal(params, &e) != nil || e.Frame != r.frame {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Loader != r.r.Loader {
		r.r.Loader, r.r.Marks = e.Loader, Marks{}
	}
	switch e.Name {
	case "DOMContentLoaded":
		r.r.Marks.Parsed = e.Time
	case "load":
		r.r.Marks.Loaded = e.Time
	case "firstContentfulPaint":
		r.r.Marks.Painted = e.Time
	case "networkIdle":
		r.r.Marks.Idle = e.Time
	}
}

func (r *recorder) navigated(_ string, params json.RawMessage) {
	var e struct {
		Frame struct {
			ID       string `json:"id"`
			Loader   string `json:"loaderId"`
			URL      string `json:"url"`
			Fragment string `json:"urlFragment"`
		} `json:"frame"`
	}
	if json.Unmarshal(params, &e) != nil || e.Frame.ID != r.frame {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.URL = cut(e.Frame.URL, maxURL)
	if e.Frame.Loader != r.r.Loader {
		r.r.Loader, r.r.Marks = e.Frame.Loader, Marks{}
	}
}

func (r *recorder) moved(_ string, params json.RawMessage) {
	var e struct {
		Frame string `json:"frameId"`
		URL   string `json:"url"`
	}
	if json.Unmarshal(params, &e) == nil && e.Frame == r.frame {
		r.mu.Lock()
		r.r.URL = cut(e.URL, maxURL)
		r.mu.Unlock()
	}
}

// asked says no to a dialogue, which would stop the page.
func (r *recorder) asked(session string, _ json.RawMessage) {
	r.conn.post(session, "Page.handleJavaScriptDialog", object{"accept": false})
}

func (r *recorder) died(session string, _ json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sessions) > 0 && session == r.sessions[0] && !r.crashed() {
		close(r.crash)
	}
}

// child takes down a frame or a worker that has a process of its own.
func (r *recorder) child(_ string, params json.RawMessage) {
	var e struct {
		Session string `json:"sessionId"`
	}
	if json.Unmarshal(params, &e) != nil || len(r.attached()) >= maxSessions {
		return
	}
	r.attach(e.Session)
	r.conn.post(e.Session, "Network.enable", networkBounds)
	r.conn.post(e.Session, "Runtime.enable", nil)
}
