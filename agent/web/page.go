package web

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/incident/policy"
	"github.com/firstcall-agent/firstcall/probes"
)

// Bounds on what the status page shows.
const (
	maxCards    = 20 // open incidents
	cardEvents  = 5  // newest timeline entries of each
	collapseAt  = 12 // from so many components on, those that answer are folded away while others do not
	maxEvidence = probes.MaxFacts
)

// page is what every page has.
type page struct {
	Root      string // relative address of the site's root, so that any prefix of a proxy works
	Title     string
	Tenant    string
	Version   string
	Stamp     string // of the assets
	Level     Level
	Zone      string
	Now       moment
	AlertOnly bool   // alert-only
	Who       string // who is signed in; "": nobody
	Here      string // the page's own address, below the root
	Done      string // what the form did that led here
	Wall      bool   // it is the fleet's
}

// moment is an instant as it is written and as machines and other zones read it.
type moment struct {
	Text string
	UTC  string
	ISO  string
}

func (s *site) page(r *http.Request, title string, level Level) page {
	now := s.Now()
	here, query := "", r.URL.Query()
	if r.URL.Path != loginPath && r.Method != http.MethodPost {
		query.Del("done")
		here = inside(strings.TrimPrefix((&url.URL{Path: r.URL.Path, RawQuery: query.Encode()}).RequestURI(), "/"))
	}
	return page{
		Who: clean(s.guard.person(r, now)), Here: here, Done: done[r.URL.Query().Get("done")],
		Root: rootOf(r.URL.Path), Title: title, Tenant: clean(cmp.Or(s.Tenant, "firstcall")), Version: s.Version, Stamp: s.assets.stamp, Level: level,
		Zone: s.Zone.String(), Now: s.when(now, now), AlertOnly: s.AlertOnly, Wall: s.wall,
	}
}

// when writes t for people, with the seconds.
func (s *site) when(t, now time.Time) moment {
	if t.IsZero() {
		return moment{Text: "-"}
	}
	utc := t.UTC()
	return moment{precise(t, now, s.Zone), utc.Format("2006-01-02 15:04:05 UTC"), utc.Format(time.RFC3339)}
}

// rootOf returns the way from a page to the site's root.
func rootOf(path string) string {
	if n := strings.Count(path, "/") - 1; n > 0 {
		return strings.Repeat("../", n)
	}
	return "./"
}

// render executes the page into memory first, so that a fault never leaves half a page.
func (s *site) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout", data); err != nil {
		s.Log.Error("page cannot be rendered", "page", name, "err", err)
		writeText(w, http.StatusInternalServerError, "the page cannot be rendered; the agent's log says why")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

type statusPage struct {
	page
	Headline   Headline
	Trouble    []string
	Cards      []card
	MoreCards  int
	Late       []lateRow      // what is over, and not yet told everywhere
	Shown      []componentRow // what does not plainly answer comes first
	Folded     []componentRow
	Witnesses  []probeRow
	Agent      agentRow
	Components int
}

func (s *site) statusPage(w http.ResponseWriter, r *http.Request) {
	g := s.look(r.Context(), maxCards)
	h := g.headline()
	p := statusPage{page: s.page(r, h.Short, h.Level), Headline: h, Trouble: g.trouble(), Agent: s.agentRow(g), Components: len(g.view.Components)}
	p.AlertOnly = g.alertOnly
	for _, i := range g.open[:min(maxCards, len(g.open))] {
		p.Cards = append(p.Cards, s.card(g, i))
	}
	p.MoreCards = len(g.open) - len(p.Cards)
	for _, i := range g.over {
		t := g.tales[i.ID]
		if due := s.deliveries(i, t.cases, t.notices, g.now); len(due) > 0 {
			p.Late = append(p.Late, lateRow{i.AtWorst(), s.when(i.Closed, g.now), s.dueRows(due, g.now)})
		}
	}
	for _, c := range g.view.Components {
		p.Shown = append(p.Shown, s.componentRow(g, c))
	}
	slices.SortStableFunc(p.Shown, func(a, b componentRow) int { return cmp.Compare(b.rank, a.rank) })
	calm := slices.IndexFunc(p.Shown, func(c componentRow) bool { return c.rank == 0 })
	if calm > 0 && p.Components > collapseAt {
		p.Shown, p.Folded = p.Shown[:calm], p.Shown[calm:]
	}
	for _, v := range g.view.Witnesses {
		p.Witnesses = append(p.Witnesses, s.probeRow(g, v, "witness", nil))
	}
	s.render(w, http.StatusOK, "status", p)
}

