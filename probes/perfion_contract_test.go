package probes_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/perfiontest"
)

// scene is a way to ask, for the contract.
type scene struct {
	name      string
	edit      func(*probes.Perfion)
	operation string // that fails in its scenarios
}

// at returns a probe of an address; its account is one that nobody else uses.
func (s scene) at(t *testing.T, address string) probes.Probe {
	return perfionProbe(t, "http://"+address, s.edit)
}

func (s scene) target(options perfiontest.Options) probetest.Target {
	return func(t *testing.T) probes.Probe {
		return s.at(t, strings.TrimPrefix(perfiontest.Start(t, options).URL, "http://"))
	}
}

// fails is a service whose operation fails in a way.
func (s scene) fails(fault http.HandlerFunc) probetest.Target {
	return s.target(perfiontest.Options{Users: map[string]string{"probe": "Test"}, Fault: perfiontest.Always(s.operation, fault)})
}

// withoutEnd writes a head and then one piece again and again.
func withoutEnd(kind, head, piece string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, err := io.WriteString(w, head)
		for err == nil {
			_, err = io.WriteString(w, piece)
		}
	}
}

func TestPerfionContract(t *testing.T) {
	for _, s := range []scene{
		{"soap with a user", as("probe", "Test"), "ExecuteQuery"},
		{"getversion", func(p *probes.Perfion) { p.Query = "" }, "GetVersion"},
		{"rest", all(as("probe", "Test"), rest), "data"},
		{"token", all(as("probe", "Test"), rest), "token"},
	} {
		t.Run(s.name, func(t *testing.T) {
			var good perfiontest.Options
			if s.operation != "GetVersion" {
				good.Users = map[string]string{"probe": "Test"}
			}
			probetest.Run(t, probetest.Case{
				Kind: "perfion", Good: s.target(good),
				Silent:    func(t *testing.T) probes.Probe { return s.at(t, probetest.Listen(t, probetest.Silence)) },
				Scenarios: s.scenarios(),
			})
		})
	}
}

// scenarios are those that are worth their time: the network's are the same whatever is asked.
func (s scene) scenarios() []probetest.Scenario {
	switch s.operation {
	case "ExecuteQuery":
		return slices.Concat(probetest.Peers(s.at), s.hostile(), s.slow())
	case "GetVersion":
		return nil
	case "token":
		return append(s.hostile(), s.slow()[0])
	}
	return s.hostile()
}

// hostile are answers without end or measure.
func (s scene) hostile() []probetest.Scenario {
	const body = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n"
	wide := strings.Repeat("x", 16<<10)
	bomb := gzipOf(64 << 20)
	soap, _, _ := strings.Cut(perfiontest.Envelope(false, "ExecuteQuery", "|"), "|")
	wrong := []probes.Reason{probes.Content, probes.Protocol}
	return []probetest.Scenario{
		down("page without end", "", s.fails(withoutEnd("text/html", "<!doctype html>", wide)), probes.Content),
		down("text without end", "", s.fails(withoutEnd("text/plain", wide, wide)), wrong...),
		down("blanks without end", "", s.fails(withoutEnd("text/plain", " ", strings.Repeat(" ", 4096))), wrong...),
		down("elements without end", "", s.fails(withoutEnd("text/xml", soap[:strings.Index(soap, "<ExecuteQueryResponse")], strings.Repeat("<a>", 999))), wrong...),
		down("attributes without end", "", s.fails(withoutEnd("text/xml", strings.Split(soap, ">")[0]+"><soap:Envelope ", strings.Repeat("a='' ", 999))), wrong...),
		down("lists without end", "", s.fails(withoutEnd("application/json", `{"Data":`, strings.Repeat("[", 999))), wrong...),
		down("headers without end", "", func(t *testing.T) probes.Probe {
			return s.at(t, endlessHeaders(t))
		}, probes.Protocol),
		down("gzip bomb", "", s.fails(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}), wrong...),
		down("gzip garbage", "", s.fails(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "this is not compressed")
		}), wrong...),
		down("cut short", "", func(t *testing.T) probes.Probe {
			return s.at(t, raw(t, strings.Replace(body, "\r\n\r\n", "\r\nContent-Length: 900\r\n\r\n<", 1)))
		}, probes.Content),
		down("hostile words", "", s.fails(perfiontest.Text(503, "text/plain", "\x1b[2J\u202e"+wide)), probes.Status, probes.Content),
	}
}

