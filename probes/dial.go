package probes

import (
	"context"
	"net"
	"net/http/httptrace"
	"net/netip"
	"time"
)

// Dial resolves address (host:port) and connects, noting the phases dns (names only) and connect in r. A name with several
// addresses is tried as a client does: both families at once (RFC 8305), addresses one after the other, each with its share of
// the time left. No keep-alive is set: connections live for one run.
func (r *Recorder) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1, Deadline: r.deadline}
	if _, err := netip.ParseAddrPort(address); err == nil {
		r.Begin(PhaseConnect)
	} else {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			DNSStart: func(httptrace.DNSStartInfo) { r.Begin(PhaseDNS) },
			ConnectStart: func(string, string) {
				if r.Phase() != PhaseConnect { // once, though addresses of both families are tried at once
					r.Begin(PhaseConnect)
				}
			},
		})
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		r.End()
	}
	return conn, err
}

// Bind makes every read and write of conn fail as soon as ctx is done, deadline and cancellation alike; ctx then tells which.
// Call release before conn is given away or closed.
func Bind(ctx context.Context, conn net.Conn) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}
