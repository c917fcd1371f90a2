package probes

import (
	"context"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
)

// credentialBuilder makes a credential whose pipeline has the given options.
type credentialBuilder func(azcore.ClientOptions) (azcore.TokenCredential, error)

// azureIdentity is the identity that a probe, or the agent, has at Azure, as the configuration names it.
type azureIdentity struct {
	credential, tenantID, clientID, federatedTokenFile string
	certificate                                        secret.Value
	unknown                                            string // what is not known when there is no token: "the pool's state"
	whose                                              string // "the probe's identity"
}

// check checks the keys that go with the credential, and that no others are given.
func (i azureIdentity) check(faults *field.Errors) {
	if i.clientID != "" && !guidPattern.MatchString(i.clientID) {
		faults.AddHint("client_id", "write the application id, 00000000-0000-0000-0000-000000000000", "is not valid")
	}
	if i.tenantID != "" && !tenantPattern.MatchString(i.tenantID) {
		faults.AddHint("tenant_id", "write the tenant's id or its domain", "is not valid")
	}
	uses, known := map[string][]string{
		"":                nil,
		workloadIdentity:  {"tenant_id", "client_id", "federated_token_file"},
		managedIdentity:   {"client_id"},
		azureCLI:          {"tenant_id"},
		clientCertificate: {"tenant_id", "client_id", "certificate"},
	}[i.credential]
	if !known {
		faults.AddHint("credential", strings.Join([]string{workloadIdentity, managedIdentity, azureCLI, clientCertificate}, ", "), "is no credential")
	}
	given := []struct{ key, value string }{
		{"tenant_id", i.tenantID},
		{"client_id", i.clientID},
		{"federated_token_file", i.federatedTokenFile},
		{"certificate", i.certificate.Reveal()},
	}
	for _, g := range given {
		switch used := slices.Contains(uses, g.key); {
		case g.value != "" && !used && known && i.credential != "":
			faults.Add(g.key, "has no effect with credential: %s", i.credential)
		case g.value == "" && used && i.credential == clientCertificate:
			faults.Add(g.key, "is needed by credential: %s", i.credential)
		}
	}
	if i.certificate.IsZero() || i.credential != clientCertificate {
		return
	}
	if block, _ := pem.Decode([]byte(i.certificate.Reveal())); block == nil {
		faults.AddHint("certificate", "convert a .pfx with openssl pkcs12 -nodes", "is not in PEM form")
	} else if _, key, err := azidentity.ParseCertificates([]byte(i.certificate.Reveal()), nil); err != nil {
		faults.AddHint("certificate", "it must hold the certificate and its private key, not encrypted", "cannot be used")
	} else if _, ok := key.(*rsa.PrivateKey); !ok {
		faults.AddHint("certificate", "entra takes RSA keys", "has a key that is not RSA")
	}
}

// builder returns what builds the configured credential. Instance discovery is off: it would ask login.microsoftonline.com
// whatever the cloud, and the authorities are the SDK's own constants.
func (i azureIdentity) builder() credentialBuilder {
	return func(options azcore.ClientOptions) (azcore.TokenCredential, error) {
		switch i.credential {
		case workloadIdentity:
			return i.workloadCredential(options)
		case managedIdentity:
			managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
			if i.clientID != "" {
				managed.ID = azidentity.ClientID(i.clientID)
			}
			return azidentity.NewManagedIdentityCredential(managed)
		case azureCLI:
			return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: i.tenantID})
		}
		certificates, key, err := azidentity.ParseCertificates([]byte(i.certificate.Reveal()), nil)
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(i.tenantID, i.clientID, certificates, key, &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: true,
		})
	}
}

// Variables that the webhook of Azure workload identity sets in a pod.
const (
	envClientID  = "AZURE_CLIENT_ID"
	envTenantID  = "AZURE_TENANT_ID"
	envTokenFile = "AZURE_FEDERATED_TOKEN_FILE"
)

const webhookAdvice = "label the pod azure.workload.identity/use: \"true\" and annotate its service account, or set "