func endlessHeaders(t *testing.T) string {
	return endless(t, "HTTP/1.1 200 OK\r\n", "X-Filler: "+strings.Repeat("x", 1000)+"\r\n")
}

// slow are answers that do not come, or not to their end.
func (s scene) slow() []probetest.Scenario {
	return []probetest.Scenario{
		slow("hangs", "no answer", s.fails(perfiontest.Hang)),
		slow("hangs in the body", "", s.fails(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "<?xml ")
			_ = http.NewResponseController(w).Flush()
			perfiontest.Hang(w, r)
		})),
		slow("hangs in the head", "", func(t *testing.T) probes.Probe {
			return s.at(t, probetest.Listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				probetest.Drip("HTTP/1.1 200 OK\r\n")(conn)
			}))
		}),
		slow("hangs when it is asked again", "", func(t *testing.T) probes.Probe {
			return s.target(perfiontest.Options{Fault: func(_ string, nth int) http.HandlerFunc {
				if nth == 1 {
					return perfiontest.Page(500, "Runtime Error")
				}
				return perfiontest.Hang
			}})(t)
		}),
	}
}

// Of a long answer what was read is judged: many items are no outage.
func TestPerfionLongAnswers(t *testing.T) {
	var xml, json strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&xml, "<Product id=\"%d\"><Value>a &amp; b</Value></Product>", i)
		fmt.Fprintf(&json, `,{"id":%d,"Values":[{"value":"a"}]}`, i)
	}
	long := perfiontest.Envelope(false, "ExecuteQuery", `<Data totalExecutionTime="00:00:00.001">`+xml.String()+"</Data>")
	for name, c := range map[string]struct {
		edit      func(*probes.Perfion)
		operation string
		text      string
	}{
		"soap": {nil, "ExecuteQuery", long},
		"rest": {rest, "data", `{"Data":{"Items":[{}` + json.String() + `]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := perfiontest.Start(t, perfiontest.Options{Fault: perfiontest.Always(c.operation, perfiontest.Text(200, "text/xml", c.text))})
			for max, rows := range map[int64]string{1 << 10: "", 256 << 10: "", 64 << 20: "4000"} {
				r := checked(t, perfionProbe(t, s.URL, func(p *probes.Perfion) {
					p.MaxBody = max
					if c.edit != nil {
						c.edit(p)
					}
				}))
				want(t, r, probes.Up, probes.None, "", "rows="+rows)
				if cut := fact(r, "read") != ""; cut != (max < 1<<20) {
					t.Errorf("%d: read is %q", max, fact(r, "read"))
				}
			}
		})
	}
}

// Over TLS there are a certificate, its days and its phase.
func TestPerfionTLS(t *testing.T) {
	ca := newAuthority(t, days(900))
	s := perfiontest.Start(t, perfiontest.Options{Users: map[string]string{"probe": "Test"}})
	url := serveTLS(t, serverTLS(ca.issue(t, nil)), true, s)
	for name, edit := range map[string]func(*probes.Perfion){"soap": nil, "rest": rest} {
		t.Run(name, func(t *testing.T) {
			p := perfionProbe(t, url, func(p *probes.Perfion) {
				p.User, p.Password, p.CAFile, p.ExpiresWithin = "probe", secret.New("Test"), ca.File, time.Hour
				if edit != nil {
					edit(p)
				}
			})
			r := checked(t, p)
			want(t, r, probes.Up, probes.None, "")
			if _, ok := r.Number(probes.CertificateDays); !ok || r.Certificate == nil {
				t.Errorf("no certificate: %+v", r)
			}
			if limit, key := p.OwnLimit(probes.CertificateDays); limit == 0 || key != "expires_within" {
				t.Errorf("limit %v by %q", limit, key)
			}
			p = perfionProbe(t, url, func(p *probes.Perfion) { p.User, p.Password = "probe", secret.New("Test") })
			r = checked(t, p)
			want(t, r, probes.Down, probes.BadCertificate, "not trusted")
			if r.Certificate == nil {
				t.Error("the certificate that is not trusted is not noted")
			}
		})
	}
}
