package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/rocketchat"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// Bounds on what a chat service may do to the agent. Shoutrrr's services know no context.
const (
	chatLimit  = time.Minute // a call that nobody waits for any more ends by then
	maxAnswer  = 16 << 20    // bytes of an answer
	chatAtOnce = 4           // messages of one notifier under way
)

func init() {
	Register(Kind{
		Name: "chat",
		Doc:  "Short messages to chat and push services by shoutrrr URL.",
		New:  func() Builder { return &Chat{} },
	})
	// Half of shoutrrr's services call through http.DefaultClient, which has no time-out, and read answers to their end. There
	// is no way to hand them another client, so this one gets bounds; it is done here, before anything can be using it.
	http.DefaultClient.Timeout = chatLimit
	http.DefaultClient.Transport = bounded{http.DefaultTransport}
}

// Chat is the configuration of messages to a chat or push service.
type Chat struct {
	URL     secret.Value  `yaml:"url" required:"true" doc:"Shoutrrr URL of the service, such as slack://hook:...@webhook or generic+https://..."`
	Timeout time.Duration `yaml:"timeout" default:"15s" doc:"Longest wait for the service."`
}

// unfit are services of shoutrrr that are refused, with what to use instead.
func unfit(scheme string) string {
	switch scheme {
	case "smtp":
		return "use kind email"
	case "logger":
		return "it reaches nobody"
	case "telegram": // seen with 0.13.2: no error for a refused connection, a 500, a page of a proxy
		return "shoutrrr calls its messages sent when they are not: use generic://api.telegram.org/bot<token>/sendMessage?template=json&messagekey=text&$chat_id=<id>"
	}
	return ""
}

// Validate reports every fault of the configuration.
func (c *Chat) Validate() field.Errors {
	var faults field.Errors
	if c.Timeout < 0 || c.Timeout > chatLimit {
		faults.Add("timeout", "must be at most %s", chatLimit)
	}
	if c.URL.IsZero() {
		return faults
	}
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || u.Scheme == "" {
		faults.AddHint("url", "slack://hook:...@webhook", "is no shoutrrr URL")
		return faults
	}
	scheme := service(u)
	switch instead, known := unfit(scheme), slices.Contains((&router.ServiceRouter{}).ListServices(), scheme); {
	case instead != "":
		faults.AddHint("url", instead, "names the service %s, which is not used here", scheme)
	case !known:
		services := (&router.ServiceRouter{}).ListServices()
		slices.Sort(services)
		services = slices.DeleteFunc(services, func(s string) bool { return unfit(s) != "" })
		faults.AddHint("url", "one of "+strings.Join(services, ", "), "names no service that shoutrrr knows")
	case scheme != "matrix": // which would log on
		if _, err := c.locate(); err != nil {
			faults.AddHint("url", "see the service's page at https://shoutrrr.nickfedor.com", "is no URL for %s: %s", scheme, c.clean(err))
		}
	}
	return faults
}

// locate makes the service of the URL; matrix logs on in it.
func (c *Chat) locate() (s types.Service, err error) {
	defer contain(&err) // shoutrrr's router panics on teams+https://x
	return (&router.ServiceRouter{}).Locate(c.URL.Reveal())
}

// contain turns a panic of shoutrrr into an error.
func contain(err *error) {
	if broken := recover(); broken != nil {
		*err = fmt.Errorf("the service's client broke: %v", broken)
	}
}

// service returns the name of the service: what stands before a "+" in the scheme.
func service(u *url.URL) string {
	name, _, _ := strings.Cut(strings.ToLower(u.Scheme), "+")
	return name
}

// Build returns the notifier.
func (c *Chat) Build(env Env) (Notifier, error) {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || service(u) == "" || unfit(service(u)) != "" {
		return nil, fmt.Errorf("notifier %q: url is no shoutrrr URL that can be used", env.Name)
	}
	return &chat{
		config: c, name: env.Name, service: service(u), timeout: cmp.Or(c.Timeout, 15*time.Second),
		busy: make(chan struct{}, chatAtOnce), ready: make(chan types.Service, chatAtOnce),
	}, nil
}

// chat implements Notifier.
type chat struct {
	config  *Chat
	name    string
	service string
	timeout time.Duration
	busy    chan struct{}      // a place for each message under way
	ready   chan types.Service // made before, used by one message at a time: some keep a connection open for ever
}

// Send makes one attempt. Shoutrrr tells no more than success, so the proof is the service's name. A message whose time is up
// may still arrive.
func (c *chat) Send(ctx context.Context, m Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return "", c.late(err, "nothing was sent")
	}
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return "", c.late(ctx.Err(), "earlier messages still hang, nothing was sent")
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-c.busy }()
		done <- c.attempt(brief(m))
	}()
	select {
	case err := <-done:
		if err != nil {
			return "", fail(c.name, false, nil, nil, "%s did not take the message: %s: check url, and that this host may reach the service",
				c.service, c.config.clean(err))
		}
		return "accepted by " + c.service, nil
	case <-ctx.Done():
		return "", c.late(ctx.Err(), "it may or may not have taken the message")
	}
}

