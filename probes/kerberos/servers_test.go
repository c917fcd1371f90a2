//go:build servers && linux

package kerberos

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
	"github.com/firstcall-agent/firstcall/probes/rdp"
)

// patience is more than any answer takes, on a loaded machine too.
const patience = time.Minute

func realm(t *testing.T) *servers.KDC {
	t.Helper()
	return servers.StartKDC(t, servers.KDCOptions{Commands: []string{
		"addprinc -pw Right-Pass1 -allow_tix locked",
		"addprinc -pw Right-Pass1 -pwexpire yesterday expired",
		"addprinc -pw Right-Pass1 -expire yesterday gone",
		"addprinc -pw Right-Pass1 +needchange change",
		"addprinc -pw Right-Pass1 -requires_preauth open",
		"addpol -maxfailure 2 -lockoutduration 1h careful",
		"addprinc -pw Right-Pass1 -policy careful limited",
		"addprinc -pw Pä55:wörd jürgen",
		"addprinc -pw Right-Pass1 -e aes128-cts-hmac-sha1-96:normal aes128",
		"addprinc -pw Right-Pass1 -e aes256-cts-hmac-sha384-192:normal sha2",
		"addprinc -pw Right-Pass1 -e arcfour-hmac:normal rc4",
		"addprinc -pw Right-Pass1 -e aes256-cts-hmac-sha1-96:special salted",
		"addprinc -randkey TERMSRV/rdp.test",
		"addprinc -randkey -requires_preauth TERMSRV/open.test",
		"addprinc -randkey -allow_svr TERMSRV/client.test",
	}})
}

func account(k *servers.KDC, user, password string) Account {
	return Account{User: user, Realm: k.Realm, Password: secret.New(password), Hash: rdp.HashOf(password).Bytes}
}

func byHash(k *servers.KDC, user, password string) Account {
	return Account{User: user, Realm: k.Realm, Hash: rdp.HashOf(password).Bytes}
}

// whole asks for everything; how far it came is in the Exchange.
func whole(t *testing.T, kdc string, a Account, service string, now func() time.Time) (*Exchange, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	x, err := ask(ctx, []string{kdc}, a, now)
	if err != nil {
		return x, err
	}
	if err := x.Logon(ctx); err != nil {
		return x, err
	}
	return x, x.Service(ctx, service)
}

// One realm serves all tests: making one takes its time.
func TestMIT(t *testing.T) {
	k := realm(t)
	for name, test := range map[string]func(t *testing.T, k *servers.KDC){
		"answers": answers, "no hash without rc4": noHash, "lock": lock, "without pre-authentication": open, "clock skew": skew, "hangs": hangs,
	} {
		t.Run(name, func(t *testing.T) { test(t, k) })
	}
}

func answers(t *testing.T, k *servers.KDC) {
	for name, c := range map[string]struct {
		account Account
		service string
		code    Code // 0: accepted
		etype   string
	}{
		"right":            {account(k, "probe", "Right-Pass1"), "TERMSRV/rdp.test", 0, "aes256-cts-hmac-sha1-96"},
		"right, by hash":   {byHash(k, "probe", "Right-Pass1"), "TERMSRV/rdp.test", 0, "rc4-hmac"},
		"wrong":            {account(k, "probe", "Wrong-Pass1"), "", PreauthFailed, "aes256-cts-hmac-sha1-96"},
		"wrong, by hash":   {byHash(k, "probe", "Wrong-Pass1"), "", PreauthFailed, "rc4-hmac"},
		"unknown user":     {account(k, "nobody", "Right-Pass1"), "", ClientUnknown, ""},
		"locked":           {account(k, "locked", "Right-Pass1"), "", ClientRevoked, ""},
		"password expired": {account(k, "expired", "Right-Pass1"), "", KeyExpired, ""},
		"must change":      {account(k, "change", "Right-Pass1"), "", KeyExpired, ""},
		"account expired":  {account(k, "gone", "Right-Pass1"), "", ClientExpired, ""},
		"beyond ascii":     {account(k, "jürgen", "Pä55:wörd"), "TERMSRV/rdp.test", 0, "aes256-cts-hmac-sha1-96"},
		"aes128 only":      {account(k, "aes128", "Right-Pass1"), "TERMSRV/rdp.test", 0, "aes128-cts-hmac-sha1-96"},
		"sha2 only":        {account(k, "sha2", "Right-Pass1"), "TERMSRV/rdp.test", 0, "aes256-cts-hmac-sha384-192"},
		"rc4 only":         {account(k, "rc4", "Right-Pass1"), "TERMSRV/rdp.test", 0, "rc4-hmac"},
		"special salt":     {account(k, "salted", "Right-Pass1"), "TERMSRV/rdp.test", 0, "aes256-cts-hmac-sha1-96"},
		"no service":       {account(k, "probe", "Right-Pass1"), "TERMSRV/gone.test", ServiceUnknown, "aes256-cts-hmac-sha1-96"},
		"not a service":    {account(k, "probe", "Right-Pass1"), "TERMSRV/client.test", MustUseUser2User, "aes256-cts-hmac-sha1-96"},
		"of another realm": {Account{User: "probe", Realm: "OTHER.TEST", Hash: rdp.HashOf("p").Bytes}, "", ClientUnknown, ""},
		"nobody":           {Nobody(k.Realm), "", ClientUnknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := whole(t, k.Address, c.account, c.service, time.Now)
			denial, _ := errors.AsType[*Error](err)
			switch {
			case c.code == 0 && err != nil:
				t.Fatalf("%v\n%s", err, k.Requests(t))
			case c.code != 0 && (denial == nil || denial.Code != c.code):
				t.Fatalf("%v, want %s", err, c.code)
			}
			if x.Etype != c.etype || !x.Timed || x.Skew.Abs() > 10*time.Second || x.Address != k.Address {
				t.Errorf("etype %q, timed %v, skew %s, address %s", x.Etype, x.Timed, x.Skew, x.Address)
			}
		})
	}
}

