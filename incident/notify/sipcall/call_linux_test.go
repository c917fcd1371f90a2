//go:build servers

package sipcall

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/notify/speech"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

const number = "+4500000001"

// line is a trunk at address with the account that sipp wants.
func line(t *testing.T, address, transport string) *Line {
	t.Helper()
	trunk, err := ParseServer("sip:" + address + ";transport=" + transport)
	if err != nil {
		t.Fatal(err)
	}
	return &Line{Trunk: trunk, User: servers.SIPPUser, Password: secret.New(servers.SIPPSecret), First: 2 * time.Second}
}

// sound is so many seconds of it.
func sound(seconds float64) []byte { return bytes.Repeat([]byte{0x55}, int(seconds*speech.Rate)) }

func TestCallOutcomes(t *testing.T) {
	tests := []struct {
		party, transport string
		ring             time.Duration
		want             Outcome
		reason           string
		requests         string // what must have arrived
		within           time.Duration
	}{
		{servers.SIPPAnswers, UDP, 5 * time.Second, Answered, "", "INVITE ACK BYE", 10 * time.Second},
		{servers.SIPPAnswers, TCP, 5 * time.Second, Answered, "", "INVITE ACK BYE", 10 * time.Second},
		{servers.SIPPBusy, UDP, 5 * time.Second, Busy, "486 Busy Here", "INVITE ACK", 3 * time.Second},
		{servers.SIPPBusy, TCP, 5 * time.Second, Busy, "486 Busy Here", "INVITE ACK", 3 * time.Second},
		{servers.SIPPRejects, UDP, 5 * time.Second, Rejected, "603 Decline", "INVITE ACK", 3 * time.Second},
		{servers.SIPPForbids, UDP, 5 * time.Second, Rejected, "403 Forbidden", "INVITE ACK", 3 * time.Second},
		{servers.SIPPUnavailable, UDP, 5 * time.Second, NoAnswer, "480 Temporarily Unavailable", "INVITE ACK", 3 * time.Second},
		{servers.SIPPRings, UDP, 500 * time.Millisecond, NoAnswer, "rang for", "INVITE CANCEL ACK", 3 * time.Second},
		{servers.SIPPRings, TCP, 500 * time.Millisecond, NoAnswer, "rang for", "INVITE CANCEL ACK", 3 * time.Second},
		{servers.SIPPRingsOn, UDP, 500 * time.Millisecond, NoAnswer, "rang for", "INVITE CANCEL", 4 * time.Second},
		{servers.SIPPPassword, UDP, 5 * time.Second, Answered, "", "INVITE ACK BYE", 10 * time.Second},
		{servers.SIPPProxyPassword, TCP, 5 * time.Second, Answered, "", "INVITE ACK BYE", 10 * time.Second},
		{servers.SIPPHangsUp, UDP, 5 * time.Second, Answered, "", "INVITE ACK", 10 * time.Second},
		{servers.SIPPHangsUp, TCP, 5 * time.Second, Answered, "", "INVITE ACK", 10 * time.Second},
		{servers.SIPPDeaf, UDP, 5 * time.Second, Failed, "takes no audio", "INVITE ACK BYE", 3 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.party+" over "+test.transport, func(t *testing.T) {
			callee := servers.StartSIPP(t, test.party, test.transport)
			begin := time.Now()
			r := line(t, callee.Address, test.transport).Call(t.Context(), number, sound(1.5), test.ring)
			if took := time.Since(begin); took > test.within {
				t.Errorf("it took %s", took)
			}
			if r.Outcome != test.want || !strings.Contains(r.Reason, test.reason) {
				t.Errorf("result %+v (%s), want %s %q\n%s", r, r, test.want, test.reason, callee.Log())
			}
			for method := range strings.FieldsSeq(test.requests) {
				if !callee.Heard(method) {
					t.Errorf("no %s arrived", method)
				}
			}
			switch {
			case test.want != Answered:
			case test.party == servers.SIPPHangsUp:
				if !r.HungUp || r.Heard > 1200*time.Millisecond || r.Heard == 0 || callee.Requests("BYE") != 0 {
					t.Errorf("heard %s of %s, hung up %v", r.Heard, r.Of, r.HungUp)
				}
			case r.Heard != 1500*time.Millisecond || r.Of != r.Heard || r.HungUp || r.Sent != 75 || r.Got < 70 && test.party == servers.SIPPAnswers:
				t.Errorf("heard %s of %s, %d packets, %d back", r.Heard, r.Of, r.Sent, r.Got)
			}
		})
	}
}

