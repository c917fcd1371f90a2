package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// credentialBuilder makes a credential whose pipeline has the given options.
type credentialBuilder func(azcore.ClientOptions) (azcore.TokenCredential, error)

// credential returns what builds the configured credential. Instance discovery is off: it would ask login.microsoftonline.com
// whatever the cloud, and the authorities are the SDK's own constants.
func (p *AVDPool) credential() credentialBuilder {
	return func(options azcore.ClientOptions) (azcore.TokenCredential, error) {
		switch p.Credential {
		case workloadIdentity:
			return p.workloadCredential(options)
		case managedIdentity:
			managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
			if p.ClientID != "" {
				managed.ID = azidentity.ClientID(p.ClientID)
			}
			return azidentity.NewManagedIdentityCredential(managed)
		case azureCLI:
			return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: p.TenantID})
		}
		certificates, key, err := azidentity.ParseCertificates([]byte(p.Certificate.Reveal()), nil)
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(p.TenantID, p.ClientID, certificates, key, &azidentity.ClientCertificateCredentialOptions{
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
func (p *AVDPool) workloadCredential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	for _, need := range []struct{ value, variable, key string }{
		{p.ClientID, envClientID, "client_id"},
		{p.TenantID, envTenantID, "tenant_id"},
		{p.FederatedTokenFile, envTokenFile, "federated_token_file"},
	} {
		if need.value == "" && os.Getenv(need.variable) == "" {
			return nil, localError{fmt.Errorf("the environment has no %s for workload-identity: %s%s", need.variable, webhookAdvice, need.key)}
		}
	}
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: true,
		ClientID: p.ClientID, TenantID: p.TenantID, TokenFilePath: p.FederatedTokenFile,
	})
}

// tokenFile reads the token of the service account and returns why it cannot be used; nil when it can, or is not needed.
func (p *AVDPool) tokenFile() error {
	if p.Credential != workloadIdentity {
		return nil
	}
	name := p.FederatedTokenFile
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
	k.mu.Lock()
	defer k.mu.Unlock()
	k.token = azcore.AccessToken{}
}
