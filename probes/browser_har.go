package probes

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/chromium"
)

// The HTTP Archive format, version 1.2 (http://www.softwareishard.com/blog/har-12-spec/). No cookie and no body is ever in it.
type (
	harFile struct {
		Log harLog `json:"log"`
	}
	harLog struct {
		Version string     `json:"version"`
		Creator harCreator `json:"creator"`
		Pages   []harPage  `json:"pages"`
		Entries []harEntry `json:"entries"`
		Comment string     `json:"comment,omitempty"`
	}
	harCreator struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	harPage struct {
		Started time.Time      `json:"startedDateTime"`
		ID      string         `json:"id"`
		Title   string         `json:"title"`
		Timings harPageTimings `json:"pageTimings"`
	}
	harPageTimings struct {
		Content float64 `json:"onContentLoad"`
		Load    float64 `json:"onLoad"`
	}
	harEntry struct {
		Page     string      `json:"pageref"`
		Started  time.Time   `json:"startedDateTime"`
		Time     float64     `json:"time"`
		Request  harRequest  `json:"request"`
		Response harResponse `json:"response"`
		Cache    struct{}    `json:"cache"`
		Timings  harTimings  `json:"timings"`
		Server   string      `json:"serverIPAddress,omitempty"`
		Kind     string      `json:"_resourceType,omitempty"`
	}
	harRequest struct {
		Method  string     `json:"method"`
		URL     string     `json:"url"`
		Version string     `json:"httpVersion"`
		Cookies []struct{} `json:"cookies"`
		Headers []harPair  `json:"headers"`
		Query   []harPair  `json:"queryString"`
		Head    int        `json:"headersSize"`
		Body    int        `json:"bodySize"`
	}
	harResponse struct {
		Status     int        `json:"status"`
		StatusText string     `json:"statusText"`
		Version    string     `json:"httpVersion"`
		Cookies    []struct{} `json:"cookies"`
		Headers    []harPair  `json:"headers"`
		Content    harContent `json:"content"`
		Redirect   string     `json:"redirectURL"`
		Head       int        `json:"headersSize"`
		Body       int64      `json:"bodySize"`
		Error      string     `json:"_error,omitempty"`
	}
	harPair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	harContent struct {
		Size int64  `json:"size"`
		MIME string `json:"mimeType"`
	}
	harTimings struct {
		Blocked float64 `json:"blocked"`
		DNS     float64 `json:"dns"`
		Connect float64 `json:"connect"`
		Send    float64 `json:"send"`
		Wait    float64 `json:"wait"`
		Receive float64 `json:"receive"`
		TLS     float64 `json:"ssl"`
	}
)

const harPageID = "page"

// har returns the requests of a page as an HTTP Archive of at most MaxAttachment bytes; nil when there were none. Values of queries
// are masked, as is what looks like a token, and what hide knows.
func har(r chromium.Record, title string, hide func(string) string) []byte {
	if len(r.Requests) == 0 {
		return nil
	}
	first := r.Requests[0]
	since := func(mark float64) float64 {
		if mark < first.Start {
			return -1
		}
		return milliseconds(mark - first.Start)
	}
	file := harFile{harLog{
		Version: "1.2", Creator: harCreator{"firstcall", "1"},
		Pages: []harPage{{Started: first.Wall, ID: harPageID, Title: hide(maskTokens(title)), Timings: harPageTimings{since(r.Marks.Parsed), since(r.Marks.Loaded)}}},
	}}
	if r.Omitted > 0 {
		file.Log.Comment = "later requests are left out"
	}
	for _, q := range r.Requests {
		file.Log.Entries = append(file.Log.Entries, entryOf(q, hide))
	}
	for {
		text, err := json.Marshal(file)
		if err != nil || len(text) <= MaxAttachment || len(file.Log.Entries) < 2 {
			return text
		}
		file.Log.Entries = file.Log.Entries[:len(file.Log.Entries)/2]
		file.Log.Comment = "later requests are left out"
	}
}

