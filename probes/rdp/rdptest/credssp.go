package rdptest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"io"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes/rdp"
	"github.com/firstcall-agent/firstcall/probes/rdp/internal/ntlm"
	"github.com/firstcall-agent/firstcall/probes/rdp/internal/wire"
)

// credssp is the server's side of [MS-CSSP] 3.1.5.
func (s *Server) credssp(conn *tls.Conn) {
	first, err := wire.ReadTSRequest(conn)
	if err != nil {
		return
	}
	s.note(func(seen *Seen) { seen.Challenges++ })
	version := s.o.Version
	if s.o.ForeignVersion != 0 {
		version = s.o.ForeignVersion
	}
	negotiate, spnego := first.Token, false
	if token, err := wire.ParseNegInit(first.Token); err == nil {
		negotiate, spnego = token, true
	}
	if s.reach(conn, Challenge) {
		return
	}
	if s.o.ChallengeStatus != 0 {
		s.send(conn, Challenge, wire.TSRequest{Version: version, ErrorCode: uint32(s.o.ChallengeStatus)})
		return
	}
	var nonce [8]byte
	_, _ = rand.Read(nonce[:])
	challenge := s.challenge(nonce)
	token := challenge
	if spnego {
		token = wire.NegResp{State: wire.AcceptIncomplete, NTLM: true, Token: challenge}.Marshal()
	}
	if !s.send(conn, Challenge, wire.TSRequest{Version: version, Token: token}) {
		return
	}
	request, err := wire.ReadTSRequest(conn)
	if err != nil {
		return
	}
	s.note(func(seen *Seen) { seen.Responses++ })
	s.answer(conn, request, exchange{version, min(version, first.Version), spnego, negotiate, challenge, nonce})
}

// exchange is what came before a response.
type exchange struct {
	version, common      int
	spnego               bool
	negotiate, challenge []byte
	nonce                [8]byte
}

// answer judges the response and gives the proof.
func (s *Server) answer(conn *tls.Conn, request wire.TSRequest, x exchange) {
	message := request.Token
	var mic []byte
	if x.spnego {
		response, err := wire.ParseNegResp(request.Token)
		if err != nil {
			return
		}
		message, mic = response.Token, response.MIC
	}
	exported, known := s.verify(message, x)
	session := ntlm.NewSession(exported, true, false)
	if x.spnego && known && s.o.Status == 0 {
		list := wire.MechList()
		if session.Verify(list, mic) != nil || s.reach(conn, SPNEGO) {
			return
		}
		done := wire.NegResp{State: wire.AcceptCompleted, MIC: session.Sign(list)}.Marshal()
		session.Restart()
		if !s.send(conn, SPNEGO, wire.TSRequest{Version: x.version, Token: done}) {
			return
		}
		var err error
		if request, err = wire.ReadTSRequest(conn); err != nil {
			return
		}
	}
	if s.reach(conn, Proof) {
		return
	}
	if s.o.Status != 0 || !known {
		s.refuse(conn, session, x)
		return
	}
	got, err := session.Open(request.PubKeyAuth)
	if err != nil || (!s.o.OtherKey && !bytes.Equal(got, s.proof(x.common, "Client-To-Server", request.Nonce))) {
		return
	}
	s.note(func(seen *Seen) { seen.Accepted++ })
	proof := s.proof(x.common, "Server-To-Client", request.Nonce)
	if x.common < 5 {
		proof = append([]byte{proof[0] + 1}, proof[1:]...)
	}
	if s.send(conn, Proof, wire.TSRequest{Version: x.version, PubKeyAuth: session.Seal(proof)}) {
		after, _ := io.Copy(io.Discard, conn)
		s.note(func(seen *Seen) { seen.After += int(after) })
	}
}

// refuse answers a response that is not right, or that Options.Status judges.
func (s *Server) refuse(conn *tls.Conn, session *ntlm.Session, x exchange) {
	switch {
	case s.o.Status != 0:
		s.send(conn, Proof, wire.TSRequest{Version: x.version, ErrorCode: uint32(s.o.Status)})
	case s.o.Refusal == WithStatus:
		s.send(conn, Proof, wire.TSRequest{Version: x.version, ErrorCode: uint32(rdp.StatusLogonFailure)})
	case s.o.Refusal == Unproven:
		s.send(conn, Proof, wire.TSRequest{Version: x.version, PubKeyAuth: session.Seal([]byte("not so"))})
	}
}

func (s *Server) send(conn *tls.Conn, at Stage, answer wire.TSRequest) bool {
	_, err := conn.Write(s.mangled(at, answer.Marshal()))
	return err == nil
}

