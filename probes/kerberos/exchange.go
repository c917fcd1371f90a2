package kerberos

import (
	"context"
	"crypto/fips140"
	"crypto/rand"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Account is who asks. It prints without its secrets.
type Account struct {
	User     string        // name; name@domain is a user principal name (RFC 6806 section 5)
	Realm    string        // of the KDC
	Password secret.Value  // unset: only Hash is known, and only rc4-hmac possible
	Hash     func() []byte // returns the NT hash of the password, which is the key of rc4-hmac
}

// wellKnown is the type of a name that means the same in every realm (RFC 8062 section 3, RFC 6111).
const wellKnown = 11

// Nobody is the anonymous principal of a realm (RFC 8062 section 3), to see whether a KDC answers without naming anybody.
func Nobody(realm string) Account { return Account{User: "WELLKNOWN/ANONYMOUS", Realm: realm} }

func (a *Account) principal() types.PrincipalName {
	switch {
	case a.Hash == nil:
		return types.NewPrincipalName(wellKnown, a.User)
	case a.enterprise():
		return types.PrincipalName{NameType: nametype.KRB_NT_ENTERPRISE, NameString: []string{a.User}}
	}
	return types.PrincipalName{NameType: nametype.KRB_NT_PRINCIPAL, NameString: []string{a.User}}
}

func (a *Account) enterprise() bool { return strings.Contains(a.User, "@") }

// Exchange is a conversation with one KDC about one account. It is used by one goroutine at a time and dropped afterwards.
type Exchange struct {
	KDC     string        // as it was given
	Address string        // of the last connection
	Skew    time.Duration // by which the KDC's clock is ahead of the agent's, as far as Timed says
	Timed   bool
	Etype   string // of the account's key, once it was used
	Open    bool   // the KDC gave a ticket without pre-authentication
	Asked   bool   // the account's secret was used: from then on silence too may have counted as a wrong password

	account *Account // a pointer, as what follows: fmt calls no method of a field that is not exported
	now     func() time.Time
	send    func(ctx context.Context, message []byte) (answer, error) // for tests; nil: roundTrip
	hints   []hint
	request messages.ASReq  // the last
	given   *messages.ASRep // not verified yet
	ticket  *messages.ASRep // verified
	missing bool            // no encrypted timestamp is taken
}

// lifetime is that of the tickets, which nobody uses.
const lifetime = time.Hour

// Ask begins an exchange about account: the KDCs (host:port) are asked one after the other, each with its share of the time left,
// until one answers. No secret is used.
//
// Errors are *KDCError, of the first KDC where none answers. A *Error in it is an answer about the account, and the Exchange is
// then valid too, as far as its exported fields go.
func Ask(ctx context.Context, kdcs []string, account Account) (*Exchange, error) {
	return ask(ctx, kdcs, account, time.Now)
}

func ask(ctx context.Context, kdcs []string, account Account, now func() time.Time) (*Exchange, error) {
	var first error
	if fips140.Enforced() {
		return nil, ErrFIPS
	}
	for i, kdc := range kdcs {
		x := &Exchange{KDC: kdc, account: &account, now: now}
		share, cancel := x.share(ctx, len(kdcs)-i)
		err := x.begin(share)
		cancel()
		denial, answered := errors.AsType[*Error](err)
		switch {
		case err == nil:
			return x, nil
		case answered && denial.Code != ServiceUnavailable:
			return x, &KDCError{kdc, err}
		case first == nil:
			first = &KDCError{kdc, err}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if first == nil {
		first = errors.New("no kdc is known")
	}
	return nil, first
}

// share returns a context with the share of the time left that one of n has.
func (x *Exchange) share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}

// begin sends the AS-REQ without a secret.
func (x *Exchange) begin(ctx context.Context) error {
	err := x.askAS(ctx, nil)
	denial, ok := errors.AsType[*denied](err)
	if !ok || denial.err.Code != PreauthRequired {
		return err
	}
	return safely(func() error {
		padata, err := methods(denial.data)
		if err == nil {
			var timestamp bool
			x.hints, timestamp, err = hints(padata)
			x.missing = !timestamp
		}
		if err != nil {
			return &ProtocolError{"the kdc does not say how the account is to authenticate"}
		}
		return nil
	})
}

// denied is an Error with what else the KDC said.
type denied struct {
	err  *Error
	data []byte
}

func (d *denied) Error() string { return d.err.Error() }
func (d *denied) Unwrap() error { return d.err }

// askAS makes an AS exchange with the pre-authentication data given. A reply is kept in x.given.
func (x *Exchange) askAS(ctx context.Context, padata types.PADataSequence) error {
	nonce, err := newNonce()
	if err != nil {
		return err
	}
	x.request = messages.ASReq{KDCReqFields: messages.KDCReqFields{
		PVNO: iana.PVNO, MsgType: msgtype.KRB_AS_REQ, PAData: padata,
		ReqBody: messages.KDCReqBody{
			KDCOptions: options(x.account.enterprise()),
			Realm:      x.account.Realm,
			CName:      x.account.principal(),
			SName:      krbtgt(x.account.Realm),
			Till:       x.time().Add(lifetime),
			Nonce:      nonce,
			EType:      x.account.etypes(),
		},
	}}
	message, err := x.request.Marshal()
	if err != nil {
		return err
	}
	r, err := x.converse(ctx, message)
	if err != nil {
		return err
	}
	if x.given = r.as; r.as == nil {
		return &ProtocolError{"the kdc answers another question than was asked"}
	}
	return nil
}

// converse sends a message and decodes the answer; a KRB-ERROR is a *denied.
func (x *Exchange) converse(ctx context.Context, message []byte) (reply, error) {
	send := x.roundTrip
	if x.send != nil {
		send = x.send
	}
	a, err := send(ctx, message)
	if err != nil {
		return reply{}, err
	}
	r, err := parse(a.bytes)
	if err != nil || r.denial == nil {
		return r, err
	}
	e := r.denial
	// The KDC read its clock about half a round trip before the answer came.
	x.Skew = e.STime.Add(time.Duration(e.Susec) * time.Microsecond).Sub(a.received.Add(-a.received.Sub(a.sent) / 2))
	x.Timed = true
	d := &denied{err: &Error{Code: Code(e.ErrorCode), Realm: e.CRealm}, data: e.EData}
	_ = safely(func() error { d.err.Status = extended(e.EData); return nil })
	return reply{}, d
}

// time is the KDC's time, as far as it is known: a clock that is wrong is a finding of its own, and must not hide the others.
// MIT's client does the same.
func (x *Exchange) time() time.Time { return x.now().Add(x.Skew).UTC() }

// Logon proves that the account is accepted. Errors are *KDCError; a *Error in it is the KDC's refusal, ErrNotProven and
// ErrNoTimestamp are told apart by errors.Is. It is called once, after Ask has succeeded.
func (x *Exchange) Logon(ctx context.Context) error {
	if err := x.logon(ctx); err != nil {
		return &KDCError{x.KDC, err}
	}
	return nil
}

func (x *Exchange) logon(ctx context.Context) error {
	if x.given != nil {
		x.Open = true
		return x.verify()
	}
	h, ok := x.account.choose(x.hints)
	if !ok || x.missing {
		return ErrNoTimestamp
	}
	var padata types.PADataSequence
	err := safely(func() error {
		key, err := x.account.key(h)
		if err != nil {
			return err
		}
		padata, err = timestamp(x.time(), key)
		return err
	})
	if err != nil {
		return err
	}
	x.Etype = etypeNames[h.etype]
	x.Asked = true
	if err := x.askAS(ctx, padata); err != nil {
		return err
	}
	return x.verify()
}

// timestamp is the time under the account's key (RFC 4120 5.2.7.2).
func timestamp(now time.Time, key types.EncryptionKey) (types.PADataSequence, error) {
	plain, err := asn1.Marshal(types.PAEncTSEnc{PATimestamp: now.Truncate(time.Second), PAUSec: now.Nanosecond() / 1000})
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(plain, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, 0)
	if err != nil {
		return nil, err
	}
	value, err := sealed.Marshal()
	return types.PADataSequence{{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: value}}, err
}

// verify checks the AS-REP (RFC 4120 3.1.5).
func (x *Exchange) verify() error {
	rep := x.given
	err := safely(func() error {
		h := hint{etype: rep.EncPart.EType}
		own, _, err := hints(rep.PAData)
		if err != nil {
			return &ProtocolError{"the kdc's answer cannot be decoded"}
		}
		for _, o := range append(own, x.hints...) {
			if o.etype == h.etype {
				h = o
				break
			}
		}
		key, err := x.account.key(h)
		if err != nil {
			return err
		}
		x.Etype = etypeNames[h.etype]
		plain, err := crypto.DecryptEncPart(rep.EncPart, key, keyusage.AS_REP_ENCPART)
		if err != nil {
			return ErrNotProven
		}
		return rep.DecryptedEncPart.Unmarshal(plain)
	})
	if violation, ok := errors.AsType[*ProtocolError](err); ok {
		return violation
	}
	body := x.request.ReqBody
	part := rep.DecryptedEncPart
	switch {
	case err != nil:
		return ErrNotProven
	case part.Nonce != body.Nonce, !strings.EqualFold(part.SRealm, body.Realm), !sameName(part.SName, body.SName):
		return &ProtocolError{"the kdc's reply is not to the question that was asked"}
	}
	if !x.Timed { // no error with the KDC's time came before: that of the log-on is in whole seconds
		x.Skew, x.Timed = part.AuthTime.Sub(x.now().Truncate(time.Second)), true
	}
	x.ticket = rep
	return nil
}

func newNonce() (int, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<31-1))
	if err != nil {
		return 0, err
	}
	return int(n.Int64()), nil
}

// options are the KDC-options of a request; canonicalize lets the KDC answer with another name or realm than asked (RFC 6806).
func options(canonicalize bool) asn1.BitString {
	o := types.NewKrbFlags()
	if canonicalize {
		types.SetFlag(&o, flags.Canonicalize)
	}
	return o
}

func krbtgt(realm string) types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", realm}}
}

// sameName compares as Windows does, without regard to case.
func sameName(a, b types.PrincipalName) bool {
	return strings.EqualFold(a.PrincipalNameString(), b.PrincipalNameString())
}
