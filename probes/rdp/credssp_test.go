package rdp_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/rdp"
	"github.com/firstcall-agent/firstcall/probes/rdp/rdptest"
)

const (
	password = "Right-Pass1"
	offer    = rdp.ProtocolSSL | rdp.ProtocolHybrid
)

var accounts = map[string]string{`EXAMPLE\probe`: password, "lokal": "Pä55:wörd", "probe@example.test": password}

// secured returns a connection to the server after the TLS handshake.
func secured(t testing.TB, s *rdptest.Server, offer rdp.Protocol) (context.Context, *rdp.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	raw, err := net.Dial("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	c := rdp.NewConn(raw)
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Negotiate(ctx, offer); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartTLS(ctx, "fake"); err != nil {
		t.Fatal(err)
	}
	return ctx, c
}

// logon climbs to the end and returns the first error.
func logon(t testing.TB, s *rdptest.Server, o rdp.CredSSP, a rdp.Account) error {
	t.Helper()
	ctx, c := secured(t, s, offer)
	if _, err := c.Challenge(ctx, o); err != nil {
		return err
	}
	err := c.Logon(ctx, a)
	if !c.Asked() {
		t.Error("the account was not named")
	}
	_ = c.Close()
	return err
}

func TestChallengeTellsWhoTheServerIs(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{Skew: -time.Minute})
	ctx, c := secured(t, s, offer)
	got, err := c.Challenge(ctx, rdp.CredSSP{})
	if err != nil {
		t.Fatal(err)
	}
	if got.NetBIOSComputer != "FAKE" || got.NetBIOSDomain != "EXAMPLE" || got.DNSComputer != "fake.example.test" || got.DNSDomain != "example.test" ||
		got.Major != 10 || got.Build != 20348 || got.Version != 6 || got.RoundTrip <= 0 {
		t.Errorf("got %+v", got)
	}
	if skew := got.Time.Sub(got.Received) + time.Minute; skew.Abs() > 2*time.Second {
		t.Errorf("clock is off by %s besides the minute", skew)
	}
	if c.Asked() || s.Seen().Responses != 0 {
		t.Error("an account was named")
	}
}

func TestLogonInEveryVersionAndWrapping(t *testing.T) {
	for version := rdp.MinVersion; version <= rdp.MaxVersion; version++ {
		for _, spnego := range []bool{false, true} {
			t.Run(fmt.Sprint(version, spnego), func(t *testing.T) {
				for server := rdp.MinVersion; server <= rdp.MaxVersion; server++ {
					s := rdptest.Start(t, rdptest.Options{Accounts: accounts, Version: server})
					o := rdp.CredSSP{Version: version, SPNEGO: spnego, Target: "TERMSRV/fake"}
					if err := logon(t, s, o, rdp.Account{User: "probe", Domain: "EXAMPLE", Hash: rdp.HashOf(password)}); err != nil {
						t.Fatalf("server of version %d: %v", server, err)
					}
					err := logon(t, s, o, rdp.Account{User: "probe", Domain: "EXAMPLE", Hash: rdp.HashOf("wrong")})
					if refused, ok := errors.AsType[*rdp.StatusError](err); !ok || refused.Status != rdp.StatusLogonFailure {
						t.Fatalf("server of version %d, wrong password: %v", server, err)
					}
					if seen := s.Seen(); seen.Target != "TERMSRV/fake" || !seen.Bound || seen.Accepted != 1 {
						t.Errorf("seen %+v", seen)
					}
				}
			})
		}
	}
}

func TestLogonOfEveryKindOfAccount(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{Accounts: accounts})
	hash, err := rdp.ParseNTHash("AE974876D974ABD805A989EBEAD86846") // of "Password123", by no account
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		account rdp.Account
		good    bool
	}{
		"domain":    {rdp.Account{User: "probe", Domain: "EXAMPLE", Hash: rdp.HashOf(password)}, true},
		"local":     {rdp.Account{User: "lokal", Hash: rdp.HashOf("Pä55:wörd")}, true},
		"principal": {rdp.Account{User: "probe@example.test", Hash: rdp.HashOf(password)}, true},
		"hash":      {rdp.Account{User: "lokal", Hash: hash}, false},
		"unknown":   {rdp.Account{User: "nobody", Hash: rdp.HashOf("")}, false},
	} {
		if err := logon(t, s, rdp.CredSSP{}, c.account); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The session ends with the proof: what would open a desktop, TSCredentials, is not sent.
func TestNothingIsSentAfterTheProof(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{Accounts: accounts})
	if err := logon(t, s, rdp.CredSSP{}, rdp.Account{User: "probe", Domain: "EXAMPLE", Hash: rdp.HashOf(password)}); err != nil {
		t.Fatal(err)
	}
	if seen := s.Seen(); seen.Accepted != 1 || seen.After != 0 || !seen.MIC {
		t.Errorf("seen %+v", seen)
	}
}

