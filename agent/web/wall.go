package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/firstcall-agent/firstcall/agent/fleet"
)

// Wall is what the fleet's page is made of; *fleet.Fleet implements it.
type Wall interface {
	Wall() fleet.Wall
	Open(ctx context.Context, key, who string) error
}

// Bounds on what the wall shows at once.
const (
	maxTrouble = 200 // tenants in rows; the worst first
	maxTiles   = 2000
	maxMembers = 60
)

// oldWall is how long a wall may stand still; one that is read seldom, for three readings.
const oldWall = 30 * time.Second

// wallSite is the page of a fleet. It has the guard, the sign-in and the looks of an agent's page.
type wallSite struct {
	*site
	fleet Wall
}

// NewWall returns the whole HTTP face of a fleet. Of the options Agent and Store are not used. The handler is safe for concurrent use.
func NewWall(o Options, f Wall) http.Handler {
	s := &wallSite{site: newSite(o), fleet: f}
	s.seen, s.wall = s.look, true
	get := func(path string, h http.HandlerFunc) route {
		return route{path: path, methods: map[string]http.HandlerFunc{http.MethodGet: h}}
	}
	all := append(
		s.signIn(), s.formRoute("/fleet/{key}/open", s.openForm),
		get("/{$}", s.page), get("/static/{name}", s.static), get("/-/healthy", s.healthy), get("/-/ready", s.ready),
		get("/api/v1/fleet", s.answer(func(*http.Request) (any, error) { return s.fleet.Wall(), nil })), get("/api/v1/events", s.events),
		route{path: "/api/v1/fleet/{key}/open", methods: map[string]http.HandlerFunc{http.MethodPost: s.answer(s.apiOpen)}},
	)
	if s.Metrics != nil {
		all = append(all, get("/metrics", s.Metrics.ServeHTTP))
	}
	return s.handler(all)
}

// look returns what the stream of events tells: one more sign of life with every reading, and a change where there is one.
func (s *wallSite) look() sight {
	w := s.fleet.Wall()
	state := sha256.New()
	encoder := json.NewEncoder(state)
	for _, r := range w.Rows {
		_ = encoder.Encode([]any{r.ID, r.State, r.Silent, r.Since, len(r.Incidents), r.Cases, r.Shared, r.Trouble}) // to a hash: it does not fail
	}
	for _, i := range w.Shared {
		_ = encoder.Encode([]any{i.Key, i.Sentence, i.Now, i.OpenedBy, i.Cases, i.Open()})
	}
	_ = encoder.Encode([]any{w.Err, w.Unkept, w.At.IsZero()})
	body, _ := json.Marshal(struct {
		At     time.Time           `json:"at"`
		Counts map[fleet.State]int `json:"counts"`
	}{w.At, w.Counts})
	return sight{State: hex.EncodeToString(state.Sum(nil)[:8]), Results: w.At.String(), body: body}
}

// healthy is for the thing that restarts the process.
func (s *wallSite) healthy(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusOK, "alive")
}

// ready is for the thing that waits for the start, and sends nobody here until then: the first reading has ended. A wall that cannot be
// read is ready, since the page is what says so.
func (s *wallSite) ready(w http.ResponseWriter, _ *http.Request) {
	if wall := s.fleet.Wall(); wall.At.IsZero() && wall.Err == "" {
		writeText(w, http.StatusServiceUnavailable, "not ready: the database is not read yet")
		return
	}
	writeText(w, http.StatusOK, "ready")
}

// apiOpen asks for the parent case of a fleet incident.
func (s *wallSite) apiOpen(r *http.Request) (any, error) {
	var o order
	if err := readJSON(r, &o, `send {"actor": "your name"}`); err != nil {
		return nil, err
	}
	if f := o.check(""); f != nil {
		return nil, f
	}
	key := r.PathValue("key")
	if err := s.ask(r.Context(), key, o.Actor); err != nil {
		return nil, err
	}
	return struct {
		Key string `json:"key"`
	}{key}, nil
}

func (s *wallSite) openForm(r *http.Request, who string) (string, error) {
	if err := s.ask(r.Context(), r.PathValue("key"), who); err != nil {
		return "", err
	}
	return "?done=parent", nil
}

// ask is not broken off because the client hung up.
func (s *wallSite) ask(ctx context.Context, key, who string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	err := s.fleet.Open(ctx, key, who)
	if errors.Is(err, fleet.ErrNoDesk) {
		return &fault{Status: http.StatusConflict, Message: err.Error()}
	}
	return err
}

// wallPage is what the page shows.
type wallPage struct {
	page
	Sentence string
	Stale    string // why what stands here is old; "": it is not
	Unkept   string // why parent cases wait; "": they do not
	Took     string
	Read     moment
	Counts   []wallCount
	Shared   []wallShared
	Past     []wallShared
	Rows     []wallRow
	More     int
	Tiles    []wallTile
	Well     int // tenants that are well
	MoreWell int // of them, without a tile
	Total    int
	Shown    int
	Query    string
	Only     string
	Known    []wallLabel
	Desks    bool
	Address  string // of the page, as it is configured; "": it does not know
	Guarded  bool   // orders take a token
}

