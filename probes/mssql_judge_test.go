package probes_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/tds/tdstest"
)

// TestMSSQLErrors states what every error of a log-in means, and that only a refusal of the account is remembered.
func TestMSSQLErrors(t *testing.T) {
	for name, c := range map[string]struct {
		login   func(tdstest.Request) []byte
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
		latched bool
		owner   bool // the account's owner is told
	}{
		"not available": {login: refuses(40613, 17, "Database 'PerfionDB' on server 'acme' is not currently available."), outcome: probes.Down, reason: probes.Status, detail: "the database is not available at present (error 40613, severity 17)"},
		"failed":        {login: refuses(40197, 17, "The service has encountered an error"), outcome: probes.Down, reason: probes.Status, detail: "the service failed and has the connection tried again (error 40197, severity 17)"},
		"busy":          {login: refuses(40501, 20, "The service is currently busy."), outcome: probes.Degraded, reason: probes.Capacity, detail: "the service is busy and throttles"},
		"operations":    {login: refuses(49920, 16, "Cannot process request."), outcome: probes.Degraded, reason: probes.Capacity, detail: "too many operations under way"},
		"sessions":      {login: refuses(10928, 20, "Resource ID: 2. The session limit"), outcome: probes.Down, reason: probes.Status, detail: "limit of sessions or workers is reached (10928): nobody gets in"},
		"paused":        {login: refuses(42119, 16, "free"), outcome: probes.Down, reason: probes.Status, detail: "its free amount for this month is used up"},
		"firewall": {
			login:   refuses(40615, 14, "Cannot open server 'acme' requested by the login. Client with IP address '203.0.113.24' is not allowed to access the server. To enable access, use the portal."),
			outcome: probes.Unknown, reason: probes.Auth, owner: true,
			detail: "firewall does not let this agent in (40615): Client with IP address '203.0.113.24' is not allowed to access the server; add a rule for it",
		},
		"firewall that adds a refusal": {
			login:   refuses(40615, 14, "Client with IP address '203.0.113.24' is not allowed. x", tdstest.Error(18456, 14, "Login failed for user 'probe'.")),
			outcome: probes.Unknown, reason: probes.Auth, owner: true, detail: "40615",
		},
		"network rule":      {login: refuses(40914, 14, "Cannot open server"), outcome: probes.Unknown, reason: probes.Auth, owner: true, detail: "virtual networks do not let this agent in (40914)"},
		"wrong password":    {login: refuses(18456, 14, "Login failed for user 'probe'."), outcome: probes.Unknown, reason: probes.Auth, latched: true, owner: true, detail: "the monitoring account probe is refused: its user name or password is wrong, or it may not log in here (18456); it is not tried again"},
		"expired":           {login: refuses(18487, 14, "Reason: The password of the account has expired."), outcome: probes.Unknown, reason: probes.Auth, latched: true, owner: true, detail: "its password has expired"},
		"must change":       {login: refuses(18488, 14, "must be changed"), outcome: probes.Unknown, reason: probes.Auth, latched: true, owner: true, detail: "must be changed first"},
		"unknown refusal":   {login: refuses(33999, 16, "No such luck. Really"), outcome: probes.Unknown, reason: probes.Auth, latched: true, owner: true, detail: "is refused: No such luck (error 33999)"},
		"unknown fault":     {login: refuses(824, 24, "logical consistency-based I/O error"), outcome: probes.Down, reason: probes.Status, detail: "the server fails: logical consistency-based I/O error (error 824, severity 24)"},
		"database missing":  {login: refuses(4060, 11, "Cannot open database", tdstest.Error(18456, 14, "Login failed")), outcome: probes.Unknown, reason: probes.Auth, owner: true, detail: "the database cannot be opened (4060) by probe: check database"},
		"server is paused":  {login: refuses(18456, 14, "Login failed", tdstest.Error(17142, 14, "paused")), outcome: probes.Down, reason: probes.Status, detail: "the server is paused"},
		"database offline":  {login: refuses(942, 14, "offline"), outcome: probes.Down, reason: probes.Status, detail: "the database is offline"},
		"kept by a trigger": {login: refuses(17892, 20, "Logon failed due to trigger execution."), outcome: probes.Unknown, reason: probes.Auth, owner: true, detail: "a logon trigger keeps it out (17892)"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			address, ca := sqlServer(t, &tdstest.Server{Login: func(r tdstest.Request) []byte { asked.Add(1); return c.login(r) }})
			p := sqlProbe(t, address, ca, withAccount)
			r := run(t, p)
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s: %s\nwant %s, %s: %s", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
			if told := fact(r, probes.FactAccount) != ""; told != c.owner {
				t.Errorf("the owner is told: %v, want %v", told, c.owner)
			}
			if !strings.Contains(fact(r, "sql_error"), "severity") {
				t.Error("the error is no fact")
			}
			r = run(t, p)
			if latched := asked.Load() == 1; latched != c.latched {
				t.Errorf("%d log-ins in two runs, want it remembered: %v", asked.Load(), c.latched)
			}
			if c.latched && (r.Outcome != probes.Up || !strings.Contains(fact(r, probes.FactAccount), "log-in with probe is off: refused at ")) {
				t.Errorf("the run after a refusal is %s: %s, %q", r.Outcome, r.Detail, fact(r, probes.FactAccount))
			}
			if c.latched {
				if err := p.ResetLatch(); err != nil {
					t.Fatal(err)
				}
				if run(t, p); asked.Load() != 2 {
					t.Error("a reset account is not tried again")
				}
			}
		})
	}
}

