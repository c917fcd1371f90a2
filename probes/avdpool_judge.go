package probes

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Words of Azure for the status of a session host (Microsoft.DesktopVirtualization, api-version 2024-04-03).
const (
	hostAvailable       = "Available"
	hostNeedsAssistance = "NeedsAssistance"
	hostUpgrading       = "Upgrading"
	hostUpgradeFailed   = "UpgradeFailed"
	hostShutdown        = "Shutdown"
	hostUnavailable     = "Unavailable"
	hostNoHeartbeat     = "NoHeartbeat"
	hostDisconnected    = "Disconnected"
)

// noNewSessions are the other statuses in which a host takes no session; its agent reports them, so it runs.
var noNewSessions = []string{"DomainTrustRelationshipLost", "FSLogixNotHealthy", "NotJoinedToDomain", "SxSStackListenerNotReady"}

// fatalChecks are the health checks whose failure keeps users out; all others leave the host in service.
var fatalChecks = []string{"DomainJoinedCheck", "DomainTrustCheck", "SxSStackListenerCheck", "DomainReachable", "FSLogixHealthCheck", "SupportedEncryptionCheck"}

// updateTakes is how long an update of the agent may keep a host out of service before it counts as stuck: as long as the
// maintenance windows of a host pool are.
const updateTakes = 2 * time.Hour

// power is whether a virtual machine runs.
type power uint8

const (
	powerUnknown power = iota
	powerOn
	powerOff
)

// planState is what the scaling plan of a host pool means for hosts that are off.
type planState uint8

const (
	planNone   planState = iota // none, or not enabled for the pool
	planRests                   // hosts may be off or draining: it is the plan's doing
	planDue                     // the plan itself wants hosts to run at this hour
	planUnread                  // the identity may not read it
)

// hostCheck is a failed health check.
type hostCheck struct {
	name, message string
	code          int32
}

func (c hostCheck) fatal() bool { return slices.Contains(fatalChecks, c.name) }

// poolHost is what is known of a session host.
type poolHost struct {
	name      string
	status    string    // "" when Azure did not say
	heartbeat time.Time // zero when Azure did not say
	draining  bool
	sessions  int
	updating  time.Time // since when its agent is updated; zero when it is not
	update    string    // why the last update failed
	assigned  bool      // to a user, in a personal pool
	failed    []hostCheck
	vm        string // resource id of its virtual machine
	power     power
	health    string // what Resource Health says of its virtual machine
}

// hostPool is everything that the judgement of a pool rests on.
type hostPool struct {
	now       time.Time     // by Azure's clock
	within    time.Duration // oldest heartbeat that is believed
	personal  bool
	limit     int // sessions of a host; 0: no limit
	starts    bool
	plan      planState
	planText  string
	readPower error // why the power of machines is not known; nil when it was not asked for, or is known
	hosts     []poolHost
}

// hostClass is where a host stands towards a user who logs on now.
type hostClass uint8

const (
	classServing  hostClass = iota // takes a new session
	classFull                      // would, but for its session limit
	classDraining                  // told not to take new sessions
	classUpdating                  // its agent is being updated
	classOff                       // machine is not running
	classSilent                    // off or broken: the power of its machine is not known, and the pool starts machines by itself
	classBad                       // serves nobody, and nobody asked for that
	classUnclear                   // a status that this version does not know
	classes
)

var classWords = [classes]string{"available", "full", "in drain mode", "being updated", "off", "silent", "unhealthy", "in an unknown state"}

// takes reports whether a host with this status takes new sessions. For Upgrading and UpgradeFailed Microsoft's page says yes
// and the SDK's comments say no: they count as yes, so that an update of the agents is no outage.
func takes(status string) bool {
	return status == hostAvailable || status == hostNeedsAssistance || status == hostUpgrading || status == hostUpgradeFailed
}

// stale reports whether the last heartbeat is too old. A host was seen to be Available for days without one.
func (p *hostPool) stale(h *poolHost) bool {
	return !h.heartbeat.IsZero() && p.now.Sub(h.heartbeat) > p.within
}

// restarts reports whether the pool starts machines by itself, so that one that is off is normal.
func (p *hostPool) restarts() bool { return p.starts || p.plan != planNone }

// class sorts a host.
func (p *hostPool) class(h *poolHost) hostClass {
	stale := p.stale(h)
	mute := stale || h.status == hostUnavailable || h.status == hostNoHeartbeat || h.status == hostDisconnected
	switch {
	case takes(h.status) && !stale:
		switch {
		case h.draining:
			return classDraining
		case !p.personal && p.limit > 0 && h.sessions >= p.limit:
			return classFull
		}
		return classServing
	case h.power == powerOff, h.status == hostShutdown && h.power != powerOn:
		return classOff
	case h.draining:
		return classDraining
	case !h.updating.IsZero() && p.now.Sub(h.updating) < updateTakes:
		return classUpdating
	case mute && h.power == powerUnknown && p.restarts():
		return classSilent
	case mute, h.status == hostShutdown, slices.Contains(noNewSessions, h.status):
		return classBad
	}
	return classUnclear
}

// sick reports whether something is wrong with the host, in service or not.
func (h *poolHost) sick(c hostClass) bool {
	return c == classBad || c <= classDraining && (h.status == hostNeedsAssistance || h.status == hostUpgradeFailed || len(h.failed) > 0)
}

