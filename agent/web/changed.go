package web

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some ticket systems sign with nothing better; HMAC-SHA1 stands
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strings"
)

// changedPath is where a desk's system says that something changed there.
const changedPath = "/api/v1/desks/{name}/changed"

// signatureHeaders are where ticket systems put the HMAC of a call's body, as "sha256=HEX" or "sha1=HEX".
var signatureHeaders = []string{"X-Firstcall-Signature", "X-Hub-Signature-256", "X-Hub-Signature"}

// changed lets the cases of a desk be read at once. Nothing that the body says is believed: it is signed, and what changed is read
// from the desk itself. So a call that is repeated, or comes late, does no harm.
func (s *site) changed(r *http.Request) (any, error) {
	name := r.PathValue("name")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	key, ok := s.Changed[name]
	if !ok || !signedBy([]byte(key.Reveal()), body, r.Header) { // the same answer: which desks there are is nobody's business
		s.Log.Warn("call of a desk refused", "desk", bounded(name, 60), "remote", r.RemoteAddr)
		return nil, &fault{
			Status: http.StatusUnauthorized, Message: "the signature is missing or wrong, or no such desk has a webhook_secret",
			Hint: "send the hexadecimal HMAC-SHA256 of the body under webhook_secret as X-Firstcall-Signature: sha256=HEX",
		}
	}
	s.Agent.DeskChanged(name)
	return struct {
		Desk string `json:"desk"`
	}{name}, nil
}

// signedBy reports whether a header holds the HMAC of the body under the key.
func signedBy(key, body []byte, header http.Header) bool {
	for _, name := range signatureHeaders {
		algorithm, sum, ok := strings.Cut(header.Get(name), "=")
		given, err := hex.DecodeString(sum)
		if !ok || err != nil {
			continue
		}
		var new func() hash.Hash
		switch algorithm {
		case "sha256":
			new = sha256.New
		case "sha1":
			new = sha1.New
		default:
			continue
		}
		mac := hmac.New(new, key)
		mac.Write(body)
		if hmac.Equal(given, mac.Sum(nil)) {
			return true
		}
	}
	return false
}
