package web

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/firstcall-agent/firstcall/incident/engine"
)

// lateAfter is how many intervals a probe may be without a result before it counts as late.
const lateAfter = 3

type agentPage struct {
	page
	Trouble   []string
	Agent     agentRow
	Witnesses []probeRow
	Blind     moment // since when; no text: it sees
	Late      []lateProbe
	Desks     []queueRow
	Notifiers []queueRow
	Read      moment
	Written   moment
	Size      string
	Delay     string
	Streams   int
	Vantages  []vantageRow
	Role      string // in words; "": the store is the agent's own
}

// vantageRow is one of the agents that share a store.
type vantageRow struct {
	Vantage
	Blind bool
	Seen  moment // its last sign of life; no text: it stopped in good order
}

// lateProbe is a probe whose results are missing or not used.
type lateProbe struct {
	ID, Why string
	Last    moment
}

// queueRow is what one desk or notifier has not heard yet.
type queueRow struct {
	Name     string
	Pending  int
	Oldest   string // "" where nothing waits
	Failures int
	Error    string
}

func (s *site) agentPage(w http.ResponseWriter, r *http.Request) {
	g := s.look(r.Context(), maxCards)
	p := agentPage{page: s.page(r, "Agent", levelWell), Trouble: g.trouble(), Agent: s.agentRow(g), Streams: s.pulse.count()}
	if len(p.Trouble) > 0 || g.view.Blind || !g.health.Alive {
		p.Level = levelNotice
	}
	if g.view.Blind {
		p.Blind = s.when(g.view.BlindSince, g.now)
	}
	for _, v := range g.view.Witnesses {
		p.Witnesses = append(p.Witnesses, s.probeRow(g, v, "witness", nil))
	}
	for v := range probesOf(g.view) {
		if why := s.lateness(v, g.now); why != "" {
			late := lateProbe{ID: v.ID, Why: why}
			if v.Last != nil {
				late.Last = s.when(v.Last.Start, g.now)
			}
			p.Late = append(p.Late, late)
		}
	}
	for _, v := range g.health.Vantages {
		row := vantageRow{Vantage: v}
		if !v.Beat.IsZero() {
			row.Seen = s.when(v.Beat, g.now)
		}
		for _, seen := range g.view.Vantages {
			row.Blind = row.Blind || seen.Name == v.Name && seen.Blind
		}
		p.Vantages = append(p.Vantages, row)
	}
	p.Role = g.role()
	h := g.health
	p.Desks, p.Notifiers = queueRows(h.DeskQueue, h.DeskErrors), queueRows(h.NoticeQueue, h.NoticeErrors)
	p.Read, p.Written, p.Size, p.Delay = s.when(h.ConfigRead, g.now), s.when(h.StoreWritten, g.now), bytesText(h.StoreBytes), latency(h.Delay)
	s.render(w, http.StatusOK, "agent", p)
}

// lateness says why a probe is late; "" when it is not.
func (s *site) lateness(v engine.ProbeView, now time.Time) string {
	info, ok := s.Agent.Info(v.ID)
	if !ok || info.Interval <= 0 {
		return ""
	}
	switch most := lateAfter*info.Interval + info.Timeout; {
	case v.Last == nil && now.Sub(s.Agent.Health().Started) > most:
		return "has not run since the start, every " + span(info.Interval)
	case v.Last == nil:
		return ""
	case now.Sub(v.Last.End()) > most:
		return "last ran " + span(now.Sub(v.Last.End())) + " ago, every " + span(info.Interval)
	case v.Last.Lagging:
		return "its newest result is not used, since the agent was late"
	}
	return ""
}

func queueRows(queues map[string]Queue, errors map[string]string) []queueRow {
	names := map[string]bool{}
	for name := range queues {
		names[name] = true
	}
	for name := range errors {
		names[name] = true
	}
	var rows []queueRow
	for _, name := range slices.Sorted(maps.Keys(names)) {
		q := queues[name]
		row := queueRow{Name: clean(name), Pending: q.Pending, Failures: q.Failures, Error: bounded(clean(errors[name]), 600)}
		if q.Pending > 0 {
			row.Oldest = span(q.Oldest)
		}
		rows = append(rows, row)
	}
	return rows
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch {
	case n <= 0:
		return "in memory"
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// role says what the agent is among those that share its store.
func (g glance) role() string {
	switch h := g.health; {
	case h.Role == "":
		return ""
	case h.Role == "leader":
		return "leads: it judges by what all vantages see, and tells desks and people"
	case h.Role == "alone":
		return "judges alone, since the database does not answer"
	case h.StoreAway != "":
		return "waits: the database does not answer"
	case h.Leader == "":
		return "waits: nobody leads at this moment"
	default:
		return "follows " + clean(h.Leader) + ", which judges and tells desks and people"
	}
}