type wallCount struct {
	State fleet.State
	Shape string
	Word  string
	N     int
}

type wallShared struct {
	fleet.Shared
	Since   moment
	For     string
	Members []wallMember
	More    int
}

type wallMember struct {
	wallTile
	Over bool
}

type wallRow struct {
	fleet.Row
	Shape, Word string
	Since, Last moment
	For         string
	Titles      []string
	MoreTitles  int
	Tags        []string
}

type wallTile struct{ Name, URL, Tip string }

type wallLabel struct {
	Name   string
	Values []string
	Chosen string
}

// words and shapes of the states.
var stateWords = map[fleet.State][2]string{
	fleet.P1: {"down", "P1 Critical"}, fleet.P2: {"down", "P2 Urgent"}, fleet.Silent: {"unknown", "silent"}, fleet.P3: {"degraded", "P3 Moderate"},
	fleet.Blind: {"unknown", "blind"}, fleet.Impaired: {"unknown", "impaired"}, fleet.P4: {"degraded", "P4 Low"}, fleet.Other: {"degraded", "no case"}, fleet.Well: {"up", "well"},
}

func (s *wallSite) page(w http.ResponseWriter, r *http.Request) {
	wall, now := s.fleet.Wall(), s.Now()
	level := levelWell
	bad := wall.Counts[fleet.P1] + wall.Counts[fleet.P2]
	open := wall.Open()
	switch {
	case wall.At.IsZero() || len(wall.Rows) == 0:
		level = levelUnknown
	case bad > 0 || wall.Unheard > 0 || len(open) > 0:
		level = levelAlarm
	case wall.Counts[fleet.Well] < len(wall.Rows):
		level = levelNotice
	}
	p := wallPage{Total: len(wall.Rows), Desks: wall.Desks, Query: bounded(clean(r.URL.Query().Get("q")), 100), Only: r.URL.Query().Get("state"), Took: latency(wall.Took), Read: s.when(wall.Seen, now), Address: s.ExternalURL, Guarded: !s.Token.IsZero()}
	switch still := now.Sub(wall.Seen) > max(oldWall, 3*wall.Refresh); {
	case wall.Err == "" && (wall.Seen.IsZero() || !still):
	case wall.Seen.IsZero():
		p.Stale = "The database could not be read yet. "
		if len(wall.Shared) > 0 {
			p.Stale += "What stands below was known before. "
		}
		p.Stale += bounded(clean(wall.Err), 400)
		level = levelUnknown
	default:
		p.Stale = fmt.Sprintf("The database is not read since %s. What stands below is old. %s", p.Read.Text, bounded(clean(wall.Err), 400))
		level = levelUnknown
	}
	if wall.Unkept != "" {
		p.Unkept = "What the fleet decides cannot be kept: " + bounded(clean(wall.Unkept), 400) + "; parent cases wait."
	}
	p.Sentence = wallSentence(wall, open)
	p.page = s.site.page(r, p.Sentence, level)
	for _, state := range fleet.States {
		word := stateWords[state]
		p.Counts = append(p.Counts, wallCount{state, word[0], word[1], wall.Counts[state]})
	}
	names := map[string]fleet.Row{}
	for _, row := range wall.Rows {
		names[row.ID] = row
	}
	for _, i := range wall.Shared {
		shown := s.shared(i, names, now)
		if i.Open() {
			p.Shared = append(p.Shared, shown)
		} else {
			p.Past = append(p.Past, shown)
		}
	}
	p.fill(s, wall, r.URL.Query(), now)
	s.render(w, http.StatusOK, "wall", p)
}

