package smtp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	netmail "net/mail"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident"
)

// Mail is one mail. The same Mail gives the same bytes at every attempt.
type Mail struct {
	ID       string // Message-ID without angle brackets; see MessageID
	Answers  string // Message-ID of the mail that began the thread; "": this one does, or there is none
	To, Copy []*netmail.Address
	Subject  string
	Text     string
	HTML     string // the same once more; "": none
	Date     time.Time
	Priority incident.Priority // P1 and P2 are of high importance
	Bulk     bool              // Precedence: bulk, by which programs answer nothing and people sort
	Headers  map[string]string // more of them
	Files    []File            // attached
}

// File is a file that comes with a mail.
type File struct {
	Name, Type string // Type is the media type
	Content    []byte
}

// MessageID returns a Message-ID (RFC 5322, 3.6.4) without angle brackets that follows from what the mail is: the same mail has
// the same one at every attempt, so that a repeated one can be seen as such.
func MessageID(tenant string, what ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(what, "\x00")))
	return hex.EncodeToString(sum[:]) + "@" + tenant + ".firstcall"
}

// compose builds the mail. No text of it can become a header of its own.
func (c *Client) compose(m Mail) *mail.Msg {
	text := strings.ToValidUTF8(m.Text, "")
	sum := sha256.Sum256([]byte(m.ID + "\x00" + text + "\x00" + m.HTML))
	msg := mail.NewMsg(mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP), mail.WithNoDefaultUserAgent(),
		mail.WithBoundary("firstcall-"+hex.EncodeToString(sum[:16])))
	msg.FromMailAddress(c.from)
	msg.ToMailAddress(m.To...)
	if len(m.Copy) > 0 {
		msg.CcMailAddress(m.Copy...)
	}
	msg.Subject(secret.Plain(m.Subject, 250))
	msg.SetDateWithValue(m.Date)
	msg.SetMessageIDWithValue(m.ID)
	if m.Answers != "" {
		root := "<" + m.Answers + ">"
		msg.SetGenHeader(mail.HeaderReferences, root)
		msg.SetGenHeader(mail.HeaderInReplyTo, root)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		msg.SetGenHeader(mail.Header(name), secret.Plain(m.Headers[name], maxExcerpt))
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	msg.SetGenHeader(mail.HeaderXMailer, "firstcall")
	msg.SetGenHeader(mail.HeaderXAutoResponseSuppress, "All") // no out-of-office answers
	if m.Bulk {
		msg.SetGenHeader(mail.HeaderPrecedence, "bulk")
	}
	switch m.Priority {
	case incident.P1, incident.P2:
		msg.SetImportance(mail.ImportanceHigh)
	case incident.NoPriority, incident.P3, incident.P4:
	}
	msg.SetBodyString(mail.TypeTextPlain, text)
	if m.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, strings.ToValidUTF8(m.HTML, ""))
	}
	for _, f := range m.Files {
		// A reader of bytes in memory cannot fail.
		_ = msg.AttachReader(f.Name, bytes.NewReader(f.Content), mail.WithFileContentType(mail.ContentType(f.Type)), mail.WithFileEncoding(mail.EncodingB64))
	}
	return msg
}
