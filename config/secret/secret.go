// Package secret holds values that must never reach a log, an error, a metric, a case, a page or a dump.
//
// A Value prints as "<secret>" through every formatting verb and encoding; only Reveal returns the text.
// Where an address may carry a credential, RedactURL and RedactError make it fit to print.
package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// Mask is what stands in place of every secret.
const Mask = "<secret>"

// Value is a secret text. The zero Value is "not set". Values are immutable and safe for concurrent use.
type Value struct{ text string }

// New returns a Value holding text.
func New(text string) Value { return Value{text: text} }

// Reveal returns the text itself; call it at the last moment, on the way to the wire.
func (v Value) Reveal() string { return v.text }

// IsZero reports whether no secret is set.
func (v Value) IsZero() bool { return v.text == "" }

// Fingerprint returns 12 hexadecimal digits of the text's SHA-256, to tell whether a secret changed; "" when not set.
func (v Value) Fingerprint() string {
	if v.text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("firstcall secret\x00" + v.text))
	return hex.EncodeToString(sum[:6])
}

// String returns Mask, or "" when not set.
func (v Value) String() string {
	if v.text == "" {
		return ""
	}
	return Mask
}

// Format prints String whatever the verb, so that %#v and %x do not reveal the text either.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.String())) }

// GoString returns String.
func (v Value) GoString() string { return v.String() }

// LogValue returns String for slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText returns String, so that JSON and YAML dumps hold the mask.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// RedactURL returns raw fit to print: user information, query values and the fragment masked, and every path segment of
// 16 or more characters too, since chat services carry their token there. What does not parse becomes Mask.
func RedactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return Mask
	}
	var b strings.Builder
	if u.Scheme != "" {
		b.WriteString(u.Scheme + "://")
	}
	if u.User != nil {
		b.WriteString(Mask + "@")
	}
	b.WriteString(u.Host)
	for i, segment := range strings.Split(u.EscapedPath(), "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if len(segment) >= 16 {
			segment = Mask
		}
		b.WriteString(segment)
	}
	if u.RawQuery != "" {
		b.WriteString("?" + Mask)
	}
	if u.Fragment != "" {
		b.WriteString("#" + Mask)
	}
	return b.String()
}

// RedactError returns err with the address of a *url.Error masked by RedactURL; other errors come back unchanged.
func RedactError(err error) error {
	var ue *url.Error
	if !errors.As(err, &ue) {
		return err
	}
	return &url.Error{Op: ue.Op, URL: RedactURL(ue.URL), Err: RedactError(ue.Err)}
}
