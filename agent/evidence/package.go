package evidence

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
	"github.com/firstcall-agent/firstcall/probes/path"
)

// Bounds on one package.
const (
	mostProbes = 12              // failing probes that are told of
	mostWalks  = 4               // targets that are walked to
	mostNames  = 4               // names that are looked up
	mostAsked  = 4               // resolvers, the system's among them
	patience   = 5 * time.Second // with a resolver
	maxResolv  = 64 << 10        // bytes that are read of resolv.conf
)

// system is how the system's resolver is called in a package.
const system = "system"

// crew is a wait group whose members may panic: evidence must not end the watch.
type crew struct {
	sync.WaitGroup
	log *slog.Logger
}

// Go runs fn; a panic of it is logged, and what it was to find is missing.
func (c *crew) Go(fn func()) {
	c.WaitGroup.Go(func() {
		defer func() {
			if recover() != nil {
				c.log.Error("gathering evidence panicked; please report this fault", "stack", string(debug.Stack()))
			}
		}()
		fn()
	})
}

// failure is a probe that fails.
type failure struct {
	probe engine.ProbeView
	aim   probes.Aim
	good  *probes.Result // the last good one; nil: not known any more
}

// lookup is what resolvers say of a name.
type lookup struct {
	name    string
	answers []said
}

// said is what one resolver answered.
type said struct {
	resolver string
	text     string // addresses in order, or what went wrong
	took     time.Duration
	failed   bool
}

// findings are everything that goes into a package.
type findings struct {
	incident incident.Incident
	settings Settings
	view     engine.View
	failing  []failure
	more     int // failing probes that are left out
	walks    []path.Walk
	lookups  []lookup
	lag      string
	began    time.Time
	took     time.Duration
}

// gather collects what there is to know, within its bound.
func (g *Gatherer) gather(ctx context.Context, i incident.Incident) incident.Evidence {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	f := findings{incident: i, settings: g.o.Settings(), view: g.o.Source.View(), began: g.o.Now(), lag: g.o.Source.Lag()}
	f.failing, f.more = g.failing(i, f.view)
	files, left := collect(g.o.Source.Files, f.failing) // before a newer result takes their place
	all := crew{log: g.o.Log}
	good := make([]*probes.Result, len(f.failing))
	all.Go(func() { g.lastGood(ctx, f.failing, good) })
	if i.Class == incident.Availability || i.Class == incident.Performance { // for the others the network is not in question
		all.Go(func() { f.lookups = g.lookUp(ctx, names(f.failing), resolvers(f.settings)) })
		if f.settings.Path {
			all.Go(func() { f.walks = g.walk(ctx, f.failing) })
		}
	}
	all.Wait()
	for n := range f.failing {
		f.failing[n].good = good[n]
	}
	f.took = g.o.Now().Sub(f.began)
	if long := f.pathFile(); long != nil {
		files = append([]incident.EvidenceFile{*long}, files...)
	}
	files, over := bounded(files)
	e := incident.Evidence{Incident: i.ID, At: f.began, Took: f.took, Files: files, Left: append(left, over...)}
	e.Text = f.text(e)
	return e
}

// failing returns the probes of the incident's components that are not up, the deciding ones first, and how many more there are.
func (g *Gatherer) failing(i incident.Incident, v engine.View) (list []failure, more int) {
	for _, deciding := range []bool{true, false} {
		for _, c := range v.Components {
			if !slices.Contains(i.Components, c.Name) {
				continue
			}
			for _, in := range c.Instances {
				for _, p := range in.Probes {
					if p.Deciding != deciding || p.Outcome != probes.Down && p.Outcome != probes.Degraded {
						continue
					}
					if len(list) == mostProbes {
						more++
						continue
					}
					list = append(list, failure{probe: p, aim: g.o.Source.Aim(p.ID)})
				}
			}
		}
	}
	return list, more
}

// lastGood finds the last good result of each probe in the store, into good; nil where it is not known any more.
func (g *Gatherer) lastGood(ctx context.Context, list []failure, good []*probes.Result) {
	for n, f := range list {
		if f.probe.LastGood.IsZero() {
			continue
		}
		end := f.probe.LastGood.Add(time.Millisecond) // the instant at which it ended, as the store keeps it
		found, err := g.o.Store.Results(ctx, f.probe.ID, end.Add(-5*time.Minute), end, 20)
		if err != nil {
			continue
		}
		for _, r := range slices.Backward(found) {
			if r.Outcome == probes.Up {
				good[n] = &r
				break
			}
		}
	}
}

// walk walks to what fails, all at once.
func (g *Gatherer) walk(ctx context.Context, list []failure) []path.Walk {
	var targets []netip.AddrPort
	for _, f := range list {
		if at, ok := target(ctx, f); ok && !slices.Contains(targets, at) && len(targets) < mostWalks {
			targets = append(targets, at)
		}
	}
	walks := make([]path.Walk, len(targets))
	all := crew{log: g.o.Log}
	for n, at := range targets {
		all.Go(func() { walks[n] = g.o.Walk(ctx, at.Addr(), at.Port()) })
	}
	all.Wait()
	return slices.DeleteFunc(walks, func(w path.Walk) bool { return !w.Target.IsValid() })
}

