package sipcall

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAnswers(t *testing.T) {
	sdp := func(lines ...string) []byte {
		return []byte(strings.Join(append([]string{"v=0", "o=a 1 1 IN IP4 192.0.2.9", "s=-"}, lines...), "\r\n") + "\r\n")
	}
	tests := []struct {
		name string
		body []byte
		to   string // "": on hold
		pt   uint8
		err  string
	}{
		{"PCMU", sdp("c=IN IP4 192.0.2.1", "t=0 0", "m=audio 4000 RTP/AVP 0 101"), "192.0.2.1:4000", pcmu, ""},
		{"PCMA first", sdp("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 18 8 0"), "192.0.2.1:4000", pcma, ""},
		{"address of the stream", sdp("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.2"), "192.0.2.2:4000", pcmu, ""},
		{"a second stream's address is not the first's", sdp("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "m=video 5000 RTP/AVP 96", "c=IN IP4 192.0.2.3"), "192.0.2.1:4000", pcmu, ""},
		{"video before", sdp("c=IN IP4 192.0.2.1", "m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0"), "192.0.2.1:4000", pcmu, ""},
		{"IPv6", sdp("c=IN IP6 2001:db8::1", "m=audio 4000 RTP/AVP 0"), "[2001:db8::1]:4000", pcmu, ""},
		{"hold", sdp("c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"), "", pcmu, ""},
		{"refused stream", sdp("c=IN IP4 192.0.2.1", "m=audio 0 RTP/AVP 0"), "", 0, "takes no audio"},
		{"no stream", sdp("c=IN IP4 192.0.2.1"), "", 0, "takes no audio"},
		{"nothing", nil, "", 0, "takes no audio"},
		{"another codec", sdp("c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 18"), "", 0, "neither PCMU nor PCMA"},
		{"multicast", sdp("c=IN IP4 224.0.0.1", "m=audio 4000 RTP/AVP 0"), "", 0, "no address"},
		{"a name", sdp("c=IN IP4 evil.example", "m=audio 4000 RTP/AVP 0"), "", 0, "no address"},
		{"a port that is none", sdp("c=IN IP4 192.0.2.1", "m=audio 70000 RTP/AVP 0"), "", 0, "takes no audio"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := answer(test.body)
			if err != nil || test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || test.err == "" {
					t.Errorf("error %v, want %q", err, test.err)
				}
				return
			}
			if got := m.to.IsValid(); got != (test.to != "") || got && m.to != netip.MustParseAddrPort(test.to) || m.payload != test.pt {
				t.Errorf("got %v, %d", m.to, m.payload)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(offer(netip.MustParseAddr("192.0.2.1"), 4000, 1))
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := answer(body); err == nil && m.to.IsValid() && (m.to.Port() == 0 || m.to.Addr().IsMulticast()) {
			t.Errorf("%v", m.to)
		}
	})
}

func TestAnOfferIsAnAnswer(t *testing.T) {
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		m, err := answer(offer(netip.MustParseAddr(ip), 4002, 1<<63+5))
		if err != nil || m.to.Addr().String() != ip || m.to.Port() != 4002 || m.payload != pcmu {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

func TestServers(t *testing.T) {
	for text, want := range map[string]Server{
		"sip:trunk.example": {"trunk.example", 0, UDP}, "sip:192.0.2.1:5070;transport=TCP": {"192.0.2.1", 5070, TCP},
		"sips:trunk.example": {"trunk.example", 0, TLS}, "sips:trunk.example:5071;transport=tcp": {"trunk.example", 5071, TLS},
		"sip:[2001:db8::1]:5060": {"2001:db8::1", 5060, UDP}, "sip:[2001:db8::1]": {"2001:db8::1", 0, UDP}, "sip:h;transport=tls": {"h", 0, TLS},
		"": {}, "sip:": {}, "h": {}, "http://h": {}, "sip:a@h": {}, "sip:h;transport=ws": {}, "sip:h;lr": {}, "sip:h:0": {}, "sip:h:x": {},
		"sips:h;transport=udp": {}, "sip:a b": {}, "sip:h?X=y": {},
	} {
		got, err := ParseServer(text)
		if (err == nil) != (want.Host != "") || err == nil && got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestResultsAsTheyAreTold(t *testing.T) {
	for want, r := range map[string]Result{
		"answered after 6 s, heard 18 of 18 s":                {Outcome: Answered, After: 6 * time.Second, Heard: 18 * time.Second, Of: 18 * time.Second},
		"answered after 6 s, heard 4 of 18 s, then hung up":   {Outcome: Answered, After: 6 * time.Second, Heard: 4 * time.Second, Of: 18 * time.Second, HungUp: true},
		"answered after 0 s, heard 4 of 18 s (the agent had)": {Outcome: Answered, Heard: 4 * time.Second, Of: 18 * time.Second, Reason: "the agent had"},
		"busy (486 Busy Here)":                                {Outcome: Busy, Reason: "486 Busy Here"},
		"cancelled":                                           {Outcome: Cancelled},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
