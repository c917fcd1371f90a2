// Package rdptest is a Remote Desktop server for tests, up to the verified log-on. It gives the answers that no server on
// Debian gives: NTSTATUS errors, SPNEGO, every version of CredSSP, HYBRID_EX, RDSTLS and Entra, any refusal of the negotiation, and
// tokens that are not as they should be.
package rdptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// Stage is a message of the server that Options can change.
type Stage string

// The stages.
const (
	None      Stage = ""
	X224      Stage = "x224"
	TLS       Stage = "tls"
	Challenge Stage = "challenge"
	SPNEGO    Stage = "spnego" // its last message, before the proof
	Proof     Stage = "proof"
	Greeting  Stage = "greeting" // of RDSTLS and Entra
)

// Refusal is how a wrong secret is answered.
type Refusal int

// The refusals.
const (
	WithStatus Refusal = iota // errorCode, as Windows does; STATUS_LOGON_FAILURE unless Options.Status says otherwise
	ByClosing                 // as FreeRDP 2 does
	Unproven                  // a proof that does not verify, as FreeRDP 3 sends to version 2 and 5
)

// Options describe a server. The zero value takes every offer of Network Level Authentication, knows no account, and is called
// FAKE in the domain EXAMPLE (fake.example.test).
type Options struct {
	Protocols       rdp.Protocol // on offer; 0: ProtocolHybrid. The highest that the client offers too is selected
	Failure         rdp.FailureCode
	Version         int               // of CredSSP; 0: 6
	Accounts        map[string]string // passwords by USER or DOMAIN\user, as the client names them
	Status          rdp.Status        // not 0: the answer to every response, right or wrong
	ChallengeStatus rdp.Status        // not 0: the answer to the first token
	Refusal         Refusal
	NoTimestamp     bool
	Skew            time.Duration // of the server's clock
	Computer        string        // NetBIOS name; "": FAKE
	Domain          string        // NetBIOS name; "": EXAMPLE; the computer's for one that is in no domain
	OtherKey        bool          // the proof is about another key, as behind a relay
	Silent          Stage         // the stage at which the server falls silent
	Close           Stage         // the stage at which the server closes the connection
	// Mangle changes what is sent at a stage: the packet at X224 and Greeting, the TSRequest at the others. nil: nothing.
	Mangle map[Stage]func([]byte) []byte
	// ForeignVersion answers with a version of CredSSP that is not checked against the client's.
	ForeignVersion int
}

// Server is a running fake.
type Server struct {
	Address string

	o    Options
	cert tls.Certificate
	key  []byte // what the proof is about

	mu   sync.Mutex
	seen Seen
}

// Seen is what clients did.
type Seen struct {
	Challenges int    // first tokens
	Responses  int    // accounts named
	Accepted   int    // proofs sent
	After      int    // bytes that came after the proof: none, unless credentials are delivered
	User       string // of the last response, DOMAIN\user
	Target     string // service principal name of the last response
	Bound      bool   // the last response had a channel binding
	MIC        bool   // the last response had a good MIC
	Requested  rdp.Protocol
}

// Start starts a server on loopback that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{o: o.complete()}
	s.certificate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = listener.Addr().String()
	var open sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if conns == nil {
				_ = conn.Close()
			} else {
				conns[conn] = true
			}
			mu.Unlock()
			open.Go(func() {
				s.serve(conn)
				_ = conn.Close()
				mu.Lock()
				delete(conns, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range conns {
			_ = conn.Close()
		}
		conns = nil
		mu.Unlock()
		open.Wait()
	})
	return s
}

// Seen returns what clients did so far.
func (s *Server) Seen() Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *Server) note(f func(*Seen)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.seen)
}

func (o Options) complete() Options {
	if o.Protocols == 0 {
		o.Protocols = rdp.ProtocolHybrid
	}
	if o.Version == 0 {
		o.Version = rdp.MaxVersion
	}
	if o.Computer == "" {
		o.Computer = "FAKE"
	}
	if o.Domain == "" {
		o.Domain = "EXAMPLE"
	}
	return o
}

// certificate makes the server's certificate, of a P-256 key: such keys are fast to make.
func (s *Server) certificate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	const name = "fake"
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(180 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	point, err := key.PublicKey.Bytes() // the content of the BIT STRING is the point itself (RFC 5480 2.2)
	if err != nil {
		t.Fatal(err)
	}
	if s.key = point; s.o.OtherKey {
		s.key = append([]byte{4}, make([]byte, len(point)-1)...)
	}
}

// reach does what the server does at a stage instead of going on, and reports whether it did.
func (s *Server) reach(conn io.Reader, at Stage) bool {
	if s.o.Silent == at && at != None {
		_, _ = io.Copy(io.Discard, conn)
		return true
	}
	return s.o.Close == at && at != None
}

func (s *Server) mangled(at Stage, b []byte) []byte {
	if f := s.o.Mangle[at]; f != nil {
		return f(b)
	}
	return b
}

// serve has one connection.
func (s *Server) serve(conn net.Conn) {
	request := make([]byte, 19)
	if _, err := io.ReadFull(conn, request); err != nil {
		return
	}
	offered := rdp.Protocol(binary.LittleEndian.Uint32(request[15:]))
	s.note(func(seen *Seen) { seen.Requested = offered })
	if s.reach(conn, X224) {
		return
	}
	selected := s.selects(offered)
	if _, err := conn.Write(s.mangled(X224, confirm(selected, s.o.Failure))); err != nil || selected == 0 || s.o.Failure != 0 || s.reach(conn, TLS) {
		return
	}
	secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	if secured.Handshake() != nil {
		return
	}
	switch selected {
	case rdp.ProtocolHybrid, rdp.ProtocolHybridEx:
		s.credssp(secured)
	case rdp.ProtocolRDSTLS:
		s.greet(secured, []byte{1, 0, 1, 0, 1, 0, 1, 0})
	case rdp.ProtocolRDSAAD:
		s.greet(secured, []byte(`{"ts_nonce":"AQABAAEAAAD--DLA3VO7QrddgJg7Wevr"}`+"\x00"))
	default: // TLS alone: the client's turn
		_, _ = io.Copy(io.Discard, secured)
	}
}

func (s *Server) greet(conn *tls.Conn, text []byte) {
	if s.reach(conn, Greeting) {
		return
	}
	_, _ = conn.Write(s.mangled(Greeting, text))
	_, _ = io.Copy(io.Discard, conn)
}

// selects returns the highest protocol that both sides offer.
func (s *Server) selects(offered rdp.Protocol) rdp.Protocol {
	for bit := rdp.ProtocolRDSAAD; bit > 0; bit >>= 1 {
		if s.o.Protocols&offered&bit != 0 {
			return bit
		}
	}
	return 0
}

// confirm returns a Connection Confirm, or one with a refusal: without a common protocol the one that Windows gives.
func confirm(selected rdp.Protocol, failure rdp.FailureCode) []byte {
	kind, value := byte(2), uint32(selected)
	if failure == 0 && selected == 0 {
		failure = rdp.HybridRequired
	}
	if failure != 0 {
		kind, value = 3, uint32(failure)
	}
	b := []byte{3, 0, 0, 19, 14, 0xD0, 0, 0, 0x12, 0x34, 0, kind, 0x0B, 8, 0}
	if failure != 0 {
		b[12] = 0
	}
	return binary.LittleEndian.AppendUint32(b, value)
}
