package probes

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTimeSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"00:00:00.1105121": 110512100 * time.Nanosecond, "00:00:00": 0, "1.02:03:04.5": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond,
		"00:01:00.0000001": time.Minute + 100*time.Nanosecond,
		"":                 -1, "0.1": -1, "00:00": -1, "-00:00:01": -1, "00:61:00": -1, "24:00:00": -1, "00:00:00.12345678": -1, "a:b:c": -1, "00:00:1e1": -1,
		"99999999999.00:00:00": -1, "+1:00:00": -1,
	} {
		got, ok := parseTimeSpan(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

const (
	soapHead = `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`
	soapTail = `</s:Body></s:Envelope>`
	dataHead = `<ExecuteQueryResponse xmlns="http://perfion.com/"><ExecuteQueryResult>`
	dataTail = `</ExecuteQueryResult></ExecuteQueryResponse>`
)

func soapData(inner string) string { return soapHead + dataHead + inner + dataTail + soapTail }

func TestSOAPAnswer(t *testing.T) {
	deep := strings.Repeat("&lt;a&gt;", 300)
	for _, c := range []struct {
		name, body string
		cut        bool
		want       perfionAnswer
	}{
		{
			"data", soapData(`&lt;Data totalExecutionTime="00:00:00.5"&gt;&lt;Features&gt;&lt;A/&gt;&lt;B/&gt;&lt;/Features&gt;&lt;P/&gt;&lt;P&gt;x&lt;/P&gt;&lt;/Data&gt;`), false,
			perfionAnswer{data: true, took: "00:00:00.5", server: 500 * time.Millisecond, rows: 2, features: 2},
		},
		{"data in cdata", soapData(`<![CDATA[<Data totalCount="7"/>]]>`), false, perfionAnswer{data: true, totalCount: "7"}},
		{"data with an odd declaration", soapData(`&lt;?xml version="1.0" encoding="utf-16"?&gt;&lt;Data/&gt;`), false, perfionAnswer{data: true}},
		{"cut in the data", soapHead + dataHead + `&lt;Data totalExecutionTime="00:00:01"&gt;&lt;P&gt;abc&l`, true, perfionAnswer{data: true, took: "00:00:01", server: time.Second, rows: 1}},
		{"the same, but not by us", soapHead + dataHead + `&lt;Data&gt;&lt;P&gt;abc`, false, perfionAnswer{wrong: "is no soap answer: XML syntax error on line 1: unexpected EOF"}},
		{"cut before the data", soapHead, true, perfionAnswer{wrong: "is no soap answer: XML syntax error on line 1: unexpected EOF"}},
		{"empty result", soapData(" "), false, perfionAnswer{wrong: "holds an empty result"}},
		{"a text", soapData("The licence\n has expired"), false, perfionAnswer{complaint: "The licence has expired"}},
		{"a page", soapData("&lt;html&gt;&lt;title&gt;Log in&lt;/title&gt;"), false, perfionAnswer{html: true, title: "Log in"}},
		{"an error", soapData(`&lt;Error&gt;&lt;Message&gt;No such feature&lt;/Message&gt;&lt;/Error&gt;`), false, perfionAnswer{complaint: "No such feature"}},
		{"an error without words", soapData(`&lt;Exception/&gt;`), false, perfionAnswer{complaint: "an element Exception"}},
		{"something else", soapData(`&lt;Other/&gt;`), false, perfionAnswer{wrong: "holds <Other> where <Data> is expected"}},
		{"half a result", soapData(`&lt;Data&gt;`), false, perfionAnswer{wrong: "holds a result that is no proper xml: XML syntax error on line 1: unexpected EOF"}},
		{"a deep result", soapData(`&lt;Data&gt;` + deep), true, perfionAnswer{wrong: "holds a result that is no proper xml: is nested deeper than 200 levels", rows: 1}},
		{"a long tag", soapHead + "<x " + strings.Repeat("a='>' ", 4000) + "/>" + soapTail, true, perfionAnswer{wrong: "is no soap answer: holds a tag longer than 16384 bytes"}},
		{"a long tag in the result", soapData(`&lt;Data&gt;&lt;x ` + strings.Repeat("a='b' ", 4000) + `/&gt;&lt;/Data&gt;`), false, perfionAnswer{wrong: "holds a result that is no proper xml: holds a tag longer than 16384 bytes"}},
		{"long texts", soapData(`<![CDATA[<Data>` + strings.Repeat("a b ", 20_000) + `</Data>]]>`), false, perfionAnswer{data: true}},
		{"a document type", `<!DOCTYPE x>` + soapData(""), false, perfionAnswer{wrong: "is no soap answer: it holds a document type"}},
		{"no envelope", `<Data/>`, false, perfionAnswer{wrong: "is no soap answer: its root is <Data>"}},
		{"another namespace", `<Envelope><Body/></Envelope>`, false, perfionAnswer{wrong: "is no soap answer: its root is <Envelope>"}},
		{"no xml", `ok`, false, perfionAnswer{wrong: "is no soap answer: unexpected EOF"}},
		{"another operation", soapHead + `<GetVersionResponse xmlns="http://perfion.com/"><GetVersionResult>5</GetVersionResult></GetVersionResponse>` + soapTail, false, perfionAnswer{wrong: "is no answer to ExecuteQuery"}},
		{"a fault", soapHead + `<s:Fault><faultcode>s:Client</faultcode><faultstring>bad query</faultstring></s:Fault>` + soapTail, false, perfionAnswer{fault: true, client: true, complaint: "bad query"}},
		{"a fault of the server", soapHead + `<s:Fault><faultcode>s:Server</faultcode><faultstring>oops</faultstring></s:Fault>` + soapTail, false, perfionAnswer{fault: true, complaint: "oops"}},
		{"a fault without words", soapHead + `<s:Fault/>` + soapTail, false, perfionAnswer{fault: true, complaint: "a soap fault without words"}},
		{"a fault of soap 1.2", strings.NewReplacer("schemas.xmlsoap.org/soap/envelope/", "www.w3.org/2003/05/soap-envelope").Replace(soapHead) +
			`<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text xml:lang="en">bad</s:Text></s:Reason></s:Fault>` + soapTail, false, perfionAnswer{fault: true, client: true, complaint: "bad"}},
		{"a result in a fault", soapHead + `<s:Fault><faultstring>no</faultstring><detail><ExecuteQueryResult>&lt;Data/&gt;</ExecuteQueryResult></detail></s:Fault>` + soapTail, false, perfionAnswer{fault: true, complaint: "no"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := perfionAnswer{cut: c.cut}
			got.readSOAP([]byte(c.body), "ExecuteQuery")
			got.cut = false
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestJSONAnswer(t *testing.T) {
	for _, c := range []struct {
		name, body string
		cut        bool
		want       perfionAnswer
	}{
		{
			"data", `{"Data":{"totalExecutionTime":"00:00:00.25","totalCount":12,"Features":[{},{}],"Items":[{"Values":[1,{"Items":[1]}]},{}]}}`, false,
			perfionAnswer{data: true, took: "00:00:00.25", server: 250 * time.Millisecond, totalCount: "12", rows: 2, features: 2},
		},
		{"a list", `{"data":[{},{}]}`, false, perfionAnswer{data: true, rows: 2}},
		{"cut", `{"Data":{"Items":[{"a":"b`, true, perfionAnswer{data: true, rows: 1}},
		{"ended early", `{"Data":{"Items":[{"a":"b`, false, perfionAnswer{rows: 1, wrong: "is no proper json: unexpected EOF"}},
		{"a message", `{"message":"Bad query"}`, false, perfionAnswer{complaint: "Bad query"}},
		{"messages beside data", `{"Data":{},"Message":["one","two"]}`, false, perfionAnswer{complaint: "one two"}},
		{"a message within the data", `{"Data":{"message":"x"}}`, false, perfionAnswer{data: true}},
		{"a refusal", `{"error":"invalid_grant","error_description":"wrong"}`, false, perfionAnswer{complaint: "invalid_grant wrong"}},
		{"a token", `{"access_token":"abc","expires_in":"3599"}`, false, perfionAnswer{token: "abc", lifetime: 3599 * time.Second}},
		{"a token that is over", `{"access_token":"abc","expires_in":0}`, false, perfionAnswer{token: "abc", lifetime: 1}},
		{"a token for ever", `{"access_token":"abc","expires_in":null}`, false, perfionAnswer{token: "abc"}},
		{"no data", `{}`, false, perfionAnswer{wrong: "is json without data"}},
		{"null data", `{"Data":null}`, false, perfionAnswer{wrong: "is json without data"}},
		{"a list at the root", `[1]`, false, perfionAnswer{wrong: "is no proper json: it is no object"}},
		{"two answers", `{"Data":{}} {}`, false, perfionAnswer{wrong: "is no proper json: something follows it"}},
		{"deep", `{"Data":` + strings.Repeat("[", 300), true, perfionAnswer{rows: 1, wrong: "is no proper json: is nested deeper than 200 levels"}},
		{"xml", `<Data/>`, false, perfionAnswer{wrong: "is no proper json: invalid character '<' looking for beginning of value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := perfionAnswer{cut: c.cut}
			got.readJSON([]byte(c.body))
			got.cut = false
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// sane states what holds of every answer, whatever it was read from.
func sane(t *testing.T, a *perfionAnswer) {
	t.Helper()
	for name, text := range map[string]string{"complaint": a.complaint, "took": a.took, "total count": a.totalCount, "version": a.version, "title": a.title} {
		if len(text) > maxComplaint || !utf8.ValidString(text) || Printable(text, maxComplaint) != text {
			t.Errorf("%s is %q", name, text)
		}
	}
	if a.data && (a.wrong != "" || a.html) || a.rows < 0 || a.features < 0 || a.server < 0 || a.lifetime < 0 || len(a.token) > maxToken {
		t.Errorf("contradicts itself: %+v", *a)
	}
	for _, status := range []int{200, 302, 400, 401, 403, 404, 500, 503} {
		a.status, a.line = status, "x"
		v := a.verdict()
		if v.outcome != Up && v.text == "" || v.outcome == Up && (v.reason != None || status != 200) || v.doubt != certain && status != 500 && !a.fault {
			t.Errorf("status %d: %+v of %+v", status, v, *a)
		}
	}
}

func FuzzPerfionSOAP(f *testing.F) {
	for _, seed := range []string{
		soapData(`&lt;Data totalExecutionTime="00:00:00.5"&gt;&lt;Features&gt;&lt;A/&gt;&lt;/Features&gt;&lt;P&gt;x&lt;/P&gt;&lt;/Data&gt;`),
		soapData(`<![CDATA[<Data totalCount="7"/>]]>`), soapData(`&lt;Error message="no"&gt;&lt;Message&gt;No&lt;/Message&gt;&lt;/Error&gt;`), soapData("&#x3c;html"),
		soapHead + `<s:Fault><faultcode>s:Client</faultcode><faultstring>bad query</faultstring></s:Fault>` + soapTail,
		soapHead + `<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text>b</s:Text></s:Reason></s:Fault>` + soapTail,
		soapHead + `<GetVersionResponse xmlns="http://perfion.com/"><GetVersionResult>5.4</GetVersionResult></GetVersionResponse>` + soapTail, `<!DOCTYPE html><title>x</title>`,
	} {
		f.Add([]byte(seed), false, true)
		f.Add([]byte(seed), true, false)
	}
	f.Fuzz(func(t *testing.T, body []byte, cut, query bool) {
		a := &perfionAnswer{cut: cut, html: isHTML(body)}
		method := "GetVersion"
		if query {
			method = "ExecuteQuery"
		}
		if !a.html {
			a.readSOAP(body, method)
		}
		sane(t, a)
	})
}

func FuzzPerfionData(f *testing.F) {
	for _, seed := range []string{
		`<Data totalExecutionTime="00:00:00.5" totalCount="2"><Features><A/></Features><P>x</P></Data>`, `<?xml version="1.0" encoding="utf-16"?><Data/>`, `<Error>x</Error>`,
		`text`, `<html>`, `<Response message="x"><Error/></Response>`, `<Data><![CDATA[<]]></Data>`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, cut bool) {
		a := &perfionAnswer{cut: cut}
		a.readData(text)
		sane(t, a)
	})
}

func FuzzPerfionJSON(f *testing.F) {
	for _, seed := range []string{
		`{"Data":{"totalExecutionTime":"00:00:00.25","totalCount":12,"Features":[{},{}],"Items":[{"Values":[1,{"Items":[1]}]},{}]}}`, `{"message":["a","b"]}`,
		`{"access_token":"abc","expires_in":"3599"}`, `{"error":"invalid_grant","error_description":"wrong"}`, `{"Data":[[[[[[[`, `{"Data":null}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, cut bool) {
		a := &perfionAnswer{cut: cut}
		a.readJSON(body)
		sane(t, a)
		if len(a.wrong) > 4096 && len(a.wrong) > 2*len(bytes.TrimSpace(body)) {
			t.Errorf("%d bytes about %d", len(a.wrong), len(body))
		}
	})
}
