package path

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstPort = 33434                 // of UDP datagrams, as traceroute has it
	pollSlice = 50 * time.Millisecond // after which the context is looked at
	maxError  = 512                   // bytes of an entry of the error queue
)

// kernel sends from this host's own sockets, a new one for every packet.
type kernel struct {
	target netip.Addr
	port   uint16
	how    Method
}

// newSender returns the sender for a target: TCP where there is a port, else ICMP, or UDP where that is not permitted.
func newSender(target netip.Addr, port uint16) (sender, error) {
	k := &kernel{target: target, port: port, how: TCP}
	if port != 0 {
		return k, nil
	}
	k.how = ICMP
	fd, err := k.socket()
	if err != nil {
		k.how = UDP
		return k, nil
	}
	_ = unix.Close(fd)
	return k, nil
}

func (k *kernel) method() Method { return k.how }

// socket returns a new socket that does not block.
func (k *kernel) socket() (int, error) {
	family, kind, protocol := unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP
	if k.target.Is6() {
		family = unix.AF_INET6
	}
	switch k.how {
	case ICMP:
		kind, protocol = unix.SOCK_DGRAM, unix.IPPROTO_ICMP
		if k.target.Is6() {
			protocol = unix.IPPROTO_ICMPV6
		}
	case UDP:
		kind, protocol = unix.SOCK_DGRAM, unix.IPPROTO_UDP
	case TCP:
	}
	return unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
}

// shot is a packet on its way.
type shot struct {
	fd   int
	sent time.Time
	got  answer
}

func (k *kernel) ask(ctx context.Context, ttls []int, wait time.Duration) ([]answer, error) {
	var shots []*shot
	defer func() {
		for _, s := range shots {
			_ = unix.Close(s.fd)
		}
	}()
	for _, ttl := range ttls {
		s, err := k.fire(ttl)
		if s != nil {
			shots = append(shots, s)
		}
		if err != nil {
			return nil, err
		}
	}
	for end := time.Now().Add(wait); ctx.Err() == nil; {
		left := time.Until(end)
		if !k.gather(shots, min(left, pollSlice)) || left <= 0 { // looked at once more in the end: a busy host comes late
			break
		}
	}
	answers := make([]answer, 0, len(shots))
	for _, s := range shots {
		answers = append(answers, s.got)
	}
	return answers, nil
}

// fire sends one packet. An error says that this host lets none go.
func (k *kernel) fire(ttl int) (*shot, error) {
	fd, err := k.socket()
	if err != nil {
		return nil, own(err)
	}
	s := &shot{fd: fd, got: answer{hop: Hop{TTL: ttl}}}
	if err := k.prepare(fd, ttl); err != nil {
		return s, own(err)
	}
	to, err := k.address(ttl)
	if err != nil {
		return s, err
	}
	s.sent = time.Now()
	err = unix.Connect(fd, to)
	if err == nil && k.how != TCP {
		err = unix.Send(fd, k.packet(ttl), 0)
	}
	switch {
	case errors.Is(err, unix.EINPROGRESS):
	case errors.Is(err, unix.ECONNREFUSED): // a target on this very host answers at once
		s.settle(k.target, Refuses, "")
	case err != nil:
		return s, own(err)
	case k.how == TCP:
		s.settle(k.target, Answers, "")
	}
	return s, nil
}

// own is an error of this host's.
func own(err error) error {
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) || errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("walking a path is %w here: the system says: %w", errNotPermitted, err)
	}
	return err
}

// prepare sets the time to live and asks for what routers say.
func (k *kernel) prepare(fd, ttl int) error {
	if k.how == TCP { // closed at once, without a wait on either side
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if k.target.Is6() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
}

func (k *kernel) address(ttl int) (unix.Sockaddr, error) {
	port := int(k.port)
	if k.how == UDP {
		port = firstPort + ttl
	}
	if k.target.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: k.target.As4()}, nil
	}
	to := &unix.SockaddrInet6{Port: port, Addr: k.target.WithZone("").As16()}
	if zone := k.target.Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, fmt.Errorf("the zone of %s is no network interface of this host", k.target)
		}
		to.ZoneId = uint32(link.Index)
	}
	return to, nil
}

// packet returns what is sent: an echo request, whose identifier and checksum the kernel fills in, or some bytes.
func (k *kernel) packet(ttl int) []byte {
	data := make([]byte, 40)
	if k.how == ICMP {
		data[0] = 8
		if k.target.Is6() {
			data[0] = 128
		}
		binary.BigEndian.PutUint16(data[6:], uint16(ttl))
	}
	return data
}

// gather takes in what has come within the time; it reports whether any packet is still on its way.
func (k *kernel) gather(shots []*shot, wait time.Duration) (more bool) {
	var fds []unix.PollFd
	var open []*shot
	for _, s := range shots {
		if s.got.done {
			continue
		}
		events := int16(unix.POLLIN)
		if k.how == TCP {
			events = unix.POLLOUT
		}
		fds, open = append(fds, unix.PollFd{Fd: int32(s.fd), Events: events}), append(open, s)
	}
	if len(fds) == 0 {
		return false
	}
	n, err := unix.Poll(fds, max(1, int(wait.Milliseconds())))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false
	}
	if n > 0 {
		for i, s := range open {
			if fds[i].Revents != 0 {
				k.take(s)
			}
		}
	}
	return true
}

