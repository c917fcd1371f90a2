package probes

import (
	"context"
	"net/url"
	"regexp"
	"time"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// Words of the key credential.
const (
	workloadIdentity  = "workload-identity"
	managedIdentity   = "managed-identity"
	azureCLI          = "azure-cli"
	clientCertificate = "client-certificate"
)

// AVDPool asks Azure Resource Manager for a host pool of Azure Virtual Desktop and its session hosts, and judges whether a
// user who logs on now gets a session. It only reads. What goes wrong between the agent and Azure, its identity included, is
// Unknown: it proves nothing about the hosts.
type AVDPool struct {
	Subscription  string `yaml:"subscription" required:"true" doc:"Id of the Azure subscription."`
	ResourceGroup string `yaml:"resource_group" required:"true" doc:"Resource group of the host pool."`
	HostPool      string `yaml:"host_pool" required:"true" doc:"Name of the host pool."`
	Cloud         string `yaml:"cloud" default:"public" enum:"public,us-gov,china" doc:"Azure cloud that the subscription is in."`

	Credential         string       `yaml:"credential" required:"true" enum:"workload-identity,managed-identity,azure-cli,client-certificate" doc:"Whose identity the probe uses: that of its Kubernetes service account, of its Azure machine, of the person who is logged in to the Azure CLI, or of an application with a certificate."`
	TenantID           string       `yaml:"tenant_id" doc:"Entra tenant of the identity. Needed by client-certificate; workload-identity takes AZURE_TENANT_ID unless given, azure-cli its own."`
	ClientID           string       `yaml:"client_id" doc:"Application id of the identity. Needed by client-certificate; workload-identity takes AZURE_CLIENT_ID unless given, managed-identity the machine's own identity."`
	FederatedTokenFile string       `yaml:"federated_token_file" doc:"File with the token of the Kubernetes service account, for workload-identity; AZURE_FEDERATED_TOKEN_FILE unless given."`
	Certificate        secret.Value `yaml:"certificate" doc:"Certificate and private key of the application in PEM form, for client-certificate."`

	HeartbeatWithin time.Duration `yaml:"heartbeat_within" default:"30m" doc:"A session host whose last heartbeat is older serves nobody, whatever its status says; 0 believes the status."`
	Proxy           secret.Value  `yaml:"proxy" doc:"Address of an HTTP or HTTPS proxy, with its credentials; that of HTTPS_PROXY and NO_PROXY unless given."`
	CAFile          string        `yaml:"ca_file" doc:"PEM file with the authorities that are trusted instead of the system's, for a proxy that opens TLS; read when the configuration is loaded."`

	azure  *azureAccess
	masked []secret.Value
}

func init() {
	Register(Kind{
		Name:    "avd-pool",
		Doc:     "Asks Azure for a host pool of Azure Virtual Desktop: whether a session host takes a new session, and how many sessions are left.",
		New:     func() Probe { return new(AVDPool) },
		Phases:  []string{PhaseDNS, PhaseConnect, PhaseTLS, PhaseFirstByte, PhaseTransfer},
		Untimed: true,
		Numbers: []NumberKind{
			{Name: "sessions", Doc: "Share of the pool's sessions that is in use, on hosts that serve or can be started.", Unit: "%", Full: 100},
			{Name: "sessions_free", Doc: "Sessions that are left on these hosts.", Low: true},
			{Name: "hosts_available", Doc: "Session hosts that take a new session.", Low: true},
			{Name: "hosts_unhealthy", Doc: "Session hosts with a fault, in service or not."},
			{Name: "hosts_draining", Doc: "Session hosts in drain mode."},
			{Name: "hosts_off", Doc: "Session hosts whose machine does not run."},
			{Name: "desktops_free", Doc: "Available desktops of a personal pool that are not assigned yet.", Low: true},
		},
	})
}

var (
	guidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	// As Azure's naming rules for resource groups and host pools have them.
	groupPattern  = regexp.MustCompile(`^[-\w._()\p{L}]{1,90}$`)
	poolPattern   = regexp.MustCompile(`^[A-Za-z0-9][-\w.]{1,62}\w$`)
	tenantPattern = regexp.MustCompile(`^[-A-Za-z0-9.]+$`)
)

// Validate checks names, the keys that go with the credential, and the certificate; it asks nobody. What the environment
// gives (AZURE_CLIENT_ID and its like) is looked for by Probe, since a configuration is also checked elsewhere.
func (p *AVDPool) Validate() field.Errors {
	var faults field.Errors
	check := func(path, value string, pattern *regexp.Regexp, hint string) {
		if value != "" && !pattern.MatchString(value) {
			faults.AddHint(path, hint, "is not valid")
		}
	}
	check("subscription", p.Subscription, guidPattern, "write the id, 00000000-0000-0000-0000-000000000000")
	check("resource_group", p.ResourceGroup, groupPattern, "write its name, not its resource id")
	check("host_pool", p.HostPool, poolPattern, "write its name, not its resource id")
	p.identity().check(&faults)
	cloud, ok := azureClouds[p.Cloud]
	if !ok {
		faults.AddHint("cloud", "public, us-gov or china", "is no azure cloud")
	}
	if p.HeartbeatWithin < 0 {
		faults.Add("heartbeat_within", "is negative")
	}
	proxy := checkProxy(&faults, p.Proxy)
	pool := loadPool(&faults, "ca_file", p.CAFile)
	if len(faults) > 0 {
		return faults
	}
	p.masked = []secret.Value{p.Certificate, p.Proxy, passwordOf(proxy)}
	access, err := newAzureAccess(cloud, p.Subscription, p.identity().builder(), azureProxy(proxy), pool)
	if err != nil {
		faults.Add("", "%s", clause(err))
	}
	p.azure = access
	return faults
}

// identity is whose the requests are.
func (p *AVDPool) identity() azureIdentity {
	return azureIdentity{p.Credential, p.TenantID, p.ClientID, p.FederatedTokenFile, p.Certificate, "the pool's state", "the probe's identity"}
}

// Probe reads the pool, its hosts and, where it matters, its scaling plans; on suspicion also its machines and Microsoft's
// own notices.
func (p *AVDPool) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if p.azure == nil {
		return rec.Finish(Unknown, Internal, "the avd-pool probe was not validated")
	}
	rec.Mask(p.masked...)
	run := p.azure.begin(rec)
	defer run.end()
	ctx = run.context(ctx)
	if wait := p.azure.paused(); wait > 0 {
		return rec.Finish(Unknown, Local, "azure resource manager throttles the probe's identity and asks not to be asked for another %s", wait.Round(time.Second))
	}
	if err := p.azure.identity.prepare(ctx); err != nil {
		outcome, reason, detail := p.identity().judge(ctx, err)
		return p.finish(rec, outcome, reason, detail)
	}
	pool, err := p.read(ctx, run)
	if err != nil {
		outcome, reason, detail := p.judgeARM(ctx, rec, err)
		return p.finish(rec, outcome, reason, detail)
	}
	verdict := judgePool(&pool.hostPool)
	if verdict.suspect {
		pool.evidence = p.look(ctx, run, pool)
		verdict = judgePool(&pool.hostPool)
	}
	report(rec, pool, &verdict)
	if verdict.outcome == Up {
		return rec.Up()
	}
	detail := verdict.detail
	if pool.evidence.incident != "" {
		detail = Printable(detail, MaxDetail-len(pool.evidence.incident)-len("; ")) + "; " + pool.evidence.incident
	}
	return p.finish(rec, verdict.outcome, verdict.reason, detail)
}

// finish ends a run. That the probe's own identity is refused, or lacks a right, is its owner's to mend.
func (p *AVDPool) finish(rec *Recorder, outcome Outcome, reason Reason, detail string) Result {
	if outcome == Unknown && reason == Auth {
		rec.Fact(FactAccount, detail)
	}
	return rec.Finish(outcome, reason, "%s", detail)
}

// UsesAccount reports that the probe has an identity of its own.
func (p *AVDPool) UsesAccount() bool { return true }

// passwordOf returns the password in an address, to be masked.
func passwordOf(u *url.URL) secret.Value {
	if u == nil {
		return secret.Value{}
	}
	password, _ := u.User.Password()
	return secret.New(password)
}