// proof returns what is sealed in pubKeyAuth, before the one that version 2 to 4 add.
func (s *Server) proof(version int, way string, nonce []byte) []byte {
	if version < 5 {
		return s.key
	}
	sum := sha256.Sum256(append(append([]byte("CredSSP "+way+" Binding Hash\x00"), nonce...), s.key...))
	return sum[:]
}

// challenge returns a CHALLENGE_MESSAGE.
func (s *Server) challenge(nonce [8]byte) []byte {
	const flags = ntlm.Unicode | ntlm.RequestTarget | ntlm.Sign | ntlm.Seal | ntlm.NTLM | ntlm.AlwaysSign | ntlm.ExtendedSecurity |
		ntlm.TargetInfo | ntlm.VersionPresent | ntlm.Bits128 | ntlm.KeyExchange | ntlm.Bits56
	zone := "example.test"
	host := strings.ToLower(s.o.Computer) + "." + zone
	if s.o.Domain == s.o.Computer {
		host, zone = s.o.Computer, s.o.Computer
	}
	pairs := []ntlm.AVPair{
		{ID: ntlm.AVNetBIOSDomain, Value: ntlm.Encode(s.o.Domain)},
		{ID: ntlm.AVNetBIOSComputer, Value: ntlm.Encode(s.o.Computer)},
		{ID: ntlm.AVDNSDomain, Value: ntlm.Encode(zone)},
		{ID: ntlm.AVDNSComputer, Value: ntlm.Encode(host)},
	}
	if !s.o.NoTimestamp {
		stamp := binary.LittleEndian.AppendUint64(nil, ntlm.Filetime(time.Now().Add(s.o.Skew)))
		pairs = append(pairs, ntlm.AVPair{ID: ntlm.AVTimestamp, Value: stamp})
	}
	target, info := ntlm.Encode(s.o.Domain), ntlm.AppendAVPairs(nil, pairs...)
	b := make([]byte, 56)
	copy(b, "NTLMSSP\x00\x02")
	field := func(at int, value []byte) {
		binary.LittleEndian.PutUint16(b[at:], uint16(len(value)))
		binary.LittleEndian.PutUint16(b[at+2:], uint16(len(value)))
		binary.LittleEndian.PutUint32(b[at+4:], uint32(len(b)))
		b = append(b, value...)
	}
	field(12, target)
	binary.LittleEndian.PutUint32(b[20:], uint32(flags))
	copy(b[24:], nonce[:])
	field(40, info)
	copy(b[48:], []byte{10, 0, 0x7C, 0x4F, 0, 0, 0, 15}) // 10.0.20348
	return b
}

// verify checks an AUTHENTICATE_MESSAGE and returns the exported session key, which is wrong when the secret is.
func (s *Server) verify(b []byte, x exchange) (exported []byte, known bool) {
	exported = make([]byte, 16)
	if len(b) < 88 {
		return exported, false
	}
	part := func(at int) []byte { value, _ := ntlm.Field(b, at, 1<<16); return value }
	response, domain, user, wrapped := part(20), ntlm.Text(part(28)), ntlm.Text(part(36)), part(52)
	name := user
	if domain != "" {
		name = domain + `\` + user
	}
	password, listed := s.o.Accounts[name]
	if len(response) < 44 || len(wrapped) != 16 {
		return exported, false
	}
	key := ntlm.Account{User: user, Domain: domain, Hash: ntlm.NewHash(password)}.Key()
	mac := func(key []byte, pieces ...[]byte) []byte {
		h := hmac.New(md5.New, key)
		for _, p := range pieces {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	proof := mac(key, x.nonce[:], response[16:])
	base := mac(key, proof)
	if c, err := rc4.NewCipher(base); err == nil {
		c.XORKeyStream(exported, wrapped)
	}
	blank := bytes.Clone(b)
	clear(blank[72:88])
	good := bytes.Equal(b[72:88], mac(exported, x.negotiate, x.challenge, blank))
	pairs, _ := ntlm.ParseAVPairs(response[44:])
	s.note(func(seen *Seen) {
		seen.User, seen.MIC, seen.Bound, seen.Target = name, good, false, ""
		for _, p := range pairs {
			seen.Bound = seen.Bound || p.ID == ntlm.AVChannelBindings && len(p.Value) == 16
			if p.ID == ntlm.AVTargetName {
				seen.Target = ntlm.Text(p.Value)
			}
		}
	})
	return exported, listed && hmac.Equal(proof, response[:16]) && (good || s.o.NoTimestamp)
}
