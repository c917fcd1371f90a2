package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/firstcall-agent/firstcall/probes"
)

// Whatever stands in a body, taking it apart ends, without a panic, and a result that can be read is stored again as it was.
func FuzzBody(f *testing.F) {
	down := probes.Result{
		Probe: "a", Start: at, Duration: time.Second, Outcome: probes.Down, Reason: probes.TLS, Detail: "no", Phases: []probes.Phase{{Name: probes.PhaseTLS, Duration: 1}, {Name: "own", Duration: 2}},
		Certificate: &probes.Certificate{Subject: "CN=a", NotAfter: at}, Facts: []probes.Fact{{Name: "n", Value: "v"}},
		Numbers: []probes.Number{{Name: probes.CertificateDays, Value: -1.5, Of: "x"}, {Name: "own", Value: 7}},
	}
	for _, r := range append(httpResults(0, 2, at), down, probes.Result{Probe: "b", Start: at}) {
		payload, err := appendPayload(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(appendRecord(appendHead(nil, at.UnixNano()), at.UnixNano(), 7, at.UnixNano()+3, payload), true)
		f.Add(appendRecord(appendHead(nil, at.UnixNano()), at.UnixNano(), 0, at.UnixNano()-3, payload), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, inLog bool) {
		for r := newReader(body); r.more(); {
			_, start, payload := r.record(inLog)
			if r.err != nil {
				return
			}
			first, err := decode("a", start, payload)
			if err != nil {
				continue
			}
			if o, lagging, d, err := summary(payload); err != nil || o != first.Outcome || lagging != first.Lagging || d != first.Duration {
				t.Errorf("summary %v %t %s %v of %+v", o, lagging, d, err, first)
			}
			again, err := appendPayload(nil, first)
			if err != nil {
				continue // a year that JSON cannot say
			}
			second, err := decode("a", start, again)
			if first.Outcome == probes.Up {
				first.Facts, first.Certificate = nil, nil
			}
			if diff := cmp.Diff(first, second, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Errorf("stored again (%v, -first +second):\n%s", err, diff)
			}
		}
	})
}

func TestSize(t *testing.T) {
	body := appendHead(nil, at.UnixNano())
	results := httpResults(0, 100, at)
	for i, r := range results {
		payload, err := appendPayload(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		body = appendRecord(body, at.UnixNano(), int64(i+1), r.Start.UnixNano(), payload)
	}
	if per := len(body) / len(results); per > 40 {
		t.Errorf("an up result with five phases takes %d bytes, want at most 40", per)
	}
}

// What was stored before results had numbers is read as it was.
func TestResultsWithoutNumbersAreReadAsBefore(t *testing.T) {
	before := []byte{1 | flagPhases, 20, 1, 3, 8} // up, 10 ns, one phase: tls, 4 ns
	want := probes.Result{Probe: "a", Start: at, Duration: 10, Outcome: probes.Up, Phases: []probes.Phase{{Name: probes.PhaseTLS, Duration: 4}}}
	got, err := decode("a", at.UnixNano(), before)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	again, err := appendPayload(nil, got)
	if diff := cmp.Diff(before, again); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
