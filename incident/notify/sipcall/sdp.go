package sipcall

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The payload types of RFC 3551 that are spoken, and the one of telephone-event (RFC 4733) that is offered.
const (
	pcmu  = 0
	pcma  = 8
	event = 101
)

// offer returns the session description that is offered (RFC 3264, RFC 8866).
func offer(ip netip.Addr, port int, id uint64) []byte {
	family := "IP4"
	if ip.Is6() && !ip.Is4In6() {
		family = "IP6"
	}
	return fmt.Appendf(nil, "v=0\r\no=firstcall %d 1 IN %s %s\r\ns=firstcall\r\nc=IN %s %s\r\nt=0 0\r\n"+
		"m=audio %d RTP/AVP %d %d %d\r\na=rtpmap:%d PCMU/8000\r\na=rtpmap:%d PCMA/8000\r\n"+
		"a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\na=ptime:20\r\na=sendrecv\r\n",
		id&math.MaxInt64, family, ip, family, ip, port, pcmu, pcma, event, pcmu, pcma, event, event)
}

// media is where the other side wants its sound, and how.
type media struct {
	to      netip.AddrPort // invalid: it wants none now (on hold)
	payload uint8
}

// answer reads the other side's session description: the first audio stream, its address, and the first of its payload types
// that is spoken here.
func answer(body []byte) (media, error) {
	var session, stream, port string
	var formats []string
	found := false
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		switch kind, value, _ := strings.Cut(line, "="); kind {
		case "m":
			fields := strings.Fields(value)
			if found || len(fields) < 4 || fields[0] != "audio" || !strings.HasPrefix(fields[2], "RTP/AVP") {
				if found {
					return settle(session, stream, port, formats)
				}
				continue
			}
			found, port, formats = true, fields[1], fields[3:]
		case "c":
			fields := strings.Fields(value)
			if len(fields) < 3 || fields[0] != "IN" {
				continue
			}
			if found {
				stream = fields[2]
			} else {
				session = fields[2]
			}
		}
	}
	if !found {
		return media{}, errors.New("its answer takes no audio")
	}
	return settle(session, stream, port, formats)
}

func settle(session, stream, port string, formats []string) (media, error) {
	at := slices.IndexFunc(formats, func(f string) bool { return f == strconv.Itoa(pcmu) || f == strconv.Itoa(pcma) })
	if at < 0 {
		return media{}, errors.New("its answer takes neither PCMU nor PCMA")
	}
	m := media{payload: pcmu}
	if formats[at] == strconv.Itoa(pcma) {
		m.payload = pcma
	}
	if stream == "" {
		stream = session
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return media{}, errors.New("its answer takes no audio")
	}
	ip, err := netip.ParseAddr(stream)
	if err != nil || ip.IsMulticast() {
		return media{}, errors.New("its answer has no address for the sound")
	}
	if !ip.IsUnspecified() {
		m.to = netip.AddrPortFrom(ip.Unmap(), uint16(number))
	}
	return m, nil
}
