package probes

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes/tds"
)

// Words of the mssql kind's encryption.
const (
	encryptionTLS    = "tls"
	encryptionStrict = "strict"
)

const mssqlPort = "1433"

// MSSQL asks SQL Server or Azure SQL for its pre-login answer and TLS, which needs no account; with an account it logs in and
// runs one query.
type MSSQL struct {
	Address            string        `yaml:"address" required:"true" doc:"Host, or host:port; port 1433 unless given. Of Azure SQL: NAME.database.windows.net."`
	Encryption         string        `yaml:"encryption" default:"tls" enum:"tls,strict" doc:"tls: TLS inside TDS, after the pre-login, as every server since 2005 does; strict: TLS first, TDS 8.0, as SQL Server 2022 and Azure SQL do. Nothing is sent in the clear but the pre-login."`
	ServerName         string        `yaml:"server_name" doc:"Name that the certificate must be for, also after a redirect; the host of address, then that of the redirect, unless given."`
	CAFile             string        `yaml:"ca_file" doc:"PEM file with the authorities that are trusted instead of the system's; read when the configuration is loaded."`
	InsecureSkipVerify bool          `yaml:"insecure_skip_verify" doc:"Accept any certificate: whoever answers is believed to be the target. Not with an account, which would go to whoever answers. Prefer ca_file or server_name."`
	ExpiresWithin      time.Duration `yaml:"expires_within" doc:"Less time left on the certificate than this is a passed threshold (priority 4), as with limits: { certificate_days: 21 }; off unless given."`

	User     string       `yaml:"user" doc:"Account of SQL Server's own that logs in: a user of the database with no right but to connect. Built-in ones are refused."`
	Password secret.Value `yaml:"password" doc:"Its password. After one refusal the account is not tried again until the secret changes or an operator resets it."`

	Credential         string       `yaml:"credential" enum:"workload-identity,managed-identity,azure-cli,client-certificate" doc:"Log in to Azure SQL with an access token of this identity in place of user and password: that of the probe's Kubernetes service account, of its Azure machine, of the person who is logged in to the Azure CLI, or of an application with a certificate."`
	Cloud              string       `yaml:"cloud" default:"public" enum:"public,us-gov,china" doc:"Azure cloud that gives the token."`
	TenantID           string       `yaml:"tenant_id" doc:"Entra tenant of the identity, as in avd-pool."`
	ClientID           string       `yaml:"client_id" doc:"Application id of the identity, as in avd-pool."`
	FederatedTokenFile string       `yaml:"federated_token_file" doc:"File with the token of the Kubernetes service account, for workload-identity; AZURE_FEDERATED_TOKEN_FILE unless given."`
	Certificate        secret.Value `yaml:"certificate" doc:"Certificate and private key of the application in PEM form, for client-certificate."`

	Database     string        `yaml:"database" doc:"Database that is logged in to; the account's default unless given. Users of a single database need it."`
	Query        string        `yaml:"query" doc:"One statement that returns at least one row and changes nothing; SELECT 1 unless given. No row is down, content."`
	ResumeWithin time.Duration `yaml:"resume_within" doc:"For a serverless database that pauses by itself: while error 40613 says that it is not available, it is asked again every 5 s for so long, within timeout, before that counts. Off unless given. Note that every log-in keeps such a database awake."`

	target string
	config *tls.Config
	azure  *azureAccess
	latch  Latch         // nil: the process'
	key    string        // of the account's guard
	seen   string        // key of the record that a log-in succeeded
	pause  time.Duration // between questions while a database resumes
}

func init() {
	Register(Kind{
		Name:    "mssql",
		Doc:     "Asks SQL Server or Azure SQL for its pre-login answer and TLS, and with an account logs in and runs a query; the errors of Azure SQL are told apart.",
		New:     func() Probe { return new(MSSQL) },
		Phases:  []string{PhaseDNS, PhaseConnect, PhasePrelogin, PhaseTLS, PhaseEntra, PhaseLogon, PhaseQuery},
		Numbers: []NumberKind{certificateDays},
	})
}