func TestAnswersThatAreNoProof(t *testing.T) {
	right := rdp.Account{User: "probe", Domain: "EXAMPLE", Hash: rdp.HashOf(password)}
	wrong := rdp.Account{User: "probe", Domain: "EXAMPLE", Hash: rdp.HashOf("wrong")}
	flip := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	for name, c := range map[string]struct {
		o       rdptest.Options
		account rdp.Account
		is      func(error) bool
	}{
		"wrong, closes":         {rdptest.Options{Refusal: rdptest.ByClosing}, wrong, func(err error) bool { return errors.Is(err, io.EOF) }},
		"wrong, unproven":       {rdptest.Options{Refusal: rdptest.Unproven}, wrong, func(err error) bool { return errors.Is(err, rdp.ErrNotProven) }},
		"right, other key":      {rdptest.Options{OtherKey: true}, right, func(err error) bool { return errors.Is(err, rdp.ErrBinding) }},
		"right, no controller":  {rdptest.Options{Status: rdp.StatusNoLogonServers}, right, isStatus(rdp.StatusNoLogonServers)},
		"right, changed proof":  {rdptest.Options{Mangle: map[rdptest.Stage]func([]byte) []byte{rdptest.Proof: flip}}, right, func(err error) bool { return errors.Is(err, rdp.ErrNotProven) }},
		"right, empty answer":   {mangled(rdptest.Proof, "3005a003020106"), right, isViolation("neither a proof nor an error")},
		"right, no credssp":     {mangled(rdptest.Proof, hex.EncodeToString([]byte("HTTP/1.1 400"))), right, isViolation("is no tsrequest")},
		"right, code of weight": {mangled(rdptest.Proof, "300da003020106a4060204c00700ea"), right, isStatus(0xC00700EA)},
	} {
		for _, spnego := range []bool{false, true} {
			c.o.Accounts = accounts
			s := rdptest.Start(t, c.o)
			if spnego && strings.HasPrefix(name, "wrong, unproven") {
				continue // a wrong secret ends spnego earlier
			}
			if err := logon(t, s, rdp.CredSSP{SPNEGO: spnego}, c.account); err == nil || !c.is(err) {
				t.Errorf("%s, spnego %v: %v", name, spnego, err)
			}
		}
	}
}

func mangled(at rdptest.Stage, packet string) rdptest.Options {
	b, err := hex.DecodeString(packet)
	if err != nil {
		panic(err)
	}
	return rdptest.Options{Mangle: map[rdptest.Stage]func([]byte) []byte{at: func([]byte) []byte { return b }}}
}

func isStatus(want rdp.Status) func(error) bool {
	return func(err error) bool {
		got, ok := errors.AsType[*rdp.StatusError](err)
		return ok && got.Status == want
	}
}

func isViolation(want string) func(error) bool {
	return func(err error) bool {
		got, ok := errors.AsType[*rdp.ProtocolError](err)
		return ok && strings.Contains(got.Error(), want)
	}
}

func TestAnswersThatAreNoChallenge(t *testing.T) {
	for name, c := range map[string]struct {
		o      rdptest.Options
		spnego bool
		is     func(error) bool
	}{
		"status":              {rdptest.Options{ChallengeStatus: rdp.StatusNTLMBlocked}, false, isStatus(rdp.StatusNTLMBlocked)},
		"closes":              {rdptest.Options{Close: rdptest.Challenge}, false, func(err error) bool { return errors.Is(err, io.EOF) }},
		"version 1":           {rdptest.Options{ForeignVersion: 1}, false, isViolation("version 1 is older")},
		"no token":            {mangled(rdptest.Challenge, "3005a003020106"), false, isViolation("holds no token")},
		"short token":         {mangled(rdptest.Challenge, "3012a003020106a10b30093007a0050403010203"), false, isViolation("no ntlm message")},
		"spnego, no ntlm":     {mangled(rdptest.Challenge, "3018a003020106a111300f300da00b0409a1073005a0030a0102"), true, func(err error) bool { return errors.Is(err, rdp.ErrNoNTLM) }},
		"spnego, garbage":     {mangled(rdptest.Challenge, "3012a003020106a10b30093007a0050403010203"), true, isViolation("negTokenResp")},
		"spnego, nothing":     {mangled(rdptest.Challenge, "3018a003020106a111300f300da00b0409a1073005a0030a0101"), true, isViolation("holds no challenge")},
		"64 KiB of something": {rdptest.Options{Mangle: map[rdptest.Stage]func([]byte) []byte{rdptest.Challenge: func([]byte) []byte { return append([]byte{0x30, 0x83, 1, 0, 0}, make([]byte, 1<<16)...) }}}, false, isViolation("is longer than 65536")},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, conn := secured(t, rdptest.Start(t, c.o), offer)
			if _, err := conn.Challenge(ctx, rdp.CredSSP{SPNEGO: c.spnego}); err == nil || !c.is(err) {
				t.Errorf("got %v", err)
			}
			if err := conn.Logon(ctx, rdp.Account{}); err == nil || conn.Asked() {
				t.Errorf("a log-on without a challenge: %v", err)
			}
		})
	}
}

