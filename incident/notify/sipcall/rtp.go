package sipcall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firstcall-agent/firstcall/incident/notify/speech"
)

// One packet of sound: 20 ms, one byte a sample (RFC 3551, 4.5.14).
const (
	frame     = 20 * time.Millisecond
	perFrame  = speech.Rate / 50
	rtpHeader = 12
)

// stream is the sound of a call: one socket for both directions (symmetric RTP, RFC 4961).
type stream struct {
	conn *net.UDPConn
	got  atomic.Int64
	open sync.WaitGroup
}

// listen opens a stream on ip, on an even port of the range, where one is given.
func listen(ip netip.Addr, ports [2]int) (*stream, error) {
	var conn *net.UDPConn
	err := errors.New("no port")
	if ports[0] == 0 {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	}
	for port := ports[0] + ports[0]%2; ports[0] > 0 && port <= ports[1] && conn == nil; port += 2 {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port)))) //nolint:gosec // checked by Validate
	}
	if err != nil {
		return nil, fmt.Errorf("no port for the sound is free: %w", err)
	}
	s := &stream{conn: conn}
	s.open.Go(s.receive)
	return s, nil
}

// receive counts the packets that arrive; what they say is not listened to.
func (s *stream) receive() {
	buffer := make([]byte, 2048)
	for {
		n, _, err := s.conn.ReadFromUDPAddrPort(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // such as a port that is closed at the other side
			continue
		case n >= rtpHeader && buffer[0]>>6 == 2:
			s.got.Add(1)
		}
	}
}

func (s *stream) close() {
	_ = s.conn.Close()
	s.open.Wait()
}

func (s *stream) port() int { return s.conn.LocalAddr().(*net.UDPAddr).Port }

// play sends audio in packets of 20 ms, each at its time, until it is over or ctx ends, and returns how many were played.
func (s *stream) play(ctx context.Context, m media, audio []byte) (frames int) {
	if m.payload == pcma {
		audio = speech.ALaw(audio)
	}
	packet := make([]byte, rtpHeader+perFrame)
	sequence, stamp := uint16(rand.Uint32()), rand.Uint32() //nolint:gosec // RFC 3550, 5.1 wants them to differ from call to call
	packet[0] = 2 << 6
	binary.BigEndian.PutUint32(packet[8:], rand.Uint32()) //nolint:gosec // the same
	tick := time.NewTicker(frame)
	defer tick.Stop()
	begin := time.Now()
	for len(audio) > 0 {
		n := copy(packet[rtpHeader:], audio)
		audio = audio[n:]
		packet[1] = m.payload
		if frames == 0 {
			packet[1] |= 0x80 // the marker: a talkspurt begins
		}
		binary.BigEndian.PutUint16(packet[2:], sequence)
		binary.BigEndian.PutUint32(packet[4:], stamp)
		if m.to.IsValid() {
			_, _ = s.conn.WriteToUDPAddrPort(packet[:rtpHeader+n], m.to)
		}
		sequence++
		stamp += perFrame
		frames++
		for time.Since(begin) < time.Duration(frames)*frame { // a late tick is made up for at once
			select {
			case <-ctx.Done():
				return frames
			case <-tick.C:
			}
		}
		if ctx.Err() != nil {
			return frames
		}
	}
	return frames
}

// ParsePorts parses FIRST-LAST.
func ParsePorts(text string) (ports [2]int, err error) {
	if text == "" {
		return ports, nil
	}
	if n, err := fmt.Sscanf(text, "%d-%d", &ports[0], &ports[1]); n != 2 || err != nil || strconv.Itoa(ports[0])+"-"+strconv.Itoa(ports[1]) != text {
		return [2]int{}, errors.New("is no range of ports")
	}
	if ports[0] < 1024 || ports[1] > 65535 || ports[1] < ports[0]+1 {
		return [2]int{}, errors.New("is no range of two ports or more between 1024 and 65535")
	}
	return ports, nil
}