// why says in a few words what is wrong with a host.
func (p *hostPool) why(h *poolHost) string {
	var parts []string
	if p.stale(h) {
		parts = append(parts, "no heartbeat for "+days(p.now.Sub(h.heartbeat)))
	}
	for _, fatal := range []bool{true, false} {
		for _, check := range h.failed {
			if check.fatal() == fatal && len(parts) < 4 {
				parts = append(parts, check.name+" failed")
			}
		}
	}
	if h.power == powerOn && !takes(h.status) {
		parts = append(parts, "its machine runs")
	}
	if h.health != "" {
		parts = append(parts, h.health)
	}
	status := h.status
	if status == "" {
		status = "no status"
	}
	if len(parts) == 0 {
		return h.name + " " + status
	}
	return h.name + " " + status + " (" + strings.Join(parts, ", ") + ")"
}

// poolVerdict is what a pool's state means.
type poolVerdict struct {
	outcome  Outcome
	reason   Reason
	detail   string
	counts   [classes]int
	bad      []string // hosts that serve nobody, each with why
	sick     []string // hosts that serve with a fault
	suspect  bool     // worth a look at machines and Microsoft's own notices
	capacity int      // sessions of the hosts that serve or can be started; 0: not limited, or none
	used     int
	free     int
	desktops int // hosts of a personal pool that are nobody's yet and take a session
}

// judgePool judges one reading of a pool. It is pure.
func judgePool(p *hostPool) poolVerdict {
	var v poolVerdict
	for i := range p.hosts {
		h := &p.hosts[i]
		c := p.class(h)
		v.counts[c]++
		switch {
		case c == classBad || c == classSilent || c == classUnclear:
			v.bad = append(v.bad, p.why(h))
		case h.sick(c):
			v.sick = append(v.sick, p.why(h))
		}
		if !h.assigned && c == classServing {
			v.desktops++
		}
		if c == classServing || c == classFull || c == classOff && p.restarts() {
			v.capacity += p.limit
			v.used += h.sessions
			v.free += max(0, p.limit-h.sessions)
		}
	}
	v.outcome, v.reason, v.detail = v.decide(p)
	v.suspect = v.outcome == Down || v.outcome == Unknown || len(v.bad) > 0
	return v
}

// decide is the table of docs/probes-avd.md.
func (v *poolVerdict) decide(p *hostPool) (Outcome, Reason, string) {
	n := &v.counts
	rests := p.plan == planRests
	switch all := len(p.hosts); {
	case all == 0 && (rests || p.plan == planDue):
		return Degraded, Capacity, "the host pool has no session hosts at present; its scaling plan may create them"
	case all == 0 && p.plan == planUnread:
		return Unknown, Auth, "the host pool has no session hosts, and the probe's identity may not read whether a scaling plan creates them: give it Microsoft.DesktopVirtualization/*/read"
	case all == 0:
		return Down, Status, "the host pool has no session hosts: nobody can log on"
	case n[classServing] > 0 || n[classOff] > 0 && p.starts:
		return v.served(p)
	case n[classFull] > 0 && n[classOff] > 0 && (rests || p.plan == planDue):
		return Degraded, Capacity, fmt.Sprintf("every running session host is full (%s); the scaling plan has %s off that it may start", v.summary(), hosts(n[classOff]))
	case n[classSilent] > 0:
		return v.silent(p)
	case rests && n[classOff]+n[classDraining] > 0 && n[classFull]+n[classBad] == 0:
		return Up, None, ""
	case p.plan == planUnread && n[classOff] > 0:
		return Unknown, Auth, "no session host runs, and the probe's identity may not read whether a scaling plan wants that: give it Microsoft.DesktopVirtualization/*/read"
	case n[classUnclear] > 0:
		return Unknown, Internal, fmt.Sprintf("no session host takes sessions for certain, and azure reports a status that this version does not know: %s", listed(v.bad))
	case n[classUpdating] > 0 && n[classBad]+n[classFull] == 0:
		return Degraded, Capacity, fmt.Sprintf("no session host takes sessions while agents are updated (%s)", v.summary())
	}
	detail := fmt.Sprintf("none of %s takes a new session: %s", hosts(len(p.hosts)), v.summary())
	if p.plan == planDue && n[classOff] > 0 {
		detail += "; " + p.planText
	}
	if len(v.bad) > 0 {
		detail += "; " + listed(v.bad)
	}
	return Down, Status, detail
}

// served judges a pool that takes new sessions.
func (v *poolVerdict) served(p *hostPool) (Outcome, Reason, string) {
	if v.counts[classBad] == 0 {
		return Up, None, ""
	}
	return Degraded, Capacity, fmt.Sprintf("%d of %s cannot serve: %s; %d take new sessions", v.counts[classBad], hosts(len(p.hosts)), listed(v.bad), v.counts[classServing])
}

// silent judges a pool whose hosts are off, as they may be, or broken.
func (v *poolVerdict) silent(p *hostPool) (Outcome, Reason, string) {
	reason, cause := Local, "the state of their machines could not be read"
	if refused(p.readPower) {
		reason, cause = Auth, "the probe's identity may not read the power of their machines: give it Microsoft.Compute/virtualMachines/instanceView/read"
	}
	return Unknown, reason, fmt.Sprintf("no session host answers (%s): they may be switched off, which start vm on connect or the scaling plan would end, or lost; %s", v.summary(), cause)
}

// summary counts the hosts of each class that there is.
func (v *poolVerdict) summary() string {
	var parts []string
	for c, n := range v.counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, classWords[c]))
		}
	}
	return strings.Join(parts, ", ")
}

func hosts(n int) string {
	if n == 1 {
		return "1 session host"
	}
	return fmt.Sprintf("%d session hosts", n)
}

// listed names the first three.
func listed(all []string) string {
	if len(all) <= 3 {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:3], ", ") + fmt.Sprintf(" and %d more", len(all)-3)
}