// TestMSSQLDatabaseGone states that a database that once was there and is not is down, also after a restart of the agent.
func TestMSSQLDatabaseGone(t *testing.T) {
	var gone atomic.Bool
	address, ca := sqlServer(t, &tdstest.Server{Login: func(_ tdstest.Request) []byte {
		if gone.Load() {
			return tdstest.Refuse(4060, 11, "Cannot open database")
		}
		return tdstest.Accept()
	}})
	latch := new(probes.MemoryLatch)
	p := sqlProbe(t, address, ca, withAccount)
	p.SetLatch(latch)
	if r := run(t, p); r.Outcome != probes.Up {
		t.Fatal(r.Detail)
	}
	gone.Store(true)
	p = sqlProbe(t, address, ca, withAccount)
	p.SetLatch(latch)
	if r := run(t, p); r.Outcome != probes.Down || r.Reason != probes.Status || !strings.Contains(r.Detail, "though probe has logged in to it before") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
}

// TestMSSQLQuery states what the answers to the query mean.
func TestMSSQLQuery(t *testing.T) {
	for name, c := range map[string]struct {
		tokens  []byte
		outcome probes.Outcome
		reason  probes.Reason
		detail  string
	}{
		"no row":       {tdstest.Join(tdstest.Columns(), tdstest.Done(0x10, 0)), probes.Down, probes.Content, "the query returns no row"},
		"no right":     {tdstest.Refuse(229, 14, "The SELECT permission was denied on the object 'T'."), probes.Degraded, probes.Functional, "the query of probe fails: it may not read what the query names (error 229)"},
		"bad query":    {tdstest.Refuse(102, 15, "Incorrect syntax near 'FORM'."), probes.Degraded, probes.Functional, "the query of probe fails: Incorrect syntax near 'FORM'. (error 102)"},
		"moved":        {tdstest.Refuse(40613, 17, "Database is not currently available."), probes.Down, probes.Status, "the database is not available at present"},
		"log full":     {tdstest.Refuse(9002, 17, "full"), probes.Degraded, probes.Capacity, "the transaction log is full"},
		"corrupt":      {tdstest.Refuse(823, 24, "I/O error"), probes.Down, probes.Status, "the server fails: I/O error"},
		"too much":     {tdstest.Join(tdstest.Columns(), make([]byte, 300<<10)), probes.Degraded, probes.Functional, "the query returns more than 256 KiB: let it return one row"},
		"fails in row": {tdstest.Join(tdstest.Columns(), tdstest.Row(), tdstest.Done(2, 0)), probes.Degraded, probes.Functional, "failed while its rows were read"},
	} {
		t.Run(name, func(t *testing.T) {
			address, ca := sqlServer(t, &tdstest.Server{Query: func(string) []byte { return c.tokens }})
			r := run(t, sqlProbe(t, address, ca, withAccount))
			if r.Outcome != c.outcome || r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("%s, %s: %s\nwant %s, %s: %s", r.Outcome, r.Reason, r.Detail, c.outcome, c.reason, c.detail)
			}
		})
	}
}

