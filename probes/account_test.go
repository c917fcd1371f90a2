package probes_test

import (
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

// Only a probe that is configured to log on has an account whose owner may have to be told.
func TestHasAccount(t *testing.T) {
	kerberos := &probes.RDP{Address: "rds.acme.example", Depth: "challenge"}
	kerberos.Kerberos.Realm = "ACME.EXAMPLE"
	for _, c := range []struct {
		name  string
		probe probes.Probe
		want  bool
	}{
		{"http", &probes.HTTP{URL: "https://acme.example"}, false},
		{"rdp, challenge", &probes.RDP{Address: "rds.acme.example", Depth: "challenge"}, false},
		{"rdp, logon", &probes.RDP{Address: "rds.acme.example", Depth: "logon"}, true},
		{"rdp, kerberos", kerberos, true},
		{"mssql, pre-login", &probes.MSSQL{Address: "db.example"}, false},
		{"mssql, user", &probes.MSSQL{Address: "db.example", User: "probe", Password: secret.New("p4ss-word")}, true},
		{"mssql, identity", &probes.MSSQL{Address: "db.example", Credential: "managed-identity"}, true},
		{"perfion, nobody", &probes.Perfion{URL: "https://acme-api.example"}, false},
		{"perfion, user", &probes.Perfion{URL: "https://acme-api.example", User: "probe", Password: secret.New("p4ss-word")}, true},
		{"browser, no log-in", &probes.Browser{URL: "https://acme.example"}, false},
		{"browser, log-in", &probes.Browser{URL: "https://acme.example", Login: probes.BrowserLogin{User: "probe"}}, true},
		{"avd-pool", &probes.AVDPool{}, true},
	} {
		c.probe.Validate()
		if got := probes.HasAccount(c.probe); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
