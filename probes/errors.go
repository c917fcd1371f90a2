package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// errnoClass is what an operating system's error number says about who is at fault.
type errnoClass uint8

const (
	errnoOther       errnoClass = iota
	errnoRefused                // the target's host answers: nobody listens
	errnoReset                  // the target's host ended the connection
	errnoTimeout                // the kernel gave up waiting
	errnoUnreachable            // some router, or the own routing table, says that there is no way
	errnoRoute                  // the own routing table or firewall forbids it
	errnoResources              // the own host has no descriptor, port or memory left
)

// localError marks what went wrong on the agent's own host, before or beside the target.
type localError struct{ err error }

func (e localError) Error() string { return e.err.Error() }
func (e localError) Unwrap() error { return e.err }

// Classify says what err, met in the named phase ("" when none had begun), means for a result: its outcome, its reason and one
// lower-case sentence. It separates the target's failures (Down) from those of the agent's own host (Unknown, Local):
//
//   - ctx cancelled (shutdown, reload): Unknown, Local
//   - ctx's deadline, a kernel timeout: Down, Timeout; while the system's resolver was asked: Unknown, Local
//   - connection refused: Down, Refused; connection reset, broken or ended early: Down, Reset
//   - unreachable host or network: Unknown, Local when a route look-up on this host fails as well, else Down, Unreachable
//   - no permission, no route, no descriptor, port or memory left: Unknown, Local
//   - no such name, SERVFAIL: Down, DNS; a system resolver that refuses or cannot be asked: Unknown, Local
//   - a certificate that does not verify: Down, BadCertificate; any other TLS fault: Down, TLS
//   - anything else: Down with the fallback reason
//
// The sentence holds no address with credentials, but is not escaped: Recorder does that.
func Classify(ctx context.Context, phase string, err error, fallback Reason) (Outcome, Reason, string) {
	var local localError
	var dnsErr *net.DNSError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Unknown, Local, "the run was cancelled before the target had answered"
	case errors.As(err, &local):
		return Unknown, Local, clause(local.err)
	case errors.As(err, &dnsErr):
		return classifyDNS(dnsErr)
	case ctx.Err() != nil || isTimeout(err):
		if phase == PhaseDNS {
			return Unknown, Local, "the system's resolver did not answer in time"
		}
		return Down, Timeout, timeoutDetail(phase)
	}
	if outcome, reason, detail := classifyErrno(err); reason != None {
		return outcome, reason, detail + inPhase(phase)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return Down, Reset, "the peer closed the connection before it had answered" + inPhase(phase)
	}
	if roots, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return Unknown, Local, "this host has no trusted authorities: install its CA certificates (" + clause(roots) + ")"
	}
	if reason, detail := classifyTLS(err); reason != None {
		return Down, reason, detail
	}
	return Down, fallback, string(fallback) + " failure" + inPhase(phase) + ": " + clause(err)
}

// clause returns the text of err without an address' credentials and without the wrapping of net and net/url.
func clause(err error) string {
	text := secret.RedactError(err).Error()
	if text == "" {
		return "no reason given"
	}
	if len(text) > 1 && unicode.IsUpper(rune(text[1])) {
		return text // an abbreviation
	}
	return strings.ToLower(text[:1]) + text[1:]
}

