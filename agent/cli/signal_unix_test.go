//go:build unix

package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// TestInterrupted states that a command that waits for the agent ends at once with Ctrl-C.
func TestInterrupted(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	agent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-over
	}))
	defer agent.Close()
	defer close(over)
	var stdout, stderr strings.Builder
	code := make(chan int, 1)
	go func() {
		code <- Main([]string{"cases", "list", "--url", agent.URL}, strings.NewReader(""), &stdout, &stderr)
	}()
	<-asked
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exitInterrupted || stderr.String() != "firstcall: interrupted\n" || stdout.String() != "" {
		t.Errorf("exit code %d, %q, %q, want 130 and a word", got, stderr.String(), stdout.String())
	}
}

// TestInterruptedReplay states the same of a replay that waits for a Prometheus.
func TestInterruptedReplay(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	prometheus := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-over
	}))
	defer prometheus.Close()
	defer close(over)
	t.Chdir(t.TempDir())
	var stdout, stderr strings.Builder
	code := make(chan int, 1)
	go func() {
		code <- Main([]string{"replay", "--prometheus.url", prometheus.URL, "--prometheus.query", "up"}, strings.NewReader(""), &stdout, &stderr)
	}()
	<-asked
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exitInterrupted || stderr.String() != "firstcall: interrupted\n" || stdout.String() != "" {
		t.Errorf("exit code %d, %q, %q, want 130 and a word", got, stderr.String(), stdout.String())
	}
}
