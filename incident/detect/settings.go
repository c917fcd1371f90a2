// Package detect tells an outage from a latency regression: one Detector per probe, fed with its results in order.
// It is pure: no clock, no I/O, no lock; time comes in with the results. docs/detection.md explains the method.
package detect

import "time"

// Settings are the counts and times of judgement, common to all probes.
type Settings struct {
	Rechecks      int           `yaml:"rechecks" default:"3" doc:"Quick re-probes after a first failure, each with its own connection; all must fail before anything is down. A path that loses runs of its own accord needs more failures."`
	RecheckWithin time.Duration `yaml:"recheck_within" default:"4s" doc:"The quick re-probes are spread over this time."`
	Recover       int           `yaml:"recover" default:"3" doc:"Good results in a row, quick re-probes included, that end an outage; more where good ones came in between."`
	LimitWindow   time.Duration `yaml:"limit_window" default:"5m" doc:"A latency limit is judged on the median of the results in this window, never on one sample."`
	LimitPoints   int           `yaml:"limit_points" default:"5" doc:"Fewest results in limit_window that are judged."`
	SlowRatio     float64       `yaml:"slow_ratio" default:"1.18" doc:"Smallest lasting ratio to the probe's own normal latency that counts as slow; shorter windows ask for more in proportion."`
	SlowBy        time.Duration `yaml:"slow_by" default:"2ms" doc:"Smallest increase over the probe's own normal latency that counts as slow: a ping of 0.3 ms that doubles is nobody's problem."`
}

// Limit is an absolute latency limit of one phase ("total" for the whole run).
type Limit struct {
	Phase string
	Max   time.Duration
}
