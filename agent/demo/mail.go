package demo

import (
	"context"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// letter is a mail that the customer's contact got.
type letter struct{ to, subject, text string }

// startMail starts the customer's mailbox on loopback; every mail that arrives is handed to arrived. It ends with ctx.
func (s *solution) startMail(ctx context.Context, arrived func(letter)) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("the demo's mailbox cannot listen on loopback: %w", err)
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{arrived: arrived}, nil }))
	srv.Domain = "demo.example"
	srv.ReadTimeout, srv.WriteTimeout = 10*time.Second, 10*time.Second
	srv.MaxMessageBytes = 1 << 20
	srv.ErrorLog = log.New(io.Discard, "", 0)
	context.AfterFunc(ctx, func() { _, _ = l.Close(), srv.Close() }) // both: it may not have begun to serve
	s.running.Go(func() { _ = srv.Serve(l) })
	return l.Addr().String(), nil
}

// session receives mails of one connection.
type session struct {
	to      string
	arrived func(letter)
}

func (s *session) Reset()                               { s.to = "" }
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		subject = m.Header.Get("Subject")
	}
	text, err := plainText(m)
	if err != nil {
		return err
	}
	s.arrived(letter{to: s.to, subject: subject, text: text})
	return nil
}

// plainText returns the text part of a mail.
func plainText(m *mail.Message) (string, error) {
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(media, "multipart/") {
		return decode(m.Body, m.Header.Get("Content-Transfer-Encoding"))
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/plain") {
			return decode(part, part.Header.Get("Content-Transfer-Encoding"))
		}
	}
}

func decode(r io.Reader, encoding string) (string, error) {
	if strings.EqualFold(encoding, "quoted-printable") {
		r = quotedprintable.NewReader(r)
	}
	text, err := io.ReadAll(r)
	return string(text), err
}
