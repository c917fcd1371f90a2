package history

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/incident/store"
	"github.com/firstcall-agent/firstcall/probes"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// all reads a source whole.
func all(t *testing.T, s Source, from, to time.Time) []probes.Result {
	t.Helper()
	var list []probes.Result
	if err := s.Each(t.Context(), from, to, func(r probes.Result) error {
		list = append(list, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// brief returns results a line each.
func brief(list []probes.Result) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintf(&b, "%s %s %s %s", r.Probe, r.Start.Format("2006-01-02T15:04:05.999Z"), r.Outcome, r.Duration)
		if r.Reason != "" {
			fmt.Fprintf(&b, " %s", r.Reason)
		}
		for _, p := range r.Phases {
			fmt.Fprintf(&b, " %s=%s", p.Name, p.Duration)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

func TestCSV(t *testing.T) {
	full := "probe,time,outcome,latency_ms,reason,dns_ms,tls_ms,comment\n" +
		"b,2026-01-02T03:04:05Z,,12.5,,1,2.5,x\n" +
		"a,2026-01-02T04:04:05.5+01:00,down,5000,refused,1,,\"a, b\"\n" +
		"a,1767323046,degraded,30000,,,,\n" +
		"b,1767323047500,,,,,,\n" +
		"b,1767323046,unknown,,internal,,,\n"
	for name, tc := range map[string]struct {
		text, probe, want string
	}{
		"the least":         {"time,latency_ms\n1767323045,1.5\n1767323105,\n", "p", "p 2026-01-02T03:04:05Z up 1.5ms\np 2026-01-02T03:05:05Z down 0s timeout\n"},
		"others' headers":   {"t,rtt_ms,cp\n1476479820,178.9250,0\n1476480060,nan,1\n", "p", "p 2016-10-14T21:17:00Z up 178.925ms\np 2016-10-14T21:21:00Z down 0s timeout\n"},
		"seconds, packed":   {packed("Timestamp, Seconds\n1767323045.25,0.25\n"), "p", "p 2026-01-02T03:04:05.25Z up 250ms\n"},
		"a mark, CRLF":      {"\ufefftime,latency_ms\r\n1767323045,1\r\n\r\n", "p", "p 2026-01-02T03:04:05Z up 1ms\n"},
		"phase beside":      {"time,rtt_ms,latency_ms\n1767323045,1,2\n", "p", "p 2026-01-02T03:04:05Z up 2ms rtt=1ms\n"},
		"nothing but names": {"time,latency_ms\n", "p", ""},
		"in order of their ends": {full, "", "b 2026-01-02T03:04:05Z up 12.5ms dns=1ms tls=2.5ms\nb 2026-01-02T03:04:06Z unknown 0s internal\n" +
			"b 2026-01-02T03:04:07.5Z down 0s timeout\na 2026-01-02T03:04:05.5Z down 5s refused dns=1ms\na 2026-01-02T03:04:06Z degraded 30s\n"},
		"one of several": {full, "a", "a 2026-01-02T03:04:05.5Z down 5s refused dns=1ms\na 2026-01-02T03:04:06Z degraded 30s\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := CSV{File: write(t, "h.csv", tc.text), Probe: tc.probe}
			if diff := cmp.Diff(tc.want, brief(all(t, c, time.Time{}, time.Time{}))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	c := CSV{File: write(t, "h.csv", full)}
	from := time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	if got := brief(all(t, c, from, from.Add(time.Second))); strings.Count(got, "\n") != 2 {
		t.Errorf("from is inclusive, to exclusive: %s", got)
	}
	if names, err := c.Probes(t.Context()); err != nil || fmt.Sprint(names) != "[a b]" {
		t.Errorf("probes %v, %v", names, err)
	}
}

func TestBadCSV(t *testing.T) {
	many := "time,latency_ms\n" + strings.Repeat("x,1\n", 25)
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"empty":       {"", []string{"h.csv has no header", "time,latency_ms"}},
		"no header":   {"1767323045,1\n", []string{"h.csv:1: there is no column time"}},
		"no latency":  {"time,size\n", []string{"no column latency_ms, rtt_ms or seconds"}},
		"twice":       {"time,time,latency_ms\n", []string{`two columns "time"`}},
		"not gzip":    {"\x1f\x8bno", []string{"looks like gzip"}},
		"time":        {"time,latency_ms\n1767323045,1\nyesterday,1\n", []string{"1 bad lines", `h.csv:3: "yesterday" is not a time`, "RFC 3339"}},
		"year":        {"time,latency_ms\n9999-01-01T00:00:00Z,1\n", []string{"lies in the year 9999"}},
		"latency":     {"time,latency_ms\n1767323045,fast\n", []string{`h.csv:2: latency_ms: "fast" is not a number`}},
		"negative":    {"time,latency_ms\n1767323045,-1\n", []string{"not between 0 and a day"}},
		"infinite":    {"time,latency_ms\n1767323045,inf\n", []string{"is not a number"}},
		"fields":      {"time,latency_ms\n1767323045\n1767323045,1,2\n", []string{"2 bad lines", "h.csv:2: wrong number of fields", "h.csv:3"}},
		"quote":       {"time,latency_ms\n17673\"23045,1\n1767323045,x\n", []string{"h.csv:2", "h.csv:3"}},
		"reason":      {"time,latency_ms,reason\n1767323045,,weather\n", []string{`no reason "weather"`, "refused"}},
		"outcome":     {"time,latency_ms,outcome\n1767323045,,fine\n", []string{`no outcome "fine"`}},
		"up, no time": {"time,latency_ms,outcome\n1767323045,,up\n", []string{"empty although the outcome is up"}},
		"probe":       {"time,latency_ms,probe\n1767323045,1,\n", []string{"probe is empty"}},
		"phase":       {"time,latency_ms,tls_ms\n1767323045,1,x\n", []string{`tls_ms: "x" is not a number`}},
		"many":        {many, []string{"25 bad lines", "h.csv:2", "h.csv:11", "and 15 more lines"}},
		"terminal":    {"time,latency_ms\n\x1b[2J,1\n", []string{"h.csv:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := CSV{File: write(t, "h.csv", tc.text), Probe: "p"}
			err := c.Each(t.Context(), time.Time{}, time.Time{}, func(probes.Result) error { return errors.New("a result") })
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
					t.Errorf("error %v, want %q in it", err, want)
				}
			}
			if name == "many" && strings.Contains(err.Error(), "h.csv:12") {
				t.Errorf("more than ten lines are told: %v", err)
			}
		})
	}
	if _, err := (CSV{File: "nowhere.csv"}).Probes(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestEachStops(t *testing.T) {
	file := write(t, "h.csv", "time,latency_ms\n1767323045,1\n1767323046,1\n")
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	n := 0
	if err := (CSV{File: file}).Each(ctx, time.Time{}, time.Time{}, func(probes.Result) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d results, %v", n, err)
	}
	cancel(enough)
	if err := (CSV{File: file}).Each(ctx, time.Time{}, time.Time{}, func(probes.Result) error { return nil }); !errors.Is(err, enough) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestStore states that the store is read while an agent has it open, and changed in nothing.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "firstcall.db")
	agent, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = agent.Close() }()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	list := []probes.Result{
		{Probe: "a", Start: start, Duration: time.Second, Outcome: probes.Up},
		{Probe: "b", Start: start, Duration: time.Millisecond, Outcome: probes.Down, Reason: probes.Refused, Detail: "refused", Recheck: true},
	}
	if err := agent.AppendResults(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	got := all(t, Store{URL: "sqlite:" + path}, time.Time{}, time.Time{})
	if diff := cmp.Diff([]probes.Result{list[1], list[0]}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := all(t, Store{URL: "sqlite:" + path, Probes: []string{"a"}}, start, time.Time{}); len(got) != 1 {
		t.Errorf("of one probe: %v", got)
	}
	if err := (Store{URL: "sqlite:" + path + ".none"}).Each(t.Context(), start, start, nil); err == nil {
		t.Error("a store that is not there is read")
	}
}

func BenchmarkCSV(b *testing.B) {
	var text strings.Builder
	text.WriteString("time,latency_ms\n")
	for i := range 43_200 {
		fmt.Fprintf(&text, "%d,%d.25\n", 1767323045+60*i, 100+i%17)
	}
	file := filepath.Join(b.TempDir(), "h.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := (CSV{File: file, Probe: "p"}).Each(b.Context(), time.Time{}, time.Time{}, func(probes.Result) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
