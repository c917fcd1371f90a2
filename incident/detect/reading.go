package detect

import "time"

// Reading is how the newest latency of a probe stands against what is normal for its hour. The zero value is "nothing yet".
type Reading struct {
	At       time.Time
	Value    time.Duration // of the phase that is judged; 0: the run failed or had none
	Expected time.Duration // what is normal at that time; 0: not learnt yet
	Limit    time.Duration // what the short median must pass to be slow; 0: none
	Change   time.Time     // a change of level declared by this result, dated back; zero: none
	State    string        // "ok", "degraded", "down"
}

// Point is one latency of the past, from which a baseline may be learnt.
type Point struct {
	At    time.Time
	Value time.Duration
}
