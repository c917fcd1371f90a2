package report

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
)

// Schema is the version of the report's JSON form. It rises when a key changes its meaning or goes; new keys may come without.
const Schema = 1

// Report is a service-level report. docs/report.md defines every figure of it.
type Report struct {
	Schema   int         `json:"schema"`
	Agent    string      `json:"agent"`
	Tenant   string      `json:"tenant"`
	Name     string      `json:"name"`
	Language string      `json:"language"`
	TimeZone string      `json:"time_zone"`
	From     time.Time   `json:"from"`
	To       time.Time   `json:"to"`
	Until    time.Time   `json:"until"` // end of what it covers
	SoFar    bool        `json:"so_far"`
	Made     time.Time   `json:"made"`
	Period   Seconds     `json:"period_seconds"` // from From to Until
	Method   Method      `json:"method"`
	Parts    []Component `json:"components"`
	// The incidents that touch the time and are brought to the Operations Centre, in the order in which they were opened.
	Incidents  []Incident `json:"incidents"`
	Functional []string   `json:"functional_incidents"` // ids of those that are the application's matter
	Reactions  []Reaction `json:"reactions"`            // by priority, of the incidents opened in the time
	Mails      []Mails    `json:"status_mails"`         // by channel
	Alarms     Alarms     `json:"alarms"`
	Latency    []Latency  `json:"latency"`
	Coverage   Coverage   `json:"coverage"`
	// The same for the same figures, whenever, by whichever version and in whichever language the report is made.
	Fingerprint string `json:"fingerprint"`

	zone *time.Location
}

// Method is what the figures depend on and the report therefore says: as configured when it was made.
type Method struct {
	Centre      string              `json:"operations_centre"`
	Supported   []string            `json:"supported"`
	Reaction    map[string]Seconds  `json:"reaction_limits"` // by priority
	HoldEnds    string              `json:"hold_ends"`
	StatusEvery Seconds             `json:"status_every_seconds"`
	StatusFor   []incident.Priority `json:"status_for"`
	Grace       Seconds             `json:"status_grace_seconds"` // how late a status mail may be and is on time
	Momentary   Seconds             `json:"momentary_seconds"`
	Windows     []string            `json:"maintenance_windows"` // names
	Ordered     []Ordered           `json:"ordered_maintenance"`
	Estimated   []string            `json:"estimated_incidents"` // incidents of an earlier version: their whole length counts for every component
}

// Ordered is maintenance that a person ordered for once.
type Ordered struct {
	Span
	Components []string `json:"components"` // empty: all
	Actor      string   `json:"actor"`
	Reason     string   `json:"reason"`
}

// Component is the availability of one component.
type Component struct {
	Name        string   `json:"name"`
	Essential   bool     `json:"essential"`
	Instances   int      `json:"instances"`
	Maintenance Seconds  `json:"maintenance_seconds"`
	Unmeasured  Seconds  `json:"unmeasured_seconds"` // outside maintenance and outages
	Judged      Seconds  `json:"judged_seconds"`     // the time less maintenance and what was not measured
	Gross       Seconds  `json:"downtime_gross_seconds"`
	Held        Seconds  `json:"downtime_held_seconds"` // of it, on hold for the customer
	Net         Seconds  `json:"downtime_net_seconds"`
	GrossShare  Share    `json:"availability_gross"`
	NetShare    Share    `json:"availability_net"`
	AtLeast     Share    `json:"availability_at_least"` // gross, if all that was not measured had been downtime
	Supported   *Hours   `json:"supported_hours"`       // null where every hour is supported
	Outages     int      `json:"outages"`
	Incidents   []string `json:"incidents"` // ids of those that its downtime comes from
	Days        []Day    `json:"days"`
}

// Hours is the availability in the Supported Time Period.
type Hours struct {
	Judged     Seconds `json:"judged_seconds"`
	Gross      Seconds `json:"downtime_gross_seconds"`
	Net        Seconds `json:"downtime_net_seconds"`
	GrossShare Share   `json:"availability_gross"`
	NetShare   Share   `json:"availability_net"`
}

// Day is one local day of a component.
type Day struct {
	Date        string  `json:"date"`
	Length      Seconds `json:"length_seconds"`
	Maintenance Seconds `json:"maintenance_seconds"`
	Unmeasured  Seconds `json:"unmeasured_seconds"`
	Gross       Seconds `json:"downtime_gross_seconds"`
	Net         Seconds `json:"downtime_net_seconds"`
}

// Incident is one of the report's incidents.
type Incident struct {
	ID         string              `json:"id"`
	Class      incident.Class      `json:"class"`
	Title      string              `json:"title"` // when its priority was highest
	Priority   incident.Priority   `json:"priority"`
	Components []string            `json:"components"`
	Started    time.Time           `json:"started"`
	Opened     time.Time           `json:"opened"`
	Ended      time.Time           `json:"ended,omitzero"`
	Resolution incident.Resolution `json:"resolution"` // "" while it is open
	AbsorbedBy string              `json:"absorbed_by,omitempty"`
	Before     bool                `json:"opened_before"` // before the time: its reaction counts in an earlier report

	Desk      string    `json:"desk,omitempty"`
	Number    string    `json:"case,omitempty"`
	CaseAfter *Seconds  `json:"case_after_seconds"` // from Opened until the case existed at its desk; null: none did
	Due       time.Time `json:"reaction_due,omitzero"`
	Reacted   time.Time `json:"reacted,omitzero"`
	ReactedBy string    `json:"reacted_by,omitempty"`
	Reaction  string    `json:"reaction"` // one of the Reaction... words
	Margin    Seconds   `json:"reaction_margin_seconds"`

	Gross    Seconds            `json:"gross_seconds"` // from Started until it ended or the report was made
	Net      Seconds            `json:"net_seconds"`   // the same less the holds
	Holds    []incident.Hold    `json:"holds"`
	Downtime []Downtime         `json:"downtime"` // of components, in the report's time
	Estimate bool               `json:"estimated"`
	Alarm    []string           `json:"alarm"`  // what speaks against it, see Alarms: false, momentary, lowered, accepted
	Seqs     map[string][]int64 `json:"events"` // sequence numbers in the timeline of what the figures rest on, by kind
}

