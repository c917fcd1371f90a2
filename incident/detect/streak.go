package detect

import (
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// Streak confirms a condition by so many bad results in a row, and its end by so many good ones. It is the whole state of
// the threshold and functional machines, and of the outage machine but for what is known of the path's loss. The zero value has
// seen nothing.
type Streak struct {
	Bad       int               `json:"bad,omitempty"`  // in a row, while not confirmed
	Good      int               `json:"good,omitempty"` // in a row, while confirmed
	Goods     int               `json:"goods,omitempty"`
	Bads      int               `json:"bads,omitempty"` // all since it was confirmed, those that confirmed it too
	FirstBad  time.Time         `json:"first_bad,omitzero"`
	FirstGood time.Time         `json:"first_good,omitzero"`
	Finding   *incident.Finding `json:"finding,omitempty"` // while confirmed
}

// confirmed reports whether the condition holds.
func (s *Streak) confirmed() bool { return s.Finding != nil }

// suspect reports whether the newest result was bad and is not confirmed.
func (s *Streak) suspect() bool { return s.Finding == nil && s.Bad > 0 }

// bad counts a bad result. It returns true when that confirms the condition (the caller then calls confirm), and how many
// quick re-probes are wanted to get there.
func (s *Streak) bad(r probes.Result, need int) (confirms bool, rechecks int) {
	s.Good = 0
	if s.confirmed() {
		s.Bads++
		return false, 0
	}
	if s.Bad == 0 {
		s.FirstBad = r.Start
	}
	s.Bad++
	if s.Bad >= need {
		return true, 0
	}
	// The first failure, and a scheduled run that finds the count still open because re-probes were of no use, ask again.
	if s.Bad == 1 || !r.Recheck {
		return false, need - s.Bad
	}
	return false, 0
}

// confirm makes the condition hold.
func (s *Streak) confirm(f incident.Finding) {
	s.Finding = &f
	s.Goods, s.Bads, s.Bad = 0, max(s.Bad, 1), 0
}

// good counts a good result. It returns the ended finding when that confirms the end, and how many quick re-probes are
// wanted to get there.
func (s *Streak) good(r probes.Result, need int) (ended *incident.Finding, rechecks int) {
	s.Bad = 0
	if !s.confirmed() {
		return nil, 0
	}
	if s.Good == 0 {
		s.FirstGood = r.Start
	}
	s.Good++
	s.Goods++
	if s.Good >= need {
		ended = s.Finding
		ended.Ended = s.FirstGood
		*s = Streak{}
		return ended, 0
	}
	if s.Good == 1 || !r.Recheck {
		return nil, need - s.Good
	}
	return nil, 0
}

// goodNeeded returns how many good results in a row, at the least that many, are no luck: while the condition held, good and bad
// ones came before them.
func (s *Streak) goodNeeded(least int) int {
	const (
		plausible = .01 // chance of luck that is taken
		most      = 10
	)
	need, good, bad := max(least, 1), s.Goods-s.Good, s.Bads
	if good == 0 {
		return need
	}
	share := float64(good+1) / float64(good+bad+2)
	chance := 1.
	for range need {
		chance *= share
	}
	for ; chance > plausible && need < most; need++ {
		chance *= share
	}
	return need
}

// began reports whether the bad run is going on and a run begun at that instant is older than it: its end says nothing.
func (s *Streak) began(start time.Time) bool {
	return (s.suspect() || s.confirmed()) && start.Before(s.FirstBad)
}

// forget drops what is not confirmed.
func (s *Streak) forget() { s.Bad, s.Good = 0, 0 }
