package history

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// FuzzCSV states that whatever a file holds, it is read or refused, and what is read is in the order of its ends.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"time,latency_ms\n1767323045,1.5\n", "t,rtt_ms,cp\n1,\n", "probe,time,seconds,outcome,reason,tls_ms\na,2026-01-02T03:04:05Z,1,up,,2\n", "\x1f\x8b", "\"", "time,latency_ms\n1e300,1\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "h.csv")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		last := time.Time{}
		_ = CSV{File: file, Probe: "p"}.Each(t.Context(), time.Time{}, time.Time{}, func(r probes.Result) error {
			if r.End().Before(last) || r.Duration < 0 || r.Outcome > probes.Down {
				t.Fatalf("%+v", r)
			}
			last = r.End()
			return nil
		})
	})
}