func entryOf(q chromium.Request, hide func(string) string) harEntry {
	e := harEntry{
		Page: harPageID, Started: q.Wall, Server: q.Address, Kind: strings.ToLower(q.Kind), Timings: timingsOf(q),
		Request: harRequest{
			Method: q.Method, URL: hide(pageURL(q.URL)), Version: q.Protocol, Cookies: []struct{}{}, Headers: pairs(q.Headers, hide),
			Query: queryOf(q.URL), Head: -1, Body: -1,
		},
		Response: harResponse{
			Status: q.Status, StatusText: hide(maskTokens(q.StatusText)), Version: q.Protocol, Cookies: []struct{}{}, Headers: pairs(q.AnswerHeaders, hide),
			Content: harContent{Size: q.Size, MIME: q.MIME}, Head: -1, Body: -1, Error: q.Failure,
		},
	}
	if q.End > q.Start {
		e.Time = milliseconds(q.End - q.Start)
	}
	for _, h := range e.Response.Headers {
		if strings.EqualFold(h.Name, "location") {
			e.Response.Redirect = h.Value
		}
	}
	return e
}

// timingsOf divides the time of a request; -1 stands for what was not needed.
func timingsOf(q chromium.Request) harTimings {
	t := harTimings{-1, -1, -1, 0, 0, 0, -1}
	span := func(from, to float64) float64 {
		if from < 0 || to < from {
			return -1
		}
		return to - from
	}
	if q.Timing == nil {
		return t
	}
	t.DNS, t.Connect, t.TLS = span(q.Timing.DNSStart, q.Timing.DNSEnd), span(q.Timing.ConnectStart, q.Timing.ConnectEnd), span(q.Timing.TLSStart, q.Timing.TLSEnd)
	t.Send = max(0, span(q.Timing.SendStart, q.Timing.SendEnd))
	t.Wait = max(0, span(q.Timing.SendEnd, q.Timing.HeadersEnd))
	if q.End > 0 {
		t.Receive = max(0, milliseconds(q.End-q.Timing.Base)-q.Timing.HeadersEnd)
	}
	return t
}

func milliseconds(seconds float64) float64 { return float64(int64(seconds*1e6)) / 1e3 }

// pairs returns headers fit to keep: those that are addresses are treated as such.
func pairs(headers []chromium.Header, hide func(string) string) []harPair {
	list := make([]harPair, 0, len(headers))
	for _, h := range headers {
		value := maskTokens(h.Value)
		if name := strings.ToLower(h.Name); name == "location" || name == "content-location" || strings.HasPrefix(name, "refer") || name == "origin" || name == "refresh" || name == "link" {
			value = pageURL(h.Value)
		}
		list = append(list, harPair{h.Name, hide(value)})
	}
	return list
}

// queryOf returns the names in a query, in their order.
func queryOf(raw string) []harPair {
	list := []harPair{}
	u, err := url.Parse(raw)
	if err != nil || u.RawQuery == "" {
		return list
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		list = append(list, harPair{maskTokens(name), secret.Mask})
	}
	return list
}

// pageURL returns an address fit to keep: without credentials and fragment, with the values of its query masked, and what in its
// path looks like a token.
func pageURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return secret.Mask
	case u.Opaque != "":
		return u.Scheme + ":" + secret.Mask
	}
	var b strings.Builder
	if u.Scheme != "" {
		b.WriteString(u.Scheme + ":")
	}
	if u.Host != "" {
		b.WriteString("//" + u.Host)
	}
	for i, segment := range strings.Split(u.EscapedPath(), "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if name, _, ok := strings.Cut(segment, ";"); ok { // as in ;jsessionid=...
			segment = name + ";" + secret.Mask
		}
		b.WriteString(maskTokens(segment))
	}
	for i, pair := range queryOf(raw) {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(pair.Name + "=" + pair.Value)
	}
	return b.String()
}

// bareURL is pageURL without the query.
func bareURL(raw string) string {
	bare, _, _ := strings.Cut(pageURL(raw), "?")
	return bare
}
