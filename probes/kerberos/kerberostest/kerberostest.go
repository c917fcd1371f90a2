// Package kerberostest is a KDC for tests. It gives the answers that MIT's does not give: any error, at any step, with what
// Windows adds to it, tickets that are not as they should be, silence, and garbage.
package kerberostest

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Step is a question that a KDC is asked.
type Step string

// The steps.
const (
	Ask    Step = "ask"    // AS-REQ without pre-authentication
	Logon  Step = "logon"  // AS-REQ with an encrypted timestamp
	Ticket Step = "ticket" // TGS-REQ
)

// Options describe a KDC. The zero value knows nobody.
type Options struct {
	Realm      string            // "": EXAMPLE.TEST
	Accounts   map[string]string // passwords by user
	Services   []string          // service principals, TERMSRV/host
	Codes      map[Step]int32    // answered in place of anything else
	Status     uint32            // NTSTATUS that goes with Codes, as Windows sends it
	Silent     Step              // never answered
	Closes     Step              // answered by closing the connection
	Raw        map[Step][]byte   // answered as it is, with its length before it
	Skew       time.Duration     // of the clock
	Iterations uint32            // of the key derivation; 0: 4096
	Open       bool              // no pre-authentication is demanded
	WrongKey   Step              // the reply is made with another key
	WrongNonce Step              // the reply is to another question
	Referral   string            // realm that tickets are to be had of
	NoPAData   bool              // the demand for pre-authentication does not say how
}

// Seen counts what a KDC was asked.
type Seen struct{ Asked, Logons, Tickets int }

// KDC is a running KDC.
type KDC struct {
	Address string

	o       Options
	session types.EncryptionKey
	mu      sync.Mutex
	seen    Seen
}

