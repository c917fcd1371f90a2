package setup_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firstcall-agent/firstcall/agent/setup"
	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/probes"
)

var update = flag.Bool("update", false, "write the goldens")

var day = time.Date(2026, time.November, 2, 9, 0, 0, 0, time.UTC)

// up is a result that shows what the facts say: name, value, name, value.
func up(took time.Duration, facts ...string) probes.Result {
	r := probes.Result{Start: day, Duration: took, Outcome: probes.Up}
	for i := 0; i < len(facts); i += 2 {
		r.Facts = append(r.Facts, probes.Fact{Name: facts[i], Value: facts[i+1]})
	}
	return r
}

func down(reason probes.Reason, detail string, facts ...string) probes.Result {
	r := up(time.Second, facts...)
	r.Outcome, r.Reason, r.Detail = probes.Down, reason, detail
	return r
}

// until gives a result a certificate with so many days left.
func until(days int, r probes.Result) probes.Result {
	r.Certificate = &probes.Certificate{Subject: "CN=acme", Issuer: "R11, Let's Encrypt", NotAfter: day.AddDate(0, 0, days)}
	return r
}

const (
	poolID  = "00000000-0000-0000-0000-000000000000/rg-acme/hp-acme"
	page    = "https://acme.perfioncloud.example/"
	api     = "https://acme-api.perfioncloud.example"
	api2    = "https://acme-api2.perfioncloud.example"
	refusal = "acme-app01.example:3389 refuses the connection"
)

// witnesses answer, but for the last.
func witnesses(f setup.Findings) setup.Findings {
	f["tcp www.microsoft.com:443"] = up(time.Millisecond)
	f["dns login.microsoftonline.com"] = up(time.Millisecond)
	f["tcp 1.1.1.1:443"] = up(time.Millisecond)
	f["tcp www.google.com:443"] = down(probes.Timeout, "no answer")
	return f
}

var whole = setup.Answers{
	Tenant: "acme", Name: "ACME A/S", TimeZone: "Europe/Copenhagen", Language: "da",
	URLs: []string{page}, PerfionAPIs: []string{api, api2}, PerfionUser: "probe", PerfionQuery: "products-max-1.xml",
	RDP: []string{"acme-app01.example"}, AVDPool: poolID,
	Customer: "ACME IT service desk <it@acme.example>", OnCall: "on-call@operations.example",
	SMTP: "smtp.example:587", SMTPUser: "firstcall", MailFrom: "firstcall@operations.example",
	Desk: "servicenow", DeskKeys: []setup.Pair{{Key: "url", Value: "https://soc.service-now.example"}, {Key: "client_id", Value: "firstcall"}},
}

