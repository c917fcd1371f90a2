package rdp

import (
	"context"
	"crypto"
	"crypto/fips140"
	"crypto/md5" //nolint:gosec // RFC 5056 bindings of NTLM are MD5
	"crypto/rand"
	"crypto/sha256"
	_ "crypto/sha512" // for certificates that are signed with it
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/firstcall-agent/firstcall/probes/rdp/internal/ntlm"
	"github.com/firstcall-agent/firstcall/probes/rdp/internal/wire"
)

// Account is who logs on. It prints without its hash.
type Account struct {
	User   string // as the account is called; user@domain with Domain "" is a user principal name
	Domain string // NetBIOS or DNS name; "": the server's own accounts
	Hash   NTHash
}

// NTHash is the NT hash of a password ([MS-NLMP] 3.3.1): all that a log-on needs, and as good as the password. It prints as a
// mask, whatever the verb; the pointer keeps it out of what fmt makes of structs that hold one in a field of their own, where
// no method is called. The zero value is a hash of zeros, which no password is known to have.
type NTHash struct{ hash *ntlm.Hash }

// HashOf returns the NT hash of a password.
func HashOf(password string) NTHash {
	hash := ntlm.NewHash(password)
	return NTHash{&hash}
}

// ParseNTHash reads an NT hash of 32 hexadecimal digits. The error does not repeat it.
func ParseNTHash(text string) (h NTHash, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h.hash) {
		return NTHash{}, errors.New("an nt hash has 32 hexadecimal digits")
	}
	hash := ntlm.Hash(b)
	return NTHash{&hash}, nil
}

// Bytes returns a copy of the hash, to derive something from it.
func (h NTHash) Bytes() []byte {
	hash := h.value()
	return hash[:]
}

func (h NTHash) value() ntlm.Hash {
	if h.hash == nil {
		return ntlm.Hash{}
	}
	return *h.hash
}

// String returns a mask.
func (NTHash) String() string { return ntlm.Hash{}.String() }

// Format prints a mask whatever the verb.
func (h NTHash) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, h.String()) }

// Ready reports whether Logon can be called: there is a challenge that is not answered yet.
func (c *Conn) Ready() bool { return c.passed == StageNTLM }

// Asked reports whether the account was named to the server: from then on, silence too may have counted as a wrong password.
func (c *Conn) Asked() bool { return c.session != nil && c.session.asked }

// Logon answers the challenge for an account and returns nil when the server has proven that it accepted the account: its
// answer is sealed with a key that only the account's secret gives, and is about the key of its TLS certificate, so nobody
// stands between. The credentials themselves (TSCredentials) are never sent, so no session is opened. It is called once, after
// Challenge.
//
// Errors are *StageError. In it a *StatusError is the server's reason, ErrNotProven an answer without that proof, ErrBinding a
// proof about another key, a *ProtocolError an answer that the specification does not allow, io.EOF the end of the connection,
// with which old servers refuse.
func (c *Conn) Logon(ctx context.Context, a Account) error {
	if c.passed != StageNTLM {
		return &StageError{StageLogon, errors.New("there is no challenge on this connection")}
	}
	if fips140.Enforced() {
		return &StageError{StageLogon, ErrFIPS}
	}
	c.passed = StageLogon // it is tried once, whatever comes
	if err := c.logon(ctx, a); err != nil {
		return &StageError{StageLogon, stageViolation(StageLogon, err)}
	}
	return nil
}

func (c *Conn) logon(ctx context.Context, a Account) error {
	s := c.session
	cert := peer(c.tls)
	key, err := subjectKey(cert)
	if err != nil {
		return err
	}
	nonce, err := newNonce()
	if err != nil {
		return err
	}
	if err := s.challenge.Usable(); err != nil {
		return violationIn(StageLogon, "%s", err)
	}
	message, session, err := s.challenge.Authenticate(ntlm.Account{User: a.User, Domain: a.Domain, Hash: a.Hash.value()}, s.negotiate, ntlm.Options{
		ChannelBinding: channelBinding(cert), Target: s.o.Target, Now: time.Now(), Random: rand.Reader,
	})
	if err != nil {
		return err
	}
	s.asked = true
	request := wire.TSRequest{Version: s.o.Version, Token: message}
	if s.o.SPNEGO {
		// The proof goes in a message of its own: FreeRDP fails when it comes along.
		if err := c.finishSPNEGO(ctx, message, session); err != nil {
			return err
		}
		request.Token = nil
	}
	request.PubKeyAuth = session.Seal(clientProof(s.version, nonce, key))
	if s.version >= bindingVersion {
		request.Nonce = nonce
	}
	answer, err := c.exchange(ctx, request)
	if err != nil {
		return err
	}
	return proven(answer, session, serverProof(s.version, nonce, key))
}

