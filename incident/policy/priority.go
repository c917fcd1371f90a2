package policy

import (
	"fmt"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Status is how a component stands, as far as its priority goes. The zero value is Fine.
type Status uint8

// The statuses.
const (
	Fine           Status = iota
	Inaccessible          // every instance is down
	RedundancyLost        // some, but not all, of two or more instances are down
	Flapping              // answers now, but had repeated momentary outages
	SlowSustained         // a latency regression that has lasted
	SlowPeriodic          // latency regressions that come and go
	LimitPassed           // a resource is over its threshold
)

// Situation is what the priority of one component is judged by.
type Situation struct {
	Component string
	Status    Status
	Instances int       // of the component
	Down      int       // of them, where the status is Inaccessible or RedundancyLost
	Since     time.Time // first failing result
	Count     int       // of repetitions, for Flapping and SlowPeriodic
	Losses    bool      // of Flapping: single runs fail again and again, none for long enough to be an outage
	Alone     Alone     // who sees it, where there are several vantages and no quorum of them does
}

// Verdict is a priority with its title and its reason.
type Verdict struct {
	Priority incident.Priority
	Title    string // "backend is inaccessible"
	Why      string // the contract's sentence, and the numbers
}

// Rank gives a component's situation its priority by the contract's table:
//
//	1  "redundant server application/functionality is inaccessible"
//	2  "non-redundant server application/functionality is inaccessible, sustained speed problems"
//	3  "periodic speed problems, momentary outages"; reading: lost redundancy
//	4  "end-user problems, progression limit for resources exceeded, etc."
//
// What no quorum of the vantages sees is an end-user problem, see Alone.
func Rank(s Situation, r Readings) incident.Priority { return s.Alone.rank(rank(s, r)) }

func rank(s Situation, r Readings) incident.Priority {
	switch s.Status {
	case Inaccessible:
		if s.Instances > 1 {
			return incident.P1
		}
		return incident.P2
	case RedundancyLost:
		return r.RedundancyLost
	case SlowSustained:
		return incident.P2
	case Flapping, SlowPeriodic:
		return incident.P3
	case LimitPassed:
		return incident.P4
	default:
	}
	return incident.NoPriority
}

// Judge gives a component's situation its priority (see Rank) and says why, with the contract's words.
func Judge(s Situation, r Readings) Verdict { return s.Alone.Narrow(judge(s, r)) }

func judge(s Situation, r Readings) Verdict {
	p := rank(s, r)
	since := s.Since.UTC().Format("2006-01-02 15:04:05 UTC")
	switch s.Status {
	case Inaccessible:
		if s.Instances > 1 {
			return Verdict{
				p, s.Component + " is inaccessible",
				fmt.Sprintf("a redundant server application or functionality is inaccessible: %d of %d instances of %s down since %s", s.Down, s.Instances, s.Component, since),
			}
		}
		return Verdict{
			p, s.Component + " is inaccessible",
			fmt.Sprintf("a non-redundant server application or functionality is inaccessible: %s, with one instance, down since %s", s.Component, since),
		}
	case RedundancyLost:
		return Verdict{
			p, s.Component + " has lost redundancy",
			fmt.Sprintf("reading of the contract: redundancy is lost, the function is still served: %d of %d instances of %s down since %s", s.Down, s.Instances, s.Component, since),
		}
	case Flapping:
		if s.Losses {
			return Verdict{
				p, s.Component + " has momentary outages",
				fmt.Sprintf("momentary outages: %s fails again and again since %s, each time for less than it takes to confirm an outage", s.Component, since),
			}
		}
		return Verdict{
			p, s.Component + " has momentary outages",
			fmt.Sprintf("momentary outages: %d of %s within %s, each recovered within %s", s.Count, s.Component, span(r.MomentaryWindow), span(r.Momentary)),
		}
	case SlowSustained:
		return Verdict{
			p, s.Component + " is slow",
			fmt.Sprintf("sustained speed problems: %s slow since %s, longer than %s", s.Component, since, span(r.Sustained)),
		}
	case SlowPeriodic:
		return Verdict{
			p, s.Component + " has periodic speed problems",
			fmt.Sprintf("periodic speed problems: %d of %s within %s", s.Count, s.Component, span(r.PeriodicWindow)),
		}
	case LimitPassed:
		return Verdict{
			p, s.Component + " passed a resource limit",
			fmt.Sprintf("progression limit for resources exceeded: %s since %s", s.Component, since),
		}
	case Fine:
	}
	return Verdict{}
}

// EntireSolution is the verdict when every essential component is inaccessible: priority 1, "the entire customer solution is
// inaccessible".
func EntireSolution(essential int, since time.Time) Verdict {
	down := fmt.Sprintf("all %d essential components down, the first", essential)
	if essential == 1 {
		down = "its one essential component down"
	}
	return Verdict{
		incident.P1, "the entire customer solution is inaccessible",
		fmt.Sprintf("the entire customer solution is inaccessible: %s since %s", down, since.UTC().Format("2006-01-02 15:04:05 UTC")),
	}
}

// span prints a duration without needless zeros: 5m, 1h, 6h, 90s.
func span(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
