//go:build servers && linux

package store

import (
	"context"
	"database/sql"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes/probetest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// mute is a way to a server through which, once it is silent, nothing comes any more, as through a cable that was pulled.
type mute struct {
	address string
	silent  atomic.Bool
	held    chan struct{} // a token for what did not come through, where there is room
}

func startMute(t *testing.T, target string) *mute {
	t.Helper()
	m := &mute{held: make(chan struct{}, 1)}
	m.address = probetest.Listen(t, func(client net.Conn) {
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		go m.pass(client, server)
		m.pass(server, client)
	})
	return m
}

func (m *mute) pass(to io.WriteCloser, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		switch {
		case m.silent.Load() && n > 0:
			select {
			case m.held <- struct{}{}:
			default:
			}
		case n > 0:
			_, _ = to.Write(buffer[:n])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// silentStop states that an agent that stops while its server says nothing waits for it for seconds and no longer.
func silentStop(t *testing.T, server *servers.Postgres, database string) {
	stopInSilence(t, server, database, false)
}

// silentWithin states the same where the silence began in the middle of a transaction.
func silentWithin(t *testing.T, server *servers.Postgres, database string) {
	stopInSilence(t, server, database, true)
}

func stopInSilence(t *testing.T, server *servers.Postgres, database string, within bool) {
	t.Helper()
	m := startMute(t, server.Address)
	s := openURL(t, strings.Replace(aTenant(database), server.Address, m.address, 1))
	if err := s.Commit(t.Context(), step(1)); err != nil {
		t.Fatal(err)
	}
	const writes = 8 // one under way, and those that wait for it
	result, inside, silent := make(chan error, writes), make(chan struct{}), make(chan struct{})
	first := func(tx *sql.Tx) error {
		close(inside)
		<-silent
		_, err := run(context.Background(), tx, "SELECT 1")
		return err
	}
	waiting := writes
	if within {
		waiting--
		go func() { result <- s.write(context.Background(), relaxed, "write", first) }()
		<-inside
	}
	m.silent.Store(true)
	close(silent)
	for n := range waiting {
		go func() { result <- s.Commit(context.Background(), step(2+n)) }()
	}
	<-m.held
	began := time.Now()
	s.Hurry()
	for n := range writes {
		if err := <-result; err == nil {
			t.Error("a write that nobody heard of is stored")
		}
		if took := time.Since(began); took > hurryWithin+time.Duration(n)*hurryLeast+2*time.Second {
			t.Errorf("writes, %d before it, and it took %s", n, took)
		}
	}
	began = time.Now()
	_ = s.Close() // it says what could not be written
	if took := time.Since(began); took > 2*resignWithin+3*time.Second {
		t.Errorf("closing took %s", took)
	}
}

// TestPostgresSwallowed states that a write, and the end of one that waits for an answer, fails within seconds where the network swallows every packet,
// so that the store goes on soon after it is back.
func TestPostgresSwallowed(t *testing.T) {
	server := servers.StartPostgres(t)
	ns := servers.StartNetNS(t)
	listener, err := ns.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go forwardAll(listener, server.Address)
	p, err := parsePostgres(strings.Replace(aTenant(server.Database(t, "firstcall")), server.Address, listener.Addr().String(), 1))
	if err != nil {
		t.Fatal(err)
	}
	dial := p.config.DialFunc
	p.config.DialFunc = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = ns.Do(func() error {
			conn, err = dial(ctx, network, address)
			return err
		})
		return conn, err
	}
	s, err := openPostgres(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.AppendResults(t.Context(), httpResults(0, 3, at)); err != nil {
		t.Fatal(err)
	}
	inside, swallowed := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	began := time.Now()
	go func() {
		result <- s.write(context.Background(), relaxed, "write", func(tx *sql.Tx) error {
			close(inside)
			<-swallowed
			_, err := tx.Exec("SELECT 1")
			return err
		})
	}()
	<-inside
	ns.Drop()
	close(swallowed)
	if err, took := <-result, time.Since(began); err == nil || took > 3*silentFor {
		t.Errorf("after %s: %v", took, err)
	} else {
		t.Logf("after %s: %v", took, err)
	}
	ns.Restore()
	began = time.Now()
	insist(t.Context(), t, func() error { return s.AppendResults(t.Context(), httpResults(0, 3, at)) })
	t.Logf("it goes on after %s", time.Since(began))
}

// forwardAll passes on every connection.
func forwardAll(l net.Listener, target string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.Close()
		}
		go pass(server, client)
		go pass(client, server)
	}
}
