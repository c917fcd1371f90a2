package setup

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/config/field"
	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/incident/desk"
)

// check is how the values of one flag are judged.
type check struct {
	flag   string
	values func(Answers) []string
	check  func(Answers, string) error
}

func one(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// checks has every answer that can be wrong alone.
var checks = []check{
	{"tenant", func(a Answers) []string { return one(a.Tenant) }, tenantKey("id", "")},
	{"name", func(a Answers) []string { return one(a.Name) }, tenantKey("name", "")},
	{"time-zone", func(a Answers) []string { return one(a.TimeZone) }, tenantKey("time_zone", "")},
	{"language", func(a Answers) []string { return one(a.Language) }, tenantKey("language", "")},
	{"url", func(a Answers) []string { return a.URLs }, target("http", "url")},
	{"perfion-api", func(a Answers) []string { return a.PerfionAPIs }, target("perfion", "url")},
	{"perfion-user", func(a Answers) []string { return one(a.PerfionUser) }, plain},
	{"perfion-query", func(a Answers) []string { return one(a.PerfionQuery) }, plain},
	{"rdp", func(a Answers) []string { return a.RDP }, target("rdp", "address")},
	{"avd-pool", func(a Answers) []string { return one(a.AVDPool) }, checkPool},
	{"avd-credential", func(a Answers) []string { return one(a.AVDCredential) }, checkCredential},
	{"customer", func(a Answers) []string { return one(a.Customer) }, checkPerson},
	{"on-call", func(a Answers) []string { return one(a.OnCall) }, checkPerson},
	{"smtp", func(a Answers) []string { return one(a.SMTP) }, mailKey("smtp")},
	{"smtp-user", func(a Answers) []string { return one(a.SMTPUser) }, plain},
	{"mail-from", func(a Answers) []string { return one(a.MailFrom) }, mailKey("from")},
	{"desk", func(a Answers) []string { return one(a.Desk) }, checkDesk},
	{"witness", func(a Answers) []string { return a.Witnesses }, checkWitness},
}

// CheckOne judges one value of a flag, as Check does.
func (a Answers) CheckOne(flag, value string) error {
	for _, q := range checks {
		if q.flag == flag {
			return q.check(a, value)
		}
	}
	return nil
}

// together returns what is wrong between answers.
func (a Answers) together() []error {
	var faults []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	api, mail := len(a.PerfionAPIs) > 0, a.SMTP != ""
	add(a.PerfionUser != "" && !api, "--perfion-user: give --perfion-api as well")
	add(a.PerfionQuery != "" && !api, "--perfion-query: give --perfion-api as well")
	add(mail && a.MailFrom == "" && a.Desk != "email", "--smtp: give --mail-from as well, the sender of the mails")
	add(!mail && a.MailFrom != "" && a.Desk != "email", "--mail-from: give --smtp as well, the server that sends the mails")
	add(a.SMTPUser != "" && !mail, "--smtp-user: give --smtp as well")
	add(mail && a.Customer == "" && a.OnCall == "" && a.Desk != "email", "--smtp: nobody would get a mail: give --customer or --on-call as well")
	add(a.Desk == Builtin && len(a.DeskKeys) > 0, "--desk-set: the built-in desk has no keys: give --desk as well")
	if kind, ok := desk.Lookup(a.Desk); ok && a.Desk != Builtin {
		known := specs(kind)
		for _, p := range a.DeskKeys {
			at := slices.IndexFunc(known, func(s field.Spec) bool { return s.Key == strings.TrimSuffix(p.Key, fileSuffix) || s.Key == p.Key })
			add(at < 0, "--desk-set %s: the desk %s has no such key: docs/configuration.md#desk-%s lists them", secret.Plain(p.Key, 60), a.Desk, a.Desk)
			add(at >= 0 && isSecret(known[at]) && p.Key == known[at].Key, "--desk-set %s: a secret is not written into the configuration: give the path of a file as %s%s", p.Key, p.Key, fileSuffix)
			add(at >= 0 && plain(a, p.Value) != nil, "--desk-set %s: %v", secret.Plain(p.Key, 60), plain(a, p.Value))
		}
		for _, k := range a.DeskQuestions() {
			add(!k.Optional && !k.Secret && a.deskValue(k.Key) == "", "--desk %s: give --desk-set %s=... as well: %s", a.Desk, k.Key, strings.TrimSuffix(k.Doc, "."))
		}
	}
	return faults
}

const fileSuffix = "_file"

func isSecret(s field.Spec) bool { return s.Type == reflect.TypeFor[secret.Value]() }

func specs(k desk.Kind) []field.Spec { return field.Specs(reflect.TypeOf(k.New())) }

// plain refuses what no line of a file should hold.
func plain(_ Answers, text string) error {
	switch {
	case text == "":
		return errors.New("is empty")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.ContainsAny(text, "\u2028\u2029\ufeff"):
		return errors.New("has a line break or another control character")
	case len(text) > maxAnswer:
		return fmt.Errorf("is longer than %d bytes", maxAnswer)
	}
	return nil
}

// try returns what is wrong at or below path in a configuration of which everything else is right.
func try(text, path string) error {
	_, err := config.Parse("init.yaml", []byte(text), noEnvironment)
	var faults config.Faults
	if !errors.As(err, &faults) {
		return err
	}
	for _, f := range faults {
		if path == "" || strings.HasPrefix(f.Path, path) {
			if f.Hint != "" {
				return fmt.Errorf("%s (%s)", f.Message, f.Hint)
			}
			return errors.New(f.Message)
		}
	}
	return nil
}

func noEnvironment(string) (string, bool) { return "", false }

const someComponent = "components: [{ name: target, probes: [{ kind: tcp, address: \"127.0.0.1:9\" }] }]\n"

// tenantKey judges a key of the tenant; below is a mapping around it.
func tenantKey(key, below string) func(Answers, string) error {
	return func(a Answers, value string) error {
		if err := plain(a, value); err != nil {
			return err
		}
		if key == "id" {
			return try("tenant: { id: "+Quote(value)+" }\n"+someComponent, "tenant")
		}
		return try("tenant: { id: init, "+below+key+": "+Quote(value)+" }\n"+someComponent, "tenant")
	}
}

// target judges the address of a probe of that kind.
func target(kind, key string) func(Answers, string) error {
	return func(a Answers, value string) error {
		if err := plain(a, value); err != nil {
			return err
		}
		_, err := build(kind, Pair{key, value})
		return err
	}
}

// build returns a probe of that kind, with the defaults of a configuration.
func build(kind string, keys ...Pair) (*config.Probe, error) {
	var b strings.Builder
	b.WriteString("tenant: { id: init }\ncomponents:\n  - name: target\n    probes:\n      - kind: " + kind + "\n        role: deciding\n")
	for _, k := range keys {
		value := k.Value
		if k.Key != "redirects" && k.Key != "expect" {
			value = Quote(value)
		}
		b.WriteString("        " + k.Key + ": " + value + "\n")
	}
	c, err := config.Parse("init.yaml", []byte(b.String()), noEnvironment)
	if err != nil {
		return nil, try(b.String(), "")
	}
	return c.AllProbes()[0], nil
}

func checkPool(a Answers, value string) error {
	parts, ok := pool(value)
	if !ok {
		return errors.New("write it as subscription/resource group/host pool")
	}
	_, err := build("avd-pool", Pair{"subscription", parts[0]}, Pair{"resource_group", parts[1]}, Pair{"host_pool", parts[2]}, Pair{"credential", "azure-cli"})
	return errors.Join(plain(a, value), err)
}

// Credentials are the words of --avd-credential.
var Credentials = []string{"workload-identity", "managed-identity", "azure-cli"}

func checkCredential(_ Answers, value string) error {
	if !slices.Contains(Credentials, value) {
		return fmt.Errorf("want %s", strings.Join(Credentials, ", "))
	}
	return nil
}

func checkPerson(a Answers, value string) error {
	name, mail := Person(value)
	if err := plain(a, value); err != nil {
		return err
	}
	if mail == "" {
		return errors.New("has no e-mail address: write it as name <mail>")
	}
	return try("tenant: { id: init, contacts: { customer: { name: "+Quote(name)+", email: "+Quote(mail)+" } } }\n"+someComponent, "tenant")
}

// mailKey judges a key of a mail notifier.
func mailKey(key string) func(Answers, string) error {
	return func(a Answers, value string) error {
		if err := plain(a, value); err != nil {
			return err
		}
		keys := map[string]string{"smtp": "smtp://127.0.0.1", "from": "a@example.org"}
		keys[key] = value
		return try("tenant: { id: init }\n"+someComponent+"notices: [{ name: mail, kind: email, to: [\"a@example.org\"], smtp: "+Quote(keys["smtp"])+", from: "+Quote(keys["from"])+" }]\n", "notices")
	}
}

func checkDesk(_ Answers, value string) error {
	if _, ok := desk.Lookup(value); ok {
		return nil
	}
	var names []string
	for _, k := range desk.Kinds() {
		names = append(names, k.Name)
	}
	return fmt.Errorf("there is no such desk: want one of %s", strings.Join(names, ", "))
}

func checkWitness(a Answers, value string) error {
	w := witnessOf(value)
	if err := plain(a, value); err != nil {
		return err
	}
	_, err := build(w.kind, Pair{w.key, value})
	return err
}

// DeskKey is a key of a desk that a person is asked for.
type DeskKey struct {
	Key, Doc string
	Secret   bool
	Optional bool
}

// usual are keys that a desk does not work without although each of them alone may be left out.
var usual = map[string][]string{"servicenow": {"client_id", "client_secret"}, "webhook": {"secret"}, "jira": {"user"}}

// DeskQuestions returns the keys that the desk of the answers needs, in the order of its reference.
func (a Answers) DeskQuestions() []DeskKey {
	kind, ok := desk.Lookup(a.Desk)
	if !ok || a.Desk == Builtin {
		return nil
	}
	var keys []DeskKey
	for _, s := range specs(kind) {
		needed := s.Required || a.Desk == "email" && (s.Key == "smtp" || s.Key == "from") // one server for all mails is the file's matter
		if needed || slices.Contains(usual[a.Desk], s.Key) {
			keys = append(keys, DeskKey{Key: s.Key, Doc: s.Doc, Secret: isSecret(s), Optional: !needed})
		}
	}
	return keys
}

// deskValue returns what is known for a key of the desk; the mail server of the notices serves the e-mail desk too.
func (a Answers) deskValue(key string) string {
	for _, p := range a.DeskKeys {
		if p.Key == key || p.Key == key+fileSuffix {
			return p.Value
		}
	}
	if a.Desk == "email" {
		return map[string]string{"smtp": a.SMTP, "from": a.MailFrom, "user": a.SMTPUser}[key]
	}
	return ""
}
