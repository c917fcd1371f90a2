//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stats is what a target saw of its prober.
type stats struct {
	Requests, Missing int
	First, All        time.Duration // since the prober's start: first request, first request of the last path
	P50, P99          time.Duration // of the distance of gaps between requests of one path from the interval
}

// target answers "ok" and keeps the instants of all requests by path; GET /stats?since=NS&n=N sums them up.
func target() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode("http://" + l.Addr().String()); err != nil {
		log.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string][]time.Time{}
	log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		if r.URL.Path == "/stats" {
			since, _ := strconv.ParseInt(r.FormValue("since"), 10, 64)
			n, _ := strconv.Atoi(r.FormValue("n"))
			mu.Lock()
			defer mu.Unlock()
			_ = json.NewEncoder(w).Encode(sum(seen, time.Unix(0, since), n))
			return
		}
		mu.Lock()
		seen[r.URL.Path] = append(seen[r.URL.Path], now)
		mu.Unlock()
		_, _ = io.WriteString(w, "ok\n")
	})))
}

func sum(seen map[string][]time.Time, since time.Time, n int) stats {
	s := stats{Missing: n - len(seen)}
	var gaps []time.Duration
	first := true
	for _, all := range seen {
		s.Requests += len(all)
		began := all[0].Sub(since)
		if first || began < s.First {
			s.First, first = began, false
		}
		s.All = max(s.All, began)
		for i := 1; i < len(all); i++ {
			gaps = append(gaps, (all[i].Sub(all[i-1]) - interval).Abs())
		}
	}
	slices.Sort(gaps)
	if len(gaps) > 0 {
		s.P50, s.P99 = gaps[len(gaps)/2], gaps[len(gaps)*99/100]
	}
	return s
}

// targetProcess is a target that runs.
type targetProcess struct {
	child
	base string
}

func (t *targetProcess) stats(since time.Time, n int) stats {
	var s stats
	resp, err := http.Get(fmt.Sprintf("%s/stats?since=%d&n=%d", t.base, since.UnixNano(), n))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		log.Fatal(err)
	}
	return s
}

// floor is the bare prober: net/http, a new connection each time, status and body looked at, nothing kept.
func floor(base string, n int) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			time.Sleep(interval * time.Duration(i) / time.Duration(n))
			tick := time.NewTicker(interval)
			for {
				if resp, err := client.Get(base + "/" + strconv.Itoa(i)); err == nil {
					body, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "ok") {
						log.Print("the target does not answer as expected")
					}
				}
				<-tick.C
			}
		})
	}
	all.Wait()
}