// wallSentence is what is read first.
func wallSentence(w fleet.Wall, open []fleet.Shared) string {
	if w.At.IsZero() {
		return "The fleet is not read yet"
	}
	if len(w.Rows) == 0 {
		return "No tenant has told of itself yet"
	}
	var parts []string
	if len(open) > 0 {
		parts = append(parts, open[0].Sentence)
		if len(open) > 1 {
			parts = append(parts, plural(len(open)-1, "other fleet incident", "other fleet incidents"))
		}
	}
	for _, c := range []struct {
		n         int
		one, many string
	}{
		{w.Counts[fleet.P1], "tenant at P1", "tenants at P1"},
		{w.Counts[fleet.P2], "tenant at P2", "tenants at P2"},
		{w.Unheard, "agent is silent", "agents are silent"},
		{w.Counts[fleet.Blind] - unsure(w), "agent is blind", "agents are blind"},
		{w.Unsure, "agent is not heard yet since the database is read again", "agents are not heard yet since the database is read again"},
		{w.Counts[fleet.Impaired], "agent is impaired", "agents are impaired"},
	} {
		if c.n > 0 {
			parts = append(parts, plural(c.n, c.one, c.many))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("No tenant of %d is at P1 or P2, and every agent is heard", len(w.Rows))
	}
	return strings.Join(parts, "; ")
}

// unsure counts the tenants that are blind only as long as nothing is heard of them.
func unsure(w fleet.Wall) (n int) {
	for _, r := range w.Rows {
		if r.State == fleet.Blind && r.Unsure {
			n++
		}
	}
	return n
}

func (s *wallSite) shared(i fleet.Shared, names map[string]fleet.Row, now time.Time) wallShared {
	shown := wallShared{Shared: i, Since: s.when(i.Started, now), For: span(now.Sub(i.Started)), More: max(0, len(i.Members)-maxMembers)}
	if !i.Open() {
		shown.For = span(i.Ended.Sub(i.Started))
	}
	for _, m := range i.Members[:min(maxMembers, len(i.Members))] {
		row := names[m.Tenant]
		shown.Members = append(shown.Members, wallMember{tile(cmp.Or(clean(row.Name), m.Tenant), m.Tenant, row), !m.Ended.IsZero()})
	}
	return shown
}

// fill chooses the tenants that the filter lets through.
func (p *wallPage) fill(s *wallSite, wall fleet.Wall, query url.Values, now time.Time) {
	known := map[string][]string{}
	for _, row := range wall.Rows {
		for name, value := range row.Labels {
			if !slices.Contains(known[name], value) {
				known[name] = append(known[name], value)
			}
		}
	}
	for name, values := range known {
		if len(values) > 1 && len(values) <= 50 {
			slices.Sort(values)
			p.Known = append(p.Known, wallLabel{name, values, query.Get("label." + name)})
		}
	}
	slices.SortFunc(p.Known, func(a, b wallLabel) int { return cmp.Compare(a.Name, b.Name) })
	for _, row := range wall.Rows {
		if !p.lets(row) {
			continue
		}
		p.Shown++
		switch {
		case row.State == fleet.Well:
			p.Well++
			if len(p.Tiles) < maxTiles {
				p.Tiles = append(p.Tiles, tile(clean(row.Name), row.ID, row))
			} else {
				p.MoreWell++
			}
		case len(p.Rows) < maxTrouble:
			p.Rows = append(p.Rows, s.row(row, now))
		default:
			p.More++
		}
	}
}

// tile returns a tenant in a few letters; the tip has the whole of its name, which the tile may cut short.
func tile(name, id string, row fleet.Row) wallTile {
	tip := slices.Compact([]string{name, id, tags(row.Labels, ", ")})
	return wallTile{name, safeURL(row.URL), strings.TrimSuffix(strings.Join(tip, ", "), ", ")}
}

// lets reports whether the filter lets a tenant through.
func (p *wallPage) lets(row fleet.Row) bool {
	if p.Only != "" && string(row.State) != p.Only {
		return false
	}
	for _, l := range p.Known {
		if l.Chosen != "" && row.Labels[l.Name] != l.Chosen {
			return false
		}
	}
	if p.Query == "" {
		return true
	}
	words := []string{row.ID, row.Name, tags(row.Labels, " ")}
	for _, i := range row.Incidents {
		words = append(words, i.Title, i.Reason)
	}
	return strings.Contains(strings.ToLower(strings.Join(append(words, row.Cases...), " ")), strings.ToLower(p.Query))
}

func (s *wallSite) row(row fleet.Row, now time.Time) wallRow {
	const most = 3
	word := stateWords[row.State]
	shown := wallRow{Row: row, Shape: word[0], Word: word[1], Since: s.when(row.Since, now), Last: s.when(row.Heard, now), MoreTitles: max(0, len(row.Incidents)-most)}
	if !row.Since.IsZero() {
		shown.For = span(now.Sub(row.Since))
	}
	for _, i := range row.Incidents[:min(most, len(row.Incidents))] {
		shown.Titles = append(shown.Titles, bounded(clean(i.Title), 120))
	}
	if row.Silent {
		what := "nothing is known of it"
		if len(row.Incidents) > 0 || row.Trouble != "" {
			what = "what stands here is from then"
		}
		shown.Titles = slices.Insert(shown.Titles, 0, "its agent is not heard since "+shown.Last.Text+": "+what)
		if row.State != fleet.Silent {
			shown.Word += ", silent"
		}
	}
	if row.Trouble != "" {
		shown.Titles = append(shown.Titles, bounded(clean(row.Trouble), 200))
	}
	shown.Name, shown.URL = bounded(clean(row.Name), 80), safeURL(row.URL)
	for _, name := range slices.Sorted(maps.Keys(row.Labels)) {
		shown.Tags = append(shown.Tags, clean(row.Labels[name]))
	}
	return shown
}

// tags writes labels in one line.
func tags(labels map[string]string, sep string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, name+"="+clean(labels[name]))
	}
	return strings.Join(all, sep)
}

// safeURL returns an address of http or https, which an agent told, or "".
func safeURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return u.String()
}
