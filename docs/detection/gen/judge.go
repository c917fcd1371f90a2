package main

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/agent/replay"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/detect"
	"github.com/firstcall-agent/firstcall/probes"
)

// configuration is all defaults: what a reader gets.
const configuration = `
tenant: { id: acme, time_zone: UTC }
components:
  - { name: web, essential: false, probes: [{ name: icmp, kind: icmp, host: acme.example }] }
`

const probe = "web/icmp"

// measurement is one ping of a trace.
type measurement struct {
	at time.Time
	ms float64 // 0: lost
}

// readTrace reads a RIPE Atlas trace: t, rtt_ms, cp.
func readTrace(file string) (t []measurement, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, row := range rows[1:] {
		at, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			return nil, err
		}
		m := measurement{at: time.Unix(at, 0).UTC()}
		if row[1] != "" {
			if m.ms, err = strconv.ParseFloat(row[1], 64); err != nil {
				return nil, err
			}
		}
		t = append(t, m)
	}
	return t, nil
}

// withWeek puts the first week of a trace before it too.
func withWeek(t []measurement) []measurement {
	const week = 7 * 24 * time.Hour
	var before []measurement
	for _, m := range t {
		if m.at = m.at.Add(-week); m.at.Before(t[0].at) {
			before = append(before, m)
		}
	}
	return append(before, t...)
}

// judged is a trace and what the agent's code made of it.
type judged struct {
	results  source
	readings []detect.Reading
	raised   []incident.Finding // as they were when they began
	ended    []incident.Finding
	closed   []time.Time // when the detector ended each of them
	slow     []span      // when a finding lasted and was not quiet
	cases    []replay.Incident
	end      time.Time
}

type span struct{ from, to time.Time }

// source is a record in memory.
type source []probes.Result

func (s source) String() string { return "a trace" }

// Each calls fn with every result.
func (s source) Each(_ context.Context, _, _ time.Time, fn func(probes.Result) error) error {
	for i := range s {
		if err := fn(s[i]); err != nil {
			return err
		}
	}
	return nil
}

// judge runs a trace, with a fault, through the detector, and through the engine for the cases that it opens.
func judge(t []measurement, fault func(time.Time) float64) (*judged, error) {
	c, err := config.Parse("", []byte(configuration), func(string) (string, bool) { return "", false })
	if err != nil {
		return nil, err
	}
	j := &judged{end: t[len(t)-1].at}
	for _, m := range t {
		r := probes.Result{Probe: probe, Start: m.at, Outcome: probes.Down, Reason: probes.Timeout, Detail: "no echo reply"}
		if m.ms > 0 {
			took := time.Duration(m.ms * fault(m.at) * float64(time.Millisecond))
			r = probes.Result{Probe: probe, Start: m.at, Duration: took, Outcome: probes.Up, Phases: []probes.Phase{{Name: probes.PhaseRTT, Duration: took}}}
		}
		j.results = append(j.results, r)
	}
	j.detect(detect.New(detect.Setup{Probe: probe, Settings: c.Detection}))
	reports, err := replay.Run(context.Background(), replay.Options{Configs: []*config.Config{c}, Source: j.results})
	if err != nil {
		return nil, err
	}
	j.cases, _ = reports[0].Cases()
	if reports[0].Foreign > 0 {
		return nil, fmt.Errorf("the configuration has no probe %q", probe)
	}
	return j, nil
}

func (j *judged) detect(d *detect.Detector) {
	for _, r := range j.results {
		v := d.Observe(r)
		j.raised, j.ended = append(j.raised, v.Started...), append(j.ended, v.Ended...)
		for range v.Ended {
			j.closed = append(j.closed, r.Start)
		}
		j.readings = append(j.readings, d.Reading())
		f := d.Finding(incident.Regression)
		slow, n := f != nil && f.Quiet.IsZero(), len(j.slow)
		switch open := n > 0 && j.slow[n-1].to.IsZero(); {
		case slow && !open:
			j.slow = append(j.slow, span{from: r.Start})
		case !slow && open:
			j.slow[n-1].to = r.Start
		}
	}
}

// changes returns the onsets of changes of level that were dated in a time.
func (j *judged) changes(from, to time.Time) (all []time.Time) {
	for _, r := range j.readings {
		if !r.Change.IsZero() && !r.Change.Before(from) && !r.Change.After(to) {
			all = append(all, r.Change)
		}
	}
	return all
}

// runs returns how many runs began from an instant up to another.
func (j *judged) runs(from, to time.Time) (n int) {
	for _, r := range j.results {
		if !r.Start.Before(from) && !r.Start.After(to) {
			n++
		}
	}
	return n
}
