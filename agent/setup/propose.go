package setup

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/probes"
)

// perfionSecret is the file with the password of the Perfion user.
const perfionSecret = "secrets/perfion"

// slowAnswer is how long a target may take before its probe gets more time than the 5 seconds of all.
const slowAnswer = 2 * time.Second

// answered reports whether a result shows that something answers.
func answered(r probes.Result) bool { return r.Outcome == probes.Up || r.Outcome == probes.Degraded }

// propose returns the components, the one on which others depend first.
func propose(a Answers, found Findings) []component {
	s := proposal{a, found}
	var all []component
	if len(a.PerfionAPIs) > 0 {
		all = append(all, component{
			name: "backend", instances: s.servers(a.PerfionAPIs, s.perfion),
			say: []string{"The server with Perfion's API service: docs/probes-perfion.md."},
		})
	}
	if len(a.URLs) > 0 {
		web := component{name: "web-client", instances: s.servers(a.URLs, s.page), say: []string{"What users open in a browser."}}
		if len(a.PerfionAPIs) > 0 {
			web.dependsOn = []string{"backend"}
		}
		if len(web.instances) > 1 {
			web.say = append(web.say, "Several hosts are taken for stand-ins of one another. Where they are not, as a test system beside the real one, make a component of each.")
		}
		all = append(all, web)
	}
	if len(a.RDP) > 0 {
		all = append(all, component{
			name: "remote-desktop", instances: s.servers(a.RDP, s.rdp),
			say: []string{"Whether people can log on to the servers: docs/probes-rdp.md. No account is needed up to depth: challenge."},
		})
	}
	if a.AVD {
		all = append(all, component{
			name: "virtual-desktop", optional: true, instances: []instance{{probes: s.desktop()}},
			say: []string{"Azure Virtual Desktop: docs/probes-avd.md."},
		})
	}
	return all
}

// proposal is what components are proposed from.
type proposal struct {
	Answers
	found Findings
}

// servers groups targets by their host, each host an instance, and gives each an icmp probe where it answers.
func (s proposal) servers(targets []string, probesOf func(string) []entry) []instance {
	var all []instance
	for _, t := range targets {
		host := hostOf(t)
		at := slices.IndexFunc(all, func(n instance) bool { return strings.EqualFold(n.host, host) })
		if at < 0 {
			at = len(all)
			all = append(all, instance{host: host})
		}
		all[at].probes = append(all[at].probes, probesOf(t)...)
	}
	for i := range all {
		n := &all[i]
		n.probes = oneEach(n.probes)
		switch r, asked := s.found.of("icmp", n.host); {
		case !asked:
		case answered(r):
			n.probes = append(n.probes, entry{keys: []key{
				{name: "kind", value: "icmp", note: "evidence: it explains a failure and decides nothing"}, text("host", n.host),
			}})
		case r.Reason == probes.Local:
			n.say = append(n.say, "No icmp probe: this host does not let the agent send one: docs/operations.md#icmp-without-root")
		default:
			n.say = append(n.say, "No icmp probe: "+r.Detail+".")
		}
	}
	return all
}

// oneEach leaves out probes that are there already, as the certificate of two pages on one port.
func oneEach(list []entry) []entry {
	var all []entry
	for _, e := range list {
		if !slices.ContainsFunc(all, func(there entry) bool { return slices.Equal(there.keys, e.keys) }) {
			all = append(all, e)
		}
	}
	return all
}

// sighting says what was seen of a target, for a comment.
func (s proposal) sighting(kind, target string) []string {
	r, asked := s.found.of(kind, target)
	if !asked {
		return nil
	}
	text := seen(kind, r, false)
	switch {
	case text == "":
		return nil
	case answered(r), asksWho(kind, r):
		return []string{"Seen: " + text + "."}
	}
	return []string{"Seen: it " + verbs[state(r)] + ": " + text + ". It is written all the same: see to it before the agent runs, or it opens a case at once."}
}

var verbs = map[string]string{"answers wrongly": "answered wrongly", "does not answer": "did not answer", "cannot tell": "could not be judged from here"}