// proven judges the last answer. Any other answer than a proof is none: some servers send one after a wrong password too.
func proven(answer wire.TSRequest, session *ntlm.Session, want []byte) error {
	if answer.ErrorCode != 0 {
		return &StatusError{Status(answer.ErrorCode)}
	}
	if answer.PubKeyAuth == nil {
		return violationIn(StageLogon, "answer to the log-on holds neither a proof nor an error")
	}
	got, err := session.Open(answer.PubKeyAuth)
	if err != nil {
		return ErrNotProven
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return ErrBinding
	}
	return nil
}

// finishSPNEGO sends the response with the signed list of mechanisms and waits for the server's ([MS-SPNG] 3.3.5.1, RFC 4178
// section 5).
func (c *Conn) finishSPNEGO(ctx context.Context, message []byte, session *ntlm.Session) error {
	list := wire.MechList()
	token := wire.NegResp{State: wire.AcceptIncomplete, Token: message, MIC: session.Sign(list)}.Marshal()
	answer, err := c.exchange(ctx, wire.TSRequest{Version: c.session.o.Version, Token: token})
	switch {
	case err != nil:
		return err
	case answer.ErrorCode != 0:
		return &StatusError{Status(answer.ErrorCode)}
	case answer.Token == nil:
		return violationIn(StageLogon, "answer to the spnego response holds no token")
	}
	response, err := wire.ParseNegResp(answer.Token)
	switch {
	case err != nil:
		return err
	case response.State == wire.Reject:
		return ErrNotProven
	case response.State != wire.AcceptCompleted:
		return violationIn(StageLogon, "spnego does not end with the response (state %d)", response.State)
	case response.MIC != nil && session.Verify(list, response.MIC) != nil:
		return ErrNotProven
	}
	session.Restart()
	return nil
}

// Labels of what is hashed ([MS-CSSP] 3.1.5), with their final zero.
const (
	clientLabel = "CredSSP Client-To-Server Binding Hash\x00"
	serverLabel = "CredSSP Server-To-Client Binding Hash\x00"
)

func clientProof(version int, nonce, key []byte) []byte {
	if version < bindingVersion {
		return key
	}
	return bindingHash(clientLabel, nonce, key)
}

// serverProof is what the server must answer: the hash, or before version 5 the key plus one, its first byte being the lowest.
func serverProof(version int, nonce, key []byte) []byte {
	if version >= bindingVersion {
		return bindingHash(serverLabel, nonce, key)
	}
	next := append([]byte(nil), key...)
	for i := range next {
		if next[i]++; next[i] != 0 {
			break
		}
	}
	return next
}

func bindingHash(label string, nonce, key []byte) []byte {
	h := sha256.New()
	_, _ = io.WriteString(h, label)
	h.Write(nonce)
	h.Write(key)
	return h.Sum(nil)
}

// channelBinding returns the MD5 of the gss_channel_bindings_struct of tls-server-end-point (RFC 5929 section 4, [MS-NLMP]
// 2.2.2.1): a server that is set to Extended Protection refuses without.
func channelBinding(cert *x509.Certificate) []byte {
	hash := crypto.SHA256 // also in place of MD5 and SHA-1
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	default:
	}
	h := hash.New()
	h.Write(cert.Raw)
	data := append([]byte("tls-server-end-point:"), h.Sum(nil)...)
	bindings := make([]byte, 16, 20+len(data)) // no addresses of initiator and acceptor
	bindings = append(binary.LittleEndian.AppendUint32(bindings, uint32(len(data))), data...)
	sum := md5.Sum(bindings)
	return sum[:]
}
