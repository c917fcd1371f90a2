package probes

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/firstcall-agent/firstcall/config/field"
)

// AzureIdentity is the identity at Microsoft Entra with which the agent itself logs on somewhere, with the words of the probes' keys. The
// zero value is none.
type AzureIdentity struct {
	Credential         string // workload-identity, managed-identity or azure-cli
	TenantID           string // "": of AZURE_TENANT_ID, or of the Azure CLI
	ClientID           string // "": of AZURE_CLIENT_ID, or the machine's own identity
	FederatedTokenFile string // "": of AZURE_FEDERATED_TOKEN_FILE
	Cloud              string // public, us-gov or china; "": public
}

// Check returns what is wrong with it, by the keys credential, tenant_id, client_id, federated_token_file and cloud.
func (i AzureIdentity) Check() field.Errors {
	var faults field.Errors
	if i.Credential == clientCertificate {
		faults.AddHint("credential", strings.Join([]string{workloadIdentity, managedIdentity, azureCLI}, ", "), "is for probes only")
		return faults
	}
	i.words().check(&faults)
	if _, ok := azureClouds[i.Cloud]; !ok {
		faults.AddHint("cloud", "public, us-gov or china", "is no azure cloud")
	}
	return faults
}

func (i AzureIdentity) words() azureIdentity {
	return azureIdentity{
		credential: i.Credential, tenantID: i.TenantID, clientID: i.ClientID, federatedTokenFile: i.FederatedTokenFile,
		unknown: "whether it gives a token", whose: "the agent's identity",
	}
}

const (
	// tokenWait bounds the wait for a token, and tokenHurry where the one of before is still good.
	tokenWait, tokenHurry = 10 * time.Second, time.Second
	// tokenPause is how long nothing is asked after there was no token, unless Entra says how long, up to tokenPauseMost.
	tokenPause, tokenPauseMost = 5 * time.Second, time.Minute
	// tokenFirm is how old a token that was refused must be for another to be asked for.
	tokenFirm = time.Minute
)

// AzureTokens gets access tokens of one scope for an identity. One is kept until some minutes before its end, and while Entra does not
// give another until half a minute before. It is safe for concurrent use.
type AzureTokens struct {
	identity azureIdentity
	access   *azureAccess

	mu    sync.Mutex
	got   time.Time // when the kept token was
	until time.Time // nothing is asked before
	why   *TokenError
}

// NewAzureTokens asks nobody yet. The identity must have passed Check.
func NewAzureTokens(i AzureIdentity, scope string) *AzureTokens {
	words := i.words()
	return &AzureTokens{identity: words, access: newTokenAccess(azureClouds[i.Cloud], scope, words.builder(), azureProxy(nil), nil)}
}

// TokenError says why there is no token, and what to do. It never holds one.
type TokenError struct {
	Away bool // it may be there a moment later: Entra does not answer, fails or throttles
	text string
	ctx  error
}

// Error implements error.
func (e *TokenError) Error() string { return e.text }

// Unwrap returns the error of the context that ended meanwhile; nil: none did.
func (e *TokenError) Unwrap() error { return e.ctx }

// Token returns a token. It waits for Entra for at most ten seconds; its errors are of type *TokenError.
func (t *AzureTokens) Token(ctx context.Context) (string, error) {
	kept, fresh, usable := t.access.identity.kept()
	t.mu.Lock()
	until, why := t.until, t.why
	t.mu.Unlock()
	switch resting := time.Now().Before(until); {
	case fresh, resting && usable:
		return kept.Token, nil
	case resting:
		return "", why
	}
	wait := tokenWait
	if usable {
		wait = tokenHurry
	}
	asking, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	run := t.access.begin(NewRecorder(asking))
	defer run.end()
	asked := time.Now()
	token, err := t.access.identity.GetToken(run.context(asking), policy.TokenRequestOptions{Scopes: []string{t.access.identity.scope}, EnableCAE: true})
	if err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if token.Token != kept.Token {
			t.got, t.until = asked, time.Time{}
		} else { // Entra gave no other
			t.until = time.Now().Add(tokenPause)
		}
		return token.Token, nil
	}
	failed, pause := t.fault(asking, err)
	failed.ctx = ctx.Err()
	if end, ok := ctx.Deadline(); ok && failed.ctx == nil && !time.Now().Before(end) {
		failed.ctx = context.DeadlineExceeded // a dialer may notice before the context does
	}
	if failed.ctx == nil { // otherwise the caller went, and the next one may ask
		t.mu.Lock()
		t.until, t.why = time.Now().Add(pause), failed
		t.mu.Unlock()
	}
	return "", failed
}

// fault judges that there is no token, and says how long not to ask.
func (t *AzureTokens) fault(ctx context.Context, err error) (*TokenError, time.Duration) {
	_, reason, text := t.identity.judge(ctx, err)
	_, local := errors.AsType[localError](err)
	local = local || t.identity.tokenFile() != nil || t.identity.credential == azureCLI && ctx.Err() == nil
	e := &TokenError{Away: reason == Local && !local, text: Printable(text, MaxDetail)}
	if strings.Contains(text, "AADSTS700024") {
		e.text += "; is this host's clock right?"
	}
	pause := tokenPause
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && failed.RawResponse != nil && failed.RawResponse.StatusCode == http.StatusTooManyRequests {
		pause = max(pause, min(retryAfter(failed.RawResponse), tokenPauseMost))
	}
	return e, pause
}

// Refused says that a token was not accepted: the next one is asked for anew, at most once a minute.
func (t *AzureTokens) Refused(ctx context.Context, token string) {
	kept, _, _ := t.access.identity.kept()
	t.mu.Lock()
	firm := kept.Token == token && time.Since(t.got) >= tokenFirm
	t.mu.Unlock()
	if firm {
		t.access.identity.drop(ctx)
	}
}