// asksWho reports whether a page wants a log-in.
func asksWho(kind string, r probes.Result) bool {
	status, _, _ := strings.Cut(fact(r, "status"), " ")
	return kind == "http" && r.Reason == probes.Status && (status == "401" || status == "403")
}

// patience gives a slow target more time.
func (s proposal) patience(kind, target string) []key {
	r, asked := s.found.of(kind, target)
	if !asked || !answered(r) || r.Duration <= slowAnswer || kind == "icmp" {
		return nil
	}
	return []key{{name: "timeout", value: "20s", note: "more than the usual 5s: it took " + r.Duration.Round(100*time.Millisecond).String()}}
}

// page are the probes of an address of the Web Client.
func (s proposal) page(address string) []entry {
	e := entry{say: s.sighting("http", address), keys: []key{{name: "kind", value: "http", note: "docs/configuration.md#probe-http"}, text("url", address)}}
	r, asked := s.found.of("http", address)
	status, _, _ := strings.Cut(fact(r, "status"), " ")
	switch {
	case !asked:
		e.say = append(e.say, `Any 2xx is good. Add expect: { status: [200], body: "TITLE" }, so that a wrong page that answers well is noticed too.`)
	case elsewhere(address, r) != "" && r.Outcome == probes.Up:
		e.keys = append(e.keys, s.redirect(address, elsewhere(address, r))...)
	case r.Outcome == probes.Up:
		e.keys = append(e.keys, s.expect(address, status, fact(r, "title")))
	case asksWho("http", r):
		e.keys = append(e.keys, key{name: "expect", value: "{ status: [" + status + "] }", note: "it wants a log-in: that it asks shows that it works"})
	}
	e.keys = append(e.keys, s.patience("http", address)...)
	all := []entry{e}
	if _, there := s.found.of(browserKind, address); there && r.Outcome == probes.Up {
		all = append(all, entry{keys: []key{
			{name: "kind", value: browserKind, note: "what a user sees; it explains a failure"},
			text("url", address),
			{name: "role", value: "evidence"},
			{name: "interval", value: "5m"},
			{name: "timeout", value: "30s"},
		}})
	}
	if strings.HasPrefix(address, "https:") {
		all = append(all, s.certificate("http", address))
	}
	return all
}

// expect is what a page that answers must be.
func (s proposal) expect(address, status, title string) key {
	if r, asked := s.found.of(lookBody, address); asked && r.Outcome == probes.Up {
		return key{name: "expect", value: "{ status: [" + status + "], body: " + Quote(title) + " }", note: "the page's title: another page is as bad as none"}
	}
	return key{name: "expect", value: "{ status: [" + status + "] }", note: "the page has no lasting title: add body: with a text that is always in it"}
}

// redirect expects of an address that it leads to another host, whose state is not the customer's: its log-in page, mostly.
func (s proposal) redirect(address, host string) []key {
	status, _, _ := strings.Cut(fact(s.found[lookRedirect+" "+address], "status"), " ")
	if !strings.HasPrefix(status, "3") || len(status) != 3 {
		return nil
	}
	return []key{
		{name: "redirects", value: "0", note: "it leads to " + shown(host) + ", which is not the customer's"},
		{name: "expect", value: "{ status: [" + status + "], headers: { Location: " + Quote(host) + " } }"},
	}
}

