package tds_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/probes/tds"
	"github.com/firstcall-agent/firstcall/probes/tds/tdstest"
)

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// serve connects to a server that ends with the test.
func serve(t testing.TB, server *tdstest.Server) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := listener.Accept(); err == nil {
			server.Serve(conn)
			_ = conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = conn.Close(), listener.Close()
		<-done
	})
	return conn
}

// open goes as far as TLS.
func open(t testing.TB, server *tdstest.Server, config *tls.Config, strict, fedAuth bool) *tds.Conn {
	t.Helper()
	conn := tds.NewConn(serve(t, server))
	start := conn.StartTLS
	if strict {
		if _, err := conn.StartStrict(config); err != nil {
			t.Fatal(err)
		}
		start = nil
	}
	prelogin, err := conn.Prelogin(fedAuth)
	if err != nil {
		t.Fatal(err)
	}
	if want := (tds.Prelogin{Version: tds.Version{Major: 16, Build: 1000}, Encryption: tds.EncryptOn, Encrypts: true, FedAuth: fedAuth, FedAuthEcho: fedAuth}); prelogin != want {
		t.Errorf("pre-login is %+v, want %+v", prelogin, want)
	}
	if start != nil {
		if _, err := start(config); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// logged returns what comes of a log-in, and of a query when that succeeds.
func logged(t testing.TB, change func(*tdstest.Server)) (tds.Session, uint64, error) {
	t.Helper()
	cert, roots := certificate(t)
	server := &tdstest.Server{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	change(server)
	conn := open(t, server, &tls.Config{RootCAs: roots, ServerName: "localhost"}, false, false)
	session, err := conn.Login(tds.Login{User: "probe", Password: "secret"})
	if err != nil || session.Route != nil {
		return session, 0, err
	}
	rows, err := conn.Query("SELECT 1")
	return session, rows, err
}

func says(tokens ...[]byte) func(*tdstest.Server) {
	return func(s *tdstest.Server) { s.Login = func(tdstest.Request) []byte { return tdstest.Join(tokens...) } }
}

func answers(tokens ...[]byte) func(*tdstest.Server) {
	return func(s *tdstest.Server) { s.Query = func(string) []byte { return tdstest.Join(tokens...) } }
}

// TestRefusals states that errors come whole, the first first, and that their texts are bounded.
func TestRefusals(t *testing.T) {
	_, _, err := logged(t, says(
		tdstest.Info("hello"), tdstest.Error(4060, 11, "Cannot open database"), tdstest.Error(18456, 14, strings.Repeat("x", 1000)), tdstest.Done(2, 0)))
	want := tds.ServerErrors{
		{Number: 4060, State: 1, Class: 11, Message: "Cannot open database"}, {Number: 18456, State: 1, Class: 14, Message: strings.Repeat("x", 400)},
	}
	got, _ := errors.AsType[tds.ServerErrors](err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var many [][]byte
	for range 100 {
		many = append(many, tdstest.Error(1, 16, "again"))
	}
	_, _, err = logged(t, says(append(many, tdstest.Done(2, 0))...))
	if got, _ := errors.AsType[tds.ServerErrors](err); len(got) != 8 {
		t.Errorf("%d errors are kept", len(got))
	}
}

// TestRoute states that a redirect is told and nothing is asked after it.
func TestRoute(t *testing.T) {
	session, _, err := logged(t, says(tdstest.Route("tr1.example", 11001)))
	if err != nil || session.Route == nil || *session.Route != (tds.Route{Server: "tr1.example", Port: 11001}) {
		t.Errorf("%+v, %v", session.Route, err)
	}
}

// TestQuery states what is read of rows.
func TestQuery(t *testing.T) {
	strange := append([]byte{0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0xf5}, make([]byte, 9000)...) // a type nobody knows, in several packets
	for name, c := range map[string]struct {
		tokens [][]byte
		rows   uint64
		err    string
	}{
		"no row":          {[][]byte{tdstest.Columns(), tdstest.Done(0x10, 0)}, 0, ""},
		"strange type":    {[][]byte{strange, tdstest.Done(0x10, 3)}, 3, ""},
		"error":           {[][]byte{tdstest.Done(1, 0), tdstest.Error(208, 16, "Invalid object name"), tdstest.Done(2, 0)}, 0, "error 208, state 1: Invalid object name"},
		"error in a row":  {[][]byte{tdstest.Columns(), tdstest.Row(), tdstest.Error(8134, 16, "Divide by zero"), tdstest.Done(2, 0)}, 0, tds.ErrRows.Error()},
		"too much":        {[][]byte{tdstest.Columns(), make([]byte, 300<<10)}, 0, tds.ErrTooMuch.Error()},
		"no end":          {[][]byte{tdstest.Columns(), make([]byte, 100)}, 0, "the answer to the query does not end as it must"},
		"ends at columns": {[][]byte{tdstest.Done(1, 0), {0x81}}, 0, "the answer to the query does not end as it must"},
		"nothing":         {nil, 0, "the answer ends too early"},
		"claims 4 GiB":    {[][]byte{{0xe4, 0xff, 0xff, 0xff, 0xff, 1}}, 0, "the answer ends too early"},
		"foreign token":   {[][]byte{{0x55}}, 0, "the answer has a token 0x55, which does not belong here"},
		"cut error":       {[][]byte{{0xaa, 3, 0, 1, 2, 3}}, 0, "an error in the answer ends too early"},
		"cut body":        {[][]byte{{0xaa, 30, 0, 1, 2, 3}}, 0, "the answer ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			_, rows, err := logged(t, answers(c.tokens...))
			text := ""
			if err != nil {
				text = err.Error()
			}
			if rows != c.rows || text != c.err {
				t.Errorf("%d rows, %q; want %d, %q", rows, text, c.rows, c.err)
			}
		})
	}
}

// TestLost states that a connection which ends within an answer differs from an answer that ends.
func TestLost(t *testing.T) {
	_, _, err := logged(t, func(s *tdstest.Server) {
		s.Raw = func(at tdstest.Stage, conn io.Writer) {
			if at == tdstest.Login {
				_, _ = conn.Write([]byte{4, 0, 0, 20, 0, 0, 1, 0, 0xaa, 30, 0})
			}
		}
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

// TestNoSecretWithoutTLS states that nothing is logged in over an open connection.
func TestNoSecretWithoutTLS(t *testing.T) {
	conn := tds.NewConn(serve(t, &tdstest.Server{Encryption: 2}))
	if _, err := conn.Prelogin(false); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Login(tds.Login{User: "probe", Password: "secret"}); !errors.Is(err, tds.ErrNotEncrypted) {
		t.Errorf("%v", err)
	}
}

// TestNoToken states that a token goes only to a server that takes one.
func TestNoToken(t *testing.T) {
	cert, roots := certificate(t)
	conn := open(t, &tdstest.Server{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, &tls.Config{RootCAs: roots, ServerName: "localhost"}, false, false)
	if _, err := conn.Login(tds.Login{Token: "eyJ"}); !errors.Is(err, tds.ErrNoFedAuth) {
		t.Errorf("%v", err)
	}
}

// TestPreloginFaults states which answers are none.
func TestPreloginFaults(t *testing.T) {
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"empty":       {nil, "the pre-login answer has no end of its options"},
		"no end":      {[]byte{9, 0, 5, 0, 0}, "the pre-login answer has no end of its options"},
		"cut option":  {[]byte{0, 0, 5}, "the pre-login answer ends within an option"},
		"outside":     {[]byte{1, 0, 6, 0, 1, 0xff}, "option 0x01 of the pre-login answer is outside of it"},
		"far outside": {[]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff}, "option 0x01 of the pre-login answer is outside of it"},
		"long":        {[]byte{1, 0, 6, 0, 2, 0xff, 1, 1}, "option 0x01 of the pre-login answer has 2 bytes, not 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tds.ParsePrelogin(c.answer); err == nil || err.Error() != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	if p, err := tds.ParsePrelogin([]byte{9, 0, 6, 0, 1, 0xff, 7}); err != nil || p != (tds.Prelogin{}) {
		t.Errorf("an unknown option: %+v, %v", p, err)
	}
}

// FuzzParsePrelogin states that no answer makes the parser fall.
func FuzzParsePrelogin(f *testing.F) {
	f.Add([]byte{0, 0, 16, 0, 6, 1, 0, 22, 0, 1, 0xff, 0, 0, 0, 0, 0, 16, 0, 3, 0xe8, 0, 0, 1})
	f.Add([]byte{1, 0, 6, 0, 1, 0xff, 3})
	f.Fuzz(func(t *testing.T, answer []byte) {
		p, err := tds.ParsePrelogin(answer)
		if err != nil && p != (tds.Prelogin{}) {
			t.Errorf("a fault, and yet %+v", p)
		}
		_ = p.Version.String() + p.Encryption.String()
	})
}
