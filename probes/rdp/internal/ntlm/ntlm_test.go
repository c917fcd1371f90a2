package ntlm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of [MS-NLMP] 4.2: user User, password Password, domain Domain, server Server, all challenges and times fixed.
var (
	exampleServer = [8]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	exampleClient = bytes.Repeat([]byte{0xaa}, 8)
	exampleKey    = bytes.Repeat([]byte{0x55}, 16)
)

func exampleInfo() []byte {
	return AppendAVPairs(nil, AVPair{AVNetBIOSDomain, Encode("Domain")}, AVPair{AVNetBIOSComputer, Encode("Server")})
}

// TestTheExamplesOfTheSpecification states [MS-NLMP] 4.2.2.1.2 and 4.2.4.
func TestTheExamplesOfTheSpecification(t *testing.T) {
	hash := NewHash("Password")
	if got := hex.EncodeToString(hash[:]); got != "a4f49c406510bdcab6824ee7c30fd852" {
		t.Errorf("nt hash %s", got)
	}
	key := Account{User: "User", Domain: "Domain", Hash: hash}.Key()
	if got := hex.EncodeToString(key); got != "0c868a403bfd7a93a3001ef22ef02e3f" {
		t.Errorf("NTOWFv2 %s", got)
	}
	response, base := Response(key, exampleServer, exampleClient, 0, exampleInfo())
	if got := hex.EncodeToString(response[:16]); got != "68cd0ab851e51c96aabc927bebef6a1c" {
		t.Errorf("NTProofStr %s", got)
	}
	if got := hex.EncodeToString(base); got != "8de40ccadbc14a82f15cb0ad0de95ca3" {
		t.Errorf("session base key %s", got)
	}
	wrapped := make([]byte, 16)
	stream(base).XORKeyStream(wrapped, exampleKey)
	if got := hex.EncodeToString(wrapped); got != "c5dad2544fc9799094ce1ce90bc9d03e" {
		t.Errorf("encrypted session key %s", got)
	}
	sealed := NewSession(exampleKey, true, true).Seal(Encode("Plaintext"))
	want := "01000000 7fb38ec5c55d4976 00000000 54e50165bf1936dc996020c1811b0f06fb5f"
	if !bytes.Equal(sealed, unhex(t, want)) {
		t.Errorf("sealed %x, want %s", sealed, want)
	}
}

func TestTheChallengeOfTheSpecificationIsRead(t *testing.T) {
	// [MS-NLMP] 4.2.4.3
	b := unhex(t, "4e544c4d53535000 02000000 0c000c00 38000000 33828ae2 0123456789abcdef 0000000000000000 24002400 44000000 0600 7017 0000000f"+
		"530065007200760065007200 02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000")
	c, err := ParseChallenge(b)
	if err != nil {
		t.Fatal(err)
	}
	if c.Target != "Server" || c.Nonce != exampleServer || c.Name(AVNetBIOSDomain) != "Domain" || c.Name(AVNetBIOSComputer) != "Server" ||
		c.Major != 6 || c.Minor != 0 || c.Build != 6000 {
		t.Errorf("got %+v", c)
	}
	if _, told := c.Time(); told {
		t.Error("there is a time")
	}
}