// sqlScopes are what tokens are asked for, by cloud (Microsoft: "Authenticate with Microsoft Entra ID in sqlcmd", and the
// national clouds' lists of endpoints).
var sqlScopes = map[string]string{
	"": "https://database.windows.net/.default", "public": "https://database.windows.net/.default",
	"us-gov": "https://database.usgovcloudapi.net/.default", "china": "https://database.chinacloudapi.cn/.default",
}

// builtInLogins must not be risked by a probe.
var builtInLogins = []string{"sa", "guest", "dbo", "sys", "public"}

const (
	maxSQLName  = 128 // characters of LOGIN7's fields
	maxSQLQuery = 8 << 10
	resumePause = 5 * time.Second // Microsoft's advice for transient errors
)

// Validate checks the keys and that none is without effect, reads ca_file and prepares TLS and the account.
func (p *MSSQL) Validate() field.Errors {
	var faults field.Errors
	p.target = withPort(p.Address, mssqlPort)
	checkAddress(&faults, "address", p.target)
	if p.Encryption != "" && p.Encryption != encryptionTLS && p.Encryption != encryptionStrict {
		faults.AddHint("encryption", "tls or strict", "is no encryption")
	}
	if p.ExpiresWithin < 0 {
		faults.Add("expires_within", "is negative")
	}
	p.checkAccount(&faults)
	p.checkQuery(&faults)
	if p.InsecureSkipVerify && p.CAFile != "" {
		faults.Add("ca_file", "has no effect with insecure_skip_verify")
	}
	p.config = &tls.Config{RootCAs: loadPool(&faults, "ca_file", p.CAFile), InsecureSkipVerify: p.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if len(faults) > 0 {
		return faults
	}
	p.pause = resumePause
	p.prepareAccount(&faults)
	return faults
}

// logsIn reports whether there is an account.
func (p *MSSQL) logsIn() bool { return p.User != "" || p.Credential != "" }

// checkAccount checks the two ways to log in, of which there may be one.
func (p *MSSQL) checkAccount(faults *field.Errors) {
	if p.User != "" && p.Credential != "" {
		faults.AddHint("credential", "keep one of them", "and user are two accounts")
	}
	switch name := strings.ToLower(p.User); {
	case p.User == "" && !p.Password.IsZero():
		faults.AddHint("password", "add user", "has no user")
	case p.User == "":
	case p.Password.IsZero():
		faults.AddHint("password", "add it, or password_file", "is needed by user")
	case units(p.User) > maxSQLName || strings.ContainsFunc(p.User, func(r rune) bool { return r < ' ' }):
		faults.Add("user", "is no user name")
	case strings.Contains(p.User, `\`):
		faults.AddHint("user", "create a login or user of SQL Server's own", "is an account of Windows, which cannot log in with a password here")
	case slices.Contains(builtInLogins, name):
		faults.AddHint("user", "create a user with no right but to connect", "must not be a built-in account: a probe could lock it")
	}
	if units(p.Password.Reveal()) > maxSQLName {
		faults.Add("password", "is longer than %d characters", maxSQLName)
	}
	if p.Credential == "" && p.Cloud != "" && p.Cloud != "public" {
		faults.AddHint("cloud", "add credential", "has no effect without credential")
	}
	if _, ok := sqlScopes[p.Cloud]; !ok {
		faults.AddHint("cloud", "public, us-gov or china", "is no azure cloud")
	}
	if p.Credential == "" {
		for _, key := range []struct{ name, value string }{
			{"tenant_id", p.TenantID}, {"client_id", p.ClientID}, {"federated_token_file", p.FederatedTokenFile}, {"certificate", p.Certificate.Reveal()},
		} {
			if key.value != "" {
				faults.AddHint(key.name, "add credential", "has no effect without credential")
			}
		}
	}
	if p.Credential != "" {
		p.identity().check(faults)
	}
	if p.InsecureSkipVerify && p.logsIn() {
		faults.AddHint("insecure_skip_verify", "use ca_file or server_name", "must not go with an account: it would go to whoever answers")
	}
}

// units counts UTF-16 units, of which the protocol speaks.
func units(text string) int { return len(utf16.Encode([]rune(text))) }

// checkQuery checks what comes after the log-in.
func (p *MSSQL) checkQuery(faults *field.Errors) {
	if p.ResumeWithin < 0 {
		faults.Add("resume_within", "is negative")
	}
	if units(p.Database) > maxSQLName {
		faults.Add("database", "is longer than %d characters", maxSQLName)
	}
	if len(p.Query) > maxSQLQuery {
		faults.Add("query", "is longer than %d bytes", maxSQLQuery)
	}
	if p.logsIn() {
		return
	}
	for _, key := range []struct {
		name  string
		given bool
	}{{"database", p.Database != ""}, {"query", p.Query != ""}, {"resume_within", p.ResumeWithin != 0}} {
		if key.given {
			faults.AddHint(key.name, "add user and password, or credential", "has no effect without an account")
		}
	}
}

// prepareAccount makes the keys of the latch and the way to Entra.
func (p *MSSQL) prepareAccount(faults *field.Errors) {
	if !p.logsIn() {
		return
	}
	if p.Credential != "" {
		p.azure = newTokenAccess(azureClouds[p.Cloud], sqlScopes[p.Cloud], p.identity().builder(), azureProxy(nil), nil)
	}
	var err error
	if p.key, err = guardKey("mssql", p.who(), "", p.target, []byte(p.Password.Reveal())); err == nil {
		p.seen, err = guardKey("mssql", p.who(), p.Database, p.target, nil)
	}
	if err != nil {
		faults.Add("password", "cannot be guarded against a lock-out: %s", clause(err))
	}
}

// identity is whose the token is.
func (p *MSSQL) identity() azureIdentity {
	return azureIdentity{p.Credential, p.TenantID, p.ClientID, p.FederatedTokenFile, p.Certificate, "whether the database answers", "the probe's identity"}
}

// who names the account for people.
func (p *MSSQL) who() string {
	if p.Credential != "" {
		return p.identity().who()
	}
	return p.User
}

// OwnLimit returns what expires_within sets.
func (p *MSSQL) OwnLimit(number string) (float64, string) {
	return expiresWithin(number, p.ExpiresWithin)
}

// UsesAccount reports whether the probe logs in.
func (p *MSSQL) UsesAccount() bool { return p.logsIn() }

// SetLatch makes the probe remember refusals in l. It is called before the first run.
func (p *MSSQL) SetLatch(l Latch) { p.latch = l }

// ResetLatch forgets that the account was refused; the next run tries it again.
func (p *MSSQL) ResetLatch() error {
	if p.User == "" {
		return nil
	}
	return p.guard().reset()
}

// guard returns the account's guard.
func (p *MSSQL) guard() guard {
	if p.latch == nil {
		return guard{processLatch, p.key}
	}
	return guard{p.latch, p.key}
}

// Probe connects and goes as far as the configuration says; only while a database resumes does it do so more than once.
func (p *MSSQL) Probe(ctx context.Context) Result {
	rec := NewRecorder(ctx)
	if p.config == nil {
		return rec.Finish(Unknown, Internal, "the mssql probe was not validated")
	}
	rec.Mask(p.Password, p.Certificate)
	run := &mssqlRun{probe: p, rec: rec, patience: time.Now().Add(p.ResumeWithin)}
	for {
		result, again := run.climb(ctx)
		if !again {
			return result
		}
		rec.End()
		select {
		case <-time.After(p.pause):
		case <-ctx.Done():
		}
	}
}

// mssqlRun is what one run has of its own.
type mssqlRun struct {
	probe    *MSSQL
	rec      *Recorder
	patience time.Time // until when a database that resumes is waited for
	routed   string    // where the server redirected to; "" before
}

// climb makes one attempt: the run's result, or that there must be another.
func (r *mssqlRun) climb(ctx context.Context) (result Result, again bool) {
	r.routed = ""
	conn, end, failed := r.open(ctx, r.probe.target)
	if failed != nil {
		return *failed, false
	}
	defer func() { end() }()
	if !r.probe.logsIn() {
		return r.rec.Up(), false
	}
	login := tds.Login{
		Server: hostPart(r.probe.target), Database: r.probe.Database, App: "firstcall",
		User: r.probe.User, Password: r.probe.Password.Reveal(),
	}
	if r.probe.Credential != "" {
		if login.Token, failed = r.token(ctx); failed != nil {
			return *failed, false
		}
		return r.logon(ctx, conn, &end, login, nil)
	}
	return r.guarded(ctx, conn, &end, login)
}

// open connects to one server and climbs to the end of TLS. Its result is there when that failed.
func (r *mssqlRun) open(ctx context.Context, address string) (conn *tds.Conn, end func(), failed *Result) {
	fail := func(err error, fallback Reason, hung string) (*tds.Conn, func(), *Result) {
		end()
		result := r.fail(ctx, err, fallback, hung)
		return nil, nil, &result
	}
	end = func() {}
	raw, err := r.rec.Dial(ctx, "tcp", address)
	if err != nil {
		return fail(err, Protocol, "")
	}
	release := Bind(ctx, raw)
	end = func() { release(); _ = raw.Close() }
	if r.routed == "" {
		r.rec.Fact("address", raw.RemoteAddr().String())
	}
	conn = tds.NewConn(raw)
	config := r.probe.config.Clone()
	if config.ServerName = r.probe.ServerName; config.ServerName == "" {
		config.ServerName = hostPart(address)
	}
	strict := r.probe.Encryption == encryptionStrict
	if strict {
		if err := r.secure(conn.StartStrict, config); err != nil {
			return fail(err, TLS, "server accepts the connection and does not make the tls handshake of tds 8.0: it hangs, or does not offer encryption: strict")
		}
	}
	r.rec.Begin(PhasePrelogin)
	prelogin, err := conn.Prelogin(r.probe.Credential != "")
	r.rec.End()
	if err != nil {
		return fail(err, Protocol, "server accepts connections but does not answer the pre-login (hung)")
	}
	r.rec.Fact("server_version", versionFact(prelogin.Version))
	r.rec.Fact("encryption", prelogin.Encryption.String())
	if strict {
		return conn, end, nil
	}
	if !prelogin.Encrypts || (prelogin.Encryption != tds.EncryptOn && prelogin.Encryption != tds.EncryptRequired) {
		end()
		result := r.finish(Down, TLS, "server offers no encryption ("+prelogin.Encryption.String()+"), without which nothing is logged in: check its certificate and protocol settings")
		return nil, nil, &result
	}
	if err := r.secure(conn.StartTLS, config); err != nil {
		return fail(err, TLS, "server answers the pre-login but does not finish the tls handshake (hung)")
	}
	return conn, end, nil
}

// secure is the tls stage.
func (r *mssqlRun) secure(start func(*tls.Config) (tls.ConnectionState, error), config *tls.Config) error {
	r.rec.Begin(PhaseTLS)
	state, err := start(config)
	r.rec.End()
	if err != nil {
		return err
	}
	r.rec.Fact("tls_version", tls.VersionName(state.Version))
	if r.routed == "" {
		r.rec.Certificate(state.PeerCertificates[0])
		r.rec.expiry(state, time.Now())
	}
	return nil
}

func hostPart(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// products are the versions of SQL Server by their first number; Azure SQL has said 12 ever since.
var products = map[byte]string{
	10: "SQL Server 2008", 11: "SQL Server 2012", 12: "Azure SQL or SQL Server 2014", 13: "SQL Server 2016", 14: "SQL Server 2017",
	15: "SQL Server 2019", 16: "SQL Server 2022", 17: "SQL Server 2025",
}

func versionFact(v tds.Version) string {
	if product, ok := products[v.Major]; ok {
		return v.String() + " (" + product + ")"
	}
	return v.String()
}