// Start starts a KDC on a port of 127.0.0.1, which ends with the test.
func Start(t testing.TB, o Options) *KDC {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.Realm == "" {
		o.Realm = "EXAMPLE.TEST"
	}
	if o.Iterations == 0 {
		o.Iterations = 4096
	}
	k := &KDC{Address: listener.Addr().String(), o: o}
	k.session = types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96, KeyValue: make([]byte, 32)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { k.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	return k
}

// Seen returns what the KDC was asked so far.
func (k *KDC) Seen() Seen {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen
}

// serve answers one question.
func (k *KDC) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	message := make([]byte, binary.BigEndian.Uint32(head[:])&0xffff)
	if _, err := io.ReadFull(conn, message); err != nil {
		return
	}
	step, answer := k.answer(message)
	if step == k.o.Silent {
		_, _ = io.Copy(io.Discard, conn) // until the client gives up
	}
	if step == k.o.Silent || step == k.o.Closes {
		return
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
}

func (k *KDC) answer(message []byte) (Step, []byte) {
	var as messages.ASReq
	var tgs messages.TGSReq
	k.mu.Lock()
	defer k.mu.Unlock()
	step := Ticket
	if tgs.Unmarshal(message) == nil {
		k.seen.Tickets++
	} else if as.Unmarshal(message) == nil {
		if step = Ask; as.PAData.Contains(patype.PA_ENC_TIMESTAMP) {
			step = Logon
			k.seen.Logons++
		} else {
			k.seen.Asked++
		}
	} else {
		return step, nil
	}
	code, coded := k.o.Codes[step]
	raw, isRaw := k.o.Raw[step]
	switch {
	case isRaw:
		return step, raw
	case coded:
		return step, k.deny(code, k.extended())
	case step == Ticket:
		return step, k.ticket(tgs)
	}
	return step, k.initial(as, step)
}

// initial answers an AS-REQ.
func (k *KDC) initial(req messages.ASReq, step Step) []byte {
	name := req.ReqBody.CName
	password, known := k.o.Accounts[name.PrincipalNameString()]
	params := binary.BigEndian.AppendUint32(nil, k.o.Iterations)
	entries := types.ETypeInfo2{{EType: etypeID.AES256_CTS_HMAC_SHA1_96, Salt: "salt", S2KParams: params}, {EType: etypeID.RC4_HMAC}}
	if !slices.Contains(req.ReqBody.EType, etypeID.AES256_CTS_HMAC_SHA1_96) {
		entries = entries[1:]
	}
	info, _ := asn1.Marshal(entries)
	padata := types.PADataSequence{{PADataType: patype.PA_ETYPE_INFO2, PADataValue: info}, {PADataType: patype.PA_ENC_TIMESTAMP}}
	if k.o.NoPAData {
		padata = padata[:1]
	}
	if !known {
		return k.deny(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, nil)
	}
	if step == Ask && !k.o.Open {
		data, _ := asn1.Marshal(padata)
		return k.deny(errorcode.KDC_ERR_PREAUTH_REQUIRED, data)
	}
	key, _, err := crypto.GetKeyFromPassword(password, name, k.o.Realm, entries[0].EType, types.PADataSequence{padata[0]})
	if err != nil {
		return nil
	}
	if step == Logon && !proves(req, key) {
		return k.deny(errorcode.KDC_ERR_PREAUTH_FAILED, nil)
	}
	if step == k.o.WrongKey {
		key.KeyValue = make([]byte, len(key.KeyValue))
	}
	part := k.part(req.ReqBody, step, req.ReqBody.SName)
	sealed, _ := crypto.GetEncryptedData(part, key, keyusage.AS_REP_ENCPART, 0)
	rep := messages.ASRep{KDCRepFields: messages.KDCRepFields{
		PVNO: iana.PVNO, MsgType: msgtype.KRB_AS_REP, PAData: types.PADataSequence{padata[0]}, CRealm: k.o.Realm, CName: name,
		Ticket: k.opaque(req.ReqBody.SName), EncPart: sealed,
	}}
	b, _ := rep.Marshal()
	return b
}

// proves reports whether the timestamp is made with the account's key.
func proves(req messages.ASReq, key types.EncryptionKey) bool {
	for _, pa := range req.PAData {
		var sealed types.EncryptedData
		if pa.PADataType != patype.PA_ENC_TIMESTAMP || sealed.Unmarshal(pa.PADataValue) != nil || sealed.EType != key.KeyType {
			continue
		}
		_, err := crypto.DecryptEncPart(sealed, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP)
		return err == nil
	}
	return false
}

// ticket answers a TGS-REQ.
func (k *KDC) ticket(req messages.TGSReq) []byte {
	name := req.ReqBody.SName
	switch {
	case k.o.Referral != "":
		name = types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", k.o.Referral}}
	case !slices.Contains(k.o.Services, name.PrincipalNameString()):
		return k.deny(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, nil)
	}
	key := k.session
	if k.o.WrongKey == Ticket {
		key.KeyValue = append([]byte{1}, key.KeyValue[1:]...)
	}
	sealed, _ := crypto.GetEncryptedData(k.part(req.ReqBody, Ticket, name), key, keyusage.TGS_REP_ENCPART_SESSION_KEY, 0)
	rep := messages.TGSRep{KDCRepFields: messages.KDCRepFields{
		PVNO: iana.PVNO, MsgType: msgtype.KRB_TGS_REP, CRealm: k.o.Realm, CName: types.NewPrincipalName(1, "whoever"),
		Ticket: k.opaque(name), EncPart: sealed,
	}}
	b, _ := rep.Marshal()
	return b
}

// part is what a reply tells under the key.
func (k *KDC) part(body messages.KDCReqBody, step Step, name types.PrincipalName) []byte {
	now := time.Now().Add(k.o.Skew).UTC().Truncate(time.Second)
	p := messages.EncKDCRepPart{
		Key: k.session, LastReqs: []messages.LastReq{{LRValue: now}}, Nonce: body.Nonce, Flags: types.NewKrbFlags(),
		AuthTime: now, EndTime: now.Add(time.Hour), SRealm: k.o.Realm, SName: name,
	}
	if step == k.o.WrongNonce {
		p.Nonce++
	}
	b, _ := p.Marshal()
	return b
}

// opaque is a ticket that nobody can read.
func (k *KDC) opaque(name types.PrincipalName) messages.Ticket {
	return messages.Ticket{TktVNO: iana.PVNO, Realm: k.o.Realm, SName: name, EncPart: types.EncryptedData{EType: etypeID.AES256_CTS_HMAC_SHA1_96, KVNO: 2, Cipher: make([]byte, 200)}}
}

func (k *KDC) deny(code int32, data []byte) []byte {
	e := messages.NewKRBError(types.NewPrincipalName(2, "krbtgt/"+k.o.Realm), k.o.Realm, code, "")
	e.STime = e.STime.Add(k.o.Skew)
	e.EData = data
	if code == errorcode.KDC_ERR_WRONG_REALM {
		e.CRealm = "OTHER.TEST"
	}
	b, _ := e.Marshal()
	return b
}

// extended is Status as Windows wraps it ([MS-KILE] 2.2.1, 2.2.2); nil when there is none.
func (k *KDC) extended() []byte {
	if k.o.Status == 0 {
		return nil
	}
	value := binary.LittleEndian.AppendUint32(nil, k.o.Status)
	b, _ := asn1.Marshal(struct {
		Type  int    `asn1:"explicit,tag:1"`
		Value []byte `asn1:"explicit,tag:2"`
	}{3, append(value, make([]byte, 8)...)})
	return b
}
