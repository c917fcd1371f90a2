package cli

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/probes"
)

// plugin is the form of a plugin's output: one line, one bar, and performance data as the Monitoring Plugins Development
// Guidelines have it, 'label'=value[UOM];[warn];[crit];[min];[max], separated by spaces.
var plugin = regexp.MustCompile(`^FIRSTCALL (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+ \|( [a-z0-9_]+=-?[0-9.]+(s|us|ms|%|B|KB|MB|TB|c)?(;[-0-9.:~@]*){0,4})+$`)

func TestNagios(t *testing.T) {
	limits := map[string]time.Duration{probes.PhaseTotal: 3 * time.Second, probes.PhaseTLS: 1500 * time.Microsecond}
	p := &config.Probe{ID: "web-client/http", Timeout: 5 * time.Second, Limits: limits}
	for _, c := range []struct {
		name   string
		probe  *config.Probe
		result probes.Result
		want   string
		code   int
	}{
		{
			"up", p,
			probes.Result{Outcome: probes.Up, Duration: 12345678, Phases: []probes.Phase{{Name: probes.PhaseConnect, Duration: 1500}, {Name: probes.PhaseTLS, Duration: 2 * time.Millisecond}}},
			"FIRSTCALL OK - web-client/http: answers in 12.3ms | total=0.012346s;3;5;0 connect=0.000002s;;;0 tls=0.002000s;0.0015;;0", 0,
		},
		{
			"degraded", p,
			probes.Result{Outcome: probes.Degraded, Reason: probes.Slow, Detail: "slow", Duration: 4 * time.Second},
			"FIRSTCALL WARNING - web-client/http: slow: slow | total=4.000000s;3;5;0", 1,
		},
		{
			"down", &config.Probe{ID: "a/b/c", Timeout: 100 * time.Millisecond},
			probes.Result{Outcome: probes.Down, Reason: probes.Content, Detail: "want one|two,\nnot\x1b[2Jthree"},
			"FIRSTCALL CRITICAL - a/b/c: content: want one/two, not [2Jthree | total=0.000000s;;0.1;0", 2,
		},
		{"unknown", p, probes.Result{Reason: probes.Local, Detail: "no route"}, "FIRSTCALL UNKNOWN - web-client/http: local: no route | total=0.000000s;3;5;0", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := nagios(c.probe, c.result)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !plugin.MatchString(got) {
				t.Errorf("not the plugin form: %s", got)
			}
			if code := nagiosCode(c.result.Outcome); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
		})
	}
}

func TestNagiosIsAlwaysOneBoundedLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &config.Probe{ID: "c/p", Timeout: time.Duration(rapid.Int64Range(1, 1e12).Draw(t, "timeout"))}
		r := probes.Result{
			Outcome: probes.Outcome(rapid.IntRange(0, 3).Draw(t, "outcome")), Reason: probes.Content,
			Detail:   rapid.String().Draw(t, "detail") + strings.Repeat("|\n", rapid.IntRange(0, 3000).Draw(t, "more")),
			Duration: time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "duration")),
		}
		if got := nagios(p, r); !plugin.MatchString(got) || len(got) > 4096 {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
	})
}

// fixed is a probe that always has the same result.
type fixed struct{ result probes.Result }

func (f fixed) Validate() field.Errors              { return nil }
func (f fixed) Probe(context.Context) probes.Result { return f.result }

func TestOneRunIsJudgedByItsLimits(t *testing.T) {
	up := probes.Result{Outcome: probes.Up, Duration: 2 * time.Second, Phases: []probes.Phase{{Name: probes.PhaseTLS, Duration: 300 * time.Millisecond}}}
	down := up
	down.Outcome, down.Reason = probes.Down, probes.Status
	for _, c := range []struct {
		name   string
		result probes.Result
		limits map[string]time.Duration
		want   probes.Outcome
		detail string
	}{
		{"no limits", up, nil, probes.Up, ""},
		{"just at the limit", up, map[string]time.Duration{probes.PhaseTotal: 2 * time.Second}, probes.Up, ""},
		{"over it", up, map[string]time.Duration{probes.PhaseTotal: 1999 * time.Millisecond}, probes.Degraded, "total took 2s, over its limit of 1.999s"},
		{"a phase over it", up, map[string]time.Duration{probes.PhaseTLS: 100 * time.Millisecond}, probes.Degraded, "tls took 300ms, over its limit of 100ms"},
		{"a phase that it has not", up, map[string]time.Duration{probes.PhaseDNS: 1}, probes.Up, ""},
		{"down stays down", down, map[string]time.Duration{probes.PhaseTotal: 1}, probes.Down, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runOnce(t.Context(), &config.Probe{ID: "a/b", Timeout: time.Second, Limits: c.limits, Probe: fixed{c.result}})
			if r.Outcome != c.want || r.Detail != c.detail || r.Probe != "a/b" {
				t.Errorf("%s %q of %q, want %s %q", r.Outcome, r.Detail, r.Probe, c.want, c.detail)
			}
		})
	}
}

func TestNagiosNumbers(t *testing.T) {
	probes.Register(probes.Kind{Name: "cli-pool", New: func() probes.Probe { return nil }, Numbers: []probes.NumberKind{
		{Name: "sessions", Unit: "%", Full: 100}, {Name: "free", Unit: "GB", Low: true}, {Name: "disks"},
	}})
	numbers := func(sessions, free, disks float64) probes.Result {
		return probes.Result{Outcome: probes.Up, Numbers: []probes.Number{
			{Name: "sessions", Value: sessions}, {Name: "free", Value: free, Of: "C:"}, {Name: "disks", Value: disks}, {Name: "undeclared", Value: 1},
		}}
	}
	limits := map[string]float64{"sessions": 90, "free": 2.5}
	for _, c := range []struct {
		name   string
		result probes.Result
		limits map[string]float64
		want   string
	}{
		{"inside", numbers(45.12345, 3, -2), limits, "FIRSTCALL OK - a/b: answers in 0s | total=0.000000s;;1;0 sessions=45.123%;90;;;100 free=3;2.5: disks=-2"},
		{"no limits", numbers(99, 0, 0), nil, "FIRSTCALL OK - a/b: answers in 0s | total=0.000000s;;1;0 sessions=99%;;;;100 free=0 disks=0"},
		{"reached", numbers(90, 3, 0), limits, "FIRSTCALL WARNING - a/b: capacity: sessions is 90 %, limit 90 % | total=0.000000s;;1;0 sessions=90%;90;;;100 free=3;2.5: disks=0"},
		{"fallen", numbers(9, 1, 0), limits, "FIRSTCALL WARNING - a/b: capacity: free is 1 GB, limit 2.5 GB, of C: | total=0.000000s;;1;0 sessions=9%;90;;;100 free=1;2.5: disks=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &config.Probe{ID: "a/b", Kind: "cli-pool", Timeout: time.Second, Thresholds: c.limits, Probe: fixed{c.result}}
			got := nagios(p, runOnce(t.Context(), p))
			if got != c.want || !plugin.MatchString(got) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestShortened(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "..."}, {"øøøø", 8, "øøøø"}, {"øøøøø", 8, "øø..."}, {"", 3, ""}} {
		if got := shortened(c.text, c.limit); got != c.want {
			t.Errorf("shortened(%q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}
