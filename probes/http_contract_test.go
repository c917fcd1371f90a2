package probes_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// httpProbe returns a probe of url with the defaults of the tags.
func httpProbe(t testing.TB, url string, edit func(*probes.HTTP)) probes.Probe {
	t.Helper()
	p := &probes.HTTP{URL: url, Redirects: 10, MaxBody: 1 << 20, Version: "auto"}
	if edit != nil {
		edit(p)
	}
	return valid(t, p)
}

// serveHTTP serves handler until t ends.
func serveHTTP(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// raw serves the same bytes to every connection, whatever is asked, and hangs up.
func raw(t *testing.T, answer string) string {
	t.Helper()
	return probetest.Listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, answer)
		probetest.Hangup(conn)
	})
}

// endless writes piece again and again.
func endless(t *testing.T, head, piece string) string {
	t.Helper()
	return probetest.Listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, err := io.WriteString(conn, head)
		for err == nil {
			_, err = io.WriteString(conn, piece)
		}
	})
}

func gzipOf(size int64) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.CopyN(w, zeros{}, size)
	_ = w.Close()
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// page returns a probe that expects the page of Perfion.
func page(t *testing.T, address string) probes.Probe {
	t.Helper()
	return httpProbe(t, "http://"+address+"/", func(p *probes.HTTP) { p.Expect.Body = "Perfion" })
}

// on, says and serves are targets: an address, a server of fixed bytes, a handler.
func on(address func(t *testing.T) string) probetest.Target {
	return func(t *testing.T) probes.Probe { return page(t, address(t)) }
}

func says(answer string) probetest.Target {
	return on(func(t *testing.T) string { return raw(t, answer) })
}

func serves(handler http.HandlerFunc) probetest.Target {
	return on(func(t *testing.T) string { return strings.TrimPrefix(serveHTTP(t, handler), "http://") })
}

func down(name, detail string, target probetest.Target, reasons ...probes.Reason) probetest.Scenario {
	return probetest.Scenario{Name: name, Target: target, Outcome: probes.Down, Reasons: reasons, Verify: wantDetail(detail)}
}

func slow(name, detail string, target probetest.Target) probetest.Scenario {
	s := down(name, detail, target, probes.Timeout)
	s.Timeout = 500 * time.Millisecond
	return s
}

func TestHTTPContract(t *testing.T) {
	probetest.Run(t, probetest.Case{
		Kind:      "http",
		Good:      serves(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<title>Perfion</title>") }),
		Silent:    on(func(t *testing.T) string { return probetest.Listen(t, probetest.Silence) }),
		Scenarios: slices.Concat(probetest.Peers(page), endlessPeers(), slowPeers(), brokenPeers()),
	})
}

func endlessPeers() []probetest.Scenario {
	wide := strings.Repeat("x", 16<<10)
	bomb := gzipOf(64 << 20)
	return []probetest.Scenario{
		down("body without end", "is not in it", on(func(t *testing.T) string { return endless(t, "HTTP/1.1 200 OK\r\n\r\n", wide) }), probes.Content),
		down("chunks without end", "is not in it", on(func(t *testing.T) string {
			return endless(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n%s\r\n", len(wide), wide))
		}), probes.Content),
		down("headers without end", "protocol failure (transfer): ", on(func(t *testing.T) string {
			return endless(t, "HTTP/1.1 200 OK\r\n", "X-Filler: "+wide[:1000]+"\r\n")
		}), probes.Protocol),
		down("one header without end", "protocol failure (transfer): ", on(func(t *testing.T) string { return endless(t, "HTTP/1.1 200 OK\r\nX-Filler: ", wide) }), probes.Protocol),
		down("interim answers without end", "protocol failure (transfer): ", on(func(t *testing.T) string {
			return endless(t, "", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
		}), probes.Protocol),
		down("redirect loop", "redirects more than 10 times, at last to http://127.0.0.1:", serves(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}), probes.Status),
		down("redirect with a growing address", "redirects more than 10 times", serves(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/x"+r.URL.Path+strings.Repeat("a", 4000), http.StatusFound)
		}), probes.Status),
		down("gzip bomb", "is not in it", serves(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}), probes.Content),
	}
}

