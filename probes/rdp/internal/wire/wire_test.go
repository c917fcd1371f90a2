package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTSRequestsComeBackAsTheyWere(t *testing.T) {
	for name, r := range map[string]TSRequest{
		"first":    {Version: 6, Token: []byte("NTLMSSP\x00")},
		"last":     {Version: 6, Token: make([]byte, 400), PubKeyAuth: make([]byte, 48), Nonce: make([]byte, 32)},
		"error":    {Version: 6, ErrorCode: 0xC000006D},
		"positive": {Version: 3, ErrorCode: 5},
		"large":    {Version: 2, PubKeyAuth: make([]byte, 60<<10)},
		"all":      {Version: 300, Token: []byte{1}, AuthInfo: []byte{2}, PubKeyAuth: []byte{3}, ErrorCode: 4, Nonce: []byte{5}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadTSRequest(iotest.OneByteReader(bytes.NewReader(append(r.Marshal(), "next"...))))
			if err != nil || !reflect.DeepEqual(got, r) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// The error code is a negative integer on the wire, and some servers send it as a positive one of five bytes.
func TestErrorCodesAreReadInBothForms(t *testing.T) {
	for _, text := range []string{
		"300d a003020106 a4060204 c000006d", "300e a003020106 a4070205 00c000006d", // DER
		"3081 0d a0810302 0106 a4060204 c000006d", // BER with longer lengths than are needed
	} {
		b := unhex(t, text)
		if b[1] == 0x81 {
			b[2] = byte(len(b) - 3)
		}
		if r, err := ParseTSRequest(b); err != nil || r.ErrorCode != 0xC000006D {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
}

func TestMalformedTSRequestsAreErrorsThatSayWhy(t *testing.T) {
	for name, c := range map[string]struct{ packet, want string }{
		"http":                 {hex.EncodeToString([]byte("HTTP/1.1")), "is no tsrequest"},
		"endless length":       {"3080", "length of 0 bytes"},
		"length of 8 bytes":    {"3088 0000000000000000", "length of 8 bytes"},
		"too long":             {"3083 010001", "is longer than 65536"},
		"empty":                {"3000", "is empty"},
		"no version":           {"3006 a104 3002 3000", "has no version"},
		"version that is none": {"3005 a003 040106", "has tag 0x04 where 0x02 is due"},
		"version 0":            {"3005 a003 020100", "version 0"},
		"parts out of order":   {"300a a003020106 a003020106", "out of place"},
		"unknown part":         {"300a a003020106 a603020106", "out of place"},
		"value beyond the end": {"3005 a0ff 020106", "length of 127 bytes"},
		"token in nothing":     {"3009 a003020106 a1020400", "where 0x30 is due"},
		"something behind":     {"3007 a005 020106 0500", "has 2 bytes too many"},
		"huge error code":      {"3010 a003020106 a409 0207 01000000000000", "more than 32 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTSRequest(bytes.NewReader(unhex(t, c.packet)))
			if _, ok := errors.AsType[*FormatError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAnEndBeforeTheAnswerIsToldFromAnEndWithin(t *testing.T) {
	whole := TSRequest{Version: 6, Token: make([]byte, 300)}.Marshal()
	for n := range whole {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := ReadTSRequest(bytes.NewReader(whole[:n])); !errors.Is(err, want) {
			t.Fatalf("after %d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestSPNEGOTokensComeBackAsTheyWere(t *testing.T) {
	if got, err := ParseNegInit(NegInit([]byte("first"))); err != nil || string(got) != "first" {
		t.Errorf("negTokenInit: %q, %v", got, err)
	}
	for name, r := range map[string]NegResp{
		"challenge": {State: AcceptIncomplete, NTLM: true, Token: []byte("second")},
		"last":      {State: NoState, Token: []byte("third"), MIC: make([]byte, 16)},
		"done":      {State: AcceptCompleted, MIC: make([]byte, 16)},
		"reject":    {State: Reject},
		"nothing":   {State: NoState},
	} {
		if got, err := ParseNegResp(r.Marshal()); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestMalformedSPNEGOTokensAreErrorsThatSayWhy(t *testing.T) {
	for packet, want := range map[string]string{
		"":                           "ends within a value",
		"a000":                       "has tag 0xa0 where 0xa1 is due",
		"a102 0400":                  "where 0x30 is due",
		"a107 3005 a003 0a0104":      "state is not known",
		"a107 3005 a003 020101":      "has tag 0x02 where 0x0a is due",
		"a104 3002 a400":             "out of place",
		"a10a 3008 a2020400a0020a00": "out of place",
	} {
		if _, err := ParseNegResp(unhex(t, packet)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", packet, err, want)
		}
	}
	// Kerberos is another mechanism than the one that was offered.
	if r, err := ParseNegResp(unhex(t, "a10f 300d a10b 0609 2a864886f712010202")); err != nil || r.NTLM || !r.Other {
		t.Errorf("kerberos: %+v, %v", r, err)
	}
}

// FuzzTSRequest holds that what is read is read within bounds, and that what is accepted means the same when written again.
func FuzzTSRequest(f *testing.F) {
	f.Add(TSRequest{Version: 6, Token: []byte("NTLMSSP\x00"), PubKeyAuth: []byte{1}, Nonce: make([]byte, 32)}.Marshal())
	f.Add(TSRequest{Version: 6, ErrorCode: 0xC000006D}.Marshal())
	f.Add([]byte{0x30, 0x82, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		reader := bytes.NewReader(b)
		r, err := ReadTSRequest(reader)
		if read := len(b) - reader.Len(); read > MaxTSRequest {
			t.Fatalf("read %d bytes", read)
		}
		if err != nil {
			if _, ok := errors.AsType[*FormatError](err); !ok && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		again, err := ParseTSRequest(r.Marshal())
		if err != nil || again.Version != r.Version || again.ErrorCode != r.ErrorCode || !bytes.Equal(again.Token, r.Token) ||
			!bytes.Equal(again.PubKeyAuth, r.PubKeyAuth) || !bytes.Equal(again.Nonce, r.Nonce) || !bytes.Equal(again.AuthInfo, r.AuthInfo) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

// FuzzSPNEGO holds the same of a NegTokenResp, and that no NegTokenInit does harm.
func FuzzSPNEGO(f *testing.F) {
	f.Add(NegResp{State: AcceptIncomplete, NTLM: true, Token: []byte("t"), MIC: make([]byte, 16)}.Marshal())
	f.Add(NegInit([]byte("t")))
	f.Add([]byte{0xa1, 0x82})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseNegInit(b)
		r, err := ParseNegResp(b)
		if err != nil {
			if _, ok := errors.AsType[*FormatError](err); !ok {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		again, err := ParseNegResp(r.Marshal())
		if err != nil || again.State != r.State || again.NTLM != r.NTLM || !bytes.Equal(again.Token, r.Token) || !bytes.Equal(again.MIC, r.MIC) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
