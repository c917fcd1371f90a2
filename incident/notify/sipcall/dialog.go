package sipcall

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// maxSaid bounds what a trunk may say in one call, in bytes.
const maxSaid = 1 << 20

// maxAsked is how many requests are answered in one call over UDP, where a sender may be made up.
const maxAsked = 100

// dialog is one call with all that it needs: a user agent, a socket for the signalling and one for the sound. Every request
// of it goes to the address that the first one went to, whatever the other side says of contacts and routes.
type dialog struct {
	line    *Line
	to      string // address and port of the next hop
	id      string // Call-ID, which nobody else can know
	agent   *sipgo.UserAgent
	client  *sipgo.Client
	socket  *socket // nil unless over UDP
	refused <-chan struct{}
	sound   *stream
	local   sip.Addr
	serving sync.WaitGroup

	invite   *sip.Request
	response *sip.Response // the 2xx
	tx       sip.ClientTransaction
	sequence uint32

	hungUp context.Context // ends when the other side hangs up
	hangUp context.CancelFunc
}

// open sets the call up and connects, where the transport does.
func (l *Line) open(ctx context.Context, number string) (_ *dialog, err error) {
	to, err := l.next().resolve(ctx)
	if err != nil {
		return nil, err
	}
	ip, err := localIP(ctx, to)
	if err != nil {
		return nil, err
	}
	d := &dialog{line: l, to: to.String(), id: rand.Text()}
	d.hungUp, d.hangUp = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.sound, err = listen(ip, l.Media); err != nil {
		return nil, err
	}
	if err := d.start(); err != nil {
		return nil, err
	}
	if l.next().Transport == UDP {
		if err := d.serve(ctx, ip); err != nil {
			return nil, err
		}
	}
	d.compose(number, ip)
	// Before the transaction, so that a connection that does not come about is told from one that is not answered.
	conn, err := d.agent.TransportLayer().ClientRequestConnection(ctx, d.invite)
	if err != nil {
		return nil, err
	}
	if own, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
		d.invite.Contact().Address.Port = int(own.Port())
	}
	return d, nil
}

// localIP returns the address from which the kernel would send to another; nothing is sent.
func localIP(ctx context.Context, to netip.AddrPort) (netip.Addr, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", to.String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = conn.Close() }()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// start makes the user agent. The library answers a request to wherever the request says, by name too: here it cannot.
func (d *dialog) start() error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.line.TLS != nil {
		config = d.line.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = d.line.next().Host
	}
	var said atomic.Int64
	bound := func(_ sip.TransportReadProps, data []byte) ([]byte, error) {
		if said.Add(int64(len(data))) > maxSaid {
			return nil, errors.New("the trunk says too much")
		}
		return data, nil
	}
	only := func(_, address string, _ syscall.RawConn) error {
		if address != d.to {
			return errElsewhere
		}
		return nil
	}
	dialer := func(local net.Addr) net.Dialer {
		return net.Dialer{Timeout: d.line.first(), LocalAddr: local, Control: only}
	}
	tcp := func() *sip.TransportTCP { return &sip.TransportTCP{DialerCreate: dialer, WriteTimeout: d.line.first()} }
	nameless := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errElsewhere }}
	var err error
	d.agent, err = sipgo.NewUA(sipgo.WithUserAgent("firstcall"), sipgo.WithUserAgenTLSConfig(config), sipgo.WithUserAgentDNSResolver(nameless),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerReadFilter(bound),
			sip.WithTransportLayerTransports(sip.TransportsConfig{TCP: tcp(), TLS: &sip.TransportTLS{TransportTCP: tcp()}})),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerTerminateOnConnClose(),
			sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {})))
	if err != nil {
		return err
	}
	d.agent.TransactionLayer().OnRequest(func(request *sip.Request, tx *sip.ServerTx) {
		if response := d.asked(request); response != nil {
			_ = tx.Respond(response)
		}
		tx.TerminateGracefully()
	})
	options := []sipgo.ClientOption{sipgo.WithClientNAT()}
	if d.line.Public.IsValid() {
		options = append(options, sipgo.WithClientHostname(uriIP(d.line.Public)))
	}
	d.client, err = sipgo.NewClient(d.agent, options...)
	return err
}

