package probes_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	avd "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/desktopvirtualization/armdesktopvirtualization/v2"
	avdfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/desktopvirtualization/armdesktopvirtualization/v2/fake"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest"
)

// applicationCertificate returns a certificate with its RSA key in PEM form.
func applicationCertificate(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "firstcall"}, NotAfter: days(30)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return b.String()
}

// managed sets a probe to managed identity. The SDK keeps tokens of managed identities for the whole process, so each test has
// a client of its own.
func managed(client int) func(*probes.AVDPool) {
	return func(p *probes.AVDPool) {
		p.Credential, p.TenantID, p.FederatedTokenFile = "managed-identity", "", ""
		p.ClientID = fmt.Sprintf("bbbbbbbb-0000-0000-0000-%012d", client)
	}
}

// managedBy returns a probe with a managed identity that identities serves and Azure that a stands in for.
func managedBy(t *testing.T, a *azure, client int, identities http.HandlerFunc) *probes.AVDPool {
	t.Helper()
	address, ca := azureTLS(t, a)
	local := imds(t, identities)
	p := poolProbe(t, address, ca, managed(client))
	p.DialTo(func(to string) string {
		switch {
		case to == "169.254.169.254:80" || strings.HasPrefix(to, "127.0.0.1:"):
			return local
		case to == "management.azure.com:443":
			return address
		}
		return to // refused: it leaves this machine
	})
	t.Cleanup(func() {
		for _, fault := range a.faults {
			t.Error(fault)
		}
	})
	return p
}

func grants(t *testing.T, header, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get(header); got != value {
			t.Errorf("header %s is %q, want %q", header, got, value)
		}
		if resource := r.URL.Query().Get("resource"); !strings.HasPrefix(resource, "https://management.core.windows.net") {
			t.Errorf("a token for %q is asked for", resource)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":"3600","expires_on":"%d","resource":"x","token_type":"Bearer"}`, bearer, time.Now().Add(time.Hour).Unix())
	}
}

