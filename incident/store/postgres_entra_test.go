//go:build servers && linux

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// issuer gives what is set as a token.
type issuer struct {
	mu      sync.Mutex
	token   string
	err     error
	given   int
	refused int
}

func (i *issuer) Token(context.Context) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.given++
	return i.token, i.err
}

func (i *issuer) Refused(context.Context, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refused++
}

func (i *issuer) set(token string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.token, i.err = token, err
}

// TestEntra states that a token stands in for a password at a server that asks for it in clear over TLS, as Azure's does.
func TestEntra(t *testing.T) {
	server := servers.StartPostgres(t)
	address := server.Database(t, "firstcall")
	cert := servers.SelfSigned(t, servers.CertOptions{})
	server.TLS(t, cert)
	address = strings.Replace(address, "firstcall:firstcall@", "firstcall@", 1) + "?sslmode=verify-full&sslrootcert=" + cert.CertFile + "&connect_timeout=5"
	const first, second = "a-first-token-0123456789.abcdef", "a-second-token-0123456789.abcdef"
	valid := func(token string) {
		server.SQL(t, "postgres", fmt.Sprintf("ALTER ROLE firstcall PASSWORD '%s'", token))
	}
	valid(first)
	identity := probes.AzureIdentity{Credential: "workload-identity"}
	tokens := &issuer{token: first}
	tenant := aTenant(address)
	opened := func(from *issuer) (*Store, error) {
		p, err := parsePostgres(WithEntra(tenant, identity))
		if err != nil {
			t.Fatal(err)
		}
		p.tokens = from
		return openPostgres(t.Context(), p, Options{Vantage: "weu"})
	}
	says := func(err error, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v; want %q", err, text)
			}
		}
		if err != nil && (strings.Contains(err.Error(), first) || strings.Contains(err.Error(), second)) {
			t.Errorf("a token is in %v", err)
		}
	}
	s, err := opened(tokens)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.AppendResults(t.Context(), httpResults(0, 2, at)); err != nil {
		t.Fatal(err)
	}
	if tokens.given < 2 {
		t.Errorf("%d tokens for several connections", tokens.given)
	}
	if n := server.SQL(t, "postgres", "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'firstcall' AND NOT ssl"); n != "0" {
		t.Errorf("%s sessions are not encrypted", n)
	}

	// A fleet's role logs on so, too; that it may read is another matter.
	p, err := parseFleet(WithEntra(address, identity))
	if err != nil {
		t.Fatal(err)
	}
	p.tokens = tokens
	_, err = openFleet(t.Context(), p)
	says(err, "let_fleet_read")

	// The token of before is over: sessions go on, and new ones have the new one.
	valid(second)
	if err := s.AppendResults(t.Context(), httpResults(0, 2, at.Add(time.Minute))); err != nil {
		t.Errorf("a session ended with its token: %v", err)
	}
	lose := func() {
		server.SQL(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'firstcall'")
	}
	lose()
	begun := time.Now()
	err = s.AppendResults(t.Context(), httpResults(0, 2, at.Add(2*time.Minute)))
	says(err, "does not take the access token", "pgaadauth_create_principal('firstcall', false, false)", "clock")
	if tokens.refused == 0 || time.Since(begun) > 10*time.Second {
		t.Errorf("%d refusals are told, after %s", tokens.refused, time.Since(begun))
	}
	tokens.set(second, nil)
	if err := s.AppendResults(t.Context(), httpResults(0, 2, at.Add(2*time.Minute))); err != nil {
		t.Errorf("with a new token: %v", err)
	}

	// Nobody gives one: what is away comes back, what is wrong is said.
	away := awayToken(t)
	tokens.set("", away)
	lose()
	err = s.AppendResults(t.Context(), httpResults(0, 2, at.Add(3*time.Minute)))
	says(err, "no access token", "microsoft entra")
	if !errors.Is(err, ErrAway) {
		t.Errorf("%v is not ErrAway", err)
	}
	if _, err := opened(&issuer{err: away}); !errors.Is(err, ErrAway) {
		t.Errorf("opening without a token: %v", err)
	}
	if _, err := opened(&issuer{err: new(probes.TokenError)}); err == nil || errors.Is(err, ErrAway) {
		t.Errorf("opening with an identity that is refused: %v", err)
	}
	tokens.set(second, nil)
	if err := s.AppendResults(t.Context(), httpResults(0, 2, at.Add(3*time.Minute))); err != nil {
		t.Errorf("when Entra is back: %v", err)
	}

	// A server that is not the one that is meant is told nothing.
	other := servers.SelfSigned(t, servers.CertOptions{})
	tenant = strings.Replace(tenant, cert.CertFile, other.CertFile, 1)
	_, err = opened(tokens)
	says(err, "certificate")
}

// awayToken is the error of an Entra that cannot be reached.
func awayToken(t *testing.T) error {
	t.Helper()
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	_, err := probes.NewAzureTokens(probes.AzureIdentity{
		Credential: "workload-identity", ClientID: "00000000-0000-0000-0000-000000000001", TenantID: "acme.example", FederatedTokenFile: "/etc/hostname",
	}, "x").Token(t.Context())
	var failed *probes.TokenError
	if !errors.As(err, &failed) || !failed.Away {
		t.Fatalf("%v is not away", err)
	}
	return err
}