// certificate watches the certificate of an https address.
func (s proposal) certificate(kind, address string) entry {
	const within = 21
	u, err := url.Parse(address)
	if err != nil {
		return entry{}
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	e := entry{keys: []key{
		{name: "kind", value: "tls"},
		text("address", net.JoinHostPort(u.Hostname(), port)),
		{name: "expires_within", value: fmt.Sprintf("%dd", within), note: "less time left on the certificate is priority 4"},
	}}
	r, asked := s.found.of(kind, address)
	if asked && r.Certificate != nil && left(r) < within {
		e.say = append(e.say, "Seen: it expires on "+r.Certificate.NotAfter.UTC().Format(time.DateOnly)+": a case of priority 4 is opened at once, until it is renewed.")
	}
	if asked && r.Reason == probes.BadCertificate {
		e.say = append(e.say, "Where the certificate is good and its authority only unknown here, name that with ca_file: of both probes.")
	}
	return e
}

// perfion are the probes of an API service.
func (s proposal) perfion(address string) []entry {
	e := entry{say: s.sighting("perfion", address), keys: []key{{name: "kind", value: "perfion"}, text("url", address)}}
	if s.PerfionUser != "" {
		e.keys = append(e.keys, text("user", s.PerfionUser), hidden("password", perfionSecret, "password of the Perfion user "+s.PerfionUser))
	}
	if s.PerfionQuery != "" {
		e.keys = append(e.keys, text("query", s.PerfionQuery).noted("take one with maxCount 1"))
	} else {
		e.say = append(e.say, "Without query: it asks GetVersion, which proves the web server and the application, not the database. "+
			"Give it a query with maxCount 1, and a user that may read what it asks for: docs/probes-perfion.md#picking-the-query")
	}
	if strings.HasPrefix(address, "https:") {
		e.keys = append(e.keys, key{name: "expires_within", value: "21d", note: "less time left on the certificate is priority 4"})
	}
	e.keys = append(e.keys, s.patience("perfion", address)...)
	return []entry{e}
}

// rdp are the probes of a Remote Desktop server.
func (s proposal) rdp(address string) []entry {
	e := entry{say: s.sighting("rdp", address), keys: []key{{name: "kind", value: "rdp"}, text("address", address)}}
	r, asked := s.found.of("rdp", address)
	host, _, _ := strings.Cut(fact(r, "host"), " (")
	depth := key{name: "depth", value: "challenge", note: "of tcp, x224, tls, challenge, logon: up to where Windows asks who one is"}
	switch {
	case asked && answered(r) && fact(r, "ladder") != "" && !strings.Contains(fact(r, "ladder"), "entra"):
		depth = key{name: "depth", value: "tls", note: "no further: " + shortLadder(r)}
		if strings.Contains(fact(r, "security"), "no tls") || strings.Contains(fact(r, "ladder"), "negotiation") {
			depth.value = "x224"
		}
		e.keys = append(e.keys, depth)
	case asked && host != "":
		e.keys = append(e.keys, depth, text("host", host).noted("another host behind this address is as bad as none"))
	default:
		e.keys = append(e.keys, depth)
	}
	e.keys = append(e.keys, s.patience("rdp", address)...)
	return []entry{e}
}

// shortLadder says where the ladder of a log-on ended.
func shortLadder(r probes.Result) string {
	_, why, ok := strings.Cut(fact(r, "ladder"), ": ")
	if !ok {
		return "there is no NLA here"
	}
	return why
}

// desktop are the probes of Azure Virtual Desktop.
func (s proposal) desktop() []entry {
	e := entry{say: s.sighting("avd", ""), keys: []key{
		{name: "kind", value: "avd", note: "Microsoft's front doors, for which no account is needed"},
		{name: "cloud", value: "public"},
		{name: "interval", value: "60s"},
		{name: "timeout", value: "20s"},
	}}
	parts, ok := pool(s.AVDPool)
	if !ok {
		return []entry{e}
	}
	say := append(s.sighting("avd-pool", s.AVDPool), "The customer's own host pool. The identity needs a role that may read it: docs/probes-avd.md#avd-pool-who-asks")
	return []entry{e, {say: say, keys: []key{
		{name: "kind", value: "avd-pool"},
		text("subscription", parts[0]), text("resource_group", parts[1]), text("host_pool", parts[2]),
		text("credential", s.AVDCredential).noted("managed-identity, azure-cli, client-certificate"),
		{name: "limits", value: "{ sessions: 90% }", note: "more of the pool's sessions in use is priority 4"},
		{name: "interval", value: "60s"},
		{name: "timeout", value: "20s"},
	}}}
}