func TestAWrongPasswordIsTriedOnceAndNotTold(t *testing.T) {
	callee := servers.StartSIPP(t, servers.SIPPPassword, UDP)
	l := line(t, callee.Address, UDP)
	l.Password = secret.New("wr0ng-one")
	r := l.Call(t.Context(), number, sound(1), time.Second)
	if r.Outcome != Rejected || r.Status != 403 || strings.Contains(r.String(), "wr0ng-one") {
		t.Errorf("result %+v", r)
	}
	if n := callee.Requests("INVITE"); n != 2 {
		t.Errorf("%d calls, want one and its log-on", n)
	}
	for party, status := range map[string]int{servers.SIPPPassword: 401, servers.SIPPProxyPassword: 407} {
		l = line(t, servers.StartSIPP(t, party, UDP).Address, UDP)
		l.User = ""
		if r = l.Call(t.Context(), number, sound(1), time.Second); r.Outcome != Refused || r.Status != status {
			t.Errorf("without a user: %+v", r)
		}
	}
}

func TestNobodyListensAtTheTrunk(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	closed := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		return l.Addr().String()
	}
	tests := []struct {
		name, address, transport, reason string
		within                           time.Duration
	}{
		{"refused", closed(), UDP, "nobody listens", time.Second},
		{"refused", closed(), TCP, "refused", time.Second},
		{"no sign", silent.LocalAddr().String(), UDP, "no sign within 500ms", 3 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name+" over "+test.transport, func(t *testing.T) {
			l := line(t, test.address, test.transport)
			l.First = 500 * time.Millisecond
			begin := time.Now()
			r := l.Call(t.Context(), number, sound(1), time.Minute)
			if r.Outcome != Unreachable || !strings.Contains(r.Reason, test.reason) || r.Err == nil {
				t.Errorf("result %+v", r)
			}
			if took := time.Since(begin); took > test.within {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestTheContextEndsACall(t *testing.T) {
	for party, requests := range map[string]string{servers.SIPPRings: "CANCEL", servers.SIPPAnswers: "BYE"} {
		t.Run(party, func(t *testing.T) {
			callee := servers.StartSIPP(t, party, UDP)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begin := time.Now()
			r := line(t, callee.Address, UDP).Call(ctx, number, sound(10), time.Minute)
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
			if !errors.Is(r.Err, context.DeadlineExceeded) || (r.Outcome == Answered) != (party == servers.SIPPAnswers) {
				t.Errorf("result %+v", r)
			}
			if !callee.Heard(requests) {
				t.Errorf("no %s arrived", requests)
			}
		})
	}
}

func TestCallsOverTLS(t *testing.T) {
	callee := servers.StartSIPP(t, servers.SIPPAnswers, TCP)
	cert := servers.SelfSigned(t, servers.CertOptions{})
	address := tlsFront(t, callee.Address, cert)
	l := line(t, address, TLS)
	if r := l.Call(t.Context(), number, sound(0.2), time.Second); r.Outcome != Unreachable || !strings.Contains(r.Reason, "certificate") {
		t.Errorf("an authority that is not trusted: %+v", r)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	l.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if r := l.Call(t.Context(), number, sound(0.2), time.Second); r.Outcome != Answered || r.HungUp {
		t.Errorf("result %+v", r)
	}
}

// tlsFront takes TLS and hands what is inside to target.
func tlsFront(t *testing.T, target string, cert *servers.Cert) (address string) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert.TLS}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer func() { _ = conn.Close() }()
				inside, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer func() { _ = inside.Close() }()
				open.Go(func() { _, _ = io.Copy(conn, inside); _ = conn.Close() })
				_, _ = io.Copy(inside, conn)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); open.Wait() })
	return listener.Addr().String()
}
