package store

import (
	"crypto/tls"
	"fmt"
	"net/url"

	"github.com/firstcall-agent/firstcall/probes"
)

// The parameters of an address with which the agent logs on with a token of Microsoft Entra instead of a password; the first one names
// the credential. They stand in the address so that whoever opens a store, to read it or to write, needs nothing else.
const (
	entraCredential = "entra"
	entraClient     = "entra_client_id"
	entraTenant     = "entra_tenant_id"
	entraFile       = "entra_token_file"
	entraCloud      = "entra_cloud"
)

// entraScopes are what tokens are asked for, by cloud (Microsoft: "Use Microsoft Entra ID for authentication with Azure Database for
// PostgreSQL", and ossrdbmsResourceId of az cloud show).
var entraScopes = map[string]string{
	"": "https://ossrdbms-aad.database.windows.net/.default", "public": "https://ossrdbms-aad.database.windows.net/.default",
	"us-gov": "https://ossrdbms-aad.database.usgovcloudapi.net/.default", "china": "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
}

// WithEntra returns an address of PostgreSQL at which the agent logs on with a token of that identity.
func WithEntra(rawURL string, i probes.AzureIdentity) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	q := u.Query()
	for key, value := range map[string]string{
		entraCredential: i.Credential, entraClient: i.ClientID, entraTenant: i.TenantID, entraFile: i.FederatedTokenFile, entraCloud: i.Cloud,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// takeEntra takes the parameters of Entra out of those of an address; nil: it has none.
func takeEntra(q url.Values) (*probes.AzureIdentity, error) {
	if !q.Has(entraCredential) {
		return nil, nil
	}
	i := &probes.AzureIdentity{
		Credential: q.Get(entraCredential), ClientID: q.Get(entraClient), TenantID: q.Get(entraTenant), FederatedTokenFile: q.Get(entraFile), Cloud: q.Get(entraCloud),
	}
	for _, key := range []string{entraCredential, entraClient, entraTenant, entraFile, entraCloud} {
		q.Del(key)
	}
	if faults := i.Check(); len(faults) > 0 {
		return nil, fmt.Errorf("store: the address of PostgreSQL names no identity at Entra that can be used: %w", faults[0])
	}
	return i, nil
}

// useTokens makes a token the password, unless it could get to somebody else than the server that is meant.
func (p *postgres) useTokens(i probes.AzureIdentity, password bool) error {
	if password {
		return fmt.Errorf("store: %s has a password and an identity at Entra: leave one out", p.name)
	}
	ways := []*tls.Config{p.config.TLSConfig}
	for _, f := range p.config.Fallbacks {
		ways = append(ways, f.TLSConfig)
	}
	for _, way := range ways {
		if way == nil || way.InsecureSkipVerify {
			return fmt.Errorf("store: %s would get an access token without a proof of who it is: add sslmode=verify-full to the address, and sslrootcert where the system does not trust its authority", p.name)
		}
	}
	p.tokens = probes.NewAzureTokens(i, entraScopes[i.Cloud])
	return nil
}

// noToken says that there was no token to log on with.
func (p *postgres) noToken(what string, err *probes.TokenError) error {
	if err.Away {
		return fmt.Errorf("store: cannot %s: %s %w, as there is no access token for it: %w; nothing of it was stored, and the store goes on when there is one", what, p.name, ErrAway, err)
	}
	return fmt.Errorf("store: cannot %s: there is no access token for %s: %w", what, p.name, err)
}

// notMapped says what a server means that does not take the token.
func (p *postgres) notMapped(what string, err error) error {
	return fmt.Errorf("store: cannot %s: %s does not take the access token: the role in store.url must be that of the identity, made by the server's Entra administrator in the database postgres "+
		"(SELECT * FROM pgaadauth_create_principal('%s', false, false)), and this host's clock must be right (%w)", what, p.name, p.config.User, err)
}
