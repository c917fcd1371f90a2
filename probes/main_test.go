package probes_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/firstcall-agent/firstcall/probes"
)

func TestMain(m *testing.M) {
	if scheme := os.Getenv(serverEnv); scheme != "" {
		serve(scheme)
		return
	}
	code := m.Run()
	probes.CloseBrowsers()
	os.Exit(code)
}

// serverEnv makes the test binary a server, see TestMain.
const serverEnv = "FIRSTCALL_TEST_SERVER"

const benchBody = 2 << 10

// serve answers every request with a page, over TLS when scheme is https, until standard input ends.
func serve(scheme string) {
	page := "<html><title>Perfion</title>" + strings.Repeat("x", benchBody) + "</html>"
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page)
	})
	server := httptest.NewUnstartedServer(handler)
	if scheme == "https" {
		server.StartTLS()
	} else {
		server.Start()
	}
	fmt.Println(server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

var quiet = log.New(io.Discard, "", 0)

func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