// TestAVDPoolIdentities states that each credential gets a token from who gives it, and from nobody else.
func TestAVDPoolIdentities(t *testing.T) {
	up := func(t *testing.T, p probes.Probe) {
		t.Helper()
		if r := run(t, p); r.Outcome != probes.Up {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	}
	t.Run("workload identity of the environment", func(t *testing.T) {
		a := newAzure()
		address, ca := azureTLS(t, a)
		p := poolProbe(t, address, ca, func(p *probes.AVDPool) { p.TenantID, p.ClientID, p.FederatedTokenFile = "", "", "" })
		r := run(t, p)
		if r.Outcome != probes.Unknown || r.Reason != probes.Local || !strings.Contains(r.Detail, `the environment has no AZURE_CLIENT_ID for workload-identity: label the pod azure.workload.identity/use: "true"`) {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
		t.Setenv("AZURE_CLIENT_ID", application)
		t.Setenv("AZURE_TENANT_ID", "acme.example")
		t.Setenv("AZURE_FEDERATED_TOKEN_FILE", serviceToken(t))
		up(t, p) // what was missing is looked for again
	})
	t.Run("client certificate", func(t *testing.T) {
		up(t, newAzure().served(t, func(p *probes.AVDPool) {
			p.Credential, p.FederatedTokenFile, p.Certificate = "client-certificate", "", secret.New(applicationCertificate(t))
		}))
	})
	t.Run("managed identity of a machine", func(t *testing.T) {
		up(t, managedBy(t, newAzure(), 1, grants(t, "Metadata", "true")))
	})
	t.Run("managed identity of a service", func(t *testing.T) {
		p := managedBy(t, newAzure(), 2, grants(t, "X-Identity-Header", "its-secret"))
		t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:41234/msi/token")
		t.Setenv("IDENTITY_HEADER", "its-secret")
		up(t, p)
	})
	t.Run("azure cli", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		script := fmt.Sprintf("#!/bin/sh\necho called >>%s/calls\necho '{\"accessToken\":\"%s\",\"expires_on\":%d}'\n", dir, bearer, time.Now().Add(time.Hour).Unix())
		if err := os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		p := newAzure().served(t, func(p *probes.AVDPool) { p.Credential, p.ClientID, p.FederatedTokenFile = "azure-cli", "", "" })
		up(t, p)
		up(t, p)
		if calls, _ := os.ReadFile(filepath.Join(dir, "calls")); string(calls) != "called\n" {
			t.Errorf("az was called %d times in two runs", bytes.Count(calls, []byte("called")))
		}
	})
}

// TestAVDPoolIdentityFaults states that trouble with the probe's own identity is unknown, and whose it is.
func TestAVDPoolIdentityFaults(t *testing.T) {
	cli := func(t *testing.T, script string) probes.Probe {
		dir := t.TempDir()
		if script != "" {
			if err := os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("/bin/sh", filepath.Join(dir, "sh")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		return newAzure().served(t, func(p *probes.AVDPool) { p.Credential, p.ClientID, p.FederatedTokenFile = "azure-cli", "", "" })
	}
	for name, c := range map[string]struct {
		probe  func(t *testing.T) probes.Probe
		reason probes.Reason
		detail string
	}{
		"token file is missing": {func(t *testing.T) probes.Probe {
			return newAzure().served(t, func(p *probes.AVDPool) { p.FederatedTokenFile = "/nowhere/token" })
		}, probes.Local, "the federated token file cannot be read: open /nowhere/token: no such file or directory"},
		"token file is empty": {func(t *testing.T) probes.Probe {
			return newAzure().served(t, func(p *probes.AVDPool) {
				p.FederatedTokenFile = filepath.Join(t.TempDir(), "token")
				_ = os.WriteFile(p.FederatedTokenFile, nil, 0o600)
			})
		}, probes.Local, "is empty"},
		"machine has no such identity": {func(t *testing.T) probes.Probe {
			return managedBy(t, newAzure(), 3, status(400, `{"error":"invalid_request","error_description":"Identity not found"}`))
		}, probes.Auth, "microsoft entra refuses the probe's identity (managed-identity, client bbbbbbbb-0000-0000-0000-000000000003): status 400, Identity not found; assign the identity to this machine"},
		"identities fail": {func(t *testing.T) probes.Probe {
			return managedBy(t, newAzure(), 4, status(500, ""))
		}, probes.Local, "microsoft entra answers 500 and gives no token"},
		"no token in the answer": {func(t *testing.T) probes.Probe {
			return managedBy(t, newAzure(), 5, status(200, "{}"))
		}, probes.Local, ""},
		"no azure machine": {func(t *testing.T) probes.Probe {
			p := poolProbe(t, "", "", managed(6))
			p.DialTo(func(string) string { return probetest.Closed(t) })
			return p
		}, probes.Local, "microsoft entra cannot be asked: "},
		"no az": {func(t *testing.T) probes.Probe { return cli(t, "") }, probes.Local, "there is no az on this host's path"},
		"az wants a log-in": {func(t *testing.T) probes.Probe {
			return cli(t, "#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n")
		}, probes.Auth, "Please run 'az login' to setup account"},
		"az says nonsense": {func(t *testing.T) probes.Probe { return cli(t, "#!/bin/sh\necho hello\n") }, probes.Auth, "az gives no token"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, c.probe(t))
			if r.Outcome != probes.Unknown || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %q: %s; want unknown, %q: %s", r.Outcome, r.Reason, r.Detail, c.reason, c.detail)
			}
		})
	}
}