var errElsewhere = errors.New("the trunk is the only one that is spoken to")

// asked returns what a request of the other side is answered with; nil: nothing.
func (d *dialog) asked(request *sip.Request) *sip.Response {
	status, reason := 405, "Method Not Allowed"
	switch request.Method {
	case sip.ACK:
		return nil
	case sip.OPTIONS, sip.INFO:
		status, reason = 200, "OK"
	case sip.INVITE: // a new session description: the old one goes on
		status, reason = 488, "Not Acceptable Here"
	case sip.BYE:
		status, reason = 481, "Call/Transaction Does Not Exist"
		if id := request.CallID(); id != nil && id.Value() == d.id {
			d.hangUp()
			status, reason = 200, "OK"
		}
	default:
	}
	return sip.NewResponseFromRequest(request, status, reason, nil)
}

// serve opens the socket of the signalling over UDP and returns when the user agent knows it.
func (d *dialog) serve(ctx context.Context, ip netip.Addr) error {
	config := net.ListenConfig{Control: hearRefusals}
	conn, err := config.ListenPacket(ctx, "udp", netip.AddrPortFrom(ip, uint16(d.line.LocalPort)).String()) //nolint:gosec // checked by Validate
	if err != nil {
		return err
	}
	d.socket = &socket{PacketConn: conn, asked: d.asked, ready: make(chan struct{}), refused: make(chan struct{})}
	d.refused = d.socket.refused
	d.serving.Go(func() { _ = d.agent.TransportLayer().ServeUDP(d.socket) })
	<-d.socket.ready
	own := conn.LocalAddr().(*net.UDPAddr)
	d.local = sip.Addr{IP: own.IP, Port: own.Port, Hostname: own.IP.String()}
	return nil
}

// compose writes the INVITE.
func (d *dialog) compose(number string, ip netip.Addr) {
	l := d.line
	host := l.Trunk.uriHost()
	shown := ip
	if l.Public.IsValid() {
		shown = l.Public
	}
	caller := l.From
	if caller == "" {
		caller = l.User
	}
	if caller == "" {
		caller = "firstcall"
	}
	recipient := sip.Uri{Scheme: "sip", User: number, Host: host, Port: l.Trunk.Port}
	r := sip.NewRequest(sip.INVITE, recipient)
	from := &sip.FromHeader{DisplayName: "firstcall", Address: sip.Uri{Scheme: "sip", User: caller, Host: host}, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	contact := &sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: "firstcall", Host: uriIP(shown), UriParams: sip.NewParams()}, Params: sip.NewParams()}
	if transport := l.next().Transport; transport != UDP {
		contact.Address.UriParams.Add("transport", transport)
	}
	r.AppendHeader(from)
	r.AppendHeader(&sip.ToHeader{Address: sip.Uri{Scheme: "sip", User: number, Host: host}, Params: sip.NewParams()})
	r.AppendHeader(contact)
	r.AppendHeader(sip.NewHeader("User-Agent", "firstcall"))
	r.AppendHeader(sip.NewHeader("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO"))
	r.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	r.SetBody(offer(shown, d.sound.port(), session()))
	d.address(r)
	id := sip.CallIDHeader(d.id)
	r.AppendHeader(&id)
	_ = sipgo.ClientRequestBuild(d.client, r) // adds what is missing; it never fails but for want of random numbers
	d.invite = r
}

