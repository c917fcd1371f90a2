package watch

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/firstcall-agent/firstcall/incident/engine"
	"github.com/firstcall-agent/firstcall/probes"
)

// View draws the screen: head, sentence, components, incidents, log, keys; each section takes what it needs, the log what is left.
func (m *screen) View() tea.View {
	v := tea.NewView(strings.Join(m.draw(), "\n"))
	v.AltScreen = true
	v.WindowTitle = m.title()
	return v
}

func (m *screen) title() string {
	switch {
	case m.update.err != nil:
		return "firstcall: agent not reachable"
	case m.scene == nil:
		return "firstcall"
	}
	return clean(m.scene.Tenant + ": " + m.scene.Headline.Short)
}

// draw returns exactly as many rows as the terminal has.
func (m *screen) draw() []string {
	rows := append([]string{m.head()}, m.sentence()...)
	room := max(0, m.height-len(rows)-1)
	var body []string
	switch {
	case m.help:
		body = m.helpText()
	case m.scene == nil:
		body = nil
	case m.details:
		body = m.window(m.detailRows(), room)
	default:
		body = m.lists(room)
	}
	if m.update.err != nil { // nothing of it is sure to be so still
		for n := range body {
			body[n] = m.look.write(dim, ansi.Strip(body[n]))
		}
	}
	rows = append(rows, body...)
	for len(rows) < m.height-1 {
		rows = append(rows, "")
	}
	rows = append(rows[:max(0, m.height-1)], m.keys())
	for n := range rows {
		rows[n] = ansi.Truncate(rows[n], m.width, m.look.more)
	}
	return rows
}

// head is the first row: whom it is about, from where it is known, and the time.
func (m *screen) head() string {
	left := "firstcall"
	if m.scene != nil {
		left += "  " + clean(m.scene.Tenant)
	}
	if m.o.Note != "" {
		left += "  " + m.o.Note
	}
	if m.o.From != "" {
		left += "  from " + m.o.From
	}
	right := m.now.In(m.zone()).Format("15:04:05 MST")
	if m.muted {
		right = "muted  " + right
	}
	right = " " + right
	return m.look.write(reversed, m.look.fit(" "+left, m.width-ansi.StringWidth(right)-1)+right+" ")
}

func (m *screen) zone() *time.Location {
	if m.scene == nil {
		return time.Local
	}
	return m.scene.Read.Location()
}

// sentence is how it stands, and whether that can be trusted.
func (m *screen) sentence() []string {
	most := 2
	if m.height >= 20 {
		most = 3
	}
	var rows []string
	if m.update.err != nil {
		text := fmt.Sprintf("agent not reachable since %s, next try %s: %s", m.update.since.Format("15:04:05"), m.update.again.Format("15:04:05"), m.update.err)
		for _, row := range few(wrap(text, m.width-1), most, m.look.more) {
			rows = append(rows, " "+m.look.write(bad, row))
		}
	}
	switch {
	case m.scene == nil && m.update.err == nil:
		rows = append(rows, " "+m.look.write(dim, "asking the agent"+m.look.more))
	case m.scene != nil && m.update.err != nil:
		rows = append(rows, " "+m.look.write(doubt, "what stands below is from "+m.scene.Read.Format("15:04:05")))
	case m.scene != nil:
		for _, row := range few(wrap(m.scene.Headline.Sentence, m.width-1), most, m.look.more) {
			rows = append(rows, " "+m.look.write(ofLevel(m.scene.Headline.Level), row))
		}
	}
	return rows
}

// few returns the first rows, and says where more were cut.
func few(rows []string, most int, more string) []string {
	if len(rows) <= most {
		return rows
	}
	rows = rows[:most]
	rows[most-1] = strings.TrimRight(rows[most-1], " .") + more
	return rows
}

