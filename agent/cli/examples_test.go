package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/firstcall-agent/firstcall/config"
	"github.com/firstcall-agent/firstcall/incident/desk"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/probes"
)

// others are the words behind "yaml" that mark a block as another program's, which is held to be YAML only. Those that begin with one
// of the keys of othersKeys need no word.
var (
	others     = []string{"k8s", "prometheus", "alertmanager", "web", "values"}
	othersKeys = []string{"apiVersion", "spec", "groups", "route", "tls_server_config", "basic_auth_users", "scrape_configs"}
)

// TestExamplesAreConfigurations reads every YAML block of the manual as the agent would: a whole configuration as it stands, a piece of
// one in the smallest frame that it fits.
func TestExamplesAreConfigurations(t *testing.T) {
	dir := exampleFiles(t)
	n := 0
	for page, text := range pages(t) {
		_, blocks := split(page, text)
		for _, b := range blocks {
			language, word, _ := strings.Cut(b.info, " ")
			if language != "yaml" {
				continue
			}
			n++
			if err := checkExample(dir, word, b.text); err != nil {
				t.Errorf("%s:%d: %v\n%s", page, b.line, err, b.text)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d examples are checked: they are not found as they should be", n)
	}
}

func checkExample(dir, word, text string) error {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	if word == "fleet" { // a fleet's, whole
		name := filepath.Join(dir, "fleet.yaml")
		if err := os.WriteFile(name, []byte(filesIn(dir, text)), 0o600); err != nil {
			return err
		}
		_, err := config.LoadFleet(name)
		return err
	}
	if word != "" {
		if !slices.Contains(others, word) {
			return fmt.Errorf("the word %q behind yaml means nothing: want none, fleet, or one of %v", word, others)
		}
		return nil
	}
	if v == nil { // nothing but a comment
		return nil
	}
	if m, ok := v.(map[string]any); ok && slices.ContainsFunc(othersKeys, func(key string) bool { return m[key] != nil }) {
		return nil
	}
	whole, err := framed(text, v)
	if err != nil {
		return err
	}
	env := func(string) (string, bool) { return "s3cret", true }
	_, err = config.Parse(filepath.Join(dir, "example.yaml"), []byte(filesIn(dir, whole)), env)
	return err
}

// framed makes a whole configuration of a piece.
func framed(text string, v any) (string, error) {
	const someone = "{ name: Ada, email: ada@acme.example, phone: \"+45 00 00 00 00\" }"
	const tenant = "tenant: { id: acme, contacts: { customer: " + someone + ", functional: " + someone + ", on_call: " + someone + " } }\n"
	const component = "components:\n  - name: web-client\n"
	const least = component + "    probes:\n      - { kind: http, url: \"https://acme.example/\" }\n"
	switch v := v.(type) {
	case map[string]any:
		if v["kind"] != nil {
			return framed("- "+strings.TrimSpace(shift(text, 2)), []any{v})
		}
		frame := ""
		if v["tenant"] == nil {
			frame += tenant
		}
		if v["components"] == nil {
			frame += least
		}
		if v["notices"] == nil && v["tenant"] == nil { // whose mail server a desk may use
			frame += "notices: [{ name: mail, kind: email, to: [customer], smtp: \"smtp://smtp.example:587\", from: \"firstcall@acme.example\" }]\n"
		}
		if desks, _ := v["desks"].([]any); len(desks) > 0 {
			if first, _ := desks[0].(map[string]any); first["fallback_after"] != nil {
				text = strings.Replace(text, "desks:\n", "desks:\n  - { name: primary, kind: builtin }\n", 1)
			}
		}
		return frame + text, nil
	case []any:
		first, _ := v[0].(map[string]any)
		kind, _ := first["kind"].(string)
		_, isProbe := probes.Lookup(kind)
		_, isDesk := desk.Lookup(kind)
		_, isNotifier := notify.Lookup(kind)
		switch {
		case isProbe:
			return tenant + component + "    probes:\n" + shift(text, 6), nil
		case isNotifier && (!isDesk || first["to"] == nil || first["fallback_after"] == nil):
			return tenant + least + "notices:\n" + shift(text, 2), nil
		case isDesk:
			return tenant + least + "desks:\n" + shift(text, 2), nil
		case first["probes"] != nil || first["instances"] != nil:
			return tenant + "components:\n" + shift(text, 2), nil
		}
	}
	return "", errors.New("it is no section, probe, desk, notifier or component: show it within the piece that it belongs to")
}

// shift gives text another indentation.
func shift(text string, spaces int) string {
	least := -1
	for line := range strings.Lines(text) {
		if rest := strings.TrimLeft(line, " "); strings.TrimSpace(rest) != "" && (least < 0 || len(line)-len(rest) < least) {
			least = len(line) - len(rest)
		}
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		b.WriteString(strings.Repeat(" ", spaces) + line[max(least, 0):])
	}
	return b.String()
}

var namedFile = regexp.MustCompile(`\b([a-z_]*_file|certificate_file|key_file|query): ("?)([^\s,}"']+)"?`)

// filesIn lets every file that an example names be one of dir, by what its key wants.
func filesIn(dir, text string) string {
	return namedFile.ReplaceAllStringFunc(text, func(found string) string {
		m := namedFile.FindStringSubmatch(found)
		name := "secret"
		switch key := m[1]; {
		case key == "query" && !strings.HasSuffix(m[3], ".xml"):
			return found
		case key == "query":
			name = "query.xml"
		case key == "ca_file" || key == "certificate_file":
			name = "authority.pem"
		case key == "rdp_file":
			name = "desktop.rdp"
		case key == "config_file":
			name = "web.yaml"
		case key == "url_file":
			name = "hook"
		}
		if m[1] == "url_file" && strings.Contains(text, "kind: chat") && !strings.Contains(m[3], "heartbeat") {
			name = "chat"
		}
		return m[1] + ": " + `"` + filepath.ToSlash(filepath.Join(dir, name)) + `"`
	})
}

// exampleFiles makes the files that examples name, of every sort.
func exampleFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"secret":        "0123456789abcdef0123456789abcdef\n",
		"hook":          "https://secret.example/hook\n",
		"chat":          "ntfy://ntfy.example/topic\n",
		"authority.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"desktop.rdp":   "gatewayhostname:s:gateway.acme.example\n",
		"web.yaml":      "basic_auth_users: {}\n",
		"query.xml":     read(t, "docs/examples/products-max-1.xml"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCommandsAreThere states that every firstcall command of the manual is one, with flags that it has; in blocks to be copied also
// with arguments that it takes. Nothing is run.
func TestCommandsAreThere(t *testing.T) {
	n := 0
	check := func(page string, line int, command string, whole bool) {
		n++
		if err := checkCommand(command, whole); err != nil {
			t.Errorf("%s:%d: %s: %v", page, line, command, err)
		}
	}
	for page, text := range pages(t) {
		_, blocks := split(page, text)
		for _, b := range blocks {
			if language, _, _ := strings.Cut(b.info, " "); !slices.Contains([]string{"", "sh", "console", "ini"}, language) {
				continue
			}
			for i, line := range strings.Split(strings.ReplaceAll(b.text, "\\\n", ""), "\n") {
				if command, ok := commandIn(line); ok {
					check(page, b.line+i, command, true)
				}
			}
		}
		for i, line := range strings.Split(text, "\n") {
			for _, code := range coded.FindAllString(line, -1) {
				if command, ok := commandIn(strings.Trim(code, "`")); ok {
					check(page, i+1, command, false)
				}
			}
		}
	}
	if n < 60 {
		t.Errorf("%d commands are checked: they are not found as they should be", n)
	}
}

var commandOf = regexp.MustCompile(`^(?:\$ |.*[ /=])?firstcall((?: +(?:--?)?[a-z].*)?)$`)

// commandIn returns the firstcall command of a line of a shell, with what follows its name.
func commandIn(line string) (string, bool) {
	line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
	if !strings.HasPrefix(line, "firstcall ") && !strings.HasPrefix(line, "$ ") && !strings.HasPrefix(line, "docker exec ") &&
		!strings.HasPrefix(line, "ExecStart=") && !strings.HasPrefix(line, "kubectl exec ") {
		return "", false
	}
	if at := regexp.MustCompile(` (?:[|<>;]|&&|2>)`).FindStringIndex(line); at != nil {
		line = line[:at[0]]
	}
	m := commandOf.FindStringSubmatch(line)
	if m == nil || strings.TrimSpace(m[1]) == "" {
		return "", false
	}
	return strings.TrimSpace(m[1]), true
}

// checkCommand finds the command in cobra's tree and parses its flags.
func checkCommand(line string, whole bool) error {
	at, args := newRoot(), shellWords(line)
	for len(args) > 0 && at.HasSubCommands() && !strings.HasPrefix(args[0], "-") {
		i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == args[0] })
		if i < 0 {
			if args[0] == "…" || args[0] == "..." {
				return nil
			}
			return unknownCommand(at, args[0])
		}
		at, args = at.Commands()[i], args[1:]
	}
	at.InitDefaultHelpFlag()
	at.InitDefaultVersionFlag()
	if err := at.ParseFlags(args); err != nil {
		if !whole && strings.Contains(err.Error(), "flag needs an argument") {
			return nil
		}
		return err
	}
	if whole {
		return at.ValidateArgs(at.Flags().Args())
	}
	return nil
}

// shellWords splits a command line as a shell would: at spaces, but within quotes.
func shellWords(line string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?:[^\s'"]|'[^']*'|"[^"]*")+`).FindAllString(line, -1) {
		all = append(all, strings.NewReplacer("'", "", `"`, "").Replace(m))
	}
	return all
}