func TestHybridExIsAHybrid(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{Protocols: rdp.ProtocolHybridEx | rdp.ProtocolHybrid, Accounts: accounts})
	ctx, c := secured(t, s, offer|rdp.ProtocolHybridEx)
	if c.Confirm().Selected != rdp.ProtocolHybridEx {
		t.Fatalf("selected %v", c.Confirm().Selected)
	}
	if _, err := c.Challenge(ctx, rdp.CredSSP{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Logon(ctx, rdp.Account{User: "lokal", Hash: rdp.HashOf("Pä55:wörd")}); err != nil {
		t.Fatal(err)
	}
}

func TestGreetings(t *testing.T) {
	for name, c := range map[string]struct {
		protocol rdp.Protocol
		packet   string // "": the proper one
		is       func(error) bool
	}{
		"entra":             {rdp.ProtocolRDSAAD, "", nil},
		"rdstls":            {rdp.ProtocolRDSTLS, "", nil},
		"entra, no nonce":   {rdp.ProtocolRDSAAD, `{"other":1}`, isViolation("no ts_nonce")},
		"entra, number":     {rdp.ProtocolRDSAAD, `{"ts_nonce":1}`, isViolation("no ts_nonce")},
		"entra, no json":    {rdp.ProtocolRDSAAD, "SSH-2.0", isViolation("not json")},
		"entra, endless":    {rdp.ProtocolRDSAAD, `{"a":"` + strings.Repeat("x", 20<<10), isViolation("longer than 16384")},
		"rdstls, version 2": {rdp.ProtocolRDSTLS, "\x01\x00\x01\x00\x01\x00\x02\x00", isViolation("no rdstls capabilities")},
	} {
		t.Run(name, func(t *testing.T) {
			o := rdptest.Options{Protocols: c.protocol}
			if c.packet != "" {
				o.Mangle = map[rdptest.Stage]func([]byte) []byte{rdptest.Greeting: func([]byte) []byte { return []byte(c.packet) }}
			}
			ctx, conn := secured(t, rdptest.Start(t, o), rdp.ProtocolRDSAAD|rdp.ProtocolRDSTLS)
			err := conn.Greeting(ctx)
			if c.is == nil && err != nil || c.is != nil && (err == nil || !c.is(err)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A server that falls silent is left at the deadline, whatever the stage.
func TestEveryStageEndsWithItsDeadline(t *testing.T) {
	for _, at := range []rdptest.Stage{rdptest.Challenge, rdptest.Proof} {
		s := rdptest.Start(t, rdptest.Options{Silent: at, Accounts: accounts})
		_, c := secured(t, s, offer)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := c.Challenge(ctx, rdp.CredSSP{})
		if err == nil {
			err = c.Logon(ctx, rdp.Account{User: "lokal"})
		}
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// Nothing that can be printed of an account, an error or a connection holds the secret or what is made of it.
func TestNothingPrintsTheSecret(t *testing.T) {
	s := rdptest.Start(t, rdptest.Options{Refusal: rdptest.Unproven})
	hash := rdp.HashOf(password)
	account := rdp.Account{User: "probe", Domain: "EXAMPLE", Hash: hash}
	ctx, c := secured(t, s, offer)
	if _, err := c.Challenge(ctx, rdp.CredSSP{}); err != nil {
		t.Fatal(err)
	}
	err := c.Logon(ctx, account)
	_, bad := rdp.ParseNTHash(password)
	type holder struct{ account rdp.Account }
	text := fmt.Sprintf("%v %+v %#v %x %v %+v %v %v %#v", account, account, account, account, err, err, bad, holder{account}, holder{account})
	for _, secret := range []string{password, hex.EncodeToString(hash.Bytes()), fmt.Sprintf("%d", hash.Bytes())[1:12]} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
}

// BenchmarkLadder is the whole way to the challenge against a server in the same process: both sides' work.
func BenchmarkLadder(b *testing.B) {
	s := rdptest.Start(b, rdptest.Options{})
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		raw, err := net.Dial("tcp", s.Address)
		if err != nil {
			b.Fatal(err)
		}
		c := rdp.NewConn(raw)
		if _, err := c.Negotiate(ctx, offer); err != nil {
			b.Fatal(err)
		}
		if _, err := c.StartTLS(ctx, "fake"); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Challenge(ctx, rdp.CredSSP{}); err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
		cancel()
	}
}
