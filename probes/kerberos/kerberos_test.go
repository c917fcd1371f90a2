package kerberos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/kerberos/kerberostest"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

const password = "Tr0ub4dor-and-3"

func of(password string) Account {
	return Account{User: "probe", Realm: "EXAMPLE.TEST", Password: secret.New(password), Hash: rdp.HashOf(password).Bytes}
}

// far asks a fake for everything.
func far(t *testing.T, o kerberostest.Options, a Account) (*kerberostest.KDC, *Exchange, error) {
	t.Helper()
	o.Accounts, o.Services = map[string]string{"probe": password}, []string{"TERMSRV/host.example.test"}
	k := kerberostest.Start(t, o)
	x, err := Ask(t.Context(), []string{k.Address}, a)
	if err == nil {
		err = x.Logon(t.Context())
	}
	if err == nil {
		err = x.Service(t.Context(), "TERMSRV/host.example.test")
	}
	return k, x, err
}

func TestExchange(t *testing.T) {
	hashed := of(password)
	hashed.Password = secret.Value{}
	for name, c := range map[string]struct {
		o       kerberostest.Options
		account Account
		want    error // nil: accepted
		logons  int
	}{
		"right":                    {kerberostest.Options{}, of(password), nil, 1},
		"right, by hash":           {kerberostest.Options{}, hashed, nil, 1},
		"wrong":                    {kerberostest.Options{}, of("wrong"), &Error{Code: PreauthFailed}, 1},
		"open":                     {kerberostest.Options{Open: true}, of(password), nil, 0},
		"open, wrong":              {kerberostest.Options{Open: true}, of("wrong"), ErrNotProven, 0},
		"another kdc":              {kerberostest.Options{WrongKey: kerberostest.Logon}, of(password), ErrNotProven, 1},
		"another kdc's ticket":     {kerberostest.Options{WrongKey: kerberostest.Ticket}, of(password), ErrNotProven, 1},
		"replayed":                 {kerberostest.Options{WrongNonce: kerberostest.Logon}, of(password), &ProtocolError{"the kdc's reply is not to the question that was asked"}, 1},
		"replayed ticket":          {kerberostest.Options{WrongNonce: kerberostest.Ticket}, of(password), &ProtocolError{"the kdc's reply is not to the question that was asked"}, 1},
		"no timestamp":             {kerberostest.Options{NoPAData: true}, of(password), ErrNoTimestamp, 0},
		"another realm's":          {kerberostest.Options{Codes: map[kerberostest.Step]int32{kerberostest.Ask: errorcode.KDC_ERR_WRONG_REALM}}, of(password), &Error{Code: WrongRealm, Realm: "OTHER.TEST"}, 0},
		"with what windows adds":   {kerberostest.Options{Codes: map[kerberostest.Step]int32{kerberostest.Ask: errorcode.KDC_ERR_CLIENT_REVOKED}, Status: 0xC0000072}, of(password), &Error{Code: ClientRevoked, Status: 0xC0000072}, 0},
		"referral":                 {kerberostest.Options{Referral: "OTHER.TEST"}, of(password), &ReferralError{"OTHER.TEST"}, 1},
		"too much work":            {kerberostest.Options{Iterations: 1 << 31}, of(password), &ProtocolError{"the kdc wants a key to be derived in more than 131072 rounds"}, 0},
		"not a kdc":                {kerberostest.Options{Raw: map[kerberostest.Step][]byte{kerberostest.Ask: []byte("HTTP/1.1 400")}}, of(password), &ProtocolError{"what answers is no kdc: its answer is no kerberos message"}, 0},
		"a reply that is none":     {kerberostest.Options{Raw: map[kerberostest.Step][]byte{kerberostest.Logon: {0x6b, 2, 0, 0}}}, of(password), &ProtocolError{"the kdc's answer cannot be decoded"}, 1},
		"empty":                    {kerberostest.Options{Raw: map[kerberostest.Step][]byte{kerberostest.Ask: nil}}, of(password), &ProtocolError{"what answers is no kdc: the length of its answer is impossible"}, 0},
		"more preauthentication":   {kerberostest.Options{Codes: map[kerberostest.Step]int32{kerberostest.Logon: 91}}, of(password), &Error{Code: PreauthMoreRequired}, 1},
		"a code without a meaning": {kerberostest.Options{Codes: map[kerberostest.Step]int32{kerberostest.Ask: 4242}}, of(password), &Error{Code: 4242}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k, x, err := far(t, c.o, c.account)
			cause := err
			if at, ok := errors.AsType[*KDCError](err); ok {
				cause = at.Err
			}
			if d, ok := errors.AsType[*denied](cause); ok {
				cause = d.err
			}
			if got, want := fmt.Sprintf("%T %+v", cause, cause), fmt.Sprintf("%T %+v", c.want, c.want); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if denial, ok := errors.AsType[*Error](err); ok {
				if want, _ := errors.AsType[*Error](c.want); want == nil || *denial != *want {
					t.Errorf("got %+v, want %+v", denial, want)
				}
			}
			if n := k.Seen().Logons; n != c.logons || (x != nil && x.Asked != (n > 0)) {
				t.Errorf("the secret was used %d times, want %d", n, c.logons)
			}
			for _, text := range []string{fmt.Sprintf("%v %+v %#v", x, x, x), fmt.Sprintf("%v %+v", c.account, c.account), fmt.Sprint(err)} {
				if strings.Contains(text, password) {
					t.Errorf("the password is in %s", text)
				}
			}
		})
	}
}

