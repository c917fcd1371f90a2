//go:build linux

// Command bench measures the whole agent, as a process, against a bare net/http prober that runs at the same time on the same
// machine: CPU per probe, resident memory, start, jitter, size. Figures are compared as ratios inside one run.
//
//	go run ./agent/bench            everything, about five minutes
//	go run ./agent/bench -window 20s -sizes 10,1000
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// interval of every probe in the bench.
const interval = 10 * time.Second

func main() {
	role := flag.String("role", "", "used by the bench itself: target, floor")
	window := flag.Duration("window", 60*time.Second, "how long each size is measured")
	sizes := flag.String("sizes", "10,1000,5000", "numbers of probes")
	n := flag.Int("n", 0, "used by the bench itself: number of probes")
	base := flag.String("base", "", "used by the bench itself: address of the target")
	flag.Parse()
	log.SetFlags(0)
	switch *role {
	case "target":
		target()
	case "floor":
		floor(*base, *n)
	default:
		if err := run(*window, strings.Split(*sizes, ",")); err != nil {
			log.Fatal(err)
		}
	}
}

// run builds the agent as it is shipped and measures every size.
func run(window time.Duration, sizes []string) error {
	dir, err := os.MkdirTemp("", "firstcall-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "firstcall")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "github.com/firstcall-agent/firstcall")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %s/%s, %d cores, load %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), strings.TrimSpace(string(load)))
	fmt.Printf("stripped binary: %.1f MB\n\n", float64(info.Size())/1e6)
	fmt.Println("| probes | us CPU/probe | bare | ratio | RSS MB | peak MB | first result s | all run once s | jitter p50 ms | p99 ms | bare p99 ms |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, text := range sizes {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		if err := measure(binary, filepath.Join(dir, text), n, window); err != nil {
			return err
		}
	}
	return nil
}

// measure runs agent and bare prober side by side, each against a target of its own.
func measure(binary, dir string, n int, window time.Duration) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ours, err := startTarget()
	if err != nil {
		return err
	}
	defer ours.end()
	theirs, err := startTarget()
	if err != nil {
		return err
	}
	defer theirs.end()
	file := filepath.Join(dir, "firstcall.yaml")
	if err := os.WriteFile(file, configuration(ours.base, n), 0o600); err != nil {
		return err
	}
	started := time.Now()
	agent := &child{cmd: exec.Command(binary, "run", "--config.file", file, "--log.level", "warn")}
	agent.cmd.Stderr = os.Stderr
	if err := agent.start(); err != nil {
		return err
	}
	defer agent.end()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bare := &child{cmd: exec.Command(self, "-role", "floor", "-n", strconv.Itoa(n), "-base", theirs.base)}
	if err := bare.start(); err != nil {
		return err
	}
	defer bare.end()
	time.Sleep(2*interval + time.Second) // until every probe ran twice
	agentCPU, bareCPU := agent.cpu(), bare.cpu()
	agentRuns, bareRuns := ours.stats(started, n+1).Requests, theirs.stats(started, n).Requests
	time.Sleep(window)
	agentCPU, bareCPU = agent.cpu()-agentCPU, bare.cpu()-bareCPU
	a, b := ours.stats(started, n+1), theirs.stats(started, n)
	agentRuns, bareRuns = a.Requests-agentRuns, b.Requests-bareRuns
	perAgent := float64(agentCPU.Microseconds()) / float64(agentRuns)
	perBare := float64(bareCPU.Microseconds()) / float64(bareRuns)
	rss, peak := agent.memory()
	fmt.Printf("| %d | %.0f | %.0f | %.2f | %.1f | %.1f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", n, perAgent, perBare, perAgent/perBare, rss, peak,
		a.First.Seconds(), a.All.Seconds(), ms(a.P50), ms(a.P99), ms(b.P99))
	if a.Missing > 0 {
		return fmt.Errorf("%d of %d probes never ran", a.Missing, n)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// configuration is n HTTP probes in components of ten, with everything on: witnesses, limits, body expectation, notices, desk,
// metrics, page, store.
func configuration(base string, n int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `tenant: { id: bench, contacts: { customer: { name: Bench, email: bench@bench.example } } }
witnesses: [{ kind: http, url: "%s/witness" }]
defaults: { interval: %s, timeout: 5s }
notices: [{ name: customer, kind: email, to: [customer], smtp: "smtp://127.0.0.1:9", starttls: "off", from: "firstcall@bench.example" }]
web: { listen: "127.0.0.1:0" }
components:
`, base, interval)
	for i := range n {
		if i%10 == 0 {
			fmt.Fprintf(&b, "  - name: c%d\n    probes:\n", i/10)
		}
		fmt.Fprintf(&b, "      - { name: p%d, kind: http, url: \"%s/%d\", expect: { body: ok }, limits: { total: 3s } }\n", i, base, i)
	}
	return []byte(b.String())
}

// startTarget starts a target in a process of its own, so that its work is nobody's.
func startTarget() (*targetProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &targetProcess{child: child{cmd: exec.Command(self, "-role", "target")}}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := t.start(); err != nil {
		return nil, err
	}
	return t, json.NewDecoder(out).Decode(&t.base)
}