var goldens = []struct {
	name    string
	answers setup.Answers
	found   setup.Findings // nil: offline
}{
	{"smallest", setup.Answers{Tenant: "acme", URLs: []string{"acme.perfioncloud.example"}}, nil},
	{"whole", whole, witnesses(setup.Findings{
		"http " + page:                   until(62, up(300*time.Millisecond, "status", "200 OK", "title", `Perfion: "Web" Client`, "url", page+"login")),
		"http-body " + page:              up(0, "status", "200 OK"),
		"perfion " + api:                 until(62, up(3*time.Second, "version", "5.4.1", "status", "200 OK")),
		"perfion " + api2:                until(9, up(90*time.Millisecond, "version", "5.4.1", "status", "200 OK")),
		"rdp acme-app01.example":         up(time.Second, "security", "hybrid, credssp 6", "host", "ACME-APP01 (acme-app01.acme.local)", "os", "10.0.20348 (Windows Server 2022)", "clock", "20ms ahead of this agent's"),
		"icmp acme-app01.example":        up(time.Second, "rtt", "min 1ms, avg 2ms, max 3ms", "address", "192.0.2.1"),
		"icmp acme.perfioncloud.example": down(probes.Timeout, "no reply from 192.0.2.2 to 3 icmp echo requests"),
		"avd ":                           up(time.Second),
		"avd-pool " + poolID:             up(time.Second, "hosts", "3: 3 available"),
		"tcp smtp://smtp.example:587":    up(time.Second, "address", "192.0.2.3:587"),
	})},
	{"silent", setup.Answers{Tenant: "acme", URLs: []string{page}, RDP: []string{"acme-app01.example:3389"}, PerfionAPIs: []string{api}, AVD: true}, setup.Findings{
		"http " + page:                  down(probes.DNS, "there is no such name"),
		"perfion " + api:                down(probes.Timeout, "no answer within 10s"),
		"rdp acme-app01.example:3389":   down(probes.Refused, refusal),
		"icmp acme-app01.example":       {Outcome: probes.Unknown, Reason: probes.Local, Detail: "not allowed"},
		"avd ":                          down(probes.TLS, "microsoft's front door fails"),
		"tcp www.microsoft.com:443":     down(probes.Timeout, "no answer"),
		"dns login.microsoftonline.com": down(probes.DNS, "no answer"),
		"tcp 1.1.1.1:443":               down(probes.Timeout, "no answer"),
		"tcp www.google.com:443":        down(probes.Timeout, "no answer"),
	}},
	{"shut-in", setup.Answers{Tenant: "acme", RDP: []string{"10.0.0.4", "10.0.0.5:3390", "[fd00::6]:3389"}}, setup.Findings{
		"rdp 10.0.0.4":                  up(time.Second, "security", "ssl", "ladder", "ends at tls: the server does not offer network level authentication (nla)"),
		"rdp 10.0.0.5:3390":             up(time.Second, "security", "rdp, no tls", "ladder", "ends at the negotiation: the server offers neither tls nor network level authentication (nla)"),
		"rdp [fd00::6]:3389":            up(time.Second, "security", "hybrid, credssp 6", "host", "true"),
		"tcp www.microsoft.com:443":     down(probes.Timeout, "no answer"),
		"dns login.microsoftonline.com": down(probes.DNS, "no answer"),
		"tcp 1.1.1.1:443":               down(probes.Timeout, "no answer"),
		"tcp www.google.com:443":        down(probes.Timeout, "no answer"),
	}},
	{"pages", setup.Answers{
		Tenant: "acme", URLs: []string{"https://sso.example/", "https://sso.example/closed", "https://test.example:8443/", "http://old.example/", "https://mute.example/"},
		Customer: "it@acme.example", Witnesses: []string{"witness.example:443", "witness.example"},
	}, setup.Findings{
		"http https://sso.example/":          until(5, up(time.Second, "status", "200 OK", "title", "Sign in to your account", "url", "https://login.microsoftonline.com/common?x=<secret>")),
		"http-redirect https://sso.example/": down(probes.Status, "status 302", "status", "302 Found"),
		"http https://sso.example/closed":    down(probes.Status, "answers 401, expected 2xx", "status", "401 Unauthorized"),
		"http https://test.example:8443/":    down(probes.BadCertificate, "certificate is signed by an unknown authority"),
		"http http://old.example/":           down(probes.Status, "answers 503, expected 2xx", "status", "503 Service Unavailable"),
		"http https://mute.example/":         until(200, up(time.Second, "status", "204 No Content")),
		"tcp witness.example:443":            up(time.Second),
		"dns witness.example":                down(probes.DNS, "no answer"),
	}},
}

