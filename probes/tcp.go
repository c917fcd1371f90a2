package probes

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/firstcall-agent/firstcall/config/field"
)

// maxExpect bounds what the tcp kind reads while it waits for the expected text.
const maxExpect = 64 << 10

// TCP connects and, where configured, has a short exchange of text.
type TCP struct {
	Address string `yaml:"address" required:"true" doc:"Host and port, host:port."`
	Send    string `yaml:"send" doc:"Text that is sent once connected; it goes to the wire as it stands."`
	Expect  string `yaml:"expect" doc:"Text that the target must send, anywhere in its first 64 KiB; without it an open port is enough."`
}

func init() {
	Register(Kind{
		Name:   "tcp",
		Doc:    "Connects to a TCP port; optionally sends a text and expects one. A service that accepts and hangs is seen only with expect.",
		New:    func() Probe { return new(TCP) },
		Phases: []string{PhaseDNS, PhaseConnect, PhaseFirstByte},
	})
}

// Validate checks the address and the lengths of the texts.
func (p *TCP) Validate() field.Errors {
	var faults field.Errors
	checkAddress(&faults, "address", p.Address)
	if len(p.Expect) > maxExpect {
		faults.Add("expect", "is longer than %d bytes, the most that is read", maxExpect)
	}
	return faults
}

// checkAddress adds a fault unless address is host:port; an empty one is left to the required tag.
func checkAddress(faults *field.Errors, path, address string) {
	if address == "" {
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		faults.AddHint(path, "write host:port, an IPv6 address in brackets", "is not host:port")
		return
	}
	if host == "" {
		faults.Add(path, "has no host")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		faults.Add(path, "has no port between 1 and 65535")
	}
}

// Probe connects once.
func (p *TCP) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	conn, err := rec.Dial(ctx, "tcp", p.Address)
	if err != nil {
		return rec.Fail(ctx, err, Protocol)
	}
	defer func() { _ = conn.Close() }()
	rec.Fact("address", conn.RemoteAddr().String())
	if p.Send == "" && p.Expect == "" {
		return rec.Up()
	}
	defer Bind(ctx, conn)()
	rec.Begin(PhaseFirstByte)
	if _, err := io.WriteString(conn, p.Send); err != nil {
		return rec.Fail(ctx, err, Protocol)
	}
	if p.Expect == "" {
		return rec.Up()
	}
	return p.await(ctx, rec, conn)
}

// await reads until the expected text has come, the peer stops, or maxExpect bytes were read.
func (p *TCP) await(ctx context.Context, rec *Recorder, conn net.Conn) Result {
	var got []byte
	piece := make([]byte, 4096)
	for len(got) < maxExpect {
		n, err := conn.Read(piece[:min(len(piece), maxExpect-len(got))])
		from := max(0, len(got)-len(p.Expect))
		got = append(got, piece[:n]...)
		if bytes.Contains(got[from:], []byte(p.Expect)) {
			return rec.Up()
		}
		if err == nil {
			continue
		}
		rec.Fact("received", string(got[:min(len(got), MaxFact)]))
		if errors.Is(err, io.EOF) && len(got) > 0 {
			return rec.Finish(Down, Content, "the peer closed the connection after %d bytes without the expected text", len(got))
		}
		return rec.Fail(ctx, err, Protocol)
	}
	rec.Fact("received", string(got[:MaxFact]))
	return rec.Finish(Down, Content, "the expected text is not in the first %d bytes of the answer", maxExpect)
}