// Downtime is what an incident adds to the downtime of a component in the report's time, maintenance left out.
type Downtime struct {
	Component string  `json:"component"`
	Spans     []Span  `json:"spans"`
	Gross     Seconds `json:"gross_seconds"`
	Net       Seconds `json:"net_seconds"`
}

// What became of a reaction.
const (
	ReactionMet     = "met"
	ReactionMissed  = "missed"  // nobody had reacted when it was due
	ReactionPending = "pending" // it is not due yet
	ReactionOver    = "over"    // the incident was over before it was due, and nobody had reacted
)

// Reaction is how the incidents of a priority that were opened in the time were reacted to.
type Reaction struct {
	Priority  incident.Priority `json:"priority"`
	Limit     Seconds           `json:"limit_seconds"`
	Incidents int               `json:"incidents"`
	Met       int               `json:"met"`
	Missed    int               `json:"missed"`
	Over      int               `json:"over"`
	Pending   int               `json:"pending"`
	Least     *Seconds          `json:"least_margin_seconds"` // of those met or missed; null: there is none
}

// Mails is what was due to the customer by one channel.
type Mails struct {
	Channel string  `json:"channel"` // the notifier's name, or "case notes": status in the case
	Due     int     `json:"due"`
	OnTime  int     `json:"on_time"`
	Late    int     `json:"late"`
	Missing int     `json:"missing"`
	Latest  Seconds `json:"latest_seconds"` // the longest delay of one that was sent
	First   int     `json:"first"`          // mails that told of a new case
	Closing int     `json:"closing"`        // and of its end
	Unsent  int     `json:"unsent"`         // of first and closing ones, those not sent
}

// Alarms is how many of the incidents that were opened in the time deserved a case.
type Alarms struct {
	Opened    int      `json:"opened"`
	Cases     int      `json:"cases"`
	False     []string `json:"false"`     // ids: a person said so
	Momentary []string `json:"momentary"` // over by themselves within the policy's momentary time
	Lowered   []string `json:"lowered"`   // the priority fell while it lasted
	Accepted  []string `json:"accepted"`  // the latency was taken as normal
	Absorbed  []string `json:"absorbed"`  // a wider incident explained it
}

// Latency is how long the runs of one probe took that were answered.
type Latency struct {
	Probe     string   `json:"probe"`
	Component string   `json:"component"`
	Runs      int64    `json:"runs"`
	P50       *Seconds `json:"p50_seconds"` // null where no hour's distribution is known
	P95       *Seconds `json:"p95_seconds"`
	P99       *Seconds `json:"p99_seconds"`
	Mean      Seconds  `json:"mean_seconds"`
	Least     Seconds  `json:"min_seconds"`
	Most      Seconds  `json:"max_seconds"`
	Source    string   `json:"source"`        // FromRuns, FromHours, or both
	Error     float64  `json:"error"`         // largest relative error of the percentiles
	Hours     int      `json:"hours"`         // with a run that was answered
	Missing   int      `json:"hours_missing"` // of them, those without a distribution: not in the percentiles

	list []hour
}

// Coverage is how much of the time the agent itself measured.
type Coverage struct {
	Share    Share           `json:"share"`
	Measured Seconds         `json:"measured_seconds"`
	Stopped  Seconds         `json:"stopped_seconds"` // no run at all
	Blind    Seconds         `json:"blind_seconds"`   // runs that told nothing: blind, or late
	Gaps     []Gap           `json:"gaps"`            // the longest ones, in order of time
	GapCount int             `json:"gap_count"`
	Troubles []Trouble       `json:"troubles"` // the agent's own incidents
	Probes   []ProbeCoverage `json:"probes"`
}

// Gap is a time in which nothing was measured.
type Gap struct {
	Span
	Kind string `json:"kind"` // stopped or blind
}

// The kinds of gap.
const (
	GapStopped = "stopped"
	GapBlind   = "blind"
)

// Trouble is an incident of the agent itself.
type Trouble struct {
	ID      string    `json:"id"`
	Title   string    `json:"title"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
}

// ProbeCoverage is how much of the time one probe measured.
type ProbeCoverage struct {
	Probe    string `json:"probe"`
	Runs     int64  `json:"runs"` // quick re-probes too
	Expected int64  `json:"expected"`
	Unknown  int64  `json:"unknown"`
	Lagging  int64  `json:"lagging"`
	Share    Share  `json:"share"`
	ByHour   int    `json:"hours_by_roll_up"` // hours of which single results are gone
}

// Seconds is a duration that JSON has in seconds.
type Seconds time.Duration

// MarshalJSON returns the seconds as a number.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// Share is a part of a time. JSON has it as a number from 0 to 1, null where the whole is nothing.
type Share struct{ Part, Whole time.Duration }

// Known reports whether there is a whole to have a share of.
func (s Share) Known() bool { return s.Whole > 0 }

// Ratio returns the share as a number from 0 to 1; 0 where it is not known.
func (s Share) Ratio() float64 {
	if !s.Known() {
		return 0
	}
	return float64(s.Part) / float64(s.Whole)
}

// MarshalJSON implements json.Marshaler.
func (s Share) MarshalJSON() ([]byte, error) {
	if !s.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(s.Ratio())
}
