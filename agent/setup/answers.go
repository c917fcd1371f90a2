// Package setup makes a first configuration: it is told of a customer, asks the targets with the agent's own probes, and proposes
// components and readings in a commented file.
//
// Answers and Findings go in, a Plan comes out; only Survey touches the network, and nothing here touches a disk.
package setup

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/firstcall-agent/firstcall/config/secret"
)

// Builtin is the desk that needs nothing.
const Builtin = "builtin"

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1000

// Answers are what a person, or the flags of a command, say of a customer. The zero value says nothing.
type Answers struct {
	Tenant   string // id
	Name     string
	TimeZone string // IANA
	Language string

	URLs         []string // of the Web Client
	PerfionAPIs  []string // addresses of the API service
	PerfionUser  string
	PerfionQuery string   // file
	RDP          []string // host or host:port

	AVD           bool   // Microsoft's front doors
	AVDPool       string // subscription/resource group/pool
	AVDCredential string // workload-identity unless given

	Customer string // "name <mail>" or mail
	OnCall   string // the same
	SMTP     string // smtp://host:port
	SMTPUser string
	MailFrom string

	Desk     string // kind; builtin unless given
	DeskKeys []Pair // keys of that kind

	Witnesses []string // host:port, or a name; the usual ones unless given
}

// Pair is a key of a configuration and its value, a text.
type Pair struct{ Key, Value string }

// Normal returns the answers with the schemes, ports and words that people leave out, and each target once.
func (a Answers) Normal() Answers {
	a.URLs, a.PerfionAPIs = each(a.URLs, address("https")), each(a.PerfionAPIs, address("https"))
	a.RDP, a.Witnesses = each(a.RDP, strings.TrimSpace), each(a.Witnesses, strings.TrimSpace)
	a.AVD = a.AVD || a.AVDPool != ""
	if a.SMTP != "" {
		a.SMTP = address("smtp")(a.SMTP)
	}
	a.Language = cmp.Or(a.Language, "en")
	a.TimeZone = cmp.Or(a.TimeZone, "UTC")
	a.AVDCredential = cmp.Or(a.AVDCredential, "workload-identity")
	a.Desk = cmp.Or(a.Desk, Builtin)
	return a
}

// address returns what puts a scheme before an address that has none.
func address(scheme string) func(string) string {
	return func(text string) string {
		text = strings.TrimSpace(text)
		if text == "" || strings.Contains(text, "://") {
			return text
		}
		return scheme + "://" + text
	}
}

// each returns what f makes of every entry, without empty and double ones.
func each(list []string, f func(string) string) []string {
	var all []string
	for _, text := range list {
		if text = f(text); text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// Person takes "name <mail>" apart; a mail alone is a person without a name.
func Person(text string) (name, mail string) {
	text = strings.TrimSpace(text)
	if at := strings.LastIndexByte(text, '<'); at >= 0 && strings.HasSuffix(text, ">") {
		return strings.Trim(strings.TrimSpace(text[:at]), `"`), strings.TrimSpace(text[at+1 : len(text)-1])
	}
	return "", text
}

// pool takes subscription/group/pool apart; ok is whether it has three parts.
func pool(text string) (parts [3]string, ok bool) {
	all := strings.Split(strings.Trim(strings.TrimSpace(text), "/"), "/")
	if len(all) != len(parts) {
		return parts, false
	}
	return [3]string(all), true
}

// hostOf returns the host of an address, of host:port, or text itself.
func hostOf(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		return u.Hostname()
	}
	if host, _, err := net.SplitHostPort(text); err == nil {
		return host
	}
	return strings.Trim(text, "[]")
}

// shown returns a target fit to print.
func shown(target string) string {
	if strings.Contains(target, "://") {
		target = secret.RedactURL(target)
	}
	return secret.Plain(target, 120)
}

// Missing returns what cannot be left out and is not there, as flags with their meaning.
func (a Answers) Missing() []string {
	var missing []string
	if a.Tenant == "" {
		missing = append(missing, "--tenant (the customer's short name)")
	}
	if len(a.URLs)+len(a.PerfionAPIs)+len(a.RDP) == 0 && !a.AVD && a.AVDPool == "" {
		missing = append(missing, "something to watch: --url, --perfion-api, --rdp or --avd")
	}
	return missing
}

// mails returns whom mails go to, as words of notices.to; nobody where there is no mail server.
func (a Answers) mails() (to []string) {
	if a.SMTP == "" || a.MailFrom == "" {
		return nil
	}
	if a.Customer != "" {
		to = append(to, "customer")
	}
	if a.OnCall != "" {
		to = append(to, "on_call")
	}
	return to
}

// Check returns everything that is wrong with the answers, which are Normal; each error begins with the flag that it is about.
func (a Answers) Check() []error {
	var faults []error
	for _, q := range checks {
		for _, value := range q.values(a) {
			if err := q.check(a, value); err != nil {
				faults = append(faults, fmt.Errorf("--%s %s: %w", q.flag, quoteShown(value), err))
			}
		}
	}
	return append(faults, a.together()...)
}

// quoteShown returns a value fit to print in a message.
func quoteShown(value string) string {
	if value = shown(value); value == "" || strings.ContainsAny(value, " ") {
		return `"` + value + `"`
	}
	return value
}
