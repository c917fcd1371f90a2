package rdp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/firstcall-agent/firstcall/probes/rdp/internal/ntlm"
	"github.com/firstcall-agent/firstcall/probes/rdp/internal/wire"
)

// MaxVersion is the version of CredSSP that is offered unless another is asked for; MinVersion is the oldest that is spoken.
const (
	MaxVersion = 6
	MinVersion = 2
)

// bindingVersion is the first version that binds with a nonce and hashes ([MS-CSSP] 3.1.5, CVE-2018-0886).
const bindingVersion = 5

// CredSSP is how Challenge speaks. The zero value is version 6 with NTLM messages as they are, which [MS-CSSP] 2.2.1 allows.
type CredSSP struct {
	Version int    // 0: MaxVersion
	SPNEGO  bool   // wrap the messages as RFC 4178 has it, as Windows' own client does
	Target  string // service principal name that goes into the response, such as TERMSRV/host; "": none
}

// Challenge is what a server says of itself before anybody is named ([MS-NLMP] 2.2.1.2). Texts are the server's own, and not
// escaped; those that it does not tell are "".
type Challenge struct {
	Version                        int // of CredSSP, that both sides speak
	NetBIOSComputer, NetBIOSDomain string
	DNSComputer, DNSDomain         string
	DNSTree                        string // the forest
	Major, Minor                   uint8  // of the operating system; 0.0 build 0 when it does not say
	Build                          uint16
	Time                           time.Time // the server's clock, UTC; zero when it does not tell
	Received                       time.Time // this host's clock when the challenge came
	RoundTrip                      time.Duration
}

// session is what Challenge leaves for Logon.
type session struct {
	o         CredSSP
	version   int
	negotiate []byte
	challenge *ntlm.Challenge
	asked     bool
}

// Challenge asks for an NTLM challenge over CredSSP: the authentication service of the server answers it, and no account is
// named. It is called once, after StartTLS, when the selected protocol is ProtocolHybrid or ProtocolHybridEx.
//
// Errors are *StageError; in it a *StatusError is an answer that tells why there is no challenge, a *ProtocolError one that
// the specification does not allow, ErrNoNTLM one that refuses NTLM, and io.EOF no answer at all.
func (c *Conn) Challenge(ctx context.Context, o CredSSP) (Challenge, error) {
	if c.passed != StageTLS || c.confirm.Selected&(ProtocolHybrid|ProtocolHybridEx) == 0 {
		return Challenge{}, &StageError{StageNTLM, errors.New("credssp was not negotiated on this connection")}
	}
	if o.Version == 0 {
		o.Version = MaxVersion
	}
	if o.Version < MinVersion || o.Version > MaxVersion {
		return Challenge{}, &StageError{StageNTLM, fmt.Errorf("credssp version %d is not between %d and %d", o.Version, MinVersion, MaxVersion)}
	}
	c.session = &session{o: o, negotiate: ntlm.Negotiate()}
	token := c.session.negotiate
	if o.SPNEGO {
		token = wire.NegInit(token)
	}
	var told Challenge
	began := time.Now()
	answer, err := c.exchange(ctx, wire.TSRequest{Version: o.Version, Token: token})
	if err == nil {
		told.Received = time.Now()
		told.RoundTrip = told.Received.Sub(began)
		err = c.session.challenged(answer, &told)
	}
	if err != nil {
		return Challenge{}, &StageError{StageNTLM, stageViolation(StageNTLM, err)}
	}
	c.passed = StageNTLM
	return told, nil
}

// challenged reads the answer with the challenge.
func (s *session) challenged(answer wire.TSRequest, told *Challenge) error {
	if answer.ErrorCode != 0 {
		return &StatusError{Status(answer.ErrorCode)}
	}
	if answer.Version < MinVersion {
		return violationIn(StageNTLM, "credssp version %d is older than any that is spoken today", answer.Version)
	}
	s.version = min(s.o.Version, answer.Version)
	token := answer.Token
	if token == nil {
		return violationIn(StageNTLM, "answer to the ntlm negotiation holds no token")
	}
	if s.o.SPNEGO {
		response, err := wire.ParseNegResp(token)
		switch {
		case err != nil:
			return err
		case response.State == wire.Reject || response.Other:
			return ErrNoNTLM
		case response.Token == nil:
			return violationIn(StageNTLM, "answer to the ntlm negotiation holds no challenge")
		}
		token = response.Token
	}
	challenge, err := ntlm.ParseChallenge(token)
	if err != nil {
		return violationIn(StageNTLM, "%s", err)
	}
	s.challenge = challenge
	told.Version = s.version
	told.NetBIOSComputer, told.NetBIOSDomain = challenge.Name(ntlm.AVNetBIOSComputer), challenge.Name(ntlm.AVNetBIOSDomain)
	told.DNSComputer, told.DNSDomain, told.DNSTree = challenge.Name(ntlm.AVDNSComputer), challenge.Name(ntlm.AVDNSDomain), challenge.Name(ntlm.AVDNSTree)
	told.Major, told.Minor, told.Build = challenge.Major, challenge.Minor, challenge.Build
	told.Time, _ = challenge.Time()
	return nil
}

// exchange sends a request and reads the answer.
func (c *Conn) exchange(ctx context.Context, request wire.TSRequest) (answer wire.TSRequest, err error) {
	err = c.during(ctx, func() error {
		if _, err := c.tls.Write(request.Marshal()); err != nil {
			return err
		}
		answer, err = wire.ReadTSRequest(c.tls)
		return err
	})
	return answer, err
}

// stageViolation turns a message that is not as it must be into a *ProtocolError.
func stageViolation(stage Stage, err error) error {
	if format, ok := errors.AsType[*wire.FormatError](err); ok {
		return violationIn(stage, "answer is not credssp: %s", format)
	}
	return err
}

func violationIn(stage Stage, format string, args ...any) error {
	return &ProtocolError{Stage: stage, Violation: fmt.Sprintf(format, args...)}
}

// subjectKey returns what pubKeyAuth is about: the content of the BIT STRING in the certificate's SubjectPublicKeyInfo
// ([MS-CSSP] 3.1.5).
func subjectKey(cert *x509.Certificate) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil, errors.New("the public key of the server's certificate cannot be read")
	}
	return info.Key.RightAlign(), nil
}

// newNonce returns the client's nonce of version 5 and later.
func newNonce() ([]byte, error) {
	nonce := make([]byte, 32)
	_, err := io.ReadFull(rand.Reader, nonce)
	return nonce, err
}

// peer returns the certificate that the server showed.
func peer(conn *tls.Conn) *x509.Certificate { return conn.ConnectionState().PeerCertificates[0] }
