//go:build linux

package servers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// rtHTTP leaves no connection behind. A loaded machine takes its time.
var rtHTTP = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}

// RTClient does what people do at a Request Tracker. Its methods fail the test when it cannot be done.
type RTClient struct {
	t     testing.TB
	url   string
	token string
}

// RTTicket is a ticket as an operator sees it.
type RTTicket struct {
	ID      string
	Subject string
	Status  string
}

// Call sends a request to the REST 2.0 interface as the operator, and returns the answer's body, whose status must be 2xx.
func (c RTClient) Call(method, path string, body any) []byte {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	request, err := http.NewRequest(method, c.url+"/REST/2.0"+path, bytes.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := rtHTTP.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		c.t.Fatalf("%s %s: %s: %s %v", method, path, response.Status, answer, err)
	}
	return answer
}

// Change changes fields of a ticket, such as Status or CustomFields. It fails the test when Request Tracker has nothing to say
// to it, as to a change that is none.
func (c RTClient) Change(id string, fields map[string]any) {
	c.t.Helper()
	if answer := c.Call(http.MethodPut, "/ticket/"+id, fields); string(bytes.TrimSpace(answer)) == "[]" {
		c.t.Fatalf("ticket %s: nothing changed by %v", id, fields)
	}
}

// Take makes the operator the ticket's owner.
func (c RTClient) Take(id string) {
	c.t.Helper()
	c.Call(http.MethodPut, "/ticket/"+id+"/take", struct{}{})
}

// Reply answers the customer as the operator; Comment adds what the customer does not see.
func (c RTClient) Reply(id, text string) { c.t.Helper(); c.say(id, "correspond", text) }

// Comment adds an internal note as the operator.
func (c RTClient) Comment(id, text string) { c.t.Helper(); c.say(id, "comment", text) }

func (c RTClient) say(id, how, text string) {
	c.t.Helper()
	c.Call(http.MethodPost, "/ticket/"+id+"/"+how, map[string]string{"Content": text, "ContentType": "text/plain"})
}

// Mail delivers an e-mail from somebody about a ticket, by Request Tracker's mail gateway.
func (c RTClient) Mail(from, id, messageID, text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	gate := exec.CommandContext(ctx, program(c.t, "rt-mailgate-5", rtPackages), "--queue", "SOC", "--action", "correspond", "--url", c.url)
	gate.Stdin = strings.NewReader(fmt.Sprintf("From: %s\nTo: soc@soc.example\nSubject: Re: [soc.example #%s] your case\nMessage-ID: <%s>\n"+
		"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n%s\n", from, id, messageID, text))
	if out, err := gate.CombinedOutput(); err != nil {
		c.t.Fatalf("the mail gateway refuses a mail: %v\n%s", err, out)
	}
}

// Tickets returns the tickets that a search in TicketSQL finds, oldest first.
func (c RTClient) Tickets(query string) []RTTicket {
	c.t.Helper()
	raw := c.Call(http.MethodGet, "/tickets?"+url.Values{
		"query": {query}, "fields": {"Subject,Status"}, "orderby": {"id"}, "order": {"ASC"}, "per_page": {"100"},
	}.Encode(), nil)
	var answer struct {
		Items []struct {
			ID              json.RawMessage `json:"id"`
			Subject, Status string
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		c.t.Fatalf("%v: %s", err, raw)
	}
	tickets := make([]RTTicket, 0, len(answer.Items))
	for _, i := range answer.Items {
		tickets = append(tickets, RTTicket{ID: strings.Trim(string(i.ID), `"`), Subject: i.Subject, Status: i.Status})
	}
	return tickets
}

// Clear deletes every ticket: to searches and to unique fields they are no longer there.
func (c RTClient) Clear() {
	c.t.Helper()
	for {
		tickets := c.Tickets("id > 0")
		for _, t := range tickets {
			c.Change(t.ID, map[string]any{"Status": "deleted"})
		}
		if len(tickets) == 0 {
			return
		}
	}
}
