package probes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

const (
	subscription = "11111111-2222-3333-4444-555555555555"
	application  = "aaaaaaaa-2222-3333-4444-555555555555"
	poolPath     = "/subscriptions/" + subscription + "/resourceGroups/rg-acme/providers/Microsoft.DesktopVirtualization/hostPools/hp-acme"
	machines     = "/subscriptions/" + subscription + "/resourceGroups/rg-vms/providers/Microsoft.Compute/virtualMachines/"
	bearer       = "a-token-that-must-not-be-seen-0123456789"
)

// azure stands in for Entra and Azure Resource Manager. It answers what Microsoft documents, and what a test sets by path.
type azure struct {
	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by path
	asked   []string                    // methods and paths, in order
	faults  []string
}

func newAzure() *azure {
	a := &azure{answers: map[string]http.HandlerFunc{}}
	a.say("/acme.example/v2.0/.well-known/openid-configuration", `{"issuer":"https://login.microsoftonline.com/acme.example/v2.0",
		"authorization_endpoint":"https://login.microsoftonline.com/acme.example/oauth2/v2.0/authorize",
		"token_endpoint":"https://login.microsoftonline.com/acme.example/oauth2/v2.0/token"}`)
	a.set("/acme.example/oauth2/v2.0/token", a.token)
	a.say(poolPath, pooled(10, false))
	a.say(poolPath+"/sessionHosts", list(sessionHost(0, "Available", 3), sessionHost(1, "Available", 4)))
	a.say(poolPath+"/scalingPlans", list())
	return a
}

func (a *azure) set(path string, answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[path] = answer
}

func (a *azure) say(path, body string) { a.set(path, status(200, body)) }

// token grants a token as RFC 7523 section 2.2 has it: to an assertion.
func (a *azure) token(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("client_assertion") == "" {
		status(http.StatusUnauthorized, `{"error":"invalid_client"}`)(w, r)
		return
	}
	if r.PostFormValue("client_id") != application || r.PostFormValue("grant_type") != "client_credentials" {
		a.fault("a token is asked for with %v", r.PostForm)
	}
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, bearer)
}

func (a *azure) fault(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, fmt.Sprintf(format, args...))
}

