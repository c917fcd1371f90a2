package rdp

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of [MS-RDPBCGR] 4.1.1, without its cookie.
func TestConnectionRequestIsThatOfTheSpecification(t *testing.T) {
	want := unhex(t, "03 00 00 13 0e e0 00 00 00 00 00 01 00 08 00 03 00 00 00")
	if got := connectionRequest(ProtocolSSL | ProtocolHybrid); !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
}

func TestConfirmsAreRead(t *testing.T) {
	const offer = ProtocolSSL | ProtocolHybrid
	for name, c := range map[string]struct {
		packet string
		want   Confirm
	}{
		// [MS-RDPBCGR] 4.1.2
		"specification":                {"03 00 00 13 0e d0 00 00 12 34 00 02 00 08 00 00 00 00 00", Confirm{Negotiated: true}},
		"xrdp, tls":                    {"03 00 00 13 0e d0 00 00 12 34 00 02 01 08 00 01 00 00 00", Confirm{true, ProtocolSSL, FlagExtendedClientData}},
		"freerdp, nla":                 {"03 00 00 13 0e d0 00 00 12 34 00 02 0b 08 00 02 00 00 00", Confirm{true, ProtocolHybrid, FlagExtendedClientData | FlagGraphicsPipeline | FlagRestrictedAdmin}},
		"old server":                   {"03 00 00 0b 06 d0 00 00 12 34 00", Confirm{}},
		"old server, something behind": {"03 00 00 0d 06 d0 00 00 12 34 00 aa bb", Confirm{}},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := readPacket(bytes.NewReader(unhex(t, c.packet)))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := parseConfirm(body, offer); got != c.want || err != nil {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestRefusalsNameTheirCode(t *testing.T) {
	for code, name := range map[byte]string{
		1: "SSL_REQUIRED_BY_SERVER", 2: "SSL_NOT_ALLOWED_BY_SERVER", 3: "SSL_CERT_NOT_ON_SERVER", 4: "INCONSISTENT_FLAGS",
		5: "HYBRID_REQUIRED_BY_SERVER", 6: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER", 9: "code 0x9",
	} {
		body := unhex(t, "0e d0 00 00 12 34 00 03 00 08 00 00 00 00 00")
		body[11] = code
		_, err := parseConfirm(body, ProtocolSSL)
		if refusal, ok := errors.AsType[*NegotiationError](err); !ok || refusal.Code != FailureCode(code) || !strings.Contains(err.Error(), name) {
			t.Errorf("code %d: %v, want %s", code, err, name)
		}
	}
}

func TestViolationsAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ packet, want string }{
		"ssh":                       {hex.EncodeToString([]byte("SSH-2.0-OpenSSH")), `answers "SSH-", which is not rdp`},
		"control characters":        {"1b 5b 32 4a", `answers "\x1b[2J"`},
		"too short":                 {"03 00 00 06 00 00", "tpkt length 6 is not between"},
		"too long":                  {"03 00 ff ff", "tpkt length 65535 is not between"},
		"disconnect request":        {"03 00 00 0b 06 80 00 00 12 34 02", "disconnect request, reason 2"},
		"data":                      {"03 00 00 0b 06 f0 00 00 12 34 02", "code 0xf0 is not a connection confirm"},
		"length indicator too long": {"03 00 00 0b 07 d0 00 00 12 34 00", "length indicator 7 does not fit"},
		"length indicator 0":        {"03 00 00 0b 00 d0 00 00 12 34 00", "length indicator 0 does not fit"},
		"half a structure":          {"03 00 00 0f 0a d0 00 00 12 34 00 02 00 08 00", "structure of 4 bytes is too short"},
		"structure length":          {"03 00 00 13 0e d0 00 00 12 34 00 02 00 09 00 01 00 00 00", "says that it has 9 bytes"},
		"structure type":            {"03 00 00 13 0e d0 00 00 12 34 00 07 00 08 00 01 00 00 00", "unknown type 7"},
		"not offered":               {"03 00 00 13 0e d0 00 00 12 34 00 02 00 08 00 08 00 00 00", "server selects nla-ex of the offered tls+nla"},
		"two at once":               {"03 00 00 13 0e d0 00 00 12 34 00 02 00 08 00 03 00 00 00", "server selects tls+nla of"},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := readPacket(bytes.NewReader(unhex(t, c.packet)))
			if err == nil {
				_, err = parseConfirm(body, ProtocolSSL|ProtocolHybrid)
			}
			if _, ok := errors.AsType[*ProtocolError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a protocol error with %q", err, c.want)
			}
		})
	}
}

func TestAnEndBeforeTheAnswerIsToldFromAnEndWithin(t *testing.T) {
	whole := unhex(t, "03 00 00 13 0e d0 00 00 12 34 00 02 01 08 00 01 00 00 00")
	for n := range whole {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := readPacket(bytes.NewReader(whole[:n])); !errors.Is(err, want) {
			t.Errorf("after %d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestStagesAreClimbedInOrderOnly(t *testing.T) {
	ctx := context.Background()
	c := NewConn(nil)
	if _, err := c.StartTLS(ctx, ""); err == nil {
		t.Error("tls before the negotiation is no error")
	}
	c.passed = StageX224
	if _, err := c.StartTLS(ctx, ""); err == nil {
		t.Error("tls that was not negotiated is no error")
	}
	if _, err := c.Negotiate(ctx, ProtocolSSL); err == nil {
		t.Error("a second negotiation is no error")
	}
	if c.TLS() != nil {
		t.Error("there is a tls connection before StartTLS")
	}
}

func TestNamesOfSetsAreReadable(t *testing.T) {
	for got, want := range map[string]string{
		ProtocolRDP.String():                             "standard rdp security",
		(ProtocolSSL | ProtocolHybrid | 0x4000).String(): "tls+nla+0x4000",
		Flags(0).String():                                "none",
		Flags(0x83).String():                             "extended-client-data+graphics-pipeline+0x80",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzConfirm holds that whatever a peer sends is read within bounds and ends in a confirm that was offered, or in one of the
// errors that callers know.
func FuzzConfirm(f *testing.F) {
	for _, seed := range []string{
		"03 00 00 13 0e d0 00 00 12 34 00 02 01 08 00 01 00 00 00", "03 00 00 13 0e d0 00 00 12 34 00 03 00 08 00 05 00 00 00",
		"03 00 00 0b 06 d0 00 00 12 34 00", "03 00 ff ff 06 d0", "03 00 00 0b fe d0 00 00 12 34 00", "",
	} {
		f.Add(unhex(f, seed), uint32(3))
	}
	f.Fuzz(func(t *testing.T, packet []byte, offered uint32) {
		offer := Protocol(offered)
		reader := bytes.NewReader(packet)
		body, err := readPacket(reader)
		if read := len(packet) - reader.Len(); read > maxConfirm {
			t.Fatalf("read %d bytes", read)
		}
		var confirm Confirm
		if err == nil {
			confirm, err = parseConfirm(body, offer)
		}
		_, violation := errors.AsType[*ProtocolError](err)
		_, refusal := errors.AsType[*NegotiationError](err)
		switch {
		case err == nil:
			if confirm.Selected&^offer != 0 || confirm.Selected&(confirm.Selected-1) != 0 {
				t.Fatalf("selected %v of %v", confirm.Selected, offer)
			}
		case violation, refusal, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		default:
			t.Fatalf("unknown error %v", err)
		}
	})
}