// take reads what a packet met: what a router said, or else the target's own answer.
func (k *kernel) take(s *shot) {
	if from, err, ok := readError(s.fd); ok {
		k.judge(s, from, err)
		return
	}
	if k.how != TCP {
		if _, err := unix.Read(s.fd, make([]byte, maxError)); err == nil {
			s.settle(k.target, Answers, "")
		} else if errors.Is(err, unix.ECONNREFUSED) {
			s.settle(k.target, Answers, "")
		}
		return
	}
	code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch errno := unix.Errno(code); {
	case err != nil:
	case errno == 0:
		s.settle(k.target, Answers, "")
	case errno == unix.ECONNREFUSED:
		s.settle(k.target, Refuses, "")
	case errno == unix.ECONNRESET:
		s.settle(k.target, Answers, "resets the connection")
	default:
		s.got.end, s.got.why, s.got.done = Unreachable, "this host says: "+errno.Error(), true
	}
}

// settle notes who answered.
func (s *shot) settle(from netip.Addr, end End, why string) {
	h := &s.got.hop
	h.Addr, h.RTT = from, max(time.Since(s.sent), time.Microsecond)
	s.got.end, s.got.done = end, true
	switch end {
	case Answers, Refuses:
		h.Note = string(end)
		if why != "" {
			h.Note = why
		}
	case Unreachable:
		h.Note = why
		s.got.why = fmt.Sprintf("%s says: %s", from, why)
	default:
	}
}

// queued is an entry of the error queue (struct sock_extended_err).
type queued struct {
	errno         unix.Errno
	origin        uint8
	kind, code    uint8 // of the ICMP message
	fromThisHost  bool
	fromAnyRouter bool
}

// readError takes one entry off a socket's error queue.
func readError(fd int) (netip.Addr, queued, bool) {
	data, control := make([]byte, maxError), make([]byte, maxError)
	_, n, _, _, err := unix.Recvmsg(fd, data, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return netip.Addr{}, queued{}, false
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return netip.Addr{}, queued{}, false
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if v4 || v6 {
			return parseError(m.Data)
		}
	}
	return netip.Addr{}, queued{}, false
}

// parseError reads a struct sock_extended_err and the address after it, which is that of the host that sent the message.
func parseError(data []byte) (netip.Addr, queued, bool) {
	const size = 16
	if len(data) < size {
		return netip.Addr{}, queued{}, false
	}
	q := queued{errno: unix.Errno(binary.NativeEndian.Uint32(data)), origin: data[4], kind: data[5], code: data[6]}
	q.fromThisHost = q.origin == unix.SO_EE_ORIGIN_LOCAL
	q.fromAnyRouter = q.origin == unix.SO_EE_ORIGIN_ICMP || q.origin == unix.SO_EE_ORIGIN_ICMP6
	from := data[size:]
	var addr netip.Addr
	if len(from) >= 2 {
		switch family := binary.NativeEndian.Uint16(from); {
		case family == unix.AF_INET && len(from) >= 8:
			addr = netip.AddrFrom4([4]byte(from[4:8]))
		case family == unix.AF_INET6 && len(from) >= 24:
			addr = netip.AddrFrom16([16]byte(from[8:24])).Unmap()
		}
	}
	return addr, q, true
}

// judge says what an entry of the error queue means for the walk.
func (k *kernel) judge(s *shot, from netip.Addr, q queued) {
	if !q.fromAnyRouter || !from.IsValid() {
		s.got.end, s.got.why, s.got.done = Unreachable, "this host says: "+q.errno.Error(), true
		return
	}
	v6 := q.origin == unix.SO_EE_ORIGIN_ICMP6
	switch {
	case !v6 && q.kind == 11, v6 && q.kind == 3: // time exceeded: it passed through
		s.settle(from, Cut, "")
	case k.how == UDP && (!v6 && q.kind == 3 && q.code == 3 || v6 && q.kind == 1 && q.code == 4): // no such port: it is there
		s.settle(from, Answers, "")
	case !v6 && q.kind == 3, v6 && q.kind == 1:
		s.settle(from, Unreachable, unreachable(v6, q.code))
	default: // parameter problem, packet too big and the like
		s.settle(from, Unreachable, fmt.Sprintf("icmp type %d code %d", q.kind, q.code))
	}
}

// unreachable returns the words for the code of a "destination unreachable" (RFC 792, RFC 1812, RFC 4443).
func unreachable(v6 bool, code uint8) string {
	words := map[uint8]string{
		0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable", 4: "packet too big",
		5: "source route failed", 6: "network unknown", 7: "host unknown", 9: "network prohibited", 10: "host prohibited", 13: "administratively prohibited",
	}
	if v6 {
		words = map[uint8]string{
			0: "no route", 1: "administratively prohibited", 2: "beyond the scope of the source address", 3: "address unreachable", 4: "port unreachable",
			5: "source address refused", 6: "route rejected",
		}
	}
	if text, ok := words[code]; ok {
		return text
	}
	return fmt.Sprintf("unreachable, code %d", code)
}
