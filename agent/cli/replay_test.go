package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func writeTrace(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(trace()), 0o600))
}

// trace returns two days at a minute's step from Monday 2026-10-05, 00:00 UTC: some 100 ms; no answer from 10:00 to 10:12 of the
// first day, 200 ms from 14:00 to 15:00, and on the second day, from 9:00 to 11:00, 200 ms in the first eight minutes of every half
// an hour.
func trace() string {
	start := time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC)
	var b strings.Builder
	b.WriteString("time,latency_ms\n")
	for i := range 2 * 24 * 60 {
		at := start.Add(time.Duration(i) * time.Minute)
		day, minute := i/1440, i%1440
		latency := fmt.Sprintf("%.1f", 100+float64(i*7919%100)/10)
		switch {
		case day == 0 && minute >= 600 && minute < 612:
			latency = ""
		case day == 0 && minute >= 840 && minute < 900, day == 1 && minute >= 540 && minute < 660 && minute%30 < 8:
			latency = fmt.Sprintf("%.1f", 200+float64(i*7919%200)/10)
		}
		fmt.Fprintf(&b, "%s,%s\n", at.Format(time.RFC3339), latency)
	}
	return b.String()
}
