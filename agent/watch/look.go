package watch

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/firstcall-agent/firstcall/agent/web"
	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/probes"
)

// ink is a way to write on the terminal.
type ink int

const (
	plainInk ink = iota
	bold
	dim
	good
	slow
	bad
	doubt
	reversed
)

// look is how things are written: each ink by a number of the 256 colours (ECMA-48, xterm), and the marks. Nothing is told by a
// colour alone: every outcome has a mark of its own shape, and a word.
type look struct {
	inks  map[ink]string
	marks map[probes.Outcome]string
	bars  []rune // of a line of latencies, lowest first
	fail  string // in a line
	gap   string
	rule  string
	hand  string // at the cursor
	more  string // what was cut
}

// newLook returns the look for a terminal with or without colours, dark or light.
func newLook(colour, dark, ascii bool) look {
	l := look{
		inks:  map[ink]string{bold: "1", reversed: "7"},
		marks: map[probes.Outcome]string{probes.Up: "●", probes.Degraded: "▲", probes.Down: "✖", probes.Unknown: "?"},
		bars:  []rune("▁▂▃▄▅▆▇█"), fail: "✖", gap: "·", rule: "─", hand: "›", more: "…",
	}
	if ascii {
		l.marks = map[probes.Outcome]string{probes.Up: "o", probes.Degraded: "!", probes.Down: "X", probes.Unknown: "?"}
		l.bars, l.fail, l.gap, l.rule, l.hand, l.more = []rune("_.,-~=+#"), "X", " ", "-", ">", "~"
	}
	switch {
	case !colour:
	case dark:
		l.inks[dim], l.inks[good], l.inks[slow], l.inks[bad], l.inks[doubt] = "38;5;246", "38;5;114", "38;5;221", "1;38;5;210", "38;5;183"
	default:
		l.inks[dim], l.inks[good], l.inks[slow], l.inks[bad], l.inks[doubt] = "38;5;241", "38;5;22", "38;5;94", "1;38;5;124", "38;5;54"
	}
	return l
}

func (l look) write(i ink, text string) string {
	if l.inks[i] == "" || text == "" {
		return text
	}
	return "\x1b[" + l.inks[i] + "m" + text + "\x1b[m"
}

func ofOutcome(o probes.Outcome) ink {
	return map[probes.Outcome]ink{probes.Up: good, probes.Degraded: slow, probes.Down: bad, probes.Unknown: doubt}[o]
}

func ofPriority(p incident.Priority) ink {
	switch p {
	case incident.P1, incident.P2:
		return bad
	case incident.P3, incident.P4:
		return slow
	default:
	}
	return doubt
}

func ofLevel(l web.Level) ink {
	return map[web.Level]ink{"well": good, "notice": slow, "alarm": bad, "unknown": doubt}[l]
}

// fit returns a text of exactly so many columns: cut, or filled with spaces.
func (l look) fit(text string, width int) string {
	if width <= 0 {
		return ""
	}
	text = ansi.Truncate(text, width, l.more)
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

// whole is a hyphen at which no row ends: case numbers and names hold many.
const whole = "\u2011"

// wrap breaks a text into rows of at most so many columns.
func wrap(text string, width int) []string {
	wrapped := ansi.Wrap(strings.ReplaceAll(clean(text), "-", whole), max(1, width), "")
	return strings.Split(strings.ReplaceAll(wrapped, whole, "-"), "\n")
}

// line draws the newest results of a probe, the newest at the right: as high as they took long, against the longest of them or
// what is normal, whichever is more; a failed one is a cross.
func (l look) line(points []point, normal time.Duration, width int) string {
	width = max(0, width)
	points = points[max(0, len(points)-width):]
	top := 2 * normal
	for _, p := range points {
		if p.outcome == probes.Up || p.outcome == probes.Degraded {
			top = max(top, p.took)
		}
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(points)))
	for _, p := range points {
		switch p.outcome {
		case probes.Down:
			b.WriteString(l.write(bad, l.fail))
		case probes.Unknown:
			b.WriteString(l.write(doubt, l.gap))
		default:
			step := 0
			if top > 0 {
				step = int(p.took * time.Duration(len(l.bars)-1) / top)
			}
			b.WriteString(l.write(ofOutcome(p.outcome), string(l.bars[min(max(step, 0), len(l.bars)-1)])))
		}
	}
	return b.String()
}

// millis writes a latency in at most seven columns.
func millis(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// span writes how long something lasts.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
