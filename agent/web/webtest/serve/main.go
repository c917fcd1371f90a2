// Command serve shows the pages of package web in every made-up state, each at an address of its own below /scene/, and the walls of
// made-up fleets below /wall/.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9796", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	server, err := web.Bind(listen, "")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for _, name := range webtest.Scenes {
		f := webtest.Scene(name)
		h := web.New(web.Options{Agent: f, Store: f, Tenant: "ACME A/S", Zone: webtest.Zone, Version: "v0.1.0", Now: func() time.Time { return f.Now }, Log: log, Level: webtest.Level})
		prefix := "/scene/" + name
		mux.Handle(prefix+"/", http.StripPrefix(prefix, h))
		fmt.Printf("http://%s%s/\n", server.Addr(), prefix)
	}
	for _, name := range webtest.Walls {
		h := web.NewWall(web.Options{Tenant: "All customers", Zone: webtest.Zone, Version: "v0.1.0", Now: func() time.Time { return webtest.Now }, Log: log}, webtest.NewFleet(name, webtest.Now))
		prefix := "/wall/" + name
		mux.Handle(prefix+"/", http.StripPrefix(prefix, h))
		fmt.Printf("http://%s%s/\n", server.Addr(), prefix)
	}
	return server.Run(ctx, mux, log)
}
