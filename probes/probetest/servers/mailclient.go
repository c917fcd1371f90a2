package servers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// mailPage is how many mails are listed per call; maxAnswer bounds what is read of one answer.
const (
	mailPage  = 200
	maxAnswer = 16 << 20
)

// MailClient reads a mailpit through its API. Its methods fail the test when mailpit does not answer.
type MailClient struct {
	API string // http://127.0.0.1:port/api/v1

	t    testing.TB
	http *http.Client // keeps no connection open
}

// Mail is a delivered message as mailpit lists it.
type Mail struct {
	ID        string // mailpit's own
	MessageID string // without angle brackets
	From      mail.Address
	To        []mail.Address
	Subject   string
	Created   time.Time // when it was delivered
	Snippet   string    // start of the text
}

// Messages returns every delivered mail, oldest first.
func (c *MailClient) Messages() []Mail {
	c.t.Helper()
	var all []Mail
	for {
		var page struct {
			Total    int    `json:"total"`
			Messages []Mail `json:"messages"`
		}
		c.get(fmt.Sprintf("/messages?start=%d&limit=%d", len(all), mailPage), &page)
		all = append(all, page.Messages...)
		if len(page.Messages) == 0 || len(all) >= page.Total {
			break
		}
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// ByMessageID returns every delivery with that Message-ID (angle brackets or not), oldest first.
func (c *MailClient) ByMessageID(id string) []Mail {
	c.t.Helper()
	id = strings.Trim(id, "<>")
	var found []Mail
	for _, m := range c.Messages() {
		if m.MessageID == id {
			found = append(found, m)
		}
	}
	return found
}

// Raw returns the mail as it was delivered, headers and body.
func (c *MailClient) Raw(m Mail) string {
	c.t.Helper()
	return string(c.do(http.MethodGet, "/message/"+m.ID+"/raw", nil))
}

// Headers returns the raw headers of the mail.
func (c *MailClient) Headers(m Mail) mail.Header {
	c.t.Helper()
	parsed, err := mail.ReadMessage(strings.NewReader(c.Raw(m)))
	if err != nil {
		c.t.Fatalf("mail %s does not parse: %v", m.ID, err)
	}
	return parsed.Header
}

// Text returns the plain text part of the mail.
func (c *MailClient) Text(m Mail) string {
	c.t.Helper()
	var whole struct{ Text string }
	c.get("/message/"+m.ID, &whole)
	return whole.Text
}

// Attachments returns the contents of the files that came with the mail, by name.
func (c *MailClient) Attachments(m Mail) map[string][]byte {
	c.t.Helper()
	var whole struct {
		Attachments []struct{ PartID, FileName string }
	}
	c.get("/message/"+m.ID, &whole)
	files := map[string][]byte{}
	for _, a := range whole.Attachments {
		files[a.FileName] = c.do(http.MethodGet, "/message/"+m.ID+"/part/"+a.PartID, nil)
	}
	return files
}

// DeleteAll forgets every mail.
func (c *MailClient) DeleteAll() {
	c.t.Helper()
	c.do(http.MethodDelete, "/messages", struct{}{})
}

// Chaos makes mailpit refuse a part of what it is told. The zero value refuses nothing.
type Chaos struct {
	Authentication, Sender, Recipient ChaosTrigger
}

// ChaosTrigger is the answer to a step of the SMTP dialogue.
type ChaosTrigger struct {
	ErrorCode   int // SMTP reply code, 400 to 599
	Probability int // percent
}

// SetChaos makes the refusals hold from now on.
func (c *MailClient) SetChaos(chaos Chaos) {
	c.t.Helper()
	for _, trigger := range []*ChaosTrigger{&chaos.Authentication, &chaos.Sender, &chaos.Recipient} {
		if trigger.ErrorCode == 0 {
			trigger.ErrorCode = 451 // mailpit wants one even where the probability is zero
		}
	}
	c.do(http.MethodPut, "/chaos", chaos)
}

func (c *MailClient) get(path string, into any) {
	c.t.Helper()
	if err := json.Unmarshal(c.do(http.MethodGet, path, nil), into); err != nil {
		c.t.Fatalf("mailpit %s: %v", path, err)
	}
}

func (c *MailClient) do(method, path string, body any) []byte {
	c.t.Helper()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		payload = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, c.API+path, payload)
	if err != nil {
		c.t.Fatal(err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatalf("mailpit does not answer: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatalf("mailpit %s %s: status %d, %v\n%.500s", method, path, response.StatusCode, err, answer)
	}
	return answer
}
