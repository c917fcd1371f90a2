package probetest

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/probes"
)

// reasons lists which reasons go with which outcome; a result with another pair contradicts itself.
var reasons = map[probes.Outcome][]probes.Reason{
	probes.Up:       {probes.None},
	probes.Degraded: {probes.Slow, probes.Capacity, probes.Auth, probes.Functional},
	probes.Unknown:  {probes.Local, probes.Internal, probes.Auth},
	probes.Down: {
		probes.Timeout, probes.Refused, probes.Reset, probes.Unreachable, probes.DNS, probes.TLS, probes.BadCertificate,
		probes.Protocol, probes.Status, probes.Content,
	},
}

// Check judges one result of a kind: outcome and reason agree, the detail is one printable sentence, the phases are the kind's,
// in order and within the duration, and everything is bounded.
func Check(t *testing.T, kind probes.Kind, r probes.Result) {
	t.Helper()
	if !slices.Contains(reasons[r.Outcome], r.Reason) {
		t.Errorf("outcome %s does not go with reason %q", r.Outcome, r.Reason)
	}
	if r.Start.IsZero() || r.Start.Location() != time.UTC {
		t.Errorf("start is %v, want a time in UTC", r.Start)
	}
	if r.Duration <= 0 {
		t.Errorf("duration is %s", r.Duration)
	}
	if r.Probe != "" || r.Recheck || r.Lagging {
		t.Error("probe, recheck and lagging are the caller's to set")
	}
	checkDetail(t, r)
	checkPhases(t, kind, r)
	checkNumbers(t, kind, r)
	checkFacts(t, r)
	if c := r.Certificate; c != nil {
		printable(t, "certificate subject", c.Subject, probes.MaxName)
		printable(t, "certificate issuer", c.Issuer, probes.MaxName)
		if len(c.Fingerprint) != 64 {
			t.Errorf("certificate fingerprint is %q, want 64 hexadecimal digits", c.Fingerprint)
		}
	}
}

func checkDetail(t *testing.T, r probes.Result) {
	t.Helper()
	printable(t, "detail", r.Detail, probes.MaxDetail)
	first, _ := utf8.DecodeRuneInString(r.Detail)
	switch {
	case r.Outcome == probes.Up && r.Detail != "":
		t.Errorf("up, and yet the detail is %q", r.Detail)
	case r.Outcome != probes.Up && r.Detail == "":
		t.Errorf("%s, %s without a detail", r.Outcome, r.Reason)
	case unicode.IsUpper(first) || unicode.IsSpace(first):
		t.Errorf("detail %q does not begin in lower case", r.Detail)
	case strings.HasSuffix(r.Detail, ".") || strings.HasSuffix(r.Detail, ": "):
		t.Errorf("detail %q has no proper end", r.Detail)
	}
}

func checkPhases(t *testing.T, kind probes.Kind, r probes.Result) {
	t.Helper()
	var sum time.Duration
	last := -1
	for _, phase := range r.Phases {
		at := slices.Index(kind.Phases, phase.Name)
		switch {
		case at < 0:
			t.Errorf("phase %s is none of the kind's: %v", phase.Name, kind.Phases)
		case at <= last:
			t.Errorf("phase %s is out of order: %v", phase.Name, r.Phases)
		case phase.Duration < 0:
			t.Errorf("phase %s took %s", phase.Name, phase.Duration)
		}
		last = max(last, at)
		sum += phase.Duration
	}
	if sum > r.Duration {
		t.Errorf("the phases add up to %s, the run took %s", sum, r.Duration)
	}
}

func checkNumbers(t *testing.T, kind probes.Kind, r probes.Result) {
	t.Helper()
	for i, n := range r.Numbers {
		if _, ok := kind.Number(n.Name); !ok {
			t.Errorf("number %s is none of the kind's", n.Name)
		}
		if slices.ContainsFunc(r.Numbers[:i], func(o probes.Number) bool { return o.Name == n.Name }) {
			t.Errorf("number %s is there twice", n.Name)
		}
		if math.IsNaN(n.Value) || math.IsInf(n.Value, 0) {
			t.Errorf("number %s is %v", n.Name, n.Value)
		}
		printable(t, "number "+n.Name, n.Of, probes.MaxName)
	}
}

func checkFacts(t *testing.T, r probes.Result) {
	t.Helper()
	if len(r.Facts) > probes.MaxFacts {
		t.Errorf("%d facts, at most %d are allowed", len(r.Facts), probes.MaxFacts)
	}
	seen := map[string]bool{}
	for _, fact := range r.Facts {
		if fact.Name == "" || strings.Trim(fact.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || seen[fact.Name] {
			t.Errorf("fact %q: names are snake_case and there once", fact.Name)
		}
		seen[fact.Name] = true
		if fact.Value == "" {
			t.Errorf("fact %s is empty", fact.Name)
		}
		printable(t, "fact "+fact.Name, fact.Value, probes.MaxFact)
	}
}

// printable demands bounded text without control, format and invalid characters.
func printable(t *testing.T, what, text string, limit int) {
	t.Helper()
	if len(text) > limit {
		t.Errorf("%s has %d bytes, at most %d are allowed", what, len(text), limit)
	}
	for _, c := range text {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			t.Errorf("%s holds %U: %q", what, c, text)
			return
		}
	}
}