// TestAVDPoolRefusedToken states that a token that Azure refuses is not offered again.
func TestAVDPoolRefusedToken(t *testing.T) {
	a := newAzure()
	a.set(poolPath, fails(401, "ExpiredAuthenticationToken"))
	p := a.served(t, nil)
	run(t, p)
	a.say(poolPath, pooled(10, false))
	if r := run(t, p); r.Outcome != probes.Up || a.count("oauth2/v2.0/token") != 2 {
		t.Errorf("%s: %s, after %d tokens", r.Outcome, r.Detail, a.count("oauth2/v2.0/token"))
	}
}

// TestAVDPoolOverSDKFakes states the judgement of typed answers, as Microsoft's SDK encodes them.
func TestAVDPoolOverSDKFakes(t *testing.T) {
	name, location := "hp-acme/vm-0", "westeurope"
	limit, sessions, now := int32(10), int32(9), time.Now().UTC()
	kind, balancer, available := avd.HostPoolTypePooled, avd.LoadBalancerTypeDepthFirst, avd.StatusAvailable
	pools := avdfake.HostPoolsServer{Get: func(context.Context, string, string, *avd.HostPoolsClientGetOptions) (r azfake.Responder[avd.HostPoolsClientGetResponse], e azfake.ErrorResponder) {
		r.SetResponse(http.StatusOK, avd.HostPoolsClientGetResponse{HostPool: avd.HostPool{Location: &location, Properties: &avd.HostPoolProperties{
			HostPoolType: &kind, LoadBalancerType: &balancer, MaxSessionLimit: &limit,
		}}}, nil)
		return r, e
	}}
	host := &avd.SessionHost{Name: &name, Properties: &avd.SessionHostProperties{Status: &available, Sessions: &sessions, LastHeartBeat: &now}}
	hosts := avdfake.SessionHostsServer{NewListPager: func(string, string, *avd.SessionHostsClientListOptions) (r azfake.PagerResponder[avd.SessionHostsClientListResponse]) {
		r.AddPage(http.StatusOK, avd.SessionHostsClientListResponse{SessionHostList: avd.SessionHostList{Value: []*avd.SessionHost{host, host}}}, nil)
		r.AddPage(http.StatusOK, avd.SessionHostsClientListResponse{SessionHostList: avd.SessionHostList{Value: []*avd.SessionHost{host}}}, nil)
		return r
	}}
	probe := func(credential *azfake.TokenCredential, hosts avdfake.SessionHostsServer) *probes.AVDPool {
		p := poolProbe(t, "", "", nil)
		p.Fake(credential, avdfake.NewServerFactoryTransport(&avdfake.ServerFactory{HostPoolsServer: pools, SessionHostsServer: hosts}))
		return p
	}
	r := run(t, probe(&azfake.TokenCredential{}, hosts))
	if n, _ := r.Number("sessions"); r.Outcome != probes.Up || n.Value != 90 || fact(r, "pool") != "pooled, DepthFirst, 10 sessions a host, westeurope" || fact(r, "hosts") != "3: 3 available" {
		t.Errorf("%s: %s: %v %v", r.Outcome, r.Detail, r.Numbers, r.Facts)
	}
	throttled := avdfake.SessionHostsServer{NewListPager: func(string, string, *avd.SessionHostsClientListOptions) (r azfake.PagerResponder[avd.SessionHostsClientListResponse]) {
		r.AddPage(http.StatusOK, avd.SessionHostsClientListResponse{SessionHostList: avd.SessionHostList{Value: []*avd.SessionHost{host}}}, nil)
		r.AddResponseError(http.StatusTooManyRequests, "TooManyRequests")
		return r
	}}
	if r = run(t, probe(&azfake.TokenCredential{}, throttled)); r.Outcome != probes.Unknown || r.Reason != probes.Local || !strings.Contains(r.Detail, "(429)") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	broken := &azfake.TokenCredential{}
	broken.SetError(errors.New("no token today"))
	if r = run(t, probe(broken, hosts)); r.Outcome != probes.Unknown || !strings.Contains(r.Detail, "no token today") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}
