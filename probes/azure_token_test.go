package probes_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

const entraScope = "https://ossrdbms-aad.database.windows.net/.default"

// agentTokens returns tokens of a workload identity that a gives.
func agentTokens(t *testing.T, a *azure, edit func(*probes.AzureIdentity)) *probes.AzureTokens {
	t.Helper()
	noProxy(t)
	address, ca := azureTLS(t, a)
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	i := probes.AzureIdentity{Credential: "workload-identity", TenantID: "acme.example", ClientID: application, FederatedTokenFile: serviceToken(t)}
	if edit != nil {
		edit(&i)
	}
	if faults := i.Check(); len(faults) > 0 {
		t.Fatal(faults)
	}
	tokens := probes.NewAzureTokens(i, entraScope)
	tokens.DialTo(address, pool)
	t.Cleanup(func() {
		for _, fault := range a.faults {
			t.Error(fault)
		}
	})
	return tokens
}

// gives answers the exchange of a federated token with token after token: each "one-1", "one-2" and so on.
func (a *azure) gives(t *testing.T, expiresIn int) {
	n := 0
	a.set("/acme.example/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		for key, want := range map[string]string{
			"grant_type": "client_credentials", "client_id": application, "client_assertion": "a.service.token",
			"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		} {
			if got := r.PostFormValue(key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		if scope := r.PostFormValue("scope"); !strings.HasPrefix(scope, entraScope) {
			t.Errorf("a token for %q is asked for", scope)
		}
		n++
		_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"access_token":"%s-%d"}`, expiresIn, bearer, n)
	})
}

func (a *azure) tokensAsked() int { return a.count("oauth2/v2.0/token") }

func wantToken(t *testing.T, tokens *probes.AzureTokens, n int) {
	t.Helper()
	if got, err := tokens.Token(t.Context()); got != fmt.Sprint(bearer, "-", n) || err != nil {
		t.Errorf("token %q, %v; want number %d", strings.TrimPrefix(got, bearer), err, n)
	}
}

// TestAzureTokensAreKept states that a token serves until shortly before its end, and longer while Entra gives no other.
func TestAzureTokensAreKept(t *testing.T) {
	a := newAzure()
	tokens := agentTokens(t, a, nil)
	a.gives(t, 3600)
	for range 3 {
		wantToken(t, tokens, 1)
	}
	tokens.Refused(t.Context(), bearer+"-1")
	wantToken(t, tokens, 1) // it was only just made: another would be no better
	tokens.Aged(2 * time.Minute)
	tokens.Refused(t.Context(), bearer+"-0") // not the newest
	wantToken(t, tokens, 1)
	tokens.Refused(t.Context(), bearer+"-1")
	wantToken(t, tokens, 2)
	if n := a.tokensAsked(); n != 2 {
		t.Errorf("entra was asked %d times", n)
	}

	a = newAzure()
	tokens = agentTokens(t, a, nil)
	a.gives(t, 200) // good, and to be renewed already
	wantToken(t, tokens, 1)
	wantToken(t, tokens, 2)
	for name, answer := range map[string]http.HandlerFunc{
		"busy": status(429, "{}"), "failing": status(503, ""), "wrong": status(400, `{"error":"invalid_client"}`), "nonsense": status(200, `{"error":"temporarily_unavailable"}`),
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		a.set("/acme.example/oauth2/v2.0/token", answer)
		asked, begun := a.tokensAsked(), time.Now()
		for range 3 {
			wantToken(t, tokens, 2)
		}
		if n := a.tokensAsked() - asked; n != 1 || time.Since(begun) > 5*time.Second {
			t.Errorf("while entra is %s, a good token is given after %s and %d questions", name, time.Since(begun), n)
		}
		tokens.Aged(2 * time.Minute)
	}
	a.gives(t, 3600)
	wantToken(t, tokens, 1)
}

// TestAzureTokensFaults states what is said when there is no token, and whether a moment may help.
func TestAzureTokensFaults(t *testing.T) {
	answers := func(answer http.HandlerFunc) func(*azure) {
		return func(a *azure) { a.set("/acme.example/oauth2/v2.0/token", answer) }
	}
	for name, c := range map[string]struct {
		change func(*azure)
		edit   func(*probes.AzureIdentity)
		away   bool
		text   string
	}{
		"throttled":   {answers(status(429, "{}")), nil, true, "microsoft entra throttles the agent's identity (workload-identity, client " + application + ") (429)"},
		"failing":     {answers(status(500, bearer)), nil, true, "microsoft entra answers 500 and gives no token"},
		"error in ok": {answers(status(200, `{"error":"temporarily_unavailable","error_description":"`+bearer+`"}`)), nil, true, "microsoft entra"},
		"empty token": {answers(status(200, `{"token_type":"Bearer","expires_in":3600,"access_token":""}`)), nil, true, "microsoft entra"},
		"no json":     {answers(status(200, "<html>"+bearer)), nil, true, "microsoft entra"},
		"refused": {
			answers(status(401, `{"error":"invalid_client","error_description":"AADSTS700213: No matching federated identity record found for presented assertion subject. Trace ID: x"}`)),
			nil, false, "AADSTS700213: No matching federated identity record found for presented assertion subject; check client_id, tenant_id and the federated credential of the application",
		},
		"clock": {
			answers(status(401, `{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range. Trace ID: x"}`)),
			nil, false, "is this host's clock right?",
		},
		"no file":  {nil, func(i *probes.AzureIdentity) { i.FederatedTokenFile = "/nowhere/token" }, false, "the federated token file cannot be read: open /nowhere/token: no such file or directory"},
		"no label": {nil, func(i *probes.AzureIdentity) { i.FederatedTokenFile = "" }, false, `the environment has no AZURE_FEDERATED_TOKEN_FILE for workload-identity: label the pod azure.workload.identity/use: "true"`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAzure()
			if c.change != nil {
				c.change(a)
			}
			tokens := agentTokens(t, a, c.edit)
			for range 2 {
				_, err := tokens.Token(t.Context())
				failed, ok := errors.AsType[*probes.TokenError](err)
				if !ok || failed.Away != c.away || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), bearer) {
					t.Errorf("%v; want %q, away %t", err, c.text, c.away)
				}
			}
			if n := a.tokensAsked(); n > 1 {
				t.Errorf("entra was asked %d times at once", n)
			}
			a.gives(t, 3600)
			tokens.Aged(time.Hour)
			if c.edit == nil {
				wantToken(t, tokens, 1)
			}
		})
	}
}

// TestAzureTokensLag states that who asks waits no longer than it wants to, and that this speaks for nobody else.
func TestAzureTokensLag(t *testing.T) {
	a := newAzure()
	tokens := agentTokens(t, a, nil)
	a.set("/acme.example/oauth2/v2.0/token", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := tokens.Token(ctx)
	if failed, ok := errors.AsType[*probes.TokenError](err); !ok || !failed.Away || !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	a.gives(t, 3600)
	wantToken(t, tokens, 1)
}