func TestAskGoesOnToTheNextKDCUntilOneAnswers(t *testing.T) {
	good := kerberostest.Start(t, kerberostest.Options{Accounts: map[string]string{"probe": password}})
	busy := kerberostest.Start(t, kerberostest.Options{Codes: map[kerberostest.Step]int32{kerberostest.Ask: errorcode.KDC_ERR_SVC_UNAVAILABLE}})
	closes := kerberostest.Start(t, kerberostest.Options{Closes: kerberostest.Ask})
	silent := kerberostest.Start(t, kerberostest.Options{Silent: kerberostest.Ask})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := listener.Addr().String()
	_ = listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if x, err := Ask(ctx, []string{gone, busy.Address, closes.Address, silent.Address, good.Address}, of(password)); err != nil || x.KDC != good.Address {
		t.Errorf("%v", err)
	}
	_, err = Ask(t.Context(), []string{gone, busy.Address}, of(password))
	if at, ok := errors.AsType[*KDCError](err); !ok || at.KDC != gone {
		t.Errorf("%v: want the first kdc's", err)
	}
	if _, err = Ask(t.Context(), nil, of(password)); err == nil {
		t.Error("no kdc is enough")
	}
	// An answer about the account is an answer: no other KDC is asked.
	refuses := kerberostest.Start(t, kerberostest.Options{})
	before := good.Seen().Asked
	if _, err = Ask(t.Context(), []string{refuses.Address, good.Address}, of(password)); err == nil || good.Seen().Asked != before {
		t.Errorf("%v: another kdc was asked", err)
	}
}

func TestExchangeEndsWithItsContext(t *testing.T) {
	for _, step := range []kerberostest.Step{kerberostest.Ask, kerberostest.Logon, kerberostest.Ticket} {
		k := kerberostest.Start(t, kerberostest.Options{Accounts: map[string]string{"probe": password}, Silent: step})
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(200*time.Millisecond, cancel)
		x, err := Ask(ctx, []string{k.Address}, of(password))
		if err == nil {
			err = x.Logon(ctx)
		}
		if err == nil {
			err = x.Service(ctx, "TERMSRV/host")
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", step, err)
		}
		stop.Stop()
		cancel()
	}
}

func TestServiceWithoutLogon(t *testing.T) {
	k := kerberostest.Start(t, kerberostest.Options{Accounts: map[string]string{"probe": password}})
	x, err := Ask(t.Context(), []string{k.Address}, of(password))
	if err != nil {
		t.Fatal(err)
	}
	if err = x.Service(t.Context(), "TERMSRV/host"); err == nil || k.Seen().Tickets != 0 {
		t.Errorf("%v", err)
	}
}