// lists are the three sections in so many rows.
func (m *screen) lists(room int) []string {
	var components, incidents []string
	at := -1 // the cursor, in its section
	inIncidents := false
	names := m.nameWidth()
	for n, i := range m.items() {
		chosen := n == m.cursor
		list := &components
		if i.incident != nil {
			list = &incidents
		}
		if chosen {
			at, inIncidents = len(*list), i.incident != nil
		}
		if i.incident != nil {
			*list = append(*list, m.incidentRow(i, chosen))
		} else {
			*list = append(*list, m.componentRow(i, chosen, names))
		}
	}
	if len(incidents) == 0 {
		incidents = []string{"  " + m.look.write(dim, "none")}
	}
	logRows := min(4, room/5)
	for room-3-logRows < 2 && logRows > 0 {
		logRows--
	}
	space := max(2, room-3-logRows) // three titles
	mostIncidents := min(len(incidents), max(1, space/3))
	mostComponents := min(len(components), space-mostIncidents)
	mostIncidents = min(len(incidents), space-mostComponents)
	if inIncidents {
		incidents, components = around(incidents, at, mostIncidents), around(components, 0, mostComponents)
	} else {
		incidents, components = around(incidents, 0, mostIncidents), around(components, at, mostComponents)
	}
	rows := append([]string{m.rule(fmt.Sprintf("components (%d)", len(m.scene.Components)))}, components...)
	rows = append(append(rows, m.rule(fmt.Sprintf("incidents (%d)", len(m.scene.Incidents)))), incidents...)
	rows = append(rows, m.rule("log"))
	if left := room - len(rows); left > 0 {
		for _, e := range m.o.Log.newest(left) {
			rows = append(rows, m.logRow(e))
		}
	}
	return rows[:min(len(rows), max(0, room))]
}

// around returns n rows with the one at the cursor among them.
func around(rows []string, at, n int) []string {
	if n <= 0 {
		return nil
	}
	first := max(0, min(at-n/2, len(rows)-n))
	return rows[first:min(len(rows), first+n)]
}

func (m *screen) rule(title string) string {
	return m.look.write(dim, title+" "+strings.Repeat(m.look.rule, max(0, m.width-ansi.StringWidth(title)-1)))
}

func (m *screen) hand(chosen bool) string {
	if chosen {
		return m.look.write(bold, m.look.hand) + " "
	}
	return "  "
}

func (m *screen) nameWidth() int {
	width := 8
	for _, i := range m.items() {
		switch {
		case i.instance != nil:
			width = max(width, ansi.StringWidth(i.instance.Name)+2)
		case i.component != nil:
			width = max(width, ansi.StringWidth(i.component.Name))
		}
	}
	return min(width, max(12, m.width/4))
}

// componentRow is one component, or one of its instances: mark, name, word, latency, its line, and why it is not well.
func (m *screen) componentRow(i item, chosen bool, names int) string {
	outcome, name, why := i.component.Outcome, clean(i.component.Name), explain(*i.component)
	views := i.component.Instances
	if i.instance != nil {
		outcome, name, views, why = i.instance.Outcome, "  "+clean(i.instance.Name), []engine.InstanceView{*i.instance}, explainInstance(*i.instance)
	}
	state := word(outcome)
	switch {
	case outcome == probes.Up && suspect(views):
		outcome, state = probes.Degraded, "suspect"
	case outcome == probes.Up:
		why = ""
	case outcome == probes.Degraded && lame(views):
		state = "partly"
	}
	if i.component.Maintenance != "" {
		why = strings.TrimSuffix("maintenance "+i.component.Maintenance+": "+why, ": ")
	}
	p := timed(views)
	latency, line, width := "-", "", m.lineWidth()
	if p != nil && p.Last != nil {
		latency = millis(p.Last.Duration)
		if p.Last.Outcome == probes.Down || p.Last.Outcome == probes.Unknown {
			latency = "-"
		}
		line = m.look.line(m.scene.Lines[p.ID], normal(p), width)
	}
	row := m.hand(chosen) + m.look.write(ofOutcome(outcome), m.look.marks[outcome]) + " " + m.fitName(name, names, chosen) + " " +
		m.look.write(ofOutcome(outcome), m.look.fit(state, 8)) + fmt.Sprintf("%7s ", latency) + m.look.fit(line, width)
	if m.width >= 72 {
		row += " " + m.look.write(dim, clean(why))
	}
	return row
}

func (m *screen) fitName(name string, width int, chosen bool) string {
	if name = m.look.fit(name, width); chosen {
		return m.look.write(bold, name)
	}
	return name
}