// target returns the address that the failing run went to, or that its host resolves to.
func target(ctx context.Context, f failure) (netip.AddrPort, bool) {
	if f.aim.Host == "" {
		return netip.AddrPort{}, false
	}
	if f.probe.Last != nil {
		for _, fact := range f.probe.Last.Facts {
			if fact.Name != "address" {
				continue
			}
			if at, err := netip.ParseAddrPort(fact.Value); err == nil && at.Port() == f.aim.Port {
				return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), true
			}
		}
	}
	if at, err := netip.ParseAddr(f.aim.Host); err == nil {
		return netip.AddrPortFrom(at.Unmap(), f.aim.Port), true
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", f.aim.Host)
	if err != nil || len(found) == 0 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(found[0].Unmap(), f.aim.Port), true
}

// names returns the host names of what fails.
func names(list []failure) (all []string) {
	for _, f := range list {
		host := strings.ToLower(f.aim.Host)
		if _, err := netip.ParseAddr(host); host == "" || err == nil || slices.Contains(all, host) || len(all) == mostNames {
			continue
		}
		all = append(all, host)
	}
	return all
}

// resolvers returns who is asked: the system's resolver, and the configured ones or the second of resolv.conf.
func resolvers(s Settings) []string {
	others := s.Resolvers
	if len(others) == 0 {
		others = second("/etc/resolv.conf")
	}
	all := append([]string{system}, others...)
	return all[:min(len(all), mostAsked)]
}

// second returns the second name server of a resolv.conf; none where there is but one, or no such file.
func second(file string) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	content := make([]byte, maxResolv)
	n, _ := f.Read(content)
	count := 0
	for lines := bufio.NewScanner(bytes.NewReader(content[:n])); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			if count++; count == 2 {
				return []string{netip.AddrPortFrom(addr, 53).String()}
			}
		}
	}
	return nil
}

// lookUp asks every resolver for every name, all at once.
func (g *Gatherer) lookUp(ctx context.Context, names, resolvers []string) []lookup {
	all := make([]lookup, len(names))
	asked := crew{log: g.o.Log}
	for n, name := range names {
		all[n] = lookup{name: name, answers: make([]said, len(resolvers))}
		for k, resolver := range resolvers {
			asked.Go(func() { all[n].answers[k] = ask(ctx, name, resolver) })
		}
	}
	asked.Wait()
	return all
}

// ask asks one resolver for the addresses of a name. The answers are those of a probe: bounded, and fit to be printed.
func ask(ctx context.Context, name, resolver string) said {
	s := said{resolver: resolver, failed: true}
	for _, kind := range []string{"A", "AAAA"} {
		p := &probes.DNSProbe{Name: name, Type: kind}
		if resolver != system {
			p.Server = resolver
		}
		limited, cancel := context.WithTimeout(ctx, patience)
		r := p.Probe(limited)
		cancel()
		s.took = max(s.took, r.Duration)
		text := r.Detail
		for _, f := range r.Facts {
			if f.Name == "answers" {
				text = f.Value
			}
		}
		switch {
		case r.Outcome == probes.Up && s.failed:
			s.text, s.failed = text, false
		case r.Outcome == probes.Up:
			s.text += ", " + text
		case s.text == "":
			s.text = text
		}
		if r.Outcome != probes.Up && r.Reason != probes.DNS {
			break // it does not answer: a second question would cost as much
		}
	}
	return s
}

// collect returns the files of failing results, each named after its probe, and the names of those that are no use.
func collect(of func(probe string) []probes.Attachment, list []failure) (files []incident.EvidenceFile, left []string) {
	taken := map[string]bool{}
	for _, f := range list {
		for _, a := range of(f.probe.ID) {
			name := fileName(f.probe.ID, a.Name)
			if taken[name] {
				left = append(left, name)
				continue
			}
			taken[name] = true
			files = append(files, incident.EvidenceFile{Name: name, Type: a.Type, Size: len(a.Content), Content: a.Content})
		}
	}
	return files, left
}

// fileName returns the name of a probe's file, with the probe before it, in at most 60 characters.
func fileName(probe, name string) string {
	fit := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, probe)
	const most = 60
	if room := most - len(name) - 1; len(fit) > room {
		fit = fit[max(0, len(fit)-max(room, 0)):]
	}
	return strings.TrimLeft(fit+"-"+name, ".-")
}

// bounded returns the files that are kept, and the names of the others.
func bounded(files []incident.EvidenceFile) (kept []incident.EvidenceFile, left []string) {
	total := 0
	for _, f := range files {
		if len(kept) == incident.MaxEvidenceFiles || total+len(f.Content) > incident.MaxEvidenceBytes {
			left = append(left, f.Name)
			continue
		}
		total += len(f.Content)
		kept = append(kept, f)
	}
	return kept, left
}
