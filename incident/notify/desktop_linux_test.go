//go:build servers

package notify_test

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/notify"
	"github.com/firstcall-agent/firstcall/incident/notify/notifytest"
	"github.com/firstcall-agent/firstcall/probes/probetest/servers"
)

// shown is a notification as a desktop got it.
type shown struct {
	app, icon, title, body string
	urgency                byte
	sound                  string
	silent                 bool
	expire                 int32
}

// screen is a notification service (Desktop Notifications Specification 1.2).
type screen struct {
	mu     sync.Mutex
	all    []shown
	can    []string
	refuse bool
}

// GetCapabilities is the service's.
func (s *screen) GetCapabilities() ([]string, *dbus.Error) { return s.can, nil }

// Notify is the service's.
func (s *screen) Notify(app string, _ uint32, icon, title, body string, _ []string, hints map[string]dbus.Variant, expire int32) (uint32, *dbus.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		return 0, dbus.MakeFailedError(fmt.Errorf("too many\nnotifications"))
	}
	n := shown{app: app, icon: icon, title: title, body: body, expire: expire}
	n.urgency, _ = hints["urgency"].Value().(byte)
	n.sound, _ = hints["sound-name"].Value().(string)
	n.silent, _ = hints["suppress-sound"].Value().(bool)
	s.all = append(s.all, n)
	return uint32(len(s.all)), nil //nolint:gosec // few
}

func (s *screen) seen() []shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]shown(nil), s.all...)
}

// startScreen puts a notification service on a bus.
func startScreen(t *testing.T, bus *servers.DBus, s *screen) {
	t.Helper()
	conn, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Export(s, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.Notifications", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("reply %d, %v", reply, err)
	}
}

// desktopAt builds the notifier of a valid configuration.
func desktopAt(t *testing.T, d notify.Desktop) notify.Notifier {
	t.Helper()
	if faults := d.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	n, err := d.Build(notify.Env{Name: "my-screen", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDesktopContract(t *testing.T) {
	until := func(step string, then notifytest.Behaviour) notifytest.Hostile {
		return notifytest.Hostile{Serve: func(c net.Conn) {
			in := bufio.NewReader(c)
			for {
				line, err := in.ReadString('\n')
				switch {
				case err != nil:
					return
				case strings.Contains(line, step):
					then(c)
					return
				case strings.Contains(line, "AUTH EXTERNAL"):
					_, _ = io.WriteString(c, "OK 0123456789abcdef0123456789abcdef\r\n")
				case strings.Contains(line, "AUTH"):
					_, _ = io.WriteString(c, "REJECTED EXTERNAL\r\n")
				}
			}
		}}
	}
	notifytest.Run(t, func(t *testing.T) notifytest.Rig {
		bus := servers.StartDBus(t)
		s := &screen{}
		startScreen(t, bus, s)
		return notifytest.Rig{
			Notifier: desktopAt(t, notify.Desktop{Sound: true, Bus: bus.Address}), Name: "my-screen",
			At: func(t *testing.T, address string) notify.Notifier {
				host, port, _ := net.SplitHostPort(address)
				return desktopAt(t, notify.Desktop{Bus: "tcp:host=" + host + ",port=" + port, Timeout: 4 * time.Second})
			},
			Arrived: func() []notifytest.Arrival {
				var all []notifytest.Arrival
				for _, n := range s.seen() {
					all = append(all, notifytest.Arrival{Text: n.title + "\n" + n.body})
				}
				return all
			},
			Hostile: map[string]notifytest.Hostile{
				"rejects the agent":          until("AUTH EXTERNAL", func(c net.Conn) { _, _ = io.WriteString(c, "REJECTED\r\n") }),
				"is silent after the log-on": until("BEGIN", notifytest.Silent),
				"says garbage after the log-on": until("BEGIN", func(c net.Conn) {
					_, _ = io.WriteString(c, strings.Repeat("l\x01\x00\x01\xff\xff\xff\x00", 9))
					notifytest.Silent(c)
				}),
				"never ends its word to log on":  {Endless: true, Serve: func(c net.Conn) { notifytest.Forever(c, "REJECTED ") }},
				"says garbage without an end to": {Endless: true, Serve: until("BEGIN", func(c net.Conn) { notifytest.Forever(c, "l\x02\x00\x01") }).Serve},
			},
		}
	})
}

func TestDesktopShowsPrioritiesByTheirWeight(t *testing.T) {
	bus := servers.StartDBus(t)
	s := &screen{can: []string{"body", "body-markup"}}
	startScreen(t, bus, s)
	for _, sound := range []bool{true, false} {
		for _, p := range []incident.Priority{incident.P1, incident.P3} {
			proof, err := desktopAt(t, notify.Desktop{Sound: sound, Bus: bus.Address}).Send(t.Context(), notify.Message{
				Subject: "P1 acme: <b>backend</b> is inaccessible", Text: "a < b & c\n" + strings.Repeat("line\n", 50), Priority: p,
			})
			if err != nil || !strings.HasPrefix(proof, "shown as notification ") {
				t.Fatalf("proof %q, %v", proof, err)
			}
		}
	}
	want := []shown{
		{urgency: 2, sound: "dialog-warning", icon: "dialog-error"},
		{urgency: 1, silent: true, icon: "dialog-information", expire: -1},
		{urgency: 2, silent: true, icon: "dialog-error"},
		{urgency: 1, silent: true, icon: "dialog-information", expire: -1},
	}
	for i, n := range s.seen() {
		if !strings.HasPrefix(html.UnescapeString(n.body), "a < b & c\nline\n") || strings.Contains(n.body, "<") || len(n.body) > 500 {
			t.Errorf("body %q", n.body)
		}
		if n.title != "P1 acme: <b>backend</b> is inaccessible" || n.app != "firstcall" { // a title has no markup
			t.Errorf("title %q of %q", n.title, n.app)
		}
		n.title, n.body, n.app = "", "", ""
		if n != want[i] {
			t.Errorf("notification %d: %+v, want %+v", i, n, want[i])
		}
	}
}

func TestDesktopErrorsNameWhatIsMissing(t *testing.T) {
	bus := servers.StartDBus(t)
	broken := servers.StartDBus(t)
	startScreen(t, broken, &screen{refuse: true})
	tests := []struct{ name, configured, environment, runtime, want string }{
		{"no bus", "", "", t.TempDir(), "there is no session bus"},
		{"a bus that is gone", "unix:path=" + filepath.Join(t.TempDir(), "bus"), "", "", "cannot be reached: dial unix"},
		{"of the environment", "", bus.Address, "", "no notification service runs"},
		{"of the first that is there", "unix:path=/nonexistent/bus;" + bus.Address, "", "", "no notification service runs"},
		{"in the user's directory", "", "", filepath.Dir(strings.TrimPrefix(bus.Address, "unix:path=")), "no notification service runs"},
		{"a desktop that refuses", broken.Address, "", "", "did not take the message: too many notifications"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", test.environment)
			t.Setenv("XDG_RUNTIME_DIR", test.runtime)
			_, err := desktopAt(t, notify.Desktop{Bus: test.configured}).Send(t.Context(), notify.Message{Subject: "x"})
			if err == nil || notify.Permanent(err) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "my-screen") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
