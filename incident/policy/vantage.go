package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Quorum says how many vantages must see a problem before it counts in full. The zero value is the default. Another number changes
// nothing for a vantage that has no peers.
type Quorum struct {
	Need     int           `yaml:"need" default:"0" doc:"So many vantages must see a problem before it counts in full, or all where fewer see and have measured it; 0: more than half of those."`
	AloneFor time.Duration `yaml:"alone_for" default:"15m" doc:"A problem that fewer see is priority 4, and counts in full when it has lasted this long."`
}

// aloneFor is the default of Quorum.AloneFor.
const aloneFor = 15 * time.Minute

// Of returns how many of n vantages that see and have measured something are a quorum.
func (q Quorum) Of(n int) int {
	if q.Need > 0 {
		return min(q.Need, max(n, 1))
	}
	return n/2 + 1
}

// Lasting returns how long a problem that no quorum sees lasts before it counts in full.
func (q Quorum) Lasting() time.Duration {
	if q.AloneFor > 0 {
		return q.AloneFor
	}
	return aloneFor
}

// Alone is who sees a problem where no quorum of the vantages does. The zero value: a quorum does, or there is one vantage.
type Alone struct {
	From   []string      // vantages that see it
	Others []string      // vantages that measured the same and do not
	Lasted time.Duration // it has lasted for so long that it counts in full all the same; 0: it has not
}

// Is reports whether no quorum sees the problem.
func (a Alone) Is() bool { return len(a.From) > 0 }

// rank is the reading of "end-user problems": what fewer vantages than a quorum see is priority 4 until it has lasted.
func (a Alone) rank(p incident.Priority) incident.Priority {
	if a.Is() && a.Lasted == 0 && p != incident.NoPriority {
		return incident.P4
	}
	return p
}

// Narrow returns a verdict as it is where only so many vantages see what it speaks of.
func (a Alone) Narrow(v Verdict) Verdict {
	if !a.Is() || v.Priority == incident.NoPriority {
		return v
	}
	full := v.Priority
	v.Priority = a.rank(full)
	v.Title += " from " + List(a.From)
	switch {
	case a.Lasted > 0:
		v.Why += fmt.Sprintf("; %s, for longer than %s", a.Seen(), span(a.Lasted))
	case v.Priority != full:
		v.Why = fmt.Sprintf("reading of the contract: what a quorum of the vantages does not see is an end-user problem, it would be %s: %s, %s", full, a.Seen(), v.Why)
	default:
		v.Why += "; " + a.Seen()
	}
	return v
}

// Seen says from where a problem is seen, and from where not, as a clause.
func (a Alone) Seen() string {
	if len(a.Others) == 0 {
		return "seen from " + List(a.From) + " only"
	}
	return "seen from " + List(a.From) + " only, not from " + List(a.Others)
}

// List names vantages: "dk", "dk and weu", "dk, neu and weu".
func List(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	names = slices.Clone(names)
	if n := len(names); n > 1 {
		names = append(names[:n-2], names[n-2]+" and "+names[n-1])
	}
	return strings.Join(names, ", ")
}
