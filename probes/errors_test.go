package probes_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

func dialError(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}, Err: os.NewSyscallError("connect", errno)}
}

func TestClassify(t *testing.T) {
	open := t.Context()
	ended, cancel := context.WithCancel(open)
	cancel()
	late, stop := context.WithDeadline(open, time.Unix(1, 0))
	defer stop()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		phase   string
		err     error
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		{"shutdown", ended, probes.PhaseTLS, io.EOF, probes.Unknown, probes.Local, "the run was cancelled"},
		{"deadline while connecting", late, probes.PhaseConnect, os.ErrDeadlineExceeded, probes.Down, probes.Timeout, "no connection"},
		{"deadline in tls", late, probes.PhaseTLS, os.ErrDeadlineExceeded, probes.Down, probes.Timeout, "the tls handshake did not finish"},
		{"deadline in x224", late, probes.PhaseX224, io.ErrUnexpectedEOF, probes.Down, probes.Timeout, "x.224"},
		{"deadline before the first byte", late, probes.PhaseFirstByte, context.DeadlineExceeded, probes.Down, probes.Timeout, "connected, but no answer"},
		{"deadline in the body", late, probes.PhaseTransfer, context.DeadlineExceeded, probes.Down, probes.Timeout, "began, but did not finish"},
		{"deadline at the resolver", late, probes.PhaseDNS, context.DeadlineExceeded, probes.Unknown, probes.Local, "resolver"},
		{"refused", open, probes.PhaseConnect, dialError(syscall.ECONNREFUSED), probes.Down, probes.Refused, "127.0.0.1:443 refuses the connection"},
		{"reset", open, probes.PhaseTLS, dialError(syscall.ECONNRESET), probes.Down, probes.Reset, "reset the connection (tls)"},
		{"broken pipe", open, probes.PhaseFirstByte, dialError(syscall.EPIPE), probes.Down, probes.Reset, "(first byte)"},
		{"end", open, probes.PhaseX224, io.EOF, probes.Down, probes.Reset, "closed the connection before it had answered (x224)"},
		{"early end", open, "", fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), probes.Down, probes.Reset, "closed the connection"},
		{"kernel timeout", open, probes.PhaseConnect, dialError(syscall.ETIMEDOUT), probes.Down, probes.Timeout, "no connection"},
		{"host unreachable, says the network", open, probes.PhaseConnect, dialError(syscall.EHOSTUNREACH), probes.Down, probes.Unreachable, "the network says that 127.0.0.1:443"},
		{"network unreachable, says the network", open, probes.PhaseConnect, dialError(syscall.ENETUNREACH), probes.Down, probes.Unreachable, "the network says"},
		{"forbidden by the own route", open, probes.PhaseConnect, dialError(syscall.EACCES), probes.Unknown, probes.Local, "check its routes and firewall"},
		{"forbidden by the own firewall", open, probes.PhaseConnect, dialError(syscall.EPERM), probes.Unknown, probes.Local, "check its routes"},
		{"own blackhole route", open, probes.PhaseConnect, dialError(syscall.EINVAL), probes.Unknown, probes.Local, "check its routes"},
		{"no port left", open, probes.PhaseConnect, dialError(syscall.EADDRNOTAVAIL), probes.Unknown, probes.Local, "raise its limits"},
		{"no descriptor left", open, probes.PhaseConnect, dialError(syscall.EMFILE), probes.Unknown, probes.Local, "raise its limits"},
		{"no descriptor left on the host", open, probes.PhaseConnect, dialError(syscall.ENFILE), probes.Unknown, probes.Local, "raise its limits"},
		{"no buffer left", open, probes.PhaseConnect, dialError(syscall.ENOBUFS), probes.Unknown, probes.Local, "raise its limits"},
		{"no authorities", open, probes.PhaseTLS, x509.SystemRootsError{Err: fs.ErrNotExist}, probes.Unknown, probes.Local, "install its CA certificates"},
		{"address with a secret", open, "", &url.Error{Op: "Get", URL: "https://u:hunter2@h/?k=hunter2", Err: errors.New("odd")}, probes.Down, probes.Protocol, "odd"},
		{"unknown", open, probes.PhaseFirstByte, errors.New("Malformed answer"), probes.Down, probes.Protocol, "protocol failure (first byte): malformed answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			outcome, reason, detail := probes.Classify(c.ctx, c.phase, c.err, probes.Protocol)
			if outcome != c.outcome || reason != c.reason || !strings.Contains(detail, c.detail) {
				t.Errorf("%v is %s, %s, %q; want %s, %s, %q", c.err, outcome, reason, detail, c.outcome, c.reason, c.detail)
			}
			if strings.Contains(detail, "hunter2") {
				t.Errorf("the detail tells a secret: %s", detail)
			}
		})
	}
}

// The resolver's errors are Go's own: a resolver is pointed at a server that answers so.
func TestClassifyResolver(t *testing.T) {
	answers := func(rcode int) string {
		return serveDNS(t, func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, rcode) })
	}
	for _, c := range []struct {
		name, server string
		outcome      probes.Outcome
		reason       probes.Reason
	}{
		{"nxdomain", answers(dns.RcodeNameError), probes.Down, probes.DNS},
		{"servfail", answers(dns.RcodeServerFailure), probes.Down, probes.DNS},
		{"refused", answers(dns.RcodeRefused), probes.Unknown, probes.Local},
		{"not there", probetest.Closed(t), probes.Unknown, probes.Local},
		{"silent", silentUDP(t), probes.Unknown, probes.Local},
	} {
		t.Run(c.name, func(t *testing.T) {
			resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, c.server)
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := resolver.LookupNetIP(ctx, "ip4", "web.example.")
			outcome, reason, detail := probes.Classify(ctx, probes.PhaseDNS, err, probes.Protocol)
			if err == nil || outcome != c.outcome || reason != c.reason {
				t.Errorf("%v is %s, %s (%s), want %s, %s", err, outcome, reason, detail, c.outcome, c.reason)
			}
		})
	}
}
