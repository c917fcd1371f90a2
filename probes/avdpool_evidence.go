package probes

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// evidence is what Azure says around a pool. It is asked for on suspicion only, and kept for lookEvery.
type evidence struct {
	asked    time.Time
	machines string // of the hosts that do not serve
	incident string // that Microsoft reports itself
	missing  string // what could not be asked
	views    map[string]power
	health   map[string]string // of machines, by lower-case resource id
	power    error             // why no machine's power is known
}

const (
	lookEvery    = 2 * time.Minute
	maxMachines  = 10 // of which the power is asked in one run
	maxGroups    = 2  // of which the health is asked in one run
	computeAPI   = "2024-07-01"
	healthAPI    = "2022-10-01"
	serviceNames = "virtual desktop" // Service Health has had Azure Virtual Desktop and Windows Virtual Desktop
)

// look asks for the power and the health of machines whose hosts do not serve, and for incidents that Microsoft reports, within
// the time that is left; what cannot be had is named in missing. It writes what it learns about machines into pool.
func (p *AVDPool) look(ctx context.Context, run *azureRun, pool *poolReading) evidence {
	if deadline, ok := ctx.Deadline(); ok { // leave time to report
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(deadline)*4/5))
		defer cancel()
	}
	suspects := pool.suspects()
	p.azure.mu.Lock()
	e := p.azure.looks
	p.azure.mu.Unlock()
	if time.Since(e.asked) >= lookEvery || !e.covers(suspects) {
		e = p.gather(ctx, pool, suspects)
		p.azure.mu.Lock()
		p.azure.looks = e
		p.azure.mu.Unlock()
	}
	pool.readPower, pool.reads = e.power, run.reads
	var told []string
	for _, h := range suspects {
		h.power, h.health = e.views[strings.ToLower(h.vm)], e.health[strings.ToLower(h.vm)]
		if text := machineText(h); text != "" && len(told) < maxMachines {
			told = append(told, text)
		}
	}
	e.machines = strings.Join(told, ", ")
	return e
}

// suspects returns the hosts of which the machine matters: those that do not serve and were not told to.
func (p *hostPool) suspects() []*poolHost {
	var all []*poolHost
	for i := range p.hosts {
		switch p.class(&p.hosts[i]) {
		case classBad, classSilent, classOff, classUnclear:
			all = append(all, &p.hosts[i])
		default:
		}
	}
	return all
}

// covers reports whether the machines of all suspects were asked for, as far as one run goes.
func (e *evidence) covers(suspects []*poolHost) bool {
	for i, h := range suspects {
		if _, ok := e.views[strings.ToLower(h.vm)]; !ok && i < maxMachines && h.vm != "" {
			return false
		}
	}
	return true
}

func machineText(h *poolHost) string {
	word := [...]string{powerOn: "running", powerOff: "not running"}[h.power]
	if h.health != "" {
		word = strings.TrimPrefix(word+", "+h.health, ", ")
	}
	if word == "" {
		return ""
	}
	return h.name + ": " + word
}

func (p *AVDPool) gather(ctx context.Context, pool *poolReading, suspects []*poolHost) evidence {
	e := evidence{asked: time.Now(), views: map[string]power{}, health: map[string]string{}}
	var missing []string
	miss := func(what string, err error) {
		switch {
		case err == nil:
		case refused(err):
			missing = append(missing, what+" not readable: the identity lacks the right")
		default:
			missing = append(missing, what+" not read")
		}
	}
	e.power = p.powers(ctx, suspects, e.views)
	miss("power of machines", e.power)
	miss("resource health", p.healths(ctx, suspects, e.health))
	incident, err := p.incident(ctx, pool.location)
	miss("service health", err)
	e.incident, e.missing = incident, strings.Join(missing, "; ")
	return e
}

// machineID returns the id of a host's machine in a path, or "" when the host has none that is a virtual machine.
func machineID(h *poolHost) (path, group string) {
	id, err := arm.ParseResourceID(h.vm)
	if err != nil || !strings.EqualFold(id.ResourceType.String(), "Microsoft.Compute/virtualMachines") || strings.ContainsAny(h.vm, "?#%\\") || strings.Contains(h.vm, "..") {
		return "", ""
	}
	return id.String(), "/subscriptions/" + id.SubscriptionID + "/resourceGroups/" + id.ResourceGroupName
}

// powers asks for the instance view of machines, one after the other, and returns the first error.
func (p *AVDPool) powers(ctx context.Context, suspects []*poolHost, into map[string]power) error {
	var first error
	for _, h := range suspects[:min(len(suspects), maxMachines)] {
		path, _ := machineID(h)
		into[strings.ToLower(h.vm)] = powerUnknown
		if path == "" {
			continue
		}
		var view struct {
			Statuses []struct {
				Code string `json:"code"`
			} `json:"statuses"`
		}
		if err := p.get(ctx, path+"/instanceView", "api-version="+computeAPI, &view); err != nil {
			if first == nil {
				first = err
			}
			if refused(err) || ctx.Err() != nil {
				return first // the others would be refused too
			}
			continue
		}
		for _, s := range view.Statuses {
			into[strings.ToLower(h.vm)] = max(into[strings.ToLower(h.vm)], powerOf(s.Code))
		}
	}
	return first
}