// With the hash alone an account that has AES keys only cannot be proven, and its secret is not used.
func noHash(t *testing.T, k *servers.KDC) {
	x, err := whole(t, k.Address, byHash(k, "aes128", "Right-Pass1"), "", time.Now)
	if !errors.Is(err, ErrNoTimestamp) || x.Asked {
		t.Errorf("%v, %+v", err, x)
	}
}

// A wrong log-on counts once: after two the account is locked, with the right password too.
func lock(t *testing.T, k *servers.KDC) {
	for i, want := range []Code{PreauthFailed, PreauthFailed, ClientRevoked} {
		password := "Wrong-Pass1"
		if i == 2 {
			password = "Right-Pass1"
		}
		_, err := whole(t, k.Address, account(k, "limited", password), "TERMSRV/rdp.test", time.Now)
		if denial, _ := errors.AsType[*Error](err); denial == nil || denial.Code != want {
			t.Fatalf("attempt %d: %v, want %s", i, err, want)
		}
	}
}

// An account that needs no pre-authentication is proven by what the reply is made with.
func open(t *testing.T, k *servers.KDC) {
	x, err := whole(t, k.Address, account(k, "open", "Right-Pass1"), "TERMSRV/open.test", time.Now)
	if err != nil || !x.Open || x.Asked || !x.Timed {
		t.Errorf("%v, %+v", err, x)
	}
	x, err = whole(t, k.Address, account(k, "open", "Wrong-Pass1"), "", time.Now)
	if !errors.Is(err, ErrNotProven) || x.Asked {
		t.Errorf("%v, %+v", err, x)
	}
}

// A clock that is wrong by an hour is measured, and hides nothing else. One that changes on the way is what the KDC refuses.
func skew(t *testing.T, k *servers.KDC) {
	for _, wrong := range []time.Duration{-time.Hour, time.Hour} {
		x, err := whole(t, k.Address, account(k, "probe", "Right-Pass1"), "TERMSRV/rdp.test", func() time.Time { return time.Now().Add(wrong) })
		if err != nil || (x.Skew+wrong).Abs() > 10*time.Second {
			t.Errorf("%v: %v, skew %s", wrong, err, x.Skew)
		}
	}
	x, err := ask(t.Context(), []string{k.Address}, account(k, "probe", "Right-Pass1"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	x.Skew += time.Hour
	err = x.Logon(t.Context())
	if denial, _ := errors.AsType[*Error](err); denial == nil || denial.Code != Skew || x.Skew.Abs() > 10*time.Second {
		t.Errorf("%v, skew %s", err, x.Skew)
	}
}

// The KDC stops after every byte of each of its three answers: each time the exchange ends with its context, and goes on at a
// second KDC as long as the secret was not used.
func hangs(t *testing.T, k *servers.KDC) {
	relay := servers.StartRelay(t, k.Address, servers.Unlimited)
	a := account(k, "probe", "Right-Pass1")
	var steps [3]int64
	x, err := ask(t.Context(), []string{relay.Address}, a, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	steps[0] = relay.Forwarded()
	if err = x.Logon(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps[1] = relay.Forwarded()
	if err = x.Service(t.Context(), "TERMSRV/rdp.test"); err != nil {
		t.Fatal(err)
	}
	steps[2] = relay.Forwarded()
	t.Logf("answers of %v bytes", steps)
	for step, whole := range steps {
		for _, limit := range []int64{0, 1, 2, 3, 4, 5, 6, 20, whole / 2, whole * 9 / 10} { // numbers in it vary in length
			x := &Exchange{KDC: relay.Address, account: &a, now: time.Now}
			relay.SetLimit(servers.Unlimited)
			calls := []func(context.Context) error{x.begin, x.Logon, func(ctx context.Context) error { return x.Service(ctx, "TERMSRV/rdp.test") }}
			for _, call := range calls[:step] {
				if err := call(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			relay.SetLimit(limit)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			if err := calls[step](ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("step %d, %d bytes: %v", step, limit, err)
			}
			cancel()
		}
	}
	relay.SetLimit(7)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if x, err = Ask(ctx, []string{relay.Address, k.Address}, a); err != nil || x.KDC != k.Address {
		t.Errorf("%v: the second kdc is not asked", err)
	}
}
