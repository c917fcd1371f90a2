package probes_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

// Numbers are bounded, finite and there once, and what they are of is as safe to show as a fact.
func TestRecorderNumbers(t *testing.T) {
	r := probes.NewRecorder(t.Context())
	r.Mask(secret.New("hunter2"))
	r.Number("sessions", 3)
	r.Number("sessions", 4)
	r.Number("nan", math.NaN())
	r.Number("infinite", math.Inf(-1))
	r.NumberOf("disk", -1.5, "hunter2\x1b[2J")
	for i := range 20 {
		r.Number(fmt.Sprint("more_", i), 1)
	}
	result := r.Up()
	want := []probes.Number{{Name: "sessions", Value: 4}, {Name: "disk", Value: -1.5, Of: secret.Mask + `\x1b[2J`}}
	if diff := cmp.Diff(want, result.Numbers[:2]); diff != "" || len(result.Numbers) != probes.MaxNumbers {
		t.Errorf("%d numbers (-want +got):\n%s", len(result.Numbers), diff)
	}
	if n, ok := result.Number("disk"); !ok || n != want[1] {
		t.Errorf("disk is %+v", n)
	}
	if _, ok := result.Number("nan"); ok {
		t.Error("a number is not finite")
	}
}

func TestNumberKind(t *testing.T) {
	high, low := probes.NumberKind{Unit: "%", Full: 100}, probes.NumberKind{Low: true}
	for _, c := range []struct {
		kind         probes.NumberKind
		value, limit float64
		passed       bool
	}{
		{high, 89.9, 90, false},
		{high, 90, 90, true},
		{high, 91, 90, true},
		{low, 22, 21, false},
		{low, 21, 21, true},
		{low, -3, 21, true},
	} {
		if got := c.kind.Passed(c.value, c.limit); got != c.passed {
			t.Errorf("%+v: %v against %v passed is %t", c.kind, c.value, c.limit, got)
		}
	}
	for _, c := range []struct {
		kind  probes.NumberKind
		full  float64
		known bool
	}{{high, 100, true}, {low, 0, true}, {probes.NumberKind{}, 0, false}, {probes.NumberKind{Low: true, Full: math.NaN()}, 0, false}} {
		if full, known := c.kind.Exhausted(); known != c.known || known && full != c.full {
			t.Errorf("%+v is exhausted at %v, %t", c.kind, full, known)
		}
	}
	for value, want := range map[float64]string{21: "21 %", -0.04: "0 %", 18.44: "18.4 %", -2.06: "-2.1 %", 1e300: "1e+300 %"} {
		if got := high.Format(value); got != want {
			t.Errorf("%v is written %q, want %q", value, got, want)
		}
	}
	if got := (probes.NumberKind{}).Format(1200); got != "1200" {
		t.Errorf("without a unit: %q", got)
	}
}

// A number must not be taken for a phase: both are keys of limits.
func TestNumbersAndPhasesHaveTheirOwnNames(t *testing.T) {
	for _, names := range [][]string{{"a", "a"}, {probes.PhaseTLS}, {probes.PhaseTotal}, {""}} {
		k := probes.Kind{Name: "improper", New: func() probes.Probe { return new(probes.TCP) }, Phases: []string{probes.PhaseTLS}}
		for _, name := range names {
			k.Numbers = append(k.Numbers, probes.NumberKind{Name: name})
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is registered", names)
				}
			}()
			probes.Register(k)
		}()
	}
}