func slowPeers() []probetest.Scenario {
	return []probetest.Scenario{
		slow("slow headers", "the answer began, but did not finish", on(func(t *testing.T) string {
			return probetest.Listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				probetest.Drip("HTTP/1.1 200 OK\r\n")(conn)
			})
		})),
		slow("slow body", "the answer began, but did not finish", serves(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "Perfion")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})),
		slow("slow answer", "connected, but no answer", serves(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })),
	}
}

func brokenPeers() []probetest.Scenario {
	return []probetest.Scenario{
		down("gzip garbage", "content failure (transfer): gzip: invalid header", serves(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "this is not compressed at all")
		}), probes.Content),
		down("cut short", "the answer (status 200) ended after 7 of 1000 bytes", says("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nPerfion"), probes.Content),
		down("cut short in chunks", "the answer (status 200) ended after 7 bytes", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nPerfion\r\n"), probes.Content),
		down("hostile header", "malformed MIME header", says("HTTP/1.1 200 OK\r\nServer: \x1b]0;x\a\r\n\r\nPerfion"), probes.Protocol),
		down("answers before it is asked", "", on(func(t *testing.T) string {
			return probetest.Listen(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
				probetest.Silence(conn)
			})
		}), probes.Protocol),
		down("not http", "malformed HTTP", says("SSH-2.0-OpenSSH_9.2\r\n"), probes.Protocol),
		down("hostile status line", "status 503 Service Unavailable, expected 2xx", says("HTTP/1.1 503 \x1b[2J\u202egone\r\nServer: \u202ex\r\n\r\n<script>\x1b"), probes.Status),
		down("reset in the body", "reset the connection (transfer)", on(func(t *testing.T) string {
			return probetest.Listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nPerfion")
				probetest.Abort(conn)
			})
		}), probes.Reset, probes.Content),
		down("huge status", "is not in it", says("HTTP/1.1 200 "+strings.Repeat("x", 16<<10)+"\r\nContent-Length: 0\r\n\r\n"), probes.Content),
	}
}

// The second hop's connection is counted as well, and TLS has its phase and its certificate.
func TestHTTPSContract(t *testing.T) {
	ca := newAuthority(t, days(900))
	target := func(t *testing.T, http2 bool) probes.Probe {
		url := serveTLS(t, serverTLS(ca.issue(t, nil)), http2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/home", http.StatusFound)
				return
			}
			_, _ = io.WriteString(w, "Perfion over "+strconv.Itoa(r.ProtoMajor))
		}))
		return httpProbe(t, url, func(p *probes.HTTP) {
			p.CAFile, p.Expect.Body = ca.File, "Perfion over 1"
			if http2 {
				p.Version, p.Expect.Body = "http2", "Perfion over 2"
			}
		})
	}
	secured := func(t *testing.T, address string) probes.Probe {
		return httpProbe(t, "https://"+address+"/", func(p *probes.HTTP) { p.CAFile = ca.File })
	}
	for name, http2 := range map[string]bool{"http1": false, "http2": true} {
		t.Run(name, func(t *testing.T) {
			good := func(t *testing.T) probes.Probe { return target(t, http2) }
			probetest.Run(t, probetest.Case{
				Kind: "http", Good: good,
				Silent: func(t *testing.T) probes.Probe { return secured(t, probetest.Listen(t, probetest.Silence)) },
				Scenarios: append(probetest.Peers(secured), probetest.Scenario{Name: "phases", Target: good, Outcome: probes.Up, Verify: func(t *testing.T, r probes.Result) {
					if len(r.Phases) != 4 || r.Certificate == nil || r.Certificate.Issuer != "CN=Test Root" {
						t.Errorf("phases %v, certificate %+v", r.Phases, r.Certificate)
					}
				}}),
			})
		})
	}
}