// FuzzReply is what a hostile KDC can send in answer to each question.
func FuzzReply(f *testing.F) {
	ask, logon, ticket := recorded(f)
	f.Add(ask, logon, ticket)
	f.Add(ask, ask, ask)
	f.Add(logon, logon, ticket)
	f.Add([]byte{0x7e, 0x80}, []byte{}, []byte{0x6d, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(_ *testing.T, ask, logon, ticket []byte) {
		a := of(password)
		a.Password = secret.Value{}
		all := [][]byte{ask, logon, ticket}
		x := &Exchange{account: &a, now: time.Now, send: func(context.Context, []byte) (answer, error) {
			if len(all) == 0 {
				return answer{}, errors.New("no more")
			}
			next := all[0]
			all = all[1:]
			return answer{bytes: next}, nil
		}}
		if x.begin(context.Background()) == nil && x.Logon(context.Background()) == nil {
			_ = x.Service(context.Background(), "TERMSRV/host.example.test")
		}
	})
}

// recorded are the answers of a fake.
func recorded(t testing.TB) (ask, logon, ticket []byte) {
	t.Helper()
	k := kerberostest.Start(t, kerberostest.Options{Accounts: map[string]string{"probe": password}, Services: []string{"TERMSRV/host.example.test"}})
	a := of(password)
	a.Password = secret.Value{}
	var all [][]byte
	x := &Exchange{KDC: k.Address, account: &a, now: time.Now}
	x.send = func(ctx context.Context, message []byte) (answer, error) {
		got, err := x.roundTrip(ctx, message)
		all = append(all, got.bytes)
		return got, err
	}
	if err := errors.Join(x.begin(t.Context()), x.Logon(t.Context()), x.Service(t.Context(), "TERMSRV/host.example.test")); err != nil {
		t.Fatal(err)
	}
	return all[0], all[1], all[2]
}

// FuzzSealed is what a KDC that knows the account's key can send within the sealed part, such as session keys that are none.
func FuzzSealed(f *testing.F) {
	a := of(password)
	a.Password = secret.Value{}
	key := types.EncryptionKey{KeyType: 23, KeyValue: a.Hash()}
	for _, session := range []types.EncryptionKey{key, {KeyType: 18, KeyValue: make([]byte, 32)}, {KeyType: 18, KeyValue: []byte{1}}, {KeyType: 16}, {KeyType: -1}} {
		part := messages.EncKDCRepPart{Key: session, Nonce: 7, Flags: types.NewKrbFlags(), AuthTime: time.Unix(1e9, 0).UTC(), EndTime: time.Unix(1e9, 0).UTC(), SRealm: a.Realm, SName: krbtgt(a.Realm)}
		plain, err := part.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain, []byte("cipher"))
	}
	f.Fuzz(func(_ *testing.T, plain, cipher []byte) {
		sealed, err := crypto.GetEncryptedData(plain, key, keyusage.AS_REP_ENCPART, 0)
		if err != nil {
			return
		}
		x := &Exchange{account: &a, now: time.Now, given: new(messages.ASRep)}
		x.request.ReqBody = messages.KDCReqBody{Nonce: 7, Realm: a.Realm, SName: krbtgt(a.Realm)}
		x.given.EncPart = sealed
		x.given.Ticket.Realm = a.Realm
		reply := messages.TGSRep{KDCRepFields: messages.KDCRepFields{PVNO: 5, MsgType: 13, CRealm: a.Realm, Ticket: x.given.Ticket, EncPart: types.EncryptedData{EType: 23, Cipher: cipher}}}
		x.send = func(context.Context, []byte) (answer, error) {
			b, err := reply.Marshal()
			return answer{bytes: b}, err
		}
		if x.verify() == nil {
			_ = x.Service(context.Background(), "TERMSRV/host")
		}
	})
}

// FuzzKey is what a KDC can say about how a key is derived.
func FuzzKey(f *testing.F) {
	f.Add(int32(18), "salt", []byte{0, 0, 16, 0})
	f.Add(int32(20), "", []byte{})
	f.Add(int32(17), "s", []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, etype int32, salt string, params []byte) {
		a := of(password)
		h := hint{etype, salt, params}
		if len(params) == 4 && binary.BigEndian.Uint32(params) > 64 && binary.BigEndian.Uint32(params) <= maxIterations {
			return // allowed, and slow
		}
		err := safely(func() error { _, err := a.key(h); return err })
		if err == nil && len(params) == 4 && etype != 23 && binary.BigEndian.Uint32(params) > maxIterations {
			t.Errorf("%d rounds", binary.BigEndian.Uint32(params))
		}
	})
}

// FuzzFrame is what a peer can send instead of a message with its length.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 1, 2})
	f.Add([]byte{0x80, 0, 0, 2, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readReply(bytes.NewReader(b))
		if err == nil && !bytes.Equal(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...), b[:4+len(body)]) {
			t.Errorf("%x of %x", body, b)
		}
	})
}
