package probes

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	avd "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/desktopvirtualization/armdesktopvirtualization/v2"
)

// poolReading is a pool with what is shown of it and not judged.
type poolReading struct {
	hostPool
	location   string
	algorithm  string
	validation bool
	evidence   evidence
	reads      int
	requestID  string
}

// unlimited is the session limit that Azure writes for none.
const unlimited = 999999

// read asks for the pool, its hosts and, where some of them are out of service, its scaling plans.
func (p *AVDPool) read(ctx context.Context, run *azureRun) (*poolReading, error) {
	got, err := p.azure.pools.Get(ctx, p.ResourceGroup, p.HostPool, nil)
	if err != nil {
		return nil, err
	}
	pool := &poolReading{location: value(got.Location)}
	pool.within = p.HeartbeatWithin
	if p.HeartbeatWithin == 0 {
		pool.within = 1<<63 - 1
	}
	if properties := got.Properties; properties != nil {
		pool.algorithm = string(value(properties.LoadBalancerType))
		pool.personal = value(properties.HostPoolType) == avd.HostPoolTypePersonal || value(properties.LoadBalancerType) == avd.LoadBalancerTypePersistent
		pool.starts = value(properties.StartVMOnConnect)
		pool.validation = value(properties.ValidationEnvironment)
		if limit := value(properties.MaxSessionLimit); limit > 0 && limit < unlimited && !pool.personal {
			pool.limit = int(limit)
		}
	}
	if pool.hosts, err = p.readHosts(ctx); err != nil {
		return nil, err
	}
	pool.now = run.clock()
	if pool.needsPlan() {
		pool.plan, pool.planText, err = p.readPlans(ctx, pool.now, value(got.ID))
	}
	pool.reads, pool.requestID = run.reads, run.requestID
	return pool, err
}

// needsPlan reports whether a scaling plan would say something about the hosts.
func (p *hostPool) needsPlan() bool {
	for i := range p.hosts {
		if c := p.class(&p.hosts[i]); c != classServing {
			return true
		}
	}
	return len(p.hosts) == 0
}

// tooManyError is a list that has no end, or as good as none.
type tooManyError struct{ what string }

func (e tooManyError) Error() string { return "azure lists more than " + e.what }

func (p *AVDPool) readHosts(ctx context.Context) ([]poolHost, error) {
	var all []poolHost
	pager := p.azure.hosts.NewListPager(p.ResourceGroup, p.HostPool, nil)
	for page := 0; pager.More(); page++ {
		if page == maxPages {
			return nil, tooManyError{strconv.Itoa(maxPages) + " pages of session hosts"}
		}
		got, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, h := range got.Value {
			if h != nil {
				all = append(all, hostOf(h))
			}
		}
		if len(all) > maxHosts {
			return nil, tooManyError{strconv.Itoa(maxHosts) + " session hosts"}
		}
	}
	return all, nil
}

// hostOf takes over what is judged. Any field may be missing, and any word be a new one.
func hostOf(h *avd.SessionHost) poolHost {
	host := poolHost{name: hostName(value(h.Name))}
	p := h.Properties
	if p == nil {
		return host
	}
	host.status = Printable(string(value(p.Status)), 40)
	host.heartbeat = value(p.LastHeartBeat)
	host.draining = p.AllowNewSession != nil && !*p.AllowNewSession
	host.sessions = max(0, int(value(p.Sessions)))
	host.assigned = value(p.AssignedUser) != ""
	host.vm = value(p.ResourceID)
	switch value(p.UpdateState) {
	case avd.UpdateStateStarted:
		host.updating = value(p.LastUpdateTime)
	case avd.UpdateStateFailed:
		host.update = Printable(value(p.UpdateErrorMessage), 100)
	default:
	}
	for _, check := range p.SessionHostHealthCheckResults {
		if check == nil || value(check.HealthCheckResult) != avd.HealthCheckResultHealthCheckFailed || len(host.failed) == 8 {
			continue
		}
		failed := hostCheck{name: Printable(string(value(check.HealthCheckName)), 40)}
		if d := check.AdditionalFailureDetails; d != nil {
			failed.message, failed.code = Printable(value(d.Message), 120), value(d.ErrorCode)
		}
		host.failed = append(host.failed, failed)
	}
	return host
}