// card is an open incident at a glance.
type card struct {
	incident.Incident
	Since   moment
	For     string
	Clause  string // where its case stands
	Clock   clockRow
	Silence *orderRow // by which people are not told; nil: none
	Cases   []caseRow
	Due     []dueRow
	Events  []eventRow
	Earlier int
	Unread  bool // the store did not answer
}

// lateRow is an incident that is over, of which somebody has not heard yet.
type lateRow struct {
	incident.Incident
	Over moment
	Due  []dueRow
}

func (s *site) card(g glance, i incident.Incident) card {
	t, known := g.tales[i.ID]
	c := card{Incident: i, Since: s.when(i.Started, g.now), For: span(g.now.Sub(i.Started)), Clause: g.caseClause(i), Unread: !known}
	c.Silence = s.silence(i, g.now)
	for _, k := range t.cases {
		c.Cases = append(c.Cases, s.caseRow(k, i, g.now))
	}
	if known && !g.alertOnly {
		c.Clock = s.clockRow(s.clockOf(i, t.cases, g.now), i, g.now)
	}
	c.Due = s.dueRows(s.deliveries(i, t.cases, t.notices, g.now), g.now)
	c.Earlier = max(0, len(t.timeline)-cardEvents)
	for _, e := range slices.Backward(t.timeline[c.Earlier:]) {
		c.Events = append(c.Events, s.eventRow(e, g.now))
	}
	return c
}

// componentRow is a component with its probes.
type componentRow struct {
	engine.ComponentView
	State      string // the outcome, or "maintenance" for what is not up inside a window
	Since      moment
	Why        string // the component's detail, where none of its probes says the same
	Redundant  bool
	Rows       []probeRow
	Maintained moment // until when it is in maintenance
	rank       int    // 0: answers; higher stands further up
}

func (s *site) componentRow(g glance, c engine.ComponentView) componentRow {
	row := componentRow{ComponentView: c, State: c.Outcome.String(), Redundant: len(c.Instances) > 1}
	if !c.Since.IsZero() && c.Outcome != probes.Up {
		row.Since = s.when(c.Since, g.now)
	}
	if c.Maintenance != "" {
		row.Maintained = s.when(c.Maintained, g.now)
	}
	var upkeep []policy.Span
	for _, m := range g.upkeep {
		if m.Covers(c.Name) {
			upkeep = append(upkeep, m)
		}
	}
	for _, in := range c.Instances {
		for _, p := range in.Probes {
			row.Rows = append(row.Rows, s.probeRow(g, p, c.Name, upkeep))
		}
	}
	row.Why = clean(c.Detail)
	if slices.ContainsFunc(row.Rows, func(p probeRow) bool { return p.Detail == row.Why || p.finds(row.Why) }) {
		row.Why = ""
	}
	row.rank = map[probes.Outcome]int{probes.Down: 5, probes.Degraded: 4, probes.Unknown: 3}[c.Outcome]
	switch {
	case row.rank > 0 && c.Maintenance != "":
		row.State, row.rank = "maintenance", 1
	case row.rank == 0 && suspected(c):
		row.rank = 2
	}
	return row
}

// probeRow is a probe with its newest results.
type probeRow struct {
	ID        string
	Name      string // without the component's name
	Kind      string // "" where the name says it
	Every     string
	Role      string
	State     string
	Suspect   bool
	Reason    probes.Reason
	Bars      template.HTML
	Ran       bool
	Latency   string
	Normal    string // what is normal now; "": not known
	Learning  string // how far that is learnt; "": it is whole
	Phases    template.HTML
	CertDays  int
	CertUntil moment
	CertLevel string // "", "notice" or "alarm"
	Numbers   []numberRow
	Detail    string
	LastGood  moment
	At        moment
	Findings  []findingRow
	Facts     []probes.Fact
	Judged    string      // whose matter a failure is, where that is not the infrastructure's
	Account   *accountRow // nil: it has none of its own, or it works
}

// accountRow is a probe's own account that is refused.
type accountRow struct {
	Since moment
	Why   string
}