// lineWidth is how many results a line shows.
func (m *screen) lineWidth() int {
	switch {
	case m.width >= 140:
		return 60
	case m.width >= 100:
		return 30
	}
	return max(8, min(20, m.width-44))
}

func suspect(list []engine.InstanceView) bool {
	for _, i := range list {
		for _, p := range i.Probes {
			if p.Suspect {
				return true
			}
		}
	}
	return false
}

// lame reports whether some instances are down.
func lame(list []engine.InstanceView) bool {
	return slices.ContainsFunc(list, func(i engine.InstanceView) bool { return i.Outcome == probes.Down })
}

// timed returns the probe whose latency stands for instances: the first deciding one of the worst of them.
func timed(list []engine.InstanceView) *engine.ProbeView {
	var best *engine.ProbeView
	for n := range list {
		for k := range list[n].Probes {
			p := &list[n].Probes[k]
			if best == nil || !best.Deciding && p.Deciding || p.Deciding && p.Outcome != probes.Up && best.Outcome == probes.Up {
				best = p
			}
		}
	}
	return best
}

func normal(p *engine.ProbeView) time.Duration {
	if p.Baseline == nil {
		return 0
	}
	return p.Baseline.Expected
}

// incidentRow is one incident: priority, since when, what, and where its case stands.
func (m *screen) incidentRow(i item, chosen bool) string {
	in := i.incident
	text := clean(in.Title)
	if chosen {
		text = m.look.write(bold, text)
	}
	tail := clean(caseLine(m.scene, in.ID))
	if tail == "" && in.Class.OpensCase() && m.scene.Health.AlertOnly {
		tail = "no case from here"
	}
	if tail != "" {
		text += m.look.write(dim, "  "+tail)
	}
	return m.hand(chosen) + m.look.write(ofPriority(in.Priority), m.look.fit(rank(*in), 6)) + m.look.fit(m.clock(in.Started), 8) + text
}

// clock writes an instant of today as a time, any other with its day.
func (m *screen) clock(t time.Time) string {
	t = t.In(m.zone())
	if now := m.scene.At.In(m.zone()); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("02 Jan")
}

func (m *screen) logRow(e entry) string {
	i := plainInk
	switch {
	case e.level >= slog.LevelError:
		i = bad
	case e.level >= slog.LevelWarn:
		i = slow
	}
	return " " + m.look.write(dim, e.at.In(m.zone()).Format("15:04:05")) + " " + m.look.write(i, e.text)
}

// keys is the last row.
func (m *screen) keys() string {
	sound := "m mute"
	if m.muted {
		sound = "m sound"
	}
	text := " q quit  up/down move  enter details  " + sound + "  ? help"
	switch {
	case m.help:
		text = " any of ? esc enter: back  q quit"
	case m.details:
		text = " esc back  up/down scroll  " + sound + "  q quit"
		if m.below {
			text += "  more below"
		}
	}
	return m.look.write(dim, text)
}

// window returns the part of the rows that is scrolled to.
func (m *screen) window(rows []string, room int) []string {
	m.top = max(0, min(m.top, len(rows)-room))
	m.below = len(rows) > m.top+room
	return rows[m.top:min(len(rows), m.top+room)]
}

func (m *screen) helpText() []string {
	text := []string{
		"", " keys", "   up, down, k, j    move        enter, right   details of what is chosen",
		"   page up, down     far         esc, left      back", "   m                 no sound    q, Ctrl-C      leave", "", " marks",
	}
	for _, o := range []struct {
		o    probes.Outcome
		text string
	}{
		{probes.Up, "up"},
		{probes.Degraded, "slow, or some instances are down, or suspect"},
		{probes.Down, "down"},
		{probes.Unknown, "unknown: the agent, or this machine's network, cannot tell"},
	} {
		text = append(text, "   "+m.look.write(ofOutcome(o.o), m.look.marks[o.o])+"  "+o.text)
	}
	return append(text, "", " A line shows the newest results, the newest at the right: the higher the longer, against the longest or twice what is normal;",
		" "+m.look.fail+" failed, "+m.look.gap+" unknown.")
}
