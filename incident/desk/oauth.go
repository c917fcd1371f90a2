package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Bounds on an access token.
const (
	maxToken     = 8192           // bytes
	maxTokenLife = 24 * time.Hour // however long it says that it is good for
)

// clientCredentials gets access tokens by the client credentials grant of OAuth 2.0 (RFC 6749, 4.4) and keeps the newest until
// shortly before it expires. It is safe for concurrent use: one caller asks, the others wait for what it gets.
type clientCredentials struct {
	link    *link // of its own: a token request is no write of the desk's
	address string
	id      string
	secret  secret.Value
	life    time.Duration // of a token that does not say
	now     func() time.Time
	turn    chan struct{} // of capacity 1, held by who asks

	mu      sync.Mutex
	token   secret.Value
	earlier secret.Value // may still stand in an answer that is under way
	version int          // of token, rising
	until   time.Time
}

// current returns a token that is good for a while, and its version. Its error is never of unknown outcome: a request for a
// token changes nothing.
func (c *clientCredentials) current(ctx context.Context) (secret.Value, int, error) {
	if token, version, ok := c.cached(); ok {
		return token, version, nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return secret.Value{}, 0, c.link.failure([]error{ctx.Err()}, "no access token: %v", ctx.Err())
	}
	if token, version, ok := c.cached(); ok { // got while this one waited
		return token, version, nil
	}
	token, life, err := c.ask(ctx)
	if err != nil {
		return secret.Value{}, 0, c.link.failure([]error{ctx.Err()}, "no access token: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.earlier, c.token = c.token, token
	c.version++
	c.until = c.now().Add(life - min(life/10, time.Minute))
	return token, c.version, nil
}

func (c *clientCredentials) cached() (secret.Value, int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token, c.version, !c.token.IsZero() && c.now().Before(c.until)
}

// drop forgets the token of that version, which was refused; a newer one stays.
func (c *clientCredentials) drop(version int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version == version {
		c.until = time.Time{}
	}
}

// secrets returns the tokens that may stand in an answer.
func (c *clientCredentials) secrets() []secret.Value {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []secret.Value{c.token, c.earlier}
}

// ask fetches a token.
func (c *clientCredentials) ask(ctx context.Context) (secret.Value, time.Duration, error) {
	// The values of ctx stay behind: the caller's trace would take the connection to the token's address for its own.
	alone, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {c.secret.Reveal()}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	raw, err := c.link.post(alone, c.address, []byte(form.Encode()), header)
	if err != nil {
		return secret.Value{}, 0, err
	}
	var answer struct {
		Token   string          `json:"access_token"`
		Type    string          `json:"token_type"`
		Expires text            `json:"expires_in"` // seconds
		Error   json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Token == "" || !strings.EqualFold(cmp.Or(answer.Type, "bearer"), "bearer") {
		return secret.Value{}, 0, c.link.failure(nil, "%s answered without a bearer token: check the grant type of the client", secret.RedactURL(c.address))
	}
	if len(answer.Token) > maxToken || strings.ContainsFunc(answer.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return secret.Value{}, 0, c.link.failure(nil, "%s answered with a token that no header can have", secret.RedactURL(c.address))
	}
	life := c.life
	if seconds, err := strconv.ParseInt(string(answer.Expires), 10, 32); err == nil && seconds > 0 {
		life = min(time.Duration(seconds)*time.Second, maxTokenLife)
	}
	return secret.New(answer.Token), life, nil
}