// powerOf reads a code of an instance view. A machine that starts or stops is neither on nor off.
func powerOf(code string) power {
	switch code {
	case "PowerState/running":
		return powerOn
	case "PowerState/deallocated", "PowerState/stopped", "PowerState/deallocating", "PowerState/stopping":
		return powerOff
	}
	return powerUnknown
}

// healths asks Resource Health for the groups of the machines.
func (p *AVDPool) healths(ctx context.Context, suspects []*poolHost, into map[string]string) error {
	var groups []string
	for _, h := range suspects {
		if _, group := machineID(h); group != "" && !slices.ContainsFunc(groups, func(g string) bool { return strings.EqualFold(g, group) }) && len(groups) < maxGroups {
			groups = append(groups, group)
		}
	}
	for _, group := range groups {
		var list struct {
			Value []struct {
				ID         string         `json:"id"`
				Properties resourceHealth `json:"properties"`
			} `json:"value"`
		}
		if err := p.get(ctx, group+"/providers/Microsoft.ResourceHealth/availabilityStatuses", "api-version="+healthAPI, &list); err != nil {
			return err
		}
		for _, s := range list.Value {
			id, _, _ := strings.Cut(strings.ToLower(s.ID), "/providers/microsoft.resourcehealth/")
			if text := s.Properties.text(); text != "" && len(into) < maxHosts {
				into[id] = text
			}
		}
	}
	return nil
}

// resourceHealth is Resource Health's word on one machine (api-version 2022-10-01).
type resourceHealth struct {
	State   string `json:"availabilityState"`
	Reason  string `json:"reasonType"`
	Context string `json:"context"`
	Title   string `json:"title"`
}

// text says who stopped a machine; "" for one that is well, or of which nothing is known.
func (h resourceHealth) text() string {
	if h.State != "Unavailable" && h.State != "Degraded" {
		return ""
	}
	cause := strings.ToLower(h.Reason + " " + h.Context)
	by := "cause not stated"
	switch {
	case strings.Contains(cause, "user") || strings.Contains(cause, "customer"):
		by = "initiated by a user"
	case strings.Contains(cause, "planned") || strings.Contains(cause, "platform"):
		by = "initiated by the platform"
	}
	title := ""
	if h.Title != "" {
		title = ": " + Printable(h.Title, 60)
	}
	return "azure reports " + strings.ToLower(h.State) + ", " + by + title
}

// serviceEvent is an event of Service Health (api-version 2022-10-01).
type serviceEvent struct {
	Name       string `json:"name"` // the tracking id
	Properties struct {
		Type   string `json:"eventType"`
		Status string `json:"status"`
		Title  string `json:"title"`
		Impact []struct {
			Service string `json:"impactedService"`
			Regions []struct {
				Region string `json:"impactedRegion"`
			} `json:"impactedRegions"`
		} `json:"impact"`
	} `json:"properties"`
}

// incident asks Service Health for an active incident of Azure Virtual Desktop, or of virtual machines, in a location.
func (p *AVDPool) incident(ctx context.Context, location string) (string, error) {
	var list struct {
		Value []serviceEvent `json:"value"`
	}
	query := url.Values{"api-version": {healthAPI}, "$filter": {"eventType eq 'ServiceIssue' and status eq 'Active'"}}
	if err := p.get(ctx, "/subscriptions/"+p.Subscription+"/providers/Microsoft.ResourceHealth/events", query.Encode(), &list); err != nil {
		return "", err
	}
	for _, event := range list.Value {
		if event.Properties.Type != "ServiceIssue" || event.Properties.Status != "Active" {
			continue
		}
		for _, impact := range event.Properties.Impact {
			service := strings.ToLower(impact.Service)
			if !strings.Contains(service, serviceNames) && service != "virtual machines" {
				continue
			}
			for _, r := range impact.Regions {
				if sameRegion(r.Region, location) {
					return fmt.Sprintf("microsoft reports an incident in %s: %s (%s)", Printable(r.Region, 40), Printable(event.Properties.Title, 90), Printable(event.Name, 20)), nil
				}
			}
		}
	}
	return "", nil
}

// sameRegion compares a region as people read it with one as ARM writes it: West Europe, westeurope.
func sameRegion(region, location string) bool {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }
	return plain(region) == "global" || location != "" && plain(region) == plain(location)
}

// get makes one plain read of Azure Resource Manager.
func (p *AVDPool) get(ctx context.Context, path, query string, into any) error {
	request, err := runtime.NewRequest(ctx, http.MethodGet, runtime.JoinPaths(p.azure.plain.Endpoint(), path)+"?"+query)
	if err != nil {
		return err
	}
	request.Raw().Header.Set("Accept", "application/json")
	response, err := p.azure.plain.Pipeline().Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return runtime.NewResponseError(response)
	}
	return runtime.UnmarshalAsJSON(response, into)
}
