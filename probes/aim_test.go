package probes_test

import (
	"testing"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

func TestAim(t *testing.T) {
	for _, c := range []struct {
		name  string
		probe probes.Aimed
		want  probes.Aim
	}{
		{"tcp", &probes.TCP{Address: "app01.acme.example:8443"}, probes.Aim{Host: "app01.acme.example", Port: 8443}},
		{"tcp over IPv6", &probes.TCP{Address: "[2001:db8::7]:22"}, probes.Aim{Host: "2001:db8::7", Port: 22}},
		{"tls", &probes.TLSProbe{Address: "app01.acme.example:443", MinVersion: "1.2"}, probes.Aim{Host: "app01.acme.example", Port: 443}},
		{"icmp has no port", &probes.ICMP{Host: "app01.acme.example", Count: 1, Size: 56}, probes.Aim{Host: "app01.acme.example"}},
		{"dns", &probes.DNSProbe{Name: "acme.example", Server: "192.0.2.53:53"}, probes.Aim{Host: "192.0.2.53", Port: 53}},
		{"dns of the system", &probes.DNSProbe{Name: "acme.example"}, probes.Aim{}},
		{"rdp", &probes.RDP{Address: "rds.acme.example"}, probes.Aim{Host: "rds.acme.example", Port: 3389}},
		{"rdp behind a gateway", &probes.RDP{Gateway: "https://gw.acme.example"}, probes.Aim{Host: "gw.acme.example", Port: 443}},
		{"https", &probes.HTTP{URL: "https://acme.example/login", Method: "GET", MaxBody: 1}, probes.Aim{Host: "acme.example", Port: 443}},
		{"http with a port", &probes.HTTP{URL: "http://acme.example:85/", Method: "GET", MaxBody: 1}, probes.Aim{Host: "acme.example", Port: 85}},
		{"perfion", &probes.Perfion{URL: "https://acme-api.example"}, probes.Aim{Host: "acme-api.example", Port: 443}},
		{"perfion through a proxy", &probes.Perfion{URL: "https://acme-api.example", Proxy: secret.New("http://proxy.example:3128")}, probes.Aim{Host: "proxy.example", Port: 3128}},
		{"mssql", &probes.MSSQL{Address: "acme.database.example:1433"}, probes.Aim{Host: "acme.database.example", Port: 1433}},
		{"browser", &probes.Browser{URL: "https://acme.example/"}, probes.Aim{Host: "acme.example", Port: 443}},
		{"http through a proxy", &probes.HTTP{URL: "https://acme.example/", Method: "GET", MaxBody: 1, Proxy: secret.New("http://user:s3cret@proxy.example:3128")}, probes.Aim{Host: "proxy.example", Port: 3128}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if faults := c.probe.Validate(); len(faults) > 0 {
				t.Logf("of no concern here: %v", faults)
			}
			if got := c.probe.Aim(); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
