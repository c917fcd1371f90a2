package report

import (
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/incident/sla"
)

// Input is everything that a report is computed from.
type Input struct {
	Agent    string // what the agent calls its version
	Tenant   string // its id
	Name     string // its name for people
	Language string // en or da
	Zone     *time.Location
	From, To time.Time // what is asked for; To is exclusive
	Made     time.Time // when the store was read: what comes after it has not happened yet

	Centre      string    // name of the Operations Centre
	Supported   []string  // the Supported Time Period as configured, for people
	Level       sla.Level // the service level
	HoldEnds    sla.HoldRule
	StatusEvery time.Duration
	StatusFor   []incident.Priority
	Momentary   time.Duration // an outage that recovered by itself within it is momentary
	Windows     []policy.Window
	Orders      []incident.Order // maintenance that people ordered for once
	Primary     string           // name of the desk whose case counts; "": none
	Components  []InputComponent
	Probes      []Probe // witnesses too
	Tales       []Tale  // incidents that touch the time, in whatever order
	Measured    *Measured
}

// until returns the end of what the report covers: the end of what is asked for, or when it was made where that is sooner.
func (in *Input) until() time.Time { return later(in.From, earlier(in.To, in.Made)) }

// InputComponent is a configured component.
type InputComponent struct {
	Name      string
	Essential bool
	Instances int
}

// Probe is a configured probe.
type Probe struct {
	ID        string
	Component string // "" of a witness
	Deciding  bool
	Untimed   bool          // how long it takes says nothing about its target
	Interval  time.Duration // 0 with Schedule
	Schedule  cron.Schedule // in the tenant's zone
}

// leastStep is less than any configured interval; it keeps a schedule that never comes again from standing still.
const leastStep = 10 * time.Millisecond

// next returns when the run after one that started then is due.
func (p *Probe) next(start time.Time, zone *time.Location) time.Time {
	if p.Schedule == nil {
		return start.Add(max(p.Interval, leastStep))
	}
	next := p.Schedule.Next(start.In(zone))
	if next.IsZero() {
		return start
	}
	return next
}

// Tale is an incident with everything that the store knows of it.
type Tale struct {
	Incident incident.Incident
	Timeline []incident.Event
	Cases    []incident.Case
	Notices  []incident.Notice
}

// lead returns the case that counts: that of the primary desk where it exists, the first that exists otherwise, with the first
// reaction of any of them. It is zero where there is no case.
func (t *Tale) lead(primary string) incident.Case {
	var lead incident.Case
	for _, c := range t.Cases {
		if c.Ref == "" && c.Number == "" {
			continue
		}
		if lead.Incident == "" || c.Desk == primary {
			lead = c
		}
	}
	for _, c := range t.Cases {
		if !c.Acknowledged.IsZero() && (lead.Acknowledged.IsZero() || c.Acknowledged.Before(lead.Acknowledged)) {
			lead.Acknowledged, lead.AcknowledgedBy = c.Acknowledged, c.AcknowledgedBy
		}
	}
	return lead
}
