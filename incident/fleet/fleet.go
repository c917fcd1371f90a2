// Package fleet tells what many tenants have in common: faults of several of them that have one cause. It is pure: faults come in with
// their times, and the same faults give the same fleet incidents, however often and however late it is asked.
//
// A scope is a component of the tenants that share a label (virtual-desktop in region westeurope). Faults that begin there within a
// window are one cause when chance does not explain them: see Rules.Odds. What is found keeps its key and takes in what follows.
package fleet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Tenant is a tenant that could be affected.
type Tenant struct {
	ID         string
	Labels     map[string]string
	Components []string
}

// Fault is an incident of one tenant.
type Fault struct {
	Tenant     string
	Incident   string // its id
	Class      incident.Class
	Components []string // the root; of incident.Solution that and all its components
	Reason     string
	Priority   incident.Priority // the highest that it had
	Started    time.Time         // start of the first failing result
	Opened     time.Time         // when it was confirmed
	Ended      time.Time         // start of the first good result; zero while it lasts
}

// AgentComponent is the component of every tenant that the agent itself is: its silence and its blindness.
const AgentComponent = "agent"

// Scope is what the members of a fleet incident share.
type Scope struct {
	Class      incident.Class `json:"class"`
	Components []string       `json:"components"`       // one of these is concerned; empty: any
	Label      string         `json:"label,omitempty"`  // "": every tenant
	Values     []string       `json:"values,omitempty"` // of the label
}

// Member is a tenant that a fleet incident has taken in.
type Member struct {
	Tenant     string            `json:"tenant"`
	Incidents  []string          `json:"incidents"`  // the tenant's own, in the order in which they joined
	Components []string          `json:"components"` // that fail, or failed
	Reason     string            `json:"reason"`     // of the first
	Priority   incident.Priority `json:"priority"`   // the highest
	Started    time.Time         `json:"started"`
	Ended      time.Time         `json:"ended,omitzero"`    // zero while one of them lasts
	Outside    bool              `json:"outside,omitempty"` // it began with the others, but does not lie in the scope that tells most about them
}

// Incident is a fleet incident: faults of several tenants with one cause. It is an incident of a pseudo-tenant: see Parent.
type Incident struct {
	Key     string    `json:"key"` // deterministic; it stays as members come and go
	Scope   Scope     `json:"scope"`
	Members []Member  `json:"members"` // by start, then by tenant
	Of      int       `json:"of"`      // tenants that the scope has; of these Within are members
	Started time.Time `json:"started"` // of the earliest member when it was found
	Found   time.Time `json:"found"`   // when the fault that gave it away was confirmed
	First   int       `json:"first"`   // members when it was found
	Odds    float64   `json:"odds"`    // so many a year would come by chance, at what was known when it was found
	Ended   time.Time `json:"ended,omitzero"`
	Closed  time.Time `json:"closed,omitzero"` // when that was decided; zero while it lasts

	Patience  time.Duration `json:"patience"`  // how long after the newest member a further one joins
	Explained int           `json:"explained"` // members when its scope was chosen
}

// Open reports whether it lasts.
func (i Incident) Open() bool { return i.Closed.IsZero() }

// Failing returns how many members fail now.
func (i Incident) Failing() int {
	n := 0
	for _, m := range i.Members {
		if m.Ended.IsZero() {
			n++
		}
	}
	return n
}

// Within returns how many members lie in the scope.
func (i Incident) Within() int {
	n := 0
	for _, m := range i.Members {
		if !m.Outside {
			n++
		}
	}
	return n
}

// Priority returns the highest that a member had.
func (i Incident) Priority() incident.Priority {
	p := incident.NoPriority
	for _, m := range i.Members {
		if m.Priority.Above(p) {
			p = m.Priority
		}
	}
	return p
}

// member returns the member of that tenant; nil when there is none.
func (i *Incident) member(tenant string) *Member {
	n := slices.IndexFunc(i.Members, func(m Member) bool { return m.Tenant == tenant })
	if n < 0 {
		return nil
	}
	return &i.Members[n]
}

// add takes a fault in.
func (i *Incident) add(f Fault) {
	m := i.member(f.Tenant)
	if m == nil {
		i.Members = append(i.Members, Member{Tenant: f.Tenant, Reason: f.Reason, Started: f.Started, Ended: f.Ended})
		m = &i.Members[len(i.Members)-1]
	}
	if !slices.Contains(m.Incidents, f.Incident) {
		m.Incidents = append(m.Incidents, f.Incident)
	}
	m.Components = union(m.Components, f.Components)
	if f.Priority.Above(m.Priority) {
		m.Priority = f.Priority
	}
	if f.Started.Before(m.Started) {
		m.Started = f.Started
	}
	switch {
	case f.Ended.IsZero():
		m.Ended = time.Time{}
	case !m.Ended.IsZero() && f.Ended.After(m.Ended):
		m.Ended = f.Ended
	}
}

// covers reports whether a fault of the tenant lies in the scope.
func (s Scope) covers(f Fault, t Tenant) bool {
	return s.Class == f.Class && s.about(f.Components) && s.holds(t)
}

func (s Scope) about(components []string) bool {
	return len(s.Components) == 0 || slices.ContainsFunc(components, func(c string) bool { return slices.Contains(s.Components, c) })
}

// holds reports whether the tenant's label is the scope's.
func (s Scope) holds(t Tenant) bool {
	if s.Label == "" {
		return true
	}
	value, ok := t.Labels[s.Label]
	return ok && slices.Contains(s.Values, value)
}

// has reports whether the tenant could fail in the scope.
func (s Scope) has(t Tenant) bool {
	return s.holds(t) && (len(s.Components) == 0 || slices.ContainsFunc(s.Components, func(c string) bool {
		return c == incident.Solution || c == AgentComponent || slices.Contains(t.Components, c)
	}))
}

// related reports whether the two have a component or a value of a label in common.
func (s Scope) related(o Scope) bool {
	share := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
	}
	return s.Class == o.Class && (share(s.Components, o.Components) || s.Label == o.Label && share(s.Values, o.Values))
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// Root returns a word for the scope, as it stands in the key.
func (s Scope) Root() string {
	parts := slices.Clone(s.Components)
	if len(parts) == 0 {
		parts = []string{"any"}
	}
	return strings.Join(append(parts, s.Values...), "-")
}

// byStart orders members.
func byStart(a, b Member) int {
	return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Tenant, b.Tenant))
}

// id tells scopes apart.
func (s Scope) id() string {
	return string(s.Class) + "\x00" + strings.Join(s.Components, "\x01") + "\x00" + s.Label + "\x00" + strings.Join(s.Values, "\x01")
}