func (c *chat) late(err error, what string) error {
	return fail(c.name, false, []error{err}, nil, "%s gave no answer: %v: %s: check that this host may reach it", c.service, err, what)
}

// attempt hands the text to the service once.
func (c *chat) attempt(text string) (err error) {
	defer contain(&err) // zulip panics when its host does not answer
	var s types.Service
	select {
	case s = <-c.ready:
	default:
		if s, err = c.config.locate(); err != nil {
			return err
		}
	}
	bind(s)
	err = s.Send(text, nil)
	select {
	case c.ready <- s:
	default:
	}
	return err
}

// bind gives a service that lets itself be given a client one that is bounded.
func bind(s types.Service) {
	switch s := s.(type) {
	case *discord.Service: // would try up to 24 times in five minutes
		s.HTTPClient, s.Sleeper = &once{client: http.DefaultClient}, awake{}
	case *rocketchat.Service:
		s.Client = http.DefaultClient
	case interface{ GetHTTPClient() *http.Client }:
		client := s.GetHTTPClient()
		client.Timeout = chatLimit
		if _, done := client.Transport.(bounded); !done {
			client.Transport = bounded{cmp.Or(client.Transport, http.DefaultTransport)}
		}
	}
}

// once makes one request; after it, discord's own repetitions end with what that one led to.
type once struct {
	client *http.Client
	first  error
	asked  bool
}

// Do implements discord.HTTPClient.
func (o *once) Do(r *http.Request) (*http.Response, error) {
	if o.asked {
		return nil, o.first
	}
	o.asked = true
	response, err := o.client.Do(r)
	if err != nil {
		// another text than the library's own, since discord repeats what it calls "connection refused"
		o.first = errors.New("no connection")
		return nil, errors.Join(o.first, err)
	}
	o.first = fmt.Errorf("status %d", response.StatusCode)
	return response, nil
}

// awake never sleeps.
type awake struct{}

// Sleep implements discord.Sleeper.
func (awake) Sleep(time.Duration) {}

// bounded is a transport whose answers end after maxAnswer bytes, and whose connections end with their answer: on an idle
// one net/http logs whatever the other side sends.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Close = true
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxAnswer), response.Body}
	}
	return response, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport inside.
func (b bounded) CloseIdleConnections() {
	if inside, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		inside.CloseIdleConnections()
	}
}

// Bounds on a message: what fits a telephone's lock screen and every service.
const (
	briefLines = 8
	briefLine  = 200 // bytes
)

// brief returns the subject and the first lines of the text, with nothing in it that calls a whole channel.
func brief(m Message) string {
	lines := []string{secret.Plain(m.Subject, briefLine)}
	for line := range strings.Lines(m.Text) {
		if len(lines) > briefLines {
			lines = append(lines, "...")
			break
		}
		if line = secret.Plain(line, briefLine); line != "" {
			lines = append(lines, line)
		}
	}
	// zero-width space: what a target or a desk wrote must not wake everybody (Slack, Discord, Mattermost)
	calm := strings.NewReplacer("<!", "<\u200b!", "@everyone", "@\u200beveryone", "@here", "@\u200bhere", "@channel", "@\u200bchannel", "@all", "@\u200ball")
	return calm.Replace(strings.Join(lines, "\n"))
}

var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"']+`)

// clean returns the error's text without addresses and without any part of the configured URL but its host, where that is a
// real one: tokens stand in every other place, and in some services' host too.
func (c *Chat) clean(err error) string {
	text := anyURL.ReplaceAllString(err.Error(), "its address")
	raw := c.URL.Reveal()
	parts := []string{raw}
	if u, err := url.Parse(raw); err == nil {
		rest := []string{u.User.String(), u.Path, u.EscapedPath(), u.Fragment}
		if u.User != nil {
			password, _ := u.User.Password()
			rest = append(rest, u.User.Username(), password)
		}
		for _, values := range u.Query() {
			rest = append(rest, values...)
		}
		if host := u.Hostname(); !strings.Contains(host, ".") && host != "localhost" && net.ParseIP(host) == nil {
			rest = append(rest, host)
		}
		parts = append(parts, rest...)
		for _, r := range rest {
			parts = append(parts, strings.FieldsFunc(r, func(c rune) bool { return strings.ContainsRune("/:=&?,;@", c) })...)
		}
	}
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) }) // a part of a part must not spoil the whole
	var secrets []secret.Value
	open := []string{"hook", "webhook", "shoutrrr", "discord", "slack", "json", "true", "false", "http", "https"} // words of URLs, not secrets
	for _, part := range parts {
		if len(part) >= 4 && !slices.Contains(open, part) {
			secrets = append(secrets, secret.New(part))
		}
	}
	return secret.Plain(secret.Hide(text, secrets), maxExcerpt)
}
