package probes_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

// Phases add up over redirects, stand in the order in which they happen, and what runs at the end is there.
func TestRecorderPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(d time.Duration) { <-time.After(d) }
		r := probes.NewRecorder(t.Context())
		for _, step := range []struct {
			phase string
			took  int // ms
		}{
			{probes.PhaseConnect, 2},
			{probes.PhaseFirstByte, 3},
			{probes.PhaseTransfer, 1},
			{probes.PhaseDNS, 7},
			{probes.PhaseConnect, 20},
			{probes.PhaseTLS, 30},
			{probes.PhaseFirstByte, 40},
		} {
			r.Begin(step.phase)
			wait(time.Duration(step.took) * time.Millisecond)
			r.Begin(step.phase) // again: nothing
		}
		r.End()
		wait(time.Second) // belongs to no phase
		r.Begin(probes.PhaseTransfer)
		wait(5 * time.Millisecond)
		result := r.Up()
		want := []probes.Phase{
			{Name: probes.PhaseDNS, Duration: 7 * time.Millisecond},
			{Name: probes.PhaseConnect, Duration: 22 * time.Millisecond},
			{Name: probes.PhaseTLS, Duration: 30 * time.Millisecond},
			{Name: probes.PhaseFirstByte, Duration: 43 * time.Millisecond},
			{Name: probes.PhaseTransfer, Duration: 6 * time.Millisecond},
		}
		if diff := cmp.Diff(want, result.Phases); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
		if result.Duration != 1108*time.Millisecond {
			t.Errorf("duration is %s, want 1.108s", result.Duration)
		}
	})
}

// What comes after the verdict, from hooks of a connection attempt that was given up, changes nothing.
func TestRecorderIsFinal(t *testing.T) {
	r := probes.NewRecorder(t.Context())
	r.Begin(probes.PhaseConnect)
	first := r.Finish(probes.Down, probes.Refused, "no %s", "luck")
	var late sync.WaitGroup
	for range 4 {
		late.Go(func() {
			r.Begin(probes.PhaseTLS)
			r.End()
			r.Add(probes.PhaseRTT, time.Second)
			r.Fact("late", "yes")
			r.Number("late", 1)
			r.Certificate(new(x509.Certificate))
			r.Mask(secret.New("luck"))
		})
	}
	late.Wait()
	if diff := cmp.Diff(first, r.Up()); diff != "" {
		t.Errorf("the result changed (-first +later):\n%s", diff)
	}
}

func TestRecorderBounds(t *testing.T) {
	r := probes.NewRecorder(t.Context())
	r.Mask(secret.New("hunter2"), secret.New("x"), secret.Value{})
	for i := range 3 * probes.MaxFacts {
		r.Fact(strings.Repeat("a", i%(2*probes.MaxFacts)+1), strings.Repeat("hunter2\x00é", 100))
	}
	r.Fact("empty", "")
	result := r.Finish(probes.Down, probes.Content, "text hunter2 x %s", strings.Repeat("\n", 1000))
	if len(result.Facts) != probes.MaxFacts || len(result.Facts[0].Value) > probes.MaxFact || len(result.Detail) > probes.MaxDetail {
		t.Errorf("%d facts, the first has %d bytes, the detail %d", len(result.Facts), len(result.Facts[0].Value), len(result.Detail))
	}
	if !strings.HasPrefix(result.Facts[0].Value, `<secret>\x00é<secret>`) || !strings.HasPrefix(result.Detail, `text <secret> x \n\n`) {
		t.Errorf("fact %q, detail %q", result.Facts[0].Value, result.Detail)
	}
}

func TestRecorderFailSaysHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r := probes.NewRecorder(ctx)
		r.Begin(probes.PhaseFirstByte)
		<-ctx.Done()
		result := r.Fail(ctx, errors.New("whatever the transport says"), probes.Protocol)
		if result.Reason != probes.Timeout || result.Detail != "connected, but no answer within 5s" {
			t.Errorf("result is %s: %s", result.Reason, result.Detail)
		}
	})
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"plain", 5, "plain"},
		{"plain", 4, "p…"},
		{"Løsning nede", 40, "Løsning nede"},
		{"a\r\n\tb\x00\x1b[31m", 40, `a\r\n\tb\x00\x1b[31m`},
		{"\xff\xfe", 40, `\xff\xfe`},
		{"user\u202etxt.exe", 40, `user\u202etxt.exe`},
		{"ééé", 5, "é…"},
		{"aaaa\n", 9, `aaaa\n`},
		{"aaaa\nb", 6, "aaa…"},
	} {
		if got := probes.Printable(c.text, c.limit); got != c.want {
			t.Errorf("Printable(%q, %d) is %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x00é\u202e\xff", 7)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 3 || limit > 1000 {
			return // room for the mark of a cut
		}
		got := probes.Printable(text, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, func(c rune) bool { return c < ' ' || (c >= 0x7f && c < 0xa0) }) {
			t.Errorf("Printable(%q, %d) is %q", text, limit, got)
		}
	})
}

// Every kind is fit for the reference page and keeps the order of phases.
func TestKinds(t *testing.T) {
	for _, name := range []string{"dns", "http", "icmp", "tcp", "tls"} {
		kind, ok := probes.Lookup(name)
		if !ok || kind.Doc == "" || !strings.HasSuffix(kind.Doc, ".") || kind.Evidence != (name == "icmp") {
			t.Errorf("kind %s: %+v", name, kind)
		}
		if slices.Contains(kind.Phases, probes.PhaseTotal) {
			t.Errorf("kind %s has the phase total, which every result has by itself", name)
		}
	}
}

// A phase that lies inside another is taken out of it, never more than there is.
func TestRecorderSplit(t *testing.T) {
	rec := probes.NewRecorder(t.Context())
	rec.Add(probes.PhaseTransfer, 1)
	rec.Add(probes.PhaseFirstByte, 100)
	rec.Split(probes.PhaseFirstByte, probes.PhaseServer, 30)
	rec.Split(probes.PhaseDNS, probes.PhaseServer, 30)
	rec.Split(probes.PhaseFirstByte, probes.PhaseServer, -5)
	rec.Split(probes.PhaseTransfer, probes.PhaseServer, time.Hour)
	want := []probes.Phase{{Name: probes.PhaseServer, Duration: 31}, {Name: probes.PhaseFirstByte, Duration: 70}, {Name: probes.PhaseTransfer, Duration: 0}}
	if r := rec.Up(); !slices.Equal(r.Phases, want) {
		t.Errorf("phases %v, want %v", r.Phases, want)
	}
}