func (a *azure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	a.mu.Lock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	answer := a.answers[r.URL.Path]
	a.mu.Unlock()
	toARM := r.Host == "management.azure.com"
	switch got := r.Header.Get("Authorization"); {
	case toARM && got != "Bearer "+bearer || !toARM && got != "":
		a.fault("%s %s has the authorization %q", r.Host, r.URL.Path, got)
	case toARM && r.Method != http.MethodGet:
		a.fault("%s %s: it must only read", r.Method, r.URL.Path)
	case toARM && r.URL.Query().Get("api-version") == "":
		a.fault("%s has no api-version", r.URL)
	case strings.Contains(r.UserAgent(), "azsdk"):
		a.fault("telemetry: %s", r.UserAgent())
	}
	if answer == nil {
		http.Error(w, `{"error":{"code":"ResourceNotFound"}}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer(w, r)
}

// reads returns how often Azure Resource Manager was asked, and tokens how often Entra for a token.
func (a *azure) count(part string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, asked := range a.asked {
		if strings.Contains(asked, part) {
			n++
		}
	}
	return n
}

func pooled(limit int, starts bool) string {
	return fmt.Sprintf(`{"id":%q,"location":"westeurope","properties":{"hostPoolType":"Pooled","loadBalancerType":"BreadthFirst","maxSessionLimit":%d,"startVMOnConnect":%t}}`, poolPath, limit, starts)
}

func sessionHost(n int, status string, sessions int) string {
	return fmt.Sprintf(`{"name":"hp-acme/vm-%d.corp.example","properties":{"status":%q,"lastHeartBeat":%q,"allowNewSession":true,"sessions":%d,"resourceId":"%svm-%d",
		"sessionHostHealthCheckResults":[{"healthCheckName":"DomainTrustCheck","healthCheckResult":%q,"additionalFailureDetails":{"errorCode":5,"message":"no trust"}}]}}`,
		n, status, time.Now().UTC().Format(time.RFC3339), sessions, machines, n, map[bool]string{true: "HealthCheckSucceeded", false: "HealthCheckFailed"}[status == "Available"])
}

func list(entries ...string) string { return `{"value":[` + strings.Join(entries, ",") + `]}` }

// noProxy leaves the environment without proxies and identities.
func noProxy(t testing.TB) {
	t.Helper()
	for _, name := range []string{
		"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy",
		"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_REGIONAL_AUTHORITY_NAME",
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT",
	} {
		if old, ok := os.LookupEnv(name); ok {
			t.Setenv(name, old) // puts it back
			_ = os.Unsetenv(name)
		}
	}
}

// serviceToken writes a token of a Kubernetes service account.
func serviceToken(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "azure-identity-token")
	if err := os.WriteFile(file, []byte("a.service.token"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// poolProbe returns a probe that takes address for all of Azure; with workload identity unless edit changes it.
func poolProbe(t testing.TB, address, ca string, edit func(*probes.AVDPool)) *probes.AVDPool {
	t.Helper()
	noProxy(t)
	p := &probes.AVDPool{
		Subscription: subscription, ResourceGroup: "rg-acme", HostPool: "hp-acme", Cloud: "public", Credential: "workload-identity",
		TenantID: "acme.example", ClientID: application, FederatedTokenFile: serviceToken(t), HeartbeatWithin: 30 * time.Minute, CAFile: ca,
	}
	if edit != nil {
		edit(p)
	}
	valid(t, p)
	p.DialTo(func(string) string { return address })
	return p
}

// served returns a probe of what a stands in for.
func (a *azure) served(t testing.TB, edit func(*probes.AVDPool)) *probes.AVDPool {
	t.Helper()
	address, ca := azureTLS(t, a)
	t.Cleanup(func() {
		for _, fault := range a.faults {
			t.Error(fault)
		}
	})
	return poolProbe(t, address, ca, edit)
}

// azurePool is a target; change sets what is not as it should be.
func azurePool(change func(*azure)) probetest.Target {
	return func(t *testing.T) probes.Probe {
		a := newAzure()
		if change != nil {
			change(a)
		}
		return a.served(t, nil)
	}
}

func TestAVDPoolContract(t *testing.T) {
	everything := func(t *testing.T, address string) probes.Probe { return poolProbe(t, address, "", nil) }
	scenarios := probetest.Peers(everything)
	for i := range scenarios { // nothing between the agent and Azure is the pool's fault
		scenarios[i].Outcome, scenarios[i].Reasons = probes.Unknown, []probes.Reason{probes.Local}
	}
	unknown := func(name, detail string, reason probes.Reason, change func(*azure)) probetest.Scenario {
		return probetest.Scenario{Name: name, Target: azurePool(change), Outcome: probes.Unknown, Reasons: []probes.Reason{reason}, Verify: wantDetail(detail)}
	}
	endlessly := func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.WriteString(w, `{"value":[`)
		for piece := strings.Repeat(" ", 8<<10); err == nil; {
			_, err = io.WriteString(w, piece)
		}
	}
	slowly := unknown("arm hangs", "azure resource manager did not answer in time", probes.Local, func(a *azure) { a.set(poolPath, hangs) })
	slowly.Timeout = 600 * time.Millisecond
	scenarios = append(scenarios, slowly,
		unknown("hosts without end", "the answer is longer than 2048 KiB", probes.Internal, func(a *azure) { a.set(poolPath+"/sessionHosts", endlessly) }),
		unknown("pages without end", "azure lists more than 40 pages of session hosts", probes.Internal, func(a *azure) {
			a.say(poolPath+"/sessionHosts", `{"value":[],"nextLink":"https://management.azure.com`+poolPath+`/sessionHosts?api-version=2024-04-03"}`)
		}),
		unknown("next page elsewhere", "azure refers to evil.example, which gets no token of the probe", probes.Internal, func(a *azure) {
			a.say(poolPath+"/sessionHosts", `{"value":[],"nextLink":"https://evil.example/?api-version=1"}`)
		}),
		unknown("token without end", "microsoft entra cannot be asked", probes.Local, func(a *azure) { a.set("/acme.example/oauth2/v2.0/token", endlessly) }),
		probetest.Scenario{Name: "300 hosts on a page", Outcome: probes.Up, Target: azurePool(func(a *azure) {
			var all []string
			for n := range 300 {
				all = append(all, sessionHost(n, "Available", 1))
			}
			a.say(poolPath+"/sessionHosts", list(all...))
		})},
	)
	probetest.Run(t, probetest.Case{
		Kind: "avd-pool", Good: azurePool(nil), Unproven: true, Scenarios: scenarios,
		Silent: func(t *testing.T) probes.Probe { return everything(t, probetest.Listen(t, probetest.Silence)) },
	})
}

// fails returns an answer of Azure Resource Manager's form.
func fails(code int, word string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		w.Header().Set("X-Ms-Correlation-Request-Id", "c0ffee")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": word, "message": "The client does not."}})
	}
}

// entra makes Entra answer so when it is asked for a token.
func entra(code int, body string) func(*azure) {
	return func(a *azure) { a.set("/acme.example/oauth2/v2.0/token", status(code, body)) }
}

// get makes Azure Resource Manager fail so when it is asked for the pool.
func get(code int, word string) func(*azure) {
	return func(a *azure) { a.set(poolPath, fails(code, word)) }
}

// TestAVDPoolFaults states what every fault between the agent and the pool means.
func TestAVDPoolFaults(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*azure)
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		"entra refuses":    {entra(401, `{"error":"invalid_client","error_description":"AADSTS700213: No matching federated identity record found. Trace ID: 5 Correlation ID: 6"}`), probes.Unknown, probes.Auth, "microsoft entra refuses the probe's identity (workload-identity, client " + application + "): status 401, AADSTS700213: No matching federated identity record found; check client_id, tenant_id and the federated"},
		"entra refuses, -": {entra(400, `no json`), probes.Unknown, probes.Auth, "status 400; check client_id"},
		"entra is down":    {entra(503, ``), probes.Unknown, probes.Local, "microsoft entra answers 503 and gives no token"},
		"entra throttles":  {entra(429, ``), probes.Unknown, probes.Local, "microsoft entra throttles the probe's identity"},
		"entra sends html": {entra(200, `<html>`), probes.Unknown, probes.Local, "microsoft entra"},
		"401":              {get(401, "InvalidAuthenticationTokenTenant"), probes.Unknown, probes.Auth, "azure resource manager does not accept the token of the probe's identity (workload-identity, client " + application + ") (401 InvalidAuthenticationTokenTenant): check tenant_id and cloud"},
		"403":              {get(403, "AuthorizationFailed"), probes.Unknown, probes.Auth, "lacks the right to read host pool hp-acme (403 AuthorizationFailed): assign it the role of docs/probes-avd.md on resource group rg-acme"},
		"pool is gone":     {get(404, "ResourceNotFound"), probes.Down, probes.Status, "azure has no host pool hp-acme in resource group rg-acme (ResourceNotFound): it was deleted or moved, or the configuration names another"},
		"group is gone":    {get(404, "ResourceGroupNotFound"), probes.Down, probes.Status, "azure has no host pool hp-acme"},
		"subscription":     {get(404, "SubscriptionNotFound"), probes.Unknown, probes.Auth, "does not see subscription " + subscription},
		"404 of another":   {func(a *azure) { a.set(poolPath, status(404, "<html>")) }, probes.Unknown, probes.Auth, "does not see subscription"},
		"throttled":        {get(429, "TooManyRequests"), probes.Unknown, probes.Local, "azure resource manager throttles the probe's identity (workload-identity, client " + application + ") (429) and asks to wait 17s"},
		"500":              {get(500, "InternalServerError"), probes.Unknown, probes.Local, "azure resource manager answers 500 InternalServerError: the pool's state is not known"},
		"503":              {get(503, "ServiceUnavailable"), probes.Unknown, probes.Local, "answers 503 ServiceUnavailable"},
		"409":              {get(409, "Conflict"), probes.Unknown, probes.Internal, "azure resource manager answers 409 Conflict to a read of host pool hp-acme"},
		"redirect": {func(a *azure) {
			a.set(poolPath, http.RedirectHandler("https://evil.example/", http.StatusTemporaryRedirect).ServeHTTP)
		}, probes.Unknown, probes.Internal, "azure resource manager answers 307"},
		"html":              {func(a *azure) { a.say(poolPath, "<html><title>Proxy</title>") }, probes.Unknown, probes.Local, "check for a proxy in the way"},
		"hosts, 403":        {func(a *azure) { a.set(poolPath+"/sessionHosts", fails(403, "AuthorizationFailed")) }, probes.Unknown, probes.Auth, "lacks the right"},
		"hosts, 500":        {func(a *azure) { a.set(poolPath+"/sessionHosts", fails(500, "X")) }, probes.Unknown, probes.Local, "answers 500"},
		"hosts, html":       {func(a *azure) { a.say(poolPath+"/sessionHosts", "<html>") }, probes.Unknown, probes.Local, "check for a proxy"},
		"second page fails": {func(a *azure) { a.set(poolPath+"/sessionHosts", secondPage(fails(500, "X"))) }, probes.Unknown, probes.Local, "answers 500"},
		"two pages": {func(a *azure) {
			a.set(poolPath+"/sessionHosts", secondPage(status(200, list(sessionHost(7, "Available", 1)))))
		}, probes.Degraded, probes.Capacity, "1 of 2 session hosts cannot serve: vm-0 Unavailable"},
		"empty answers": {func(a *azure) { a.say(poolPath, "{}"); a.say(poolPath+"/sessionHosts", "{}") }, probes.Down, probes.Status, "has no session hosts"},
		"nulls":         {func(a *azure) { a.say(poolPath+"/sessionHosts", `{"value":[null,{"name":null,"properties":null},{}]}`) }, probes.Unknown, probes.Internal, "status that this version does not know"},
		"new words":     {func(a *azure) { a.say(poolPath+"/sessionHosts", list(sessionHost(1, "BrandNewStatus", 0))) }, probes.Unknown, probes.Internal, "vm-1 BrandNewStatus (DomainTrustCheck failed)"},
		"plans, 403": {func(a *azure) {
			a.say(poolPath+"/sessionHosts", list(sessionHost(1, "Shutdown", 0)))
			a.set(poolPath+"/scalingPlans", fails(403, "X"))
		}, probes.Unknown, probes.Auth, "may not read whether a scaling plan wants that"},
		"plans, 500": {func(a *azure) {
			a.say(poolPath+"/sessionHosts", list(sessionHost(1, "Shutdown", 0)))
			a.set(poolPath+"/scalingPlans", fails(500, "X"))
		}, probes.Unknown, probes.Local, "answers 500"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, azurePool(c.change)(t))
			kind, _ := probes.Lookup("avd-pool")
			probetest.Check(t, kind, r)
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %q: %s; want %s, %q: %s", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			if text := fmt.Sprint(r); strings.Contains(text, bearer) || strings.Contains(text, "service.token") {
				t.Errorf("a token is in %s", text)
			}
		})
	}
}

func secondPage(second http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("skip") != "" {
			second(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"value":[`+sessionHost(0, "Unavailable", 0)+`],"nextLink":"https://management.azure.com`+poolPath+`/sessionHosts?api-version=2024-04-03&skip=1"}`)
	}
}

// TestAVDPoolThrottled states that a throttled probe does not ask before Azure wants to be asked.
func TestAVDPoolThrottled(t *testing.T) {
	a := newAzure()
	a.set(poolPath, fails(429, "TooManyRequests"))
	p := a.served(t, nil)
	run(t, p)
	before := a.count("hostPools")
	r := run(t, p)
	if after := a.count("hostPools"); before != 1 || after != 1 {
		t.Errorf("asked %d times, then %d", before, after)
	}
	if r.Outcome != probes.Unknown || r.Reason != probes.Local || !strings.Contains(r.Detail, "asks not to be asked for another 17s") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

// TestAVDPoolCost states how often Azure is asked: one token an hour, two reads a run, more on suspicion and then not each time.
func TestAVDPoolCost(t *testing.T) {
	a := newAzure()
	p := a.served(t, nil)
	for range 3 {
		if r := run(t, p); r.Outcome != probes.Up || fact(r, "azure_reads") != "2" {
			t.Fatalf("%s, %s: %v", r.Outcome, r.Detail, r.Facts)
		}
	}
	if tokens, reads := a.count("/token"), a.count("/subscriptions/"); tokens != 1 || reads != 6 {
		t.Errorf("%d tokens and %d reads in 3 runs, want 1 and 6: %v", tokens, reads, a.asked)
	}
	a.say(poolPath+"/sessionHosts", list(sessionHost(0, "Unavailable", 0), sessionHost(1, "Unavailable", 0)))
	for i, want := range []string{"7", "3", "3"} { // pool, hosts, plans; two machines, their group, Microsoft's notices
		if r := run(t, p); r.Outcome != probes.Down || fact(r, "azure_reads") != want {
			t.Errorf("run %d of a pool that is down: %s with %s reads, want %s", i, r.Outcome, fact(r, "azure_reads"), want)
		}
	}
}

// TestAVDPoolEvidence states what is told about machines and about Microsoft's own incidents.
func TestAVDPoolEvidence(t *testing.T) {
	a := newAzure()
	a.say(poolPath, pooled(10, true))
	a.say(poolPath+"/sessionHosts", list(sessionHost(0, "Unavailable", 0), sessionHost(1, "Unavailable", 0)))
	for n, state := range []string{"running", "deallocated"} {
		a.say(fmt.Sprintf("%svm-%d/instanceView", machines, n), `{"statuses":[{"code":"ProvisioningState/succeeded"},{"code":"PowerState/`+state+`"}]}`)
	}
	a.say("/subscriptions/"+subscription+"/resourceGroups/rg-vms/providers/Microsoft.ResourceHealth/availabilityStatuses", list(
		`{"id":"`+strings.ToUpper(machines)+`VM-0/providers/Microsoft.ResourceHealth/availabilityStatuses/current","properties":{"availabilityState":"Unavailable","reasonType":"Unplanned","context":"Platform","title":"Host failed"}}`))
	events := "/subscriptions/" + subscription + "/providers/Microsoft.ResourceHealth/events"
	event := func(kind, status, service, region string) string {
		return fmt.Sprintf(`{"name":"1B2-C3","properties":{"eventType":%q,"status":%q,"title":"Users cannot connect","impact":[{"impactedService":%q,"impactedRegions":[{"impactedRegion":%q}]}]}}`, kind, status, service, region)
	}
	a.say(events, list(event("RCA", "Active", "Azure Virtual Desktop", "West Europe"), event("ServiceIssue", "Resolved", "Azure Virtual Desktop", "West Europe"),
		event("ServiceIssue", "Active", "Storage", "West Europe"), event("ServiceIssue", "Active", "Windows Virtual Desktop", "North Europe"), `{"name":"1"}`))
	p := a.served(t, nil)
	r := run(t, p)
	if r.Outcome != probes.Degraded || !strings.Contains(r.Detail, "1 of 2 session hosts cannot serve: vm-0 Unavailable (DomainTrustCheck failed, its machine runs, azure reports unavailable, initiated by the platform: Host failed)") {
		t.Errorf("a machine that runs counts as off, or one that is off as lost: %s: %s", r.Outcome, r.Detail)
	}
	if got := fact(r, "machines"); !strings.Contains(got, "vm-0: running") || !strings.Contains(got, "vm-1: not running") || fact(r, "service_health") != "" {
		t.Errorf("facts are %v", r.Facts)
	}

	a.say(events, list(event("ServiceIssue", "Active", "Azure Virtual Desktop", "West Europe")))
	a.say(machines+"vm-1/instanceView", `{"statuses":[{"code":"PowerState/running"}]}`)
	r = run(t, poolAgain(t, a))
	if r.Outcome != probes.Down || !strings.Contains(r.Detail, "; microsoft reports an incident in West Europe: Users cannot connect (1B2-C3)") {
		t.Errorf("%s: %s", r.Outcome, r.Detail)
	}

	a.set(machines+"vm-0/instanceView", fails(403, "AuthorizationFailed"))
	a.set(events, fails(403, "AuthorizationFailed"))
	r = run(t, poolAgain(t, a))
	if r.Outcome != probes.Unknown || r.Reason != probes.Auth || fact(r, "evidence") != "power of machines not readable: the identity lacks the right; service health not readable: the identity lacks the right" {
		t.Errorf("%s, %s: %s: %v", r.Outcome, r.Reason, r.Detail, r.Facts)
	}
}

func poolAgain(t *testing.T, a *azure) probes.Probe { return a.served(t, nil) }

// TestAVDPoolClock states that a heartbeat's age is taken by Azure's clock, and the numbers that a run has.
func TestAVDPoolClock(t *testing.T) {
	a := newAzure()
	a.set(poolPath+"/sessionHosts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(5*time.Hour).UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, list(sessionHost(0, "Available", 3), sessionHost(1, "Available", 9)))
	})
	r := run(t, a.served(t, nil))
	if r.Outcome != probes.Down || !strings.Contains(r.Detail, "vm-0 Available (no heartbeat for 5 h)") {
		t.Errorf("%s: %s", r.Outcome, r.Detail)
	}
	r = run(t, a.served(t, func(p *probes.AVDPool) { p.HeartbeatWithin = 0 }))
	for name, want := range map[string]float64{"sessions": 60, "sessions_free": 8, "hosts_available": 2, "hosts_unhealthy": 0, "hosts_draining": 0, "hosts_off": 0} {
		if n, ok := r.Number(name); !ok || n.Value != want {
			t.Errorf("%s is %v, want %v", name, n.Value, want)
		}
	}
	if r.Outcome != probes.Up {
		t.Errorf("heartbeat_within: 0 does not believe the status: %s", r.Detail)
	}
}

func TestAVDPoolConfiguration(t *testing.T) {
	noProxy(t)
	good := probes.AVDPool{Subscription: subscription, ResourceGroup: "rg", HostPool: "hp-acme", Credential: "azure-cli"}
	for want, edit := range map[string]func(*probes.AVDPool){
		"": func(*probes.AVDPool) {},
		"subscription: is not valid (write the id, 00000000-0000-0000-0000-000000000000)": func(p *probes.AVDPool) { p.Subscription = "Acme" },
		"resource_group: is not valid (write its name, not its resource id)":              func(p *probes.AVDPool) { p.ResourceGroup = "/subscriptions/x" },
		"host_pool: is not valid (write its name, not its resource id)":                   func(p *probes.AVDPool) { p.HostPool = "hp?x" },
		"cloud: is no azure cloud (public, us-gov or china)":                              func(p *probes.AVDPool) { p.Cloud = "mars" },
		"client_id: has no effect with credential: azure-cli":                             func(p *probes.AVDPool) { p.ClientID = application },
		"tenant_id: has no effect with credential: managed-identity":                      func(p *probes.AVDPool) { p.Credential, p.TenantID = "managed-identity", "x" },
		"certificate: is needed by credential: client-certificate":                        func(p *probes.AVDPool) { p.Credential, p.TenantID, p.ClientID = "client-certificate", "x", application },
		"certificate: is not in PEM form (convert a .pfx with openssl pkcs12 -nodes)": func(p *probes.AVDPool) {
			p.Credential, p.TenantID, p.ClientID, p.Certificate = "client-certificate", "x", application, secret.New("x")
		},
		"heartbeat_within: is negative": func(p *probes.AVDPool) { p.HeartbeatWithin = -1 },
		"proxy: is not the address of a proxy (write http://host:port or https://host:port)": func(p *probes.AVDPool) { p.Proxy = secret.New("socks5://x") },
	} {
		p := good
		edit(&p)
		var got []string
		for _, fault := range p.Validate() {
			got = append(got, fault.Error())
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("faults are %q, want %q", got, want)
		}
	}
}

// imds serves managed identities as 169.254.169.254 does.
func imds(t testing.TB, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestAVDPoolCancelledWait states that a run that waits for another's token ends with its own context.
func TestAVDPoolCancelledWait(t *testing.T) {
	a := newAzure()
	asked := make(chan struct{}, 8)
	a.set("/acme.example/oauth2/v2.0/token", func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	p := a.served(t, nil)
	long, cancel := context.WithCancel(t.Context())
	var first sync.WaitGroup
	first.Go(func() { p.Probe(long) })
	<-asked
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	began := time.Now()
	r := p.Probe(short)
	if took := time.Since(began); took > 2*time.Second || r.Outcome != probes.Unknown {
		t.Errorf("waited %s: %s", took, r.Detail)
	}
	cancel()
	first.Wait()
}