func inPhase(phase string) string {
	if phase == "" || phase == PhaseConnect {
		return ""
	}
	return " (" + strings.ReplaceAll(phase, "_", " ") + ")"
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func timeoutDetail(phase string) string {
	switch phase {
	case PhaseConnect:
		return "no connection"
	case PhaseTLS:
		return "connected, but the tls handshake did not finish"
	case PhaseX224:
		return "connected, but no answer to the x.224 connection request"
	case PhaseFirstByte:
		return "connected, but no answer"
	case PhaseTransfer:
		return "the answer began, but did not finish"
	}
	return "no answer"
}

// classifyDNS judges an answer of the system's resolver. Go tells SERVFAIL ("server misbehaving", temporary) from a refusal
// (the same, not temporary); socket errors towards the resolver are temporary too, with another text.
func classifyDNS(err *net.DNSError) (Outcome, Reason, string) {
	switch {
	case err.IsNotFound:
		return Down, DNS, fmt.Sprintf("the name %s does not exist or has no address", err.Name)
	case err.IsTimeout:
		return Unknown, Local, "the system's resolver did not answer in time for " + err.Name
	case err.Err == "server misbehaving" && err.IsTemporary:
		return Down, DNS, "the resolver answers SERVFAIL for " + err.Name
	case err.Err == "server misbehaving":
		return Unknown, Local, "the system's resolver refuses to answer for " + err.Name
	}
	return Unknown, Local, fmt.Sprintf("the system's resolver cannot be asked for %s: %s", err.Name, err.Err)
}

// classifyErrno judges the operating system's error in err; the reason is None when there is none that it knows.
func classifyErrno(err error) (Outcome, Reason, string) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return Unknown, None, ""
	}
	to := remote(err)
	switch classOf(errno) {
	case errnoRefused:
		return Down, Refused, to + " refuses the connection"
	case errnoReset:
		return Down, Reset, "the peer reset the connection"
	case errnoTimeout:
		return Down, Timeout, "no answer from " + to
	case errnoUnreachable:
		if !routed(err) {
			return Unknown, Local, "this host has no route to " + to
		}
		return Down, Unreachable, "the network says that " + to + " cannot be reached"
	case errnoRoute:
		return Unknown, Local, fmt.Sprintf("this host does not let the connection to %s out (%s): check its routes and firewall", to, errno)
	case errnoResources:
		return Unknown, Local, fmt.Sprintf("this host has no descriptor, port or memory left for a connection (%s): raise its limits", errno)
	case errnoOther:
	}
	return Unknown, None, ""
}

// remote returns the address that a network error is about.
func remote(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return "the target"
	}
	if host, port, err := net.SplitHostPort(op.Addr.String()); err == nil && port == "0" {
		return host // of a protocol without ports
	}
	return op.Addr.String()
}

// routed reports whether this host has a route to the address that err is about. Connecting a datagram socket makes the kernel
// look the route up and sends nothing, so a failure here is this host's own, and success means that the network said it.
func routed(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return true
	}
	host, _, splitErr := net.SplitHostPort(op.Addr.String())
	if splitErr != nil {
		host = op.Addr.String()
	}
	conn, err := net.DialTimeout("udp", net.JoinHostPort(host, "9"), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// classifyTLS judges a failed handshake; the reason is None when err is none.
func classifyTLS(err error) (Reason, string) {
	if detail := certificateFault(err); detail != "" {
		return BadCertificate, detail
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return TLS, "the peer does not speak tls on this port"
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return TLS, "tls handshake failed: " + alert.Error()
	}
	if text := err.Error(); strings.Contains(text, "tls: ") {
		return TLS, "tls handshake failed: " + text[strings.LastIndex(text, "tls: ")+len("tls: "):]
	}
	return None, ""
}

// certificateFault says what is wrong with a certificate; "" when err is not about one.
func certificateFault(err error) string {
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired && e.Cert != nil {
			return expiredDetail(e.Cert, time.Now())
		}
		return "certificate is invalid: " + trimX509(e)
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("certificate is for %s, not for %s", namesOf(e.Certificate), e.Host)
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		issuer := ""
		if e.Cert != nil {
			issuer = " (" + Printable(e.Cert.Issuer.String(), MaxName) + ")"
		}
		return "certificate is signed by an authority that is not trusted" + issuer + ": if it is the customer's own, set ca_file"
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate is invalid: " + trimX509(e.Err)
	}
	return ""
}

func trimX509(err error) string { return strings.TrimPrefix(err.Error(), "x509: ") }

func expiredDetail(cert *x509.Certificate, now time.Time) string {
	who := "certificate"
	if cert.IsCA {
		who = "certificate of the authority " + Printable(cert.Subject.CommonName, 80)
	}
	if now.Before(cert.NotBefore) {
		return fmt.Sprintf("%s is not valid before %s", who, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s expired %s ago, on %s", who, days(now.Sub(cert.NotAfter)), cert.NotAfter.UTC().Format(time.RFC3339))
}

// days prints a time of days, hours or less in the unit that a person would use.
func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); {
	case n > 1:
		return fmt.Sprintf("%d days", n)
	case n == 1:
		return "1 day"
	case d >= time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	}
	return fmt.Sprintf("%d min", int(d/time.Minute))
}

// namesOf lists what a certificate is for, at most three names.
func namesOf(cert *x509.Certificate) string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name (subject " + Printable(cert.Subject.String(), 80) + ")"
	}
	if len(names) > 3 {
		return Printable(strings.Join(names[:3], ", "), MaxName) + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return Printable(strings.Join(names, ", "), MaxName)
}