// hostName returns the machine's short name: Azure writes pool/machine.domain.
func hostName(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, ".")
	if name == "" {
		return "a host without a name"
	}
	return Printable(name, 63)
}

// readPlans says what the scaling plans mean for hosts that are out of service. That they may not be read is no error: it
// matters only where the judgement rests on them.
func (p *AVDPool) readPlans(ctx context.Context, now time.Time, id string) (planState, string, error) {
	if id == "" {
		id = fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.DesktopVirtualization/hostPools/%s", p.Subscription, p.ResourceGroup, p.HostPool)
	}
	var all []*avd.ScalingPlan
	pager := p.azure.plans.NewListByHostPoolPager(p.ResourceGroup, p.HostPool, nil)
	for page := 0; pager.More(); page++ {
		got, err := pager.NextPage(ctx)
		switch {
		case refused(err):
			return planUnread, "not readable: the identity lacks the right to read scaling plans", nil
		case err != nil:
			return planNone, "", err
		case page == maxPages:
			return planNone, "", tooManyError{strconv.Itoa(maxPages) + " pages of scaling plans"}
		}
		all = append(all, got.Value...)
	}
	state, text := planOf(all, id, now)
	return state, text, nil
}

// report writes down what was read and counted.
func report(rec *Recorder, p *poolReading, v *poolVerdict) {
	kind, limit := "pooled", "no session limit"
	if p.limit > 0 {
		limit = fmt.Sprintf("%d sessions a host", p.limit)
	}
	if p.personal {
		kind, limit = "personal", "one user a host"
	}
	pool := []string{kind, Printable(p.algorithm, 40), limit, Printable(p.location, 40)}
	if p.validation {
		pool = append(pool, "validation environment")
	}
	if p.starts {
		pool = append(pool, "start vm on connect")
	}
	rec.Fact("pool", strings.Join(pool, ", "))
	rec.Fact("hosts", fmt.Sprintf("%d: %s", len(p.hosts), v.summary()))
	rec.Fact("unhealthy", strings.Join(append(v.bad, v.sick...), ", "))
	rec.Fact("checks", p.checks())
	rec.Fact("updates", p.updates())
	rec.Fact("scaling_plan", p.planText)
	rec.Fact("machines", p.evidence.machines)
	rec.Fact("service_health", p.evidence.incident)
	rec.Fact("evidence", p.evidence.missing)
	rec.Fact("azure_reads", strconv.Itoa(p.reads))
	if v.outcome != Up {
		rec.Fact("correlation_id", Printable(p.requestID, 64))
	}
	if v.capacity > 0 {
		rec.Number("sessions", 100*float64(v.used)/float64(v.capacity))
		rec.Number("sessions_free", float64(v.free))
	}
	rec.Number("hosts_available", float64(v.counts[classServing]))
	rec.Number("hosts_unhealthy", float64(v.counts[classBad]+len(v.sick)))
	rec.Number("hosts_draining", float64(v.counts[classDraining]))
	rec.Number("hosts_off", float64(v.counts[classOff]))
	if p.personal {
		rec.Number("desktops_free", float64(v.desktops))
	}
}

// checks lists the failed health checks with what Azure says of them.
func (p *hostPool) checks() string {
	var all []string
	for i := range p.hosts {
		for _, c := range p.hosts[i].failed {
			weight := "not fatal"
			if c.fatal() {
				weight = "fatal"
			}
			text := fmt.Sprintf("%s: %s (%s, code %d)", p.hosts[i].name, c.name, weight, c.code)
			if c.message != "" {
				text += ": " + c.message
			}
			if all = append(all, text); len(all) == 8 {
				return strings.Join(all, "; ")
			}
		}
	}
	return strings.Join(all, "; ")
}

// updates lists failed updates of the hosts' agents.
func (p *hostPool) updates() string {
	var all []string
	for i := range p.hosts {
		if p.hosts[i].update != "" && len(all) < 5 {
			all = append(all, p.hosts[i].name+": "+p.hosts[i].update)
		}
	}
	return strings.Join(all, "; ")
}