func uriIP(ip netip.Addr) string {
	if ip.Is6() {
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

// address sends a request where every request goes.
func (d *dialog) address(r *sip.Request) {
	r.SetTransport(sip.NetworkToUpper(d.line.next().Transport))
	r.SetDestination(d.to)
	r.Laddr = d.local
}

// within returns a request of the dialog (RFC 3261, 12.2.1.1).
func (d *dialog) within(method sip.RequestMethod, sequence uint32) *sip.Request {
	target := d.invite.Recipient
	if contact := d.response.Contact(); contact != nil {
		target = contact.Address
	}
	r := sip.NewRequest(method, *target.Clone())
	r.AppendHeader(sip.HeaderClone(d.invite.From()))
	if to := d.response.To(); to != nil {
		r.AppendHeader(sip.HeaderClone(to))
	}
	r.AppendHeader(sip.HeaderClone(d.invite.CallID()))
	r.AppendHeader(&sip.CSeqHeader{SeqNo: sequence, MethodName: method})
	for _, route := range slices.Backward(d.response.GetHeaders("Record-Route")) {
		r.AppendHeader(sip.NewHeader("Route", route.Value()))
	}
	r.AppendHeader(sip.HeaderClone(d.invite.Contact()))
	d.address(r)
	return r
}

// acknowledge sends the ACK for the answer, and again for each time that the answer is repeated.
func (d *dialog) acknowledge(tx sip.ClientTransaction) {
	d.sequence = d.invite.CSeq().SeqNo
	send := func() { _ = d.client.WriteRequest(d.within(sip.ACK, d.invite.CSeq().SeqNo)) }
	tx.OnRetransmission(func(response *sip.Response) {
		if response.IsSuccess() {
			send()
		}
	})
	send()
}

// bye hangs up and waits shortly for the other side to have heard it.
func (d *dialog) bye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	d.sequence++
	request := d.within(sip.BYE, d.sequence)
	tx, err := d.client.TransactionRequest(ctx, request)
	if err != nil {
		return
	}
	defer func() { tx.Terminate() }()
	for asked := false; ; {
		select {
		case response := <-tx.Responses():
			switch {
			case response.IsProvisional():
			case challenged(response) && !asked && d.line.User != "":
				asked = true
				tx.Terminate()
				again, err := d.logOn(ctx, request, response)
				if err != nil {
					return
				}
				tx = again
			default:
				return
			}
		case <-tx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// cancelRequest returns the CANCEL of the INVITE as it was sent last (RFC 3261, 9.1).
func (d *dialog) cancelRequest() *sip.Request {
	r := sip.NewRequest(sip.CANCEL, *d.invite.Recipient.Clone())
	r.AppendHeader(sip.HeaderClone(d.invite.Via()))
	r.AppendHeader(sip.HeaderClone(d.invite.From()))
	r.AppendHeader(sip.HeaderClone(d.invite.To()))
	r.AppendHeader(sip.HeaderClone(d.invite.CallID()))
	r.AppendHeader(&sip.CSeqHeader{SeqNo: d.invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	d.address(r)
	return r
}

// close ends everything of the call.
func (d *dialog) close() {
	d.hangUp()
	if d.tx != nil {
		d.tx.Terminate()
	}
	if d.agent != nil {
		_ = d.agent.Close()
	}
	if d.socket != nil {
		_ = d.socket.Close()
	}
	if d.sound != nil {
		d.sound.close()
	}
	d.serving.Wait()
}

// session returns a number for a session description (RFC 8866, 5.2).
func session() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// socket is the signalling's over UDP. It says when it is read from first, and when nobody listens at the other side. Requests
// it answers itself, to where they came from: the library would open a socket of its own for one that comes while a call ends.
type socket struct {
	net.PacketConn
	asked          func(*sip.Request) *sip.Response
	begin          sync.Once
	once           sync.Once
	ready, refused chan struct{}
	answered       int
}

// ReadFrom implements net.PacketConn. A refusal is no end of the socket.
func (s *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	s.begin.Do(func() { close(s.ready) })
	for {
		n, from, err := s.PacketConn.ReadFrom(p)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			s.once.Do(func() { close(s.refused) })
		case err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF):
			time.Sleep(time.Millisecond) // such as a host without a route, said again with each packet
		case err == nil && !bytes.HasPrefix(p[:n], []byte("SIP/2.0 ")):
			s.answer(p[:n], from)
		default:
			return n, from, err
		}
	}
}

// answer answers a datagram that is a request; it is nothing to what is none.
func (s *socket) answer(datagram []byte, from net.Addr) {
	message, err := sip.ParseMessage(bytes.Clone(datagram))
	request, ok := message.(*sip.Request)
	if err != nil || !ok || request.Via() == nil || request.CSeq() == nil || s.answered >= maxAsked {
		return
	}
	s.answered++
	request.SetSource(from.String())
	if response := s.asked(request); response != nil {
		_, _ = s.WriteTo([]byte(response.String()), from)
	}
}
