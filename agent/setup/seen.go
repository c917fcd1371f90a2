package setup

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/config/secret"
	"github.com/firstcall-agent/firstcall/probes"
)

// maxSeen bounds what is said of one target, in bytes.
const maxSeen = 300

// Row is a line of the table of what was found.
type Row struct {
	Kind, Target string
	State        string // answers, answers wrongly, does not answer, cannot tell
	Seen         string // on one line, printable
}

// Table returns what was found, in the order of the questions.
func Table(a Answers, f Findings) []Row {
	var rows []Row
	for _, q := range inquiries(a) {
		r, ok := f[q.id]
		if !ok || q.kind == browserKind {
			continue
		}
		kind, target, _ := strings.Cut(q.id, " ")
		if target == "" {
			target = "Microsoft's front doors"
		}
		rows = append(rows, Row{Kind: kind, Target: shown(target), State: state(r), Seen: seen(kind, r, true)})
	}
	return rows
}

func state(r probes.Result) string {
	silent := []probes.Reason{probes.Timeout, probes.Refused, probes.Reset, probes.Unreachable, probes.DNS}
	switch {
	case r.Outcome == probes.Up, r.Outcome == probes.Degraded:
		return "answers"
	case r.Outcome == probes.Unknown:
		return "cannot tell"
	case slices.Contains(silent, r.Reason):
		return "does not answer"
	}
	return "answers wrongly"
}

func fact(r probes.Result, name string) string {
	for _, f := range r.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// seen says what a result shows; days adds what changes from day to day.
func seen(kind string, r probes.Result, days bool) string {
	var parts []string
	add := func(format, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	if r.Outcome != probes.Up {
		add("%s", r.Detail)
	}
	switch kind {
	case "http":
		if r.Outcome == probes.Up {
			add("status %s", fact(r, "status"))
		}
		add("ends at %s", secret.Plain(fact(r, "url"), 120))
		if r.Outcome == probes.Up {
			add("title %q", fact(r, "title"))
		}
	case "perfion":
		add("Perfion %s", fact(r, "version"))
		if fact(r, "version") == "" && r.Outcome == probes.Up {
			add("status %s", fact(r, "status"))
		}
	case "rdp":
		add("it is %s", fact(r, "host"))
		add("%s", fact(r, "os"))
		add("%s", network(r))
		add("its clock is %s", fact(r, "clock"))
	case "avd-pool":
		add("%s", fact(r, "hosts"))
	case "dns":
		add("%s", fact(r, "answers"))
	case "icmp":
		add("round trip %s", fact(r, "rtt"))
	}
	if (kind == "tcp" || kind == "icmp") && r.Outcome == probes.Up {
		add("at %s", fact(r, "address"))
	}
	add("certificate %s", certificate(r, days))
	if len(parts) == 0 && r.Outcome == probes.Up {
		parts = append(parts, "all answer")
	}
	return secret.Plain(strings.Join(parts, ", "), maxSeen)
}

// network says whether network level authentication is offered.
func network(r probes.Result) string {
	switch security := fact(r, "security"); {
	case security == "":
		return ""
	case fact(r, "ladder") == "" && !strings.Contains(security, "no tls"):
		return "NLA offered (" + security + ")"
	}
	return "no NLA (" + fact(r, "security") + ")"
}

// certificate says of whom a certificate is and until when it is good.
func certificate(r probes.Result, days bool) string {
	c := r.Certificate
	if c == nil {
		return ""
	}
	text := "until " + c.NotAfter.UTC().Format(time.DateOnly)
	if days {
		text += fmt.Sprintf(" (%d days)", left(r))
	}
	if c.SelfSigned {
		return text + ", self-signed"
	}
	return text + ", issued by " + secret.Plain(c.Issuer, 80)
}

// left returns the whole days that a certificate has left.
func left(r probes.Result) int { return int(r.Certificate.NotAfter.Sub(r.Start).Hours() / 24) }

// elsewhere returns the host that a redirect ended at, where it is another than that of the address.
func elsewhere(address string, r probes.Result) string {
	u, err := url.Parse(fact(r, "url"))
	if err != nil || u.Hostname() == "" || strings.EqualFold(u.Hostname(), hostOf(address)) {
		return ""
	}
	return u.Hostname()
}
