// Package sipcall makes telephone calls over a SIP trunk (RFC 3261): it rings one number, plays a sound to whoever answers
// (RTP, RFC 3550 and 3551) and hangs up. Signalling is sipgo's; nothing of a call is left when it is over.
package sipcall

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/firstcall-agent/firstcall/config/secret"
)

func init() {
	// The library logs whole messages, and warnings that mean nothing, to wherever slog goes.
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
}

// The transports of SIP.
const (
	UDP = "udp"
	TCP = "tcp"
	TLS = "tls"
)

// Server is where SIP is spoken to.
type Server struct {
	Host      string
	Port      int // 0: as DNS says (RFC 3263), else 5060, or 5061 with TLS
	Transport string
}

// ParseServer parses sip:HOST, sip:HOST:PORT;transport=tcp or sips:HOST (RFC 3261, 19.1). The transport is UDP unless given.
func ParseServer(text string) (Server, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	address, params, _ := strings.Cut(rest, ";")
	s := Server{Transport: UDP}
	switch {
	case scheme == "sips":
		s.Transport = TLS
	case scheme != "sip":
		return s, errors.New("is no sip or sips address")
	case strings.Contains(address, "@"):
		return s, errors.New("holds a user: it belongs into user")
	}
	if name, value, _ := strings.Cut(params, "="); params != "" {
		value = strings.ToLower(value)
		if name != "transport" || value != UDP && value != TCP && value != TLS || scheme == "sips" && value == UDP {
			return s, errors.New("has a parameter other than transport=udp, tcp or tls")
		}
		if s.Transport == UDP {
			s.Transport = value
		}
	}
	s.Host = strings.Trim(address, "[]")
	if host, port, err := net.SplitHostPort(address); err == nil {
		s.Host = host
		if s.Port, err = strconv.Atoi(port); err != nil || s.Port < 1 || s.Port > 65535 {
			return s, errors.New("has no port between 1 and 65535")
		}
	}
	if _, err := netip.ParseAddr(s.Host); err != nil && !isHostName(s.Host) {
		return s, errors.New("names no host")
	}
	return s, nil
}

func isHostName(text string) bool {
	return text != "" && len(text) <= 253 && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// String returns host:port over the transport.
func (s Server) String() string {
	if s.Port == 0 {
		return s.Host + " (" + s.Transport + ")"
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) + " (" + s.Transport + ")"
}

// resolve returns the address of the server: its own where it is one, else what DNS says of the service, else of the host.
func (s Server) resolve(ctx context.Context) (netip.AddrPort, error) {
	host, port := s.Host, s.Port
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), s.port()), nil
	}
	if port == 0 {
		service, proto := "sip", s.Transport
		if s.Transport == TLS {
			service, proto = "sips", TCP
		}
		if _, records, err := net.DefaultResolver.LookupSRV(ctx, service, proto, host); err == nil && len(records) > 0 {
			host, port = records[0].Target, int(records[0].Port)
		}
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip := ips[0]
	if at := slices.IndexFunc(ips, func(ip netip.Addr) bool { return ip.Unmap().Is4() }); at >= 0 {
		ip = ips[at]
	}
	if port == 0 {
		port = int(s.port())
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil //nolint:gosec // a port
}

// port returns the port, or the transport's.
func (s Server) port() uint16 {
	switch {
	case s.Port != 0:
		return uint16(s.Port) //nolint:gosec // a port
	case s.Transport == TLS:
		return 5061
	}
	return 5060
}

// uriHost returns the host as it stands in a URI.
func (s Server) uriHost() string {
	if strings.Contains(s.Host, ":") {
		return "[" + s.Host + "]"
	}
	return s.Host
}

// Line is a SIP trunk and who calls over it. It is safe for concurrent use.
type Line struct {
	Trunk    Server
	Proxy    Server // everything is sent there instead, whatever the trunk says; the zero value: to the trunk
	User     string // also the caller that is shown, unless From is given
	Password secret.Value
	From     string
	TLS      *tls.Config // nil: the system's authorities

	Public    netip.Addr // address under which this host is reached from the trunk; the zero value: its own
	LocalPort int        // of signalling over UDP; 0: any
	Media     [2]int     // first and last port of the sound; 0: any

	First time.Duration // longest wait for the trunk's first sign, and for a BYE to be confirmed; 0: 10 s
}

// next returns where requests are sent.
func (l *Line) next() Server {
	if l.Proxy.Host != "" {
		return l.Proxy
	}
	return l.Trunk
}

func (l *Line) first() time.Duration {
	if l.First > 0 {
		return l.First
	}
	return 10 * time.Second
}

// Outcome is how a call ended.
type Outcome string

// The outcomes.
const (
	Answered    Outcome = "answered"
	Busy        Outcome = "busy"
	NoAnswer    Outcome = "no answer"
	Rejected    Outcome = "rejected"
	Refused     Outcome = "refused by the trunk" // log-on, rights, a number it does not know
	Unreachable Outcome = "trunk not reached"
	Failed      Outcome = "failed"
	Cancelled   Outcome = "cancelled" // ctx ended
)

// Result is what became of a call.
type Result struct {
	Outcome Outcome
	Status  int           // of the final answer; 0: none
	Reason  string        // in words, bounded and free of secrets; "": the outcome says it all
	After   time.Duration // until it was answered
	Heard   time.Duration // how much of the sound was played before somebody hung up
	Of      time.Duration // how long the sound is
	HungUp  bool          // by who was called, before the end of the sound
	Sent    int           // RTP packets
	Got     int           // RTP packets from the other side
	Err     error         // the context's, where it ended the call before its time; or why the trunk was not reached
}

// String returns the result as one clause, such as "answered after 6 s, heard 18 of 18 s".
func (r Result) String() string {
	if r.Outcome != Answered {
		if r.Reason == "" {
			return string(r.Outcome)
		}
		return fmt.Sprintf("%s (%s)", r.Outcome, r.Reason)
	}
	text := fmt.Sprintf("answered after %s, heard %.0f of %.0f s", seconds(r.After), r.Heard.Seconds(), r.Of.Seconds())
	if r.HungUp {
		text += ", then hung up"
	}
	if r.Reason != "" {
		text += " (" + r.Reason + ")"
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
