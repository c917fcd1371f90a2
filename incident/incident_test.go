package incident

import (
	"strings"
	"testing"
	"time"
)

// TestKey states that a case key is deterministic, ASCII, never empty, bounded, and different for different incidents.
func TestKey(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 42, 0, 7e6, time.UTC)
	long := strings.Repeat("x", 80)
	seen := map[string]string{}
	for _, tenant := range []string{"acme", "", "ærø", long} {
		for _, root := range []string{"web-client", "", "sejl/båd", long, long + "y"} {
			for _, class := range []Class{Availability, Performance, Capacity, Function, Agent} {
				for _, started := range []time.Time{at, at.Add(time.Millisecond)} {
					key := Key(tenant, class, root, started)
					what := tenant + "|" + root + "|" + string(class) + "|" + started.String()
					if key != Key(tenant, class, root, started.In(time.FixedZone("x", 3600))) {
						t.Errorf("%s: the key depends on the zone", what)
					}
					if key == "" || len(key) > MaxKey || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != "" {
						t.Errorf("%s: bad key %q", what, key)
					}
					if other, taken := seen[key]; taken {
						t.Errorf("%s and %s have the same key %q", what, other, key)
					}
					seen[key] = what
				}
			}
		}
	}
	if got, want := Key("acme", Availability, "web-client", at), "fc-acme-web-client-20261123T104200.007Z"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPriority(t *testing.T) {
	for _, tt := range []struct {
		p, q  Priority
		above bool
	}{{P1, P2, true}, {P2, P1, false}, {P4, NoPriority, true}, {NoPriority, P4, false}, {P3, P3, false}} {
		if tt.p.Above(tt.q) != tt.above {
			t.Errorf("%s above %s: want %v", tt.p, tt.q, tt.above)
		}
	}
	for p := NoPriority; p <= P4; p++ {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Priority
		if err := back.UnmarshalText(text); err != nil || back != p {
			t.Errorf("%s comes back as %s (%v)", p, back, err)
		}
	}
	var p Priority
	if err := p.UnmarshalText([]byte("p5")); err == nil {
		t.Error("p5 must be refused")
	}
}

// TestAtWorst states that what is over is told as it was at its worst.
func TestAtWorst(t *testing.T) {
	i := Incident{Priority: P3, Highest: P1, Title: "backend has lost redundancy", Widest: "backend is inaccessible"}
	if w := i.AtWorst(); w.Priority != P1 || w.Title != "backend is inaccessible" {
		t.Errorf("%s %q", w.Priority, w.Title)
	}
	if w := (Incident{Priority: P2, Highest: P2, Title: "as it is"}).AtWorst(); w.Title != "as it is" {
		t.Errorf("an incident of before, without the widest title, keeps its own: %q", w.Title)
	}
}