// TestMSSQLNoAnswer states that a log-in without an answer may have counted against the account, and is not repeated at once
// unless it was accepted before.
func TestMSSQLNoAnswer(t *testing.T) {
	var asked atomic.Int32
	var works atomic.Bool
	address, ca := sqlServer(t, &tdstest.Server{Login: func(tdstest.Request) []byte {
		asked.Add(1)
		if works.Load() {
			return tdstest.Accept()
		}
		return []byte{0x55}
	}})
	p := sqlProbe(t, address, ca, withAccount)
	for range 2 {
		run(t, p)
	}
	if asked.Load() != 1 {
		t.Errorf("%d log-ins of an account that nobody knows to be good", asked.Load())
	}
	if r := run(t, p); r.Outcome != probes.Unknown || r.Reason != probes.Auth || !strings.Contains(r.Detail, "was not answered") {
		t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
	}
	works.Store(true)
	if err := p.ResetLatch(); err != nil {
		t.Fatal(err)
	}
	run(t, p)
	works.Store(false)
	asked.Store(0)
	for range 3 {
		if r := run(t, p); r.Outcome != probes.Down || r.Reason != probes.Protocol {
			t.Errorf("%s, %s: %s", r.Outcome, r.Reason, r.Detail)
		}
	}
	if asked.Load() != 3 {
		t.Errorf("%d log-ins of an account that was accepted before", asked.Load())
	}
	address, ca = sqlServer(t, &tdstest.Server{Login: func(tdstest.Request) []byte { asked.Add(1); return []byte{0x55} }})
	p, latch := sqlProbe(t, address, ca, withAccount), new(probes.MemoryLatch)
	p.SetLatch(latch)
	p.Succeed() // in a process before this one
	other := sqlProbe(t, address, ca, withAccount, func(p *probes.MSSQL) { p.Password = secret.New("another") })
	other.SetLatch(latch)
	asked.Store(0)
	for range 2 {
		run(t, p)
		run(t, other)
	}
	if asked.Load() != 2+1 {
		t.Errorf("%d log-ins, want two with the secret that was accepted before and one with another", asked.Load())
	}
}

// TestMSSQLValidate states which configurations are refused, and how.
func TestMSSQLValidate(t *testing.T) {
	for want, edit := range map[string]func(*probes.MSSQL){
		"address: has no port between 1 and 65535":                 func(p *probes.MSSQL) { p.Address = "x:0" },
		"encryption: is no encryption":                             func(p *probes.MSSQL) { p.Encryption = "off" },
		"password: has no user":                                    func(p *probes.MSSQL) { p.Password = secret.New("x") },
		"password: is needed by user":                              func(p *probes.MSSQL) { p.User = "probe" },
		"user: must not be a built-in account":                     func(p *probes.MSSQL) { withAccount(p); p.User = "SA" },
		"user: is an account of Windows":                           func(p *probes.MSSQL) { withAccount(p); p.User = `ACME\probe` },
		"user: is no user name":                                    func(p *probes.MSSQL) { withAccount(p); p.User = strings.Repeat("x", 129) },
		"credential: and user are two accounts":                    func(p *probes.MSSQL) { withAccount(p); p.Credential = "azure-cli" },
		"credential: is no credential":                             func(p *probes.MSSQL) { p.Credential = "password" },
		"client_id: has no effect with credential: azure-cli":      func(p *probes.MSSQL) { p.Credential, p.ClientID = "azure-cli", application },
		"tenant_id: has no effect without credential":              func(p *probes.MSSQL) { p.TenantID = "acme.example" },
		"cloud: has no effect without credential":                  func(p *probes.MSSQL) { p.Cloud = "china" },
		"cloud: is no azure cloud":                                 func(p *probes.MSSQL) { p.Credential, p.Cloud = "azure-cli", "mars" },
		"database: has no effect without an account":               func(p *probes.MSSQL) { p.Database = "x" },
		"query: has no effect without an account":                  func(p *probes.MSSQL) { p.Query = "SELECT 1" },
		"resume_within: has no effect without an account":          func(p *probes.MSSQL) { p.ResumeWithin = time.Minute },
		"resume_within: is negative":                               func(p *probes.MSSQL) { withAccount(p); p.ResumeWithin = -1 },
		"insecure_skip_verify: must not go with an account":        func(p *probes.MSSQL) { withAccount(p); p.InsecureSkipVerify = true },
		"ca_file: has no effect with insecure_skip_verify":         func(p *probes.MSSQL) { p.InsecureSkipVerify, p.CAFile = true, newAuthority(t, days(9)).File },
		"ca_file: open /nowhere/ca.pem: no such file or directory": func(p *probes.MSSQL) { p.CAFile = "/nowhere/ca.pem" },
		"expires_within: is negative":                              func(p *probes.MSSQL) { p.ExpiresWithin = -1 },
		"certificate: is needed by credential: client-certificate": func(p *probes.MSSQL) { p.Credential, p.TenantID, p.ClientID = "client-certificate", "x", application },
	} {
		p := &probes.MSSQL{Address: "db.example"}
		edit(p)
		if got := fmt.Sprint(p.Validate()); !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	if r := run(t, new(probes.MSSQL)); r.Outcome != probes.Unknown || r.Reason != probes.Internal {
		t.Errorf("a probe that was not validated is %s, %s", r.Outcome, r.Reason)
	}
}
