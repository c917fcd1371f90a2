package web_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident/store"
)

func mustAddr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

var quiet = slog.New(slog.DiscardHandler)

func TestServeUntilTheContextEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server, err := web.Bind("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, h, quiet) }()
	answer := make(chan string, 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		resp, err := client.Get("http://" + server.Addr().String() + "/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-entered
	cancel()
	close(release)
	if got := <-answer; got != "whole" {
		t.Errorf("the running request got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
	if c, err := net.Dial("tcp", server.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the address is still served")
	}
}

func TestServeEndedBeforeItBegan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := web.Serve(ctx, "127.0.0.1:0", "", http.NotFoundHandler(), quiet); err != nil {
		t.Error(err)
	}
}

func TestBindSaysWhatToDo(t *testing.T) {
	taken, err := web.Bind("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	if _, err := web.Bind(taken.Addr().String(), ""); err == nil || !strings.Contains(err.Error(), "--web.listen-address") || strings.Count(err.Error(), taken.Addr().String()) != 1 {
		t.Errorf("a taken address: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(bad, []byte("basic_auth_user: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{bad, bad + ".gone"} {
		if _, err := web.Bind("127.0.0.1:0", file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TLS and basic authentication come from the toolkit's file and stand before everything, the page and the API.
func TestWebConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "web.yaml")
	if err := os.WriteFile(file, []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {soc: \""+string(hash)+"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := web.Bind("127.0.0.1:0", file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, web.New(options(webtest.Scene("well"))), quiet) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for _, c := range []struct {
		password string
		want     int
	}{{"secret", 200}, {"wrong", 401}, {"", 401}} {
		r, err := http.NewRequestWithContext(ctx, "GET", "https://"+server.Addr().String()+"/api/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.password != "" {
			r.SetBasicAuth("soc", c.password)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("password %q: %d, want %d", c.password, resp.StatusCode, c.want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// certificate writes a self-signed pair for 127.0.0.1 into dir.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shape := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	return pool
}

// Many readers at once, with orders between them: the handler holds no state of its own.
func TestConcurrentUse(t *testing.T) {
	f := webtest.Scene("p1")
	h := web.New(options(f))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, target := range []string{"/", "/incidents", "/api/v1/status", "/api/v1/components", "/badge.svg", "/api/openapi.json", "/incidents/" + f.Seen.Incidents[0].ID} {
				if w := get(t, h, target); w.Code != 200 {
					t.Errorf("%s: %d", target, w.Code)
				}
			}
			if w := call(t, h, "POST", ackPath, `{"actor": "mette"}`); w.Code != 200 {
				t.Errorf("ack: %d", w.Code)
			}
		})
	}
	all.Wait()
}

func BenchmarkStatusPage100Components(b *testing.B) {
	h := web.New(options(webtest.Scene("large")))
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/", nil)
	if err != nil {
		b.Fatal(err)
	}
	size := 0
	for b.Loop() {
		w := &sink{header: http.Header{}}
		h.ServeHTTP(w, r)
		size = w.Len()
	}
	b.ReportMetric(float64(size)/1024, "KiB/page")
}

// manyIncidents is a store with ten thousand of them, each with a case.
func manyIncidents(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "firstcall.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	told := webtest.Scene("well").Told
	var c store.Commit
	for n := range 10_000 {
		i := told[n%100]
		i.ID, i.Opened = fmt.Sprintf("fc-acme-%05d", n), i.Opened.Add(-time.Duration(n)*time.Minute)
		c.Incidents = append(c.Incidents, i)
		if n%1000 == 999 {
			c.At = i.Opened
			if err := s.Commit(b.Context(), c); err != nil {
				b.Fatal(err)
			}
			c.Incidents = nil
		}
	}
	return s
}

func BenchmarkHistoryPage10000Incidents(b *testing.B) {
	f, s := webtest.Scene("well"), manyIncidents(b)
	o := options(f)
	o.Store = s
	h := web.New(o)
	for name, target := range map[string]string{
		"newest": "/incidents", "filtered": "/incidents?component=web-client&priority=p2&class=availability&state=recovered&from=2026-01-01", "text": "/incidents?q=inaccessible",
		"none": "/incidents?q=nothing-like-it", "deep": "/incidents?before=2026-06-01T00:00:00Z",
	} {
		b.Run(name, func(b *testing.B) {
			r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1"+target, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				w := &sink{header: http.Header{}}
				h.ServeHTTP(w, r)
				if !strings.Contains(w.String(), "incident") {
					b.Fatal(w.String())
				}
			}
		})
	}
}

func BenchmarkComponentPage(b *testing.B) {
	h := web.New(options(webtest.Scene("ordered")))
	for _, span := range []string{"3h", "24h", "30d"} {
		b.Run(span, func(b *testing.B) {
			r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/components/web-client?range="+span, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				h.ServeHTTP(&sink{header: http.Header{}}, r)
			}
		})
	}
}

type sink struct {
	bytes.Buffer
	header http.Header
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
