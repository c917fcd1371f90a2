package web_test

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what some ticket systems sign with
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/config/secret"
)

func TestDeskSaysThatSomethingChanged(t *testing.T) {
	const key, body = "a key of some length", `{"ticket": 4711}`
	sum := func(algorithm string, new func() hash.Hash, key, body string) string {
		mac := hmac.New(new, []byte(key))
		mac.Write([]byte(body))
		return algorithm + "=" + hex.EncodeToString(mac.Sum(nil))
	}
	for _, c := range []struct {
		name, desk, header, value, body string
		want                            int
	}{
		{"own header", "soc", "X-Firstcall-Signature", sum("sha256", sha256.New, key, body), body, 200},
		{"upper case", "soc", "X-Firstcall-Signature", strings.ToUpper(sum("sha256", sha256.New, key, body))[:6], body, 401},
		{"that of Jira", "soc", "X-Hub-Signature", sum("sha256", sha256.New, key, body), body, 200},
		{"that of Zammad", "soc", "X-Hub-Signature", sum("sha1", sha1.New, key, body), body, 200},
		{"another key", "soc", "X-Firstcall-Signature", sum("sha256", sha256.New, "another", body), body, 401},
		{"another body", "soc", "X-Firstcall-Signature", sum("sha256", sha256.New, key, "{}"), body, 401},
		{"no signature", "soc", "X-Other", "", body, 401},
		{"an empty sum", "soc", "X-Firstcall-Signature", "sha256=", body, 401},
		{"an unknown algorithm", "soc", "X-Firstcall-Signature", sum("md5", sha256.New, key, body), body, 401},
		{"a desk without a key", "mailbox", "X-Firstcall-Signature", sum("sha256", sha256.New, "", body), body, 401},
		{"a body without an end", "soc", "X-Firstcall-Signature", sum("sha256", sha256.New, key, body), strings.Repeat("x", 1<<21), 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := webtest.Scene("p1")
			o := options(f)
			o.Changed = map[string]secret.Value{"soc": secret.New(key)}
			w := call(t, web.New(o), http.MethodPost, "/api/v1/desks/"+c.desk+"/changed", c.body, from("192.0.2.7:1"), func(r *http.Request) {
				r.Header.Set(c.header, c.value)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			})
			if w.Code != c.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if got := slices.Equal(f.Changed(), []string{"soc"}); got != (c.want == 200) {
				t.Errorf("the agent was told of %q", f.Changed())
			}
			if strings.Contains(w.Body.String(), key) {
				t.Error("the key was told")
			}
		})
	}
}
