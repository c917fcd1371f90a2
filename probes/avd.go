package probes

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// AVD asks Microsoft's front doors of Azure Virtual Desktop, those that every user passes: the web, broker and gateway services,
// feed discovery and the sign-in page. It needs no account. It knows nothing of the tenant's own hosts: see AVDPool.
type AVD struct {
	Cloud    string       `yaml:"cloud" default:"public" enum:"public,us-gov,china" doc:"Azure cloud that the users connect to."`
	Doors    []string     `yaml:"doors" enum:"web,broker,gateway,feed,sign-in" doc:"Front doors that are asked; all five unless given."`
	Gateway  string       `yaml:"gateway" doc:"A gateway that is asked besides: the host of gatewayhostname in an .rdp file of the users."`
	RDPFile  string       `yaml:"rdp_file" doc:"An .rdp or .rdpw file of the users, from which that gateway is taken; read when the configuration is loaded."`
	TenantID string       `yaml:"tenant_id" default:"common" doc:"Entra tenant, id or domain, whose sign-in page is asked."`
	Proxy    secret.Value `yaml:"proxy" doc:"Address of an HTTP or HTTPS proxy, with its credentials; none is taken from the environment."`
	CAFile   string       `yaml:"ca_file" doc:"PEM file with the authorities that are trusted instead of the system's, for a proxy that opens TLS; read when the configuration is loaded."`

	asked []*door
}

func init() {
	Register(Kind{
		Name:   "avd",
		Doc:    "Asks Microsoft's front doors of Azure Virtual Desktop: web, broker and gateway services, feed discovery and sign-in.",
		New:    func() Probe { return new(AVD) },
		Phases: []string{PhaseDNS, PhaseConnect, PhaseTLS, PhaseFirstByte, PhaseTransfer},
	})
}

// avdHosts are the hosts of one cloud (learn.microsoft.com: required FQDNs and endpoints for Azure Virtual Desktop).
type avdHosts struct{ service, signIn string }

var avdClouds = map[string]avdHosts{
	"":       {"wvd.microsoft.com", "login.microsoftonline.com"},
	"public": {"wvd.microsoft.com", "login.microsoftonline.com"},
	"us-gov": {"wvd.azure.us", "login.microsoftonline.us"},
	"china":  {"wvd.azure.cn", "login.partner.microsoftonline.cn"},
}

// Names of the front doors; a gateway of the users' own is the last.
const (
	doorWeb      = "web"
	doorBroker   = "broker"
	doorGateway  = "gateway"
	doorFeed     = "feed"
	doorSignIn   = "sign-in"
	doorRegional = "regional gateway"
)

// Validate checks the words, reads rdp_file and ca_file, and prepares a request for each front door.
func (p *AVD) Validate() field.Errors {
	var faults field.Errors
	cloud, ok := avdClouds[p.Cloud]
	if !ok {
		faults.AddHint("cloud", "public, us-gov or china", "is no azure cloud")
	}
	if p.TenantID == "" {
		p.TenantID = "common"
	}
	if !tenantPattern.MatchString(p.TenantID) {
		faults.AddHint("tenant_id", "write the tenant's id or its domain", "is not valid")
	}
	gateway := p.regional(&faults)
	checkProxy(&faults, p.Proxy)
	if len(faults) > 0 {
		return faults
	}
	health := func(host string) string { return "https://" + host + "/api/health" }
	all := []*door{
		{name: doorWeb, url: health("rdweb." + cloud.service), judge: judgeHealth},
		{name: doorBroker, url: health("rdbroker." + cloud.service), judge: judgeHealth},
		{name: doorGateway, url: health("rdgateway." + cloud.service), judge: judgeHealth},
		{name: doorFeed, url: "https://rdweb." + cloud.service + "/api/arm/feeddiscovery", judge: judgeFeed},
		{name: doorSignIn, url: "https://" + cloud.signIn + "/" + p.TenantID + "/v2.0/.well-known/openid-configuration", judge: judgeSignIn},
	}
	for i, name := range p.Doors {
		if !slices.ContainsFunc(all, func(d *door) bool { return d.name == name }) {
			faults.AddHint(fmt.Sprintf("doors[%d]", i), "web, broker, gateway, feed or sign-in", "is no front door")
		}
	}
	if gateway != "" {
		all = append(all, &door{name: doorRegional, url: health(gateway), judge: judgeHealth})
	}
	for _, d := range all {
		if len(p.Doors) > 0 && d.name != doorRegional && !slices.Contains(p.Doors, d.name) {
			continue
		}
		d.http = &HTTP{URL: d.url, MaxBody: maxDoor, Version: "auto", Proxy: p.Proxy, CAFile: p.CAFile}
		for _, fault := range d.http.Validate() {
			if !slices.ContainsFunc(faults, func(f field.Error) bool { return f.Path == fault.Path }) { // once for all doors
				faults = append(faults, fault)
			}
		}
		p.asked = append(p.asked, d)
	}
	if len(faults) > 0 {
		p.asked = nil
	}
	return faults
}

