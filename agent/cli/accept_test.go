package cli

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/agent/web/webtest"
	"github.com/firstcall-agent/firstcall/incident"
)

func startScene(ts *testscript.TestScript, _ bool, args []string) {
	f := webtest.Scene(args[0])
	delete(f.Newest, "web-client/tls") // too little is measured of it
	srv := httptest.NewServer(web.New(web.Options{Level: webtest.Level, Agent: f, Store: f, Now: func() time.Time { return f.Now }}))
	ts.Defer(srv.Close)
	ts.Setenv("FIRSTCALL_URL", srv.URL)
}

func writeRecord(ts *testscript.TestScript, _ bool, args []string) {
	var b strings.Builder
	b.WriteString("time,latency_ms\n")
	for at := time.Now().Add(-20 * 24 * time.Hour); at.Before(time.Now()); at = at.Add(5 * time.Minute) {
		fmt.Fprintf(&b, "%s,%.2f\n", at.UTC().Format(time.RFC3339), 5+float64(at.Unix()*7919%40)/100)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

func TestPrintedEndOfAnAcceptedLatency(t *testing.T) {
	for by, want := range map[string]string{"mette": "accepted by mette", "": "since it has lasted"} {
		i := incident.Incident{Ended: webtest.Now, Closed: webtest.Now, Resolution: incident.Accepted, AcceptedBy: by}
		var out strings.Builder
		if err := printStory(&out, incident.Case{}, web.Story{Incident: i}); err != nil {
			t.Fatal(err)
		}
		if want = "taken as normal  2026-11-23 09:48:20 UTC, " + want; !strings.Contains(out.String(), want) {
			t.Errorf("want %q:\n%s", want, out.String())
		}
	}
}
