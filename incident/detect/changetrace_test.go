package detect_test

import (
	"compress/gzip"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/firstcall-agent/firstcall/incident/detect"
)

// trace is a ping series with the points at which people saw a change: public RIPE Atlas traces, with a point every four
// minutes, from github.com/WenqinSHAO/rtt (testdata/rtt/LICENSE).
type trace struct {
	t      []int64
	ms     []float64 // NaN: lost
	marked []int     // index of the first point of a level
}

func readTrace(t *testing.T, file string) (tr trace) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] { // t,rtt_ms,cp
		at, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ms := math.NaN()
		if row[1] != "" {
			if ms, err = strconv.ParseFloat(row[1], 64); err != nil {
				t.Fatal(err)
			}
		}
		tr.t, tr.ms = append(tr.t, at), append(tr.ms, ms)
		if row[2] == "1" {
			tr.marked = append(tr.marked, i)
		}
	}
	return tr
}

// matches pairs what was declared with what was marked, one to one and no further apart than two points, and returns how many
// points after the mark each of the pairs was declared. Both are in order, so the first that fits is the best.
func matches(marked []int, found []declared) (delays []int) {
	slices.SortFunc(found, func(a, b declared) int { return a.onset - b.onset })
	for len(marked) > 0 && len(found) > 0 {
		switch d := found[0].onset - marked[0]; {
		case d < -2:
			found = found[1:]
		case d > 2:
			marked = marked[1:]
		default:
			delays = append(delays, found[0].at-marked[0])
			marked, found = marked[1:], found[1:]
		}
	}
	slices.Sort(delays)
	return delays
}

func TestChangesAgreeWithPeople(t *testing.T) {
	files, err := filepath.Glob("testdata/rtt/*.csv.gz")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		tr := readTrace(t, file)
		var c detect.Changes
		var found []declared
		for i, ms := range tr.ms {
			if onset, ok := c.Observe(tr.t[i], ms); ok {
				found = append(found, declared{slices.Index(tr.t, onset), i})
			}
		}
		delays := matches(tr.marked, found)
		f1 := 2 * float64(len(delays)) / float64(len(tr.marked)+len(found))
		t.Logf("%s: %d marked, %d declared, %d agree, F1 %.2f", file, len(tr.marked), len(found), len(delays), f1)
		if f1 < 0.68 {
			t.Errorf("%s: F1 %.2f, want at least 0.68", file, f1)
		}
		if m := delays[len(delays)/2]; m > 3 {
			t.Errorf("%s: half are declared later than %d points after the onset, want 3", file, m)
		}
	}
}
