package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// mode is how a stand-in behaves. The zero value is well.
type mode int32

const (
	well    mode = iota
	failing      // answers with an error
	hanging      // accepts and stays silent
)

// standin is one server of the stand-in solution, on loopback.
type standin struct {
	name string
	addr string
	mode atomic.Int32
}

func (s *standin) set(m mode) { s.mode.Store(int32(m)) }
func (s *standin) now() mode  { return mode(s.mode.Load()) }

// solution is a whole customer's solution: two backend servers, the Web Client, Remote Desktop, and a witness that is not the
// customer's.
type solution struct {
	backend1, backend2, web, rdp, witness *standin
	running                               sync.WaitGroup
}

// wait returns when every stand-in has ended, which they do with their context.
func (s *solution) wait() { s.running.Wait() }

// start starts every stand-in; they end with ctx.
func (s *solution) start(ctx context.Context) error {
	var err error
	page := func(text string) func(context.Context, net.Listener, *standin) {
		return func(ctx context.Context, l net.Listener, s *standin) { servePage(ctx, l, s, text) }
	}
	for _, one := range []struct {
		at    **standin
		name  string
		serve func(context.Context, net.Listener, *standin)
	}{
		{&s.backend1, "backend app01", page("ready\n")},
		{&s.backend2, "backend app02", page("ready\n")},
		{&s.web, "Web Client", page("<!doctype html><title>Perfion Web Client</title>")},
		{&s.rdp, "Remote Desktop", nil},
		{&s.witness, "witness", page("here\n")},
	} {
		if one.serve == nil {
			if one.serve, err = s.rdpServer(); err != nil {
				return err
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("the demo's %s cannot listen on loopback: %w", one.name, err)
		}
		*one.at = &standin{name: one.name, addr: l.Addr().String()}
		context.AfterFunc(ctx, func() { _ = l.Close() })
		s.running.Go(func() { one.serve(ctx, l, *one.at) })
	}
	return nil
}

// servePage answers every request with text, while the stand-in is well.
func servePage(ctx context.Context, l net.Listener, s *standin, text string) {
	srv := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch s.now() {
			case failing:
				http.Error(w, "the application pool is stopped", http.StatusServiceUnavailable)
			case hanging:
				select {
				case <-r.Context().Done():
				case <-ctx.Done():
				}
			default:
				_, _ = io.WriteString(w, text)
			}
		}),
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	_ = srv.Serve(l)
}

// rdpServer returns what answers the first steps of a Remote Desktop connection: the X.224 negotiation ([MS-RDPBCGR] 2.2.1.1
// and 2.2.1.2) and TLS, as far as a probe goes.
func (s *solution) rdpServer() (func(context.Context, net.Listener, *standin), error) {
	cert, err := selfSigned("demo-app01")
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return func(ctx context.Context, l net.Listener, of *standin) {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			if err != nil {
				continue
			}
			s.running.Go(func() { answerRDP(ctx, c, of, conf) })
		}
	}, nil
}

func answerRDP(ctx context.Context, c net.Conn, s *standin, conf *tls.Config) {
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	head := make([]byte, 4) // TPKT: version, reserved, length
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	length := int64(head[2])<<8 | int64(head[3])
	if _, err := io.CopyN(io.Discard, c, max(0, length-4)); err != nil {
		return
	}
	switch s.now() {
	case failing:
		return
	case hanging:
		_, _ = io.Copy(io.Discard, c)
		return
	case well:
	default:
	}
	// Connection Confirm with RDP_NEG_RSP: PROTOCOL_SSL.
	if _, err := c.Write([]byte{3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0}); err != nil {
		return
	}
	t := tls.Server(c, conf)
	if t.HandshakeContext(ctx) == nil {
		_, _ = io.Copy(io.Discard, t)
	}
}

// selfSigned makes a certificate as a Remote Desktop host makes its own.
func selfSigned(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(180 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
