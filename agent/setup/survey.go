package setup

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firstcall-agent/firstcall/probes"
)

// Findings are the results of a survey, by inquiry: the kind of probe, a space, and the target as it was given. None of a target
// that was not asked.
type Findings map[string]probes.Result

// of returns what was found.
func (f Findings) of(kind, target string) (probes.Result, bool) {
	r, ok := f[kind+" "+target]
	return r, ok
}

// Kinds of inquiry that are not kinds of probe: a second look at a page.
const (
	lookBody     = "http-body"     // whether the title is in the page, as it stands
	lookRedirect = "http-redirect" // what the address itself answers
)

// browserKind is proposed where this program has it and a browser is installed.
const browserKind = "browser"

// inquiry is one question of a survey.
type inquiry struct {
	id, kind string
	keys     []Pair
}

func ask(kind, target string, keys ...Pair) inquiry {
	return inquiry{id: kind + " " + target, kind: kind, keys: keys}
}

// Options say how a survey is made. The zero value is good.
type Options struct {
	Timeout  time.Duration       // longest answer; 10 s unless given
	Progress func(done, all int) // is told how far it is, from one goroutine at a time; may be nil
}

// atOnce bounds the connections of a survey.
const atOnce = 32

// Survey asks everything that the answers, which are Normal and right, name, at once, with the agent's own probes, and looks at
// what it finds a second time. It ends with ctx, or after two timeouts at most. No credential is used but that of --avd-credential.
func Survey(ctx context.Context, a Answers, o Options) (Findings, error) {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	found := Findings{}
	first := inquiries(a)
	if err := found.ask(ctx, first, o, 0, len(first)); err != nil {
		return nil, err
	}
	second := again(a, found)
	if err := found.ask(ctx, second, o, len(first), len(first)+len(second)); err != nil {
		return nil, err
	}
	return found, nil
}

func (f Findings) ask(ctx context.Context, list []inquiry, o Options, done, all int) error {
	var group errgroup.Group
	var lock sync.Mutex
	group.SetLimit(atOnce)
	for _, q := range list {
		group.Go(func() error {
			r, ok := q.run(ctx, o.Timeout)
			lock.Lock()
			defer lock.Unlock()
			if ok {
				f[q.id] = r
			}
			done++
			if o.Progress != nil && ctx.Err() == nil {
				o.Progress(done, all)
			}
			return nil
		})
	}
	_ = group.Wait() // no inquiry fails: what goes wrong is its result
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// run asks once; ok is whether there is such a probe.
func (q inquiry) run(ctx context.Context, timeout time.Duration) (r probes.Result, ok bool) {
	p, err := build(q.kind, q.keys...)
	if err != nil {
		return r, false
	}
	if q.kind == browserKind {
		return probes.Result{Outcome: probes.Up}, true // a browser is there, which is all that is asked: none is started
	}
	if page, is := p.Probe.(*probes.HTTP); is {
		page.Describe = true
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.Probe.Probe(ctx), true
}

// inquiries are what is asked first.
func inquiries(a Answers) []inquiry {
	var all []inquiry
	for _, u := range a.URLs {
		all = append(all, ask("http", u, Pair{"url", u}))
		if _, ok := probes.Lookup(browserKind); ok {
			all = append(all, ask(browserKind, u, Pair{"url", u}))
		}
	}
	for _, u := range a.PerfionAPIs {
		all = append(all, ask("perfion", u, Pair{"url", u}))
	}
	for _, h := range a.RDP {
		all = append(all, ask("rdp", h, Pair{"address", h}))
	}
	for _, host := range hosts(a) {
		all = append(all, ask("icmp", host, Pair{"host", host}))
	}
	if a.AVD {
		all = append(all, ask("avd", ""))
	}
	if parts, ok := pool(a.AVDPool); ok {
		all = append(all, ask("avd-pool", a.AVDPool, Pair{"subscription", parts[0]}, Pair{"resource_group", parts[1]}, Pair{"host_pool", parts[2]}, Pair{"credential", a.AVDCredential}))
	}
	if a.SMTP != "" {
		all = append(all, ask("tcp", a.SMTP, Pair{"address", mailServer(a.SMTP)}))
	}
	for _, w := range candidates(a) {
		all = append(all, ask(w.kind, w.target, Pair{w.key, w.target}))
	}
	return all
}

// again is what is asked once it is known what answers.
func again(a Answers, found Findings) []inquiry {
	var all []inquiry
	for _, u := range a.URLs {
		r, ok := found.of("http", u)
		switch title := fact(r, "title"); {
		case !ok || r.Outcome != probes.Up:
		case elsewhere(u, r) != "":
			all = append(all, inquiry{lookRedirect + " " + u, "http", []Pair{{"url", u}, {"redirects", "0"}}})
		case title != "":
			all = append(all, inquiry{lookBody + " " + u, "http", []Pair{{"url", u}, {"expect", "{ body: " + Quote(title) + " }"}}})
		}
	}
	return all
}

// hosts returns every host that the answers name as a target, each once, in their order.
func hosts(a Answers) []string {
	var all []string
	for _, t := range slices.Concat(a.PerfionAPIs, a.URLs, a.RDP) {
		if host := hostOf(t); host != "" && !slices.Contains(all, host) {
			all = append(all, host)
		}
	}
	return all
}

// mailServer returns host:port of an address of smtp or smtps.
func mailServer(address string) string {
	host, port := hostOf(address), "587"
	if strings.HasPrefix(address, "smtps:") {
		port = "465"
	}
	if rest := address[strings.Index(address, "://")+len("://"):]; strings.LastIndexByte(rest, ':') > strings.LastIndexByte(rest, ']') {
		_, port, _ = net.SplitHostPort(strings.TrimRight(rest, "/"))
	}
	return net.JoinHostPort(host, port)
}

// witness is an independent target.
type witness struct{ kind, key, target string }

// usualWitnesses are asked for and answer almost everywhere: two owners, two networks, a name and no name.
var usualWitnesses = []witness{
	{"tcp", "address", "www.microsoft.com:443"},
	{"dns", "name", "login.microsoftonline.com"},
	{"tcp", "address", "1.1.1.1:443"},
	{"tcp", "address", "www.google.com:443"},
}

// witnessOf reads what a person calls a witness: host:port, or a name.
func witnessOf(text string) witness {
	if _, _, err := net.SplitHostPort(text); err == nil {
		return witness{"tcp", "address", text}
	}
	return witness{"dns", "name", text}
}

func candidates(a Answers) []witness {
	if len(a.Witnesses) == 0 {
		return usualWitnesses
	}
	var all []witness
	for _, text := range a.Witnesses {
		all = append(all, witnessOf(text))
	}
	return all
}
