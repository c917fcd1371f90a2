package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// Bounds on what a client may hold of the server.
const (
	requestTimeout = 5 * time.Second // for the store, in one request
	headerTimeout  = 10 * time.Second
	readTimeout    = 30 * time.Second
	writeTimeout   = 60 * time.Second // a reload answers within it
	idleTimeout    = 2 * time.Minute
	graceTimeout   = 5 * time.Second // for running requests at shutdown
	maxHeader      = 32 << 10
)

// Server is a bound address that waits to serve.
type Server struct {
	listener net.Listener
	config   string
}

// Bind checks the web configuration file (TLS and basic authentication in the format of Prometheus' exporter-toolkit; "" for
// none) and takes the TCP address listen; port 0 takes any free one, which Addr then tells.
func Bind(listen, webConfigFile string) (*Server, error) {
	if err := toolkit.Validate(webConfigFile); err != nil {
		return nil, fmt.Errorf("web configuration file %s: %w", webConfigFile, err)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok { // it repeats the address
			err = op.Err
		}
		return nil, fmt.Errorf("the status page cannot listen on %s: %w: choose another address (web.listen, --web.listen-address), or end what has this one, such as another agent", listen, err)
	}
	return &Server{listener: l, config: webConfigFile}, nil
}

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the address up; it is for a Server that never ran.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves h until ctx is done, lets running requests end for 5 s, and returns nil; any other end is an error. It is called
// once, and closes the address.
func (s *Server) Run(ctx context.Context, h http.Handler, log *slog.Logger) error {
	ending, end := context.WithCancel(context.Background())
	defer end()
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), endingKey{}, ending)
		},
	}
	server.RegisterOnShutdown(end) // streams end at once, and do not use up the time for running requests
	ended := make(chan error, 1)
	go func() {
		addresses, socket := []string{s.listener.Addr().String()}, false
		flags := &toolkit.FlagConfig{WebListenAddresses: &addresses, WebSystemdSocket: &socket, WebConfigFile: &s.config}
		ended <- toolkit.Serve(s.listener, server, flags, slog.New(warnings{log.Handler()}))
	}()
	select {
	case err := <-ended:
		_ = s.listener.Close() // the toolkit leaves it open where the configuration is at fault
		return fmt.Errorf("status page on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close()
	}
	_ = s.listener.Close() // where Serve had not begun
	if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("status page on %s: %w", s.Addr(), err)
	}
	return nil
}

// warnings leaves out what the toolkit says of an address that serves: whoever bound it says so.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// Serve is Bind and Run in one.
func Serve(ctx context.Context, listen, webConfigFile string, h http.Handler, log *slog.Logger) error {
	s, err := Bind(listen, webConfigFile)
	if err != nil {
		return err
	}
	return s.Run(ctx, h, log)
}