func TestMalformedChallengesAreErrorsThatSayWhy(t *testing.T) {
	good := challengeOf(offered|TargetInfo, exampleInfo())
	if _, err := ParseChallenge(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"empty":                    {func([]byte) []byte { return nil }, "no ntlm message"},
		"kerberos":                 {func(b []byte) []byte { return append([]byte("KERBEROS"), b[8:]...) }, "no ntlm message"},
		"authenticate":             {func(b []byte) []byte { b[8] = 3; return b }, "has type 3, not 2"},
		"cut short":                {func(b []byte) []byte { return b[:40] }, "of 40 bytes is too short"},
		"target beyond the end":    {func(b []byte) []byte { b[16] = 0xff; return b }, "do not lie in a message"},
		"offset that overflows":    {func(b []byte) []byte { copy(b[44:], "\xff\xff\xff\xff"); return b }, "do not lie in a message"},
		"target information large": {func(b []byte) []byte { copy(b[40:], "\xff\xff"); return b }, "65535 bytes are more than 8192"},
		"no end":                   {func(b []byte) []byte { b[40] -= 4; return b }, "has no end"},
		"attribute beyond the end": {func(b []byte) []byte { b[len(b)-len(exampleInfo())+2] = 0xee; return b }, "attribute 2 of the target information has 238 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseChallenge(c.change(bytes.Clone(good))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// challengeOf returns a CHALLENGE_MESSAGE with the target name S.
func challengeOf(flags Flags, info []byte) []byte {
	b := make([]byte, 56)
	copy(b, signature)
	b[8] = 2
	b[12], b[14], b[16] = 2, 2, 56
	put := func(at int, n uint32) {
		b[at], b[at+1], b[at+2], b[at+3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	}
	put(20, uint32(flags))
	copy(b[24:], exampleServer[:])
	put(40, uint32(len(info))|uint32(len(info))<<16)
	b[44] = 58
	return append(append(b, 'S', 0), info...)
}

func TestServerWithoutStrongSessionSecurityIsNotAnswered(t *testing.T) {
	for _, missing := range []Flags{Unicode, ExtendedSecurity, Bits128, TargetInfo} {
		c, err := ParseChallenge(challengeOf((offered|TargetInfo)&^missing, exampleInfo()))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Authenticate(Account{}, nil, Options{}); err == nil {
			t.Errorf("without 0x%x: no error", uint32(missing))
		}
	}
}

func TestResponseCarriesWhatTheServerMustCheck(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	stamp := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	info := AppendAVPairs(nil, AVPair{AVNetBIOSDomain, Encode("D")}, AVPair{AVTimestamp, stamp}, AVPair{AVFlags, []byte{1, 0, 0, 0}},
		AVPair{AVTargetName, Encode("forged")}, AVPair{AVChannelBindings, make([]byte, 16)})
	c, err := ParseChallenge(challengeOf(offered|TargetInfo, info))
	if err != nil {
		t.Fatal(err)
	}
	binding := bytes.Repeat([]byte{7}, 16)
	message, _, err := c.Authenticate(Account{User: "u", Domain: "d", Hash: NewHash("p")}, Negotiate(), Options{
		ChannelBinding: binding, Target: "TERMSRV/h", Now: now, Random: bytes.NewReader(make([]byte, 64)),
	})
	if err != nil {
		t.Fatal(err)
	}
	old, err := Field(message, 12, 100)
	if err != nil || !bytes.Equal(old, make([]byte, 24)) {
		t.Errorf("lm response %x, %v: want zeros, since the server tells its time", old, err)
	}
	response, err := Field(message, 20, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(response[24:32], stamp) {
		t.Errorf("time %x, want the server's", response[24:32])
	}
	pairs, err := ParseAVPairs(response[44:])
	if err != nil {
		t.Fatal(err)
	}
	got := map[AVID][]byte{}
	for _, p := range pairs {
		if _, twice := got[p.ID]; twice {
			t.Errorf("attribute %d is there twice", p.ID)
		}
		got[p.ID] = p.Value
	}
	if got[AVFlags][0] != 3 || !bytes.Equal(got[AVChannelBindings], binding) || Text(got[AVTargetName]) != "TERMSRV/h" {
		t.Errorf("attributes %v", got)
	}
	if bytes.Equal(message[authenticateMIC:authenticateMIC+16], make([]byte, 16)) {
		t.Error("there is no mic")
	}
}

func TestSessionTellsItsOwnMessagesFromOthers(t *testing.T) {
	client, server := NewSession(exampleKey, true, true), NewSession(exampleKey, true, false)
	for i := range 3 {
		message := []byte(fmt.Sprint("message ", i))
		got, err := server.Open(client.Seal(message))
		if err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
	}
	if server.Verify([]byte("list"), client.Sign([]byte("list"))) != nil {
		t.Error("a signature does not verify")
	}
	client.Restart()
	server.Restart()
	if _, err := server.Open(client.Seal([]byte("after"))); err != nil {
		t.Error("after a restart:", err)
	}
	sealed := client.Seal([]byte("changed"))
	sealed[len(sealed)-1] ^= 1
	if _, err := server.Open(sealed); !errors.Is(err, ErrSignature) {
		t.Errorf("changed: %v", err)
	}
	for _, short := range [][]byte{nil, make([]byte, 15)} {
		if _, err := server.Open(short); !errors.Is(err, ErrSignature) {
			t.Errorf("short: %v", err)
		}
	}
	if _, err := NewSession(exampleKey, true, false).Open(NewSession(exampleKey, true, false).Seal([]byte("reflected"))); err == nil {
		t.Error("an own message comes back as the other side's")
	}
}

func TestTimesOfWindows(t *testing.T) {
	for ft, want := range map[uint64]string{
		0: "1601-01-01T00:00:00Z", 116444736000000000: "1970-01-01T00:00:00Z", 134086752000000000: "2025-11-27T00:00:00Z",
	} {
		if got := FromFiletime(ft); got.Format(time.RFC3339) != want || Filetime(got) != ft {
			t.Errorf("%d is %s and back %d, want %s", ft, got.Format(time.RFC3339), Filetime(got), want)
		}
	}
	if year := FromFiletime(^uint64(0)).Year(); year < 30000 {
		t.Errorf("the last time is in the year %d", year)
	}
}

func TestHashPrintsAsAMask(t *testing.T) {
	h := NewHash("Right-Pass1")
	raw := hex.EncodeToString(h[:])
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%s", "%d", "%q"} {
		if text := fmt.Sprintf(verb, Account{Hash: h}); strings.Contains(strings.ToLower(text), raw[:8]) || strings.Contains(text, fmt.Sprint(h[0])+" ") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// FuzzChallenge holds that a challenge is read within bounds, and that whatever is accepted can be answered by a message that
// reads back.
func FuzzChallenge(f *testing.F) {
	f.Add(challengeOf(offered|TargetInfo, exampleInfo()))
	f.Add(challengeOf(offered|TargetInfo, AppendAVPairs(nil, AVPair{AVTimestamp, make([]byte, 8)}, AVPair{AVFlags, []byte{2, 0, 0, 0}})))
	f.Add(challengeOf(Unicode, nil))
	f.Add([]byte(signature))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChallenge(b)
		if err != nil {
			return
		}
		for id := range AVChannelBindings + 1 {
			if len(c.Name(id)) > 3*maxNames {
				t.Fatal("name is too long")
			}
		}
		c.Time()
		message, session, err := c.Authenticate(Account{User: "u", Hash: NewHash("p")}, Negotiate(), Options{
			Target: "TERMSRV/h", ChannelBinding: make([]byte, 16), Now: time.Unix(0, 0), Random: bytes.NewReader(make([]byte, 24)),
		})
		if err != nil {
			return
		}
		response, err := Field(message, 20, 1<<16)
		if err != nil || len(response) < 48 {
			t.Fatalf("response of %d bytes, %v", len(response), err)
		}
		if _, err := ParseAVPairs(response[44:]); err != nil {
			t.Fatal(err)
		}
		if session == nil {
			t.Fatal("no session")
		}
	})
}

// FuzzOpen holds that nothing but what the other side sealed is opened.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := NewSession(exampleKey, true, true).Open(b); err == nil {
			t.Fatal("opened")
		}
	})
}