// regional returns the host, with its port where it has one, of the gateway that is asked besides; "" when there is none.
func (p *AVD) regional(faults *field.Errors) string {
	gateway, key := p.Gateway, "gateway"
	if p.RDPFile != "" {
		if gateway != "" {
			faults.AddHint("rdp_file", "keep one of them", "gateway and rdp_file are both given")
			return ""
		}
		key = "rdp_file"
		var err error
		if gateway, err = gatewayIn(p.RDPFile); err != nil {
			faults.AddHint(key, "save a desktop of the users as an .rdp file", "%s", clause(err))
			return ""
		}
	}
	if gateway == "" {
		return ""
	}
	address := withPort(gateway, "443")
	host, _, _ := net.SplitHostPort(address)
	if strings.Contains(gateway, "/") || host != "" && !hostPattern.MatchString(host) {
		faults.AddHint(key, "write the host of gatewayhostname, without https://", "is not a host")
		return ""
	}
	checkAddress(faults, key, address)
	return strings.TrimSuffix(address, ":443")
}

// Probe asks all front doors at once, each over a connection of its own, so that one that hangs does not hide the others.
func (p *AVD) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if len(p.asked) == 0 {
		return rec.Finish(Unknown, Internal, "the avd probe was not validated")
	}
	answers := make([]doorAnswer, len(p.asked))
	var all sync.WaitGroup
	for i, d := range p.asked {
		all.Go(func() { answers[i] = d.ask(ctx) })
	}
	all.Wait()
	return p.conclude(rec, answers)
}

// conclude makes one result of the answers. Its phases are those of the front door that took longest, for which the run waited.
// Trouble of the agent's own at any front door puts the others in doubt; an answer that says nothing does not.
func (p *AVD) conclude(rec *Recorder, answers []doorAnswer) Result {
	slowest := &answers[0].Result
	var local, mute *doorAnswer // the first of its sort
	var down []*doorAnswer
	for i := range answers {
		a := &answers[i]
		if a.Duration > slowest.Duration {
			slowest = &a.Result
		}
		switch {
		case a.Outcome == Down:
			down = append(down, a)
		case a.Outcome == Unknown && !a.mute && local == nil:
			local = a
		case a.Outcome != Up && mute == nil:
			mute = a
		}
		rec.Fact(strings.NewReplacer(" ", "_", "-", "_").Replace(a.name), a.fact())
	}
	for _, phase := range slowest.Phases {
		rec.Add(phase.Name, phase.Duration)
	}
	switch {
	case local != nil:
		return rec.Finish(local.Outcome, local.Reason, "%s", local.text())
	case len(down) > 0:
		rec.noteCertificate(down[0].Certificate)
		var texts []string
		for _, a := range down {
			texts = append(texts, a.text())
		}
		if len(down) == 1 {
			return rec.Finish(Down, down[0].Reason, "microsoft's front door fails: %s", texts[0])
		}
		return rec.Finish(Down, down[0].Reason, "%d of microsoft's %d front doors fail: %s", len(down), len(answers), strings.Join(texts, "; "))
	case mute != nil:
		return rec.Finish(mute.Outcome, mute.Reason, "%s", mute.text())
	}
	return rec.Up()
}
