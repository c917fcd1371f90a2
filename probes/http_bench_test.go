//go:build unix

package probes_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// The benchmarks measure the CPU time of the probing process alone (metric cpu-ns/op), against a server in a process of its own:
// a server in the same process would dilute the ratio. Compare with
//
//	go test -run '^$' -bench 'HTTPProbe|Bare' -benchtime 5000x -count 6 ./probes

// startServer runs serve in a process of its own and returns its address.
func startServer(b *testing.B, scheme string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"="+scheme)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(url)
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func measure(b *testing.B, one func(ctx context.Context)) {
	b.Helper()
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		one(ctx)
		cancel()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

func benchProbe(b *testing.B, scheme string, configure func(*probes.HTTP)) {
	b.Helper()
	p := &probes.HTTP{URL: startServer(b, scheme) + "/", Redirects: 10, MaxBody: 1 << 20, InsecureSkipVerify: scheme == "https", Version: "http1"}
	configure(p)
	if faults := p.Validate(); len(faults) > 0 {
		b.Fatal(faults)
	}
	measure(b, func(ctx context.Context) {
		if r := p.Probe(ctx); r.Outcome != probes.Up {
			b.Fatal(r.Detail)
		}
	})
}

func BenchmarkHTTPProbe(b *testing.B) { benchProbe(b, "http", func(*probes.HTTP) {}) }

func BenchmarkHTTPProbeContent(b *testing.B) {
	benchProbe(b, "http", func(p *probes.HTTP) {
		p.Expect = probes.HTTPExpect{Status: []int{200}, Body: "Perfion", BodyRegexp: "<title>Per.ion"}
	})
}

func BenchmarkHTTPSProbe(b *testing.B) { benchProbe(b, "https", func(*probes.HTTP) {}) }

func benchBare(b *testing.B, scheme string) {
	b.Helper()
	url := startServer(b, scheme) + "/"
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives, transport.ForceAttemptHTTP2 = true, false
	transport.TLSClientConfig = insecure()
	client := &http.Client{Transport: transport}
	measure(b, func(ctx context.Context) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			b.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			b.Fatal(response.Status)
		}
	})
}

func BenchmarkBare(b *testing.B) { benchBare(b, "http") }

func BenchmarkBareTLS(b *testing.B) { benchBare(b, "https") }
