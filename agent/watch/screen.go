package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/engine"
)

// Messages to the screen beside the terminal's own.
type (
	tickMsg struct{} // a second passed
	logMsg  struct{} // something was logged
)

// screen is what the terminal shows. It is used by the terminal's loop only.
type screen struct {
	o             Options
	width, height int
	look          look
	now           time.Time
	update        update // newest
	scene         *Scene // newest that there was; nil: none yet
	muted         bool
	help, details bool
	cursor        int    // of the items
	chosen        string // key of the item at the cursor
	top           int    // first row of the details that is shown
	below         bool   // there are more of them
	stopped       bool
	sound         func(bool) // tells of a change of muted
}

func newScreen(o Options) *screen {
	return &screen{o: o, width: 80, height: 24, look: newLook(o.Colour, true, o.ASCII), now: o.Now(), muted: o.Muted, sound: func(bool) {}}
}

// show runs the screen until ctx ends or the person leaves.
func show(ctx context.Context, o Options) (stopped bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	m := newScreen(o)
	loud := make(chan update, 16)
	var mu sync.Mutex
	sound := !o.Muted
	m.sound = func(on bool) { mu.Lock(); sound = on; mu.Unlock() }
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithoutSignalHandler(), tea.WithFPS(20)}
	if o.Environment != nil {
		options = append(options, tea.WithEnvironment(o.Environment))
	}
	if !o.Colour {
		options = append(options, tea.WithColorProfile(colorprofile.ASCII))
	}
	p := tea.NewProgram(m, options...)
	o.Log.mu.Lock()
	o.Log.told = func() { go p.Send(logMsg{}) } // a message may come from the loop itself
	o.Log.mu.Unlock()
	work.Go(func() {
		defer close(loud)
		follow(ctx, o, func(u update) {
			for _, line := range u.lines {
				o.Log.add(o.Now(), 0, line)
			}
			p.Send(u)
			select {
			case loud <- u:
			default: // a desktop that hangs holds up nothing
			}
		})
	})
	work.Go(func() {
		for u := range loud {
			mu.Lock()
			on := sound
			mu.Unlock()
			tell(ctx, o, u, on)
		}
	})
	_, err = p.Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("the terminal cannot be used: %w; 'firstcall watch | cat' writes a line a change instead", err)
	}
	return m.stopped, err
}

// Init asks the terminal whether it is light or dark.
func (m *screen) Init() tea.Cmd { return tea.Batch(tea.RequestBackgroundColor, tick()) }

func tick() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return tickMsg{} }) }

// Update takes what happened.
func (m *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.look = newLook(m.o.Colour, msg.IsDark(), m.o.ASCII)
	case tickMsg:
		m.now = m.o.Now()
		return m, tick()
	case update:
		return m, m.take(msg)
	case tea.KeyPressMsg:
		return m, m.press(msg.String())
	}
	return m, nil
}

// take shows a newer scene, and rings where somebody must hear of it.
func (m *screen) take(u update) tea.Cmd {
	m.update, m.now = u, m.o.Now()
	if u.scene != nil {
		m.scene = u.scene
		m.keep()
	}
	if len(u.loud) > 0 && !m.muted {
		return tea.Raw("\a")
	}
	return nil
}

// keep keeps the cursor on what it stood on, wherever that is now.
func (m *screen) keep() {
	items := m.items()
	for n, i := range items {
		if i.key == m.chosen {
			m.cursor = n
			return
		}
	}
	m.details = false // what was looked at is gone
	m.move(0)
}

func (m *screen) move(by int) {
	items := m.items()
	m.cursor = max(0, min(m.cursor+by, len(items)-1))
	m.chosen = ""
	if len(items) > 0 {
		m.chosen = items[m.cursor].key
	}
}

// press does what a key asks for.
func (m *screen) press(key string) tea.Cmd {
	page := max(1, m.height/2)
	switch key {
	case "ctrl+c":
		m.stopped = true
		return tea.Quit
	case "q":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "?":
		m.help = !m.help
	case "m":
		m.muted = !m.muted
		m.sound(!m.muted)
	case "esc", "backspace", "left", "h":
		m.help, m.details = false, false
	case "enter", "space", "right", "l":
		if m.help {
			m.help = false
		} else {
			m.details, m.top = !m.details && m.chosen != "", 0
		}
	case "up", "k":
		m.scroll(-1)
	case "down", "j":
		m.scroll(1)
	case "pgup":
		m.scroll(-page)
	case "pgdown":
		m.scroll(page)
	case "home", "g":
		m.scroll(-1 << 20)
	case "end", "G":
		m.scroll(1 << 20)
	}
	return nil
}

// scroll moves through the details where they are open, else through the items.
func (m *screen) scroll(by int) {
	if m.help {
		return
	}
	if m.details {
		m.top = max(0, m.top+by) // View bounds it by what there is
		return
	}
	m.move(by)
}

// item is what the cursor can stand on.
type item struct {
	key       string
	component *engine.ComponentView
	instance  *engine.InstanceView // nil: the component as a whole
	incident  *incident.Incident
}

// items returns the components, with the instances of those that have several, and the incidents.
func (m *screen) items() []item {
	if m.scene == nil {
		return nil
	}
	var all []item
	for n := range m.scene.Components {
		c := &m.scene.Components[n]
		all = append(all, item{key: "component " + c.Name, component: c})
		if len(c.Instances) < 2 {
			continue
		}
		for k := range c.Instances {
			all = append(all, item{key: "component " + c.Name + "/" + c.Instances[k].Name, component: c, instance: &c.Instances[k]})
		}
	}
	for n := range m.scene.Incidents {
		i := &m.scene.Incidents[n]
		all = append(all, item{key: "incident " + i.ID, incident: i})
	}
	return all
}
