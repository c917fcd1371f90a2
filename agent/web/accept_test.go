package web_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
)

const acceptPath = "/api/v1/probes/accept?probe="

func TestAnOperatorAcceptsALatency(t *testing.T) {
	f := webtest.Scene("slow")
	w := call(t, web.New(options(f)), "POST", acceptPath+url.QueryEscape("web-client/http"), `{"actor": " mette ", "reason": "moved to another zone"}`)
	var got web.Accepted
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if want := (web.Accepted{Probe: "web-client/http", Expected: 118 * time.Millisecond, Slow: true}); got != want {
		t.Errorf("answered %+v, want %+v", got, want)
	}
	if want := []webtest.Act{{Number: "web-client/http", Actor: "mette", Reason: "moved to another zone"}}; !slices.Equal(f.Accepts(), want) {
		t.Errorf("accepted %+v", f.Accepts())
	}
}

func TestAcceptancesAreRefused(t *testing.T) {
	const mette = `{"actor": "mette"}`
	for _, c := range []struct {
		name, query, body string
		status            int
		want, hint        string
	}{
		{"no probe", "", mette, 400, "probe is missing", "GET /api/v1/components"},
		{"too long", strings.Repeat("a", 201), mette, 400, "probe is too long", "200 bytes"},
		{"a slip", "web-clint/htp", mette, 404, `there is no probe "web-clint/htp"`, `did you mean "web-client/http"?`},
		{"a part", "avd", mette, 404, `there is no probe "avd"`, `did you mean "virtual-desktop/avd"?`},
		{"a part of several", "perfion", mette, 404, `there is no probe "perfion"`, "GET /api/v1/components"},
		{"nothing like it", "shop/checkout/everything", mette, 404, "there is no probe", "GET /api/v1/components"},
		{"a witness", "witness/tcp", mette, 409, "is a witness: nothing is learnt about it", "a probe of a component"},
		{"too little measured", "web-client/tls", mette, 409, `too little of probe "web-client/tls" is measured`, "try again"},
		{"nobody", "web-client/http", `{}`, 400, "actor is missing", "timeline"},
		{"the agent itself", "web-client/http", `{"actor": "firstcall"}`, 400, "actor must not be", "the agent's own"},
		{"another key", "web-client/http", `{"actor": "m", "level": 3}`, 400, "the body cannot be read", ""},
		{"no body", "web-client/http", "", 415, "the body must be JSON", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := webtest.Scene("slow")
			delete(f.Newest, "web-client/tls")
			w := call(t, web.New(options(f)), "POST", acceptPath+url.QueryEscape(c.query), c.body)
			var got struct{ Error, Hint string }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != c.status || !strings.Contains(got.Error, c.want) || !strings.Contains(got.Hint, c.hint) {
				t.Errorf("%d %s, want %d %q (%q)", w.Code, w.Body, c.status, c.want, c.hint)
			}
			if len(f.Accepts()) != 0 {
				t.Errorf("accepted %+v", f.Accepts())
			}
		})
	}
}

// The page says how far the baseline is, what is normal, where the time goes, and that a probe is fast again.
func TestPageShowsWhatIsNormal(t *testing.T) {
	for _, c := range []struct {
		scene      string
		want, not  []string
		targetPage string
	}{
		{"young", []string{"learning, 3 of 14 days", "learning, 0 of 14 days", "normally 56\u00a0ms, slow from 68\u00a0ms"}, []string{"fast again"}, "/"},
		{"well", []string{"normally 56\u00a0ms, slow from 68\u00a0ms"}, []string{"learning", "of 14 days"}, "/"},
		{
			"slow", []string{
				"normally 118\u00a0ms, slow from 143\u00a0ms", "tls 280ms more", `<th scope="col">Now</th>`,
				`<tr><th scope="row"><bdi>first byte</bdi></th><td>64 ms</td><td>52 ms</td><td>&#43;12 ms</td></tr>`,
				`<tfoot><tr><th scope="row"><bdi>total</bdi></th><td>412 ms</td><td>118 ms</td><td>&#43;294 ms</td></tr></tfoot>`,
			}, []string{"fast again"}, "/",
		},
		{
			"quiet",
			[]string{"fast again since 10:46, watched until it has stayed so", `<th scope="col">Slow</th>`},
			[]string{"short slow stretches", "09:46:10"},
			"/",
		},
		{"quiet", []string{"accepted by mette and taken as normal from now on", "Taken as normal</dt>", "by mette: moved to another zone"}, []string{"First good result"}, "accepted"},
	} {
		f := webtest.Scene(c.scene)
		target := c.targetPage
		if target == "accepted" {
			target = "/incidents/" + f.Told[0].ID
		}
		body := get(t, web.New(options(f)), target).Body.String()
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s %s: not on the page: %q", c.scene, target, want)
			}
		}
		for _, not := range c.not {
			if strings.Contains(body, not) {
				t.Errorf("%s %s: on the page: %q", c.scene, target, not)
			}
		}
		if c.scene == "slow" && strings.Count(body, "tls 280ms more") != 2 { // in the incident, and with the probe
			t.Errorf("the sentence stands there %d times", strings.Count(body, "tls 280ms more"))
		}
	}
}