// sound reads a configuration as the agent does, with every secret that it names in place.
func sound(t testing.TB, text string, secrets []setup.Secret) *config.Config {
	t.Helper()
	directory := t.TempDir()
	for _, s := range append(slices.Clone(secrets), setup.Secret{Path: "products-max-1.xml"}) {
		path := filepath.Join(directory, s.Path)
		content := "a-secret-of-a-test"
		if s.What == "" {
			content = "<Query><Select languages='EN' maxCount='1'><Feature id='a'/></Select><From id='Product'/></Query>"
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(directory, "firstcall.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// proposed returns the plan for answers that are right.
func proposed(t testing.TB, a setup.Answers, f setup.Findings) setup.Plan {
	t.Helper()
	a = a.Normal()
	if faults := a.Check(); len(faults) > 0 {
		t.Fatal(errors.Join(faults...))
	}
	if missing := a.Missing(); len(missing) > 0 {
		t.Fatal(missing)
	}
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "products-max-1.xml"), []byte("<Query/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	plan, err := setup.Propose(filepath.Join(directory, "firstcall.yaml"), a, f)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestProposedConfigurations(t *testing.T) {
	for _, c := range goldens {
		t.Run(c.name, func(t *testing.T) {
			plan := proposed(t, c.answers, c.found)
			golden := filepath.Join("testdata", c.name+".yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(plan.Text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), plan.Text); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if again := proposed(t, c.answers, c.found); again.Text != plan.Text {
				t.Error("the same answers and findings give another text")
			}
			made := sound(t, plan.Text, plan.Secrets)
			if made.Tenant.ID != "acme" || len(plan.Probes) == 0 || len(plan.Components) != len(made.Components) {
				t.Errorf("tenant %s, probes %v, components %v", made.Tenant.ID, plan.Probes, plan.Components)
			}
		})
	}
}

// TestWholeProposal states what a proposal says where everything answers.
func TestWholeProposal(t *testing.T) {
	plan := proposed(t, whole, goldens[1].found)
	c := sound(t, plan.Text, plan.Secrets)
	solution := c.Solution()
	if got := len(solution.Components[0].Instances); got != 2 {
		t.Errorf("%d backends: two hosts of one role are redundant", got)
	}
	if web := solution.Components[1]; web.Name != "web-client" || !slices.Equal(web.DependsOn, []string{"backend"}) {
		t.Errorf("%+v: the Web Client depends on the backend", web)
	}
	if desktop := solution.Components[3]; desktop.Name != "virtual-desktop" || desktop.Essential {
		t.Errorf("%+v: a virtual desktop is not essential", desktop)
	}
	if got := len(solution.Witnesses); got != 3 {
		t.Errorf("%d witnesses, want those that answer", got)
	}
	roles := map[string]string{}
	for _, p := range c.AllProbes() {
		roles[p.ID] = p.Role
	}
	if roles["remote-desktop/icmp"] != "evidence" || roles["web-client/icmp"] != "" {
		t.Errorf("%v: icmp is evidence where it answers, and nowhere else", roles)
	}
	if strings.Contains(plan.Text, "a-secret") || len(plan.Secrets) != 3 {
		t.Errorf("%v: want files for the Perfion user, the mail server and the desk", plan.Secrets)
	}
}

// TestEveryDesk states that a configuration for every kind of desk comes out right, given what the kind asks for.
func TestEveryDesk(t *testing.T) {
	values := map[string]string{"url": "https://desk.example", "to": "soc@acme.example", "smtp": "smtp://smtp.example", "from": "a@acme.example", "project": "SOC", "user": "operator"}
	for _, kind := range desk.Kinds() {
		a := setup.Answers{Tenant: "acme", URLs: []string{page}, Desk: kind.Name}.Normal()
		for _, k := range a.DeskQuestions() {
			if k.Secret || k.Optional && kind.Name == "jira" {
				continue
			}
			value := values[k.Key]
			if value == "" {
				value = "firstcall"
			}
			a.DeskKeys = append(a.DeskKeys, setup.Pair{Key: k.Key, Value: value})
		}
		plan := proposed(t, a, nil)
		c := sound(t, plan.Text, plan.Secrets)
		if c.Desks[0].Kind != kind.Name {
			t.Errorf("%s became %s", kind.Name, c.Desks[0].Kind)
		}
	}
}

// TestWrongAnswers states what is said of what cannot be used, and that nothing secret is repeated.
func TestWrongAnswers(t *testing.T) {
	right := setup.Answers{Tenant: "acme", URLs: []string{page}}
	for _, c := range []struct {
		change func(*setup.Answers)
		want   string
	}{
		{func(a *setup.Answers) { a.Tenant = "ACME!" }, `--tenant ACME!: "ACME!" is not a tenant id (lower-case`},
		{func(a *setup.Answers) { a.Name = "a\nb" }, `--name "a b": has a line break`},
		{func(a *setup.Answers) { a.TimeZone = "Local" }, `--time-zone Local: "Local" is not a time zone`},
		{func(a *setup.Answers) { a.Language = "de" }, "--language de: "},
		{func(a *setup.Answers) { a.URLs = []string{"ftp://acme.example"} }, "--url ftp://acme.example: does not begin with http"},
		{func(a *setup.Answers) { a.URLs = []string{"https://ada:hunter22@acme.example"} }, "holds credentials"},
		{func(a *setup.Answers) { a.PerfionAPIs = []string{api + "/data"} }, "holds the path of an endpoint"},
		{func(a *setup.Answers) { a.RDP = []string{"host:port"} }, "--rdp host:port: "},
		{func(a *setup.Answers) { a.AVDPool = "pool" }, "--avd-pool pool: write it as subscription/resource group/host pool"},
		{func(a *setup.Answers) { a.AVDPool = "one/rg/hp-acme" }, "--avd-pool one/rg/hp-acme: is not valid (write the id"},
		{func(a *setup.Answers) { a.AVDCredential = "password" }, "--avd-credential password: want workload-identity"},
		{func(a *setup.Answers) { a.Customer = "ACME IT" }, `--customer "ACME IT": `},
		{func(a *setup.Answers) {
			a.Customer, a.SMTP, a.MailFrom = "it@acme.example", "http://smtp.example", "a@b.example"
		}, "is no smtp or smtps address"},
		{func(a *setup.Answers) { a.Customer, a.SMTP = "it@acme.example", "smtp.example" }, "--smtp: give --mail-from as well"},
		{func(a *setup.Answers) { a.SMTP, a.MailFrom = "smtp.example", "a@b.example" }, "--smtp: nobody would get a mail"},
		{func(a *setup.Answers) { a.MailFrom = "a@b.example" }, "--mail-from: give --smtp as well"},
		{func(a *setup.Answers) { a.SMTPUser = "u" }, "--smtp-user: give --smtp as well"},
		{func(a *setup.Answers) { a.PerfionUser = "u" }, "--perfion-user: give --perfion-api as well"},
		{func(a *setup.Answers) { a.PerfionQuery = "q.xml" }, "--perfion-query: give --perfion-api as well"},
		{func(a *setup.Answers) { a.Desk = "remedy" }, "--desk remedy: there is no such desk: want one of alertmanager, builtin"},
		{func(a *setup.Answers) { a.Desk = "rt" }, "--desk rt: give --desk-set url=... as well: Address of Request Tracker"},
		{func(a *setup.Answers) { a.DeskKeys = []setup.Pair{{Key: "url", Value: "x"}} }, "the built-in desk has no keys"},
		{func(a *setup.Answers) { a.Desk, a.DeskKeys = "rt", []setup.Pair{{Key: "colour", Value: "x"}} }, "--desk-set colour: the desk rt has no such key"},
		{func(a *setup.Answers) { a.Desk, a.DeskKeys = "rt", []setup.Pair{{Key: "token", Value: "hunter22"}} }, "give the path of a file as token_file"},
		{func(a *setup.Answers) { a.Witnesses = []string{"host:0x"} }, "--witness host:0x: "},
	} {
		a := right
		c.change(&a)
		text := ""
		for _, err := range a.Normal().Check() {
			text += err.Error() + "\n"
		}
		if !strings.Contains(text, c.want) || strings.Contains(text, "hunter22") {
			t.Errorf("want %q, got:\n%s", c.want, text)
		}
	}
}

// TestNamedPagesAreThere states that every page and every heading that a proposal names is there.
func TestNamedPagesAreThere(t *testing.T) {
	named := regexp.MustCompile(`docs/([a-z0-9-]+\.md)(?:#([a-z0-9_-]+))?`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	count := 0
	for _, c := range goldens {
		for _, link := range named.FindAllStringSubmatch(proposed(t, c.answers, c.found).Text, -1) {
			count++
			text, err := os.ReadFile(filepath.Join("..", "..", "docs", link[1]))
			if err != nil {
				t.Error(err)
				continue
			}
			anchors := []string{""}
			for _, h := range heading.FindAllStringSubmatch(string(text), -1) {
				kept := strings.Map(func(r rune) rune {
					if strings.ContainsRune("`:,.()?", r) {
						return -1
					}
					return r
				}, strings.ToLower(h[1]))
				anchors = append(anchors, strings.ReplaceAll(kept, " ", "-"))
			}
			if !slices.Contains(anchors, link[2]) {
				t.Errorf("%s has no heading %q", link[1], link[2])
			}
		}
	}
	if count < 20 {
		t.Errorf("%d pages are named: they are not found as they should be", count)
	}
}

// TestWhatIsOftenAdded states that the keys in comments can be used as they stand, without the mark.
func TestWhatIsOftenAdded(t *testing.T) {
	plan := proposed(t, goldens[0].answers, nil)
	commented := regexp.MustCompile(`(?m)^# ((?:maintenance|heartbeat|web|store): \{?.*)$`)
	text := commented.ReplaceAllStringFunc(plan.Text, func(line string) string {
		return strings.Replace(strings.TrimPrefix(line, "# "), "url_file: secrets/heartbeat", "url: https://watchdog.example/", 1)
	})
	c := sound(t, text, nil)
	if c.Heartbeat == nil || len(c.Maintenance) != 1 {
		t.Errorf("the keys in comments are not what they seem:\n%s", text)
	}
}

// TestLacking tells what is still to be made.
func TestLacking(t *testing.T) {
	plan := proposed(t, whole, nil)
	directory := t.TempDir()
	file := filepath.Join(directory, "firstcall.yaml")
	if err := os.WriteFile(filepath.Join(directory, "products-max-1.xml"), []byte("<Query/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	lacking, err := plan.Lacking(file)
	if err != nil || len(lacking) != len(plan.Secrets) {
		t.Fatalf("%v, %v: want all of %v", lacking, err, plan.Secrets)
	}
	for n, s := range plan.Secrets {
		path := filepath.Join(directory, s.Path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("hunter22"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if lacking, err = plan.Lacking(file); err != nil || len(lacking) != len(plan.Secrets)-n-1 {
			t.Fatalf("%v, %v after %s was made", lacking, err, s.Path)
		}
	}
}