func (s *site) probeRow(g glance, p engine.ProbeView, component string, upkeep []policy.Span) probeRow {
	row := probeRow{ID: p.ID, Name: strings.TrimPrefix(p.ID, component+"/"), Role: "evidence", State: p.Outcome.String(), Suspect: p.Suspect}
	if p.Deciding {
		row.Role = "deciding"
	}
	if component == "witness" {
		row.Role = "witness"
	}
	if info, ok := s.Agent.Info(p.ID); ok {
		row.Every = span(info.Interval)
		if !strings.HasSuffix(row.Name, info.Kind) {
			row.Kind = info.Kind
		}
	}
	recent := s.Agent.Recent(p.ID)
	row.Bars = strip(recent, g.now, g.zone, upkeep)
	s.certificate(&row, recent, g.now)
	s.numbers(&row, p, recent)
	for _, f := range p.Findings {
		row.Findings = append(row.Findings, s.findingRow(f, g.now))
	}
	row.Normal, row.Learning = normal(p.Baseline), learned(p.Baseline)
	if a := p.Account; a != nil && a.Off {
		row.Account = &accountRow{s.when(a.Since, g.now), clean(a.Why)}
	}
	if p.Judged.Matter != incident.MatterInfrastructure || p.Judged.Configured {
		row.Judged = clean(p.Judged.String())
	}
	if p.Last == nil {
		return row
	}
	row.Ran, row.Latency, row.Phases = true, latency(p.Last.Duration), phases(*p.Last)
	if row.Normal != "" {
		row.Normal = judged(p.Last) + row.Normal
	}
	row.Reason, row.Detail, row.At = p.Last.Reason, clean(p.Last.Detail), s.when(p.Last.Start, g.now)
	if p.Outcome != probes.Up || p.Last.Outcome != probes.Up {
		row.Facts = p.Last.Facts[:min(maxEvidence, len(p.Last.Facts))]
		if !p.LastGood.IsZero() {
			row.LastGood = s.when(p.LastGood, g.now)
		}
	}
	return row
}

// certificate fills in the newest certificate that the target showed; a failing target shows none.
func (s *site) certificate(row *probeRow, recent []probes.Result, now time.Time) {
	for _, r := range slices.Backward(recent) {
		if r.Certificate == nil {
			continue
		}
		left := r.Certificate.NotAfter.Sub(now)
		row.CertDays, row.CertUntil = int(left/(24*time.Hour)), s.when(r.Certificate.NotAfter, now)
		switch {
		case left < 0:
			row.CertLevel = "alarm"
		case left < 21*24*time.Hour:
			row.CertLevel = "notice"
		}
		return
	}
}

// numberRow is a measured quantity.
type numberRow struct {
	Name, Value, Limit string
	Passed             bool
}

// numbers fills in what the probe measures beside latency, where no certificate says the same.
func (s *site) numbers(row *probeRow, p engine.ProbeView, recent []probes.Result) {
	all := newestNumbers(p.Last, recent)
	info, _ := s.Agent.Info(p.ID)
	kind, _ := probes.Lookup(info.Kind)
	for _, n := range all {
		if n.Name == probes.CertificateDays && row.CertUntil.ISO != "" {
			continue
		}
		k, known := kind.Number(n.Name)
		if !known {
			k = probes.NumberKind{Name: n.Name}
		}
		number := numberRow{Name: strings.ReplaceAll(clean(n.Name), "_", " "), Value: unbroken(k.Format(n.Value))}
		if n.Of != "" {
			number.Name += " of " + clean(n.Of)
		}
		if limit, ok := info.Thresholds[n.Name]; ok {
			number.Limit, number.Passed = unbroken(k.Format(limit)), k.Passed(n.Value, limit)
		}
		row.Numbers = append(row.Numbers, number)
	}
}

// newestNumbers returns those of the newest result that has any: a failing target shows none.
func newestNumbers(last *probes.Result, recent []probes.Result) []probes.Number {
	if last != nil && len(last.Numbers) > 0 {
		return last.Numbers
	}
	for _, r := range slices.Backward(recent) {
		if len(r.Numbers) > 0 {
			return r.Numbers
		}
	}
	return nil
}

// agentRow is how the agent itself fares.
type agentRow struct {
	Health
	Running   string
	Loaded    moment
	Beat      moment
	Seen      moment // time of the view
	Desks     []string
	Notifiers []string
	Oldest    string
	Digest    string
}

func (s *site) agentRow(g glance) agentRow {
	h := g.health
	row := agentRow{
		Health: h, Running: span(g.now.Sub(h.Started)), Loaded: s.when(h.ConfigLoaded, g.now), Beat: s.when(h.Heartbeat, g.now),
		Seen: s.when(g.view.At, g.now), Oldest: span(h.OldestPending), Digest: h.ConfigDigest,
	}
	row.Digest = row.Digest[:min(12, len(row.Digest))]
	for _, name := range sortedKeys(h.DeskErrors) {
		row.Desks = append(row.Desks, named(name, h.DeskErrors[name]))
	}
	for _, name := range sortedKeys(h.NoticeErrors) {
		row.Notifiers = append(row.Notifiers, named(name, h.NoticeErrors[name]))
	}
	return row
}