// workloadCredential says what is missing in words of the configuration, and before Entra is asked.
func (i azureIdentity) workloadCredential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	for _, need := range []struct{ value, variable, key string }{
		{i.clientID, envClientID, "client_id"},
		{i.tenantID, envTenantID, "tenant_id"},
		{i.federatedTokenFile, envTokenFile, "federated_token_file"},
	} {
		if need.value == "" && os.Getenv(need.variable) == "" {
			return nil, localError{fmt.Errorf("the environment has no %s for workload-identity: %s%s", need.variable, webhookAdvice, need.key)}
		}
	}
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: true,
		ClientID: i.clientID, TenantID: i.tenantID, TokenFilePath: i.federatedTokenFile,
	})
}

// tokenFile reads the token of the service account and returns why it cannot be used; nil when it can, or is not needed.
func (i azureIdentity) tokenFile() error {
	if i.credential != workloadIdentity {
		return nil
	}
	name := i.federatedTokenFile
	if name == "" {
		name = os.Getenv(envTokenFile)
	}
	file, err := os.Open(name)
	if err != nil {
		return localError{fmt.Errorf("the federated token file cannot be read: %w: %sfederated_token_file", err, webhookAdvice)}
	}
	defer func() { _ = file.Close() }()
	if n, err := io.ReadFull(file, make([]byte, 1)); n == 0 {
		return localError{fmt.Errorf("the federated token file %s is empty (%w)", name, err)}
	}
	return nil
}

// keptCredential holds one credential and its newest token. Its waiting ends with the context, which that of azidentity does
// not; and a token that is still good serves while Entra is away.
type keptCredential struct {
	scope string
	build func() (azcore.TokenCredential, error)
	turn  chan struct{} // holds one value; whoever took it may use inner
	inner azcore.TokenCredential

	mu    sync.Mutex
	token azcore.AccessToken
}

func newKeptCredential(scope string, build func() (azcore.TokenCredential, error)) *keptCredential {
	k := &keptCredential{scope: scope, build: build, turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	return k
}

// renewBefore is how long before its end a token is renewed, where Entra does not say.
const renewBefore = 5 * time.Minute

// prepare sees to it that a token is there.
func (k *keptCredential) prepare(ctx context.Context) error {
	_, err := k.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{k.scope}, EnableCAE: true})
	return err
}

// GetToken returns the kept token while it is good, else a new one. It implements azcore.TokenCredential.
func (k *keptCredential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if token, fresh, _ := k.kept(); fresh && options.Claims == "" {
		return token, nil
	}
	select {
	case <-k.turn:
		defer func() { k.turn <- struct{}{} }()
	case <-ctx.Done():
		return azcore.AccessToken{}, ctx.Err()
	}
	token, fresh, usable := k.kept() // another run may have got one meanwhile
	if fresh && options.Claims == "" {
		return token, nil
	}
	got, err := k.acquire(ctx, options)
	switch {
	case err == nil:
		k.mu.Lock()
		k.token = got
		k.mu.Unlock()
		return got, nil
	case usable && options.Claims == "":
		return token, nil
	}
	return azcore.AccessToken{}, err
}

func (k *keptCredential) acquire(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if k.inner == nil {
		inner, err := k.build()
		if err != nil {
			return azcore.AccessToken{}, err
		}
		k.inner = inner
	}
	token, err := k.inner.GetToken(ctx, options)
	if err == nil && token.Token == "" {
		err = errors.New("the answer holds no token")
	}
	return token, err
}

// kept returns the token, whether it need not be renewed, and whether it can be used at all.
func (k *keptCredential) kept() (token azcore.AccessToken, fresh, usable bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	left := time.Until(k.token.ExpiresOn)
	usable = k.token.Token != "" && left > 30*time.Second
	fresh = usable && left > renewBefore && (k.token.RefreshOn.IsZero() || time.Now().Before(k.token.RefreshOn))
	return k.token, fresh, usable
}

// drop forgets a token that Azure refuses, and the credential, which would give the same one again.
func (k *keptCredential) drop(ctx context.Context) {
	select {
	case <-k.turn:
		k.inner = nil
		k.turn <- struct{}{}
	case <-ctx.Done():
	}
	k.forget()
}

// forget makes the next call ask for a new token.
func (k *keptCredential) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.token = azcore.AccessToken{}
}
